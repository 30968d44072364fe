"""Benchmarks whose metric compares whole populations: which function each metric is, and what it is given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import xarray as xr

from neurofit.scoring.agreement import decoding_agreement
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.rsa import rsa


def compare_populations(
    benchmark: Benchmark,
    source: xr.DataArray,
    recording: xr.DataArray,
    *,
    n_jobs: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Score a source by the benchmark's metric; see `scoring.population_score`."""
    function, options = POPULATION_METRICS[benchmark.metric.kind]
    correction = benchmark.correction
    return function(
        source,
        recording,
        **options(benchmark),
        **({"formula": "raw"} if correction.formula == "raw" else {}),
        n_halvings=correction.n_halvings,
        threshold=correction.threshold,
        random_state=correction.random_state,
        n_resamples=benchmark.aggregation.n_resamples,
        n_jobs=n_jobs,
        progress=progress,
    )


def refuse_of_mappings(benchmark: Benchmark, **asked: object) -> None:
    """Raise if something was asked for (a true value) that only a fitted mapping has.

    Raises
    ------
    ConfigurationError
    """
    found = [name for name, value in asked.items() if value]
    if found:
        benchmark.metric.refuse(" or ".join(found))


def _rsa_options(benchmark: Benchmark) -> dict[str, Any]:
    options = benchmark.metric.options()
    state = options.pop("random_state")
    return {**options, "sample_state": state}


def _decoding_options(benchmark: Benchmark) -> dict[str, Any]:
    options = benchmark.metric.options()
    state = options.pop("random_state")
    return {**options, "decoder_state": state, "splitter": benchmark.splits.splitter()}


POPULATION_METRICS: dict[str, tuple[Callable[..., xr.Dataset], Callable[[Benchmark], dict[str, Any]]]] = {
    "rsa": (rsa, _rsa_options),
    "decoding": (decoding_agreement, _decoding_options),
}
