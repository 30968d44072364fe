"""Chunks of a store: one small HDF5 file each, called by the digest of its bytes, read as checked or not at all."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from neurofit.files.atomic import atomic_write, reporting_output_errors

Part = Mapping[str, np.ndarray]
"""Arrays of a chunk by name."""

SUFFIX = ".h5"
KINDS = "fiub"
"""Kinds of numbers that chunks hold: floating, integers, truth values."""


def digest_of(content: bytes | memoryview) -> str:
    """Return the BLAKE2b digest of a file's bytes, 32 hexadecimal digits."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def write_chunk(folder: Path, name: str, part: Part, owner: str) -> Path:
    """Write arrays to a file of a folder, whole or not at all.

    The HDF5 file is made in memory: its library never sees a disk, whose errors it is known to take badly. On the disk
    there is, at any moment, no file of that name or a whole one; what a failing disk loses later, its digest tells.

    Parameters
    ----------
    folder : Path
    name : str
        Of the chunk; the file is called ``<name>.<digest>.h5``.
    part : mapping from str to array
    owner : str
        The entry that the chunk belongs to, written into it.

    Returns
    -------
    Path

    Raises
    ------
    OutputError
        If the disk is full or read-only.
    """
    import h5py

    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver="latest") as file:
        file.attrs["owner"] = owner
        file.attrs["chunk"] = name
        for key, array in part.items():
            file.create_dataset(key, data=array)
    content = buffer.getbuffer()
    path = folder / f"{name}.{digest_of(content)}{SUFFIX}"
    with reporting_output_errors(folder), atomic_write(path) as handle:
        handle.write(content)
    return path


def read_chunk(path: Path, owner: str) -> dict[str, np.ndarray] | None:
    """Return a chunk's arrays; None if the file is not what it was when it was written.

    The bytes are compared with the file's name before anything looks into them, and these same bytes are then read.
    """
    name, _, digest = path.name.removesuffix(SUFFIX).partition(".")
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if digest_of(content) != digest:
        return None
    return _parsed(content, name, owner)


def _parsed(content: bytes, name: str, owner: str) -> dict[str, np.ndarray] | None:
    """Read plain arrays; whoever can write to the store could have given any file a fitting name."""
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            if (file.attrs.get("owner"), file.attrs.get("chunk")) != (owner, name):
                return None
            sets: dict[str, Any] = {key: file.get(key) for key in file}
            if not all(_is_plain(each, h5py.Dataset) for each in sets.values()):
                return None
            if sum(each.nbytes for each in sets.values()) > len(content):
                return None
            return {key: each[()] for key, each in sets.items()}
    except (OSError, RuntimeError, KeyError, ValueError, TypeError):
        return None


def _is_plain(each: Any, kind: Any) -> bool:
    """Whether it is an array of numbers that lies in the file as it is."""
    if not isinstance(each, kind):
        return False
    array: Any = each
    return array.dtype.kind in KINDS and not (array.chunks or array.external or array.is_virtual)


def chunk_paths(folder: Path) -> dict[str, Path]:
    """Return the files of a folder's chunks by their names; the later one in the alphabet where there are two."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return {}
    whole = [path for path in paths if path.suffix == SUFFIX and not path.name.startswith(".")]
    return {path.name.partition(".")[0]: path for path in whole}


def remove_file(path: Path) -> None:
    """Remove a file; where that is not allowed it stays, and is not read."""
    with suppress(OSError):
        path.unlink()
