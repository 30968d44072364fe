"""Commands in processes of their own: started, disturbed, waited for, and nothing of them left behind."""

from __future__ import annotations

import atexit
import ctypes
import importlib
import importlib.util
import os
import pkgutil
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

INJECTED = Path(__file__).parent / "injected"
LIMIT_S = 300
"""After which a command hangs."""
LOADED = ("torch._dynamo", "matplotlib.backends.backend_agg", "scipy.stats", "sklearn.linear_model", "h5netcdf")
"""What commands import of others while they run."""


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Parameters
    ----------
    code : int
        Exit code; minus the signal that ended it.
    seconds : float
    out, err : str
        What it printed.
    left : tuple of int
        Processes that it left behind, which were ended then.
    """

    code: int
    seconds: float
    out: str
    err: str
    left: tuple[int, ...] = ()

    @property
    def last(self) -> str:
        """The last line of what it said of errors."""
        return (self.err.strip().splitlines() or [""])[-1]

    @property
    def traceback(self) -> bool:
        """Whether it ended by a traceback, or by the sentence on defects."""
        return "Traceback (most recent call last)" in self.err or self.code == 70


class Running:
    """A command that runs, in a session of its own.

    Parameters
    ----------
    words : sequence of str
        Behind `neurofit`.
    folder : Path
        The current folder.
    place : Path
        Gets temporary files and notes.
    more : mapping, optional
        Of the environment.
    memory_bytes : int, optional
        Largest address space.
    warm : bool
        Fork this process, which has loaded all modules, instead of beginning a fresh one: what is disturbed is then
        the work alone, and a trial takes a tenth of the time.
    """

    def __init__(
        self,
        words: Sequence[str],
        folder: Path,
        place: Path,
        more: Mapping[str, str] | None = None,
        memory_bytes: int | None = None,
        warm: bool = False,
    ) -> None:
        (place / "tmp").mkdir(parents=True, exist_ok=True)
        self.files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115 - closed with the process

        def before() -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
            if memory_bytes is not None:
                resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))

        self.began = time.monotonic()
        around = environment(place) | dict(more or {})
        self.process: subprocess.Popen[bytes] | Forked
        if warm:
            self.process = Forked(words, folder, around, *(file.fileno() for file in self.files))
            return
        self.process = subprocess.Popen(
            [sys.executable, "-m", "neurofit", *words],
            cwd=folder,
            env=around,
            stdin=subprocess.DEVNULL,
            stdout=self.files[0],
            stderr=self.files[1],
            start_new_session=True,
            preexec_fn=before,  # noqa: PLW1509 - no threads hold a lock that it needs
        )

    def sleep(self, seconds: float) -> bool:
        """Wait until so many seconds after the start; return whether it still runs."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.0, self.began + seconds - time.monotonic()))
        return self.process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the process that was started, and to no other."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def children(self) -> list[int]:
        """Return the other processes of its session."""
        return [pid for pid in of_session(self.process.pid) if pid != self.process.pid]

    def ended(self, limit_s: float = LIMIT_S) -> Ended:
        """Wait for the end; a command that hangs is ended, with code 124."""
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            code = 124
        seconds = time.monotonic() - self.began
        for _ in range(50):  # what it started has a moment to notice
            if not of_session(self.process.pid):
                break
            time.sleep(0.1)
        left = tuple(of_session(self.process.pid))
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        texts = []
        for file in self.files:
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
            file.close()
        return Ended(code, seconds, texts[0], texts[1], left if code != 124 else ())


class Forked:
    """A copy of this process that runs a command, with what is used here of `subprocess.Popen`."""

    def __init__(self, words: Sequence[str], folder: Path, around: Mapping[str, str], out: int, err: int) -> None:
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid == 0:
            os.setsid()
            for ours, theirs in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
                os.dup2(ours, theirs)
            os.chdir(folder)
            _run_here(words, around)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end."""
        until = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            if until is not None and time.monotonic() >= until:
                raise subprocess.TimeoutExpired("neurofit", timeout or 0.0)
            time.sleep(0.002)
        return self.returncode or 0

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)


def _run_here(words: Sequence[str], around: Mapping[str, str]) -> NoReturn:
    """Be the command, to the end of the process."""
    code = 70
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.environ.clear()
        os.environ.update(around)
        tempfile.tempdir = None
        sys.argv = ["neurofit", *words]
        if "LD_PRELOAD" in around:
            ctypes.CDLL(None).faulty_begin()
        spec = importlib.util.spec_from_file_location("notes_of_faults", INJECTED / "sitecustomize.py")
        spec.loader.exec_module(importlib.util.module_from_spec(spec))  # type: ignore[union-attr, arg-type]
        from neurofit.cli.main import main

        main()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with suppress(Exception):
            atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        if "FAULT_COUNT" in around:
            ctypes.CDLL(None).faulty_end()
        os._exit(code)


def load_all() -> None:
    """Import what commands import while they run, so that forked ones need not."""
    for name in LOADED:
        importlib.import_module(name)
    import neurofit

    for module in pkgutil.walk_packages(neurofit.__path__, "neurofit."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):  # of an extra that is not installed
                importlib.import_module(module.name)


def environment(place: Path) -> dict[str, str]:
    """Return the environment of a disturbed command: one thread, temporary files of its own, what it does noted."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("NEUROFIT_", "FAULT", "CLOCK_", "LD_PRELOAD"))}
    return kept | {
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(place / "tmp"),
        "FAULTS_LOG": str(place / "done.log"),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(INJECTED), os.environ.get("PYTHONPATH")])),
        "NO_PROXY": "127.0.0.1",
    }


def of_session(session: int) -> list[int]:
    """Return the live processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, IndexError, ValueError):
            state, _, _, its, *_ = path.read_text().rpartition(")")[2].split()
            if int(its) == session and state != "Z":
                found.append(int(path.parent.name))
    return found


def command_line(pid: int) -> str:
    """Return the words of a process; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return ""


class NeedsAdministratorError(RuntimeError):
    """A file system can only be mounted by the administrator."""


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path]:
    """Mount a file system of so many bytes for the block."""
    place.mkdir(parents=True, exist_ok=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def change_disk(place: Path, options: str) -> None:
    """Mount a small disk again with other options: another size, 'ro', 'rw'."""
    _mount("-o", f"remount,{options}", str(place))


def _mount(*words: str) -> None:
    made = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if made.returncode:
        raise NeedsAdministratorError(made.stderr.strip())
