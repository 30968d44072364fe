"""Mutations of small valid files that keep most of their structure: JSON, TOML, tables, safetensors, zip, tar.

Every function takes the bytes of a file and a generator, and returns bytes. What is random comes from the generator.
"""

from __future__ import annotations

import csv
import io
import json
import struct
import tarfile
import tomllib
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

Mutation = Callable[[bytes, np.random.Generator], bytes]

TEXTS = (
    "", " ", "..", ".", "/", "../../outside", "/etc/passwd", "C:\\con", "con", "nul.txt", "a" * 300, "a\x00b",
    "line\nbreak",
    "tab\tbell\x07", "\x1b[31mred", "a\u202egpj.exe", "\u2028", "\ufeff", "half \ud800", "\U0001f9e0", "é" * 130,
    "<script>window.pwned=1</script>", '"><img src=x onerror=alert(1)>', "</script><script>alert(1)</script>",
    "javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "file:///etc/passwd", "https://x/../..",
    "{{ 7*7 }}",
    "{% include '/etc/passwd' %}", "${x} %s %(a)s {0.__class__}", "$(touch pwned)", "`touch pwned`", "=HYPERLINK(1)",
    "__proto__", "__class__", "none", "null", "NaN", "-1", "1e999", "2026-01-01", "true", "x" * 20_000,
    "a, b | c & d _ # $",
)  # fmt: skip
"""Words that have meant something to some reader."""

NUMBERS = (
    0, -1, 1, 2, 3, 1e-308, -0.0, 0.5, 1.5, 255, 2**31, 2**32 - 1, 2**63 - 1, 2**63, -(2**63), 2**64, 10**18, 10**30,
    1e308, -1e308,
)  # fmt: skip


class Token(str):
    """A text that is written as it is, without quotes."""


_TOKENS = (
    "NaN", "nan", "-Infinity", "inf", "1e999", "-1e999", "1" * 5000, "0x" + "f" * 5000, "1." + "0" * 5000, "[" * 5000,
    "[" * 5000 + "]" * 5000, '{"a":' * 3000, "00", "+1", "1_000", "'x'", "1979-05-27", "",
)  # fmt: skip
TOKENS = tuple(map(Token, _TOKENS))


def hostile(rng: np.random.Generator) -> Any:
    """Return a value that no schema expects."""
    kind = rng.integers(7)
    if kind <= 1:
        return TEXTS[rng.integers(len(TEXTS))]
    if kind <= 3:
        return NUMBERS[rng.integers(len(NUMBERS))]
    if kind == 4:
        return TOKENS[rng.integers(len(TOKENS))]
    others = (None, True, False, [], {}, [[]], [None], {"": {}}, [1, "x"], nested(int(rng.integers(2, 60))))
    return others[rng.integers(len(others))]


def nested(depth: int) -> Any:
    """Return lists and tables within each other."""
    value: Any = 1
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def edited(tree: Any, rng: np.random.Generator) -> Any:
    """Return a tree of tables and lists with one to three changes anywhere."""
    for _ in range(int(rng.choice([1, 1, 1, 2, 3]))):
        places = [(parent, key) for parent, key in _places(tree)]
        if not places:
            return hostile(rng)
        parent, key = places[rng.integers(len(places))]
        _change(parent, key, places, rng)
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    left = [tree]
    while left:
        value = left.pop()
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            found.append((value, key))
            left.append(item)
    return found


def _change(parent: Any, key: Any, places: list[tuple[Any, Any]], rng: np.random.Generator) -> None:
    kind = rng.integers(9)
    if kind == 0:
        del parent[key]
    elif kind == 1:
        name = TEXTS[rng.integers(len(TEXTS))]
        if isinstance(parent, dict):
            parent[name] = parent.pop(key)
        else:
            parent.append(name)
    elif kind == 2:
        other, place = places[rng.integers(len(places))]
        parent[key], other[place] = _copy(other[place]), _copy(parent[key])
    elif kind == 3 and isinstance(parent[key], list):
        parent[key] = parent[key] * int(rng.choice([0, 2, 50]))
    elif kind == 4:
        parent[key] = [parent[key]] if rng.integers(2) else {"kind": parent[key]}
    elif kind == 5 and isinstance(parent[key], int | float) and not isinstance(parent[key], bool):
        parent[key] = parent[key] * [-1, 0, 2, 1e6, 1e-6, 10**15][rng.integers(6)]
    else:
        parent[key] = hostile(rng)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value


