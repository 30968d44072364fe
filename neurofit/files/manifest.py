"""What a dataset, a set of stimuli or a set of weights consists of: one TOML file each, validated as a whole."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.files.resources import list_resources
from neurofit.files.toml_schema import Rule, read_toml

MANIFEST_FOLDER = "data_manifests"

# Names that neurofit itself uses in a dataset's folder, next to the files of the manifest.
PART_SUFFIX = ".part"
FIRST_SEEN_NAME = "first_seen.json"
LOCK_NAME = ".lock"

Kind = Literal["recording", "stimuli", "weights"]
Role = Literal["assembly", "responses", "images", "stimulus_table", "weights", "weights_index"]

_LOCAL_HOSTS = ("127.0.0.1", "localhost")
_FORBIDDEN_IN_NAMES = re.compile(r'[\\:*?"<>|\x00-\x1f]')  # separators and wildcards of any platform, drives


def is_safe_url(url: str) -> bool:
    """Whether an address is https with a host, or http to this very machine (which tests use)."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.hostname) and (
        parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOCAL_HOSTS)
    )


def _is_safe_file_name(name: str) -> bool:
    """Whether a relative path stays inside its folder on every platform and is none of neurofit's own names."""
    # A piece that ends in a dot or a space is '.', '..' or something that Windows shortens to another name.
    pieces_are_plain = all(piece and piece == piece.strip().rstrip(".") for piece in name.split("/"))
    is_reserved = name.lower().endswith(PART_SUFFIX) or name.lower() in (FIRST_SEEN_NAME, LOCK_NAME)
    return pieces_are_plain and not is_reserved and not _FORBIDDEN_IN_NAMES.search(name)


FileName = Annotated[
    str, Rule("a relative path with forward slashes that stays inside the dataset's folder", _is_safe_file_name)
]
Url = Annotated[str, Rule("an https address", is_safe_url)]
Sha256 = Annotated[str, Rule("64 lower-case hexadecimal digits", re.compile(r"[0-9a-f]{64}").fullmatch)]
Sha1 = Annotated[str, Rule("40 lower-case hexadecimal digits", re.compile(r"[0-9a-f]{40}").fullmatch)]
ByteCount = Annotated[int, Rule("a positive number of bytes", lambda count: count > 0)]
Positive = Annotated[int, Rule("at least 1", lambda count: count > 0)]
Degrees = Annotated[float, Rule("a positive number of degrees", lambda degrees: degrees > 0)]
Words = Annotated[str, Rule("text that says something", lambda text: bool(text.strip()))]
DatasetName = Annotated[
    str, Rule("lower-case letters, digits, '-' and '.'", re.compile(r"[a-z0-9]+([-.][a-z0-9]+)*").fullmatch)
]
TimeBin = Annotated[tuple[int, int], Rule("a start and a later end in ms", lambda edges: edges[0] < edges[1])]


