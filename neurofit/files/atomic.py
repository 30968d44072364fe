"""Write files whole or not at all, and one process at a time."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from neurofit.errors import OutputError

_TEMPORARY_SUFFIX = ".tmp"

_SECONDS_BETWEEN_ATTEMPTS = 0.05


@contextmanager
def reporting_output_errors(target: Path) -> Iterator[None]:
    """Turn an OSError inside the block (no permission, disk full, not a folder) into an `OutputError` on `target`."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            "files can be written where they were asked to go",
            f"{target}: {error.strerror or error}",
            "give another folder or make this one writable (and see that the disk is not full)",
        ) from error


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield the path of a temporary file beside `target` that replaces it when the block ends without an error.

    For writers that open files themselves; others use `atomic_write`. After an error or a kill, `target` is as it was
    before. Its folder must exist.
    """
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}")
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_write(target: Path) -> Iterator[IO[bytes]]:
    """Open a temporary file in the folder of `target` that replaces it when the block ends without an error.

    Parameters
    ----------
    target : Path
        The file to write; its folder must exist.

    Yields
    ------
    binary file
        To be written to; it is on the disk before it replaces `target`.
    """
    with atomic_path(target) as temporary, temporary.open("xb") as handle:
        yield handle
        handle.flush()
        os.fsync(handle.fileno())


def remove_leftovers(target: Path) -> None:
    """Remove what killed `atomic_write` calls left beside `target`; nobody else may be writing it."""
    for path in target.parent.iterdir():
        if path.name.startswith(f".{target.name}.") and path.name.endswith(_TEMPORARY_SUFFIX):
            path.unlink()


@contextmanager
def exclusive_lock(path: Path) -> Iterator[None]:
    """Hold a file's lock for the block, waiting for any other process or thread that holds it.

    The operating system gives the lock back when its holder dies, so that a killed process blocks nobody. The empty
    file stays: removing it would let two processes hold different files of the same name.
    """
    with path.open("a+b") as handle:
        while not try_to_lock(handle):
            time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
        yield  # closing the file releases the lock


if sys.platform == "win32":
    import msvcrt

    def try_to_lock(handle: IO[bytes]) -> bool:
        """Take a file's lock, for as long as it is open; return False if another process or thread holds it."""
        handle.seek(0)
        try:
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True

else:
    import fcntl

    def try_to_lock(handle: IO[bytes]) -> bool:
        """Take a file's lock, for as long as it is open; return False if another process or thread holds it."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
