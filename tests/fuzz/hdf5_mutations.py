"""Structure-aware mutation of HDF5 files: objects, types, shapes, attributes, links, storage and values."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from archive_mutations import mutate_json

# What a file could lead to. Never a file that exists: HDF5 writes *through* external storage, so that a later change of
# a data set would change that file. The readers are to refuse without looking whether it is there.
OUTSIDE = "/nonexistent/outside.bin"
NAMES = (
    "../../outside",
    "a\x1b[31mred",
    "x" * 3000,
    "\u202eevil",
    "responses ",
    " ",
    "presentation/../x",
    "line\nend",
    "neuroid/depth",
    "stimulus_id",
    "region",
    "repetition",
    "time_bin_start",
    "subject",
    "data",
    "..",
    "%s%n",
    "__class__",
)
EDGES = (0, -1, 1, 2**31 - 1, 2**31, 2**63 - 1, -(2**63), 255, 1e300, -1e300, np.nan, np.inf, -np.inf, 0.5, 1e-320)
Step = Callable[[h5py.File, np.random.Generator], None]


def mutate_hdf5(seed: Path, case: Path, rng: np.random.Generator) -> None:
    """Write a copy of a valid file with one to three changes of its structure."""
    shutil.copy(seed, case)
    # a step may find nothing that it can change, or leave what the next one cannot open: that is a case too
    with h5py.File(case, "r+") as file:
        for _ in range(int(rng.integers(1, 4))):
            step = STEPS[rng.integers(len(STEPS))]
            with contextlib.suppress(Exception):
                step(file, rng)


def mutate_schema(seed: Path, case: Path, rng: np.random.Generator) -> None:
    """Write a copy of an NWB file with a change in the schema that it carries, from which types are built."""
    shutil.copy(seed, case)
    with h5py.File(case, "r+") as file:
        texts = [name for name in _names(file, h5py.Dataset) if name.startswith("specifications/")]
        if not texts:
            return
        dataset = file[_pick(texts, rng)]
        text = dataset[()]
        text = text if isinstance(text, bytes) else str(text).encode()
        for old, new in _SCHEMA_SWAPS[int(rng.integers(len(_SCHEMA_SWAPS))) :][:1]:
            text = text.replace(old, new, int(rng.integers(1, 3)))
        if rng.random() < 0.5:
            text = mutate_json(text, rng)
        with contextlib.suppress(ValueError):  # texts in HDF5 hold no zeros
            dataset[()] = text


_SCHEMA_SWAPS = (
    (b'"name"', b'"nmae"'),
    (b'"dtype":"text"', b'"dtype":"float"'),
    (b'"TimeSeries"', b'"Container"'),
    (b'"data_type_inc"', b'"data_type_def"'),
    (b'"neurodata_type_inc":"DynamicTable"', b'"neurodata_type_inc":"Units"'),
    (b'"namespace"', b'"source"'),
    (b'"source":"', b'"source":"../../../etc/passwd'),
    (b'"quantity":"*"', b'"quantity":-1'),
    (b'"neurodata_type_def":"', b'"neurodata_type_def":"__class__'),
    (b'"name":"', b'"name":"__init__'),
    (b"hdmf-common", b"os"),
)


def _names(file: h5py.File, kind: type) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, kind) else None)
    return found


def _pick(values: list | tuple, rng: np.random.Generator):
    if not values:
        raise ValueError("nothing to pick")
    return values[int(rng.integers(len(values)))]


def _dataset(file: h5py.File, rng: np.random.Generator) -> h5py.Dataset:
    return file[_pick(_names(file, h5py.Dataset), rng)]


def _group(file: h5py.File, rng: np.random.Generator) -> h5py.Group:
    return file[_pick(["/", *_names(file, h5py.Group)], rng)]


def _item(file: h5py.File, rng: np.random.Generator) -> h5py.HLObject:
    return _dataset(file, rng) if rng.random() < 0.7 else _group(file, rng)


def _replace(old: h5py.Dataset, rng: np.random.Generator, **given) -> None:
    """Put another data set in the place of one, with most of its attributes."""
    file, name, attributes = old.file, old.name, {}
    for key in list(old.attrs):
        with contextlib.suppress(OSError, TypeError, KeyError):
            attributes[key] = (old.attrs[key], old.attrs.get_id(key).dtype)
    del file[name]
    new = file.create_dataset(name, **given)
    for key, (value, dtype) in attributes.items():
        if rng.random() < 0.95:
            with contextlib.suppress(OSError, TypeError, ValueError):
                new.attrs.create(key, value, dtype=dtype)


def _strange_array(
    shape: tuple[int, ...], file: h5py.File, rng: np.random.Generator
) -> tuple[np.ndarray | None, np.dtype]:
    """Return content (or None) and a type that readers do not expect."""
    n = int(np.prod(shape)) if shape else 1
    kind = int(rng.integers(16))
    if kind == 0:
        return np.full(shape, file["/"].ref, h5py.ref_dtype), h5py.ref_dtype
    if kind == 1:
        return np.full(shape, 0), h5py.enum_dtype({"A": 0, "B": 1})
    if kind == 2:
        return None, h5py.regionref_dtype
    if kind == 3:
        return None, h5py.vlen_dtype(np.int32)
    if kind == 4:
        return np.zeros(shape, [("x", "f8"), ("y", "S3")]), np.dtype([("x", "f8"), ("y", "S3")])
    if kind == 5:
        return None, np.dtype(("f4", (3,)))
    if kind == 6:
        return np.zeros(shape, "V8"), np.dtype("V8")
    if kind == 7:
        texts = np.array([_pick(TEXTS, rng) for _ in range(n)], object).reshape(shape)
        return texts, h5py.string_dtype()
    if kind == 8:
        return np.full(shape, b"\xff\xfe\x80\x00x"), np.dtype("S5")
    dtype = np.dtype(_pick(["i1", "u8", ">f8", "f2", "c16", "?", "g", "<i2"], rng))
    with np.errstate(all="ignore"):
        return rng.integers(0, 3, shape).astype(dtype), dtype


TEXTS = (
    "",
    "a",
    b"\xff\xfe",
    "nan",
    "-1",
    "im0",
    "V4",
    "x" * 70_000,
    "\x1b]0;t\x07",
    "1e999",
    "0x10",
    "\udcff".encode("utf-8", "surrogatepass"),
)


def retype(file: h5py.File, rng: np.random.Generator) -> None:
    old = _dataset(file, rng)
    values, dtype = _strange_array(old.shape or (), file, rng)
    _replace(old, rng, shape=old.shape or (), dtype=dtype, data=values)


def reshape(file: h5py.File, rng: np.random.Generator) -> None:
    old = _dataset(file, rng)
    values = np.asarray(old[()])
    shapes = [
        (),
        (0,),
        (1,),
        (values.size,),
        (values.size, 1),
        (*values.shape, 1),
        values.shape[::-1],
        (values.size + 1,),
        (max(values.size - 1, 0),),
        (0, *values.shape[1:]),
    ]
    shape = _pick(shapes, rng)
    _replace(old, rng, data=np.resize(values, shape).astype(values.dtype), dtype=old.dtype)


def inflate(file: h5py.File, rng: np.random.Generator) -> None:
    """Declare far more than is stored: chunks that are not there, or that compress to nothing."""
    old = _dataset(file, rng)
    dims = max(len(old.shape or ()), 1)
    side = int(_pick([2**10, 2**16, 2**24, 2**26, 2**32, 2**40, 2**62], rng))
    shape = (side, *([1] * (dims - 1))) if rng.random() < 0.7 else tuple([min(side, 2**20)] * dims)
    packed = (
        {"chunks": (min(side, 2**16), *([1] * (dims - 1))), "compression": "gzip"}
        if rng.random() < 0.8
        else {"chunks": (1,) * dims}
    )
    _replace(
        old,
        rng,
        shape=shape,
        dtype=old.dtype,
        fillvalue=None if old.dtype.hasobject else np.zeros((), old.dtype)[()],
        **packed,
    )


def nothing(file: h5py.File, rng: np.random.Generator) -> None:
    _replace(old := _dataset(file, rng), rng, data=h5py.Empty(old.dtype))


def edge_values(file: h5py.File, rng: np.random.Generator) -> None:
    dataset = _dataset(file, rng)
    if h5py.check_string_dtype(dataset.dtype) is not None:
        value = _pick(TEXTS, rng)
    elif h5py.check_ref_dtype(dataset.dtype) is not None:
        value = _pick([file["/"].ref, dataset.ref, dataset.parent.ref, h5py.Reference()], rng)
    else:
        with np.errstate(all="ignore"):
            value = np.array(_pick(EDGES, rng)).astype(dataset.dtype)
    if dataset.shape and rng.random() < 0.6:
        dataset[tuple(int(rng.integers(max(side, 1))) for side in dataset.shape)] = value
    else:
        dataset[...] = value


def same_values(file: h5py.File, rng: np.random.Generator) -> None:
    dataset = _dataset(file, rng)
    values = dataset[()]
    dataset[...] = values[::-1] if rng.random() < 0.5 else values[:1]


def attribute(file: h5py.File, rng: np.random.Generator) -> None:
    item = _item(file, rng)
    known = list(item.attrs)
    name = _pick(known, rng) if known and rng.random() < 0.85 else _pick(NAMES, rng)
    if name in item.attrs:
        if rng.random() < 0.35:
            del item.attrs[name]
            return
        del item.attrs[name]
    if rng.random() < 0.5:
        values, dtype = _strange_array(_pick([(), (1,), (3,), (0,)], rng), file, rng)
        item.attrs.create(name, np.zeros((), dtype) if values is None else values, dtype=dtype)
    else:
        choices = [
            0,
            -1,
            np.nan,
            2**63 - 1,
            "",
            "x" * 60_000,
            b"\xff\xfe",
            h5py.Empty("f4"),
            h5py.Empty("S3"),
            file["/"].ref,
            item.ref,
            np.arange(5.0),
            "dim0",
            "MATLAB_class",
            "cell",
            "struct",
            "[]",
            "{",
            "1 2 3",
            "../x",
        ]
        item.attrs[name] = _pick(choices, rng)


def remove(file: h5py.File, rng: np.random.Generator) -> None:
    item = _item(file, rng)
    del file[item.name]


def rename(file: h5py.File, rng: np.random.Generator) -> None:
    item = _item(file, rng)
    file.move(item.name, f"{item.parent.name}/{_pick(NAMES, rng)}")


def add(file: h5py.File, rng: np.random.Generator) -> None:
    values, dtype = _strange_array(_pick([(), (1,), (6,), (3,), (2,), (6, 3)], rng), file, rng)
    _group(file, rng).create_dataset(
        _pick(NAMES, rng), shape=None if values is not None else (3,), data=values, dtype=dtype
    )


def link(file: h5py.File, rng: np.random.Generator) -> None:
    """Link to itself, up, to nothing, out of the file, or many times to one thing."""
    group, item = _group(file, rng), _item(file, rng)
    name = item.name.rsplit("/", 1)[-1] or "loop"
    if rng.random() < 0.6 and item.name != "/":
        group = item.parent
        del group[name]
    targets = [
        h5py.SoftLink("/" + name),
        h5py.SoftLink(group.name),
        h5py.SoftLink("/nowhere"),
        h5py.SoftLink(f"{group.name}/{name}"),
        h5py.ExternalLink(OUTSIDE, "/x"),
        h5py.ExternalLink(Path(file.filename).name, "/"),
        h5py.ExternalLink("../../other.h5", "/responses"),
        file["/"],
        group,
    ]
    group[name if name not in group else "link"] = _pick(targets, rng)
    if rng.random() < 0.1:
        for i in range(300):
            group[f"many{i}"] = _dataset(file, rng)


def storage_outside(file: h5py.File, rng: np.random.Generator) -> None:
    """Keep a data set's content in another file, as raw bytes or as a virtual data set."""
    old = _dataset(file, rng)
    shape, dtype = old.shape or (1,), old.dtype
    if dtype.hasobject:
        shape, dtype = (16,), np.dtype("S8")
    name = old.name
    del file[name]
    if rng.random() < 0.5:
        file.create_dataset(name, shape, dtype, external=[(OUTSIDE, 0, h5py.h5f.UNLIMITED)])
    else:
        layout = h5py.VirtualLayout(shape, dtype)
        source = _pick([OUTSIDE, ".", "other.h5"], rng)
        layout[...] = h5py.VirtualSource(source, name, shape)
        file.create_virtual_dataset(name, layout)


