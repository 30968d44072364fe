"""The child of the fuzzing driver: reads one case after the other under limits, and tells what came of each.

Started by `driver.Child`; speaks lines of JSON over the two descriptors that it is given. What it watches for is told
in `docs/hostile-input.md`.
"""

# the hook runs inside of every call that opens a file, and pathlib would open more
# ruff: noqa: PTH110, PTH113, PTH115, PTH117, PTH118, PTH123
from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import io
import json
import os
import resource
import sys
import traceback
import types
import warnings
from pathlib import Path

FUZZ = Path(__file__).resolve().parent
REPOSITORY = FUZZ.parent.parent
PACKAGE = str(REPOSITORY / "neurofit") + os.sep
ADDRESS_SPACE_BYTES = 3 * 2**30  # beyond what the process has after reading valid files
FILE_BYTES = 256 * 2**20  # of any file that is written
STACK_LINES = 40  # of a traceback that are kept

# Where Python code and its tables lie; everything else that is opened has to be the case's own.
_READABLE = tuple(
    os.path.realpath(folder) + os.sep
    for folder in {
        sys.prefix,
        sys.base_prefix,
        str(REPOSITORY),
        "/proc",
        "/sys",
        "/usr/lib",
        "/usr/share",
        "/usr/local",
    }
)
_READABLE_FILES = ("/dev/null", "/dev/urandom", "/etc/localtime", "/etc/mime.types", "/etc/httpd/conf/mime.types")
_CODE_MAKERS = (
    "dataclasses.py",
    "collections/__init__.py",
    "typing.py",
    "enum.py",
    "functools.py",
    "_make.py",
    "inspect.py",
)
_FORBIDDEN = (
    "os.system", "os.exec", "os.posix_spawn", "os.startfile", "pty.spawn", "socket.connect", "socket.bind",
    "socket.getaddrinfo", "socket.sendto", "pickle.find_class", "marshal.loads", "webbrowser.open", "ftplib.connect",
    "urllib.Request", "ctypes.dlopen",
)  # fmt: skip
_CHANGING = (
    "os.remove",
    "os.rename",
    "os.mkdir",
    "os.rmdir",
    "os.chmod",
    "os.chown",
    "os.link",
    "os.symlink",
    "os.truncate",
    "shutil.rmtree",
    "os.utime",
)
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Watch:
    """An audit hook that notes what a reader has no business to do."""

    def __init__(self) -> None:
        self.folders: tuple[str, ...] | None = None  # of the case, while it is read
        self.deeds: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple) -> None:
        folders = self.folders
        if folders is None:
            return
        self.folders = None  # what the hook itself does is no deed
        try:
            if deed := self._deed(event, arguments, folders):
                self.deeds.append(f"{deed} [{_innermost(traceback.extract_stack())}]")
        finally:
            self.folders = folders

    def _deed(self, event: str, arguments: tuple, folders: tuple[str, ...]) -> str:
        if event == "open":
            return _opening(arguments, folders)
        if event == "exec":
            return _executing(arguments[0])
        if event in _CHANGING:
            places = [str(os.fsdecode(a)) for a in arguments if isinstance(a, str | bytes | os.PathLike)]
            places = [_below_descriptor(place, arguments[-1]) for place in places]
            outside = [p for p in places if not _inside(p, folders)]
            return f"{event} {outside}" if outside else ""
        if event == "subprocess.Popen":
            own = [str(one) for one in arguments[1]][1:3] if not isinstance(arguments[1], str) else []
            # the product looks at some files in a process of its own before it reads them
            is_own = os.path.realpath(str(arguments[0])) == os.path.realpath(sys.executable)
            return "" if is_own and any("neurofit" in one for one in own) else f"{event} {arguments[:2]}"
        if event == "ctypes.dlopen":
            return "" if arguments[0] is None or _importing() else f"{event} {arguments[0]}"
        if event == "marshal.loads":
            return "" if _importing() else event
        return f"{event} {arguments[:2]!r}"[:300] if event in _FORBIDDEN else ""


def _importing() -> bool:
    """Tell whether code is being imported: libraries load parts of themselves when they are first used."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _executing(code: object) -> str:
    if not isinstance(code, types.CodeType) or code.co_filename.startswith(("<frozen", PACKAGE)):
        return ""
    if code.co_filename.startswith(_READABLE) and os.path.exists(code.co_filename):
        return ""
    frame = sys._getframe(1)
    while frame is not None:  # libraries write small classes as code: not one that a file can reach
        if frame.f_code.co_filename.endswith(_CODE_MAKERS):
            return ""
        frame = frame.f_back
    return "" if _importing() else f"exec of {code.co_filename}"


def _below_descriptor(path: str, descriptor: object) -> str:
    """Return a path that is relative to an open folder, as `shutil.rmtree` gives it, as what it is."""
    if os.path.isabs(path) or not isinstance(descriptor, int) or descriptor < 0:
        return path
    try:
        return os.path.join(os.readlink(f"/proc/self/fd/{descriptor}"), path)
    except OSError:
        return path


def _inside(path: str, folders: tuple[str, ...]) -> bool:
    real = os.path.realpath(path)
    return any(real == folder or real.startswith(folder + os.sep) for folder in folders)


def _opening(arguments: tuple, folders: tuple[str, ...]) -> str:
    path, mode, flags = (*arguments, None, None)[:3]
    if isinstance(path, int) or path is None:
        return ""
    name = os.fsdecode(path)
    if _inside(name, folders):
        return ""
    real = os.path.realpath(name)
    if (isinstance(flags, int) and flags & _WRITING) or (isinstance(mode, str) and set(mode) & set("wax+")):
        return "" if real == "/dev/null" else f"opens {name} for writing"
    if real.startswith(_READABLE) or real in _READABLE_FILES or not os.path.isfile(real):
        return ""
    return f"opens {name} for reading"


def _innermost(stack: list[traceback.FrameSummary]) -> str:
    """Return the innermost line of the package on a stack, without line numbers that move with every edit."""
    ours = [frame for frame in stack if frame.filename.startswith(PACKAGE)]
    return f"{ours[-1].filename.removeprefix(PACKAGE)}:{ours[-1].name}" if ours else "outside of the package"


def _status(key: str) -> int:
    """Return a size of this process in bytes, by its name in /proc."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith(key):
                return int(line.split()[1]) * 1024
    return 0


