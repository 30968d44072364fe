"""Early looks: the predictivity of a network while it is still trained, so that it can be held against its accuracy.

A look is one of the callables that `neurofit.training.train.train` calls after an epoch. It scores a copy of the
network, and leaves no trace in the run.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import xarray as xr

from neurofit.assembly.align import align
from neurofit.assembly.build import average_repetitions
from neurofit.assembly.schema import time_bins_of
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import AssemblyError, ConfigurationError, MappingError, ModelContractError, UnknownNameError
from neurofit.files.json_text import plain_values
from neurofit.scoring.benchmark import Benchmark, load_benchmark
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.predictivity import score_of, terms_of
from neurofit.scoring.problem import Problem, pose
from neurofit.scoring.run import Target, load_target, record_layers, score_source
from neurofit.scoring.summary import headline, window_bins
from neurofit.scoring.time_course import as_benchmarked
from neurofit.subjects.library import committed_layer
from neurofit.subjects.model_subject import ModelSubject
from neurofit.training.aside import OneProcess, device_of, undisturbed
from neurofit.vocabulary import SIMULATED

if TYPE_CHECKING:
    from torch import nn

    from neurofit.models.trainable import TrainableModel

Wrap = Callable[["nn.Module"], ModelSubject]

CORRECTED, RAW, SECONDS = "corrected", "raw", "look_seconds"
MARK = "SIMULATED"
HELD_BYTES = 2**30
"""Stimuli are kept in memory, decoded, while they take at most so much; others are read at every look."""


def early_look(
    benchmark: str | Path | Benchmark,
    wrap: Wrap,
    *,
    layers: Sequence[str] | None = None,
    every: int = 1,
    last: int | None = None,
    n_splits: int | None = None,
    n_halvings: int | None = None,
    data: str | Path | None = None,
    n_jobs: int | None = None,
    say: Callable[[str], object] | None = None,
) -> EarlyLook:
    """Return a look at a network that is trained, for `train(..., after_epoch=[...])`.

    Parameters
    ----------
    benchmark : str, path or Benchmark
        By name, TOML file, or itself.
    wrap : callable
        From the network as it is trained to a `ModelSubject`; `wrapping` makes one. It gets a copy.
    layers : sequence of str, optional
        Layers that are scored, from one pass; by default the one that the model commits to the benchmark's region.
    every : int
        Look after so many epochs.
    last : int, optional
        Also look after this epoch, the last of the recipe.
    n_splits, n_halvings : int, optional
        Fewer than the benchmark's; see `Benchmark.varied`.
    data : path, optional
        Folder of fetched datasets.
    n_jobs : int, optional
        Threads of the mapping; all cores by default.
    say : callable, optional
        Told, in a sentence, if a look has no value.

    Raises
    ------
    UnknownNameError, ConfigurationError, DataFileError
        If there is no such benchmark, or it is wrong.
    """
    if every < 1:
        raise ConfigurationError("a look is taken every epoch or less often", f"every is {every}", "choose 1 or more")
    chosen = benchmark if isinstance(benchmark, Benchmark) else load_benchmark(benchmark)
    chosen = chosen.varied(n_splits=n_splits, n_halvings=n_halvings)
    return EarlyLook(chosen, wrap, None if layers is None else tuple(layers), every, last, data, n_jobs, say)


def wrapping(model: TrainableModel, benchmark: Benchmark, layers: Sequence[str] | None = None) -> Wrap:
    """Return how a network that is trained becomes a subject: as the zoo would have it, or as its user says.

    Parameters
    ----------
    model : TrainableModel
        From `neurofit.subjects.trainable.load_trainable`.
    benchmark : Benchmark
        Its static mode lays out networks of one image.
    layers : sequence of str, optional
        Needed for networks that are not neurofit's own: names as the network has them, of submodules where it takes
        images.

    Raises
    ------
    ConfigurationError
        If the network returns nothing but class scores, or nothing says what it does in time or which layer is meant.
    """
    entry, name, preprocessing = model.entry, model.name, model.preprocessing
    if entry is not None:
        own_layers = entry.network.layers if entry.network is not None else ()
        return lambda network: ModelSubject(
            network,
            name=name,
            layers=own_layers,
            preprocessing=preprocessing,
            step_ms=entry.step_ms,
            region_layers=entry.region_layers,
        )
    kind = getattr(model.network, "kind", None)
    if kind not in ("layers", "images"):
        raise ConfigurationError(
            "a network that is looked at returns activations of layers, or takes images",
            f"'{name}' returns class scores of frames alone",
            "let it return {layer: (batch, steps, ...)}, or train it without looks",
        )
    if not layers:
        raise ConfigurationError(
            "a look at a network of your own needs a layer", f"none is named for '{name}'", "name it (--look-layer)"
        )
    if kind == "layers":
        return lambda network: ModelSubject(
            cast("nn.Module", network.network), name=name, layers=layers, preprocessing=preprocessing
        )
    mode = benchmark.static.mode
    if mode == "own":
        raise ConfigurationError(
            "the benchmark says what a network of one image does in time",
            f"{benchmark.name} does not, and '{name}' has no dynamics",
            "name a benchmark with a [static] mode (a TOML file)",
        )
    from neurofit.subjects.static import static_subject

    return lambda network: static_subject(
        cast("nn.Module", network.network), list(layers), name=name, preprocessing=preprocessing, mode=mode
    )


@dataclass
class EarlyLook:
    """A look at a network after some epochs; see `early_look` for the parameters.

    What does not change between looks - recording, splits, halvings, trial means, stimuli - is loaded by the first,
    or by `prepare`. Where the mapping is fitted per bin, bins outside the benchmark's window are left out: the headline
    does not depend on them.
    """

    benchmark: Benchmark
    wrap: Wrap
    layers: tuple[str, ...] | None
    every: int
    last: int | None
    data: str | Path | None
    n_jobs: int | None
    say: Callable[[str], object] | None
    _target: Target | None = field(default=None, init=False)
    _problem: Problem | None = field(default=None, init=False)
    _one_process: OneProcess = field(default_factory=OneProcess, init=False)

    def __call__(self, epoch: int, network: nn.Module, row: Mapping[str, float]) -> dict[str, float]:
        """Return columns of the epoch's row: `corrected` and `raw` of every layer, and the seconds of all its looks.

        Parameters
        ----------
        epoch : int
            From 1.
        network : torch.nn.Module
        row : mapping

        Raises
        ------
        NeurofitError
            Of the first look: whatever is wrong with data, benchmark or network. A later one on which the network's
            activations are not finite has NaN, and says so.
        """
        if epoch % self.every and epoch != self.last:
            return {}
        return self._one_process(lambda: self._timed(network, epoch, row))

    def look(self, network: nn.Module, device: str | None = None) -> dict[str, float]:
        """Return `corrected` and `raw` of every layer as columns, without touching the network.

        Parameters
        ----------
        network : torch.nn.Module
        device : str, optional
            Where to compute; where the network is by default.

        Raises
        ------
        NeurofitError
        """
        target = self.prepare(network, device)
        with undisturbed(network, device) as copy:
            recorded = record_layers(
                self.benchmark, self._subject(copy), target, self.layers or (), time_bins=time_bins_of(target.recording)
            )
        found: dict[str, float] = {}
        for layer, source in recorded.items():
            result = headline(self._score(source, target), self._quick().aggregation)
            found |= {self.column(layer, CORRECTED): result.value, self.column(layer, RAW): result.raw}
        return found

    def prepare(self, network: nn.Module, device: str | None = None) -> Target:
        """Load what all looks share, and show the network one image, so that what is wrong is told before training."""
        if self._target is not None:
            return self._target
        target = load_target(self.benchmark, self.data)
        target = replace(_in_window(target, self.benchmark), stimuli=_held(target.stimuli))
        with undisturbed(network, device) as copy:
            subject = as_benchmarked(self._subject(copy), self.benchmark)
            layers = self.layers or (committed_layer(subject, self.benchmark.region),)
            for layer in layers:
                if layer not in subject.layers:
                    raise UnknownNameError("layer", layer, subject.layers)
            basis = self.benchmark.metric.basis(self.benchmark.mapping.basis())
            bins = len(time_bins_of(target.recording))
            subject.plan(target.stimuli, layers, bins, self.benchmark.viewing.viewing(), basis)
        self.layers, self._target = layers, target
        return target

    def column(self, layer: str, quantity: str) -> str:
        """Return what a value is called in the epochs' table; simulated data are called so.

        Raises
        ------
        ConfigurationError
            Before the data are loaded.
        """
        if self._target is None:
            raise ConfigurationError("columns are named once the data are known", "they are not loaded", "prepare() it")
        simulated = [MARK] if self.simulated else []
        return ".".join([*simulated, _stem(self.benchmark), layer, quantity])

    @property
    def simulated(self) -> bool:
        """Whether the recording is simulated; False before it is loaded."""
        return self._target is not None and bool(self._target.recording.attrs.get(SIMULATED, 0))

    def describe(self) -> dict[str, object]:
        """Return what a record says of the looks, once they are prepared."""
        target = self._target
        return {
            SIMULATED: self.simulated,
            "columns": {layer: self.column(layer, CORRECTED).removesuffix(f".{CORRECTED}") for layer in self.layers}
            if target is not None and self.layers
            else {},
            "every": self.every,
            "n_stimuli": None if target is None else len(target.stimuli),
            "benchmark": asdict(self.benchmark),
        }

    def _timed(self, network: nn.Module, epoch: int, row: Mapping[str, float]) -> dict[str, float]:
        began = time.monotonic()
        self.prepare(network)
        try:
            found = self.look(network)
        except (ModelContractError, AssemblyError, MappingError) as error:
            if self.say is not None:
                self.say(f"the look after epoch {epoch} has no value: {error}")
            quantities = (CORRECTED, RAW)
            found = {self.column(layer, q): float("nan") for layer in self.layers or () for q in quantities}
        return found | {SECONDS: round(row.get(SECONDS, 0.0) + time.monotonic() - began, 2)}

    def _subject(self, copy: nn.Module) -> ModelSubject:
        """Return a copy of the network as a subject, where it is."""
        subject = self.wrap(copy)
        place = device_of(copy)
        if subject.device != place:
            subject.place(str(place), subject.execution)
        return subject

    def _quick(self) -> Benchmark:
        """Return the benchmark without its bootstrap, which a look does not show."""
        return replace(self.benchmark, aggregation=replace(self.benchmark.aggregation, n_resamples=1))

    def _score(self, source: xr.DataArray, target: Target) -> xr.Dataset:
        """Score one layer as `neurofit.scoring.run.score_source` does, with what is known from the looks before."""
        quick = self._quick()
        if quick.metric.kind != PREDICTIVITY:
            return score_source(quick, source, target, n_jobs=self.n_jobs)
        correction, formula = quick.correction, formula_named(quick.correction.formula)
        splitter = quick.splits.splitter()
        if self._problem is None:
            posed = pose(
                source,
                target.recording,
                mapping=quick.mapping.estimator(),
                splitter=splitter,
                temporal=quick.mapping.temporal,
                formula=formula,
                n_halvings=correction.n_halvings,
                random_state=correction.random_state,
                stratify=quick.splits.stratify,
            )
            self._problem = replace(posed, X=posed.X[:0])
        aligned = align(average_repetitions(source), self._problem.mean)[0]
        problem = replace(self._problem, X=np.ascontiguousarray(aligned.values.transpose(2, 0, 1)))
        return score_of(
            terms_of(problem, self.n_jobs), problem, target.recording, formula=formula,
            n_halvings=correction.n_halvings, threshold=correction.threshold, splitter=splitter,
        )  # fmt: skip


def _in_window(target: Target, benchmark: Benchmark) -> Target:
    """Keep the bins that the headline is of, where the others have no say in it."""
    if benchmark.metric.kind != PREDICTIVITY or benchmark.mapping.temporal != "per-bin":
        return target
    inside = window_bins(target.recording.to_dataset(name="responses"), benchmark.aggregation)
    return replace(target, recording=target.recording.isel(time_bin=inside))


def _held(stimuli: StimulusSet) -> StimulusSet:
    """Return the stimuli with their images in memory; as they are if they take too much."""
    images: list[np.ndarray] = []
    size = 0
    for row in range(len(stimuli)):
        images.append(stimuli.image(row))
        size += images[-1].nbytes
        if size > HELD_BYTES:
            return stimuli
    return replace(stimuli, images=images, rows=None)


def _stem(benchmark: Benchmark) -> str:
    """Return what columns call a benchmark; a varied one by 6 hex digits of its specification's hash too."""
    name = benchmark.name.removesuffix(" (varied)")
    if name == benchmark.name:
        return name
    content = json.dumps(plain_values(asdict(benchmark)), sort_keys=True)
    return f"{name}-{hashlib.sha256(content.encode()).hexdigest()[:6]}"
