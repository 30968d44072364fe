"""``neurofit sweep``: many scores, here or on a cluster, and one table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurofit.cli.examples import examples
from neurofit.cli.options import FILES
from neurofit.cli.output import Output

if TYPE_CHECKING:
    import pandas as pd

    from neurofit.sweeps.cells import Cell
    from neurofit.sweeps.cluster import ClusterSpec
    from neurofit.sweeps.sweep import Engine, SweepResult
    from neurofit.sweeps.work import Outcome

_LONGEST_REASON = 120  # of a reason while the sweep runs; whole ones are at its end
WHERE = "Where to compute (needs neurofit[dask])"

EXAMPLES = examples(
    ("in one process", "neurofit sweep sweep.toml --out sweeps/first"),
    ("on four workers of this machine", "neurofit sweep sweep.toml --workers 4"),
    ("on a scheduler of Dask that runs already", "neurofit sweep sweep.toml --scheduler tcp://10.0.0.1:8786"),
    ("as jobs of SLURM", "neurofit sweep sweep.toml --cluster slurm.toml"),
    ("what would be scored", "neurofit sweep sweep.toml --plan"),
)  # fmt: skip


def sweep(
    file: Annotated[Path, typer.Argument(metavar="SWEEP.toml", help="Models, benchmarks, layers, variations.")],
    out: Annotated[Path, typer.Option(help="Folder of the sweep.", rich_help_panel=FILES)] = Path("neurofit-sweep"),
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes on this machine.", rich_help_panel=WHERE)
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Of a Dask scheduler, such as tcp://HOST:8786.", rich_help_panel=WHERE),
    ] = None,
    cluster: Annotated[
        Path | None,
        typer.Option(metavar="CLUSTER.toml", help="Of a cluster to start: local or SLURM.", rich_help_panel=WHERE),
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Say what would be scored; compute nothing.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the table as one JSON document.", rich_help_panel=FILES)
    ] = False,
) -> None:
    """Score many models on many benchmarks, layers and variations.

    What is finished is kept, and the same command goes on: it may be interrupted or killed at any time. What failed is
    listed with its reason, and tried again next time. The exit code is 1 if anything failed.
    """
    from neurofit.sweeps.cells import cells_of
    from neurofit.sweeps.specification import load_sweep
    from neurofit.sweeps.sweep import run_sweep

    output = Output(as_json)
    where = _where(workers, scheduler, cluster)
    spec = load_sweep(file)
    with output.of_others():
        cells = cells_of(spec, announce=lambda model: output.note(f"looking at {model}"))
    if plan:
        _say_plan(output, cells, out, where)
        return
    voice = _Voice(output)
    with output.of_others():
        result = run_sweep(
            cells, out, engine=_engine(output, where), on_start=voice.start, on_outcome=voice.outcome
        )  # fmt: skip
    _say_result(output, result)
    output.emit(_document(result))
    if len(result.failed):
        raise typer.Exit(1)


def _where(workers: int | None, scheduler: str | None, cluster: Path | None) -> ClusterSpec | str | None:
    """Return where to compute; None is this process."""
    from neurofit.errors import ConfigurationError

    given = {"--workers": workers, "--scheduler": scheduler, "--cluster": cluster}
    named = [name for name, value in given.items() if value is not None]
    if len(named) > 1:
        raise ConfigurationError("a sweep is computed in one place", f"{' and '.join(named)} were given", "keep one")
    if workers is None and cluster is None:
        return scheduler
    from neurofit.sweeps.cluster import ClusterSpec, load_cluster

    return ClusterSpec(workers=workers) if workers is not None else load_cluster(cluster or Path())


def _engine(output: Output, where: ClusterSpec | str | None) -> Engine:
    from neurofit.sweeps.sweep import InProcess

    if where is None:
        return InProcess(progress=output.progress)
    from neurofit.sweeps.cluster import DaskEngine

    return DaskEngine(where, announce=output.note)


class _Voice:
    """Says what becomes of the cells, one line each."""

    def __init__(self, output: Output) -> None:
        self._output, self._done, self._of = output, 0, 0

    def start(self, cells: Sequence[Cell], open_cells: Sequence[Cell]) -> None:
        """Say how much there is to do."""
        self._of = len(open_cells)
        finished = len(cells) - len(open_cells)
        self._output.say(f"sweep: {_counted(len(cells), 'score')}, {finished} finished before, {self._of} to do")

    def outcome(self, cell: Cell, outcome: Outcome, path: Path) -> None:
        """Say what became of a cell."""
        self._done += 1
        where = f"[{self._done}/{self._of}]"
        record: Any = outcome.record
        if record is None:
            self._output.say(f"{where} {cell}: failed: {_clipped(outcome.reason)}")
            return
        simulated = " SIMULATED" if record.simulated else ""
        self._output.say(f"{where} {cell}: {_number(record.score['value'])}{simulated}")


def _say_plan(output: Output, cells: Sequence[Cell], out: Path, where: ClusterSpec | str | None) -> None:
    """Say what would be scored."""
    from neurofit.sweeps.results import SweepFolder

    table = SweepFolder(out).table(cells)
    _say_rows(output, table)
    todo = int((table["status"] != "complete").sum())
    output.say()
    output.say(f"{_counted(len(table), 'score')}, {todo} to do")
    document: dict[str, Any] = {"rows": table.to_dict("records")}
    if where is not None and not isinstance(where, str) and where.kind == "slurm":
        from neurofit.sweeps.cluster import job_script

        document["job_script"] = job_script(where)
        output.say(f"{where.workers} jobs of SLURM, each:\n\n{document['job_script']}")
    output.emit(document)


def _say_result(output: Output, result: SweepResult) -> None:
    """Print the table and the failures."""
    output.say()
    _say_rows(output, result.table)
    failed = result.failed
    if len(failed):
        output.say()
        _say_failures(output, failed)
    output.say()
    output.say(
        f"{len(result.complete)} of {_counted(len(result.table), 'score')} complete ({result.scored} now, "
        f"{result.found} before); table: {result.path}"
    )
    output.say(f"next: neurofit leaderboard {result.path.parent / 'records'}")


def _say_failures(output: Output, failed: pd.DataFrame) -> None:
    """Print every reason once, with the rows that it stopped."""
    output.say(f"{_counted(len(failed), 'failure')}:")
    for reason, rows in failed.groupby("reason", sort=False):
        output.say(f"  {reason}")
        for row in rows.to_dict("records"):
            name = " ".join(filter(None, (str(row["model"]), str(row["layer"]))))
            output.say(f"    {name} on {row['benchmark']} ({row['region']})")


def _say_rows(output: Output, table: pd.DataFrame) -> None:
    """Print the rows of a table in columns."""
    from neurofit.report.leaderboard_text import printable

    hidden = {"reason", "record", "formula", "seconds"}
    columns = [name for name in table.columns if name not in hidden]
    rows = [[printable(_text(value)) for value in row] for row in table[columns].itertuples(index=False)]
    widths = [max(len(text) for text in column) for column in zip(columns, *rows, strict=True)]
    for row in [columns, *rows]:
        output.say("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _document(result: SweepResult) -> dict[str, Any]:
    return {
        "complete": len(result.complete),
        "failed": len(result.failed),
        "scored_now": result.scored,
        "table": str(result.path),
        "rows": result.table.to_dict("records"),
    }


def _text(value: object) -> str:
    if value is None or value != value:
        return ""
    return _number(value) if isinstance(value, float) else str(value)


def _number(value: float | None) -> str:
    return "nan" if value is None or value != value else f"{value:.3f}"


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
