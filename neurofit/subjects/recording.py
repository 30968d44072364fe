"""Record layers of a network: one pass over the stimuli, and none over those of which a store has the features."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from tqdm import tqdm

from neurofit.assembly.build import make_assembly
from neurofit.assembly.time_bins import TimeBins, overlap_weights, step_bins
from neurofit.data.stimuli import StimulusSet
from neurofit.kernel.routes import Basis, FeaturePlan
from neurofit.subjects.features import LABELS, Collector, binned, collector, feature_attrs
from neurofit.subjects.stored_features import BATCHES, Shelf, open_shelf, read_features
from neurofit.subjects.viewing import Viewing

if TYPE_CHECKING:
    from neurofit.subjects.model_subject import ModelSubject


def record_layers(
    subject: ModelSubject,
    stimuli: StimulusSet,
    layers: Collection[str],
    time_bins: TimeBins,
    viewing: Viewing,
    basis: Basis,
    progress: bool,
) -> dict[str, xr.DataArray]:
    """Return layers' activations in time bins; see `ModelSubject.record_many`."""
    subject.check_layers(layers)
    job = _Job(subject, stimuli, time_bins, viewing, basis, progress)
    units = None if job.shelf is None else job.shelf.units(layers)
    if units is None:
        units = subject.units(layers, viewing)
        if job.shelf is not None:
            job.shelf.remember_units(units)
    plans = subject.plan(stimuli, layers, len(time_bins), viewing, basis, units)
    if job.shelf is not None:
        job.shelf.plan(plans, basis, subject.random_state)
    for layer, plan in plans.items():
        if subject.announce is not None:
            subject.announce(f"{layer}: {plan.sentence()}" if len(plans) > 1 else plan.sentence())
    values = job.values(plans)
    return {
        layer: make_assembly(
            values[layer],
            stimulus_id=stimuli.ids,
            neuroid_id=[f"{layer}-{LABELS[plan.route]}{i}" for i in range(values[layer].shape[1])],
            subject=subject.name,
            layer=layer,
            time_bins=list(time_bins),
            attrs=feature_attrs(plan, basis),
        )
        for layer, plan in plans.items()
    }


class _Job:
    """One recording: who, what, when."""

    def __init__(
        self,
        subject: ModelSubject,
        stimuli: StimulusSet,
        time_bins: TimeBins,
        viewing: Viewing,
        basis: Basis,
        progress: bool,
    ) -> None:
        self.subject, self.stimuli, self.viewing, self.basis, self.progress = subject, stimuli, viewing, basis, progress
        self.n, self.n_bins = len(stimuli), len(time_bins)
        steps = step_bins(viewing.steps(subject.step_ms)[1], subject.step_ms, subject.delay_ms)
        self.weights = overlap_weights(steps, time_bins).astype(np.float32)
        self.shelf: Shelf | None = open_shelf(subject, stimuli, viewing, time_bins, subject.threads())
        self.batches = range(0, self.n, subject.batch)

    def values(self, plans: Mapping[str, FeaturePlan]) -> dict[str, np.ndarray]:
        """Return the features (n, k, T) of every layer."""
        found = self._kept(plans)
        rest = {layer: plan for layer, plan in plans.items() if layer not in found}
        if not rest:
            return found
        with ExitStack() as stack:
            if self.shelf is not None:
                self.shelf.open(rest, self.n, self.n_bins, stack)
                found |= self._kept(rest)  # what another process was computing until now
                rest = {layer: plan for layer, plan in rest.items() if layer not in found}
            takers = {layer: stack.enter_context(self._collector(plan)) for layer, plan in rest.items()}
            if takers:
                self._pass(takers)
            for layer, taker in takers.items():
                found[layer] = taker.values(self.progress)
                if self.shelf is not None:
                    self.shelf.finish(layer, rest[layer], found[layer], len(self.batches))
        return found

    def _collector(self, plan: FeaturePlan) -> AbstractContextManager[Collector]:
        scratch, random_state = self.subject.features.scratch, self.subject.random_state
        return collector(plan, self.n, self.n_bins, self.basis, scratch, random_state)

    def _kept(self, plans: Mapping[str, FeaturePlan]) -> dict[str, np.ndarray]:
        """Return the features of layers that the store has whole."""
        found: dict[str, np.ndarray] = {}
        if self.shelf is None:
            return found
        for layer, plan in plans.items():
            values = self._read(self.shelf, layer, plan)
            if values is not None:
                found[layer] = values
                self.shelf.found(layer)
        return found

    def _read(self, shelf: Shelf, layer: str, plan: FeaturePlan) -> np.ndarray | None:
        entry = shelf.entry(layer)
        done = None if entry is None else entry.done()
        if entry is None or done is None:
            return None
        series, count = done
        if series != BATCHES:
            return read_features(entry, count, self.n)
        with self._collector(plan) as taker:
            for number in range(count):
                part = entry.chunk(BATCHES, number)
                if part is None:
                    return None
                taker.take(part)
            return taker.values(self.progress)

    def _pass(self, takers: Mapping[str, Collector]) -> None:
        """Show the stimuli to the network, except where the store has what is to be taken."""
        subject, shelf, layers = self.subject, self.shelf, list(takers)
        if shelf is None or not shelf.writes:
            for batch in subject.stream(self.stimuli, layers, self.viewing, self.progress):
                for layer, taker in takers.items():
                    taker.add(binned(batch.activations[layer], self.weights))
            return
        what = f"{subject.name} sees {self.stimuli.name}"
        bar = tqdm(self.batches, desc=what, unit="batch", disable=not self.progress, leave=False)
        for number, start in enumerate(bar):
            kept = {layer: shelf.chunk(layer, number) for layer in layers}
            parts = {layer: part for layer, part in kept.items() if part is not None}
            missing = [layer for layer in layers if layer not in parts]
            ids = self.stimuli.ids[start : start + subject.batch]
            for batch in subject.stream(self.stimuli.subset(ids), missing, self.viewing) if missing else ():
                for layer in missing:
                    parts[layer] = takers[layer].reduce(binned(batch.activations[layer], self.weights))
                    shelf.keep(layer, number, parts[layer])
            for layer, taker in takers.items():
                taker.take(parts[layer])
