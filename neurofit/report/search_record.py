"""The record of a search: what was searched, by what means, and every trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import numpy as np

from neurofit.files.json_text import plain_values
from neurofit.report.record import RECORD_VERSION, environment
from neurofit.report.search_figure import WINDOW, SearchHistory
from neurofit.training.search_results import count_outcomes, pareto_front, pick, ranked


def make_search_record(study: SearchHistory, importances: Mapping[str, float]) -> dict[str, Any]:
    """Return the record of a study in JSON's own types.

    Parameters
    ----------
    study : SearchHistory
    importances : mapping
        Of `search_results.importances`.
    """
    complete = ranked(study.rows, study.spec)
    record = {
        "kind": "architecture search",
        "record_version": RECORD_VERSION,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "study": study.name,
        **study.spec.as_document(),
        "trials_by_outcome": count_outcomes(study.rows),
        "picks": {which: pick(study.rows, study.spec, which).number for which in ("best", "median")}
        if complete
        else {},
        "front": [row.number for row in pareto_front(study.rows, study.spec)],
        "best_values": complete[0].values if complete else None,
        "mean_of_last": mean_of_last(study),
        "importances": dict(importances),
        "trials": [asdict(row) for row in study.rows],
        "environment": environment(),
    }
    return plain_values(record)


def mean_of_last(study: SearchHistory, count: int = WINDOW) -> float:
    """Return the mean of the first objective over the last complete trials; NaN where there are none."""
    values = [row.values[0] for row in study.counted() if row.values][-count:]
    return float(np.mean(values)) if values else float("nan")
