"""Open HDF5 files from anywhere: refuse what would exhaust memory, lead out of the file or end the HDF5 library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from neurofit.errors import DataFileError
from neurofit.files.hdf5_look import look_at_hdf5

Datasets = dict[str, h5py.Dataset]


@contextmanager
def opened_hdf5(path: Path) -> Iterator[tuple[h5py.File, Datasets]]:
    """Open an HDF5 file for reading, with its datasets by full name (links are not followed).

    Raises
    ------
    DataFileError
        If its datasets declare far more than it holds or are neither numbers nor text, or as `look_at_hdf5`.
    """
    look_at_hdf5(path, whole=True)
    with h5py.File(path, "r") as file:
        datasets: Datasets = {}

        def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
            if isinstance(item, h5py.Dataset):
                datasets[name] = item

        file.visititems(collect)
        _check_contents(datasets, path)
        yield file, datasets


def _check_contents(datasets: Datasets, path: Path) -> None:
    for name, dataset in datasets.items():
        if dataset.dtype.hasobject and h5py.check_string_dtype(dataset.dtype) is None:
            raise DataFileError(
                "datasets hold numbers or text",
                f"'{name}' in {path} holds references or ragged arrays",
                "leave it out, or use the reader of the file's own format",
            )
        if dataset.shape is None:
            raise DataFileError(
                "datasets hold numbers or text",
                f"'{name}' in {path} holds nothing, not even a shape",
                "leave it out, or write it again",
            )