def unknown_filter(file: h5py.File, rng: np.random.Generator) -> None:
    old = _dataset(file, rng)
    name, dtype = old.name, old.dtype
    shape = old.shape or (1,)
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(tuple(max(side, 1) for side in shape))
    # an optional filter that is not there is left out when writing; stated all the same
    plist.set_filter(
        int(
            _pick(
                [h5py.h5z.FILTER_SZIP, h5py.h5z.FILTER_NBIT, h5py.h5z.FILTER_SCALEOFFSET, h5py.h5z.FILTER_FLETCHER32],
                rng,
            )
        ),
        h5py.h5z.FLAG_OPTIONAL,
        (4, 4),
    )
    del file[name]
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(dtype), h5py.h5s.create_simple(shape), plist)


def deep(file: h5py.File, rng: np.random.Generator) -> None:
    group = _group(file, rng)
    for _ in range(int(_pick([3, 70, 300], rng))):
        group = group.create_group("g")
    group["x"] = np.arange(3)


STEPS: tuple[Step, ...] = (
    retype,
    retype,
    reshape,
    reshape,
    inflate,
    inflate,
    nothing,
    edge_values,
    edge_values,
    edge_values,
    same_values,
    attribute,
    attribute,
    attribute,
    remove,
    rename,
    add,
    link,
    link,
    storage_outside,
    unknown_filter,
    deep,
)
