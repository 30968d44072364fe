"""What is in a store, whether it is whole, and what may go."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neurofit.errors import ConfigurationError, OutputError
from neurofit.files.atomic import try_to_lock
from neurofit.files.store import DONE, KEY, Entry, FeatureStore, key_name, read_json
from neurofit.files.store_chunks import read_chunk
from neurofit.files.store_lock import LOCK, is_locked

EntryState = Literal["finished", "unfinished", "being written", "damaged"]


@dataclass(frozen=True)
class StoredEntry:
    """An entry as it was found.

    Parameters
    ----------
    name : str
        The hash of its key.
    folder : Path
    state : str
        'finished'; 'unfinished': an interrupted run left it, and goes on from it; 'being written'; 'damaged': chunks
        are missing or not as they were written, or its key is not the one it is called by.
    key, about : mapping
        What decides its content, and what a person wants to know of it; empty if they cannot be read.
    size_bytes : int
    files : int
    used : float
        When it was last written or read, in seconds since 1970.
    """

    name: str
    folder: Path
    state: EntryState
    key: Mapping[str, Any]
    about: Mapping[str, Any]
    size_bytes: int
    files: int
    used: float

    def as_dict(self) -> dict[str, Any]:
        """Return it for a JSON document."""
        return {**vars(self), "folder": str(self.folder)}


def list_entries(store: FeatureStore) -> list[StoredEntry]:
    """Return all entries of a store, the one that was used last first. Chunks are not read."""
    return sorted((_found(folder) for folder in store.entries()), key=lambda entry: -entry.used)


def entry_named(store: FeatureStore, name: str) -> StoredEntry:
    """Return the entry whose name begins so.

    Raises
    ------
    ConfigurationError
        If there is none, or several.
    """
    found = [entry for entry in list_entries(store) if entry.name.startswith(name)]
    if len(found) != 1:
        raise ConfigurationError(
            "an entry is named by the beginning of its name",
            f"{len(found)} of {store.folder} begin with '{name}'",
            "see neurofit store list",
        )
    return found[0]


def verify_entries(store: FeatureStore) -> Iterator[tuple[StoredEntry, tuple[str, ...]]]:
    """Read every chunk of a store and yield each entry with what is wrong with it; changes nothing.

    An entry that is being written is left out of it: it is not whole yet.
    """
    for entry in list_entries(store):
        problems = () if entry.state == "being written" else tuple(_problems(entry))
        yield (StoredEntry(**{**vars(entry), "state": "damaged"}) if problems else entry), problems


@dataclass(frozen=True)
class Pruning:
    """Which entries may go: those of a model, where one is named, to which any of the other conditions applies.

    Parameters
    ----------
    model : str, optional
        Name of the model; of all by default. Alone it means all of its entries.
    unused_days : float, optional
        Those that were not used for so long.
    to_bytes : int, optional
        The longest unused, until the store (of that model) is no larger.
    unfinished : bool
        Those that a run left unfinished, and what cannot be read.

    Raises
    ------
    ConfigurationError
        If nothing was chosen.
    """

    model: str | None = None
    unused_days: float | None = None
    to_bytes: int | None = None
    unfinished: bool = False

    def __post_init__(self) -> None:
        if self.model is None and not self._conditions():
            raise ConfigurationError(
                "what may go from a store is chosen",
                "nothing was",
                "add --older-than, --to-size, --unfinished or --model",
            )

    def chosen(self, entries: Sequence[StoredEntry], now: float | None = None) -> list[StoredEntry]:
        """Return the entries that may go, the longest unused first; never one that is being written."""
        of_model = [e for e in entries if self.model is None or e.about.get("model") == self.model]
        oldest_first = sorted((e for e in of_model if e.state != "being written"), key=lambda e: e.used)
        if not self._conditions():
            return oldest_first
        limit = None if self.unused_days is None else (now or time.time()) - 86400 * self.unused_days
        gone = [
            entry
            for entry in oldest_first
            if (limit is not None and entry.used < limit) or (self.unfinished and entry.state != "finished")
        ]
        if self.to_bytes is not None:
            left = sum(entry.size_bytes for entry in of_model) - sum(entry.size_bytes for entry in gone)
            for entry in oldest_first:
                if left <= self.to_bytes:
                    break
                if entry not in gone:
                    gone.append(entry)
                    left -= entry.size_bytes
        return sorted(gone, key=lambda entry: entry.used)

    def _conditions(self) -> bool:
        return self.unused_days is not None or self.to_bytes is not None or self.unfinished


def remove_entry(entry: StoredEntry) -> bool:
    """Remove an entry; return False if somebody is writing it.

    The file that says that it is finished goes first: a removal that is interrupted leaves an unfinished entry.

    Raises
    ------
    OutputError
        If the store cannot be written.
    """
    try:
        with ExitStack() as stack:
            with suppress(FileNotFoundError):  # an entry whose first file was never written
                lock = stack.enter_context((entry.folder / LOCK).open("rb"))
                if not try_to_lock(lock):
                    return False
            (entry.folder / DONE).unlink(missing_ok=True)
            shutil.rmtree(entry.folder)
    except OSError as error:
        raise OutputError(
            "entries can be removed from a store", f"{entry.folder}: {error.strerror or error}", "make it writable"
        ) from error
    with suppress(OSError):  # other entries are in it
        entry.folder.parent.rmdir()
    return True


def _found(folder: Path) -> StoredEntry:
    document = read_json(folder / KEY)
    key, about = ({}, {}) if not isinstance(document, dict) else (document.get("key"), document.get("about"))
    entry = Entry(folder)
    if is_locked(folder):
        state: EntryState = "being written"
    elif entry.done() is not None:
        state = "finished"
    else:
        state = "damaged" if (folder / DONE).exists() else "unfinished"
    sizes, stamps = [], {}
    for path in folder.iterdir():
        with suppress(FileNotFoundError):  # another process is at work
            stat = path.stat()
            sizes.append(stat.st_size)
            stamps[path.name] = stat.st_mtime
    # chunks keep the stamp of a clock that was ahead; what says that an entry is finished is stamped with every use
    used = stamps.get(DONE, max(stamps.values(), default=0.0))
    return StoredEntry(
        folder.name,
        folder,
        state,
        key if isinstance(key, dict) else {},
        about if isinstance(about, dict) else {},
        sum(sizes),
        len(sizes),
        used,
    )


def _problems(entry: StoredEntry) -> Iterator[str]:
    if key_name(entry.key) != entry.name:
        yield "its key is not the one it is called by"
    if entry.state == "damaged":
        yield "chunks are missing"
    for path in sorted(entry.folder.glob("*.h5")):
        if not path.name.startswith(".") and read_chunk(path, entry.name) is None:
            yield f"{path.name} is not as it was written"
