"""The lock of a store's entry, in a file that may be removed with it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from neurofit.files.atomic import reporting_output_errors, try_to_lock

LOCK = "lock"
_SECONDS_BETWEEN_ATTEMPTS = 0.1


@contextmanager
def entry_lock(folder: Path, waiting: Callable[[], object]) -> Iterator[None]:
    """Hold an entry's lock for the block; make its folder where there is none.

    The operating system gives the lock back when its holder dies, so that there are no stale ones.

    Parameters
    ----------
    folder : Path
        Of the entry.
    waiting : callable
        Called once if another process or thread holds the lock.

    Raises
    ------
    OutputError
        If the folder cannot be written, or its file system has no locks.
    """
    with reporting_output_errors(folder):
        handle = _locked(folder / LOCK, waiting)
    with handle:
        yield


def is_locked(folder: Path) -> bool:
    """Whether somebody holds an entry's lock."""
    try:
        with (folder / LOCK).open("rb") as handle:
            return not try_to_lock(handle)
    except OSError:
        return False


def _locked(path: Path, waiting: Callable[[], object]) -> IO[bytes]:
    said = False
    while True:
        handle = _opened(path)
        try:
            while not try_to_lock(handle):
                if not said:
                    waiting()
                    said = True
                time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
            if _is_still(handle, path):
                return handle
        except BaseException:
            handle.close()
            raise
        handle.close()


def _opened(path: Path) -> IO[bytes]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return path.open("a+b")
        except FileNotFoundError:  # the folder was removed in between
            continue


def _is_still(handle: IO[bytes], path: Path) -> bool:
    """Whether the file that was locked is the one of that name: its entry may have been removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(handle.fileno()), path.stat())
    except FileNotFoundError:
        return False
