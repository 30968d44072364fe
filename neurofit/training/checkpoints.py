"""The state of a run on disk: whole or not at all, and read without executing code."""

from __future__ import annotations

import io
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from neurofit.errors import ConfigurationError, DataFileError
from neurofit.files.atomic import atomic_write, remove_leftovers, reporting_output_errors, try_to_lock
from neurofit.training.checkpoint_parts import check_parts

FILE, LOCK = "checkpoint.pt", ".lock"
VERSION = 1
_MOST_TIME = 0.05
_SECONDS_BETWEEN_ATTEMPTS = 0.1


@dataclass
class Checkpoints:
    """Saves and loads a run's state, as often as costs little.

    Parameters
    ----------
    folder : Path or None
        None saves nothing.
    identity : mapping
        What a run is: its network, recipe, data, seed. A folder holds one.
    """

    folder: Path | None
    identity: Mapping[str, Any]
    _due: float = field(default=0.0, init=False)

    def load(self) -> dict[str, Any] | None:
        """Return the state that was saved last; None where there is none yet.

        Raises
        ------
        ConfigurationError
            If the folder holds another run.
        DataFileError
            If the checkpoint is damaged.
        """
        if self.folder is None or not (self.folder / FILE).exists():
            return None
        path = self.folder / FILE
        try:
            check_parts(path)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickles that PyTorch did not write
                content = torch.load(path, weights_only=True, map_location="cpu")
            version, identity, state = content["version"], content["identity"], content["state"]
            identity = dict(identity)
        except MemoryError:
            raise
        except Exception as error:  # a damaged file makes PyTorch raise nearly anything
            # of what it will not read PyTorch says at length how it could be executed
            reason = "it is damaged, or holds more than numbers" if isinstance(error, UnpicklingError) else error
            raise DataFileError(
                "a checkpoint is a file that neurofit train wrote",
                f"{path}: {reason}",
                "remove it, or name another --out",
            ) from error
        if version != VERSION or identity != dict(self.identity):
            other = [key for key in {**identity, **self.identity} if identity.get(key) != self.identity.get(key)]
            raise ConfigurationError(
                "a training folder holds one run",
                f"{self.folder} was begun with "
                + (
                    ", ".join(f"{key} {identity.get(key)!r}, not {self.identity.get(key)!r}" for key in other[:3])
                    or f"checkpoints of version {version}"
                ),
                "name another --out, or the same options",
            )
        return state

    def due(self) -> bool:
        """Return whether saving now takes at most a twentieth of the time."""
        return self.folder is not None and time.monotonic() >= self._due

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint.

        Raises
        ------
        OutputError
            If the folder cannot be written; the checkpoint before is kept.
        """
        if self.folder is None:
            return
        began = time.monotonic()
        content = io.BytesIO()  # PyTorch's own writer hides why a disk could not be written
        torch.save({"version": VERSION, "identity": dict(self.identity), "state": dict(state)}, content)
        with reporting_output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.folder / FILE)
            with atomic_write(self.folder / FILE) as handle:
                handle.write(content.getbuffer())
        now = time.monotonic()
        self._due = now + (now - began) / _MOST_TIME


@contextmanager
def hold_folder(folder: Path | None, waiting: Callable[[], object]) -> Iterator[None]:
    """Be the one process that trains in a folder; wait for another that does.

    The operating system gives the lock back when its holder dies. Where a file system has no locks there is none.

    Parameters
    ----------
    folder : Path or None
        Made where there is none; None holds nothing.
    waiting : callable
        Called once if another process trains there.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    if folder is None:
        yield
        return
    with reporting_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK).open("a+b")
    with handle:
        with suppress(OSError):
            if not try_to_lock(handle):
                waiting()
                while not try_to_lock(handle):
                    time.sleep(_SECONDS_BETWEEN_ATTEMPTS)
        yield
