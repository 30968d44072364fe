"""Labels of ImageNet-like validation images that lie in one folder, from the files that are published with them."""

from __future__ import annotations

import csv
import struct
import zlib
from pathlib import PurePosixPath

from neurofit.errors import DataFileError
from neurofit.training.image_store import Inventory, Place, contents, read_bytes
from neurofit.training.label_kit import read_synsets

TABLES = (
    "LOC_val_solution.csv",  # Kaggle's ImageNet: ImageId,"WNID x y x y ..."
    "val_annotations.txt",  # Tiny ImageNet: file name, WNID, box, separated by tabs
    "imagenet_2012_validation_synset_labels.txt",  # TensorFlow's ImageNet: a WNID a line, in the order of the images
    "ILSVRC2012_validation_ground_truth.txt",  # ImageNet's development kit: a number a line, which meta.mat explains
)
_EXPLAINED_BY = "meta.mat"
_MOST_UNPACKED = 64_000_000  # bytes; that of the kit of 2012 has fewer than 2 million
_COMPRESSED = 15  # miCOMPRESSED of the MAT-File Format, level 5, table 1-1
_NUMBERED = "ILSVRC2012_val_{:08d}"


def label_table(found: Inventory) -> Place | None:
    """Return the file with the validation labels, the first of `TABLES` that is there."""
    for name in TABLES:
        place = _named(found, name)
        if place is not None:
            return place
    return None


def read_labels(found: Inventory, table: Place) -> dict[str, str]:
    """Return the class of every image by its file name without suffix.

    Raises
    ------
    DataFileError
        If the file, or the one that explains it, is absent or not as it is published.
    """
    name = PurePosixPath(table.name).name
    lines = _content(found, table).decode("utf-8", "replace").splitlines()
    try:
        if name == TABLES[0]:
            return {row["ImageId"]: row["PredictionString"].split()[0] for row in csv.DictReader(lines)}
        if name == TABLES[1]:
            rows = [line.split("\t") for line in lines if line.strip()]
            return {PurePosixPath(row[0]).stem: row[1].strip() for row in rows}
        words = [line.strip() for line in lines if line.strip()]
        if name == TABLES[3]:
            wnids = _wnids(found, table)
            words = [wnids[int(word)] for word in words]
    except (KeyError, IndexError, ValueError, TypeError, AttributeError, csv.Error) as error:
        raise DataFileError(
            "validation labels are as they are published",
            f"{table.name} in {found.path} is not ({type(error).__name__}: {error})",
            "fetch it anew",
        ) from error
    return {_NUMBERED.format(number): word for number, word in enumerate(words, start=1)}


def _wnids(found: Inventory, table: Place) -> dict[int, str]:
    """Return the WNID of every number in the development kit, which numbers the classes in an order of its own."""
    place = _named(found, _EXPLAINED_BY)
    if place is None:
        raise DataFileError(
            f"the numbers in {TABLES[3]} are explained by {_EXPLAINED_BY} of the same kit",
            f"{found.path} has {table.name} alone",
            f"put {_EXPLAINED_BY} beside it, or use {TABLES[0]} or {TABLES[2]}",
        )
    try:
        content = _content(found, place)
        _check_unpacked(content)
        return read_synsets(content)
    except (ValueError, zlib.error) as error:
        raise DataFileError(
            f"{_EXPLAINED_BY} is that of ImageNet's development kit", f"{place.name}: {error}", "fetch it anew"
        ) from error


def _check_unpacked(content: bytes) -> None:
    """Raise where the parts of a MATLAB v5 file are far more when they are unpacked."""
    order, at, left = "<" if content[126:128] == b"IM" else ">", 128, _MOST_UNPACKED
    while at + 8 <= len(content):
        kind, size = struct.unpack_from(f"{order}II", content, at)
        if kind == _COMPRESSED:
            part = zlib.decompressobj()
            left -= len(part.decompress(content[at + 8 : at + 8 + size], left))
            if part.unconsumed_tail or left <= 0:
                raise ValueError(f"it unpacks to more than {_MOST_UNPACKED} bytes")
        at += 8 + size


def _named(found: Inventory, name: str) -> Place | None:
    """Return the file of that name that lies highest."""
    places = [place for place in found.others if PurePosixPath(place.name).name == name]
    return min(places, key=lambda place: (place.name.count("/"), place.name), default=None)


def _content(found: Inventory, place: Place) -> bytes:
    if found.compressed:
        return next(content for _, content in contents(found, [place]))
    try:
        return read_bytes(found.path, place)
    except DataFileError as error:
        raise DataFileError(
            "validation labels can be read", f"{place.name} in {found.path}: {error.found}", error.remedy
        ) from error
