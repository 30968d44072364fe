"""Sizes in bytes, read and written as people do."""

from __future__ import annotations

import re
from typing import Any

from neurofit.errors import ConfigurationError

UNITS = {"": 1, "B": 1, **{f"{p}B": 1000**i for i, p in enumerate("KMGT", 1)}} | {
    f"{p}IB": 1024**i for i, p in enumerate("KMGT", 1)
}

_LARGEST = 2**63  # bytes, as operating systems count them
_READABLE = ("B", "kB", "MB", "GB", "TB")


def size_in_bytes(text: str) -> int:
    """Return how many bytes a size such as '8GiB', '500 MB' or '1e9' means.

    Raises
    ------
    ConfigurationError
        If it is no positive size.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?(?:e\d{1,2})?)\s*([a-zA-Z]*)\s*", text)
    unit = None if found is None else UNITS.get(found[2].upper())
    if found is None or unit is None or not 0 < float(found[1]) * unit < _LARGEST:
        raise ConfigurationError("a size is a number and a unit", f"'{text}' is none", "write it as 8GiB or 500MB")
    return int(float(found[1]) * unit)


def readable_size(size: int | None) -> str:
    """Write a number of bytes in the largest unit that it fills; 1 kB is 1000 bytes."""
    if size is None:
        return "size unknown"
    value: Any = size
    for unit in _READABLE:
        if value < 1000 or unit == _READABLE[-1]:
            break
        value /= 1000
    return f"{value:.4g} {unit}"
