"""The record of a training run, and runs as they are read back from their folders, finished or not."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from neurofit.errors import DataFileError, listed
from neurofit.files.bounded import MIB, read_bounded
from neurofit.files.json_text import NUMBER, misfit, read_json
from neurofit.report.plain_text import MAX_NAME, printable
from neurofit.report.record import RECORD_VERSION, environment, peak_memory_mib

_LOOK = {
    "simulated": bool, "columns": {...: str}, "n_stimuli": int,
    "benchmark": {
        "region": str, "dataset": str, "correction": {"formula": str, "n_halvings": int}, "splits": {"n_splits": int},
        "aggregation": {"window_ms": [NUMBER]},
    },
}  # fmt: skip
_SHAPE = {
    "kind": str, "status": str, "model": str, "seed": int, "parameters": int, "looks": [_LOOK],
    "recipe": {"name": str, "phases": [{"epochs": int}]},
    "data": {"name": str, "training": int, "validation": int, "classes": int},
    "engine": {"device": str, "precision": str, "threads": int},
    "before": {...: NUMBER}, "epochs": [{...: NUMBER}],
}  # fmt: skip
"""Of a record, as far as anything is done with it."""
_IN_EVERY_EPOCH = ("epoch", "top1", "training_loss")
_MAX_TABLE_BYTES = 16 * MIB
_LARGEST = 1e18

FILE, EPOCHS = "record.json", "epochs.csv"
KIND, RUNNING, COMPLETE = "training", "running", "complete"
_CORRECTED = ".corrected"


@dataclass(frozen=True)
class LookSeries:
    """What looks at one layer on one benchmark are called, and what they are.

    Parameters
    ----------
    column : str
        Of the epochs' table, without '.corrected' or '.raw'.
    simulated : bool
    formula, region, dataset : str
        As the record has them; '' where there is none.
    window_ms : tuple of int
    n_splits, n_halvings, n_stimuli : int or None
    """

    column: str
    simulated: bool
    formula: str = ""
    region: str = ""
    dataset: str = ""
    window_ms: tuple[int, ...] = ()
    n_splits: int | None = None
    n_halvings: int | None = None
    n_stimuli: int | None = None

    @property
    def label(self) -> str:
        """Return the benchmark and layer, without the mark of simulated data."""
        return self.column.removeprefix("SIMULATED.")


@dataclass(frozen=True)
class TrainingRun:
    """A run, finished or not.

    Parameters
    ----------
    folder : Path
    model : str
    seed : int or None
    rows : tuple of mapping
        One an epoch, columns as in the epochs' table.
    before : mapping
        The row of epoch 0, of the network before it was trained; empty where it was not looked at.
    looks : tuple of LookSeries
    complete : bool
    record : mapping
        Empty where the run has none.
    """

    folder: Path
    model: str
    seed: int | None
    rows: tuple[Mapping[str, float], ...]
    before: Mapping[str, float] = field(default_factory=dict)
    looks: tuple[LookSeries, ...] = ()
    complete: bool = False
    record: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Return the model with its seed."""
        return self.model if self.seed is None else f"{self.model}, seed {self.seed}"

    @property
    def seconds(self) -> float:
        """Return the seconds of training, without tests and looks."""
        return sum(row.get("seconds", 0.0) for row in self.rows)

    def looked(self) -> tuple[Mapping[str, float], ...]:
        """Return epoch 0, where it was looked at, and the other epochs."""
        return ((self.before,) if self.before else ()) + self.rows

    def as_dict(self) -> dict[str, Any]:
        """Return what a document says of the run."""
        return {
            "folder": str(self.folder),
            "model": self.model,
            "seed": self.seed,
            "complete": self.complete,
            "before": dict(self.before),
            "epochs": [dict(row) for row in self.rows],
            "looks": [vars(each) for each in self.looks],
        }


