"""Bring the files of a manifest to this machine: the one module that opens sockets.

pooch's own downloaders write to a temporary file that they delete when the connection is cut. Recordings are large and
connections bad, so `ResumingDownloader` keeps what has come; it follows pooch's downloader protocol.
"""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NoReturn

from neurofit.errors import DataFileError
from neurofit.files.atomic import exclusive_lock, remove_leftovers, replace_durably, reporting_output_errors
from neurofit.files.copying import copy_from, existing_folder
from neurofit.files.manifest import LOCK_NAME, PART_SUFFIX, FileEntry, Manifest, is_safe_url
from neurofit.files.verify import (
    Expectation,
    FileStatus,
    described,
    examine,
    expectation,
    file_digest,
    mismatch,
    record_first_seen,
)

if TYPE_CHECKING:
    import requests

DATA_FOLDER_VARIABLE = "NEUROFIT_DATA"

_TIMEOUT_S = (15, 60)  # to connect, and between two pieces of the answer
_PIECE = 1 << 15  # bytes at a time; a piece that is cut is lost, so that it should be small

FetchStatus = Literal["already there", "copied", "downloaded", "trusted on first use"]


@dataclass(frozen=True)
class FetchedFile:
    """One file after `fetch`: where it is, how it came, and its verified size in bytes and digest."""

    name: str
    path: Path
    status: FetchStatus
    size: int
    digest: str


class CheckedFile(NamedTuple):
    """One file as `check` found it."""

    name: str
    path: Path
    status: FileStatus


