"""Structure-aware mutation of zip and tar archives, NumPy arrays, tables of text, and pictures."""

from __future__ import annotations

import contextlib
import io
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from driver import flip_and_cut

NAMES = (
    "../../outside.png",
    "/etc/passwd",
    "C:\\evil.png",
    "a/../../b.png",
    "nul\0byte.png",
    "x" * 60_000 + ".png",
    "",
    ".",
    "dir/",
    "\x1b[31mred.png",
    "\u202egnp.exe.png",
    "responses.npy",
    "im0.png",
    ".png",
    "..png",
    "CON.png",
    "stimulus_id.npy",
)
CELLS = (
    "",
    "nan",
    "inf",
    "-1",
    "1e999",
    "9" * 5000,
    '"',
    '"open',
    "a\nb",
    "\0",
    "0.5",
    "true",
    "=cmd()",
    "é",
    "-",
    "1,2",
    "x" * 70_000,
    "None",
)
JSON_PIECES = (
    "null",
    "-1",
    "1e999",
    "NaN",
    '""',
    "[]",
    "{}",
    "true",
    "[" * 2000,
    '{"a":' * 500,
    "9" * 400,
    '"\\ud800"',
    "0.5",
)


def _pick(values, rng: np.random.Generator):
    return values[int(rng.integers(len(values)))]


