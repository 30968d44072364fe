"""Walk an HDF5 file in a process of its own, so that a file that ends the HDF5 library ends nothing else.

`hdf5_look.look_at_hdf5` starts this file as a script, which is why it imports nothing of the package. For every line
of JSON with a path it answers one: what the file may not be (a link out of it, a bomb), or nothing. What merely cannot
be read is left to the reader, whose error says it better; what ends the library, or never ends, takes this process.
"""

from __future__ import annotations

import contextlib
import json
import math
import mmap
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np

# Spikes in 1 ms bins are the data that compress best: a cell at 10 spikes/s as float64 shrinks 240-fold (measured).
MAX_EXPANSION = 512
FREE_BYTES = 64 * 2**20  # whatever their ratio, contents up to this size harm nobody
LABEL_BYTES = 64  # what a label takes at least once it is text, however small it is in the file
CHUNK_BYTES = 8192  # 6.5 kB a chunk were measured (HDF5 2.0.0, 65,536 chunks of one text each)
MAX_OBJECTS = 1_000_000  # groups and data sets of one file
MAX_DEPTH = 64  # of groups in groups
CONTENT_BYTES = 512 * 2**20  # of a file's contents that are read ahead; beyond, only its structure is looked at
ADDRESS_SPACE_BYTES = 2 * 2**30  # beyond what this process has at its start
SECONDS = 10  # of computing for any file; see `_limit`
BYTES_PER_SECOND = 250_000  # slower than any machine walks a file of nothing but small objects (1 ms each)
SECONDS_MOST = 3600

_TREE = "the groups of an HDF5 file form a tree"
_PIECE_BYTES = 8 * 2**20
_PIECE_TEXTS = 1024
_HEAP_START = b"GCOL\x01\0\0\0"  # signature, version and padding of a heap (HDF5 file format, III.E)
_HEAP_HEADER = 16  # bytes: the above and the size of the heap
_HEAP_OBJECT = struct.Struct("<HHIQ")  # index, references, padding, size in bytes; the content follows
_SEARCHED_BYTES = 256 * 2**20  # of a file; searching gigabytes would take longer than reading a part of them


class RefusedError(Exception):
    """What a file may not be: promise, found and remedy."""


def walk(path: str, whole: bool) -> None:
    """Visit every object of a file, with its attributes and, in proportion, its contents.

    Parameters
    ----------
    path : str
    whole : bool
        Whether all of the file is going to be read, so that the sum of its data sets counts, or one data set at a time.

    Raises
    ------
    RefusedError
        If it leads out of itself, is nested absurdly, declares far more than it holds, or has damaged heaps.
    """
    with Path(path).open("rb") as handle:
        size = handle.seek(0, 2)
        if size:
            check_heaps(handle.fileno())
    most = max(MAX_EXPANSION * size, FREE_BYTES)
    with h5py.File(path, "r") as file:
        reading = _Reading(most)
        declared = 0
        datasets: dict[int, h5py.Dataset] = {}
        for name, dataset in _datasets(file, reading):
            datasets.setdefault(h5py.h5o.get_info(dataset.id).addr, dataset)
            declared += _declared(dataset)
            _check_texts(dataset, name)
            if whole and declared > most:
                raise RefusedError(
                    f"contents are at most {MAX_EXPANSION} times as large as their file",
                    f"it has {size} bytes and declares {declared} or more as far as '{name}'",
                    "if this is no decompression bomb, write it again with less compression",
                )
        for dataset in datasets.values():
            reading.dataset(dataset)


def _check_texts(dataset: h5py.Dataset, name: str) -> None:
    """Refuse texts and references out of proportion: pynwb reads those at once, whatever their number should be."""
    stored = dataset.id.get_storage_size()
    if dataset.dtype.hasobject and _declared(dataset) > max(MAX_EXPANSION * stored, FREE_BYTES):
        raise RefusedError(
            f"a data set is at most {MAX_EXPANSION} times as large as what is stored of it",
            f"'{name}' stores {stored} bytes for {dataset.size} texts or references",
            "if this is no decompression bomb, write it again with less compression",
        )