def data_folder() -> Path:
    """Return where fetched files live: the environment variable NEUROFIT_DATA, else the user's cache folder."""
    chosen = os.environ.get(DATA_FOLDER_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    import pooch  # here: reading a manifest or a file that is there needs no downloader

    return Path(pooch.os_cache("neurofit"))


def dataset_folder(manifest: Manifest, folder: Path | str | None = None) -> Path:
    """Return the folder of one dataset's files, below `folder` (default: `data_folder`)."""
    return (data_folder() if folder is None else Path(folder).expanduser()) / manifest.name


def fetch(
    manifest: Manifest,
    folder: Path | str | None = None,
    from_folder: Path | str | None = None,
    progress: bool | None = None,
) -> list[FetchedFile]:
    """Bring all files of a manifest into the data folder and verify them; what is there and right is left alone.

    Parameters
    ----------
    manifest : Manifest
        What to fetch; simulated data have no files.
    folder : Path or str, optional
        Data folder; default `data_folder`. The files go to ``<folder>/<manifest.name>/``.
    from_folder : Path or str, optional
        Take the files from this folder (or its subfolders) by their names, and open no connection.
    progress : bool, optional
        Progress bars on standard error; by default if that is a terminal.

    Returns
    -------
    list of FetchedFile
        In the manifest's order. A file without a known hash is 'trusted on first use': its sha256 and size are written
        down in first_seen.json, and it is held to them from then on.

    Raises
    ------
    HashMismatchError
        If bytes are not the promised ones; they are not kept.
    DataFileError
        If a file is not where it was looked for, the source cannot be reached, or the connection was cut (the same
        command goes on where it stopped).
    OutputError
        If the data folder cannot be written to.
    """
    if not manifest.files:
        return []
    place = dataset_folder(manifest, folder)
    source = None if from_folder is None else existing_folder(from_folder)
    with reporting_output_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        with exclusive_lock(place / LOCK_NAME):
            return [_fetch_file(manifest.name, entry, place, source, progress) for entry in manifest.files]


def check(manifest: Manifest, folder: Path | str | None = None) -> list[CheckedFile]:
    """Compare the files of a manifest with their sizes and hashes; changes nothing.

    Returns
    -------
    list of CheckedFile
        With status 'ok', 'missing', 'wrong size', 'wrong hash', or 'not checked' (no hash is known).
    """
    place = dataset_folder(manifest, folder)
    return [
        CheckedFile(entry.name, place / entry.name, examine(place / entry.name, expectation(entry, place)))
        for entry in manifest.files
    ]


def located_file(manifest: Manifest, name: str, folder: Path | str | None = None, verify: bool = False) -> Path:
    """Return the path of a fetched file, for a reader.

    Parameters
    ----------
    manifest : Manifest
        The dataset.
    name : str
        Name of one of its files.
    folder : Path or str, optional
        Data folder; default `data_folder`.
    verify : bool
        Compare the hash too, which reads the whole file; the size is always compared.

    Raises
    ------
    UnknownNameError
        If the manifest has no file of that name.
    DataFileError
        If the file was not fetched yet.
    HashMismatchError
        If it is not the promised file.
    """
    entry = manifest.file(name)
    place = dataset_folder(manifest, folder)
    path, expected = place / entry.name, expectation(entry, place)
    status = examine(path, expected, hashing=verify)
    if status == "missing":
        raise DataFileError(
            f"the files of '{manifest.name}' are on this machine",
            f"{path} does not exist (not fetched yet)",
            f"run `neurofit data fetch {manifest.name}`",
        )
    if status in ("wrong size", "wrong hash"):
        raise mismatch(path, expected, described(path, expected))
    return path


def _fetch_file(dataset: str, entry: FileEntry, place: Path, source: Path | None, progress: bool | None) -> FetchedFile:
    """Bring one file into `place`, whose lock is held."""
    target, expected = place / entry.name, expectation(entry, place)
    target.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(target)
    status: FetchStatus
    found = examine(target, expected)
    if found in ("ok", "not checked"):
        status = "already there"
    elif source is not None:
        copy_from(source, dataset, entry, target, expected)
        status = "copied"
    else:
        _download(dataset, entry, target, expected, progress)
        status = "downloaded"
    size = target.stat().st_size
    if expected.digest is not None:
        return FetchedFile(entry.name, target, status, size, ":".join(expected.digest))
    sha256 = file_digest(target)
    record_first_seen(place, entry.name, size, sha256)
    return FetchedFile(entry.name, target, "trusted on first use", size, f"sha256:{sha256}")


def _download(dataset: str, entry: FileEntry, target: Path, expected: Expectation, progress: bool | None) -> None:
    """Download a file next to its place and let it become `target` only if its bytes are the promised ones."""
    if entry.url is None:
        raise DataFileError(
            f"{entry.name} of '{dataset}' has a public address",
            "its manifest gives none",
            f"get the file in another way and run `neurofit data fetch {dataset} --from DIR` with the folder it is in",
        )
    part = target.with_name(target.name + PART_SUFFIX)
    # Without a hash to tell, the first half of an old version and the second half of a new one would pass for a file.
    downloader = ResumingDownloader(dataset, expected, resume=expected.digest is not None, progress=progress)
    had = part.is_file()
    downloader(entry.url, part)
    found = examine(part, expected)
    if had and found == "wrong hash":  # what an earlier attempt left was damaged, or of an older version
        part.unlink()
        downloader(entry.url, part)
        found = examine(part, expected)
    if found in ("wrong size", "wrong hash"):
        error = mismatch(target, expected, f"{described(part, expected)} at {entry.url}")
        part.unlink()
        raise error
    replace_durably(part, target)


class ResumingDownloader:
    """A pooch downloader for http(s) that goes on where an earlier attempt stopped.

    Parameters
    ----------
    dataset : str
        Name for messages.
    expected : Expectation
        Size and hash of the file, as far as they are known. The size is enforced here, the hash by the caller.
    resume : bool
        Keep what has come when the connection is cut, and ask the server only for the rest.
    progress : bool, optional
        Progress bar on standard error; by default if that is a terminal.
    """

    def __init__(
        self, dataset: str, expected: Expectation, *, resume: bool = True, progress: bool | None = None
    ) -> None:
        self.dataset = dataset
        self.expected = expected
        self.resume = resume
        self.progress = progress

    def __call__(self, url: str, output_file: Path | str, pooch: Any = None) -> None:
        """Download `url` to `output_file`, which has the whole answer if no error is raised.

        Raises
        ------
        DataFileError
            If the server cannot be reached, refuses, or the connection is cut.
        HashMismatchError
            If the server has another number of bytes than promised; `output_file` is removed.
        """
        part = Path(output_file)
        size = self.expected.size
        have = part.stat().st_size if self.resume and part.is_file() else 0
        if size is not None and have == size:
            return
        if size is not None and have > size:
            have = 0
        response, start = self._open(url, have)
        with closing(response):
            total = _announced_size(response)
            if total is not None and not self.expected.allows(total):
                self._refuse(part, f"{total} bytes at {url}")
            if response.status_code != 416:
                self._receive(response, part, start, total if size is None else size)

    def _open(self, url: str, have: int) -> tuple[requests.Response, int]:
        """Ask for the bytes from `have` on; return the answer and the byte with which it starts."""
        response, start = self._request(url, have), have
        rest_comes = response.status_code == 206 and _first_byte(response) == have
        all_is_here = response.status_code == 416 and _announced_size(response) == have
        if have and response.status_code in (206, 416) and not (rest_comes or all_is_here):
            response.close()
            response = self._request(url, 0)
        if response.status_code == 200:
            start = 0  # the whole file, also from a server that knows no ranges
        elif not (have and (rest_comes or all_is_here)):
            response.close()
            self._fail(f"{url} answered {response.status_code} {response.reason}")
        return response, start

    def _request(self, url: str, have: int) -> requests.Response:
        import requests  # here: a sixth of a second that only a download needs

        headers = {"Accept-Encoding": "identity"}  # a length and a range count the file's own bytes
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            response = requests.get(url, headers=headers, stream=True, timeout=_TIMEOUT_S)
        except requests.RequestException as error:
            self._fail(f"{url} could not be reached ({type(error).__name__})", error)
        if not is_safe_url(response.url):
            response.close()
            self._fail(f"{url} leads to {response.url}, which is not an https address")
        return response

    def _receive(self, response: requests.Response, part: Path, start: int, total: int | None) -> None:
        """Write the answer to `part` from byte `start` on."""
        import requests
        from tqdm import tqdm

        received, most = start, self.expected.size_max if total is None else total
        cause: requests.RequestException | None = None
        bar = tqdm(
            total=total, initial=start, desc=part.name.removesuffix(PART_SUFFIX), unit="B", unit_scale=True,
            disable=None if self.progress is None else not self.progress,
        )  # fmt: skip
        with part.open("ab" if start else "wb") as handle, bar:
            try:
                for piece in response.iter_content(_PIECE):
                    received += len(piece)
                    if most is not None and received > most:
                        self._refuse(part, f"more than {most} bytes at {response.url}")
                    handle.write(piece)
                    bar.update(len(piece))
            except requests.RequestException as error:
                cause = error
        if cause is not None or (total is not None and received < total):
            goes_on = "go on" if self.resume else "start again (without a hash it cannot go on)"
            raise DataFileError(
                f"a download of '{self.dataset}' arrives whole",
                f"the connection to {response.url} was cut after {received} of {total or 'an unknown number of'} bytes",
                f"run the same command to {goes_on}",
            ) from cause

    def _refuse(self, part: Path, found: str) -> NoReturn:
        part.unlink(missing_ok=True)
        raise mismatch(part.with_name(part.name.removesuffix(PART_SUFFIX)), self.expected, found)

    def _fail(self, found: str, cause: Exception | None = None) -> NoReturn:
        raise DataFileError(
            f"the files of '{self.dataset}' can be downloaded",
            found,
            "try again later, or get the files in another way and run "
            f"`neurofit data fetch {self.dataset} --from DIR` with the folder they are in",
        ) from cause


def _first_byte(response: requests.Response) -> int | None:
    """Return the first byte of a partial answer, from 'Content-Range: bytes FIRST-LAST/TOTAL'."""
    unit, _, rest = response.headers.get("Content-Range", "").partition(" ")
    first = rest.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdecimal() else None


def _announced_size(response: requests.Response) -> int | None:
    """Return the size of the whole file according to the answer's headers, or None if they do not tell."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return None
    if response.status_code in (206, 416):
        total = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdecimal() else None
