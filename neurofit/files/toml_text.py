"""Write plain tables as TOML, which Python's library reads and does not write.

One table a section, lists of tables as ``[[...]]``; whatever else holds a table has it inline.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(table: Mapping[str, Any], inline: tuple[str, ...] = ()) -> str:
    """Return the TOML text of a table.

    Parameters
    ----------
    table : mapping
        Keys to text, numbers, booleans, lists or tuples, and mappings of such; there is no null.
    inline : tuple of str
        Keys whose tables are written on one line, wherever they are.

    Raises
    ------
    TypeError
        If a value is of another type.
    """
    lines: list[str] = []
    _section(table, "", inline, lines)
    return "\n".join(lines) + "\n"


def _section(table: Mapping[str, Any], name: str, inline: tuple[str, ...], lines: list[str]) -> None:
    """Write a table's own values, then its sections."""
    sections = {key: value for key, value in table.items() if key not in inline and _is_section(value)}
    lines.extend(f"{_key(key)} = {_value(value)}" for key, value in table.items() if key not in sections)
    for key, value in sections.items():
        path = f"{name}.{_key(key)}" if name else _key(key)
        single = isinstance(value, Mapping)
        for item in [value] if single else value:
            lines += [*([""] if lines else []), f"[{path}]" if single else f"[[{path}]]"]
            _section(item, path, inline, lines)


def _is_section(value: Any) -> bool:
    if isinstance(value, Mapping):
        return True
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + "}"
    raise TypeError(f"TOML has no {type(value).__name__}")


def _text(text: str) -> str:
    # JSON escapes as TOML does, but leaves the one control character above the others as it is
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else _text(key)
