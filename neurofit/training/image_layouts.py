"""Which images of a folder or archive are trained on and which are tested on, and what they show.

Read are ``train/CLASS/...`` with ``val/CLASS/...`` (or ``valid``, ``validation``), below any number of leading folders;
the same with all validation images in one folder and a published table of their labels (`image_labels.TABLES`); and
``CLASS/...`` or ``train/CLASS/...`` alone, of which a part is held out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TypeVar

import numpy as np

from neurofit.errors import ConfigurationError, DataFileError, listed
from neurofit.training.image_labels import TABLES, label_table, read_labels
from neurofit.training.image_store import IMAGE_SUFFIXES, Inventory, Place, Skipped

TRAINING = "train"
VALIDATION = ("val", "valid", "validation")
_UNCLASSED = ("images",)  # the one folder below val/ in Tiny ImageNet
_LEFT_ALONE = ("test",)

_Named = TypeVar("_Named", Place, Skipped)


@dataclass(frozen=True)
class Listing:
    """The files of one subset and their labels.

    Parameters
    ----------
    places : tuple of Place
        Sorted by name.
    labels : array (n,), int64
    classes : tuple of str
        Sorted; label i is classes[i].
    lost : tuple of Skipped
        What could have been an image of this subset.
    others : int
        Files among them that are not called as images are.
    """

    places: tuple[Place, ...]
    labels: np.ndarray
    classes: tuple[str, ...]
    lost: tuple[Skipped, ...] = ()
    others: int = 0


def find_subset(found: Inventory, subset: str) -> Listing:
    """Return the images of one subset.

    Parameters
    ----------
    found : Inventory
    subset : str
        'train' or 'val' (which may also be called valid or validation), or another folder of classes.

    Raises
    ------
    DataFileError
        If there are none, more than one folder has that name, a class is empty, or a table of labels is wrong.
    """
    names = VALIDATION if subset in VALIDATION else (subset,)
    folder = _only_folder(found, names)
    if folder is None:
        raise _absent(found, subset)
    return _in_classes(found, folder) if subset == TRAINING else _validation(found, folder)


def find_subsets(found: Inventory, holdout: float | None = None, seed: int = 0) -> tuple[Listing, Listing]:
    """Return the images to train on and to test on.

    Parameters
    ----------
    found : Inventory
    holdout : float, optional
        The part of every class that is tested on where no folder of validation images is there. Which images these are
        depends on their names and the seed alone.
    seed : int

    Raises
    ------
    DataFileError
        As `find_subset`, or if the subsets do not have the same classes, or there are fewer than two.
    ConfigurationError
        If `holdout` is no fraction, or is given where there are validation images.
    """
    if holdout is not None and not 0 < holdout < 1:
        raise ConfigurationError("a part to hold out is above 0 and below 1", f"it is {holdout}", "choose .1, say")
    trained, tested = _only_folder(found, (TRAINING,)), _only_folder(found, VALIDATION)
    if trained is not None and tested is not None:
        if holdout is not None:
            raise ConfigurationError(
                "images are held out where there are none for validation",
                f"{found.path} has {tested}/",
                "leave --holdout away, or name the training folder alone",
            )
        training, validation = _in_classes(found, trained), _validation(found, tested)
    elif holdout is None:
        raise _absent(found, TRAINING if trained is None else VALIDATION[0])
    else:
        folder = _plain_folder(found) if trained is None else trained
        _check_alone(found, trained)
        training, validation = _held_out(_in_classes(found, folder), folder, holdout, seed)
    _check_classes(found, training.classes, validation.classes)
    return training, validation


def _only_folder(found: Inventory, names: Collection[str]) -> str | None:
    """Return the one folder of such a name that has images to be trained on or tested on."""
    subsets = {TRAINING, *VALIDATION, *names}
    candidates = []
    for folder in found.folders:
        *above, last = folder.split("/")
        if last in names and not subsets & set(above):
            images = _below(found.images, folder)
            # a class may be called 'train' too; its images lie in it, and not in folders below it
            if images and (last != TRAINING or any("/" in place.name[len(folder) + 1 :] for place in images)):
                candidates.append(folder)
    if len(candidates) > 1:
        raise DataFileError(
            f"one folder is called {' or '.join(names)}",
            f"{found.path} has {listed(sorted(candidates))}",
            "name the folder that holds one set of images",
        )
    return candidates[0] if candidates else None


def _check_alone(found: Inventory, trained: str | None) -> None:
    """Raise where 'train' may be a class among others as well as a folder of classes."""
    if trained is None:
        return
    *above, last = trained.split("/")
    depth = len(above)
    beside = {
        parts[depth]
        for parts in (place.name.split("/") for place in found.images)
        if parts[:depth] == above and len(parts) > depth + 1
    } - {last, *_LEFT_ALONE}
    if beside:
        raise DataFileError(
            "images of which a part is held out lie in class folders of one folder",
            f"{found.path} has folders of classes in {trained}/ and other images in {listed(sorted(beside))}",
            f"name {found.path / trained}, or the folder whose folders are the classes",
        )


def _plain_folder(found: Inventory) -> str:
    """Return the folder whose folders are the classes: the deepest that has all images in folders of its own."""
    if not found.images:
        raise _absent(found, TRAINING)
    common = found.images[0].name.split("/")[:-2]
    for place in found.images:
        parts = place.name.split("/")[:-2]
        shared = 0
        while shared < min(len(common), len(parts)) and common[shared] == parts[shared]:
            shared += 1
        common = common[:shared]
    return "/".join(common)


def _in_classes(found: Inventory, folder: str) -> Listing:
    """Return images whose class is the folder right below `folder` that they lie in."""
    _check_open(found, folder)
    start = len(folder) + 1 if folder else 0
    lost = list(_below(found.lost, folder))
    places, names = [], []
    for place in _below(found.images, folder):
        name, *inside = place.name[start:].split("/", 1)
        if inside:
            places.append(place)
            names.append(name)
        else:
            lost.append(Skipped(place.name, "it lies in no class folder"))
    empty = sorted({name[start:].split("/")[0] for name in found.folders if _is_below(name, folder)} - set(names))
    others = _below(found.others, folder)
    if empty:
        files = sum(place.name[start:].split("/")[0] in empty for place in others)
        raise DataFileError(
            "every class folder has images",
            f"{len(empty)} in {found.path / folder} have none: {listed(empty)}"
            + (f" ({files} other files; images end in {listed(sorted(IMAGE_SUFFIXES), 20)})" if files else ""),
            "fill them or remove them",
        )
    return _labelled(places, names, lost, len([place for place in others if "/" in place.name[start:]]))


def _validation(found: Inventory, folder: str) -> Listing:
    """Return validation images, labelled by their folders or by a table."""
    images = _below(found.images, folder)
    parts = [place.name[len(folder) + 1 :].split("/") for place in images]
    if {names[0] for names in parts if len(names) > 1} - set(_UNCLASSED):
        return _in_classes(found, folder)
    table = label_table(found)
    if table is None:
        raise DataFileError(
            "validation images lie in a folder per class, or a table has their labels",
            f"those in {found.path / folder} have neither",
            f"sort them into folders, or add one of {listed(TABLES)}",
        )
    _check_open(found, folder)
    by_name = read_labels(found, table)
    places, names, lost = [], [], list(_below(found.lost, folder))
    for place in images:
        label = by_name.pop(PurePosixPath(place.name).stem, None)
        if label is None:
            lost.append(Skipped(place.name, f"{table.name} has no label for it"))
        else:
            places.append(place)
            names.append(label)
    lost += [Skipped(f"{folder}/{name}", f"{table.name} has a label for it, but it is absent") for name in by_name]
    others = [place for place in _below(found.others, folder) if place != table]
    return _labelled(places, names, lost, len(others))


def _labelled(places: Sequence[Place], names: Sequence[str], lost: Sequence[Skipped], others: int) -> Listing:
    classes = tuple(sorted(set(names)))
    index = {name: i for i, name in enumerate(classes)}
    labels = np.array([index[name] for name in names], np.int64)
    return Listing(tuple(places), labels, classes, tuple(sorted(lost)), others)


def _held_out(listing: Listing, folder: str, part: float, seed: int) -> tuple[Listing, Listing]:
    """Split every class by the hashes of its images' names, so that no other image and no order matters."""
    start = len(folder) + 1 if folder else 0
    keys = [
        hashlib.sha256(f"{seed}/{place.name[start:]}".encode("utf-8", "surrogateescape")).digest()
        for place in listing.places
    ]
    tested = np.zeros(len(keys), bool)
    for label, name in enumerate(listing.classes):
        rows = sorted(np.flatnonzero(listing.labels == label), key=lambda row: keys[row])
        if len(rows) < 2:
            raise DataFileError(
                "a class of which images are held out has at least two", f"'{name}' has one", "add images or remove it"
            )
        tested[rows[: min(max(round(part * len(rows)), 1), len(rows) - 1)]] = True
    training, validation = (
        Listing(
            tuple(place for place, wanted in zip(listing.places, chosen, strict=True) if wanted),
            listing.labels[chosen],
            listing.classes,
        )
        for chosen in (~tested, tested)
    )
    return Listing(training.places, training.labels, training.classes, listing.lost, listing.others), validation


