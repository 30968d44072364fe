"""Scores on disk: netCDF-4, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.assembly.netcdf_file import write_netcdf
from neurofit.assembly.storage import load_netcdf
from neurofit.scoring.score import check_score


def save_score(score: xr.Dataset, path: str | Path) -> Path:
    """Write a score to a netCDF-4 file; an older file of that name stays until the new one is complete.

    Raises
    ------
    AssemblyError, MappingError
        If the score breaks its contract; nothing is written.
    OutputError
        If the folder cannot be written.
    """
    path = Path(path)
    check_score(score)
    encoding = {str(name): {"zlib": True, "complevel": 1} for name in score.data_vars if score[name].ndim}
    write_netcdf({"": score}, path, encoding)
    return path


def load_score(path: str | Path) -> xr.Dataset:
    """Read a score that `save_score` wrote.

    Raises
    ------
    DataFileError
        If the file is missing, truncated or corrupted, or holds something else.
    AssemblyError, MappingError
        If its content breaks the contract.
    """
    score = load_netcdf(Path(path), "a score", "check the path, or score again")
    score.attrs = {k: v.item() if isinstance(v, np.generic) else v for k, v in score.attrs.items()}
    return check_score(score)