def mutate_zip(content: bytes, rng: np.random.Generator) -> bytes:
    """Write the members of an archive anew, with one to three of them changed."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [
                (info.filename, archive.read(info), info.external_attr, zipfile.ZIP_STORED)
                for info in archive.infolist()
            ]
    except Exception:  # an archive that was mutated before: as bytes, then
        return flip_and_cut(content, rng)
    for _ in range(int(rng.integers(1, 4))):
        if not members:
            break
        i, kind = int(rng.integers(len(members))), int(rng.integers(10))
        name, data, attributes, method = members[i]
        if kind <= 2:
            members[i] = (name, mutate_content(name, data, rng), attributes, method)
        elif kind == 3:
            members[i] = (_pick(NAMES, rng), data, attributes, method)
        elif kind == 4:
            members.append((name, mutate_content(name, data, rng), attributes, method))  # the same name twice
        elif kind == 5:
            del members[i]
        elif kind == 6:
            members[i] = (name, b"/etc/passwd", 0o120777 << 16, method)  # a symbolic link
        elif kind == 7:
            members[i] = (
                name,
                data,
                attributes,
                int(_pick([zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, zipfile.ZIP_DEFLATED], rng)),
            )
        elif kind == 8:
            members[i] = (name, b"\0" * int(_pick([2**20, 2**24], rng)), attributes, zipfile.ZIP_DEFLATED)
        else:
            members[i] = (_pick(NAMES, rng) if rng.random() < 0.3 else name, b"", attributes, method)
    packed = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(packed, "w") as archive:
        warnings.simplefilter("ignore")  # of doubled names, which are meant
        for name, data, attributes, method in members:
            info = zipfile.ZipInfo(name)
            info.external_attr, info.compress_type = attributes, method
            archive.writestr(info, data)
    changed = packed.getvalue()
    if rng.random() < 0.3:  # headers that lie about sizes, methods and flags
        changed = bytearray(changed)
        for mark, offsets in ((b"PK\x01\x02", (8, 10, 16, 20, 24, 28, 42)), (b"PK\x03\x04", (6, 8, 14, 18, 22, 26))):
            at = changed.find(mark)
            if at >= 0 and rng.random() < 0.7:
                struct.pack_into(
                    "<H", changed, at + _pick(offsets, rng), int(_pick([0, 1, 8, 9, 0x41, 0xFFFF, 0x7FFF], rng))
                )
        changed = bytes(changed)
    return changed


def mutate_content(name: str, data: bytes, rng: np.random.Generator) -> bytes:
    """Mutate a member by its suffix."""
    suffix = name.rsplit(".", 1)[-1].lower()
    change = {"npy": mutate_npy, "csv": mutate_table, "json": mutate_json, "png": mutate_png}.get(suffix, flip_and_cut)
    return change(data, rng)


def mutate_npy(content: bytes, rng: np.random.Generator) -> bytes:
    """Write an array with another header: type, shape, order."""
    if rng.random() < 0.3:
        return flip_and_cut(content, rng)
    descr = _pick(
        [
            "'|O'",
            "'<f8'",
            "'|S0'",
            "'<U1'",
            "'|V8'",
            "'<f4'",
            "[('a', '<f8')]",
            "'<M8[ns]'",
            "'>i8'",
            "'|b1'",
            "'<c16'",
            "'<U1000000'",
            "'x' * 10",
            "__import__('os').getcwd()",
            "(" * 200,
        ],
        rng,
    )
    shape = _pick(
        [
            "()",
            "(0,)",
            "(6,)",
            "(6, 3, 2)",
            "(-1,)",
            "(2**40,)",
            "(1099511627776,)",
            "(0, 1099511627776)",
            "(4611686018427387904, 4, 4)",
            "(6.0,)",
            "6",
            "(True,)",
            "(1,) * 64",
            "(" + "1, " * 70 + ")",
            "(6, 3)",
            "(3,)",
        ],
        rng,
    )
    order = _pick(["False", "True", "0"], rng)
    header = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}"
    header = header.encode() + b" " * int(rng.integers(0, 64)) + b"\n"
    version = _pick([(1, 0), (2, 0), (3, 0), (9, 9)], rng)
    length = (
        struct.pack("<H", len(header) % 65536)
        if version == (1, 0)
        else struct.pack("<I", int(_pick([len(header), len(header), 2**31], rng)))
    )
    body = content[128:] if rng.random() < 0.7 else rng.bytes(int(rng.integers(0, 300)))
    return b"\x93NUMPY" + bytes(version) + length + header + body


def mutate_table(content: bytes, rng: np.random.Generator) -> bytes:
    """Change cells, columns and rows of a CSV file."""
    rows = [line.split(",") for line in content.decode("utf-8", "replace").splitlines()] or [[""]]
    for _ in range(int(rng.integers(1, 4))):
        i, kind = int(rng.integers(len(rows))), int(rng.integers(9))
        j = int(rng.integers(max(len(rows[i]), 1)))
        if kind <= 2 and rows[i]:
            rows[i][j] = _pick(CELLS, rng)
        elif kind == 3 and rows[0]:
            rows[0][int(rng.integers(len(rows[0])))] = _pick([*rows[0], *CELLS], rng)
        elif kind == 4:
            rows[i] = rows[i][:j]
        elif kind == 5:
            rows[i] = rows[i] * int(_pick([2, 300], rng))
        elif kind == 6:
            rows = [row[:j] + row[j + 1 :] for row in rows]
        elif kind == 7:
            rows = [*rows[:i], rows[i], *rows[i:]]
        else:
            rows = rows[:1] if rng.random() < 0.3 else rows[:i] + rows[i + 1 :] or [[""]]
    text = "\n".join(",".join(row) for row in rows)
    changed = text.encode("utf-8", "surrogatepass")
    return flip_and_cut(changed, rng) if rng.random() < 0.2 else changed


def mutate_json(content: bytes, rng: np.random.Generator) -> bytes:
    """Replace a value, or bytes."""
    if rng.random() < 0.4:
        return flip_and_cut(content, rng)
    text = content.decode("utf-8", "replace")
    places = [i for i, c in enumerate(text) if c in ":,["]
    if not places:
        return _pick(JSON_PIECES, rng).encode()
    at = _pick(places, rng) + 1
    end = min((p for p in (text.find(c, at) for c in ",]}") if p >= 0), default=len(text))
    return (text[:at] + _pick(JSON_PIECES, rng) + text[end:]).encode("utf-8", "surrogatepass")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def mutate_png(content: bytes, rng: np.random.Generator) -> bytes:
    """Change the header of a PNG under a right checksum, add chunks that swell, or change bytes."""
    if not content.startswith(b"\x89PNG") or rng.random() < 0.4:
        return flip_and_cut(content, rng)
    header = bytearray(content[16:29])
    kind = int(rng.integers(5))
    if kind == 0:
        side = (int(_pick([0, 1, 7999, 9000, 12_000, 30_000, 2**31 - 1], rng)) for _ in range(2))
        struct.pack_into(">II", header, 0, *side)
    elif kind == 1:
        header[8:13] = bytes(
            [_pick([1, 2, 4, 8, 16, 3], rng), _pick([0, 2, 3, 4, 6, 7], rng), 0, 0, _pick([0, 1, 2], rng)]
        )
    start = content[:8] + _chunk(b"IHDR", bytes(header))
    swollen = zlib.compress(b"\0" * int(_pick([100, 2**20, 2**27], rng)), 9)
    extra = {
        2: _chunk(b"zTXt", b"Comment\0\0" + swollen),
        3: _chunk(b"iCCP", b"icc\0\0" + swollen),
        4: _chunk(b"acTL", struct.pack(">II", 10**6, 0)),
    }
    return start + extra.get(kind, b"") + content[33:]


def mutate_tar(content: bytes, rng: np.random.Generator) -> bytes:
    """Write the members of an archive anew, with one to three of them changed."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            members = [(member, archive.extractfile(member).read()) for member in archive if member.isreg()]
    except Exception:  # an archive that was mutated before: as bytes, then
        return flip_and_cut(content, rng)
    for _ in range(int(rng.integers(1, 4))):
        if not members:
            break
        i, kind = int(rng.integers(len(members))), int(rng.integers(8))
        member, data = members[i]
        if kind <= 2:
            members[i] = (_sized(member, changed := mutate_content(member.name, data, rng)), changed)
        elif kind == 3:
            member.name = _pick([n for n in NAMES if n and "\0" not in n], rng)
        elif kind == 4:
            member.type = _pick(
                [
                    tarfile.SYMTYPE,
                    tarfile.LNKTYPE,
                    tarfile.CHRTYPE,
                    tarfile.FIFOTYPE,
                    tarfile.DIRTYPE,
                    tarfile.GNUTYPE_SPARSE,
                    tarfile.XHDTYPE,
                ],
                rng,
            )
            member.linkname = "/etc/passwd"
        elif kind == 5:
            del members[i]
        elif kind == 6:
            member.pax_headers = {"size": str(_pick([0, -1, 2**40, "x"], rng)), "path": _pick(NAMES[:4], rng)}
        else:
            members.append((member, data))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, data in members:
            with contextlib.suppress(ValueError, OSError, tarfile.TarError):
                archive.addfile(member, io.BytesIO(data) if member.isreg() else None)
    changed = packed.getvalue()
    return flip_and_cut(changed, rng) if rng.random() < 0.3 else changed


def _sized(member: tarfile.TarInfo, data: bytes) -> tarfile.TarInfo:
    member.size = len(data)
    return member


def mutate_gzip(content: bytes, rng: np.random.Generator) -> bytes:
    """Mutate what is packed, under right checksums, or the bytes of the file."""
    import gzip

    if rng.random() < 0.15:
        return flip_and_cut(content, rng)
    try:
        return gzip.compress(flip_and_cut(gzip.decompress(content), rng), 1, mtime=0)
    except (OSError, EOFError, zlib.error):
        return flip_and_cut(content, rng)


def of_members(change) -> object:
    """Return a mutation of one file of a folder, or of a file beside what stays."""

    def mutate(seed: Path, case: Path, rng: np.random.Generator) -> None:
        case.mkdir()
        files = sorted(p for p in seed.iterdir() if p.is_file())
        chosen = files[int(rng.integers(len(files)))]
        for file in files:
            content = file.read_bytes()
            (case / file.name).write_bytes(change(file.name, content, rng) if file == chosen else content)

    return mutate
