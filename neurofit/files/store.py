"""A store of features: entries under the hash of all that decides them, in chunks that can be lost one by one.

    <store>/<first two digits>/<sha256 of the key>/
        key.json               the key, and what a person wants to know of the entry
        lock                   held by the process that writes
        batch-00003.<digest>.h5    a chunk
        done.json              which chunks make the entry; written last
    <store>/memos/<sha256>.json    small facts, such as the units of a layer

What entries mean is not known here: keys are JSON documents, chunks are arrays. docs/adr/0023-feature-store.md has the
reasons, docs/store.md what is promised.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurofit.errors import ConfigurationError
from neurofit.files import json_text
from neurofit.files.atomic import atomic_write, reporting_output_errors
from neurofit.files.fetch import data_folder
from neurofit.files.json_text import plain_values, to_json
from neurofit.files.store_chunks import Part, chunk_paths, read_chunk, remove_file, write_chunk
from neurofit.files.store_lock import entry_lock

Document = Mapping[str, Any]

STORE_VARIABLE = "NEUROFIT_STORE"
DEFAULT = "default"
"""Instead of a folder: 'store' in the user's data folder."""
KEY, DONE, MEMOS = "key.json", "done.json", "memos"
NAME = re.compile(r"[0-9a-f]{64}")


def store_folder(chosen: str | Path | None = None) -> Path | None:
    """Return the folder of the store that is meant; None where none is.

    Parameters
    ----------
    chosen : str or Path, optional
        A folder, or 'default' for 'store' in the data folder (`neurofit.files.fetch.data_folder`). By default what the
        environment variable NEUROFIT_STORE says, in the same words.
    """
    text = os.environ.get(STORE_VARIABLE, "") if chosen is None else str(chosen)
    if not text:
        return None
    return data_folder() / "store" if text == DEFAULT else Path(text).expanduser()


