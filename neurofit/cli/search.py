"""``neurofit search``: draw architectures, train each for a short while, and keep what was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from neurofit.cli import names
from neurofit.cli.examples import examples
from neurofit.cli.output import Output

if TYPE_CHECKING:
    from neurofit.report.search_figure import SearchHistory
    from neurofit.training.search_results import TrialRow
    from neurofit.training.search_study import StudySpec

EXAMPLES = examples(
    ("sixty short trainings", "neurofit search run proxy --data tiny-imagenet-100.tar --out searches/tpe"),
    ("what was found, beside a random search", "neurofit search show searches/tpe searches/random"),
    ("the best one, to be trained in full", "neurofit search save searches/tpe --pick best --to best.toml"),
)  # fmt: skip

app = typer.Typer(
    help="Search architectures: cells, their sizes and connections, and long-range feedback.",
    no_args_is_help=True,
    epilog=EXAMPLES,
)

StudyName = Annotated[str | None, typer.Option("--study", help="Where a storage holds several studies.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]

_LISTED = 10


@app.command(
    epilog=examples(
        ("four processes here; start the same elsewhere and they share the trials",
         "neurofit search run proxy --data tiny-imagenet-100.tar --workers 4 \\\n    --out searches/tpe"),
        ("accuracy and size at once",
         "neurofit search run proxy --data tiny-imagenet-100.tar --out searches/size \\\n"
         "    --objectives top1,parameters --sampler nsga2"),
    )
)  # fmt: skip
def run(
    space: Annotated[
        str,
        typer.Argument(
            help="Search space by name (proxy, intermediate128), or its TOML file.", autocompletion=names.spaces
        ),
    ],
    data: Annotated[Path, typer.Option(help="Folder or .tar with train/CLASS/ and val/CLASS/ images.")],
    out: Annotated[Path, typer.Option(help="Folder of the study; any number of the same command share its trials.")],
    trials: Annotated[int, typer.Option(min=1, help="Finished trials of the whole study, by all workers.")] = 60,
    recipe: Annotated[
        str, typer.Option(help="Recipe of the short training, by name or TOML file.", autocompletion=names.recipes)
    ] = "short",
    objectives: Annotated[
        str, typer.Option(help="One or more of top1, predictivity, parameters, macs, with commas.")
    ] = "top1",
    sampler: Annotated[
        Literal["tpe", "random", "gp", "qmc", "nsga2", "cmaes"], typer.Option(help="What draws the trials.")
    ] = "tpe",
    pruner: Annotated[
        Literal["auto", "median", "none"],
        typer.Option(help="Stop what is below the median of others after an epoch; auto: median, of top1 alone."),
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, help="Of the sampler, initial weights and order of images.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes to start here.")] = 1,
    storage: Annotated[
        str | None, typer.Option(help="Where the study is kept: journal:PATH or a database's URL; OUT/study.db.")
    ] = None,
    study: Annotated[str | None, typer.Option(help="Name of the study; that of the space by default.")] = None,
    benchmark: Annotated[
        str | None, typer.Option(help="Of predictivity, by name or TOML file.", autocompletion=names.benchmarks)
    ] = None,
    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to train.")] = "auto",
    precision: Annotated[Literal["float32", "bfloat16", "float16"], typer.Option(help="Of convolutions.")] = "float32",
    patience_s: Annotated[
        float, typer.Option("--patience-s", min=1, help="Seconds without a sign of life until a trial is given away.")
    ] = 60.0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of each worker; all, shared out.")] = None,
    memory: Annotated[str, typer.Option("--image-memory", help="What images in memory may take.")] = "8GiB",
    as_json: AsJson = False,
) -> None:
    """Draw architectures from a space, train each for a short while, and keep how well it did.

    The study goes on where it was stopped, by the same command; any number of processes, on any number of machines
    that reach its storage, may work on it at once. A trial whose worker dies is tried again.
    """
    import os

    from neurofit.cli.options import writable
    from neurofit.cli.search_worker import Plan, start_workers, work_on
    from neurofit.training.search_results import trial_rows
    from neurofit.training.search_space import load_space
    from neurofit.training.search_study import open_study, storage_url

    output = Output(as_json)
    names = tuple(name.strip() for name in objectives.split(","))
    prunes = names == ("top1",) if pruner == "auto" else pruner == "median"
    name = study or load_space(space).name
    writable(out)
    plan = Plan(
        space=space, recipe=recipe, data=data, objectives=names, sampler=sampler, pruner="median" if prunes else "none",
        seed=seed, trials=trials, url=storage_url(storage or out, make=True), study=name, benchmark=benchmark,
        device=device, precision=precision, patience_s=patience_s, memory=memory, as_json=as_json,
        threads=threads or max((os.cpu_count() or 1) // workers, 1),
    )  # fmt: skip
    if workers == 1:
        work_on(plan)
    else:
        start_workers(plan, workers, output)
    found, spec = open_study(plan.url, name)
    rows = trial_rows(found)
    output.say()
    _say_study(output, name, spec, rows, most=5)
    output.emit({"study": name, "storage": plan.url, "trials_by_outcome": _counts(rows)})


@app.command(
    epilog=examples(
        ("one study", "neurofit search show searches/tpe"),
        ("two in one figure", "neurofit search show searches/tpe searches/random --out figures"),
    )
)
def show(
    studies: Annotated[
        list[str], typer.Argument(help="Folders that `search run` wrote, journal:PATH, or databases' URLs.")
    ],
    study: StudyName = None,
    out: Annotated[Path, typer.Option(help="Folder for records and figures.")] = Path("neurofit-out"),
    as_json: AsJson = False,
) -> None:
    """Show the best trials, those that failed and why; draw the history of one study or several, and what mattered."""
    from neurofit.cli.options import slug, writable
    from neurofit.report.record import save_record
    from neurofit.report.search_figure import plot_importances, plot_search_history
    from neurofit.report.search_record import make_search_record
    from neurofit.report.style import save_figure
    from neurofit.training.search_results import importances
    from neurofit.training.search_study import open_study

    output = Output(as_json)
    folder = writable(out)
    histories, records, written = [], [], {}
    for place in studies:
        found, spec = open_study(place, study)
        history = _history(place, found.study_name, spec, found, several=len(studies) > 1)
        mattered = importances(found, spec)
        _say_study(output, history.name, spec, history.rows, most=_LISTED)
        stem = slug("search", history.name)
        records.append(make_search_record(history, mattered))
        written[f"record of {history.name}"] = save_record(records[-1], folder / f"{stem}.json")
        if mattered:
            figure = plot_importances(mattered, history)
            written[f"importances of {history.name}"] = save_figure(figure, folder / f"{stem}-importances.png")
        histories.append(history)
        output.say()
    _check_objectives(histories)
    stem = slug("search", *(history.name for history in histories), "history")
    written["history"] = save_figure(plot_search_history(histories), folder / f"{stem}.png")
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({"studies": records, "written": {what: str(path) for what, path in written.items()}})


@app.command(
    epilog=examples(
        ("the best trial", "neurofit search save searches/tpe --to best.toml"),
        ("the median one, to compare with", "neurofit search save searches/tpe --pick median --to median.toml"),
    )
)
def save(
    study_place: Annotated[str, typer.Argument(metavar="STUDY", help="Folder, journal:PATH, or a database's URL.")],
    to: Annotated[Path, typer.Option(help="Architecture file (.toml) to write; its name is the model's.")],
    pick: Annotated[
        str, typer.Option(help="best, median, random, or the number of a complete trial.", autocompletion=names.picks)
    ] = "best",
    seed: Annotated[int, typer.Option(min=0, help="Of random.")] = 0,
    study: StudyName = None,
    as_json: AsJson = False,
) -> None:
    """Save an architecture that was sampled as a file that `--model` of every command takes, to train it in full."""
    from neurofit.models.architecture_file import write_architecture
    from neurofit.training.search_results import entry_of, trial_rows
    from neurofit.training.search_results import pick as picked
    from neurofit.training.search_study import open_study

    output = Output(as_json)
    found, spec = open_study(study_place, study)
    row = picked(trial_rows(found), spec, pick, seed)
    entry = entry_of(row, spec, found.study_name)
    write_architecture(to, entry)
    output.say(f"{pick}: {entry.summary}")
    output.say(f"architecture: {to}; next: neurofit train --model {to} --data DATA --out RUN")
    output.emit({"pick": pick, "trial": row.number, "params": row.params, "architecture": str(to)})


def _history(place: str, name: str, spec: StudySpec, found: object, several: bool) -> SearchHistory:
    """Return a study to draw; among several it is called as its folder."""
    from neurofit.report.search_figure import SearchHistory
    from neurofit.training.search_results import trial_rows

    label = Path(place.removeprefix("journal:")).stem if several and "://" not in place else name
    return SearchHistory(label, spec, trial_rows(found))  # type: ignore[arg-type]


def _check_objectives(histories: Sequence[SearchHistory]) -> None:
    from neurofit.errors import ConfigurationError

    kinds = {history.spec.objectives for history in histories}
    names = [history.name for history in histories]
    if len(kinds) > 1:
        raise ConfigurationError(
            "studies in one figure have the same objectives",
            "; ".join(f"{h.name}: {', '.join(h.spec.objectives)}" for h in histories), "show them apart",
        )  # fmt: skip
    if len(set(names)) < len(names):
        raise ConfigurationError("studies in one figure have different names", ", ".join(names), "rename a folder")


def _say_study(output: Output, name: str, spec: StudySpec, rows: Sequence[TrialRow], most: int) -> None:
    """Print how many trials there are of each kind, and the best of them."""
    from neurofit.training.search_results import pareto_front, ranked
    from neurofit.training.search_study import OBJECTIVES

    finished = sum(row.outcome in ("complete", "pruned", "failed") for row in rows)
    output.say(f"study {name} ({spec.sampler}, seed {spec.seed}): {finished} finished trials")
    if "benchmark" in spec.data:
        output.say(f"  predictivity: {spec.data['benchmark']}")
    for kind, count in _counts(rows).items():
        output.say(f"  {count:>5}  {kind}")
    several = len(spec.objectives) > 1
    best = (pareto_front if several else ranked)(rows, spec)[:most]
    if best:
        labels = [OBJECTIVES[objective].label for objective in spec.objectives]
        output.say(f"{'Pareto front' if several else 'best'}:  trial   {'   '.join(labels)}   parameters   seconds")
    for row in best:
        values = "   ".join(f"{value:>{len(label)}.4f}" for value, label in zip(row.values, labels, strict=True))
        again = f"   (again trial {row.retry_of})" if row.retry_of is not None else ""
        output.say(
            f"       {row.number:>7}   {values}   {row.measured['parameters']:>10,.0f}   {row.seconds:>7.1f}{again}"
        )


def _counts(rows: Sequence[TrialRow]) -> dict[str, int]:
    from neurofit.training.search_results import count_outcomes

    return count_outcomes(rows)
