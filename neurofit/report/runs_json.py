"""JSON from anywhere, read strictly: what is wrong with a file is said in a few words."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

MAX_BYTES = 64 * 2**20
"""A record of 5,000 neuroids in 100 bins has some 15 MB."""
MAX_DEPTH = 20
MAX_TEXT = 20_000
_MEMO_LENGTH = 8


class NotReadError(ValueError):
    """Why a file is not read, in a few words."""


def read_json(path: Path, floats: Floats) -> tuple[dict[str, Any], str]:
    """Return the object in a JSON file, and the SHA-256 of the file.

    Parameters
    ----------
    path : Path
    floats : Floats
        One for all files that are read together.

    Raises
    ------
    NotReadError
        If the file is no regular file, cannot be read, is too large, or is not JSON to the letter: UTF-8, no name twice
        in an object, no NaN, no number or text out of bounds, no more than `MAX_DEPTH` levels.
    """
    content = _bytes_of(path)
    try:
        document = json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=floats.__getitem__,
            parse_int=_integer,
        )
    except RecursionError:
        raise NotReadError("it is nested too deeply") from None
    except NotReadError:
        raise
    except UnicodeDecodeError:
        raise NotReadError("it is not UTF-8") from None
    except ValueError as error:
        raise NotReadError(f"it is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise NotReadError("it is no JSON object")
    return document, hashlib.sha256(content).hexdigest()


def check_tree(value: Any) -> None:
    """Raise `NotReadError` where values are nested deeper than `MAX_DEPTH`, or a text is too long or not Unicode."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for item in level:
            if isinstance(item, Mapping):
                deeper += [*item.keys(), *item.values()]
            elif isinstance(item, list):
                deeper += item
            elif isinstance(item, str):
                check_text(item)
        if not deeper:
            return
        level = deeper
    raise NotReadError("it is nested too deeply")


def check_text(text: str) -> None:
    """Raise `NotReadError` if a text is too long, or has half of a character of UTF-16."""
    if len(text) > MAX_TEXT:
        raise NotReadError(f"it holds a text of {len(text):,} characters")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise NotReadError("it holds a text that is not Unicode") from None


def _bytes_of(path: Path) -> bytes:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would never end
            raise NotReadError("it is no regular file")
        if found.st_size > MAX_BYTES:
            raise NotReadError(f"it is larger than any record: {found.st_size / 2**20:,.0f} MiB")
        with path.open("rb") as handle:
            content = handle.read(MAX_BYTES + 1)
    except OSError as error:
        raise NotReadError(f"it cannot be read ({error.strerror or error})") from None
    if len(content) > MAX_BYTES:
        raise NotReadError(f"it is larger than {MAX_BYTES / 2**20:.0f} MiB")
    return content


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotReadError(f"it names {ascii(twice)[:80]} twice")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise NotReadError(f"it holds {text}, which JSON does not have")


def _integer(text: str) -> int:
    if len(text) > 18:
        raise NotReadError(f"it holds an integer of {len(text):,} digits")
    return int(text)


class Floats(dict[str, float]):
    """Numbers by their text: those of a table have four digits, so that most of them are one object many times.

    2,000 records of 168 neuroids in 26 bins would otherwise hold 600 MB of numbers.
    """

    def __missing__(self, text: str) -> float:
        value = float(text)
        if value - value != 0:
            raise NotReadError(f"it holds a number out of bounds ({text[:20]})")
        if len(text) <= _MEMO_LENGTH:
            self[text] = value
        return value
