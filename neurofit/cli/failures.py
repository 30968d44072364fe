"""What ends a command early, in one sentence: broken promises, a machine that gives out, defects of neurofit."""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from pathlib import Path

import neurofit
from neurofit.errors import NeurofitError

OK, UNFIT, BAD_INPUT, DEFECT, INTERRUPTED, NOBODY_READS = 0, 1, 2, 70, 130, 141
"""Exit codes: 70 is sysexits.h's EX_SOFTWARE; 130 and 141 are what shells report of SIGINT and SIGPIPE."""

DEBUG_VARIABLE = "NEUROFIT_DEBUG"

_MACHINE = {
    errno.ENOSPC: "free some space, or name another folder: --out, --scratch, NEUROFIT_DATA",
    errno.EDQUOT: "free some of your quota, or name another folder: --out, --scratch, NEUROFIT_DATA",
    errno.EROFS: "name a folder that can be written: --out, --scratch, NEUROFIT_DATA",
    errno.EACCES: "see to its permissions, or name another one",
    errno.EPERM: "see to its permissions, or name another one",
    errno.EIO: "see to the disk",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "name what the links are to lead to",
    errno.EMFILE: "raise the limit of open files (ulimit -n)",
    errno.ENOMEM: "ask for less: a smaller --batch, --memory, fewer --workers",
}
"""What to do about errors of the operating system that no part of neurofit can foresee."""


_NO_ROOM_IN_WORDS = ("DefaultCPUAllocator", "can't start new thread")
"""What torch says on a CPU, and Python of a thread whose stack does not fit (or is one too many)."""
_NO_ROOM_FOR_A_LIBRARY = ("failed to map segment from shared object", "Cannot allocate memory")
"""What the C library's loader says where memory is limited (ulimit -v, a scheduler's limit)."""


def wants_traceback(arguments: list[str]) -> bool:
    """Tell whether tracebacks are asked for, by --debug or by NEUROFIT_DEBUG."""
    return "--debug" in arguments or os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0")


def in_words(error: Exception) -> tuple[str, int]:
    """Return the sentence on an error, and the exit code of a command that it ends."""
    if isinstance(error, NeurofitError):
        return str(error), BAD_INPUT
    if _is_lack_of_memory(error):
        found = _one_line(error) or type(error).__name__
        return (
            f"the work fits into memory - {found} - ask for less: a smaller --batch or --memory, --features dual, "
            "fewer --workers; `neurofit doctor` says what this machine has"
        ), BAD_INPUT
    if isinstance(error, OSError) and error.errno in _MACHINE:
        where = f"{_shortened(' '.join(str(error.filename).split()))}: " if error.filename else ""
        return (
            f"the operating system does what it is asked - {where}{error.strerror} - {_MACHINE[error.errno]}"
        ), BAD_INPUT
    return (
        f"this is a defect of neurofit, not of what you typed - {type(error).__name__}: {_one_line(error)}"
        f"{_place(error)} - run the command again with --debug, and report the traceback with what "
        "`neurofit doctor --json` prints to whom you have neurofit from"
    ), DEFECT


def report(error: Exception, debug: bool) -> int:
    """Print what is to be said of an error; return the exit code."""
    from neurofit.cli.output import paint

    text, code = in_words(error)
    if debug:
        traceback.print_exception(error)
    print(f"{paint('neurofit:', 'error', sys.stderr)} {text}", file=sys.stderr)
    return code


def write_any_name() -> None:
    """Let the output be of any names, also of files whose names are not UTF-8: what cannot be written is escaped."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence_streams() -> None:
    """Let nothing more be written to a pipe that nobody reads, also not when Python ends and flushes."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _is_lack_of_memory(error: Exception) -> bool:
    """Tell what NumPy, torch on an accelerator, torch on a CPU and a library that is loaded raise."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_ROOM_IN_WORDS))
        or (isinstance(error, ImportError) and any(words in str(error) for words in _NO_ROOM_FOR_A_LIBRARY))
    )


def _one_line(error: Exception) -> str:
    return _shortened(" ".join(str(error).split()))


def _shortened(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]} ..."


def _place(error: Exception) -> str:
    """Return the last line of neurofit's own code that took part."""
    package = Path(neurofit.__file__).parent
    own = [f for f in traceback.extract_tb(error.__traceback__) if package in Path(f.filename).parents]
    return f" ({Path(own[-1].filename).relative_to(package).as_posix()}, line {own[-1].lineno})" if own else ""
