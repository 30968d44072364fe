"""Options of ``neurofit train`` for early looks, and what they and the run's record are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurofit.cli import names
from neurofit.cli import options as opt

if TYPE_CHECKING:
    from neurofit.models.trainable import TrainableModel
    from neurofit.scoring.early_look import EarlyLook
    from neurofit.training.datasets import Task
    from neurofit.training.engine import Engine
    from neurofit.training.learner import Viewing
    from neurofit.training.recipe import Recipe

DEFAULT_BENCHMARK = "sim-it"
"""Embedded and SIMULATED; looked at where --look-every is given alone."""

LookBenchmark = Annotated[
    list[str] | None,
    typer.Option(
        "--look-benchmark",
        help="Score the network against it while it is trained: a benchmark by name or TOML file; several times.",
        autocompletion=names.benchmarks,
    ),
]
LookEvery = Annotated[
    int | None, typer.Option("--look-every", min=1, help="After so many epochs, and the last; alone: at sim-it.")
]
LookLayer = Annotated[
    list[str] | None,
    typer.Option("--look-layer", help="Layer that is scored; several times; the committed one by default."),
]
LookSplits = Annotated[int | None, typer.Option("--look-splits", min=1, help="Train/test splits of looks.")]
LookHalvings = Annotated[int | None, typer.Option("--look-halvings", min=1, help="Halvings of looks.")]
LookData = Annotated[
    Path | None, typer.Option("--look-data", help="Folder of fetched datasets; the user's data folder by default.")
]


def make_looks(
    model: TrainableModel,
    recipe: Recipe,
    *,
    benchmarks: Sequence[str] | None,
    every: int | None,
    layers: Sequence[str] | None = None,
    splits: int | None = None,
    halvings: int | None = None,
    data: Path | None = None,
    threads: int | None = None,
    say: Callable[[str], object] | None = None,
) -> list[EarlyLook]:
    """Return the looks that the options ask for; none where neither a benchmark nor an interval is given.

    Parameters
    ----------
    model : TrainableModel
    recipe : Recipe
    benchmarks, every, layers, splits, halvings, data
        The options.
    threads : int, optional
        Of the mapping.
    say : callable, optional
        Told if a look has no value.
    """
    if not benchmarks and every is None:
        _refuse_idle(
            {"--look-layer": layers, "--look-splits": splits, "--look-halvings": halvings, "--look-data": data}
        )
        return []
    from neurofit.scoring.benchmark import load_benchmark
    from neurofit.scoring.early_look import early_look, wrapping

    looks = []
    for name in benchmarks or [DEFAULT_BENCHMARK]:
        benchmark = load_benchmark(name)
        looks.append(
            early_look(
                benchmark,
                wrapping(model, benchmark, layers),
                layers=layers or None,
                every=every or 1,
                last=recipe.epochs,
                n_splits=splits,
                n_halvings=halvings,
                data=data,
                n_jobs=threads,
                say=say,
            )
        )
    return looks


def begin_run(
    model: TrainableModel,
    task: Task,
    recipe: Recipe,
    viewing: Viewing,
    engine: Engine,
    folder: Path,
    *,
    seed: int,
    data: str,
    looks: Sequence[EarlyLook] = (),
    threads: int | None = None,
    command: str = "",
    note: Callable[[str], object] | None = None,
) -> dict[str, Any]:
    """Look at the network before it is trained, and return the record of the run; called in the first process.

    The record is written where the folder has no run yet. A run that goes on keeps its epoch 0.

    Parameters
    ----------
    model, task, recipe, viewing, engine
        Of the run.
    folder : Path
    seed : int
    data : str
        What the images are called.
    looks : sequence of EarlyLook
    threads : int, optional
    command : str
    note : callable, optional
        Told what was seen before training.
    """
    import os

    from neurofit.report.record import save_record
    from neurofit.report.training_record import FILE, begin_training_record, load_training_run
    from neurofit.subjects.model_subject import choose_device
    from neurofit.training.checkpoints import FILE as CHECKPOINT

    device = str(choose_device(engine.device))
    for look in looks:
        look.prepare(model.network, device)
    begun = (folder / FILE).is_file() and (folder / CHECKPOINT).exists()
    columns = [f"{column}.corrected" for look in looks for column in _columns(look)]
    before = load_training_run(folder).before if begun and columns else {}
    if any(column not in before for column in columns):
        before = _before(model, task, viewing, looks, device)
        if note is not None:
            note(_in_words(before))
    record = begin_training_record(
        model=model.name,
        seed=seed,
        parameters=sum(p.numel() for p in model.network.parameters() if p.requires_grad),
        recipe=asdict(recipe),
        presentation=asdict(viewing.presentation),
        preprocessing=asdict(viewing.preprocessing),
        data={
            "name": data,
            "fingerprint": task.fingerprint,
            "training": len(task.training),
            "validation": len(task.validation),
            "classes": len(task.classes),
        },
        engine={**asdict(engine), "device": device.split(":")[0]},
        processes=int(os.environ.get("WORLD_SIZE", "1")),
        threads=threads,
        command=command,
        looks=[look.describe() for look in looks],
        before=before,
    )
    if not (folder / CHECKPOINT).exists():
        save_record(record, opt.writable(folder) / FILE)
    return record


def end_run(
    record: Mapping[str, Any],
    rows: Sequence[Mapping[str, float]],
    folder: Path,
    *,
    files: Mapping[str, str],
    weights_sha256: str = "",
) -> Path:
    """Write the record of a run that has ended; see `neurofit.report.training_record.finish_training_record`."""
    from neurofit.report.record import save_record
    from neurofit.report.training_record import FILE, finish_training_record

    return save_record(finish_training_record(record, rows, files=files, weights_sha256=weights_sha256), folder / FILE)


def _before(
    model: TrainableModel, task: Task, viewing: Viewing, looks: Sequence[EarlyLook], device: str
) -> dict[str, float]:
    """Return the row of epoch 0."""
    from neurofit.training.aside import accuracy_before

    row: dict[str, float] = {"epoch": 0.0, **accuracy_before(model.network, task.validation, viewing, device)}
    for look in looks:
        row |= look.look(model.network, device)
    return row


def _columns(look: EarlyLook) -> list[str]:
    columns: Any = look.describe()["columns"]
    return list(columns.values())


def _in_words(row: Mapping[str, float]) -> str:
    values = ", ".join(f"{key} {value:.3f}" for key, value in row.items() if key.endswith(".corrected"))
    return f"before training: validation top-1 {row['top1']:.3f}, {values}"


def _refuse_idle(options: Mapping[str, object]) -> None:
    from neurofit.errors import ConfigurationError, listed

    given = [name for name, value in options.items() if value]
    if given:
        raise ConfigurationError(
            "options of looks are for runs with looks",
            f"{listed(given)} without --look-benchmark or --look-every",
            "add one of these, or leave them out",
        )
