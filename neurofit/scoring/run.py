"""Run a benchmark on a subject."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from neurofit.assembly.build import select_region
from neurofit.assembly.time_bins import TimeBins, rebin
from neurofit.data.datasets import load_dataset, load_stimuli
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import ConfigurationError
from neurofit.kernel.blas_buffers import take_blas_buffers
from neurofit.mapping.estimators import PLSMapping, RidgeMapping
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.population_metrics import compare_populations, refuse_of_mappings
from neurofit.scoring.predictivity import predictivity
from neurofit.scoring.time_course import as_benchmarked, telling_time_courses
from neurofit.subjects.subject import Subject, weights_of
from neurofit.vocabulary import NEUROID, SIMULATED

SOURCE_ATTRS = ("route", "reduction", "features", "static_mode", "time_course")
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
    take_blas_buffers()  # the first thing that every score does
    recording = select_region(load_dataset(benchmark.dataset, data, benchmark.region), benchmark.region)
    recording = rebin(recording, benchmark.time_bins.bins())
    return Target(recording, load_stimuli(benchmark.dataset, data), time.perf_counter() - began)


def record_layers(
    benchmark: Benchmark,
    subject: Subject,
    target: Target,
    layers: Collection[str],
    progress: bool = False,
    time_bins: TimeBins | None = None,
) -> dict[str, xr.DataArray]:
    """Record layers of a subject on a benchmark's stimuli, in one pass, in the benchmark's static mode.

    The bins are the benchmark's by default.
    """
    subject = as_benchmarked(subject, benchmark)
    recorded = subject.record_many(
        target.stimuli,
        layers=layers,
        time_bins=time_bins or benchmark.time_bins.bins(),
        viewing=benchmark.viewing.viewing(),
        basis=benchmark.metric.basis(benchmark.mapping.basis()),
        progress=progress,
    )
    return telling_time_courses(recorded, subject, benchmark)


def run(
    benchmark: Benchmark,
    subject: Subject,
    *,
    layer: str,
    data: str | Path | None = None,
    target: Target | None = None,
    keep_predictions: bool = False,
    image_groups: int = 0,
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
    image_groups : int
        Into how many groups the images are divided, to see how the score would be without each; `scoring.jackknife`.
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
        image_groups=image_groups,
        n_jobs=n_jobs,
        mapping_device=mapping_device,
        progress=progress,
    )
    return score.assign_attrs(layer=layer, seconds_activations=round(seconds, 3), **subject_attrs(subject))


def subject_attrs(subject: Subject) -> dict[str, str]:
    """Return what a score says of its subject: name, and the hash of its weights where it has any."""
    weights = weights_of(subject)
    return {"subject": subject.name} | ({"weights_sha256": weights} if weights else {})


def score_source(
    benchmark: Benchmark,
    source: xr.DataArray,
    target: Target,
    *,
    keep_predictions: bool = False,
    image_groups: int = 0,
    n_jobs: int | None = None,
    mapping_device: str = "cpu",
    progress: bool = False,
) -> xr.Dataset:
    """Score what was recorded of one layer as a benchmark wants it; see `run`."""
    began = time.perf_counter()
    correction, mapping = benchmark.correction, benchmark.mapping
    if benchmark.metric.kind != PREDICTIVITY:
        refuse_of_mappings(
            benchmark,
            keep_predictions=keep_predictions,
            image_groups=image_groups,
            mapping_device=mapping_device != "cpu",
        )
        score = compare_populations(benchmark, source, target.recording, n_jobs=n_jobs, progress=progress)
    else:
        score = predictivity(
            source,
            target.recording,
            mapping=placed(mapping.estimator(), mapping_device),
            splitter=benchmark.splits.splitter(),
            temporal=mapping.temporal,
            formula=correction.formula,
            n_halvings=correction.n_halvings,
            threshold=correction.threshold,
            random_state=correction.random_state,
            stratify=benchmark.splits.stratify,
            keep_predictions=keep_predictions,
            image_groups=image_groups,
            n_jobs=n_jobs,
            progress=progress,
        )
    return score.assign_attrs(
        metric=benchmark.metric.kind,
        **benchmark_attrs(benchmark, target),
        source_units=_units(source),
        **{f"source_{name}": source.attrs[name] for name in SOURCE_ATTRS if name in source.attrs},
        seconds_mapping=round(time.perf_counter() - began, 3),
    )


def _units(source: xr.DataArray) -> int:
    """Return of how many units a source was made; a recording's attribute of that name is text: spikes per bin."""
    units = source.attrs.get("units")
    return source.sizes[NEUROID] if units is None or isinstance(units, str) else int(units)


def benchmark_attrs(benchmark: Benchmark, target: Target) -> dict[str, object]:
    """Return what a score says of the benchmark and its data."""
    return {
        "benchmark": benchmark.name,
        "benchmark_version": benchmark.version,
        "dataset": benchmark.dataset,
        "region": benchmark.region,
        "on_ms": benchmark.viewing.on_ms,
        SIMULATED: int(target.recording.attrs.get(SIMULATED, 0)),
        "seconds_data": round(target.seconds, 3),
    }


def placed(mapping: PLSMapping | RidgeMapping, device: str) -> PLSMapping | RidgeMapping:
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
