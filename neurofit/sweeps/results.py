"""What a sweep leaves behind: a record for every cell that was scored, a note for every one that failed, one table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from neurofit.errors import DataFileError
from neurofit.files.atomic import atomic_write, reporting_output_errors
from neurofit.report.leaderboard_text import csv_cell
from neurofit.report.record import load_record, save_record
from neurofit.sweeps.cells import Cell
from neurofit.sweeps.work import Outcome

RECORDS, FAILURES, TABLE = "records", "failures", "sweep.csv"

COMPLETE, FAILED, PENDING = "complete", "failed", "pending"

VALUES = ("value", "low", "high", "raw")


@dataclass(frozen=True)
class SweepFolder:
    """The folder of a sweep.

    A record is there whole or not at all, under a name with the hash of all that decides it: what is there is
    finished, and nothing else says so. Any number of sweeps may write to one folder.
    """

    path: Path

    def record_path(self, cell: Cell) -> Path:
        """Return where a cell's record is, or will be."""
        return self.path / RECORDS / f"{cell.stem}.json"

    def failure_path(self, cell: Cell) -> Path:
        """Return where it is said why a cell failed."""
        return self.path / FAILURES / f"{cell.stem}.json"

    def make(self) -> None:
        """Make the folders.

        Raises
        ------
        OutputError
            If they cannot be made.
        """
        for name in (RECORDS, FAILURES):
            with reporting_output_errors(self.path / name):
                (self.path / name).mkdir(parents=True, exist_ok=True)

    def is_finished(self, cell: Cell) -> bool:
        """Whether a cell has a record that can be read."""
        return self.record(cell) is not None

    def record(self, cell: Cell) -> dict[str, Any] | None:
        """Return a cell's record; None where there is none, or none that can be read."""
        path = self.record_path(cell)
        if not path.is_file():
            return None
        try:
            record = load_record(path)
        except DataFileError:
            return None  # damaged, or written by something else than a sweep: the cell is scored again
        score, cost = record.get("score"), record.get("cost")
        if not isinstance(score, dict) or not isinstance(cost, dict) or record.get("status") != COMPLETE:
            return None
        return record if {*VALUES, "formula"} <= score.keys() and "simulated" in record else None

    def keep(self, cell: Cell, outcome: Outcome) -> Path:
        """Write what became of a cell, whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        self.make()
        note = self.failure_path(cell)
        if outcome.record is not None:
            path = outcome.record.save(self.record_path(cell))
            with reporting_output_errors(note):
                note.unlink(missing_ok=True)
            return path
        return save_record(
            {
                "status": FAILED,
                "date": datetime.now(UTC).isoformat(timespec="seconds"),
                "model": cell.model,
                "layer": cell.layer or None,
                "benchmark": cell.benchmark.name,
                "region": cell.benchmark.region,
                "options": cell.options,
                "reason": outcome.reason,
                "traceback": outcome.traceback,
            },
            note,
        )

    def table(self, cells: Sequence[Cell]) -> pd.DataFrame:
        """Return a row for every cell, in their order: what it is, its score, or why there is none."""
        return pd.DataFrame([self._row(cell) for cell in cells])

    def write_table(self, table: pd.DataFrame) -> Path:
        """Write the table as CSV, whole or not at all.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        path = self.path / TABLE
        harmless = table.map(lambda value: csv_cell(value) if isinstance(value, str) else value)
        with reporting_output_errors(path), atomic_write(path) as handle:
            handle.write(harmless.to_csv(index=False).encode())
        return path

    def _row(self, cell: Cell) -> dict[str, Any]:
        row: dict[str, Any] = {
            "model": cell.model,
            "region": cell.benchmark.region,
            "benchmark": cell.benchmark.name,
            "layer": cell.layer,
            **cell.options,
            "status": PENDING,
            "data": "",
        }
        record = self.record(cell)
        if record is None:
            reason = self._reason(cell)
            if reason is None and not cell.problem:
                return row
            return {**row, "status": FAILED, "reason": reason or cell.problem}
        score, cost = record["score"], record["cost"]
        seconds = sum(value for name, value in cost.items() if name.startswith("seconds_") and value is not None)
        return {
            **row,
            "status": COMPLETE,
            "data": "SIMULATED" if record["simulated"] else "real",
            **{name: score[name] for name in VALUES},
            "formula": score["formula"],
            "seconds": round(seconds, 1),
            "record": str(self.record_path(cell).relative_to(self.path)),
        }

    def _reason(self, cell: Cell) -> str | None:
        path = self.failure_path(cell)
        if not path.is_file():
            return None
        try:
            return str(json.loads(path.read_text())["reason"])
        except (OSError, ValueError, KeyError, TypeError):
            return f"{path.name} cannot be read"
