"""Models that were trained alike, in one table: accuracy over seeds, parameters, training time."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any, Literal

from neurofit.errors import ConfigurationError, DataFileError, listed
from neurofit.report.plain_text import MAX_NAME, markdown, printable
from neurofit.report.training_record import FILE, TrainingRun, load_training_run

Format = Literal["text", "markdown", "csv"]

#: What runs of one table share besides the recipe; `presentation` is a network's own.
_SHARED = ("recipe", "data", "engine")
_IGNORED: dict[str, set[str]] = {"recipe": {"source"}, "data": {"name"}, "engine": set()}


@dataclass(frozen=True)
class ModelRow:
    """One model of the table.

    Parameters
    ----------
    model : str
    parameters : int
    seeds : tuple of int
    top1, top5 : tuple of float
        Of the last epoch, one a seed, as fractions.
    seconds : tuple of float
        Of training, one a seed; without tests and looks.
    loss : tuple of float
        Training loss of the last epoch.
    """

    model: str
    parameters: int
    seeds: tuple[int, ...]
    top1: tuple[float, ...]
    top5: tuple[float, ...]
    seconds: tuple[float, ...]
    loss: tuple[float, ...]

    @property
    def mean_top1(self) -> float:
        """Mean over seeds."""
        return mean(self.top1)

    @property
    def sd_top1(self) -> float:
        """Standard deviation over seeds, n - 1; NaN of one seed."""
        return stdev(self.top1) if len(self.top1) > 1 else float("nan")

    @property
    def mean_seconds(self) -> float:
        """Mean over seeds."""
        return mean(self.seconds)


@dataclass(frozen=True)
class ZooTable:
    """Models by falling accuracy.

    Parameters
    ----------
    rows : tuple of ModelRow
    recipe, data, engine : mapping
        That all runs share, as their records have them.
    left_out : tuple of str
        Runs that have not ended, and folders that hold none.
    """

    rows: tuple[ModelRow, ...]
    recipe: Mapping[str, Any]
    data: Mapping[str, Any]
    engine: Mapping[str, Any]
    left_out: tuple[str, ...]

    def sentence(self) -> str:
        """Return what the runs share, in words."""
        epochs = sum(phase["epochs"] for phase in self.recipe.get("phases", ()))
        threads = self.engine.get("threads")
        return printable(
            f"Recipe '{self.recipe.get('name')}', {epochs} epochs; {self.data.get('training'):,} training and "
            f"{self.data.get('validation'):,} validation images of {self.data.get('classes')} classes "
            f"({self.data.get('name')}); trained on {self.engine.get('device')} in {self.engine.get('precision')}"
            + (f" (CPU threads: {threads})" if threads else "")
            + ". Training time is wall time of the updates alone, on whatever else the machine did.",
            5 * MAX_NAME,
        )

    def as_text(self, form: Format = "text") -> str:
        """Return the table as aligned text, Markdown or CSV; CSV has every seed's number."""
        return {"text": _text, "markdown": _markdown, "csv": _csv}[form](self)


def zoo_table(folder: str | Path | Sequence[str | Path]) -> ZooTable:
    """Make the table of the runs below a folder, or of some runs' folders.

    Parameters
    ----------
    folder : path or sequence of path
        One whose folders are runs, or the runs themselves.

    Raises
    ------
    ConfigurationError
        If no run has ended, or those that have were not trained alike: by one recipe, on the same images, in the same
        precision on as many threads; or if a model has a seed twice or runs of different sizes.
    DataFileError
        If a record cannot be read.
    """
    paths = sorted(Path(folder).iterdir()) if isinstance(folder, str | Path) else [Path(each) for each in folder]
    runs, left_out = [], []
    for path in paths:
        if not (path / FILE).is_file():
            if path.is_dir():
                left_out.append(f"{path.name} (no record)")
            continue
        run = load_training_run(path)
        if run.complete and run.rows:
            _check_told(run)
            runs.append(run)
        else:
            left_out.append(f"{path.name} (epoch {len(run.rows)}, not ended)")
    if not runs:
        raise ConfigurationError(
            "a table is of runs that have ended", f"none has: {listed(left_out) or 'no folders'}", "train to the end"
        )
    _check_alike(runs)
    models = dict.fromkeys(run.model for run in runs)
    rows = [_row([run for run in runs if run.model == model]) for model in models]
    record = runs[0].record
    return ZooTable(
        tuple(sorted(rows, key=lambda row: (-row.mean_top1, row.model))),
        recipe=record.get("recipe") or {},
        data=record.get("data") or {},
        engine=record.get("engine") or {},
        left_out=tuple(left_out),
    )