def _check_classes(found: Inventory, training: Sequence[str], validation: Sequence[str]) -> None:
    if training != validation:
        only = [sorted(set(a) - set(b)) for a, b in ((training, validation), (validation, training))]
        raise DataFileError(
            "training and validation images have the same classes",
            f"of {found.path}, only those for training have {listed(only[0]) or 'none'}, "
            f"only those for validation {listed(only[1]) or 'none'}",
            "add the absent ones or remove the others",
        )
    if len(training) < 2:
        raise DataFileError(
            "a recognition task has at least two classes", f"{found.path} has {listed(training)}", "add another"
        )


def _check_open(found: Inventory, folder: str) -> None:
    # a folder that cannot be read may hold any part of a class
    closed = [(name, why) for name, why in found.closed if name == folder or _is_below(name, folder)]
    if closed:
        raise DataFileError(
            "folders of images can be read",
            f"{len(closed)} of {found.path} cannot: {listed(f'{name} ({why})' for name, why in closed)}",
            "give the rights to read them, or remove them",
        )


def _below(named: Sequence[_Named], folder: str) -> list[_Named]:
    return [one for one in named if _is_below(one.name, folder)]


def _is_below(name: str, folder: str) -> bool:
    return not folder or name.startswith(folder + "/")


def _absent(found: Inventory, subset: str) -> DataFileError:
    archives = sum(place.name.endswith(".tar") for place in found.others)
    return DataFileError(
        f"training images lie in {subset}/CLASS/ of a folder or tar file",
        f"{found.path} has none there"
        + (f", but {archives} archives: those are not unpacked" if archives and not found.images else ""),
        "name the folder or archive that holds train/ and val/"
        + (", or give --holdout 0.1 to test on a tenth of each class" if found.images else ""),
    )
