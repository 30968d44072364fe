"""Which files a folder or a tar archive holds, and their bytes; archives are read in place."""

from __future__ import annotations

import lzma
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, Self

from tqdm import tqdm

from neurofit.errors import DataFileError

IMAGE_SUFFIXES = frozenset(
    {".jpeg", ".jpg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
)  # fmt: skip

MAX_FILE_BYTES = 256_000_000
"""Of one image file; as of a stimulus (`neurofit.data.stimuli`)."""

_APPLE = "__MACOSX"  # zip programs of macOS put copies of metadata there, under the images' names

# what damaged archives make tarfile raise
ARCHIVE_ERRORS = (OSError, EOFError, ValueError, tarfile.TarError, zlib.error, lzma.LZMAError)

_BLOCK = 512  # of a tar archive (POSIX.1-2001, pax)
_MOST_NAME_BYTES = 2**20  # of a long name or a table of attributes, which tarfile reads whole
_NAMING = (
    tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE,
)  # fmt: skip


class _Header(tarfile.TarInfo):
    """A header that does not make tarfile take any memory that it names."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str | None, errors: str) -> Self:
        made = super().frombuf(buf, encoding, errors)  # type: ignore[arg-type]  # typeshed: encoding may be None
        if made.size < 0 or (made.type in _NAMING and made.size > _MOST_NAME_BYTES):
            raise tarfile.ReadError(f"a header speaks of a name of {made.size} bytes")
        return made


class Place(NamedTuple):
    """Where the bytes of a file are.

    Parameters
    ----------
    name : str
        Below the folder or in the archive, with '/' between the parts.
    size : int
        Bytes.
    offset : int
        In the archive (unpacked, if it is compressed); -1 for a file of its own.
    """

    name: str
    size: int
    offset: int = -1


class Skipped(NamedTuple):
    """An image that is left out, and why."""

    name: str
    reason: str


@dataclass
class Inventory:
    """What a folder or archive holds.

    Parameters
    ----------
    path : Path
    compressed : bool
        Whether it is an archive that cannot be read from any place.
    images : list of Place
        Files with the suffix of an image, sorted by the parts of their names.
    others : list of Place
        Other files.
    folders : set of str
    lost : list of Skipped
        What has an image's name and cannot be read as a file.
    closed : list of Skipped
        Folders that cannot be read.
    """

    path: Path
    compressed: bool = False
    images: list[Place] = field(default_factory=list)
    others: list[Place] = field(default_factory=list)
    folders: set[str] = field(default_factory=set)
    lost: list[Skipped] = field(default_factory=list)
    closed: list[Skipped] = field(default_factory=list)

    def add(self, place: Place) -> None:
        """Take a file up."""
        if not is_image_name(place.name):
            self.others.append(place)
        elif place.size > MAX_FILE_BYTES:
            self.lost.append(Skipped(place.name, f"it has {place.size} bytes (limit {MAX_FILE_BYTES})"))
        else:
            self.images.append(place)


def is_image_name(name: str) -> bool:
    """Whether a file is called as an image is."""
    return PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES


def inventory(path: Path) -> Inventory:
    """Return what a folder or tar archive holds, without hidden files and folders.

    Symbolic links are followed in folders, but not back to a folder that they lie in; those in archives are not.

    Raises
    ------
    DataFileError
        If it is neither, or the archive is cut short or damaged.
    """
    found = _folder(path) if path.is_dir() else _archive(path)
    found.images.sort(key=lambda place: place.name.split("/"))
    return found


def read_bytes(path: Path, place: Place) -> bytes:
    """Return the content of a file of a folder or an uncompressed archive.

    Raises
    ------
    DataFileError
        If it cannot be read; its `found` is the reason.
    """
    try:
        with (path if place.offset >= 0 else path / place.name).open("rb") as file:
            return _part(file, place)
    except OSError as error:
        raise _unreadable(error.strerror or str(error)) from error


def contents(found: Inventory, places: Sequence[Place]) -> Iterator[tuple[int, bytes]]:
    """Yield (index into `places`, content) in the order in which a compressed archive has them.

    Raises
    ------
    DataFileError
        If the archive cannot be read.
    """
    order = sorted(range(len(places)), key=lambda index: places[index].offset)
    try:
        with tarfile.open(found.path, tarinfo=_Header) as archive:
            file = archive.fileobj
            for index in order if file is not None else ():
                yield index, _part(file, places[index])  # type: ignore[arg-type]
    except ARCHIVE_ERRORS as error:
        raise _no_archive(found.path, error) from error


def _part(file: IO[bytes], place: Place) -> bytes:
    if place.offset < 0:
        return file.read(MAX_FILE_BYTES)
    file.seek(place.offset)
    content = file.read(place.size)
    if len(content) < place.size:
        raise _unreadable("the archive ends before it does")
    return content


def _folder(path: Path) -> Inventory:
    found = Inventory(path)
    top = path.stat()
    # (folder, its name, the folders above it and itself as the file system knows them)
    open_folders: list[tuple[Path, str, frozenset[tuple[int, int]]]] = [
        (path, "", frozenset({(top.st_dev, top.st_ino)}))
    ]
    with tqdm(desc="listing images", unit="file", leave=False) as bar:
        while open_folders:
            folder, prefix, above = open_folders.pop()
            try:
                with os.scandir(folder) as entries:
                    listed = list(entries)
            except OSError as error:
                if folder == path:
                    raise _no_archive(path, error) from error
                found.closed.append(Skipped(prefix.rstrip("/"), error.strerror or str(error)))
                continue
            for entry in listed:
                if entry.name.startswith(".") or entry.name == _APPLE:
                    continue
                name = prefix + entry.name
                try:
                    status = entry.stat()
                except OSError as error:
                    # whatever it is called: a broken link may have been a class
                    found.lost.append(Skipped(name, error.strerror or str(error)))
                    continue
                if stat.S_ISDIR(status.st_mode):
                    identity = (status.st_dev, status.st_ino)
                    if identity in above:
                        found.lost.append(Skipped(name, "a link back to a folder that it lies in"))
                        continue
                    found.folders.add(name)
                    open_folders.append((Path(entry.path), f"{name}/", above | {identity}))
                elif stat.S_ISREG(status.st_mode):
                    found.add(Place(name, status.st_size))
                else:
                    _lose(found, name, "no regular file")
            bar.update(len(listed))
    return found


def _archive(path: Path) -> Inventory:
    try:
        found = Inventory(path, _is_compressed(path))
        files: dict[str, Place] = {}
        with tarfile.open(path, tarinfo=_Header) as archive:
            for member in tqdm(iter(archive.next, None), desc="listing images", unit="file", leave=False):
                _take_member(member, found, files)
                archive.members.clear()  # type: ignore[attr-defined]  # a kilobyte each, of a million images
            _check_end(archive)
    except ARCHIVE_ERRORS as error:
        raise _no_archive(path, error) from error
    for place in files.values():
        found.add(place)
    return found


def _is_compressed(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:", tarinfo=_Header):
            return False
    except tarfile.ReadError:
        return True


def _take_member(member: tarfile.TarInfo, found: Inventory, files: dict[str, Place]) -> None:
    parts = [part for part in PurePosixPath(member.name).parts if part not in (".", "/")]
    name = "/".join(parts)
    if any(part.startswith(".") or part == _APPLE for part in parts):
        return
    if member.isdir():
        found.folders.add(name)
    elif member.isreg() and not member.issparse():
        found.folders.update("/".join(parts[:n]) for n in range(1, len(parts)))
        files[name] = Place(name, member.size, member.offset_data)  # a later member of the same name replaces it
    else:
        _lose(found, name, "a link or special file in an archive")


def _check_end(archive: tarfile.TarFile) -> None:
    """Raise where the archive does not end as archives do; tarfile takes a damaged header for the end."""
    if archive.fileobj is None:
        return
    archive.fileobj.seek(archive.offset)  # where the next header would be
    if archive.fileobj.read(_BLOCK) != bytes(_BLOCK):
        raise tarfile.ReadError("it is cut short or damaged: no end mark where its last file ends")


def _lose(found: Inventory, name: str, reason: str) -> None:
    if is_image_name(name):
        found.lost.append(Skipped(name, reason))


def _no_archive(path: Path, error: Exception) -> DataFileError:
    return DataFileError(
        "training images are a folder or a readable tar file", f"{path}: {error}", "check the path or fetch it anew"
    )


def _unreadable(reason: str) -> DataFileError:
    return DataFileError("every training image can be read", reason, "restore it or give the rights to read it")
