"""Where words go: one JSON document or plain text on standard output, everything else on standard error."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any

from neurofit.errors import ConfigurationError
from neurofit.files.json_text import to_json

UNITS = {"": 1, "B": 1, **{f"{p}B": 1000**i for i, p in enumerate("KMGT", 1)}} | {
    f"{p}IB": 1024**i for i, p in enumerate("KMGT", 1)
}


def size_in_bytes(text: str) -> int:
    """Return how many bytes a size such as '8GiB', '500 MB' or '1e9' means.

    Raises
    ------
    ConfigurationError
        If it is no positive size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d{1,2})?)\s*([a-zA-Z]*)\s*", text)
    if found is None or found[2].upper() not in UNITS or float(found[1]) <= 0:
        raise ConfigurationError("a size is a number and a unit", f"'{text}' is none", "write it as 8GiB or 500MB")
    return int(float(found[1]) * UNITS[found[2].upper()])


class Output:
    """A command's voice.

    Parameters
    ----------
    as_json : bool
        With True, `say` goes to standard error and `emit` prints the one document on standard output.
    """

    def __init__(self, as_json: bool = False) -> None:
        self.as_json = as_json

    def say(self, text: str = "") -> None:
        """Print a line of the human-readable result."""
        print(text, file=sys.stderr if self.as_json else sys.stdout, flush=True)

    def note(self, text: str) -> None:
        """Print a remark that is not part of the result."""
        print(text, file=sys.stderr, flush=True)

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
