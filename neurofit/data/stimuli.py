"""Sets of images, read one at a time."""

from __future__ import annotations

import hashlib
import io
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Protocol

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from neurofit.data.tables import check_lines
from neurofit.errors import AssemblyError, DataFileError, UnknownNameError, listed
from neurofit.vocabulary import STIMULUS_ID

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp"})
IMAGE_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")  # Pillow's names of the same
# what damaged archives make zipfile raise
ZIP_ERRORS = (
    OSError, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
MAX_IMAGE_BYTES = 256_000_000  # of one file in an archive, unpacked
MAX_IMAGE_PIXELS = 64_000_000  # of one image; a larger one is taken for a decompression bomb


class ImageSource(Protocol):
    """Pixels by row of the stimulus table."""

    def __getitem__(self, row: int) -> np.ndarray:
        """Return the image (H, W, 3), uint8."""


@dataclass(frozen=True, eq=False)
class StimulusSet:
    """Images under their ids.

    Parameters
    ----------
    name : str
    table : DataFrame
        One row per image, with a unique `stimulus_id` and whatever else is known (object_name, ...).
    images : ImageSource
        Pixels by row of the *original* table.
    size_deg : float or None
        Visual angle of an image's side; None where the source does not state it.
    simulated : bool
        Whether the images come from neurofit's own renderer.
    rows : array of int, optional
        Rows of `images` that the table's rows stand for; all by default.
    """

    name: str
    table: pd.DataFrame
    images: ImageSource
    size_deg: float | None = None
    simulated: bool = False
    rows: np.ndarray | None = None

    def __post_init__(self) -> None:
        ids = self.table[STIMULUS_ID]
        if ids.duplicated().any():
            raise AssemblyError(
                "stimulus_id is unique in a stimulus set",
                f"'{self.name}' repeats {listed(ids[ids.duplicated()].unique(), 3)}",
                "give every image an id of its own",
            )

    def __len__(self) -> int:
        return len(self.table)

    @property
    def ids(self) -> list[str]:
        """Ids in order."""
        return self.table[STIMULUS_ID].astype(str).tolist()

    def image(self, row: int) -> np.ndarray:
        """Return the pixels (H, W, 3), uint8, of one row."""
        return self.images[int(row if self.rows is None else self.rows[row])]

    def subset(self, ids: Sequence[str]) -> StimulusSet:
        """Return the named stimuli, in that order.

        Raises
        ------
        UnknownNameError
            If an id is not in the set.
        """
        position = {name: i for i, name in enumerate(self.ids)}
        for name in ids:
            if name not in position:
                raise UnknownNameError("stimulus", name, list(position)[:20])
        chosen = np.array([position[name] for name in ids])
        rows = chosen if self.rows is None else self.rows[chosen]
        return replace(self, table=self.table.iloc[chosen].reset_index(drop=True), rows=rows)

    def content_hash(self) -> str:
        """Return a SHA-256 over ids and pixels."""
        digest = hashlib.sha256()
        for row, name in enumerate(self.ids):
            image = self.image(row)
            digest.update(f"{name}\0{image.shape}\0".encode())
            digest.update(np.ascontiguousarray(image).tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class ZipImages:
    """Images inside a zip archive, read without unpacking it.

    Parameters
    ----------
    path : Path
    names : sequence of str
        Members, in row order.
    """

    path: Path
    names: Sequence[str]

    def __getitem__(self, row: int) -> np.ndarray:
        name = self.names[row]
        try:
            with zipfile.ZipFile(self.path) as archive:
                size = archive.getinfo(name).file_size
                if size > MAX_IMAGE_BYTES:
                    raise DataFileError(
                        f"a stimulus' file has at most {MAX_IMAGE_BYTES} bytes",
                        f"{name} in {self.path} declares {size}",
                        "scale the image down",
                    )
                content = archive.read(name)
        except ZIP_ERRORS as error:
            raise _unreadable(f"{name} in {self.path}", error) from error
        return decode_image(content, f"{name} in {self.path}")


@dataclass(frozen=True)
class FolderImages:
    """Images as files of one folder.

    Parameters
    ----------
    paths : sequence of Path
        In row order.
    """

    paths: Sequence[Path]

    def __getitem__(self, row: int) -> np.ndarray:
        path = self.paths[row]
        try:
            content = path.read_bytes()
        except OSError as error:
            raise _unreadable(str(path), error) from error
        return decode_image(content, str(path))


def stimuli_from_folder(folder: str | Path, size_deg: float | None = None) -> StimulusSet:
    """Return the images of a folder; the file name without its suffix is the stimulus_id.

    Raises
    ------
    DataFileError
        If the folder holds no images.
    """
    folder = Path(folder)
    paths = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    if not paths:
        raise DataFileError(
            "stimuli are image files of a folder", f"{folder} holds none", "name the folder with the png or jpg files"
        )
    table = pd.DataFrame({STIMULUS_ID: [p.stem for p in paths], "filename": [p.name for p in paths]})
    return StimulusSet(folder.name, table, FolderImages(paths), size_deg)


def stimuli_from_zip(
    path: Path, name: str, *, table: Path | None = None, prefix: str = "", size_deg: float | None = None
) -> StimulusSet:
    """Return the images of a zip archive, read in place.

    Parameters
    ----------
    path : Path
    name : str
        Of the set.
    table : Path, optional
        CSV with the columns stimulus_id (or image_id, as Brain-Score's older files say) and filename; without it the
        sorted members are the stimuli, each under its file name without suffix.
    prefix : str
        Put before those ids.
    size_deg : float, optional

    Raises
    ------
    DataFileError
        If archive or table are unreadable, or an image of the table is not in the archive.
    """
    members = zip_image_names(path)
    if table is None:
        ids = [prefix + PurePosixPath(m).stem for m in members]
        return StimulusSet(name, pd.DataFrame({STIMULUS_ID: ids}), ZipImages(path, members), size_deg)
    listing = _stimulus_table(table)
    by_name = {PurePosixPath(m).name: m for m in members}
    missing = [f for f in listing["filename"] if PurePosixPath(f).name not in by_name]
    if missing:
        raise DataFileError(
            "every stimulus of the table is in the archive",
            f"{len(missing)} of {table} are not in {path}: {listed(missing, 3)}",
            "give table and archive of the same set",
        )
    images = ZipImages(path, [by_name[PurePosixPath(f).name] for f in listing["filename"]])
    return StimulusSet(name, listing, images, size_deg)


def zip_image_names(path: str | Path) -> list[str]:
    """Return the image members of a zip archive in sorted order (that inside the archive may differ).

    Raises
    ------
    DataFileError
        If it cannot be read or holds no images.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(n for n in archive.namelist() if PurePosixPath(n).suffix.lower() in IMAGE_SUFFIXES)
    except ZIP_ERRORS as error:
        raise DataFileError("stimuli are a readable zip archive", f"{path}: {error}", "fetch it anew") from error
    if not names:
        raise DataFileError(
            "an archive of images holds some", f"{path} holds no {listed(sorted(IMAGE_SUFFIXES))}", "check the path"
        )
    return names


def _stimulus_table(path: Path) -> pd.DataFrame:
    try:
        check_lines(path, "a stimulus table")
        table = pd.read_csv(path, low_memory=False)
    except AssemblyError as error:
        raise DataFileError(error.promise, f"{path}: {error.found}", error.remedy) from error
    except (OSError, ValueError) as error:
        raise DataFileError("a stimulus table is a readable CSV file", f"{path}: {error}", "fetch it anew") from error
    if STIMULUS_ID not in table and "image_id" in table:
        table = table.rename(columns={"image_id": STIMULUS_ID})
    if "filename" not in table and "image_file_name" in table:
        table = table.rename(columns={"image_file_name": "filename"})
    absent = [c for c in (STIMULUS_ID, "filename") if c not in table]
    if absent:
        raise DataFileError(
            "a stimulus table has the columns stimulus_id and filename",
            f"{path} lacks {listed(absent)}",
            "add or rename them",
        )
    if table[[STIMULUS_ID, "filename"]].isna().any(axis=None):
        raise DataFileError("every stimulus of a table has an id and a filename", f"{path} lacks some", "fill them in")
    return table.assign(stimulus_id=table[STIMULUS_ID].astype(str), filename=table["filename"].astype(str))


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Return the pixels (H, W, 3), uint8, of an encoded image.

    Raises
    ------
    DataFileError
        If it is no image, is cut short, or is implausibly large.
    """
    try:
        # what Pillow makes of other formats is nobody's stimulus: it hands EPS over to Ghostscript, another program
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which have a bound of ours, and of palettes
            with Image.open(io.BytesIO(content), formats=IMAGE_FORMATS) as picture:
                if picture.width * picture.height > MAX_IMAGE_PIXELS:
                    raise DataFileError(
                        f"a stimulus has at most {MAX_IMAGE_PIXELS} pixels",
                        f"{name} is {picture.width} x {picture.height}",
                        "scale it down",
                    )
                return np.asarray(picture.convert("RGB"))
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> DataFileError:
    return DataFileError("every stimulus is a readable image", f"{name}: {error}", "fetch or write it anew")
