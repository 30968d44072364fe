"""Write MATLAB v7.3 files as MATLAB does, independently of the code that reads them.

After files that MATLAB wrote: HDF5 behind a 512-byte block of text, dimensions reversed, cells and text fields as
references into the group '#refs#', every data set marked with its class.
"""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

CLASSES = {"float64": "double", "float32": "single", "bool": "logical"}


def save_v73(path: Path, variables: dict) -> Path:
    """Write arrays, texts, lists (cell columns) and dicts (structs)."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs = file.create_group("#refs#")
        for name, value in variables.items():
            _write(file, refs, name, value)
    header = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5 schema 1.00 ."
    with path.open("r+b") as handle:
        handle.write(header.ljust(116) + b"\0" * 8 + b"\x00\x02IM")
    return path


def _write(group: h5py.Group, refs: h5py.Group, name: str, value) -> h5py.HLObject:
    if isinstance(value, dict):
        item = group.create_group(name)
        item.attrs["MATLAB_class"] = np.bytes_("struct")
        for field, content in value.items():
            _write(item, refs, field, content)
        return item
    if isinstance(value, str):
        return _array(group, name, np.frombuffer(value.encode("utf-16-le"), "<u2")[None], "char", MATLAB_int_decode=2)
    if isinstance(value, list):
        item = group.create_dataset(name, (1, len(value)), h5py.ref_dtype)
        for i, content in enumerate(value):
            item[0, i] = _write(refs, refs, f"r{len(refs)}", content).ref
        item.attrs["MATLAB_class"] = np.bytes_("cell")
        return item
    value = np.atleast_2d(value)
    return _array(group, name, value, CLASSES.get(value.dtype.name, value.dtype.name))


def _array(group: h5py.Group, name: str, value: np.ndarray, kind: str, **attrs) -> h5py.Dataset:
    if value.size == 0:
        item = group.create_dataset(name, data=np.array(value.shape, np.uint64))
        attrs["MATLAB_empty"] = np.uint8(1)
    else:
        item = group.create_dataset(name, data=value.T.astype(np.uint8) if kind == "logical" else value.T)
    item.attrs["MATLAB_class"] = np.bytes_(kind)
    item.attrs.update(attrs)
    return item
