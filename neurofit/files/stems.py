"""Names of files, from names of things."""

from __future__ import annotations


def slug(*texts: str) -> str:
    """Return a file's stem from some names: letters, digits, '-', '_' and '.' alone."""
    return "-".join("".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip("-") for text in texts)
