"""Files that would be large to keep: bombs, and ways out of a file. Each builder takes the path to write."""

from __future__ import annotations

import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from data_seeds import SEEDS, picture

OUTSIDE = "/nonexistent/outside.bin"  # see hdf5_mutations
HDF5_TARGETS = ("plain_hdf5", "assembly", "brainscore", "nwb_own", "nwb_spikes", "mat_v73", "score")
# a data set of each seed that its reader reads whole
READ = {
    "plain_hdf5": "responses",
    "assembly": "responses",
    "brainscore": "data",
    "nwb_own": "processing/ecephys/binned_responses/data",
    "nwb_spikes": "processing/ecephys/rates/data",
    "mat_v73": "raster_data",
    "score": "predictivity",
}


def seed_of(target: str, folder: Path) -> Path:
    """Write the first seed of a target."""
    place = folder / "seed"
    place.mkdir(exist_ok=True)
    return SEEDS[target](place)[0]


def in_place_of(target: str, case: Path, make: Callable[[h5py.Group, str, h5py.Dataset], None]) -> Path:
    """Copy a seed, with something else where a data set was that is read; attributes stay."""
    shutil.copy(seed_of(target, case.parent), case)
    with h5py.File(case, "r+") as file:
        old = file[READ[target]]
        group, name = old.parent, old.name.rsplit("/", 1)[-1]
        attributes = {k: (old.attrs[k], old.attrs.get_id(k).dtype) for k in old.attrs}
        file.move(old.name, "/set_aside")
        make(group, name, file["set_aside"])
        del file["set_aside"]
        if name in group and isinstance(group.get(name, getlink=True), h5py.HardLink):
            for key, (value, dtype) in attributes.items():
                group[name].attrs.create(key, value, dtype=dtype)
    return case


def external_link(group: h5py.Group, name: str, old: h5py.Dataset) -> None:
    group[name] = h5py.ExternalLink(OUTSIDE, "/x")


def external_storage(group: h5py.Group, name: str, old: h5py.Dataset) -> None:
    group.create_dataset(name, old.shape, old.dtype, external=[(OUTSIDE, 0, h5py.h5f.UNLIMITED)])


def virtual(group: h5py.Group, name: str, old: h5py.Dataset) -> None:
    layout = h5py.VirtualLayout(old.shape, old.dtype)
    layout[...] = h5py.VirtualSource(OUTSIDE, "x", old.shape)
    group.create_virtual_dataset(name, layout)


def not_stored(group: h5py.Group, name: str, old: h5py.Dataset) -> None:
    """2^40 elements in chunks that are not there: a file of a few kilobytes."""
    shape = (2**40, *old.shape[1:])
    group.create_dataset(name, shape, old.dtype, chunks=(2**16, *[1] * (old.ndim - 1)), compression="gzip")


def packed_zeros(group: h5py.Group, name: str, old: h5py.Dataset) -> None:
    """128 MiB of zeros that compress a thousandfold; one packed chunk, written many times."""
    rows = 2**22 // old.dtype.itemsize // max(int(np.prod(old.shape[1:])), 1)
    chunks = (rows, *old.shape[1:])
    new = group.create_dataset(name, (32 * rows, *old.shape[1:]), old.dtype, chunks=chunks, compression="gzip")
    packed = zlib.compress(bytes(int(np.prod(chunks)) * old.dtype.itemsize), 9)
    for i in range(32):
        new.id.write_direct_chunk((i * rows, *[0] * (old.ndim - 1)), packed)


WAYS_OUT = (external_link, external_storage, virtual)
BOMBS = (not_stored, packed_zeros)


def long_text_among_short(case: Path) -> Path:
    """NumPy gives each of 100,000 texts the room of the longest: 40 GB."""
    shutil.copy(seed_of("plain_hdf5", case.parent), case)
    with h5py.File(case, "r+") as file:
        texts = np.full(100_000, "a", object)
        texts[7] = "x" * 100_000
        file.create_dataset("presentation/comment", data=texts, dtype=h5py.string_dtype(), compression="gzip")
    return case


def one_text_many_times(case: Path) -> Path:
    """A million references to one text of 50 kB in the file's heap: 50 GB."""
    shutil.copy(seed_of("plain_hdf5", case.parent), case)
    with h5py.File(case, "r+") as file:
        file.create_dataset("presentation/comment", data=["x" * 50_000] * 2, dtype=h5py.string_dtype(), chunks=(2,))
        _, stored = file["presentation/comment"].id.read_direct_chunk((0,))
        many = file.create_dataset("presentation/many", (2**18,), h5py.string_dtype(), chunks=(2**18,))
        many.id.write_direct_chunk((0,), stored[: len(stored) // 2] * 2**18)
    return case


def labels_for_nothing(case: Path) -> Path:
    """60 million labels of a byte, each of which would become a text."""
    shutil.copy(seed_of("plain_hdf5", case.parent), case)
    with h5py.File(case, "r+") as file:
        del file["stimulus_id"]
        file.create_dataset("stimulus_id", (60_000_000,), "i1", chunks=(2**20,), compression="gzip")
    return case


def deep_groups(case: Path, depth: int = 300) -> Path:
    """Groups in groups."""
    shutil.copy(seed_of("plain_hdf5", case.parent), case)
    with h5py.File(case, "r+") as file:
        group = file["/"]
        for _ in range(depth):
            group = group.create_group("g")
    return case


def circles(case: Path, hard: bool) -> Path:
    """A link up, hard or soft, and a soft one to itself."""
    shutil.copy(seed_of("nwb_spikes", case.parent), case)
    with h5py.File(case, "r+") as file:
        file["units/up"] = file["/"] if hard else h5py.SoftLink("/units")
        file["units/self"] = h5py.SoftLink("/units/self")
    return case


def zip_of_zeros(case: Path, name: str = "responses.npy", size: int = 2**27) -> Path:
    """A member of 128 MiB in 130 kB."""
    with (
        zipfile.ZipFile(case, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive,
        archive.open(name, "w") as member,
    ):
        for _ in range(size // 2**22):
            member.write(bytes(2**22))
    return case


def zip_that_overlaps(case: Path, members: int = 2000) -> Path:
    """Many directory entries for the same bytes (the quoted-overlap bombs of 2019)."""
    with zipfile.ZipFile(case, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(2**20))
        info = archive.infolist()[0]
        for i in range(members):
            copy = zipfile.ZipInfo(f"a{i}.npy")
            for slot in ("compress_type", "header_offset", "CRC", "compress_size", "file_size"):
                setattr(copy, slot, getattr(info, slot))
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
    return case


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file with its checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and holds the rows of an 8 x 8 picture."""
    content = picture()
    return content[:8] + chunk(b"IHDR", struct.pack(">II", width, height) + content[24:29]) + content[33:]