def _declared(dataset: h5py.Dataset) -> int:
    """Return the bytes that a data set takes in memory, labels (on one dimension) as text."""
    if dataset.shape is None:
        return 0
    least = LABEL_BYTES if len(dataset.shape) < 2 else 1
    return math.prod(dataset.shape) * max(dataset.dtype.itemsize, least) + chunk_bytes(dataset)


def chunk_bytes(dataset: h5py.Dataset) -> int:
    """Return what the library takes to read a data set's chunks, beside what is in them."""
    if not dataset.shape or not dataset.chunks:
        return 0
    return CHUNK_BYTES * math.prod(-(-side // chunk) for side, chunk in zip(dataset.shape, dataset.chunks, strict=True))


def _datasets(file: h5py.File, reading: _Reading) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield the data sets under every name that they have; groups are visited once, so that loops end."""
    seen: set[tuple[int, int]] = set()
    count = 0
    inside: dict[int, list[int]] = {}
    waiting: list[tuple[h5py.Group, int]] = [(file["/"], 0)]
    root = h5py.h5o.get_info(file["/"].id)
    seen.add((root.fileno, root.addr))
    reading.attributes(file["/"])
    while waiting:
        group, depth = waiting.pop()
        for name in group:
            link = group.get(name, getlink=True)
            full = f"{group.name}/{name}"[:200]
            if isinstance(link, h5py.ExternalLink):
                raise _leads_out(full, f"links to {link.filename}")
            count += 1
            if count > MAX_OBJECTS or depth > MAX_DEPTH:
                raise RefusedError(
                    f"an HDF5 file has at most {MAX_OBJECTS} objects, {MAX_DEPTH} deep",
                    "it has more",
                    "check where it is from",
                )
            try:
                item = group[name]
                info = h5py.h5o.get_info(item.id)
            except (KeyError, OSError, RuntimeError, ValueError):  # leads nowhere, or in a circle
                continue
            if isinstance(item, h5py.Group):
                inside.setdefault(h5py.h5o.get_info(group.id).addr, []).append(info.addr)
                if isinstance(link, h5py.SoftLink):
                    continue  # is visited under its own name
            is_new = (info.fileno, info.addr) not in seen
            seen.add((info.fileno, info.addr))
            if is_new:
                reading.attributes(item)
            if isinstance(item, h5py.Group):
                if not is_new:  # readers that go down from group to group would not end, or visit powers of many
                    raise RefusedError(_TREE, f"'{full}' is another name of one above or beside it", "write it anew")
                waiting.append((item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise _leads_out(full, "has its content in another file")
                if is_new:
                    _check_scales(item, full)
                yield full, item
    _check_circles(inside)


def _check_circles(inside: dict[int, list[int]]) -> None:
    """Refuse groups that lie in themselves by way of soft links: pynwb goes down for ever (Kahn's algorithm)."""
    above = Counter(address for members in inside.values() for address in members)
    free = [address for address in inside if not above[address]]
    while free:
        for address in inside.pop(free.pop(), []):
            above[address] -= 1
            if not above[address] and address in inside:
                free.append(address)
    if inside:
        raise RefusedError(_TREE, "links lead from a group to itself", "write it anew without them")


def _leads_out(name: str, how: str) -> RefusedError:
    return RefusedError(
        "a file holds all of its content itself",
        f"'{name}' {how}",
        "copy what is linked into the file, or read the file that holds it",
    )


def _check_scales(dataset: h5py.Dataset, name: str) -> None:
    """Check what attaches dimension scales: the library takes it for what it should be, whatever its type."""
    for attribute, is_right in ((b"DIMENSION_LIST", _lists_of_references), (b"DIMENSION_LABELS", _texts_of_any_length)):
        if not h5py.h5a.exists(dataset.id, attribute):
            continue
        found = h5py.h5a.open(dataset.id, attribute)
        if found.shape != (len(dataset.shape or ()),) or not is_right(found.get_type()):
            raise RefusedError(
                "dimension scales are attached to data sets as the HDF5 library does it",
                f"{attribute.decode()} of '{name}' is of another type or length",
                "write the file anew",
            )


def _lists_of_references(found: h5py.h5t.TypeID) -> bool:
    return isinstance(found, h5py.h5t.TypeVlenID) and found.get_super().equal(h5py.h5t.STD_REF_OBJ)


def _texts_of_any_length(found: h5py.h5t.TypeID) -> bool:
    return isinstance(found, h5py.h5t.TypeStringID) and bool(found.is_variable_str())


class _Reading:
    """Reads contents as a reader would, up to a sum; what cannot be read is left to the reader."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.left = CONTENT_BYTES
        self.text_bytes = 0

    def attributes(self, item: h5py.HLObject) -> None:
        with _left_to_the_reader():
            names = list(item.attrs)
            for name in names:
                with _left_to_the_reader():
                    value = item.attrs[name]
                    self._texts(
                        f"attribute '{name}'",
                        np.asarray(value, object).ravel() if isinstance(value, np.ndarray | str) else [],
                    )
                    self._follow(item, value)

    def dataset(self, dataset: h5py.Dataset) -> None:
        """Read a data set piece by piece, unless a reader would refuse to."""
        with _left_to_the_reader():
            declared = 0 if dataset.shape is None else math.prod(dataset.shape) * dataset.dtype.itemsize
            declared += chunk_bytes(dataset)
            if declared > max(MAX_EXPANSION * dataset.id.get_storage_size(), FREE_BYTES):
                return
            if "DIMENSION_LIST" in dataset.attrs:
                _ = [len(scales) for scales in dataset.dims]
            longest = 0
            for piece in _pieces(dataset):
                values = dataset[piece]
                if dataset.dtype.hasobject:
                    texts = np.asarray(values, object).ravel()
                    longest = max(longest, self._texts("a data set", texts))
                    self._padded(dataset, longest)
                    for value in texts[:_PIECE_TEXTS]:
                        self._follow(dataset, value)
                self.left -= np.asarray(values).nbytes
                if self.left < 0:
                    return

    def _texts(self, name: str, texts: np.ndarray | list) -> int:
        """Count text, of which many elements may share one piece of the file; return the longest."""
        lengths = [len(text) for text in texts if isinstance(text, str | bytes)]
        self.text_bytes += sum(lengths)
        if self.text_bytes > self.most:
            raise RefusedError(
                f"the texts of a file are at most {MAX_EXPANSION} times as large as it",
                f"those as far as {name[:200]} have {self.text_bytes} bytes",
                "if this is no decompression bomb, write every text once",
            )
        return max(lengths, default=0)

    def _padded(self, dataset: h5py.Dataset, longest: int) -> None:
        """NumPy's text gives every element the room of the longest."""
        padded = 4 * longest * math.prod(dataset.shape)
        if padded > self.most:
            raise RefusedError(
                "texts of one data set have similar lengths",
                f"'{dataset.name}' has {dataset.size} texts, one of {longest} characters: {padded} bytes as an array",
                "shorten the longest",
            )

    def _follow(self, item: h5py.HLObject, value: object) -> None:
        """Follow references, as readers of dimension scales, MATLAB and NWB do."""
        for one in np.asarray(value, object).ravel()[:_PIECE_TEXTS] if isinstance(value, np.ndarray) else [value]:
            if isinstance(one, np.ndarray):
                self._follow(item, one)
            elif isinstance(one, h5py.Reference) and one:
                with _left_to_the_reader():
                    target = h5py.h5r.dereference(one, item.id)
                    if isinstance(target, h5py.h5d.DatasetID):
                        _ = (target.shape, target.dtype)


def _pieces(dataset: h5py.Dataset) -> Iterator[tuple]:
    """Yield selections of a data set that are read one after the other."""
    if not dataset.shape:
        yield ()
        return
    row = math.prod(dataset.shape[1:]) * dataset.dtype.itemsize
    rows = max(1, _PIECE_BYTES // max(row, 1))
    if dataset.dtype.hasobject:
        rows = max(1, min(rows, _PIECE_TEXTS // max(math.prod(dataset.shape[1:]), 1)))
    elif dataset.chunks:  # whole chunks: others would be unpacked again for every piece
        rows = max(dataset.chunks[0], rows // dataset.chunks[0] * dataset.chunks[0])
    for start in range(0, dataset.shape[0], rows):
        yield (slice(start, start + rows),)


@contextlib.contextmanager
def _left_to_the_reader() -> Iterator[None]:
    try:
        yield
    except RefusedError:
        raise
    except MemoryError as error:
        raise RefusedError(
            f"a part of a file takes at most {ADDRESS_SPACE_BYTES} bytes",
            "one takes more",
            "write it in smaller chunks",
        ) from error
    except Exception:
        return  # the HDF5 library refused by itself, so it will do the same to the reader, who says where


def check_heaps(descriptor: int) -> None:
    """Walk the heaps that hold texts of variable length, as the HDF5 library will.

    The library (seen in HDF5 2.0.0) trusts the sizes in there: a damaged one can make it loop for ever.

    Raises
    ------
    RefusedError
    """
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as content:
        at = content.find(_HEAP_START, 0, _SEARCHED_BYTES)
        while at >= 0:
            if not _is_sound(content, at):
                raise RefusedError(
                    "the texts of an HDF5 file lie in sound heaps",
                    f"that at byte {at} is damaged",
                    "fetch or write the file anew",
                )
            at = content.find(_HEAP_START, at + _HEAP_HEADER, _SEARCHED_BYTES)


def _is_sound(content: mmap.mmap, start: int) -> bool:
    """Tell whether the objects of a heap fill it exactly, up to free space at its end."""
    if start + _HEAP_HEADER > len(content):
        return False
    (size,) = struct.unpack_from("<Q", content, start + _HEAP_HEADER - 8)
    at, end = start + _HEAP_HEADER, start + size
    if end > len(content):
        return False
    while at + _HEAP_OBJECT.size <= end:
        index, _, _, length = _HEAP_OBJECT.unpack_from(content, at)
        if index == 0:
            return length == end - at
        at += _HEAP_OBJECT.size + (length + 7) // 8 * 8
    return at <= end


def _limit(size: int) -> None:
    """Set what one more file may take of this process; a system without such limits has the parent's clock."""
    if sys.platform == "win32":
        return
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    allowed = min(SECONDS + size // BYTES_PER_SECOND, SECONDS_MOST)
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    most = int(used.ru_utime + used.ru_stime) + 1 + allowed
    resource.setrlimit(resource.RLIMIT_CPU, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def _limit_process() -> None:
    """Leave no core files, write nothing, and take bounded memory."""
    if sys.platform == "win32":
        return
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        with Path("/proc/self/statm").open() as handle:
            here = int(handle.read().split()[0]) * resource.getpagesize()
    except OSError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = here + ADDRESS_SPACE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main() -> None:
    """Answer line by line until there are no more."""
    _limit_process()
    for line in sys.stdin:
        request = json.loads(line)
        answer: dict[str, list[str] | None] = {"refused": None}
        try:
            _limit(Path(request["path"]).stat().st_size)
            walk(request["path"], request["whole"])
        except RefusedError as refused:
            answer["refused"] = [str(part) for part in refused.args]
        except MemoryError:
            answer["refused"] = ["a file is walked in bounded memory", "it takes more", "check where it is from"]
        except Exception:  # the reader runs into the same, and says it better
            answer["refused"] = None
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
