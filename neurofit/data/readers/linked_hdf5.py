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

from neurofit.data.readers.checks import FREE_BYTES, MAX_EXPANSION
from neurofit.data.readers.hdf5 import check_heaps
from neurofit.errors import DataFileError

MAX_OBJECTS = 1_000_000  # groups and data sets of one file
MAX_DEPTH = 64  # of groups in groups


@contextmanager
def opened_linked_hdf5(path: Path) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, having walked all of its links.

    Raises
    ------
    DataFileError
        If something leads out of the file, groups are nested absurdly, or heaps are damaged.
    """
    check_heaps(path)
    with h5py.File(path, "r") as file:
        _walk(file, path)
        yield file


def _walk(file: h5py.File, path: Path) -> None:
    """Visit every hard link once; soft links stay in the file and are left alone."""
    seen: set[bytes] = set()
    waiting: list[tuple[h5py.Group, int]] = [(file["/"], 0)]
    while waiting:
        group, depth = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise _leads_out(path, f"{group.name}/{name}", f"links to {link.filename}")
            if not isinstance(link, h5py.HardLink):
                continue
            item = group[name]
            token = h5py.h5o.get_info(item.id)
            key = f"{token.fileno}:{token.addr}".encode()
            if key in seen:
                continue
            seen.add(key)
            if len(seen) > MAX_OBJECTS or depth > MAX_DEPTH:
                raise DataFileError(
                    f"an HDF5 file has at most {MAX_OBJECTS} objects, {MAX_DEPTH} deep",
                    f"{path} has more",
                    "check where it is from",
                )
            if isinstance(item, h5py.Group):
                waiting.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise _leads_out(path, item.name, "has its content in another file")


def _leads_out(path: Path, name: str, how: str) -> DataFileError:
    return DataFileError(
        "a file holds all of its content itself",
        f"'{name}' in {path} {how}",
        "copy what is linked into the file, or read the file that holds it",
    )


def check_dataset(dataset: h5py.Dataset, path: Path) -> h5py.Dataset:
    """Return a data set that may be read whole: what it declares is in proportion to what the file stores of it.

    Raises
    ------
    DataFileError
        If it declares more than `MAX_EXPANSION` times what is stored, and more than `FREE_BYTES`.
    """
    declared = 0 if dataset.shape is None else dataset.size * dataset.dtype.itemsize
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
