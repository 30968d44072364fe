"""The record of object solution times: how they were made, every bin, every stimulus, and the comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np
import xarray as xr

from neurofit.files.json_text import plain_values
from neurofit.files.manifest import Manifest
from neurofit.report.record import RECORD_VERSION, environment, peak_memory_mib
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.decoding import OBJECT
from neurofit.scoring.solution_comparison import SolutionTimeComparison
from neurofit.scoring.solution_times import table_of_bins
from neurofit.vocabulary import SIMULATED, STIMULUS_ID

QUANTILES = (5, 25, 50, 75, 95)


def distribution(times: xr.Dataset) -> dict[str, float]:
    """Return percentiles (ms) of the solution times of the stimuli that have one; NaN where none has."""
    found = times["solution_time"].values
    found = found[np.isfinite(found)]
    values = np.percentile(found, QUANTILES) if len(found) else np.full(len(QUANTILES), np.nan)
    return {f"percentile_{q}_ms": float(v) for q, v in zip(QUANTILES, values, strict=True)}


def make_ost_record(
    neural: xr.Dataset,
    benchmark: Benchmark,
    manifest: Manifest,
    *,
    model: xr.Dataset | None = None,
    subject: Mapping[str, object] | None = None,
    comparison: SolutionTimeComparison | None = None,
    consistency: xr.Dataset | None = None,
    cost: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return the record in JSON's own types.

    Parameters
    ----------
    neural : xarray.Dataset
        Solution times of the recording.
    benchmark : Benchmark
        That says which recording, bins and splits these are.
    manifest : Manifest
        Of the benchmark's dataset.
    model : xarray.Dataset, optional
        Solution times of a model.
    subject : mapping, optional
        `Subject.describe()` and the layer.
    comparison : SolutionTimeComparison, optional
    consistency : xarray.Dataset, optional
        Of `solution_time_consistency`.
    cost : mapping, optional
        Seconds per stage.
    """
    record: dict[str, Any] = {
        "simulated": bool(neural.attrs[SIMULATED]),
        "kind": "object solution times",
        "record_version": RECORD_VERSION,
        "status": "complete",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "benchmark": asdict(benchmark),
        "dataset": {
            "name": manifest.name,
            "licence": manifest.licence,
            "citation": manifest.citation,
            "files": [{"name": f.name, "size": f.size, "digest": f.digest} for f in manifest.files],
        },
        "neural": {**neural.attrs, **distribution(neural), "time_bins": table_of_bins(neural)},
        "consistency": None
        if consistency is None
        else {name: consistency[name].values for name in ("consistency", "n_both")},
        "subject": subject,
        "model": None if model is None else {**model.attrs, **distribution(model), "time_bins": table_of_bins(model)},
        "comparison": None if comparison is None else comparison.as_dict(),
        "stimuli": _stimuli(neural, model),
        "environment": environment(),
        "cost": {**(cost or {}), "peak_memory_mib": peak_memory_mib()},
    }
    return plain_values(record)


def _stimuli(neural: xr.Dataset, model: xr.Dataset | None) -> dict[str, Any]:
    """Return columns with one value per stimulus."""
    columns = {
        STIMULUS_ID: neural[STIMULUS_ID].values.astype(str),
        "object": neural[OBJECT].values.astype(str),
        "times_held_out": neural["times_held_out"].values,
        "reference": neural["reference"].values,
        "neural_solution_time_ms": neural["solution_time"].values,
    }
    if model is not None:
        columns["model_solution_time_ms"] = model["solution_time"].values
    return columns
