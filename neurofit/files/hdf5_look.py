"""Look at HDF5 files in another process before this one opens them.

The HDF5 library ends its process on some damaged files (seen in HDF5 2.0.0: about one in a hundred of those whose
structure was changed) and runs for ever on others. So a child walks a file first (`hdf5_walk`), under limits; if the
file ends it, that is one sentence here.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO, Any, cast

from neurofit.errors import DataFileError
from neurofit.files import hdf5_walk

_SCRIPT = Path(hdf5_walk.__file__)
_SURROUNDINGS = {"HDF5_USE_FILE_LOCKING": "FALSE", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
WAITING_S = 60  # by the clock, beyond what the child's limit of computing time allows: disks may be slow


class _Walker:
    """The child, started when the first file is looked at and ended with this process; looks at one file at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._known: dict[tuple[Any, ...], list[str] | None] = {}
        self._forked_away: list[Any] = []

    def look(self, path: Path, whole: bool) -> list[str] | None:
        """Return promise, found and remedy of what is wrong with a file, None if nothing is."""
        path = path.absolute()
        found = path.stat()
        key = (path, whole, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        with self._lock:
            if key not in self._known:
                self._known[key] = self._ask(path, whole, found.st_size)
            return self._known[key]

    def _ask(self, path: Path, whole: bool, size: int) -> list[str] | None:
        process = self._started()
        waiting = WAITING_S + min(size // hdf5_walk.BYTES_PER_SECOND, hdf5_walk.SECONDS_MOST)
        clock = threading.Timer(waiting, process.kill)
        clock.start()
        try:
            questions, answers = _pipes(process)
            try:
                questions.write(json.dumps({"path": os.fspath(path), "whole": whole}) + "\n")
                questions.flush()
                line = answers.readline()
            except BrokenPipeError:
                line = ""
        finally:
            clock.cancel()
        if line:
            refused: list[str] | None = json.loads(line)["refused"]
            return refused
        code = self._end()
        return [
            "the HDF5 library can walk through a file",
            f"this one ends it ({_in_words(code)})",
            "fetch or write the file anew; it is damaged, or made to do harm",
        ]

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self._end()
            self._process = subprocess.Popen(
                [sys.executable, "-P", str(_SCRIPT)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="ascii",
                env=os.environ | _SURROUNDINGS,
            )
        return self._process

    def _end(self) -> int | None:
        """End the child, if there is one; return how it ended."""
        process, self._process = self._process, None
        if process is None:
            return None
        for pipe in _pipes(process):
            try:
                pipe.close()
            except BrokenPipeError:
                continue  # what was not yet sent to a child that is gone
        try:
            return process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def after_fork(self) -> None:
        """In a forked process: the child is the parent's, as is what it was just being asked."""
        self._lock = threading.Lock()
        self._forked_away.append(self._process)
        self._process = None


def _pipes(process: subprocess.Popen[str]) -> tuple[IO[str], IO[str]]:
    """Return where the child is asked and where it answers; it was started with both."""
    return cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)


def _in_words(code: int | None) -> str:
    import signal

    if code is None or code >= 0:
        return f"exit status {code}"
    if -code in (getattr(signal, "SIGXCPU", 0), getattr(signal, "SIGKILL", 0)):
        return "it does not come to an end"
    return signal.Signals(-code).name


_walker = _Walker()
atexit.register(_walker.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_walker.after_fork)


def look_at_hdf5(path: Path, *, whole: bool) -> None:
    """Refuse an HDF5 file that this process had better not open; files that were looked at before are known.

    Parameters
    ----------
    path : Path
    whole : bool
        Whether all of its data sets will be read, and not one here and there.

    Raises
    ------
    DataFileError
        If it leads out of itself (external links and storage, virtual data sets), declares far more than it holds, is
        nested absurdly, has damaged heaps, or ends the HDF5 library.
    OSError
        If it is not there.
    """
    refused = _walker.look(path, whole)
    if refused is not None:
        promise, found, remedy = refused
        raise DataFileError(promise, f"{path}: {found}", remedy)
