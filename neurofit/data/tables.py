"""Tables of text (CSV), looked at before pandas reads them."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

from neurofit.errors import AssemblyError

MAX_COLUMNS = 20_000  # of a raster: 20 s in bins of 1 ms


def check_lines(path: Path, what: str) -> None:
    """Refuse a table whose lines have other lengths than its header, or whose columns share a name.

    pandas makes levels of an index of what a line has too much, and numbers columns of one name one by one: with some
    thousands of them both take minutes.

    Parameters
    ----------
    path : Path
    what : str
        For the message: 'a raster'.

    Raises
    ------
    AssemblyError
    OSError, ValueError
        If it cannot be read, or is not UTF-8.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = csv.reader(handle)
            header = next(rows, [])
            width = len(header)
            other = next(((i, len(row)) for i, row in enumerate(rows, 2) if row and len(row) != width), None)
    except csv.Error as error:
        raise ValueError(str(error)) from error
    named = Counter(name for name in header if name)
    if named and max(named.values()) > 1:
        raise AssemblyError(
            f"every column of {what} has a name of its own",
            f"'{named.most_common(1)[0][0]}' is there {max(named.values())} times",
            "rename or remove the others",
        )
    if width > MAX_COLUMNS or other is not None:
        raise AssemblyError(
            f"every line of {what} has the same columns, {MAX_COLUMNS} at most",
            f"the header has {width}" + ("" if other is None else f" and record {other[0]} has {other[1]}"),
            "check the file",
        )