@dataclass(frozen=True)
class FileEntry:
    """One file of a manifest.

    Parameters
    ----------
    name : str
        Path below the dataset's folder, with forward slashes.
    role : str
        What a reader uses it for: 'assembly' (labelled responses), 'responses' (a bare array, or the raster of one
        neuron), 'images' (and what else lies in the same archive), 'stimulus_table', 'weights', or 'weights_index' (of
        a checkpoint in two files).
    url : str, optional
        https address; None where the file is not public and is fetched from a folder only.
    url_unconfirmed : str, optional
        Why the address may not work, where nobody could try it.
    size : int, optional
        Bytes; None where the source does not state it.
    size_min, size_max : int, optional
        Where the size is not stated: what it can be, both included.
    sha256, sha1 : str, optional
        Digest in lower-case hexadecimal digits; sha1 only where the source publishes nothing better.
    hash_unknown : str, optional
        Why there is no digest; required when there is none.
    """

    name: FileName
    role: Role
    url: Url | None = None
    url_unconfirmed: Words | None = None
    size: ByteCount | None = None
    size_min: ByteCount | None = None
    size_max: ByteCount | None = None
    sha256: Sha256 | None = None
    sha1: Sha1 | None = None
    hash_unknown: Words | None = None

    @property
    def digest(self) -> tuple[str, str] | None:
        """Algorithm and expected hexadecimal digest, the stronger where there are two; None if unknown."""
        if self.sha256:
            return "sha256", self.sha256
        return ("sha1", self.sha1) if self.sha1 else None

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between the keys."""
        if self.digest is None and self.hash_unknown is None:
            yield "sha256 and sha1 are missing and hash_unknown does not say why"
        if self.digest is not None and self.hash_unknown is not None:
            yield "hash_unknown gives a reason although there is a hash"
        if self.size is not None and (self.size_min is not None or self.size_max is not None):
            yield "size_min and size_max are given although the size is known"
        if self.size_min is not None and self.size_max is not None and self.size_min > self.size_max:
            yield f"size_min is {self.size_min}, which is more than size_max, {self.size_max}"
        if self.url is None and self.url_unconfirmed is not None:
            yield "url_unconfirmed speaks of a url that is missing"


@dataclass(frozen=True)
class Manifest:
    """One dataset: where its files are, how to know them, and what they hold.

    Parameters
    ----------
    name : str
        Name in every command and folder.
    title : str
        One line for people.
    kind : str
        What the files hold: 'recording', 'stimuli' or 'weights'.
    licence : str
        Terms as the source states them; 'not stated' where it does not.
    citation : str
        What to cite.
    source : str
        Where the data come from.
    licence_url : str, optional
        Text of the licence.
    terms : str, optional
        In one sentence, what the licence allows here.
    reader : str, optional
        Which reader of `neurofit.data` understands the files; required for recordings.
    regions : tuple of str
        Cortical areas; required for recordings.
    subjects : tuple of str
        Who was recorded; empty where the files name them.
    time_bins_ms : tuple of (start, end), optional
        Half-open intervals in ms from stimulus onset; empty where they are read from the file.
    time_bins_unconfirmed : str, optional
        What about the bins the source does not state.
    size_deg : float, optional
        Width of the images in degrees of visual angle; None where the source does not state it.
    repetitions : bool, optional
        Whether single repetitions are there, so that internal consistency can be computed; required for recordings.
    n_repetitions : int, optional
        Where neurons were recorded one after the other: how many repetitions of every stimulus are taken from each;
        neurons with fewer are left out.
    session : str, optional
        Which part of the files this dataset is, where they hold several.
    simulated : bool
        Whether neurofit generates the responses.
    notes : str
        What a user should know.
    files : tuple of FileEntry
        In the order in which they are fetched.
    """

    name: DatasetName
    title: Words
    kind: Kind
    licence: Words
    citation: Words
    source: Words
    licence_url: Url | None = None
    terms: Words | None = None
    reader: Words | None = None
    regions: tuple[Words, ...] = ()
    subjects: tuple[Words, ...] = ()
    time_bins_ms: tuple[TimeBin, ...] = ()
    time_bins_unconfirmed: Words | None = None
    size_deg: Degrees | None = None
    repetitions: bool | None = None
    n_repetitions: Positive | None = None
    session: Words | None = None
    simulated: bool = False
    notes: str = ""
    files: tuple[FileEntry, ...] = ()

    @classmethod
    def from_toml(cls, path: Path | str) -> Manifest:
        """Read and validate a manifest.

        Parameters
        ----------
        path : Path or str
            A TOML file with the parameters of this class as keys and one ``[[files]]`` table for each file.

        Raises
        ------
        DataFileError
            If the file cannot be read.
        ConfigurationError
            Naming every unknown, missing and impossible key.
        """
        return read_toml(path, cls, what="data manifest")

    def file(self, name: str) -> FileEntry:
        """Return the file called `name`.

        Raises
        ------
        UnknownNameError
            If the manifest has no such file.
        """
        for entry in self.files:
            if entry.name == name:
                return entry
        raise UnknownNameError(f"file of '{self.name}'", name, [entry.name for entry in self.files])

    def file_with_role(self, role: Role) -> FileEntry:
        """Return the one file that has a role.

        Raises
        ------
        ConfigurationError
            If there is none or more than one.
        """
        found = [entry for entry in self.files if entry.role == role]
        if len(found) == 1:
            return found[0]
        raise ConfigurationError(
            f"the manifest '{self.name}' has one file with the role '{role}'",
            f"it has {len(found)}",
            "correct the roles in the manifest",
        )

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between the keys."""
        if self.kind == "recording":
            for key, value in (("reader", self.reader), ("regions", self.regions), ("repetitions", self.repetitions)):
                if value in (None, ()):
                    yield f"{key} is missing, which a recording needs"
        if self.n_repetitions is not None and not self.repetitions:
            yield "n_repetitions is given although there are no repetitions"
        if bool(self.files) == self.simulated:
            yield "files are given for simulated data" if self.files else "files is missing, and the data not simulated"
        names = Counter(entry.name.lower() for entry in self.files)  # lower: some file systems see no case
        for name, count in names.items():
            if count > 1:
                yield f"files name '{name}' {count} times"


def list_manifests() -> list[str]:
    """Return the names of the manifests that travel with neurofit, sorted."""
    return [path.stem for path in list_resources(MANIFEST_FOLDER)]


def load_manifest(name: str | Path) -> Manifest:
    """Return a manifest by its name, or from a file of the user's own.

    Parameters
    ----------
    name : str or Path
        A name of `list_manifests`, or the path of a .toml file.

    Raises
    ------
    UnknownNameError
        If there is no such manifest; the nearest names are offered.
    DataFileError, ConfigurationError
        If the file cannot be read or is not a valid manifest.
    """
    if isinstance(name, Path) or name.endswith(".toml"):
        return Manifest.from_toml(name)
    paths = {path.stem: path for path in list_resources(MANIFEST_FOLDER)}
    if name not in paths:
        raise UnknownNameError("dataset", name, paths)
    return Manifest.from_toml(paths[name])
