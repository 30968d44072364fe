"""The record of a trade-off: its points, the front, and the files that were read."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from neurofit.report.record import RECORD_VERSION, environment
from neurofit.report.tradeoff import Tradeoff


def make_tradeoff_record(tradeoff: Tradeoff) -> dict[str, Any]:
    """Return the record of a trade-off."""
    pairs = zip(tradeoff.points, tradeoff.front, strict=True)
    return {
        "simulated": tradeoff.simulated,
        "kind": "trade-off",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "x": tradeoff.x,
        "y": tradeoff.y,
        "label": tradeoff.label,
        "data": tradeoff.data,
        "points": [{**asdict(point), "on_front": on_front} for point, on_front in pairs],
        "left_out": list(tradeoff.left_out),
        "inputs": [dict(each) for each in tradeoff.inputs],
        "environment": environment(),
        "record_version": RECORD_VERSION,
    }
