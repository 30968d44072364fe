"""Write files whole or not at all, and one process at a time."""

from __future__ import annotations

import errno
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from neurofit.errors import OutputError

_TEMPORARY_SUFFIX = ".tmp"

_SECONDS_BETWEEN_ATTEMPTS = 0.05

_NOT_FOR_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)
"""What file systems say that do not bring folders to the disk on request."""


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
    before; what a kill leaves beside it is removed when the same target is written again. Its folder must exist.
    """
    with _marked_as_written(target.parent, lambda: remove_leftovers(target)):
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(8)}{_TEMPORARY_SUFFIX}")
        try:
            yield temporary
            replace_durably(temporary, target)
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


def replace_durably(source: Path, target: Path) -> None:
    """Let one file replace another of the same folder, so that no power failure leaves a part of it there.

    The content is on the disk before the name is, and the name when this returns: a file that was written later is
    not found without this one.
    """
    with source.open("rb+") as handle:
        os.fsync(handle.fileno())
    source.replace(target)
    try:
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in _NOT_FOR_FOLDERS:
            raise


def remove_leftovers(target: Path) -> None:
    """Remove what killed `atomic_write` calls left beside `target`; nobody else may be writing it."""
    for path in target.parent.iterdir():
        if path.name.startswith(f".{target.name}.") and path.name.endswith(_TEMPORARY_SUFFIX):
            path.unlink(missing_ok=True)


@contextmanager
def _marked_as_written(folder: Path, tidy: Callable[[], object]) -> Iterator[None]:
    """Mark a folder as one that is being written to; tidy it up first where nobody else is writing to it.

    The mark is a shared lock of the folder itself, which leaves no file, and which the operating system takes away
    from who dies. Where folders cannot be locked (Windows, some network file systems) nothing is tidied up.
    """
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows, or a folder that can be written and not read
        yield
        return
    try:
        with suppress(OSError):
            _share(handle, tidy)
        yield
    finally:
        os.close(handle)


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

    def _share(folder: int, tidy: Callable[[], object]) -> None:
        """Do nothing: folders have no locks here."""

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

    def _share(folder: int, tidy: Callable[[], object]) -> None:
        """Share the lock of an open folder; do something first if nobody else has it."""
        with suppress(BlockingIOError):
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(OSError):  # leftovers of another user
                tidy()
        fcntl.flock(folder, fcntl.LOCK_SH)  # waits for nobody but one who tidies up

    def try_to_lock(handle: IO[bytes]) -> bool:
        """Take a file's lock, for as long as it is open; return False if another process or thread holds it."""
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
