"""Write assemblies in Brain-Score's netCDF packaging.

Brain-Score opens such a file with ``xarray.open_dataarray`` and gathers the flat coordinates of each dimension into a
MultiIndex. So the file holds one variable, ``data``, on the dimensions presentation, neuroid and time_bin, and every
coordinate lies on one of these. Code of Brain-Score asks for `animal` where we say subject, and for `image_id` where it
is older than 2022: both are written beside our own names, and named in an attribute so that our reader leaves them out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.assembly.netcdf_file import write_netcdf
from neurofit.assembly.schema import check_assembly
from neurofit.data.readers.brainscore import ALIASES
from neurofit.errors import AssemblyError
from neurofit.vocabulary import ASSEMBLY_DIMS, STIMULUS_ID, SUBJECT

_THEIR_NAMES = {"image_id": STIMULUS_ID, "animal": SUBJECT}
_COMPRESSION = {"zlib": True, "complevel": 1, "fletcher32": True}  # the level of Brain-Score's own packaging until 2025


def write_brainscore(assembly: xr.DataArray, path: str | Path) -> Path:
    """Write an assembly so that Brain-Score opens it, and `read_brainscore` gives the same.

    Parameters
    ----------
    assembly : xarray.DataArray (presentation, neuroid, time_bin)
        A recording (their NeuronRecordingAssembly) or activations (ModelFeaturesAssembly). Their stimulus sets are
        apart: name one in ``attrs["stimulus_set_identifier"]``.
    path : path
        An older file stays until the new one is complete.

    Returns
    -------
    Path

    Raises
    ------
    AssemblyError
        If the assembly breaks the contract, or has coordinates or attributes that netCDF has no place for.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    check_assembly(assembly)
    flat = xr.DataArray(assembly.values, dims=ASSEMBLY_DIMS, attrs=dict(assembly.attrs))
    aliases = []
    for name, coordinate in assembly.coords.items():
        if coordinate.ndim != 1 or coordinate.dtype.kind not in "UObiuf" or str(name) in ASSEMBLY_DIMS:
            raise AssemblyError(
                "a coordinate in Brain-Score's packaging is text or numbers on one dimension, and not called like it",
                f"'{name}' is {coordinate.dtype} on {coordinate.dims}",
                f"rename or convert it, or leave it out: assembly.drop_vars('{name}')",
            )
        flat = flat.assign_coords({name: (coordinate.dims, coordinate.values)})
    for theirs, ours in _THEIR_NAMES.items():
        if theirs not in flat.coords:
            flat = flat.assign_coords({theirs: (flat[ours].dims, flat[ours].values)})
            aliases.append(theirs)
    _check_attrs(flat)
    flat.attrs |= {ALIASES: " ".join(aliases)} if aliases else {}
    write_netcdf({"": flat.to_dataset(name="data")}, path, {"data": _COMPRESSION})
    return path


def _check_attrs(assembly: xr.DataArray) -> None:
    for name, value in assembly.attrs.items():
        if not isinstance(value, str | int | float | np.number) or isinstance(value, bool) or name == ALIASES:
            raise AssemblyError(
                "attributes in netCDF are text or single numbers",
                f"'{name}' is {value!r}",
                f"convert or delete it: del assembly.attrs['{name}']",
            )
