"""What runs are called where several are shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from neurofit.report.runs import ScoredRun


def names_of(runs: Iterable[ScoredRun]) -> dict[str, str]:
    """Return what each run is called among some, by its id: model and, where that names several, what differs."""
    runs = list(runs)
    called = {run.id: run.model for run in runs}
    for part in (_layer_of, _mode_of, _weights_of, _date_of, _id_of):
        several = Counter(called.values())
        called = {
            run.id: name if several[name := called[run.id]] == 1 else f"{name} {part(run)}".strip() for run in runs
        }
    return called


def _layer_of(run: ScoredRun) -> str:
    return run.layer


def _mode_of(run: ScoredRun) -> str:
    return "" if run.static_mode in ("", "own") else run.static_mode


def _weights_of(run: ScoredRun) -> str:
    return run.weights_sha256[:6]


def _date_of(run: ScoredRun) -> str:
    return run.date[:10]


def _id_of(run: ScoredRun) -> str:
    return run.id[-12:]
