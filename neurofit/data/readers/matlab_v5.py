"""What a MATLAB v5 file declares, checked before anything is allocated for it.

SciPy reads these files; it takes memory for as many cells as a header claims and goes as deep as the file is nested.
The walk below looks at every header of the wanted variables first. Layout: "MAT-File Format", MathWorks, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from pathlib import Path

from neurofit.data.readers.checks import FREE_BYTES, MAX_EXPANSION
from neurofit.errors import AssemblyError

HEADER_BYTES = 128
MAX_DEPTH = 16  # of cells and structs in one another; rasters have three
_MATRIX, _COMPRESSED = 14, 15  # types of elements
_CELL, _STRUCT, _CHAR = 1, 2, 4  # classes of arrays; 6 to 15 are numbers
_PLAIN = {_CELL, _STRUCT, _CHAR, *range(6, 16)}
_NAMES_OF_CLASSES = {3: "an object", 5: "a sparse matrix", 16: "a function handle", 17: "an object"}
_DIMS_MOST = 32


def check_mat_v5(path: Path, wanted: Collection[str]) -> list[str]:
    """Return the names of the variables of a v5 file, having checked the wanted ones.

    Raises
    ------
    AssemblyError
        If the file is cut or damaged, unpacks to far more than it holds, or a wanted variable is neither numbers nor
        text nor cells and structs of these.
    """
    content = path.read_bytes()
    most = max(MAX_EXPANSION * len(content), FREE_BYTES)
    order = _byte_order(content)
    names, at, unpacked = [], HEADER_BYTES, 0
    while at < len(content):
        kind, size, start, after = _element(content, at, len(content), order)
        if kind == _COMPRESSED:
            after = start + size  # the only elements that are not padded
            element = _unpacked(content[start : start + size], most - unpacked)
            unpacked += len(element)
            kind, size, start, _ = _element(element, 0, len(element), order)
        else:
            element = content
        if kind == _MATRIX:
            names.append(_check_matrix(element, start, start + size, order, wanted))
        at = after
    return names


def _byte_order(content: bytes) -> str:
    mark = content[126:128]
    if len(content) < HEADER_BYTES or mark not in (b"IM", b"MI"):
        raise AssemblyError("a MATLAB v5 file has a header", "there is none", "save it with -v7 or -v7.3")
    return "<" if mark == b"IM" else ">"


def _u32(content: bytes, at: int, order: str) -> int:
    return int(struct.unpack_from(f"{order}I", content, at)[0])


def _element(content: bytes, at: int, end: int, order: str) -> tuple[int, int, int, int]:
    """Return the type of the element at `at`, its size, where its content starts, and where the next element does."""
    if at + 8 > end:
        raise _damaged("an element is cut off")
    kind, size = _u32(content, at, order), 0
    if kind >> 16:  # a small one: type and size in four bytes, content in the four that follow
        kind, size = kind & 0xFFFF, kind >> 16
        if size > 4:
            raise _damaged("a small element is too large")
        return kind, size, at + 4, at + 8
    size = _u32(content, at + 4, order)
    if at + 8 + size > end:
        raise _damaged("an element is larger than what holds it")
    return kind, size, at + 8, at + 8 + (size + 7) // 8 * 8


def _unpacked(content: bytes, most: int) -> bytes:
    stream = zlib.decompressobj()
    unpacked = stream.decompress(content, most + 1)
    if len(unpacked) > most:
        raise AssemblyError(
            f"a file unpacks to at most {MAX_EXPANSION} times its size",
            "it has more",
            "if this is no decompression bomb, save it without compression",
        )
    if not stream.eof:
        raise _damaged("a compressed element is cut off")
    return unpacked


def _check_matrix(
    content: bytes, start: int, end: int, order: str, wanted: Collection[str] | None, depth: int = 0
) -> str:
    """Check an array (`wanted` None: whatever its name) and what it holds; return its name."""
    if depth > MAX_DEPTH:
        raise _damaged(f"cells and structs lie in one another more than {MAX_DEPTH} deep")
    if start == end:
        return ""  # an empty cell
    _, size, at, following = _element(content, start, end, order)
    if size < 8:
        raise _damaged("an array has no flags")
    array_class = _u32(content, at, order) & 0xFF
    _, size, at, following = _element(content, following, end, order)
    if not 8 <= size <= 4 * _DIMS_MOST:
        raise _damaged("an array has no or too many dimensions")
    dims = struct.unpack_from(f"{order}{size // 4}i", content, at)
    _, size, at, following = _element(content, following, end, order)
    name = content[at : at + size].decode("latin-1")
    if wanted is not None and name not in wanted:
        return name
    if array_class not in _PLAIN:
        found = _NAMES_OF_CLASSES.get(array_class, f"of class {array_class}")
        raise AssemblyError(
            "what is read of a MATLAB file is numbers, text, cells and structs",
            f"'{name}' is or holds {found}",
            "convert it (strings with cellstr, categories with cellstr, tables with table2struct)",
        )
    n_items = math.prod(dims)
    if array_class == _STRUCT:
        _, _, at, following = _element(content, following, end, order)
        length = _u32(content, at, order)
        _, size, _, following = _element(content, following, end, order)
        n_items *= size // length if length else 0
    if min(dims) < 0 or (array_class in (_CELL, _STRUCT) and 8 * n_items > end - following):
        raise _damaged(f"'{name}' claims {n_items} parts, which its bytes cannot hold")
    if array_class in (_CELL, _STRUCT):
        for _ in range(n_items):
            kind, size, at, after = _element(content, following, end, order)
            if kind != _MATRIX:
                raise _damaged(f"a part of '{name}' is no array")
            _check_matrix(content, at, at + size, order, None, depth + 1)
            following = after
    return name


def _damaged(found: str) -> AssemblyError:
    return AssemblyError("a MATLAB v5 file is whole", found, "copy or save the file anew")