def _forget_peak() -> None:
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w") as handle:
        handle.write("5")


class Lines:
    """Lines of the package that were run, for mutation guided by them."""

    def __init__(self) -> None:
        self.seen: set[tuple[str, int]] = set()
        self.new = 0

    def __enter__(self) -> None:
        self.new = 0
        sys.settrace(self._of_call)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _of_call(self, frame: types.FrameType, event: str, argument: object):
        return self._of_line if frame.f_code.co_filename.startswith(PACKAGE) else None

    def _of_line(self, frame: types.FrameType, event: str, argument: object):
        key = (frame.f_code.co_filename, frame.f_lineno)
        if key not in self.seen:
            self.seen.add(key)
            self.new += 1
        return self._of_line


def _fault_of_message(text: str) -> str:
    """Return what is wrong with an error's words; '' if they are one printable sentence."""
    if not text.strip() or text.count(" - ") < 2:
        return "says nothing in three parts"
    if not text.isprintable():
        return "is not one line of printable text"
    return "is longer than a screen" if len(text) > 3000 else ""


def _causes(error: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


class Reading:
    """The targets of a module, each warmed up before its first case."""

    def __init__(self, module: str) -> None:
        from neurofit.errors import NeurofitError

        self.expected = NeurofitError
        self.targets = importlib.import_module(module).TARGETS
        self.watch = Watch()
        self.lines = Lines()

    def warm(self, target: str, paths: list[str]) -> dict:
        """Read valid files, so that libraries are loaded; then set the limits."""
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        failed = []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for path in paths:
                try:
                    self.targets[target].read(Path(path))
                except self.expected:
                    pass  # a seed of what is to be refused
                except Exception:
                    failed.append(f"{path}: {traceback.format_exc(-3)}")
        gc.collect()
        most = _status("VmSize") + ADDRESS_SPACE_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
        return {"failed": failed}

    def case(self, target: str, path: str, folders: list[str], guided: bool) -> dict:
        one = self.targets[target]
        told: dict = {"outcome": "read"}
        self.watch.deeds = []
        _forget_peak()
        before = _status("VmRSS")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            self.watch.folders = tuple(os.path.realpath(folder) for folder in folders)
            try:
                with self.lines if guided else contextlib.nullcontext():
                    one.read(Path(path))
            except self.expected as error:
                self.watch.folders = None
                told = {"outcome": "refused", "text": str(error), "type": type(error).__name__}
                fault = _fault_of_message(str(error))
                if fault:
                    told |= _finding(f"message {fault}", error)
                elif any(isinstance(cause, MemoryError) for cause in _causes(error)):
                    told |= _finding("memory", error)
            except BaseException as error:
                self.watch.folders = None
                told = _finding(type(error).__name__, error)
            finally:
                self.watch.folders = None
        grown = _status("VmHWM") - before
        told |= {"grown": grown, "new_lines": self.lines.new if guided else 0}
        if told["outcome"] == "finding":
            return told
        if grown > one.bound_bytes:
            return told | {
                "outcome": "finding",
                "kind": "memory",
                "frame": told.get("text", "read")[:60],
                "trace": f"{grown} bytes",
            }
        if self.watch.deeds:
            return told | {
                "outcome": "finding",
                "kind": "deed",
                "frame": self.watch.deeds[0],
                "trace": "\n".join(self.watch.deeds),
            }
        if warned:
            text = f"{warned[0].category.__name__}: {warned[0].message}"
            where = f"{warned[0].filename}:{warned[0].lineno}"
            return told | {
                "outcome": "finding",
                "kind": "warning",
                "frame": f"{where} {warned[0].category.__name__}",
                "trace": text,
            }
        return told


def _finding(kind: str, error: BaseException) -> dict:
    stack = traceback.extract_tb(error.__traceback__)
    trace = "".join(traceback.format_exception(error)).splitlines()
    shown = [*trace[:STACK_LINES], "..."] if len(trace) > STACK_LINES else trace
    return {
        "outcome": "finding",
        "kind": kind,
        "frame": _innermost(stack),
        "trace": "\n".join([*shown, trace[-1][:2000]]),
    }


def main() -> None:
    module, asked, answered, crashes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    sys.path[:0] = [str(FUZZ), str(FUZZ.parent)]
    with open(crashes, "w") as log, os.fdopen(asked) as requests, os.fdopen(answered, "w") as answers:
        faulthandler.enable(log)
        reading = Reading(module)
        for line in requests:
            request = json.loads(line)
            deed = reading.warm if request.pop("do") == "warm" else reading.case
            with contextlib.redirect_stdout(io.StringIO()):
                told = deed(**request)
            print(json.dumps(told), file=answers, flush=True)


if __name__ == "__main__":
    main()
