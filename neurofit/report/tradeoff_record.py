"""The record of a trade-off: its points, the front, and the files that were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurofit.files.atomic import atomic_write, reporting_output_errors
from neurofit.files.json_text import to_json
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


def save_tradeoff_record(record: Mapping[str, Any], path: Path) -> Path:
    """Write the record, whole or not at all.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    with reporting_output_errors(path), atomic_write(path) as handle:
        handle.write(to_json(dict(record)).encode())
    return path
