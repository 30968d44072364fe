"""Plain JSON from Python and NumPy values, and back from files that may hold anything."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from neurofit.files.bounded import MIB, read_bounded

MAX_JSON_BYTES = 64 * MIB
"""Of a JSON file; a record of 5,000 neuroids in 100 bins has some 15 MB."""
_MOST_DIGITS = 40  # of a whole number; 128 bits have 39
_LARGEST = 10**18  # of the numbers of a shape, which are to be counted with


def read_json(path: Path | str, most_bytes: int = MAX_JSON_BYTES) -> Any:
    """Return what a JSON file holds, read strictly: UTF-8, no name twice in an object, finite numbers.

    Parameters
    ----------
    path : Path or str
    most_bytes : int
        A larger file is not read.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        Saying why it is not taken: no regular file, too large, not JSON to the letter, nested beyond Python's depth.
    """
    content = read_bounded(path, most_bytes)
    try:
        return json.loads(
            content.decode(),
            object_pairs_hook=_object,
            parse_constant=_refuse_constant,
            parse_float=_finite,
            parse_int=_integer,
        )
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 ({error.reason} at byte {error.start})") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def misfit(value: Any, shape: Any, where: str = "") -> str:
    """Say where a JSON value is not of a shape; '' if it is.

    Parameters
    ----------
    value : any
    shape : type, tuple of types, dict or list
        Of a dict, the shapes of values by name, of which any may be absent or null, and any other may be there; under
        `...` that of all others. Of a list, one shape of all items. True is no number; numbers have 18 digits at most
        before the point.
    where : str
        What the value is called.
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"{where or 'it'} is no table"
        stem = f"{where}." if where else ""
        for name, item in value.items():
            inner = shape.get(name, shape.get(...))
            if inner is not None and item is not None and (found := misfit(item, inner, f"{stem}{name}")):
                return found
        return ""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"{where or 'it'} is no list"
        return next(filter(None, (misfit(item, shape[0], f"{where} #{n}") for n, item in enumerate(value, 1))), "")
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool)):
        too_large = isinstance(value, int | float) and abs(value) > _LARGEST
        return f"{where or 'it'} is out of bounds ({str(value)[:20]})" if too_large else ""
    return f"{where or 'it'} is no {_KINDS.get(kinds[0], kinds[0].__name__)}"


NUMBER = (float, int)
_KINDS: dict[type, str] = {
    str: "text", float: "number", int: "whole number", bool: "true or false", dict: "table", list: "list",
}  # fmt: skip


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"it names {ascii(twice)[:80]} twice")
    return found


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"it holds {text}, which JSON does not have")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds a number out of bounds ({text[:20]})")
    return value


def _integer(text: str) -> int:
    if len(text) > _MOST_DIGITS:
        raise ValueError(f"it holds a whole number of {len(text):,} digits")
    return int(text)


def plain_values(value: Any) -> Any:
    """Return a value in JSON's own types: NaN and infinities as None, NumPy values as Python's, paths as strings."""
    if isinstance(value, Mapping):
        return {str(key): plain_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_values(item) for item in value]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, without importing NumPy
        return plain_values(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    return str(value)


def to_json(document: Any) -> str:
    """Return the indented JSON text of a document, ending in a line break; a list of numbers or words has one line."""
    return _indented(plain_values(document), "") + "\n"


def _indented(value: Any, margin: str) -> str:
    """Return the text of a plain value; json's own indentation gives every number of a table a line."""
    deeper = margin + "  "
    if isinstance(value, dict) and value:
        lines = [f"{deeper}{json.dumps(key)}: {_indented(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
    if isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        return "[\n" + ",\n".join(deeper + _indented(item, deeper) for item in value) + f"\n{margin}]"
    return json.dumps(value, allow_nan=False)
