"""Scores on disk: netCDF-4, written whole or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.errors import DataFileError
from neurofit.files.atomic import atomic_path, reporting_output_errors
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
    with reporting_output_errors(path), atomic_path(path) as part:
        score.to_netcdf(part, engine="h5netcdf", encoding=encoding)
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
    path = Path(path)
    try:
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            score = dataset.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise DataFileError(
            "a score is a readable netCDF-4 file", f"{path}: {error}", "check the path, or score again"
        ) from error
    for name, coordinate in score.coords.items():
        if coordinate.dtype == object:  # netCDF strings come back as Python objects
            score = score.assign_coords({name: (coordinate.dims, coordinate.values.astype(str))})
    score.attrs = {k: v.item() if isinstance(v, np.generic) else v for k, v in score.attrs.items()}
    return check_score(score)
