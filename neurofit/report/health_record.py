"""The record of a regression's health: both curves, what they say, and what they were computed from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import xarray as xr

from neurofit.assembly.schema import time_bins_of
from neurofit.files.manifest import Manifest
from neurofit.report.record import RECORD_VERSION, environment, peak_memory_mib
from neurofit.scoring.benchmark import AggregationSpec, Benchmark
from neurofit.scoring.health_summary import (
    ComponentDiagnosis,
    LearningDiagnosis,
    as_plain,
    ceiling_in_window,
    tabulate,
)

NOTE = (
    "A diagnosis of the regression, no score: the best number of components was found on the held-out stimuli, and "
    "extrapolations go beyond the data."
)
FINGERPRINTS = ("stimuli_hash", "neuroids_hash", "responses_hash", "halvings_hash")


def make_health_record(
    curves: Mapping[str, xr.Dataset],
    diagnoses: Mapping[str, Mapping[str, ComponentDiagnosis | LearningDiagnosis]],
    benchmark: Benchmark,
    manifest: Manifest,
    subject: Mapping[str, object],
) -> dict[str, Any]:
    """Return the record.

    Parameters
    ----------
    curves : mapping
        'components' and 'learning', or one of them: from `component_curve` and `learning_curve`.
    diagnoses : mapping
        Of the same names: from `diagnose_components` and `diagnose_learning`.
    benchmark : Benchmark
    manifest : Manifest
        Of the benchmark's dataset.
    subject : mapping
        `Subject.describe()` and the layer.
    """
    attrs = next(iter(curves.values())).attrs
    return {
        "simulated": bool(attrs["simulated"]),
        "kind": "health of a regression",
        "note": NOTE,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "benchmark": asdict(benchmark),
        "subject": dict(subject),
        "formula": attrs["formula"],
        "n_stimuli": attrs["n_stimuli"],
        "fingerprints": {name: attrs[name] for name in FINGERPRINTS if name in attrs},
        **{name: _curve(curves[name], diagnoses[name], benchmark.aggregation) for name in curves},
        "dataset": {
            "name": manifest.name,
            "licence": manifest.licence,
            "citation": manifest.citation,
            "files": [{"name": f.name, "size": f.size, "digest": f.digest} for f in manifest.files],
        },
        "environment": environment(),
        "cost": {"peak_memory_mib": peak_memory_mib()},
        "record_version": RECORD_VERSION,
    }


def _curve(
    curve: xr.Dataset, diagnoses: Mapping[str, ComponentDiagnosis | LearningDiagnosis], aggregation: AggregationSpec
) -> dict[str, Any]:
    return {
        "window_ms": list(aggregation.window_ms),
        "time_bins": [list(each) for each in time_bins_of(curve["predictivity"])],
        "ceiling_of_r": ceiling_in_window(curve, aggregation),
        "table": tabulate(curve, aggregation).to_dict("records"),
        "diagnoses": as_plain(diagnoses),
    }
