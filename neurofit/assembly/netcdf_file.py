"""Write netCDF-4 files in a way that no disk can end the process."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5netcdf
import xarray as xr
from xarray.backends import H5NetCDFStore

from neurofit.files.atomic import atomic_write, reporting_output_errors


def write_netcdf(parts: Mapping[str, xr.Dataset], path: Path, encoding: Mapping[str, Mapping[str, Any]]) -> None:
    """Write datasets into the groups of one netCDF-4 file, whole or not at all.

    The file is made in memory. On a disk that is full the HDF5 library cannot close it, and what is still open of it
    then ends the process (a segmentation fault, seen in h5py 3.16 and h5netcdf 1.8).

    Parameters
    ----------
    parts : mapping from str to xarray.Dataset
        By group; '' is the root.
    path : Path
    encoding : mapping
        Of variables that are arrays; see `xarray.Dataset.to_netcdf`.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    content = io.BytesIO()
    with h5netcdf.File(content, "w") as file:
        for group, dataset in parts.items():
            own = {str(name): dict(encoding[str(name)]) for name in dataset.variables if str(name) in encoding}
            own = {name: how for name, how in own.items() if dataset[name].ndim}  # single numbers are not compressed
            dataset.dump_to_store(H5NetCDFStore(file, group=group or None), encoding=own)
    with reporting_output_errors(path), atomic_write(path) as handle:
        handle.write(content.getbuffer())
