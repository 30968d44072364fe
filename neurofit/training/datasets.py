"""Labelled images for recognition tasks, from a folder or straight from a tar archive.

Two kinds of source show the same images: `LabelledImages` are decoded once and kept in memory, `ImageFiles` are decoded
whenever they are shown, and cropped from the original picture. Layouts: `neurofit.training.image_layouts`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from neurofit.errors import ConfigurationError, DataFileError, listed
from neurofit.kernel.routes import size_text
from neurofit.training.augmentation import Crops, cropped, resized
from neurofit.training.image_decoding import View, shown
from neurofit.training.image_files import ImageFiles, Verify, failures_of, load_images
from neurofit.training.image_layouts import Listing, find_subset, find_subsets
from neurofit.training.image_store import Inventory, Skipped, contents, inventory

ALLOW_SKIPPED = 0.01
"""Part of a subset's images that may be left out because they cannot be used; our choice."""

MEMORY_BYTES = 8 * 2**30
"""For images in memory; the default of `--memory` for features too."""


class ImageSource(Protocol):
    """Labelled images that can be shown in any order."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; label i is classes[i]."""

    @property
    def fingerprint(self) -> str:
        """Hash of which images, in which order, under which labels; a run goes on only with the same."""

    @property
    def skipped(self) -> tuple[Skipped, ...]:
        """Images that were left out, and why."""

    @property
    def others(self) -> int:
        """Files among the images that are not called as images are, and were left alone."""

    def __len__(self) -> int: ...

    def batches(self, batches: Sequence[Tensor], crops: Crops | None, size_px: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels, a batch at a time.

        Parameters
        ----------
        batches : sequence of tensor (B,), int64
            Which images are in each batch.
        crops : Crops or None
            What is shown of every image, of one entry an image of the source; None is the whole image.
        size_px : int

        Yields
        ------
        images : tensor (B, 3, size_px, size_px), float32
            In units of 0 to 255.
        labels : tensor (B,), int64
        """


@dataclass(frozen=True)
class LabelledImages:
    """Images of one subset, in memory.

    Parameters
    ----------
    images : tensor (n, 3, side, side), uint8
    labels : tensor (n,), int64
    classes : tuple of str
        Class names; label i is classes[i].
    skipped : tuple of Skipped
        Images that were left out, and why.
    others : int
        Files that are not called as images are.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...] = ()
    others: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over classes, labels and pixels."""
        digest = hashlib.sha256("\0".join(self.classes).encode("utf-8", "surrogateescape"))
        digest.update(str(tuple(self.images.shape)).encode())
        for values in (self.labels, self.images):
            digest.update(np.ascontiguousarray(values.cpu().numpy()).data)
        return digest.hexdigest()

    def batches(self, batches: Sequence[Tensor], crops: Crops | None, size_px: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels; see `ImageSource.batches`."""
        for rows in batches:
            images = self.images[rows].float()
            shown = resized(images, size_px) if crops is None else cropped(images, crops[rows], size_px)
            yield shown, self.labels[rows]


@dataclass(frozen=True)
class Task:
    """A recognition task: images to train on and images to test on, of the same classes.

    Parameters
    ----------
    training, validation : ImageSource
    """

    training: ImageSource
    validation: ImageSource

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; label i is classes[i]."""
        return self.training.classes

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over both subsets' fingerprints."""
        return hashlib.sha256(f"{self.training.fingerprint}\n{self.validation.fingerprint}".encode()).hexdigest()

    @property
    def remarks(self) -> list[str]:
        """Sentences on what was left out; none if nothing was."""
        found = []
        for name, source in (("training", self.training), ("validation", self.validation)):
            if source.skipped:
                found.append(
                    f"{len(source.skipped)} of {len(source) + len(source.skipped)} {name} images are skipped: "
                    + listed(_in_words(source.skipped), 3)
                )
            if source.others:
                found.append(f"files among the {name} images that are not called as images are: {source.others}")
        return found


