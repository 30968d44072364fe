"""``neurofit curves``: what training runs did, epoch by epoch, and accuracy against predictivity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurofit.cli import options as opt
from neurofit.cli.examples import examples
from neurofit.cli.output import Output

if TYPE_CHECKING:
    from neurofit.report.training_record import TrainingRun
    from neurofit.report.training_table import Format

EXAMPLES = examples(
    ("two runs in one figure", "neurofit curves runs/gru-0 runs/gru-1"),
    ("and a table of all models", "neurofit curves runs/* --table zoo.md --table-figure zoo.png"),
)  # fmt: skip


def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `neurofit train --out` got, ended or not.")],
    figure: Annotated[Path, typer.Option(help="PNG to write.")] = Path("neurofit-out/curves.png"),
    table: Annotated[
        Path | None,
        typer.Option(help="Also write the table of the models (.md, .csv or .txt); they were trained by one recipe."),
    ] = None,
    table_figure: Annotated[
        Path | None, typer.Option("--table-figure", help="Also draw it: accuracy against parameters and time (PNG).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all epochs as one JSON document.")] = False,
) -> None:
    """Draw training runs: accuracy and loss per epoch and, where there were looks, accuracy against predictivity."""
    output = Output(as_json)
    form = _form(table)
    from neurofit.report.style import save_figure
    from neurofit.report.training_figure import plot_training, plot_zoo
    from neurofit.report.training_record import curves_document, load_training_run
    from neurofit.report.training_table import zoo_table

    found = [load_training_run(folder) for folder in runs]
    made = zoo_table(runs) if table is not None or table_figure is not None else None
    drawn = plot_training(found)
    _say(output, found)
    written = {"figure": save_figure(drawn, _in_folder(figure))}
    if made is not None and table is not None:
        written["table"] = _write_text(made.as_text(form), _in_folder(table))
    if made is not None and table_figure is not None:
        written["table figure"] = save_figure(plot_zoo(made), _in_folder(table_figure))
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({**curves_document(found), "written": {k: str(v) for k, v in written.items()}})


def _form(table: Path | None) -> Format:
    """Return the format that a file's suffix means."""
    from neurofit.errors import ConfigurationError

    forms: dict[str, Format] = {".md": "markdown", ".csv": "csv", ".txt": "text"}
    if table is None:
        return "text"
    if table.suffix not in forms:
        raise ConfigurationError(
            "a table's file ends in .md, .csv or .txt", f"'{table}' does not", "give it one of these"
        )
    return forms[table.suffix]


def _in_folder(path: Path) -> Path:
    """Return the path of a file whose folder is made and can be written."""
    opt.writable(path.parent)
    return path


def _write_text(text: str, path: Path) -> Path:
    from neurofit.files.atomic import atomic_write, reporting_output_errors

    with reporting_output_errors(path), atomic_write(path) as handle:
        handle.write(text.encode())
    return path


def _say(output: Output, runs: list[TrainingRun]) -> None:
    """Say where each run stands."""
    if any(each.simulated for run in runs for each in run.looks):
        output.say("SIMULATED data in the looks")
    width = max(len(run.label) for run in runs)
    for run in runs:
        if not run.rows:
            output.say(f"{run.label:{width}}  no epoch has ended")
            continue
        last = run.rows[-1]
        looks = "".join(_look(run, each.column, each.label) for each in run.looks)
        state = "" if run.complete or not run.record else " (not ended)"
        output.say(
            f"{run.label:{width}}  epoch {last['epoch']:3.0f}{state}  top-1 {last['top1']:.3f}  "
            f"loss {last['training_loss']:.3f}  {run.seconds:.0f} s{looks}"
        )


def _look(run: TrainingRun, column: str, label: str) -> str:
    """Return the last value of a look, in words."""
    values = [row[f"{column}.corrected"] for row in run.looked() if f"{column}.corrected" in row]
    return f"  {label} {opt.number(values[-1]).strip()}" if values else ""
