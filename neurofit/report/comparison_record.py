"""The record of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import xarray as xr

from neurofit.files.json_text import plain_values
from neurofit.files.manifest import load_manifest
from neurofit.report.record import RECORD_VERSION, environment, peak_memory_mib
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.compare import Comparison
from neurofit.scoring.formulas import formula_named
from neurofit.vocabulary import SIMULATED


def comparison_record(
    scores: Sequence[xr.Dataset], comparisons: Sequence[Comparison], benchmark: Benchmark | None = None
) -> dict[str, Any]:
    """Return plain JSON values: what was compared, how, and what was found.

    Parameters
    ----------
    scores : sequence of xarray.Dataset
        The first is what the others are compared with.
    comparisons : sequence of Comparison
    benchmark : Benchmark, optional
        Where it is known; saved scores name theirs.
    """
    first = scores[0].attrs
    dataset: dict[str, Any] = {"name": first.get("dataset")}
    if benchmark is not None:
        manifest = load_manifest(benchmark.dataset)
        files = [{"name": f.name, "size": f.size, "digest": f.digest} for f in manifest.files]
        dataset = {"name": manifest.name, "licence": manifest.licence, "citation": manifest.citation, "files": files}
    return plain_values(
        {
            "simulated": bool(first.get(SIMULATED, 0)),
            "kind": "comparison",
            "status": "complete",
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "benchmark": asdict(benchmark) if benchmark else {"name": first.get("benchmark")},
            "formula_text": formula_named(str(first["formula"])).text,
            "dataset": dataset,
            "scores": [dict(score.attrs) for score in scores],
            "comparisons": [comparison.as_dict() for comparison in comparisons],
            "environment": environment(),
            "cost": {"peak_memory_mib": peak_memory_mib()},
            "record_version": RECORD_VERSION,
        }
    )