def json_text(value: Any) -> str:
    """Return JSON, with tokens as they are."""
    if isinstance(value, Token):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(str(key))}: {json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return json.dumps(value)


def toml_text(value: Any, top: bool = True) -> str:
    """Return TOML with tables inline below the top, with tokens as they are."""
    if isinstance(value, Token):
        return str(value)
    if isinstance(value, dict):
        pairs = [f"{json.dumps(str(key))} = {toml_text(item, False)}" for key, item in value.items()]
        return "\n".join(pairs) + "\n" if top else "{" + ", ".join(pairs) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_text(item, False) for item in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return '"none"'
    return json.dumps(value) if isinstance(value, str) else repr(value)


def raw(content: bytes, rng: np.random.Generator) -> bytes:
    """Flip, overwrite, remove, double, cut or insert bytes, once to four times."""
    made = bytearray(content or b"x")
    for _ in range(int(rng.integers(1, 5))):
        place, length = int(rng.integers(len(made) + 1)), int(rng.choice([1, 2, 4, 8, 64, 500]))
        piece = made[place : place + length]
        kind = rng.integers(8)
        if kind == 0 and place < len(made):
            made[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            made[place : place + length] = rng.bytes(len(piece))
        elif kind == 2:
            del made[place : place + length]
        elif kind == 3:
            made[place:place] = piece * int(rng.choice([1, 3, 20]))
        elif kind == 4:
            made[place : place + length] = b"\xff" * len(piece) if rng.integers(2) else bytes(len(piece))
        elif kind == 5:
            made[place:place] = TEXTS[rng.integers(len(TEXTS))].encode("utf-8", "surrogatepass")
        elif kind == 6:
            other = int(rng.integers(len(made) + 1))
            made[place : place + length] = made[other : other + length]
        elif rng.integers(4) == 0:
            del made[place:]
        if not made:
            made = bytearray(b"x")
    return bytes(made)


def lines(content: bytes, rng: np.random.Generator) -> bytes:
    """Double, drop, swap or cut lines."""
    rows = content.split(b"\n")
    one, other = (int(rng.integers(len(rows))) for _ in range(2))
    kind = rng.integers(6)
    if kind == 0:
        rows.insert(other, rows[one])
    elif kind == 1:
        del rows[one]
    elif kind == 2:
        rows[one], rows[other] = rows[other], rows[one]
    elif kind == 3:
        rows[one] = rows[one] * int(rng.choice([2, 50, 1000]))
    elif kind == 4:
        rows[one] = raw(rows[one], rng)
    else:
        rows[one] = rows[one] + b"\r"
    return b"\n".join(rows)


def json_file(content: bytes, rng: np.random.Generator) -> bytes:
    """Change values, names and nesting of a JSON document; a twentieth each of bytes and of names that come twice."""
    kind = rng.integers(20)
    if kind == 0:
        return raw(content, rng)
    if kind == 1:
        return TOKENS[rng.integers(len(TOKENS))].encode()
    text = json_text(edited(json.loads(content), rng))
    if kind == 2 and '"' in text:
        place = text.index("{") + 1 if "{" in text else 0
        text = text[:place] + '"kind": 1, "kind": {}, ' + text[place:]
    return text.encode("utf-16" if kind == 3 else "utf-8", "surrogatepass")


def json_words(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace a third of a JSON document's texts; those that readers compare with words of their own are left."""
    tree = json.loads(content)
    for parent, key in _places(tree):
        own = key in ("kind", "status", "date", "formula", "per", "static_mode")
        if isinstance(parent[key], str) and not own and rng.random() < 0.33:
            parent[key] = TEXTS[rng.integers(len(TEXTS))]
    return json_text(tree).encode("utf-8", "surrogatepass")


def toml_file(content: bytes, rng: np.random.Generator) -> bytes:
    """Change values, keys and nesting of a TOML document; some changes are of its lines or bytes."""
    kind = rng.integers(20)
    if kind <= 1:
        return raw(content, rng)
    if kind <= 4:
        return lines(content, rng)
    if kind == 5:
        n = int(rng.choice([10, 2000]))
        extras = (b"a" + b".a" * n + b" = 1", b"[" + b"a." * n + b"a]", b"x = " + b"[" * n, b"x = " + b"{a=" * n)
        extra = extras[rng.integers(len(extras))]
        return content + b"\n" + extra + b"\n"
    if kind == 6:
        n = int(rng.choice([30, 3000]))
        return content + b"\n" + b"".join(b"key%d = 1\n" % i for i in range(n))
    return toml_text(edited(tomllib.loads(content.decode()), rng)).encode("utf-8", "surrogatepass")


def csv_file(content: bytes, rng: np.random.Generator) -> bytes:
    """Change cells and headings of a table; some changes are of its lines or bytes."""
    kind = rng.integers(10)
    if kind == 0:
        return raw(content, rng)
    if kind == 1:
        return lines(content, rng)
    rows = list(csv.reader(io.StringIO(content.decode())))
    for _ in range(int(rng.integers(1, 4))):
        row = rows[rng.integers(len(rows))]
        if row:
            value = hostile(rng)
            row[rng.integers(len(row))] = '"' + "y" * 200_000 if rng.integers(20) == 0 else str(value)
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8", "surrogatepass")


def safetensors_file(content: bytes, rng: np.random.Generator) -> bytes:
    """Let header lengths, names, types, shapes and places of tensors lie."""
    if rng.integers(8) == 0:
        return raw(content, rng)
    (length,) = struct.unpack("<Q", content[:8])
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    if rng.integers(2):
        edited(header, rng)
    else:
        names = [name for name in header if name != "__metadata__"]
        entry = header[names[rng.integers(len(names))]]
        kind = rng.integers(5)
        great = NUMBERS[rng.integers(len(NUMBERS))]
        if kind == 0:
            entry["data_offsets"][rng.integers(2)] = great
        elif kind == 1:
            entry["shape"] = [great] * int(rng.integers(0, 9))
        elif kind == 2:
            entry["dtype"] = str(rng.choice(["F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "", "O"]))
        elif kind == 3:
            entry["data_offsets"] = list(header[names[rng.integers(len(names))]]["data_offsets"])
        else:
            header |= {f"{name}{i}": entry for i in range(int(rng.choice([1, 3000]))) for name in names[:1]}
    written = json_text(header).encode("utf-8", "surrogatepass")
    said = len(written)
    if rng.integers(5) == 0:
        said = int(rng.choice([0, 1, said - 1, said + 1, said + len(data), 2**31, 2**40, 2**63 - 1]))
    return (
        struct.pack("<Q", said) + written + data[: len(data) if rng.integers(6) else int(rng.integers(len(data) + 1))]
    )


def zip_file(content: bytes, rng: np.random.Generator) -> bytes:
    """Change, drop, rename, double or swap the members of a zip archive."""
    if rng.integers(4) == 0:
        return raw(content, rng)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [[info.filename, archive.read(info)] for info in archive.infolist()]
    for _ in range(int(rng.integers(1, 3))):
        if not members:
            break
        one, other = (int(rng.integers(len(members))) for _ in range(2))
        kind = rng.integers(7)
        if kind <= 2:
            members[one][1] = raw(members[one][1], rng)
        elif kind == 3:
            members[one][0] = TEXTS[rng.integers(len(TEXTS))].replace("\ud800", "") or "x"
        elif kind == 4:
            del members[one]
        elif kind == 5:
            members[one][1] = members[other][1]
        else:
            members.append([members[one][0], members[other][1]])
    made = io.BytesIO()
    kind = zipfile.ZIP_DEFLATED if rng.integers(4) == 0 else zipfile.ZIP_STORED
    with warnings.catch_warnings(), zipfile.ZipFile(made, "w", kind) as archive:
        warnings.simplefilter("ignore")  # of two members of one name
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(str(name)), data)
    return made.getvalue()


def tar_file(content: bytes, rng: np.random.Generator) -> bytes:
    """Change members' names, kinds, sizes and contents of a tar archive."""
    if rng.integers(4) == 0:
        return raw(content, rng)
    made = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(content)) as source, tarfile.open(fileobj=made, mode="w") as archive:
        members = source.getmembers()
        chosen = int(rng.integers(len(members)))
        for index, member in enumerate(members):
            data = source.extractfile(member)
            body = data.read() if data else b""
            if index == chosen:
                body = _change_member(member, body, rng)
                member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    result = bytearray(made.getvalue())
    if rng.integers(4) == 0:  # a size that lies, under a right checksum
        _lie_about_size(result, rng)
    return bytes(result)


def _change_member(member: tarfile.TarInfo, body: bytes, rng: np.random.Generator) -> bytes:
    kind = rng.integers(5)
    if kind <= 1:
        return raw(body, rng) if body else body
    if kind == 2:
        member.name = (TEXTS[rng.integers(len(TEXTS))].replace("\ud800", "").replace("\x00", "") or "x") + ".png"
    elif kind == 3:
        member.type = bytes(rng.choice([b"1", b"2", b"3", b"4", b"6", b"S", b"L", b"K", b"x", b"g", b"Z"]))
        member.linkname = "../../etc/passwd"
    else:
        member.pax_headers = {"path": "../x.png", "size": str(NUMBERS[rng.integers(len(NUMBERS))])}
    return body


def _lie_about_size(archive: bytearray, rng: np.random.Generator) -> None:
    header = archive[:512]
    header[124:136] = b"%011o\0" % int(rng.choice([0, 1, 512, 10**6, 8**11 - 1]))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    archive[:512] = header
