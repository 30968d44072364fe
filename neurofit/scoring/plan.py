"""What a score will take, told before it runs; and how to run it in the memory that it may have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit.assembly.schema import has_repetitions
from neurofit.assembly.time_bins import overlap_weights, step_bins
from neurofit.errors import ConfigurationError
from neurofit.files.machine import cores
from neurofit.kernel.routes import Basis, FeaturePlan, size_text
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.plan_memory import (
    LIBRARIES_BYTES,
    Sizes,
    aligning_bytes,
    mapping_bytes,
    recording_bytes,
    resident_bytes,
)
from neurofit.scoring.plan_time import Speed, activation_seconds, mapping_seconds, measured_speed
from neurofit.scoring.run import Target
from neurofit.scoring.time_course import as_benchmarked
from neurofit.subjects.features import binned, distinct_bins
from neurofit.vocabulary import NEUROID, PRESENTATION, STIMULUS_ID

if TYPE_CHECKING:
    from neurofit.data.stimuli import StimulusSet
    from neurofit.subjects.features import FeatureChoice
    from neurofit.subjects.model_subject import ModelSubject
    from neurofit.subjects.pass_cost import PassMemory
    from neurofit.subjects.stored_features import Shelf


@dataclass(frozen=True)
class Stage:
    """One stage of a run.

    Parameters
    ----------
    name, what : str
    memory_bytes : int
        At most, beside what was there when the plan was made.
    seconds : float or None
        An estimate; None where none was asked for.
    """

    name: str
    what: str
    memory_bytes: int
    seconds: float | None


@dataclass(frozen=True)
class RunPlan:
    """What a score will take.

    Parameters
    ----------
    model, layer, benchmark, region : str
    sizes : Sizes
    features : FeaturePlan
        How the layer's features are kept.
    batch, passes, threads : int
        Images of a forward pass, how many passes there are, and threads of the mapping.
    store : str
        What the store has of it, in words.
    stages : tuple of Stage
    resident_bytes, so_far_bytes : int
        What the process had in memory when the plan was made - libraries, network, recording - and at most until then.
    limit_bytes : int
        What it may have.
    changes : tuple of str
        What is other than was asked for, so that it fits.
    estimate : str
        What the seconds rest on; empty without any.
    """

    model: str
    layer: str
    benchmark: str
    region: str
    sizes: Sizes
    features: FeaturePlan
    batch: int
    passes: int
    threads: int
    store: str
    stages: tuple[Stage, ...]
    resident_bytes: int
    so_far_bytes: int
    limit_bytes: int
    changes: tuple[str, ...] = ()
    estimate: str = ""

    @property
    def peak_bytes(self) -> int:
        """Return the largest resident memory that is predicted of the process."""
        return max(self.so_far_bytes, self.needed_bytes)

    @property
    def needed_bytes(self) -> int:
        """Return the largest resident memory from now on; what a process took and gave back does not count."""
        return self.resident_bytes + LIBRARIES_BYTES + self.largest.memory_bytes

    @property
    def largest(self) -> Stage:
        """Return the stage that takes most memory."""
        return max(self.stages, key=lambda stage: stage.memory_bytes)

    @property
    def seconds(self) -> float | None:
        """Return the estimated time of all stages; None without one."""
        known = [stage.seconds for stage in self.stages if stage.seconds is not None]
        return sum(known) if known else None

    def as_dict(self) -> dict[str, Any]:
        """Return the plan for a JSON document."""
        return {**asdict(self), "peak_bytes": self.peak_bytes, "seconds": self.seconds}


@dataclass(frozen=True)
class Planned:
    """A plan with what carries it out: the subject as it is to be recorded, and what was loaded."""

    plan: RunPlan
    subject: ModelSubject
    target: Target


def plan_run(
    benchmark: Benchmark,
    subject: ModelSubject,
    layer: str,
    target: Target,
    *,
    limit_bytes: int,
    n_jobs: int | None = None,
    timed: bool = False,
) -> Planned:
    """Tell what a score takes, and fit it into the memory that it may have.

    Where it would take more, the batch is made smaller, then one thread maps, then the layer is kept by its inner
    products or projected (unless the way was chosen); each is said in the plan's `changes`.

    Parameters
    ----------
    benchmark, subject, layer, target, n_jobs
        See `neurofit.run`; the target is loaded, so that what it takes is known.
    limit_bytes : int
        What the process may have in memory at most, libraries and data included.
    timed : bool
        Whether to measure the speed of network and machine, for an estimate of the time.

    Raises
    ------
    ConfigurationError
        If the run does not fit in any of these ways.
    """
    case = _Case.of(benchmark, as_benchmarked(subject, benchmark), layer, target, limit_bytes, n_jobs or cores().usable)
    first: RunPlan | None = None
    for way in case.ways():
        plan = way.plan()
        first = first or plan
        if plan is not None and plan.needed_bytes <= limit_bytes:
            return Planned(way.timed(plan) if timed else plan, way.subject, target)
    if first is None:
        case.features()  # raises: the layer's features fit in no way
        raise AssertionError("unreachable: features that fit have a plan")
    raise ConfigurationError(
        "a run fits the memory that it may have",
        f"it needs {size_text(first.needed_bytes)} of {size_text(limit_bytes)}: {size_text(first.resident_bytes)} for "
        f"libraries, network and recording, and {size_text(first.largest.memory_bytes)} for {first.largest.name}; no "
        "smaller batch and no other features that are allowed take less",
        "allow more (--memory), ask for fewer time bins, or take a narrower layer",
    )


@dataclass(frozen=True)
class _Case:
    """One way to run a score."""

    benchmark: Benchmark
    subject: ModelSubject
    layer: str
    stimuli: StimulusSet
    sizes: Sizes
    limit_bytes: int
    threads: int
    shelf: Shelf | None
    passes: PassMemory | None
    units: int
    resident: tuple[int, int]
    changes: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, benchmark: Benchmark, subject: ModelSubject, layer: str, target: Target, limit_bytes: int, threads: int
    ) -> _Case:
        """Return the way that was asked for; the network is shown three grey images unless a store has the features."""
        from neurofit.subjects.pass_cost import pass_memory
        from neurofit.subjects.stored_features import open_shelf

        subject.check_layers([layer])
        viewing, bins = benchmark.viewing.viewing(), benchmark.time_bins.bins()
        quiet = copy(subject)
        quiet.announce = lambda _: None
        shelf = open_shelf(quiet, target.stimuli, viewing, bins, subject.threads())
        sizes, resident = _sizes(benchmark, target), resident_bytes()
        known = None if shelf is None else shelf.units([layer])
        case = cls(
            benchmark, subject, layer, target.stimuli, sizes, limit_bytes, threads, shelf, None,
            0 if known is None else known[layer], resident,
        )  # fmt: skip
        if known is not None and case.is_stored():
            return case
        passes = pass_memory(subject, [layer], viewing)
        runs = runs_of(binned(passes.shown[layer], case.weights))
        return replace(case, passes=passes, units=passes.shown[layer].shape[2], sizes=replace(sizes, runs=runs))

    def ways(self) -> Iterator[_Case]:
        """Yield this way and others, those that change least first."""
        yield self
        one = self.changed("one thread maps", threads=1)
        yield one
        yield from one.smaller_batches()
        if self.subject.features.choice != "auto":
            return
        routes: tuple[FeatureChoice, ...] = ("dual", "projected")
        for route in routes:
            other = self.changed(f"features are {route}", choice=route)
            yield other
            yield from other.changed("one thread maps", threads=1).smaller_batches()

    def smaller_batches(self) -> Iterator[_Case]:
        """Yield the same with ever fewer images a pass."""
        batch = self.subject.batch
        while batch > 1:
            batch //= 2
            yield self.changed(f"{batch} images a pass, not {self.subject.batch}", batch=batch)

    def changed(
        self, what: str, *, threads: int | None = None, batch: int | None = None, choice: FeatureChoice | None = None
    ) -> _Case:
        """Return another way, that says so."""
        subject = copy(self.subject)
        subject.batch = batch or subject.batch
        if choice is not None:
            subject.features = replace(subject.features, choice=choice)
        same = threads == self.threads
        changes = self.changes if same else (*self.changes, what)
        return replace(self, subject=subject, threads=threads or self.threads, changes=changes)

    def features(self) -> FeaturePlan:
        """Return how the layer is kept.

        Raises
        ------
        ConfigurationError
            If it fits in no way.
        """
        subject, viewing = self.subject, self.benchmark.viewing.viewing()
        units = {self.layer: self.units}
        return subject.plan(self.stimuli, [self.layer], self.sizes.n_bins, viewing, self.basis, units)[self.layer]

    @property
    def basis(self) -> Basis:
        """What the mapping allows features to be."""
        return self.benchmark.metric.basis(self.benchmark.mapping.basis())

    @property
    def weights(self) -> np.ndarray:
        """Shares (T, steps) of the steps in the bins."""
        subject, viewing = self.subject, self.benchmark.viewing.viewing()
        steps = step_bins(viewing.steps(subject.step_ms)[1], subject.step_ms, subject.delay_ms)
        return overlap_weights(steps, self.benchmark.time_bins.bins()).astype(np.float32)

    def is_stored(self) -> bool:
        """Whether a store has the features."""
        if self.shelf is None:
            return False
        try:
            return self.shelf.has(self.layer, self.features(), self.basis, self.subject)
        except ConfigurationError:
            return False

    def plan(self) -> RunPlan | None:
        """Return what it takes; None if the layer's features cannot be kept so."""
        try:
            features = self.features()
        except ConfigurationError:
            return None
        sizes, hit = self.sizes, self.is_stored()
        passes = 0 if hit else -(-sizes.shown // self.subject.batch)
        stages: tuple[Stage, ...] = (
            Stage("activations", self._shown(passes), self._recording(features, hit), None),
            Stage("alignment", "means over repetitions, the order of stimuli, bins first",
                  aligning_bytes(features, sizes), None),
            Stage("mapping", self._fits(1), mapping_bytes(features, sizes, self.threads), None),
        )  # fmt: skip
        if sizes.refits:
            told = self._fits(2 * sizes.n_halvings)
            stages = (*stages, Stage("consistency", told, stages[-1].memory_bytes, None))
        return RunPlan(
            self.subject.name, self.layer, self.benchmark.name, self.benchmark.region, sizes, features,
            self.subject.batch, passes, self.threads, self._store(hit), stages, *self.resident, self.limit_bytes,
            self.changes,
        )  # fmt: skip

    def timed(self, plan: RunPlan) -> RunPlan:
        """Return the plan with seconds, after showing some images."""
        from neurofit.subjects.pass_cost import pass_time

        shown = None
        if plan.passes:
            shown = pass_time(self.subject, self.stimuli, [self.layer], self.benchmark.viewing.viewing())
        speed: Speed = measured_speed(shown)
        sizes = plan.sizes
        stored = self.shelf is not None
        activations = activation_seconds(speed, plan.features, sizes.shown, sizes.n_bins, stored)
        seconds = (activations, None, *mapping_seconds(speed, plan.features, sizes, self.threads))
        stages = (replace(stage, seconds=s) for stage, s in zip(plan.stages, seconds, strict=False))
        return replace(plan, stages=tuple(stages), estimate=speed.basis())

    def _recording(self, features: FeaturePlan, hit: bool) -> int:
        averages = bool(((self.weights > 0).sum(axis=1) > 1).any())
        taken = recording_bytes(features, self.sizes, None if hit else self.passes, self.subject.batch, averages)
        return taken + (0 if hit or self.shelf is None else self._chunk(features))

    def _chunk(self, features: FeaturePlan) -> int:
        """Bytes of what a store keeps of a batch: reduced, and as a file in memory."""
        columns = features.units if features.route == "dual" else features.columns
        return 3 * 4 * min(self.subject.batch, self.sizes.shown) * columns * self.sizes.n_bins

    def _shown(self, passes: int) -> str:
        if not passes:
            return "read from the store, the network is not run"
        return f"{self.sizes.shown:,} images, {passes:,} passes of {self.subject.batch}"

    def _fits(self, sets: int) -> str:
        groups = 1 if self.sizes.stacked else self.sizes.n_bins
        return f"{groups * self.sizes.n_splits * sets:,} fits of {self.sizes.samples:,} samples, {self.threads} threads"

    def _store(self, hit: bool) -> str:
        if self.subject.features.store is None:
            return "none"
        if self.shelf is None:
            return "of this network nothing can be kept"
        return "has the features" if hit else "does not have the features, and keeps them"


def runs_of(bins: Sequence[np.ndarray]) -> tuple[int, ...]:
    """Return the lengths of runs of bins with the same activations."""
    slots = distinct_bins(bins)[0]
    return tuple(np.bincount(slots).tolist())


def _sizes(benchmark: Benchmark, target: Target) -> Sizes:
    """Return the sizes of a benchmark's problem."""
    recording, formula = target.recording, formula_named(benchmark.correction.formula)
    stimuli = len(np.unique(recording[STIMULUS_ID].values))
    halved = formula.corrects and not formula.on_aggregates and has_repetitions(recording)
    return Sizes(
        stimuli=stimuli,
        shown=len(target.stimuli),
        presentations=recording.sizes[PRESENTATION],
        neuroids=recording.sizes[NEUROID],
        n_bins=len(benchmark.time_bins.bins()),
        n_splits=benchmark.splits.n_splits,
        n_halvings=benchmark.correction.n_halvings if halved else 0,
        held_out=int(np.ceil(benchmark.splits.test_size * stimuli)),
        # more than there are samples is refused by the mapping, as what it is, and not as memory that it would take
        components=min(benchmark.mapping.n_components or 0, stimuli),
        stacked=benchmark.mapping.temporal == "fixed",
        refits=halved and formula.needs_mapping_consistency,
        runs=(len(benchmark.time_bins.bins()),),  # at worst, until the network has been seen
        recording_bytes=recording.nbytes,
        contiguous=bool(recording.values.flags.c_contiguous),
    )
