"""Read variables of a MATLAB v5 file, having checked all that it declares before anything is allocated for it.

SciPy reads these files too, but trusts them: it takes memory for as many cells as a header claims, goes as deep as the
file is nested, and ends the process on about one in two hundred of those whose bytes were changed (SciPy 1.17). What is
wanted here is little: numbers, text, cells and structs. Layout: "MAT-File Format", MathWorks, chapter 1.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from neurofit.errors import AssemblyError
from neurofit.files.expansion import FREE_BYTES, MAX_EXPANSION

HEADER_BYTES = 128
MAX_DEPTH = 16  # of cells and structs in one another; rasters have three
_MATRIX, _COMPRESSED = 14, 15  # types of elements
_NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_TEXT = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}  # types of elements of chars
_CELL, _STRUCT, _CHAR = 1, 2, 4  # classes of arrays; 6 to 15 are numbers
_PLAIN = {_CELL, _STRUCT, _CHAR, *range(6, 16)}
_NAMES_OF_CLASSES = {3: "an object", 5: "a sparse matrix", 16: "a function handle", 17: "an object"}
_COMPLEX = 0x0800  # flag of an array
_DIMS_MOST = 32
_PART_BYTES = 64  # what a part of a cell or struct takes as a Python object


class _Header(NamedTuple):
    """What an array declares, and where its content starts and ends."""

    array_class: int
    is_complex: bool
    dims: tuple[int, ...]
    name: str
    start: int
    end: int


def read_mat_v5(path: Path, wanted: Collection[str]) -> dict[str, Any]:
    """Return those wanted variables of a v5 file that it has, as a plain tree (see `readers.matlab`).

    Raises
    ------
    AssemblyError
        If the file is cut or damaged, unpacks to far more than it holds, or a wanted variable is neither numbers nor
        text nor cells and structs of these.
    """
    content = path.read_bytes()
    most = max(MAX_EXPANSION * len(content), FREE_BYTES)
    order = _byte_order(content)
    found: dict[str, Any] = {}
    at, unpacked = HEADER_BYTES, 0
    while at < len(content):
        kind, size, start, after = _element(content, at, len(content), order)
        element = content
        if kind == _COMPRESSED:
            after = start + size  # the only elements that are not padded
            element = _unpacked(content[start : start + size], most - unpacked)
            unpacked += len(element)
            kind, size, start, _ = _element(element, 0, len(element), order)
        if kind == _MATRIX:
            reader = _Variable(element, order, most)
            header = reader.header(start, start + size)
            if header.name in wanted:
                found[header.name] = reader.value(header, 0)
        at = after
    return found


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


class _Variable:
    """Reads the arrays of one variable, and counts what they take as Python objects."""

    def __init__(self, content: bytes, order: str, most: int) -> None:
        self.content, self.order, self.left = content, order, most

    def header(self, start: int, end: int) -> _Header:
        """Read flags, dimensions and name of the array at `start`."""
        _, size, at, following = _element(self.content, start, end, self.order)
        if size < 8:
            raise _damaged("an array has no flags")
        flags = _u32(self.content, at, self.order)
        _, size, at, following = _element(self.content, following, end, self.order)
        if not 8 <= size <= 4 * _DIMS_MOST:
            raise _damaged("an array has no or too many dimensions")
        dims = struct.unpack_from(f"{self.order}{size // 4}i", self.content, at)
        _, size, at, following = _element(self.content, following, end, self.order)
        name = self.content[at : at + size].decode("latin-1")
        return _Header(flags & 0xFF, bool(flags & _COMPLEX), dims, name, following, end)

    def value(self, one: _Header, depth: int) -> Any:
        """Return an array and what it holds."""
        if depth > MAX_DEPTH:
            raise _damaged(f"cells and structs lie in one another more than {MAX_DEPTH} deep")
        if one.array_class not in _PLAIN:
            found = _NAMES_OF_CLASSES.get(one.array_class, f"of class {one.array_class}")
            raise AssemblyError(
                "what is read of a MATLAB file is numbers, text, cells and structs",
                f"'{one.name}' is or holds {found}",
                "convert it (strings with cellstr, categories with cellstr, tables with table2struct)",
            )
        n_items = math.prod(one.dims)
        if min(one.dims) < 0:
            raise _damaged(f"'{one.name}' claims {n_items} parts, which its bytes cannot hold")
        if one.array_class == _STRUCT:
            return self._struct(one, n_items, depth)
        if one.array_class == _CELL:
            return self._parts(one, n_items, one.start, depth)
        return self._text(one, n_items) if one.array_class == _CHAR else self._numbers(one, n_items)

    def _struct(self, one: _Header, n_items: int, depth: int) -> Any:
        _, size, at, following = _element(self.content, one.start, one.end, self.order)
        length = _u32(self.content, at, self.order) if size == 4 else 0
        _, size, at, following = _element(self.content, following, one.end, self.order)
        raw = self.content[at : at + size]
        if size and (not length or size % length):
            raise _damaged(f"the names of the fields of '{one.name}' do not fill their place")
        fields = [raw[i : i + length].split(b"\0")[0].decode("latin-1") for i in range(0, size, length or 1)]
        values = self._parts(one, n_items * len(fields), following, depth)
        rows = [values[i : i + len(fields)] for i in range(0, len(values), len(fields) or 1)]
        structs = [dict(zip(fields, row, strict=True)) for row in rows]
        return structs[0] if n_items == 1 and structs else structs or ({} if n_items == 1 else [])

    def _parts(self, one: _Header, n_items: int, at: int, depth: int) -> list[Any]:
        if 8 * n_items > one.end - at:
            raise _damaged(f"'{one.name}' claims {n_items} parts, which its bytes cannot hold")
        self._take(_PART_BYTES * n_items)
        values = []
        for _ in range(n_items):
            kind, size, start, after = _element(self.content, at, one.end, self.order)
            if kind != _MATRIX:
                raise _damaged(f"a part of '{one.name}' is no array")
            # an empty part is a 0 x 0 matrix that is not written out
            values.append(self.value(self.header(start, start + size), depth + 1) if size else np.zeros((0, 0)))
            at = after
        return values

    def _numbers(self, one: _Header, n_items: int) -> np.ndarray:
        real, following = self._plain(one, n_items, one.start)
        if one.is_complex:
            imaginary, _ = self._plain(one, n_items, following)
            return np.asarray(real + 1j * imaginary)
        return real

    def _plain(self, one: _Header, n_items: int, at: int) -> tuple[np.ndarray, int]:
        """Return numbers in the type that they are stored in, and where the next element starts."""
        kind, size, start, following = _element(self.content, at, one.end, self.order)
        dtype = np.dtype(_NUMBERS.get(kind, "V1")).newbyteorder(self.order)  # type: ignore[arg-type]
        if kind not in _NUMBERS or n_items * dtype.itemsize != size:
            raise _damaged(f"'{one.name}' claims {n_items} numbers and has {size} bytes of type {kind}")
        values = np.frombuffer(self.content, dtype, n_items, start).reshape(one.dims, order="F")
        return values.astype(dtype.newbyteorder("=")), following

    def _text(self, one: _Header, n_items: int) -> str | list[str]:
        kind, size, start, _ = _element(self.content, one.start, one.end, self.order) if n_items else (1, 0, 0, 0)
        if kind not in _TEXT:
            raise _damaged(f"the text '{one.name}' is of type {kind}")
        codec = (
            _TEXT[kind]
            if _TEXT[kind] in ("latin-1", "utf-8")
            else f"{_TEXT[kind]}-{'le' if self.order == '<' else 'be'}"
        )
        text = self.content[start : start + size].decode(codec, "replace")
        rows = one.dims[0]
        if rows > 1 and len(text) != n_items:
            raise _damaged(f"'{one.name}' claims {n_items} characters and has {len(text)}")
        self._take(_PART_BYTES * rows)
        texts = [text[i::rows] for i in range(rows)] if rows else []
        return texts[0] if rows == 1 else texts or ""

    def _take(self, size: int) -> None:
        self.left -= size
        if self.left < 0:
            raise AssemblyError(
                f"a file unpacks to at most {MAX_EXPANSION} times its size",
                "it has more",
                "save fewer and larger arrays",
            )


def _damaged(found: str) -> AssemblyError:
    return AssemblyError("a MATLAB v5 file is whole", found, "copy or save the file anew")
