"""A plain layout for a user's own responses, in HDF5 or npz.

=====================  ================================================  ==========================================
array                  shape                                             content
=====================  ================================================  ==========================================
``responses``          (presentations, neuroids, time_bins)              numbers, none missing
``stimulus_id``        (presentations,)                                  text or whole numbers
``repetition``         (presentations,), optional                        whole numbers; needed where stimuli repeat
``neuroid_id``         (neuroids,)                                       text or whole numbers, unique
``subject``            (neuroids,) or one value for all                  text or whole numbers
``region``             (neuroids,) or one value for all                  text: 'V4', 'IT', ... (or ``layer``)
``subregion``          (neuroids,) or one value for all, optional        text: 'pIT', ...
``time_bin_start``     (time_bins,)                                      ms from stimulus onset, whole numbers
``time_bin_end``       (time_bins,)                                      ms from stimulus onset, whole numbers
=====================  ================================================  ==========================================

Further coordinates name their dimension, so that equal lengths are never ambiguous: ``presentation/object_name``,
``neuroid/depth`` (groups) in HDF5, ``presentation__object_name``, ``neuroid__depth`` in npz. Any other array is an
error, which offers the nearest known name.

Attributes of the assembly are attributes of the HDF5 root, or ``attrs__...`` arrays without dimensions in npz. The one
value for all of ``subject``, ``region``, ``subregion`` and ``layer`` may be an attribute of the HDF5 root too. Root
attributes that are neither text nor one number are left out.

Text is UTF-8 of fixed or variable length. MATLAB reverses dimensions in HDF5: there, write
``permute(responses, [3 2 1])``.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import xarray as xr

from neurofit.assembly.schema import check_assembly
from neurofit.data.readers.checks import label_responses, labels, read_npy, reading
from neurofit.data.readers.hdf5 import opened_hdf5
from neurofit.errors import AssemblyError, listed, nearest_names
from neurofit.files.atomic import atomic_write, reporting_output_errors
from neurofit.files.expansion import check_expansion
from neurofit.vocabulary import (
    ASSEMBLY_DIMS,
    LAYER,
    NEUROID,
    NEUROID_ID,
    PRESENTATION,
    REGION,
    REPETITION,
    REQUIRED_COORDS,
    STIMULUS_ID,
    SUBJECT,
    SUBREGION,
    TIME_BIN,
    TIME_BIN_END,
    TIME_BIN_START,
)

_RESPONSES = "responses"
_ATTRS = "attrs"
_ONE_FOR_ALL = (SUBJECT, REGION, SUBREGION, LAYER)
_DIM_OF = {
    STIMULUS_ID: PRESENTATION,
    REPETITION: PRESENTATION,
    NEUROID_ID: NEUROID,
    **dict.fromkeys(_ONE_FOR_ALL, NEUROID),
    TIME_BIN_START: TIME_BIN,
    TIME_BIN_END: TIME_BIN,
}
_IN_HDF5, _IN_NPZ = "/", "__"  # between a dimension and a coordinate's name
_WHAT = "a recording in neurofit's plain layout"


def read_hdf5(path: str | Path) -> xr.DataArray:
    """Read responses from an HDF5 file of the layout above.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)

    Raises
    ------
    DataFileError
        If the file cannot be read, declares far more than it holds, or does not keep the layout.
    """
    path = Path(path)
    with reading(path, _WHAT), opened_hdf5(path) as (file, datasets):
        arrays = {name: _read_dataset(dataset) for name, dataset in datasets.items()}
        attrs = {name: value for name in file.attrs if (value := _one_value(file.attrs, name)) is not None}
        for name in _ONE_FOR_ALL:
            if name in attrs and name not in arrays:
                arrays[name] = np.asarray(attrs.pop(name))
        return _assemble(arrays, attrs, _IN_HDF5)


def read_npz(path: str | Path) -> xr.DataArray:
    """Read responses from an npz file of the layout above; pickled objects are refused.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)

    Raises
    ------
    DataFileError
        If the file cannot be read, declares far more than it holds, or does not keep the layout.
    """
    path = Path(path)
    arrays = {}
    with reading(path, _WHAT), zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        check_expansion(path, sum(member.file_size for member in members))
        for member in members:
            name = member.filename.removesuffix(".npy")
            if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise AssemblyError(
                    "npz files are compressed as NumPy does it, or not", f"'{name}' is otherwise", "use numpy.savez"
                )
            with archive.open(member) as handle:
                arrays[name] = read_npy(handle, member.file_size, f"'{name}' in {path}")
        prefix = f"{_ATTRS}{_IN_NPZ}"
        attrs = {n.removeprefix(prefix): arrays.pop(n).item() for n in list(arrays) if n.startswith(prefix)}
        return _assemble(arrays, attrs, _IN_NPZ)


def write_hdf5(assembly: xr.DataArray, path: str | Path) -> Path:
    """Write an assembly so that `read_hdf5` gives the same; an older file stays until the new one is complete.

    Metadata and arrays carry HDF5's own checksums, so that damage is noticed when reading.

    Raises
    ------
    AssemblyError
        If the assembly breaks the contract or has coordinates or attributes that the layout has no place for.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    arrays = _arrays(assembly, _IN_HDF5)
    # atomic_write syncs and renames what lies under the handle's name; HDF5 needs to read back what it writes, which
    # the handle does not offer. From format v110 on, all metadata are checksummed.
    with (
        reporting_output_errors(path),
        atomic_write(path) as handle,
        h5py.File(handle.name, "w", libver="v110") as file,
    ):
        for name, values in arrays.items():
            if values.dtype.kind == "U":
                encoded = np.char.encode(values, "utf-8")
                kind = h5py.string_dtype("utf-8", encoded.dtype.itemsize)
                file.create_dataset(name, data=encoded.astype(kind), fletcher32=True)
            else:
                file.create_dataset(name, data=values, fletcher32=True)
        file.attrs.update(assembly.attrs)
    return path


