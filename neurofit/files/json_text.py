"""Plain JSON from Python and NumPy values."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


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
