"""Run a benchmark on a subject."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from neurofit.assembly.build import select_region
from neurofit.assembly.time_bins import rebin
from neurofit.data.datasets import load_dataset, load_stimuli
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import ConfigurationError
from neurofit.mapping.estimators import PLSMapping, RidgeMapping
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.predictivity import predictivity
from neurofit.subjects.subject import Subject
from neurofit.vocabulary import SIMULATED

SOURCE_ATTRS = ("route", "reduction", "features")
"""What an assembly of activations says of its features, and a score repeats as `source_...`."""


@dataclass(frozen=True)
class Target:
    """What a benchmark compares subjects with.

    Parameters
    ----------
    recording : xarray.DataArray (presentation, neuroid, time_bin)
        The benchmark's region in the benchmark's bins, with its repetitions.
    stimuli : StimulusSet
    seconds : float
        That loading took.
    """

    recording: xr.DataArray
    stimuli: StimulusSet
    seconds: float


def load_target(benchmark: Benchmark, data: str | Path | None = None) -> Target:
    """Load a benchmark's recording and stimuli; see `run` for the parameters."""
    began = time.perf_counter()
    recording = select_region(load_dataset(benchmark.dataset, data, benchmark.region), benchmark.region)
    recording = rebin(recording, benchmark.time_bins.bins())
    return Target(recording, load_stimuli(benchmark.dataset, data), time.perf_counter() - began)


def record_layers(
    benchmark: Benchmark, subject: Subject, target: Target, layers: Collection[str], progress: bool = False
) -> dict[str, xr.DataArray]:
    """Record layers of a subject on a benchmark's stimuli and bins, in one pass."""
    return subject.record_many(
        target.stimuli,
        layers=layers,
        time_bins=benchmark.time_bins.bins(),
        viewing=benchmark.viewing.viewing(),
        basis=benchmark.mapping.basis(),
        progress=progress,
    )


def run(
    benchmark: Benchmark,
    subject: Subject,
    *,
    layer: str,
    data: str | Path | None = None,
    target: Target | None = None,
    keep_predictions: bool = False,
    n_jobs: int | None = None,
    mapping_device: str = "cpu",
    progress: bool = False,
) -> xr.Dataset:
    """Record a subject on a benchmark's stimuli and score it against the benchmark's recording.

    Parameters
    ----------
    benchmark : Benchmark
    subject : Subject
        A `ModelSubject` or a `RecordedSubject`.
    layer : str
        Layer of the model (or region of the animal) that is mapped.
    data : path, optional
        Folder of fetched datasets; the user's data folder by default.
    target : Target, optional
        Of `load_target`, where several subjects are scored.
    keep_predictions : bool
        Whether the score holds its held-out predictions; see `scoring.predictions`.
    n_jobs : int, optional
        Threads of the mapping; all cores by default.
    mapping_device : str
        Where PLS is computed: 'cpu', or a device of torch's such as 'cuda'.
    progress : bool
        Whether to draw bars on standard error.

    Returns
    -------
    xarray.Dataset
        A score, whose attrs also name benchmark, version, dataset, region, subject, layer, whether anything is
        simulated, the source's units and what was kept of them, and the seconds each stage took.

    Raises
    ------
    NeurofitError
        Whatever is wrong with data, subject or benchmark, in one sentence.
    """
    target = target or load_target(benchmark, data)
    began = time.perf_counter()
    source = record_layers(benchmark, subject, target, [layer], progress)[layer]
    seconds = time.perf_counter() - began
    score = score_source(
        benchmark,
        source,
        target,
        keep_predictions=keep_predictions,
        n_jobs=n_jobs,
        mapping_device=mapping_device,
        progress=progress,
    )
    return score.assign_attrs(subject=subject.name, layer=layer, seconds_activations=round(seconds, 3))


def score_source(
    benchmark: Benchmark,
    source: xr.DataArray,
    target: Target,
    *,
    keep_predictions: bool = False,
    n_jobs: int | None = None,
    mapping_device: str = "cpu",
    progress: bool = False,
) -> xr.Dataset:
    """Score what was recorded of one layer as a benchmark wants it; see `run`."""
    began = time.perf_counter()
    correction, mapping = benchmark.correction, benchmark.mapping
    score = predictivity(
        source,
        target.recording,
        mapping=_placed(mapping.estimator(), mapping_device),
        splitter=benchmark.splits.splitter(),
        temporal=mapping.temporal,
        formula=correction.formula,
        n_halvings=correction.n_halvings,
        threshold=correction.threshold,
        random_state=correction.random_state,
        stratify=benchmark.splits.stratify,
        keep_predictions=keep_predictions,
        n_jobs=n_jobs,
        progress=progress,
    )
    return score.assign_attrs(
        benchmark=benchmark.name,
        benchmark_version=benchmark.version,
        dataset=benchmark.dataset,
        region=benchmark.region,
        on_ms=benchmark.viewing.on_ms,
        simulated=int(target.recording.attrs.get(SIMULATED, 0)),
        source_units=int(source.attrs.get("units", source.sizes["neuroid"])),
        **{f"source_{name}": source.attrs[name] for name in SOURCE_ATTRS if name in source.attrs},
        seconds_data=round(target.seconds, 3),
        seconds_mapping=round(time.perf_counter() - began, 3),
    )


def _placed(mapping: PLSMapping | RidgeMapping, device: str) -> PLSMapping | RidgeMapping:
    """Return the mapping, computed on a device."""
    if device == "cpu":
        return mapping
    if device.startswith("mps"):
        raise ConfigurationError(
            "a mapping sums in float64", "Apple's MPS has no float64", "leave the mapping on the CPU"
        )
    if not isinstance(mapping, PLSMapping):
        raise ConfigurationError(
            "a mapping on another device than the CPU is PLS", f"{mapping!r} was to be on '{device}'", "leave it out"
        )
    return mapping.set_params(device=device)
