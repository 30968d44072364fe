"""Features of one recording in a store: what is there of every layer, and where the rest goes."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit import __version__
from neurofit.assembly.time_bins import TimeBins
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import OutputError
from neurofit.files.store import Draft, Entry, FeatureStore, key_name
from neurofit.files.store_chunks import Part
from neurofit.kernel.gram_stream import scratch_bytes
from neurofit.kernel.routes import Basis, FeaturePlan, size_text
from neurofit.subjects.code_identity import NoIdentityError
from neurofit.subjects.feature_key import layer_key, shared_key, units_document
from neurofit.subjects.viewing import Viewing

if TYPE_CHECKING:
    from neurofit.subjects.model_subject import ModelSubject

BATCHES, FEATURES = "batch", "features"
"""Series of chunks: what is kept of each batch, and the features that a wide layer's batches became."""

PIECE_BYTES = 2**26
"""Of one chunk of the series 'features'."""


class Shelf:
    """What a store has, or will have, of a recording.

    Parameters
    ----------
    store : FeatureStore
    shared : dict
        What the keys of all layers share.
    about : mapping
        What a person wants to know of the entries.
    say, warn : callable
        Are told what came from the store, and what does not go there.
    """

    def __init__(
        self,
        store: FeatureStore,
        shared: dict[str, Any],
        about: Mapping[str, Any],
        say: Callable[[str], object],
        warn: Callable[[str], object],
    ) -> None:
        self.store, self.shared, self._about, self._say, self._warn = store, shared, dict(about), say, warn
        self._keys: dict[str, dict[str, Any]] = {}
        self._sparing: set[str] = set()
        self._drafts: dict[str, Draft] = {}

    def units(self, layers: Collection[str]) -> dict[str, int] | None:
        """Return how many units each layer has, if that is known of all."""
        known = {layer: self.store.recall(units_document(self.shared, layer)) for layer in dict.fromkeys(layers)}
        return known if all(isinstance(units, int) for units in known.values()) else None

    def remember_units(self, units: Mapping[str, int]) -> None:
        """Remember how many units layers have."""

        def write() -> None:
            for layer, count in units.items():
                self.store.remember(units_document(self.shared, layer), count)

        self._written(write)

    def plan(self, plans: Mapping[str, FeaturePlan], basis: Basis, random_state: int) -> None:
        """Learn how each layer will be kept, which decides its key."""
        for layer, plan in plans.items():
            self._keys[layer] = layer_key(self.shared, layer, plan, basis, random_state)

    def has(self, layer: str, plan: FeaturePlan, basis: Basis, subject: ModelSubject) -> bool:
        """Return whether a layer would be found, of this subject's batch; nothing is read."""
        execution = {**self.shared["execution"], "batch": subject.batch}
        shared = {**self.shared, "execution": execution}
        return self.store.find(layer_key(shared, layer, plan, basis, subject.random_state)) is not None

    def entry(self, layer: str) -> Entry | None:
        """Return a layer's finished entry, if there is one."""
        return self._drafts.get(layer) or self.store.find(self._keys[layer])

    def found(self, layer: str) -> None:
        """Say that a layer came from the store."""
        entry = self.store.find(self._keys[layer])
        if entry is not None:
            entry.used()
        self._say(f"store: {layer}: features as kept ({key_name(self._keys[layer])[:12]}), the network is not run")

    def open(self, plans: Mapping[str, FeaturePlan], n: int, n_bins: int, stack: ExitStack) -> None:
        """Hold the locks of some layers' entries, for as long as the stack is open; without any if that fails."""
        keys = {layer: self._keys[layer] for layer in plans}
        about = {layer: {**self._about, "layer": layer, "features": plans[layer].sentence()} for layer in plans}

        def waiting(layer: str) -> None:
            self._say(f"store: another process is computing the features of {layer}: waiting for it")

        def hold() -> None:
            self._drafts = stack.enter_context(self.store.drafts(keys, about, waiting))
            stack.callback(self._drafts.clear)
            free = shutil.disk_usage(self.store.folder).free
            for layer, plan in plans.items():
                passing = scratch_bytes(n, plan.units, n_bins) if plan.route == "dual" else 0
                if passing + plan.disk_bytes + plan.result_bytes > free and passing:
                    self._sparing.add(layer)
                    self._say(
                        f"store: {layer}: kept when it is finished; the {size_text(passing)} to go on from after an "
                        f"interruption do not fit the {size_text(free)} that are free"
                    )

        self._written(hold)

    @property
    def writes(self) -> bool:
        """Whether anything can be written."""
        return bool(self._drafts)

    def chunk(self, layer: str, number: int) -> Part | None:
        """Return what is kept of a batch."""
        draft = self._drafts.get(layer)
        return None if draft is None else draft.chunk(BATCHES, number)

    def keep(self, layer: str, number: int, part: Part) -> None:
        """Keep what there is of a batch."""
        draft = self._drafts.get(layer)
        if draft is not None and layer not in self._sparing:
            self._written(lambda: draft.keep(BATCHES, number, part))

    def finish(self, layer: str, plan: FeaturePlan, values: np.ndarray, batches: int) -> None:
        """Say that a layer is complete: its batches are its features, or the features (n, k, T) are kept as well."""
        draft = self._drafts.get(layer)
        if draft is None:
            return

        def write() -> None:
            if plan.route != "dual":
                draft.finish(BATCHES, batches)
                return
            rows = max(1, PIECE_BYTES // max(values[:1].nbytes, 1))
            starts = range(0, len(values), rows)
            for number, start in enumerate(starts):
                draft.keep(FEATURES, number, {"values": values[start : start + rows]})
            draft.finish(FEATURES, len(starts))

        self._written(write)

    def _written(self, write: Callable[[], object]) -> None:
        """Write; where that is not possible say so once, and go on without the store."""
        try:
            write()
        except OutputError as error:
            self._drafts.clear()
            self._warn(f"store: nothing is kept of this run: {error.found}")


def open_shelf(
    subject: ModelSubject, stimuli: StimulusSet, viewing: Viewing, time_bins: TimeBins, threads: int
) -> Shelf | None:
    """Return the place of a recording in the store that its subject has; None without one, or of what has no hash."""
    if subject.features.store is None:
        return None

    def warn(text: str) -> None:
        if subject.announce is None:
            warnings.warn(text, stacklevel=2)
        else:
            subject.announce(text)

    store = FeatureStore(subject.features.store)
    try:
        shared = shared_key(subject, stimuli, viewing, time_bins, store, threads)
    except NoIdentityError as error:
        warn(f"store: features of {subject.name} are not kept: the network has no content hash, {error}")
        return None
    about = {"model": subject.name, "stimuli": stimuli.name, "images": len(stimuli), "neurofit": __version__}
    return Shelf(store, shared, about, subject.announce or (lambda _: None), warn)


def read_features(entry: Entry, count: int, n: int) -> np.ndarray | None:
    """Return the features (n, k, T) of an entry's series 'features'; None if any of it is missing or damaged."""
    values: np.ndarray | None = None
    row = 0
    for number in range(count):
        part = entry.chunk(FEATURES, number)
        if part is None:
            return None
        piece = part["values"]
        if values is None:
            values = np.empty((n, *piece.shape[1:]), np.float32)
        values[row : row + len(piece)] = piece
        row += len(piece)
    return values if row == n else None
