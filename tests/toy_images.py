"""Small image files of known colours, and folders of them, as users have them."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"ant": (200, 30, 30), "bee": (30, 200, 30), "cat": (30, 30, 200)}


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    """Content of an image file."""
    content = io.BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()


def noisy(colour=(120, 120, 120), seed=0, size=(24, 20)) -> Image.Image:
    """A picture (width, height) of a colour with noise, so that no two are alike and JPEG has something to store."""
    noise = np.random.default_rng(seed).integers(-25, 26, (size[1], size[0], 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


def write(path: Path, content: bytes) -> Path:
    """Write a file and the folders that it lies in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_classes(folder: Path, each: int = 4, classes=tuple(COLOURS), first: int = 0, size=(24, 20)) -> Path:
    """Write `each` JPEG of every class into a folder of its own."""
    for c, name in enumerate(classes):
        for i in range(first, first + each):
            picture = noisy(COLOURS.get(name, (90, 90, 90)), seed=100 * c + i, size=size)
            write(folder / name / f"{name}_{i}.JPEG", encoded(picture, "JPEG", quality=90))
    return folder


def write_dataset(folder: Path, each: int = 4, size=(24, 20)) -> Path:
    """Write train/CLASS and val/CLASS."""
    write_classes(folder / "train", each, size=size)
    write_classes(folder / "val", 2, first=1000, size=size)
    return folder


def archived(folder: Path, archive: Path, mode: str = "w") -> Path:
    """Write a folder as a tar archive; mode 'w:gz' compresses it."""
    with tarfile.open(archive, mode) as tar:
        tar.add(folder, "set")
    return archive
