"""Assemblies on disk: netCDF-4, written whole or not at all."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurofit.assembly.netcdf_file import write_netcdf
from neurofit.assembly.schema import check_assembly
from neurofit.errors import DataFileError, NeurofitError
from neurofit.files.expansion import LABEL_BYTES, check_expansion
from neurofit.files.hdf5_look import look_at_hdf5


def save_assembly(assembly: xr.DataArray, path: str | Path) -> Path:
    """Write a checked assembly to a netCDF-4 file; an older file of that name stays until the new one is complete.

    Raises
    ------
    AssemblyError
        If the assembly breaks the contract; nothing is written.
    OutputError
        If the folder cannot be written.
    """
    path = Path(path)
    check_assembly(assembly)
    dataset = assembly.rename("responses").to_dataset()
    write_netcdf({"": dataset}, path, {})
    return path


def load_assembly(path: str | Path) -> xr.DataArray:
    """Read an assembly that `save_assembly` wrote.

    Raises
    ------
    DataFileError
        If the file is missing, truncated or corrupted, or holds something else.
    AssemblyError
        If its content breaks the contract.
    """
    path = Path(path)
    loaded = load_netcdf(path, "an assembly", "check the path, or write it anew")
    if "responses" not in loaded:
        raise DataFileError(
            "an assembly file holds the variable 'responses'",
            f"{path} holds {sorted(str(v) for v in loaded.data_vars)}",
            "read it with the reader of its own format",
        )
    assembly = loaded["responses"]
    assembly.attrs = {k: v.item() if isinstance(v, np.generic) else v for k, v in assembly.attrs.items()}
    assembly.name = None
    return check_assembly(assembly)


def load_netcdf(path: Path, what: str, remedy: str, **options: Any) -> xr.Dataset:
    """Read a netCDF-4 file from anywhere into memory; its texts are NumPy's.

    Parameters
    ----------
    path : Path
    what, remedy : str
        For messages: what the file is to be ('a score'), and what to do if it is not.
    **options
        Of `xarray.open_dataset`.

    Raises
    ------
    DataFileError
        If it is missing, damaged, no netCDF-4, or refused by `look_at_hdf5`.
    """
    try:
        look_at_hdf5(path, whole=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of dimensions without names and the like, which contracts refuse
            with xr.open_dataset(path, engine="h5netcdf", **options) as dataset:
                check_expansion(path, declared_bytes(dataset))
                loaded = dataset.load()
        plain = {name: _plain(str(name), variable) for name, variable in loaded.variables.items()}
        return loaded.assign({n: v for n, v in plain.items() if v is not loaded.variables[n]})
    except NeurofitError:
        raise
    except Exception as error:  # h5netcdf and xarray raise whatever their code runs into
        raise DataFileError(
            f"{what} is a readable netCDF-4 file", f"{path}: {type(error).__name__}: {error}", remedy
        ) from error


def declared_bytes(dataset: xr.Dataset) -> int:
    """Return what the variables of a file not yet read take in memory, labels (on one dimension) as text."""
    variables = dataset.variables.values()
    return sum(v.size * max(v.dtype.itemsize, LABEL_BYTES if v.ndim < 2 else 1) for v in variables)


def _plain(name: str, variable: xr.Variable) -> xr.Variable:
    """Return a variable of numbers, truth values, times, or text of NumPy's type."""
    values = np.asarray(variable.values)
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    elif values.dtype.kind == "O" and all(isinstance(one, str) for one in values.flat):
        values = values.astype(str)
    if values.dtype.kind not in "biufcUMm" or values.ndim != len(variable.dims):
        raise ValueError(f"'{name}' is {values.dtype} of shape {values.shape} on {variable.dims}")
    return variable if values.dtype == variable.dtype else xr.Variable(variable.dims, values, variable.attrs)
