"""Images that are decoded whenever they are shown, by worker processes, from their files or an archive.

What is shown is a function of the image, its crop and the size alone: workers only decode what they are asked for, draw
no random numbers, and answer in the order of the questions.
"""

from __future__ import annotations

import atexit
import hashlib
import signal
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from neurofit.errors import DataFileError
from neurofit.files.atomic import atomic_write, reporting_output_errors
from neurofit.files.json_text import misfit, read_json, to_json
from neurofit.training.augmentation import Crops
from neurofit.training.image_decoding import Part, View, check_header, check_image, shown
from neurofit.training.image_store import Place, Skipped, read_bytes

Verify = Literal["decode", "header"]
"""How images are checked before the first is shown: decoded, or only begun to be read."""

_AT_ONCE = 64
"""Images that a worker checks or loads at a time."""

_Result = TypeVar("_Result")


class Request(NamedTuple):
    """One image to be shown."""

    place: Place
    size_px: int
    part: Part | None = None


@dataclass(frozen=True)
class ImageFiles:
    """Images of one subset, decoded when they are shown; an `ImageSource`.

    Parameters
    ----------
    path : Path
        Folder or uncompressed tar archive.
    places : tuple of Place
    labels : tensor (n,), int64
    classes : tuple of str
        Class names; label i is classes[i].
    view : {'whole', 'centre'}
        What is shown without crops, see `neurofit.training.image_decoding.shown`.
    workers : int
        Processes that decode; 0 decodes in the calling one.
    skipped : tuple of Skipped
        Images that were left out, and why.
    others : int
        Files that are not called as images are.
    """

    path: Path
    places: tuple[Place, ...]
    labels: Tensor
    classes: tuple[str, ...]
    view: View = "whole"
    workers: int = 0
    skipped: tuple[Skipped, ...] = ()
    others: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over view, classes, and every image's name, size in bytes and label."""
        digest = hashlib.sha256(_line("files", self.view, *self.classes))
        for place, label in zip(self.places, self.labels.tolist(), strict=True):
            digest.update(_line(place.name, place.size, label))
        return digest.hexdigest()

    def batches(self, batches: Sequence[Tensor], crops: Crops | None, size_px: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels; see `neurofit.training.datasets.ImageSource.batches`.

        Raises
        ------
        DataFileError
            If an image can no longer be read or decoded, or a worker died.
        """
        requests = (self._requests(rows, crops, size_px) for rows in batches)
        for rows, (images, failures) in zip(
            batches, shown_batches(self.path, self.view, requests, self.workers), strict=True
        ):
            for index, reason in failures.items():
                raise DataFileError(
                    "images stay as they were when the run began",
                    f"{self.places[int(rows[index])].name} in {self.path}: {reason}",
                    "restore it and give the same command, which goes on from the last checkpoint; "
                    "or remove it and train anew",
                )
            yield torch.from_numpy(images).float(), self.labels[rows]

    def _requests(self, rows: Tensor, crops: Crops | None, size_px: int) -> list[Request]:
        places = [self.places[row] for row in rows.tolist()]
        if crops is None:
            return [Request(place, size_px) for place in places]
        cut = crops[rows]
        columns = (cut.left, cut.top, cut.width, cut.height, cut.mirrored)
        parts = zip(*(values.tolist() for values in columns), strict=True)
        return [Request(place, size_px, Part(*part)) for place, part in zip(places, parts, strict=True)]


def shown_batches(
    path: Path,
    view: View,
    requests: Iterable[list[Request]],
    workers: int,
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> Iterator[tuple[np.ndarray, Mapping[int, str]]]:
    """Decode batches of images, in their order.

    Yields
    ------
    images : array (B, 3, size_px, size_px), uint8
        Zero where an image failed.
    failures : mapping from int to str
        Why, by place in the batch.
    """
    return _results(_Shown(path, view, resampling), requests, workers)


def failures_of(
    path: Path, places: Sequence[Place], verify: Verify, workers: int, remembered: Path | None = None
) -> dict[int, str]:
    """Check all images, and return why those fail that do, by index.

    Parameters
    ----------
    path : Path
        Folder or uncompressed tar archive.
    places : sequence of Place
    verify : {'decode', 'header'}
    workers : int
    remembered : Path, optional
        JSON file that keeps what was found, by a hash of names and sizes, so that a second run need not look again.
        Where several processes look, the first may do so alone before the others.

    Raises
    ------
    OutputError
        If `remembered` cannot be written.
    """
    digest = hashlib.sha256(_line(verify, len(places)))
    for place in places:
        digest.update(_line(place.name, place.size))
    known = _remembered(remembered)
    found = known.get(digest.hexdigest())
    if found is not None:
        return {int(index): str(reason) for index, reason in found.items()}
    failures: dict[int, str] = {}
    batches = [list(places[start : start + _AT_ONCE]) for start in range(0, len(places), _AT_ONCE)]
    with tqdm(total=len(places), desc="checking images", unit="image", leave=False) as bar:
        for number, failed in enumerate(_results(_Checked(path, verify), batches, workers)):
            failures |= {number * _AT_ONCE + index: reason for index, reason in failed.items()}
            bar.update(len(batches[number]))
    if remembered is not None:
        with reporting_output_errors(remembered):
            remembered.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(remembered) as file:
                file.write(to_json({**known, digest.hexdigest(): failures}).encode())
    return failures


def load_images(
    path: Path, places: Sequence[Place], size_px: int, view: View, workers: int
) -> tuple[np.ndarray, dict[int, str]]:
    """Decode all images, and return them (n, 3, size_px, size_px), uint8, and why those fail that do, by index."""
    images = np.empty((len(places), 3, size_px, size_px), np.uint8)
    failures: dict[int, str] = {}
    requests = (
        [Request(place, size_px) for place in places[start : start + _AT_ONCE]]
        for start in range(0, len(places), _AT_ONCE)
    )
    start = 0
    with tqdm(total=len(places), desc="reading images", unit="image", leave=False) as bar:
        for batch, failed in shown_batches(path, view, requests, workers, Image.Resampling.BICUBIC):
            images[start : start + len(batch)] = batch
            failures |= {start + index: reason for index, reason in failed.items()}
            start += len(batch)
            bar.update(len(batch))
    return images, failures


class _Shown(Dataset[tuple[np.ndarray, Mapping[int, str]]]):
    """Pixels by request; why there are none, where there are none.

    Arrays go through the workers' pipes. Tensors would go through shared memory, of which containers have little
    (64 MB in Docker's default), and a worker that finds none left dies.
    """

    def __init__(self, path: Path, view: View, resampling: Image.Resampling) -> None:
        self.path, self.view, self.resampling = path, view, resampling

    def __getitems__(self, requests: Sequence[Request]) -> tuple[np.ndarray, Mapping[int, str]]:
        size_px = requests[0].size_px
        images = np.zeros((len(requests), 3, size_px, size_px), np.uint8)
        failures = {}
        for index, (place, _, part) in enumerate(requests):
            try:
                content = read_bytes(self.path, place)
                images[index] = shown(content, size_px, part, self.view, self.resampling)
            except DataFileError as error:
                failures[index] = error.found
        return images, failures


class _Checked(Dataset[dict[int, str]]):
    """Why images fail that do."""

    def __init__(self, path: Path, verify: Verify) -> None:
        self.path, self.check = path, check_image if verify == "decode" else check_header

    def __getitems__(self, places: Sequence[Place]) -> dict[int, str]:
        failures = {}
        for index, place in enumerate(places):
            try:
                self.check(read_bytes(self.path, place))
            except DataFileError as error:
                failures[index] = error.found
        return failures


def _results(
    items: Dataset[_Result], requests: Iterable[Sequence[tuple[object, ...]]], workers: int
) -> Iterator[_Result]:
    """Yield what `items` answers to each request, in their order."""
    loader = DataLoader(
        items,
        batch_sampler=requests,  # type: ignore[arg-type]  # any iterable of batches
        num_workers=workers,
        collate_fn=_as_it_is,
        worker_init_fn=_leave_interrupts_to_the_parent if workers else None,
        generator=torch.Generator(),  # else each pass would draw from the global one
    )
    with warnings.catch_warnings():
        # Python 3.12 warns of forks beside threads, whose locks a child may wait for; workers take none of them
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        answers = iter(loader)
    # private, but an error or the end of the program would otherwise leave them to be killed, and torch to report that
    end_workers = getattr(answers, "_shutdown_workers", None) or _nothing_to_end
    atexit.register(end_workers)
    try:
        yield from answers
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise DataFileError(
            "processes that decode images live as long as the run",
            f"{error}",
            "take fewer --workers (each needs memory), and give the same command to go on",
        ) from error
    finally:
        atexit.unregister(end_workers)
        end_workers()


def _nothing_to_end() -> None:
    """Stand for the end of workers where the calling process decodes."""


def _as_it_is(answer: _Result) -> _Result:
    return answer


def _leave_interrupts_to_the_parent(worker: int) -> None:
    # Ctrl-C reaches all processes of a terminal; the parent ends its workers when it has saved its state
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # a forked worker would otherwise keep the parent's handler, and outlive its request to end
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _remembered(path: Path | None) -> dict[str, dict[str, str]]:
    """Return what a file remembers; one that cannot be read costs another look, no more."""
    if path is None:
        return {}
    try:
        known = read_json(path)
    except (OSError, ValueError):
        return {}
    if misfit(known, {...: {...: str}}):
        return {}
    return {key: found for key, found in known.items() if found is not None and all(map(_is_index, found))}


def _is_index(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 10


def _line(*values: object) -> bytes:
    return ("\0".join(map(str, values)) + "\n").encode("utf-8", "surrogateescape")
