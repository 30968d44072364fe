"""Tell whether a file on disk is the one that was promised, by its manifest or by what was seen the first time."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from neurofit.errors import DataFileError, HashMismatchError
from neurofit.files.atomic import atomic_write
from neurofit.files.json_text import read_json
from neurofit.files.manifest import FIRST_SEEN_NAME, FileEntry

FileStatus = Literal["ok", "missing", "wrong size", "wrong hash", "not checked"]


@dataclass(frozen=True)
class Expectation:
    """What is known of a file before it is opened.

    Parameters
    ----------
    size : int, optional
        Bytes; None if nobody said.
    digest : (algorithm, hexadecimal digest), optional
        None if nobody said and the file was never seen.
    origin : str
        Who said: 'the manifest' or the ledger of first sights.
    size_min, size_max : int, optional
        Bytes, both included, where the size itself is not known.
    """

    size: int | None
    digest: tuple[str, str] | None
    origin: str
    size_min: int | None = None
    size_max: int | None = None

    def allows(self, size: int) -> bool:
        """Whether a file of `size` bytes may be the one."""
        if self.size is not None:
            return size == self.size
        return (self.size_min or 0) <= size and (self.size_max is None or size <= self.size_max)

    @property
    def size_in_words(self) -> str:
        """What is known of the size; empty if nothing is."""
        if self.size is not None:
            return f"{self.size} bytes"
        bounds = (("at least", self.size_min), ("at most", self.size_max))
        known = " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)
        return f"{known} bytes" if known else ""


def expectation(entry: FileEntry, folder: Path) -> Expectation:
    """Return what the manifest says of a file or, where it gives no hash, what was seen when it first came.

    Parameters
    ----------
    entry : FileEntry
        The file.
    folder : Path
        The dataset's folder, which has the ledger of first sights.

    Raises
    ------
    DataFileError
        If the ledger is needed and unreadable.
    """
    if entry.digest is not None:
        return Expectation(entry.size, entry.digest, "the manifest")
    seen = read_first_seen(folder).get(entry.name)
    if seen is None:
        return Expectation(entry.size, None, "the manifest", entry.size_min, entry.size_max)
    return Expectation(entry.size or int(seen["size"]), ("sha256", str(seen["sha256"])), FIRST_SEEN_NAME)


def examine(path: Path, expected: Expectation, *, hashing: bool = True) -> FileStatus:
    """Compare a file with what is expected of it; 'not checked' if there is no hash to compare with.

    Parameters
    ----------
    path : Path
        The file.
    expected : Expectation
        What it should be.
    hashing : bool
        With False only existence and size are compared, and a file that passes is 'ok'.
    """
    with reporting_unreadable(path):
        if not path.is_file():
            return "missing"
        if not expected.allows(path.stat().st_size):
            return "wrong size"
    if not hashing:
        return "ok"
    if expected.digest is None:
        return "not checked"
    algorithm, digest = expected.digest
    return "ok" if file_digest(path, algorithm) == digest else "wrong hash"


def file_digest(path: Path, algorithm: str = "sha256") -> str:
    """Return the hexadecimal digest of a file's content.

    Raises
    ------
    DataFileError
        If the file cannot be read.
    """
    with reporting_unreadable(path), path.open("rb") as handle:
        return hashlib.file_digest(handle, algorithm).hexdigest()


@contextmanager
def reporting_unreadable(path: Path) -> Iterator[None]:
    """Turn an OSError inside the block into a `DataFileError` on `path`."""
    try:
        yield
    except OSError as error:
        raise DataFileError(
            "a file of a dataset can be read", f"{path}: {error.strerror or error}", "see to its permissions"
        ) from error


def described(path: Path, expected: Expectation) -> str:
    """Say what a file is, in the terms in which it differs from what is expected: 'sha256 0a1b...' or '12 bytes'."""
    size = path.stat().st_size
    if expected.digest is None or not expected.allows(size):
        return f"{size} bytes"
    algorithm = expected.digest[0]
    return f"{algorithm} {file_digest(path, algorithm)}"


def mismatch(path: Path, expected: Expectation, found: str) -> HashMismatchError:
    """Return the error for a file that is not what was expected.

    Parameters
    ----------
    path : Path
        The file.
    expected : Expectation
        Hash and size as promised.
    found : str
        What it is instead; see `described`.
    """
    promised = []
    if expected.digest is not None:
        promised.append(" ".join(expected.digest))
    if expected.size_in_words:
        promised.append(expected.size_in_words)
    if expected.origin == FIRST_SEEN_NAME:
        remedy = f"if its source was changed on purpose, take its entry out of {FIRST_SEEN_NAME} and fetch it again"
    else:
        remedy = "get the file from the manifest's source; if that was changed, the manifest has to be changed too"
    return HashMismatchError(
        f"{path.name} is the file that {expected.origin} describes ({', '.join(promised)})", f"found {found}", remedy
    )


def read_first_seen(folder: Path) -> dict[str, dict[str, str | int]]:
    """Return the ledger of files that came without a known hash: name -> {'sha256', 'size'}.

    Raises
    ------
    DataFileError
        If the ledger is there and cannot be understood.
    """
    path = folder / FIRST_SEEN_NAME
    try:
        ledger = read_json(path)
        return {name: {"sha256": str(seen["sha256"]), "size": int(seen["size"])} for name, seen in ledger.items()}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataFileError(
            "the ledger of first sights is a JSON table of sha256 and size",
            f"{path}: {type(error).__name__}: {error}",
            "restore it, or remove it to trust the files that are there now",
        ) from error


def record_first_seen(folder: Path, name: str, size: int, sha256: str) -> None:
    """Add a file to the ledger of first sights; the caller holds the dataset's lock."""
    _write_first_seen(folder, read_first_seen(folder) | {name: {"sha256": sha256, "size": size}})


def forget_first_seen(folder: Path, names: Collection[str]) -> None:
    """Take files out of the ledger of first sights, so that others may come; the caller holds the dataset's lock."""
    _write_first_seen(folder, {name: seen for name, seen in read_first_seen(folder).items() if name not in names})


def _write_first_seen(folder: Path, ledger: dict[str, dict[str, str | int]]) -> None:
    with atomic_write(folder / FIRST_SEEN_NAME) as handle:
        handle.write((json.dumps(ledger, indent=2, sort_keys=True) + "\n").encode())
