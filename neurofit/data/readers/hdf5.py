"""Open HDF5 files from anywhere: refuse what would exhaust memory or send the HDF5 library astray."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from neurofit.data.readers.checks import check_expansion
from neurofit.errors import DataFileError

Datasets = dict[str, h5py.Dataset]

_HEAP_START = b"GCOL\x01\0\0\0"  # signature, version and padding of a heap (HDF5 file format, III.E)
_HEAP_HEADER = 16  # bytes: the above and the size of the heap
_HEAP_OBJECT = struct.Struct("<HHIQ")  # index, references, padding, size in bytes; the content follows
_SEARCHED_BYTES = 256 * 2**20  # of a file; searching gigabytes would take longer than reading a part of them


@contextmanager
def opened_hdf5(path: Path) -> Iterator[tuple[h5py.File, Datasets]]:
    """Open an HDF5 file for reading, with its datasets by full name (links are not followed).

    Raises
    ------
    DataFileError
        If its datasets declare far more than it holds or are neither numbers nor text, or its heaps are damaged.
    """
    check_heaps(path)
    with h5py.File(path, "r") as file:
        datasets: Datasets = {}

        def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                datasets[name] = item

        file.visititems(collect)
        _check_contents(datasets, path)
        yield file, datasets


def _check_contents(datasets: Datasets, path: Path) -> None:
    check_expansion(path, sum(d.nbytes for d in datasets.values() if d.shape is not None))
    for name, dataset in datasets.items():
        if dataset.dtype.hasobject and h5py.check_string_dtype(dataset.dtype) is None:
            raise DataFileError(
                "datasets hold numbers or text",
                f"'{name}' in {path} holds references or ragged arrays",
                "leave it out, or use the reader of the file's own format",
            )


def check_heaps(path: Path) -> None:
    """Walk the heaps that hold texts of variable length, as the HDF5 library will.

    The library (seen in HDF5 2.0.0) trusts the sizes in there: a damaged one can make it loop for ever.
    """
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
        at = content.find(_HEAP_START, 0, _SEARCHED_BYTES)
        while at >= 0:
            if not _is_sound(content, at):
                raise DataFileError(
                    "the texts of an HDF5 file lie in sound heaps",
                    f"that at byte {at} of {path} is damaged",
                    "fetch or write the file anew",
                )
            at = content.find(_HEAP_START, at + _HEAP_HEADER, _SEARCHED_BYTES)


def _is_sound(content: mmap.mmap, start: int) -> bool:
    """Tell whether the objects of a heap fill it exactly, up to free space at its end."""
    if start + _HEAP_HEADER > len(content):
        return False
    (size,) = struct.unpack_from("<Q", content, start + _HEAP_HEADER - 8)
    at, end = start + _HEAP_HEADER, start + size
    if end > len(content):
        return False
    while at + _HEAP_OBJECT.size <= end:
        index, _, _, length = _HEAP_OBJECT.unpack_from(content, at)
        if index == 0:
            return length == end - at
        at += _HEAP_OBJECT.size + (length + 7) // 8 * 8
    return at <= end