def _check_told(run: TrainingRun) -> None:
    """Raise unless a record says all that a table does."""
    record = run.record
    data, phases = record.get("data") or {}, (record.get("recipe") or {}).get("phases") or []
    told = {
        "parameters": record.get("parameters"),
        "data.training": data.get("training"),
        "data.validation": data.get("validation"),
        "the epochs of every phase of its recipe": all(each.get("epochs") is not None for each in phases) or None,
        "top5 of its last epoch": run.rows[-1].get("top5"),
    }
    missing = [name for name, value in told.items() if value is None]
    if missing:
        raise DataFileError(
            "a record of training says what was trained, on what, and how well",
            f"{run.folder / FILE} does not say {listed(missing)}",
            "train again, or leave it out",
        )


def _check_alike(runs: Sequence[TrainingRun]) -> None:
    first = runs[0]
    for run in runs[1:]:
        for part in _SHARED:
            expected, found = first.record.get(part) or {}, run.record.get(part) or {}
            for key in sorted({*expected, *found} - _IGNORED[part]):
                if expected.get(key) != found.get(key):
                    raise ConfigurationError(
                        "models of one table were trained alike",
                        f"{part}.{key} is {expected.get(key)!r} in {first.folder.name} and {found.get(key)!r} in "
                        f"{run.folder.name}",
                        "make a table of each",
                    )


def _row(runs: Sequence[TrainingRun]) -> ModelRow:
    runs = sorted(runs, key=lambda run: run.seed or 0)
    seeds = [run.seed or 0 for run in runs]
    sizes = {int(run.record["parameters"]) for run in runs}
    if len(set(seeds)) < len(seeds) or len(sizes) > 1:
        raise ConfigurationError(
            "runs of one model differ in their seeds, and in nothing else",
            f"{runs[0].model} has seeds {listed(seeds)} and {listed(sorted(sizes))} parameters",
            "leave some out",
        )
    last = [run.rows[-1] for run in runs]
    return ModelRow(
        model=runs[0].model,
        parameters=sizes.pop(),
        seeds=tuple(seeds),
        top1=tuple(row["top1"] for row in last),
        top5=tuple(row["top5"] for row in last),
        seconds=tuple(run.seconds for run in runs),
        loss=tuple(row["training_loss"] for row in last),
    )


_HEADINGS = ("model", "parameters", "seeds", "top-1 %", "each seed", "s.d.", "top-5 %", "loss", "training time")


def _cells(row: ModelRow) -> tuple[str, ...]:
    spread = "" if len(row.seeds) == 1 else f"{100 * row.sd_top1:.1f}"
    return (
        row.model,
        f"{row.parameters:,}",
        str(len(row.seeds)),
        f"{100 * row.mean_top1:.1f}",
        ", ".join(f"{100 * value:.1f}" for value in row.top1),
        spread,
        f"{100 * mean(row.top5):.1f}",
        f"{mean(row.loss):.3f}",
        duration(row.mean_seconds),
    )


def duration(seconds: float) -> str:
    """Return a duration as a person reads it: '8 s', '12 min' or '3.4 h'."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _text(table: ZooTable) -> str:
    lines = [_HEADINGS, *map(_cells, table.rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(_HEADINGS))]
    rows = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return "\n".join([*rows, "", table.sentence(), *(f"left out: {name}" for name in table.left_out)]) + "\n"


def _markdown(table: ZooTable) -> str:
    rule = "|---" + "|---:" * (len(_HEADINGS) - 1) + "|"
    rows = [f"| {' | '.join(markdown(cell) for cell in line)} |" for line in (_HEADINGS, *map(_cells, table.rows))]
    return "\n".join([rows[0], rule, *rows[1:], "", markdown(table.sentence())]) + "\n"


def _csv(table: ZooTable) -> str:
    from neurofit.report.leaderboard_text import csv_cell  # pandas, of which no other form needs anything

    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["model", "parameters", "seed", "top1", "top5", "training_loss", "seconds"])
    for row in table.rows:
        for values in zip(row.seeds, row.top1, row.top5, row.loss, row.seconds, strict=True):
            writer.writerow([csv_cell(row.model), row.parameters, *values])
    return text.getvalue()
