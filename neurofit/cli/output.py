"""Where words go: one JSON document or plain text on standard output, everything else on standard error.

Colour is a second mark, never the only one: it is left out where a stream is no terminal, and where NO_COLOR says so.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any, Literal, TextIO

from neurofit.files.json_text import to_json
from neurofit.files.sizes import readable_size as readable_size
from neurofit.files.sizes import size_in_bytes as size_in_bytes

QUIET_VARIABLE = "NEUROFIT_QUIET"

_CODES = {"error": "1;31", "warning": "1;33", "good": "32", "heading": "1", "dim": "2"}
Style = Literal["error", "warning", "good", "heading", "dim"]

_MARKED = re.compile("SIMULATED")


def is_quiet() -> bool:
    """Tell whether only results, warnings and errors are wanted (--quiet, NEUROFIT_QUIET)."""
    return os.environ.get(QUIET_VARIABLE, "0") not in ("", "0")


def is_coloured(stream: TextIO) -> bool:
    """Tell whether a stream may have colour: a terminal that knows it, unless NO_COLOR or FORCE_COLOR is set.

    See https://no-color.org and https://force-color.org; NO_COLOR wins.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if sys.platform == "win32" and "WT_SESSION" not in os.environ:
        return False  # older consoles print the codes
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def paint(text: str, style: Style, stream: TextIO) -> str:
    """Return a text in colour, where its stream may have colour."""
    return f"\033[{_CODES[style]}m{text}\033[0m" if text and is_coloured(stream) else text


class Output:
    """A command's voice.

    Parameters
    ----------
    as_json : bool
        With True, `say` goes to standard error and `emit` prints the one document on standard output.
    quiet : bool, optional
        Leave out remarks, bars and, beside a JSON document, its words; by default as `is_quiet` says.
    """

    def __init__(self, as_json: bool = False, quiet: bool | None = None) -> None:
        self.as_json = as_json
        self.quiet = is_quiet() if quiet is None else quiet

    @property
    def progress(self) -> bool:
        """Whether bars are drawn: on a terminal; in a log they would be a line for every step."""
        return not self.quiet and sys.stderr.isatty()

    def say(self, text: str = "") -> None:
        """Print a line of the human-readable result; data that are SIMULATED stand out."""
        if self.as_json and self.quiet:
            return
        stream = sys.stderr if self.as_json else sys.stdout
        if is_coloured(stream):
            text = _MARKED.sub(lambda found: paint(found[0], "warning", stream), text)
        print(text, file=stream, flush=True)

    def note(self, text: str) -> None:
        """Print a remark that is not part of the result."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)

    def warn(self, text: str) -> None:
        """Print what nobody should miss, however quiet a command was asked to be."""
        print(f"{paint('warning:', 'warning', sys.stderr)} {text}", file=sys.stderr, flush=True)

    @contextmanager
    def of_others(self) -> Iterator[None]:
        """Run code that is not ours: what it prints does not get between the one document and standard output."""
        if not self.as_json:
            yield
            return
        with redirect_stdout(sys.stderr):
            yield

    def emit(self, document: Mapping[str, Any] | list[Any]) -> None:
        """Print the JSON document, if that is what was asked for."""
        if self.as_json:
            print(to_json(document), end="", flush=True)