def canonical(document: Any) -> str:
    """Return the one JSON text of a document: keys sorted, no spaces."""
    return json.dumps(plain_values(document), sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_name(key: Document) -> str:
    """Return the SHA-256 of a key's canonical JSON, by which its entry is called."""
    return hashlib.sha256(canonical(key).encode()).hexdigest()


@dataclass
class Entry:
    """What a store has under a key.

    Parameters
    ----------
    folder : Path
    """

    folder: Path
    _paths: dict[str, Path] = field(init=False)

    def __post_init__(self) -> None:
        self._paths = chunk_paths(self.folder)

    @property
    def name(self) -> str:
        """The hash of its key."""
        return self.folder.name

    def done(self) -> tuple[str, int] | None:
        """Return of which series of chunks it is made, and of how many; None if it is not finished."""
        document = read_json(self.folder / DONE)
        if not isinstance(document, dict):
            return None
        series, count = document.get("series"), document.get("count")
        if not isinstance(series, str) or not isinstance(count, int):
            return None
        return (series, count) if all(chunk_name(series, i) in self._paths for i in range(count)) else None

    def says_its_key(self) -> bool:
        """Return whether the key that is written down is the one by which the entry is called."""
        document = read_json(self.folder / KEY)
        key = document.get("key") if isinstance(document, dict) else None
        return isinstance(key, dict) and key_name(key) == self.name

    def chunk(self, series: str, number: int) -> Part | None:
        """Return a chunk; None if it is not there, or not as it was written.

        Parameters
        ----------
        series : str
        number : int
            From 0.
        """
        path = self._paths.get(chunk_name(series, number))
        return None if path is None else read_chunk(path, self.name)

    def used(self) -> None:
        """Remember that it was read, where that is allowed."""
        with suppress(OSError):
            os.utime(self.folder / DONE)


class Draft(Entry):
    """An entry whose lock is held, so that it can be written; errors of the disk are `OutputError`."""

    def chunk(self, series: str, number: int) -> Part | None:
        """Return a chunk; one that is not as it was written is removed, to be written anew."""
        part = super().chunk(series, number)
        path = self._paths.get(chunk_name(series, number))
        if part is None and path is not None:
            remove_file(path)
            del self._paths[path.name.partition(".")[0]]
        return part

    def keep(self, series: str, number: int, part: Part) -> None:
        """Write a chunk; it is whole on the disk when this returns."""
        name = chunk_name(series, number)
        self._paths[name] = write_chunk(self.folder, name, part, self.name)

    def finish(self, series: str, count: int) -> None:
        """Say of which chunks the entry is made, and remove all others."""
        write_json(self.folder / DONE, {"series": series, "count": count, "finished": now()})
        wanted = {chunk_name(series, i) for i in range(count)}
        for name in [name for name in self._paths if name not in wanted]:
            remove_file(self._paths.pop(name))

    def begin(self, key: Document, about: Document) -> None:
        """Write the key down, and remove what killed writers left."""
        with reporting_output_errors(self.folder):
            for path in self.folder.glob(".*.tmp"):
                path.unlink()
        if self.done() is None and (self.folder / DONE).exists():
            remove_file(self.folder / DONE)
        if not self.says_its_key():
            write_json(self.folder / KEY, {"key": key, "about": {**about, "begun": now()}})


@dataclass(frozen=True)
class FeatureStore:
    """A folder of entries, for any number of processes of one machine at once.

    Parameters
    ----------
    folder : Path
        Need not be there yet.

    Raises
    ------
    ConfigurationError
        If something else than a folder is there.
    """

    folder: Path

    def __post_init__(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise ConfigurationError("a store is a folder", f"{self.folder} is none", "name another --store")

    def place(self, name: str) -> Path:
        """Return the folder of the entry of that name."""
        return self.folder / name[:2] / name

    def find(self, key: Document) -> Entry | None:
        """Return the finished entry of a key; None if there is none.

        Its chunks may still turn out to be damaged when they are read.
        """
        entry = Entry(self.place(key_name(key)))
        return entry if entry.done() is not None and entry.says_its_key() else None

    @contextmanager
    def drafts(
        self, keys: Mapping[str, Document], about: Mapping[str, Document], waiting: Callable[[str], object]
    ) -> Iterator[dict[str, Draft]]:
        """Hold the locks of some entries, to read what is there of them and write the rest.

        Locks are taken in the order of the entries' names, so that no two processes wait for each other.

        Parameters
        ----------
        keys, about : mapping from str to document
            By any name, such as the layer: key, and what a person wants to know.
        waiting : callable
            Called with the name of an entry that another process is writing.

        Raises
        ------
        OutputError
            If the store cannot be written.
        """
        with ExitStack() as stack:
            drafts: dict[str, Draft] = {}
            for name, key in sorted(keys.items(), key=lambda item: key_name(item[1])):
                place = self.place(key_name(key))
                stack.enter_context(entry_lock(place, lambda name=name: waiting(name)))  # type: ignore[misc]
                drafts[name] = Draft(place)
                drafts[name].begin(key, about[name])
            yield drafts

    def entries(self) -> list[Path]:
        """Return the folders of all entries, finished or not."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.glob("??/*") if NAME.fullmatch(path.name) and path.is_dir())

    def recall(self, document: Document) -> Any:
        """Return what was remembered under a document; None if nothing was."""
        found = read_json(self._memo(document))
        if not isinstance(found, dict) or found.get("under") != plain_values(document):
            return None
        return found.get("value")

    def remember(self, document: Document, value: Any) -> None:
        """Keep a small fact under a document.

        Raises
        ------
        OutputError
            If the store cannot be written.
        """
        path = self._memo(document)
        with reporting_output_errors(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"under": document, "value": value})

    def _memo(self, document: Document) -> Path:
        return self.folder / MEMOS / f"{key_name(document)}.json"


def chunk_name(series: str, number: int) -> str:
    """Return what the file of a chunk is called, before its digest."""
    return f"{series}-{number:05d}"


def read_json(path: Path) -> Any:
    """Return the content of a JSON file; None if it cannot be read."""
    try:
        return json_text.read_json(path)
    except (OSError, ValueError):
        return None


def write_json(path: Path, document: Document) -> None:
    """Write a JSON file, whole or not at all."""
    with reporting_output_errors(path.parent), atomic_write(path) as handle:
        handle.write(to_json(document).encode())


def now() -> str:
    """Return the time in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