def open_task(
    path: Path,
    size_px: int,
    *,
    images: Literal["memory", "files"] = "memory",
    holdout: float | None = None,
    holdout_seed: int = 0,
    view: View = "whole",
    allow_skipped: float = ALLOW_SKIPPED,
    verify: Verify = "decode",
    workers: int = 0,
    memory_bytes: int = MEMORY_BYTES,
    remembered: Path | None = None,
    choose: Callable[[str, Listing], Listing] | None = None,
) -> Task:
    """Return the images of a folder or tar archive to train on and to test on.

    Parameters
    ----------
    path : Path
        Its layouts are those of `neurofit.training.image_layouts`; archives are read in place.
    size_px : int
        Side at which images are kept in memory; files are shown at any size.
    images : {'memory', 'files'}
        Where images are while the network is trained. In memory each was squashed to a square, and is cropped from
        that; from files it is cropped from the original picture. What is shown therefore differs where pictures are
        larger than `size_px`, and neither takes the other's place unasked.
    holdout : float, optional
        Part of each class that is tested on, where there are no validation images.
    holdout_seed : int
        Of which these are.
    view : {'whole', 'centre'}
        What is shown of a validation image: all of it, squashed to a square as training images are, or the central
        224/256 of its short side (neuroailab/convrnns @ b76a44d, run_model.py).
    allow_skipped : float
        Part of each subset's images that may be unusable; they are left out, counted and named.
    verify : {'decode', 'header'}
        How files are checked before the first is shown. An image whose header alone was read may end the run later.
    workers : int
        Processes that decode; what is shown does not depend on them.
    memory_bytes : int
        What images in memory may take.
    remembered : Path, optional
        JSON file that keeps which files failed the check, so that a run that goes on need not check again.
    choose : callable, optional
        From 'training' or 'validation' and its listing to the part of it that is wanted; others are not decoded.

    Raises
    ------
    DataFileError
        If there are no such images, too many cannot be used, a class has none, or both subsets' classes are not the
        same.
    ConfigurationError
        If images do not fit into the memory, a compressed archive is not to be read into memory, or a part is none.
    """
    if not 0 <= allow_skipped < 1:
        raise ConfigurationError(
            "a part of the images that may be skipped is at least 0 and below 1", f"it is {allow_skipped}", "choose .01"
        )
    found = inventory(path)
    listings = dict(zip(("training", "validation"), find_subsets(found, holdout, holdout_seed), strict=True))
    if choose is not None:
        listings = {name: choose(name, listing) for name, listing in listings.items()}
    if images == "memory":
        _check_memory(path, sum(len(listing.places) for listing in listings.values()), size_px, memory_bytes)
        training, validation = (
            _in_memory(found, listing, name, size_px, view if name == "validation" else "whole", allow_skipped, workers)
            for name, listing in listings.items()
        )
        return Task(training, validation)
    if found.compressed:
        raise ConfigurationError(
            "images are read one by one from a folder or an uncompressed archive",
            f"{path} is compressed",
            "uncompress it, or read it into memory (--images memory)",
        )
    files = []
    for name, listing in listings.items():
        failures = failures_of(path, listing.places, verify, workers, remembered)
        kept, skipped = _usable(path, listing, failures, name, allow_skipped)
        files.append(
            ImageFiles(
                path,
                tuple(listing.places[row] for row in kept),
                torch.from_numpy(listing.labels[kept]),
                listing.classes,
                view if name == "validation" else "whole",
                workers,
                skipped,
                listing.others,
            )
        )
    return Task(*files)