def write_npz(assembly: xr.DataArray, path: str | Path) -> Path:
    """Write an assembly so that `read_npz` gives the same; an older file stays until the new one is complete.

    Raises
    ------
    AssemblyError
        If the assembly breaks the contract or has coordinates or attributes that the layout has no place for.
    OutputError
        If the file cannot be written.
    """
    path = Path(path)
    arrays: dict[str, Any] = dict(_arrays(assembly, _IN_NPZ))
    arrays |= {f"{_ATTRS}{_IN_NPZ}{name}": np.asarray(value) for name, value in assembly.attrs.items()}
    with reporting_output_errors(path), atomic_write(path) as handle:
        np.savez(handle, **arrays)
    return path


def _read_dataset(dataset: h5py.Dataset) -> np.ndarray:
    if h5py.check_string_dtype(dataset.dtype) is None:
        return np.asarray(dataset[()])
    return np.asarray(dataset.asstr()[()]).astype(str)


def _one_value(attributes: h5py.AttributeManager, name: str) -> str | bool | int | float | None:
    """Return an HDF5 attribute that is text or one number as a plain Python value, None for any other."""
    dtype = attributes.get_id(name).dtype
    if dtype.hasobject and h5py.check_string_dtype(dtype) is None:
        return None
    value = attributes[name]
    if isinstance(value, np.ndarray | np.generic) and value.size == 1:
        value = value.item()
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str | bool | int | float) else None


def _assemble(arrays: Mapping[str, np.ndarray], attrs: Mapping[str, Any], separator: str) -> xr.DataArray:
    """Sort arrays into columns by dimension and build the assembly."""
    for name in (_RESPONSES, *(n for names in REQUIRED_COORDS.values() for n in names)):
        if name not in arrays:
            raise AssemblyError(
                f"{_WHAT} has an array '{name}'",
                f"there is {listed(sorted(arrays), 12) or 'none'}",
                "add it (the layout is in the documentation of neurofit.data.readers.plain)",
            )
    responses = arrays[_RESPONSES]
    columns: dict[str, dict[str, np.ndarray]] = {dim: {} for dim in ASSEMBLY_DIMS}
    for key, values in arrays.items():
        if key == _RESPONSES:
            continue
        dim, name = _place(key, separator)
        if values.size != max(values.shape, default=1):
            raise AssemblyError("coordinates have one dimension", f"'{key}' has shape {values.shape}", "flatten it")
        values = values.reshape(-1)  # MATLAB's vectors are matrices
        if name in _ONE_FOR_ALL:
            values = labels(values if len(values) > 1 else np.full(arrays[NEUROID_ID].size, values), name)
        columns[dim][name] = values
    return label_responses(responses, columns, attrs)


def _place(key: str, separator: str) -> tuple[str, str]:
    """Return the dimension and the name of the coordinate that an array holds."""
    if key in _DIM_OF:
        return _DIM_OF[key], key
    dim, _, name = key.partition(separator)
    if dim in ASSEMBLY_DIMS and name and name not in _DIM_OF:
        return dim, name
    near = [f"'{known}'" for known in nearest_names(key, [_RESPONSES, *_DIM_OF], limit=1)]
    further = [f"'{dim}{separator}{name or key}'" for dim in (PRESENTATION, NEUROID)]
    raise AssemblyError(
        "the name of an array says what it holds",
        f"'{key}' is not known",
        f"call it {' or '.join(near + further)}, or leave it out",
    )


def _arrays(assembly: xr.DataArray, separator: str) -> dict[str, np.ndarray]:
    """Return the arrays of the layout by name, having checked that reading gives all of them back."""
    check_assembly(assembly)
    arrays = {_RESPONSES: assembly.values}
    for name, coordinate in assembly.coords.items():
        values = coordinate.values
        if values.dtype.kind == "O" and all(isinstance(v, str) for v in values.flat):
            values = values.astype(str)
        misplaced = coordinate.ndim != 1 or _DIM_OF.get(str(name), coordinate.dims[0]) != coordinate.dims[0]
        if misplaced or values.dtype.kind not in "Ubiuf" or "/" in str(name):
            raise AssemblyError(
                "the plain layout holds coordinates of text or numbers on their one dimension, without '/' in the name",
                f"'{name}' is {values.dtype} on {coordinate.dims}",
                f"convert it, or leave it out: assembly.drop_vars('{name}')",
            )
        arrays[str(name) if name in _DIM_OF else f"{coordinate.dims[0]}{separator}{name}"] = values
    for name, value in assembly.attrs.items():
        if not isinstance(value, str | bool | int | float | np.number | np.bool_) or name in _DIM_OF:
            raise AssemblyError(
                "attributes are text or single numbers and are not named like a coordinate",
                f"'{name}' is {value!r}",
                f"convert, rename or delete it: del assembly.attrs['{name}']",
            )
    return arrays