def begin_training_record(
    *,
    model: str,
    seed: int,
    parameters: int,
    recipe: Mapping[str, Any],
    presentation: Mapping[str, Any],
    preprocessing: Mapping[str, Any],
    data: Mapping[str, Any],
    engine: Mapping[str, Any],
    processes: int = 1,
    threads: int | None = None,
    command: str = "",
    looks: Iterable[Mapping[str, Any]] = (),
    before: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Return the record of a run that begins.

    Parameters
    ----------
    model : str
    seed : int
    parameters : int
        Trained ones.
    recipe, presentation, preprocessing, engine : mapping
        All their fields (`dataclasses.asdict`).
    data : mapping
        At least 'name', 'fingerprint', 'training' and 'validation' (numbers of images), and 'classes' (their number).
    processes : int
    threads : int, optional
    command : str
    looks : iterable of mapping
        `EarlyLook.describe()` of each.
    before : mapping, optional
        The row of epoch 0.
    """
    told = [dict(each) for each in looks]
    return {
        # of what it was scored against; training images are real
        "simulated": any(bool(each.get("simulated")) for each in told),
        "kind": KIND,
        "status": RUNNING,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "model": model,
        "seed": seed,
        "parameters": parameters,
        "recipe": dict(recipe),
        "presentation": dict(presentation),
        "preprocessing": dict(preprocessing),
        "data": dict(data),
        "engine": {**engine, "processes": processes, "threads": threads},
        "command": command,
        "looks": told,
        "before": dict(before or {}),
        "environment": environment(),
        "record_version": RECORD_VERSION,
    }


def finish_training_record(
    record: Mapping[str, Any],
    rows: Sequence[Mapping[str, float]],
    *,
    files: Mapping[str, str] | None = None,
    weights_sha256: str = "",
) -> dict[str, Any]:
    """Return the record of a run that has ended.

    Parameters
    ----------
    record : mapping
        From `begin_training_record`.
    rows : sequence of mapping
        From `neurofit.training.train.train`.
    files : mapping from str to str, optional
        Names of what was written beside it.
    weights_sha256 : str
        Of the weights in training precision (`neurofit.models.weights.weights_hash`).
    """
    return {
        **record,
        "status": COMPLETE,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "epochs": [dict(row) for row in rows],
        "seconds_training": round(sum(row.get("seconds", 0.0) for row in rows), 2),
        "files": dict(files or {}),
        "weights_sha256": weights_sha256,
        "peak_memory_mib": peak_memory_mib(),
    }


def load_training_run(folder: str | Path) -> TrainingRun:
    """Read a run from its folder: its record where there is one, and the epochs' table.

    Parameters
    ----------
    folder : path
        That `neurofit train --out` or `train` got; its name is the model's where no record says another.

    Raises
    ------
    DataFileError
        If it holds no run, or one that cannot be read.
    """
    folder = Path(folder)
    record = _record_of(folder)
    table = folder / EPOCHS
    if table.is_file():
        rows = _read_table(table)
    elif record:
        rows = [_numbers(row) for row in record.get("epochs") or []]
        _check_epochs(rows, folder / FILE)
    else:
        raise DataFileError(
            "a training run is a folder with epochs.csv or record.json",
            f"{folder} has neither" if folder.is_dir() else f"{folder} is no folder",
            "name what `neurofit train --out` got (a run has them after its first epoch)",
        )
    before = _numbers(record.get("before") or {})
    return TrainingRun(
        folder=folder,
        model=printable(str(record.get("model") or folder.resolve().name), MAX_NAME),
        seed=record.get("seed"),
        rows=tuple(rows),
        before=before,
        looks=_series(record, [*rows, before]),
        complete=record.get("status") == COMPLETE,
        record=record,
    )


def _record_of(folder: Path) -> dict[str, Any]:
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        record: dict[str, Any] = read_json(path)
        if not isinstance(record, dict) or record.get("kind") != KIND:
            raise ValueError("it is a record of something else")
        if found := misfit(record, _SHAPE):
            raise ValueError(found)
    except (OSError, ValueError) as error:
        raise DataFileError(
            "record.json of a training run is its record", f"{path}: {error}", "remove it, or name another folder"
        ) from error
    return record


def _read_table(path: Path) -> list[dict[str, float]]:
    """Read a table of epochs; what an epoch does not have is left out."""
    try:
        text = io.StringIO(read_bounded(path, _MAX_TABLE_BYTES).decode(), newline="")
        rows = [_numbers({k: v for k, v in row.items() if v not in ("", None)}) for row in csv.DictReader(text)]
    except (OSError, ValueError, TypeError, csv.Error) as error:
        raise DataFileError("a table of epochs is a CSV file of numbers", f"{path}: {error}", "train again") from error
    _check_epochs(rows, path)
    return rows


def _numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """Return numbers; a record's null is one that is not defined."""
    return {printable(str(key), MAX_NAME): _number(value) for key, value in row.items()}


def _number(value: Any) -> float:
    number = math.nan if value is None else float(value)
    if abs(number) > _LARGEST:
        raise ValueError(f"it holds a number out of bounds ({str(value)[:20]})")
    return number


def _check_epochs(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    """Raise unless every epoch says its number, the accuracy and the loss."""
    for row in rows:
        missing = [name for name in _IN_EVERY_EPOCH if name not in row]
        if missing or not math.isfinite(row["epoch"]):
            raise DataFileError(
                "every epoch of a run has a number, an accuracy and a loss",
                f"{path} has one without {listed(missing or ['a finite number'])}",
                "train again",
            )


def _series(record: Mapping[str, Any], rows: Iterable[Mapping[str, float]]) -> tuple[LookSeries, ...]:
    """Return the looks of a run: what its record says of them, and columns of others by their names alone."""
    told: dict[str, LookSeries] = {}
    for look in record.get("looks") or []:
        benchmark = look.get("benchmark") or {}
        for name in (look.get("columns") or {}).values():
            column = printable(str(name), MAX_NAME)
            told[column] = LookSeries(
                column=column,
                simulated=bool(look.get("simulated")),
                formula=printable(str((benchmark.get("correction") or {}).get("formula", "")), MAX_NAME),
                region=printable(str(benchmark.get("region", "")), MAX_NAME),
                dataset=printable(str(benchmark.get("dataset", "")), MAX_NAME),
                window_ms=_window((benchmark.get("aggregation") or {}).get("window_ms")),
                n_splits=(benchmark.get("splits") or {}).get("n_splits"),
                n_halvings=(benchmark.get("correction") or {}).get("n_halvings"),
                n_stimuli=look.get("n_stimuli"),
            )
    found = [key.removesuffix(_CORRECTED) for row in rows for key in row if key.endswith(_CORRECTED)]
    return tuple(
        told.get(column, LookSeries(column, simulated=column.startswith("SIMULATED.")))
        for column in dict.fromkeys(found)
    )


def _window(ends: Sequence[int] | None) -> tuple[int, ...]:
    return tuple(ends) if ends is not None and len(ends) == 2 and None not in ends else ()


def curves_document(runs: Sequence[TrainingRun]) -> dict[str, Any]:
    """Return the document of several runs' curves."""
    return {
        "simulated": any(each.simulated for run in runs for each in run.looks),
        "kind": "training curves",
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "runs": [run.as_dict() for run in runs],
        "environment": environment(),
        "record_version": RECORD_VERSION,
    }


__all__ = [
    "LookSeries", "TrainingRun", "begin_training_record", "curves_document", "finish_training_record",
    "load_training_run",
]  # fmt: skip