def read_labelled_images(
    path: Path, subset: str, size_px: int, *, allow_skipped: float = ALLOW_SKIPPED
) -> LabelledImages:
    """Read one subset of a folder or tar archive into memory.

    Parameters
    ----------
    path : Path
        Folder or .tar file; archives are read in place, nothing is unpacked.
    subset : str
        'train' or 'val'.
    size_px : int
        Images are resized to size_px x size_px (bicubic) where they are not.
    allow_skipped : float
        Part of the images that may be unusable.

    Raises
    ------
    DataFileError
        If there are no such images, or too many cannot be used.
    """
    found = inventory(path)
    return _in_memory(found, find_subset(found, subset), subset, size_px, "whole", allow_skipped, 0)


def _in_memory(
    found: Inventory, listing: Listing, name: str, size_px: int, view: View, allow_skipped: float, workers: int
) -> LabelledImages:
    if found.compressed:
        images, failures = _from_compressed(found, listing, size_px, view)
    else:
        images, failures = load_images(found.path, listing.places, size_px, view, workers)
    kept, skipped = _usable(found.path, listing, failures, name, allow_skipped)
    if len(kept) < len(images):
        for to, row in enumerate(kept):  # in place: a copy might not fit
            images[to] = images[row]
        images = images[: len(kept)]
    labels = torch.from_numpy(listing.labels[kept])
    return LabelledImages(torch.from_numpy(images), labels, listing.classes, skipped, listing.others)


def _from_compressed(found: Inventory, listing: Listing, size_px: int, view: View) -> tuple[np.ndarray, dict[int, str]]:
    """Decode images in the order in which the archive has them."""
    images = np.empty((len(listing.places), 3, size_px, size_px), np.uint8)
    failures = {}
    for row, content in tqdm(contents(found, listing.places), desc="reading images", unit="image", leave=False):
        try:
            images[row] = shown(content, size_px, view=view, resampling=Image.Resampling.BICUBIC)
        except DataFileError as error:
            failures[row] = error.found
    return images, failures


def _usable(
    path: Path, listing: Listing, failures: Mapping[int, str], name: str, allow_skipped: float
) -> tuple[np.ndarray, tuple[Skipped, ...]]:
    """Return which images can be used, and all that cannot; raise if those are too many."""
    skipped = sorted((*listing.lost, *(Skipped(listing.places[row].name, why) for row, why in failures.items())))
    total = len(listing.places) + len(listing.lost)
    if len(skipped) > allow_skipped * total:
        raise DataFileError(
            "every training image can be decoded, or nearly every one",
            f"{len(skipped)} of {total} {name} images in {path} cannot be used, more than the part of "
            f"{allow_skipped:g} that may be: {listed(_in_words(skipped), 3)}",
            f"remove or mend them, or allow more (--allow-skipped {_enough(len(skipped), total)})",
        )
    kept = np.array([row for row in range(len(listing.places)) if row not in failures], np.int64)
    lacking = sorted(set(range(len(listing.classes))) - set(listing.labels[kept].tolist()))
    if lacking:
        raise DataFileError(
            "every class has images that can be used",
            f"none of the {name} images of {listed(listing.classes[label] for label in lacking)} in {path} can: "
            + listed(_in_words(skipped), 3),
            "mend them or remove these classes",
        )
    return kept, tuple(skipped)


def _enough(skipped: int, total: int) -> str:
    """Write the least part, in hundredths, that allows for so many."""
    return f"{min(-(-100 * skipped // total), 99) / 100:g}"


def _check_memory(path: Path, count: int, size_px: int, memory_bytes: int) -> None:
    needed = 3 * size_px**2 * count
    if needed > memory_bytes:
        raise ConfigurationError(
            "images in memory fit into the memory that they may take",
            f"{count} images of {path} at {size_px} px take {size_text(needed)} of {size_text(memory_bytes)}",
            "decode them when they are shown (--images files), or allow more (--image-memory)",
        )


def _in_words(skipped: Sequence[Skipped]) -> list[str]:
    # names that are no text would end the message, not only spoil it
    return [f"{one.name} ({one.reason})".encode("utf-8", "backslashreplace").decode("utf-8") for one in skipped]
