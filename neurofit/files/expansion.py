"""How large contents may be beside the file that declares them."""

from __future__ import annotations

from pathlib import Path

from neurofit.errors import DataFileError
from neurofit.files.hdf5_walk import FREE_BYTES, LABEL_BYTES, MAX_EXPANSION

__all__ = ["FREE_BYTES", "LABEL_BYTES", "MAX_EXPANSION", "check_expansion"]


def check_expansion(path: Path, declared: int) -> None:
    """Refuse contents far larger than their file, before any memory is taken.

    Parameters
    ----------
    path : Path
    declared : int
        Bytes that the contents say they need.

    Raises
    ------
    DataFileError
        If that is more than `MAX_EXPANSION` times the size of the file and more than `FREE_BYTES`.
    """
    size = path.stat().st_size
    if declared > max(MAX_EXPANSION * size, FREE_BYTES):
        raise DataFileError(
            f"contents are at most {MAX_EXPANSION} times as large as their file",
            f"{path} has {size} bytes and declares {declared}",
            "if this is no decompression bomb, write it again with less compression",
        )
