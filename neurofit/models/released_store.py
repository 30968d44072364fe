"""The released models' weights on this machine: found by the model's name, stored under the hash of their content.

In the data folder::

    convrnn-rgc-intermediate/    the checkpoint as the authors publish it, and the ledger of first sights
    weights/rgc_intermediate.json
                                 which content is this model's, and what it was converted from
    weights/<sha256>.safetensors
                                 the content
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from neurofit.errors import ConfigurationError, DataFileError, UnknownNameError
from neurofit.files.atomic import atomic_write
from neurofit.files.fetch import data_folder
from neurofit.files.json_text import read_json, to_json
from neurofit.files.manifest import ByteCount, FileName, Manifest, Sha256, Words, list_manifests, load_manifest
from neurofit.files.toml_schema import parse_table
from neurofit.files.verify import file_digest, reporting_unreadable

_FOLDER = "weights"
_MANIFEST_PREFIX = "convrnn-"


@dataclass(frozen=True)
class SourceFile:
    """A file that weights were converted from.

    Parameters
    ----------
    name : str
        As in the manifest.
    size : int
        Bytes.
    digest : str
        'sha256:' and 64 hexadecimal digits.
    known_by : str
        'the manifest', or 'the first fetch' where nobody publishes a hash and the file was trusted when it first came.
    url : str, optional
        Where the manifest says that it is.
    """

    name: FileName
    size: ByteCount
    digest: Words
    known_by: Words
    url: str | None = None


@dataclass(frozen=True)
class StoredWeights:
    """What a pointer file says.

    Parameters
    ----------
    model : str
    sha256 : str
        Of the content, which gives the file its name.
    size : int
        Bytes.
    converted_at : str
        Date and time, UTC.
    neurofit_version : str
        The version that converted.
    sources : tuple of SourceFile
    """

    model: Words
    sha256: Sha256
    size: ByteCount
    converted_at: Words
    neurofit_version: Words
    sources: tuple[SourceFile, ...]

    @property
    def trusted_on_first_use(self) -> bool:
        """Whether nobody vouches for a source but the first fetch."""
        return any(source.known_by != "the manifest" for source in self.sources)


def list_released() -> list[str]:
    """Return the names of the models whose authors released weights, sorted."""
    manifests = (name for name in list_manifests() if name.startswith(_MANIFEST_PREFIX))
    return sorted(name.removeprefix(_MANIFEST_PREFIX).replace("-", "_") for name in manifests)


def released_manifest(name: str) -> Manifest:
    """Return the manifest of a model's checkpoint.

    Raises
    ------
    UnknownNameError
        If there are no released weights of that name.
    """
    if name not in list_released():
        raise UnknownNameError("model with released weights", name, list_released())
    return load_manifest(_MANIFEST_PREFIX + name.replace("_", "-"))


def weights_folder(folder: Path | str | None = None) -> Path:
    """Return the folder of converted weights, below the data folder (default: `neurofit.files.fetch.data_folder`)."""
    return (data_folder() if folder is None else Path(folder).expanduser()) / _FOLDER


def content_path(stored: StoredWeights, folder: Path | str | None = None) -> Path:
    """Return where the content that a pointer speaks of belongs."""
    return weights_folder(folder) / f"{stored.sha256}.safetensors"


def released_weights_path(name: str, folder: Path | str | None = None, verify: bool = False) -> Path:
    """Return the converted weights of a released model: a safetensors file for its network.

    Parameters and errors are those of `stored_weights`.
    """
    return content_path(stored_weights(name, folder, verify), folder)


def stored_weights(name: str, folder: Path | str | None = None, verify: bool = False) -> StoredWeights:
    """Return what is stored of a released model, and see that it is there.

    Parameters
    ----------
    name : str
        A name of `list_released`.
    folder : Path or str, optional
        Data folder; default `neurofit.files.fetch.data_folder`.
    verify : bool
        Compare the hash too, which reads the whole file; the size is always compared.

    Raises
    ------
    UnknownNameError
        If there are no released weights of that name.
    DataFileError
        If they were not fetched yet, or a file is not what it was.
    """
    released_manifest(name)
    stored = _read_pointer(name, folder)
    path = content_path(stored, folder)
    found = _difference(path, stored, verify)
    if found:
        raise DataFileError(
            f"the weights of '{name}' are as they were when they were converted",
            f"{path} {found}",
            f"run `neurofit models fetch {name}`, which converts them anew",
        )
    return stored


def write_pointer(stored: StoredWeights, folder: Path | str | None = None) -> None:
    """Let a model's name stand for new content; the caller holds the model's lock."""
    table = dataclasses.asdict(stored, dict_factory=lambda items: {k: v for k, v in items if v is not None})
    with atomic_write(_pointer_path(stored.model, folder)) as handle:
        handle.write(to_json(table).encode())


def _read_pointer(name: str, folder: Path | str | None) -> StoredWeights:
    path = _pointer_path(name, folder)
    with reporting_unreadable(path):
        if not path.is_file():
            raise DataFileError(
                f"the released weights of '{name}' are on this machine",
                f"{path} does not exist (not fetched yet)",
                f"run `neurofit models fetch {name}`",
            )
    try:
        with reporting_unreadable(path):
            table = read_json(path)
        if not isinstance(table, dict):
            raise ValueError(f"it is a {type(table).__name__}")
        return parse_table(table, StoredWeights, source=path.name, what="weights pointer")
    except (ValueError, ConfigurationError) as error:
        raise DataFileError(
            "what a model's weights are is written in a JSON table",
            f"{path}: {getattr(error, 'found', error)}",
            f"run `neurofit models fetch {name}`, which writes it anew",
        ) from error


def _pointer_path(name: str, folder: Path | str | None) -> Path:
    return weights_folder(folder) / f"{name}.json"


def _difference(path: Path, stored: StoredWeights, hashing: bool) -> str:
    """Say what is wrong with a stored file; nothing if it is right."""
    with reporting_unreadable(path):
        if not path.is_file():
            return "does not exist"
        if path.stat().st_size != stored.size:
            return f"has {path.stat().st_size} bytes, not {stored.size}"
    return "has another sha256" if hashing and file_digest(path) != stored.sha256 else ""
