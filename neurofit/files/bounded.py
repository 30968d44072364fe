"""Files that are read whole, up to a size that is said beforehand."""

from __future__ import annotations

import stat
from pathlib import Path

MIB = 2**20


def read_bounded(path: Path | str, most_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Parameters
    ----------
    path : Path or str
    most_bytes : int

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is a pipe or a device, which might never end, or larger than `most_bytes`.
    """
    path = Path(path)
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):  # of a folder, open says what it is
        raise ValueError("it is no regular file")
    size = found.st_size
    if size <= most_bytes:
        with path.open("rb") as handle:
            content = handle.read(most_bytes + 1)
        if len(content) <= most_bytes:
            return content
        size = len(content)
    raise ValueError(f"it has {size:,} bytes, and at most {most_bytes:,} are read")
