"""Run a benchmark on a subject."""

from __future__ import annotations

import time
from pathlib import Path

import xarray as xr

from neurofit.assembly.build import select_region
from neurofit.assembly.time_bins import rebin
from neurofit.data.datasets import load_dataset, load_stimuli
from neurofit.errors import ConfigurationError
from neurofit.mapping.estimators import PLSMapping, RidgeMapping
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.predictivity import predictivity
from neurofit.subjects.subject import Subject
from neurofit.vocabulary import SIMULATED

SOURCE_ATTRS = ("route", "reduction", "features")
"""What an assembly of activations says of its features, and a score repeats as `source_...`."""


def run(
    benchmark: Benchmark,
    subject: Subject,
    *,
    layer: str,
    data: str | Path | None = None,
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
    bins, seconds = benchmark.time_bins.bins(), {}
    began = time.perf_counter()
    recording = rebin(select_region(load_dataset(benchmark.dataset, data, benchmark.region), benchmark.region), bins)
    stimuli = load_stimuli(benchmark.dataset, data)
    seconds["data"] = time.perf_counter() - began

    began = time.perf_counter()
    basis = benchmark.mapping.basis()
    source = subject.record(
        stimuli, layer=layer, time_bins=bins, viewing=benchmark.viewing.viewing(), basis=basis, progress=progress
    )
    seconds["activations"] = time.perf_counter() - began

    began = time.perf_counter()
    correction, mapping = benchmark.correction, benchmark.mapping
    score = predictivity(
        source,
        recording,
        mapping=_placed(mapping.estimator(), mapping_device),
        splitter=benchmark.splits.splitter(),
        temporal=mapping.temporal,
        formula=correction.formula,
        n_halvings=correction.n_halvings,
        threshold=correction.threshold,
        random_state=correction.random_state,
        stratify=benchmark.splits.stratify,
        n_jobs=n_jobs,
        progress=progress,
    )
    seconds["mapping"] = time.perf_counter() - began
    return score.assign_attrs(
        benchmark=benchmark.name,
        benchmark_version=benchmark.version,
        dataset=benchmark.dataset,
        region=benchmark.region,
        subject=subject.name,
        layer=layer,
        on_ms=benchmark.viewing.on_ms,
        simulated=int(recording.attrs.get(SIMULATED, 0)),
        source_units=int(source.attrs.get("units", source.sizes["neuroid"])),
        **{f"source_{name}": source.attrs[name] for name in SOURCE_ATTRS if name in source.attrs},
        **{f"seconds_{stage}": round(value, 3) for stage, value in seconds.items()},
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
