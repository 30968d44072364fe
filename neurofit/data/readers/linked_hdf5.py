"""Open HDF5 files whose parts refer to each other (MATLAB v7.3, NWB) without following anything out of the file.

`readers.hdf5` refuses references altogether; here they are what the format is made of. What is refused is what leads
out of the file (external links, external storage, virtual data sets) and what would exhaust memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from neurofit.errors import DataFileError
from neurofit.files.expansion import FREE_BYTES, MAX_EXPANSION
from neurofit.files.hdf5_look import look_at_hdf5
from neurofit.files.hdf5_walk import chunk_bytes


@contextmanager
def opened_linked_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, once all of its links were walked.

    Raises
    ------
    DataFileError
        As `look_at_hdf5`.
    """
    look_at_hdf5(path, whole=False)
    with h5py.File(path, "r") as file:
        yield file


def check_dataset(dataset: h5py.Dataset, path: Path) -> h5py.Dataset:
    """Return a data set that may be read whole: what it declares is in proportion to what the file stores of it.

    Raises
    ------
    DataFileError
        If it declares more than `MAX_EXPANSION` times what is stored, and more than `FREE_BYTES`.
    """
    declared = 0 if dataset.shape is None else dataset.size * dataset.dtype.itemsize + chunk_bytes(dataset)
    if declared > max(MAX_EXPANSION * dataset.id.get_storage_size(), FREE_BYTES):
        raise DataFileError(
            f"a data set is at most {MAX_EXPANSION} times as large as what is stored of it",
            f"'{dataset.name}' in {path} stores {dataset.id.get_storage_size()} bytes and declares {declared}",
            "if this is no decompression bomb, write it again with less compression",
        )
    return dataset


def text_attribute(item: h5py.Group | h5py.Dataset, name: str) -> str:
    """Return an attribute that is one text, or '' if there is none."""
    if name not in item.attrs or item.attrs.get_id(name).dtype.kind not in "SO":
        return ""
    value = item.attrs[name]
    value = value.item() if isinstance(value, np.ndarray | np.generic) and np.size(value) == 1 else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value if isinstance(value, str) else ""
