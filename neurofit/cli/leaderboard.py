"""``neurofit leaderboard``: records of scores, ranked where they can be."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from neurofit.cli.examples import examples
from neurofit.cli.options import FILES
from neurofit.cli.output import Output, readable_size

if TYPE_CHECKING:
    from neurofit.report.leaderboard import Leaderboard

EXAMPLES = examples(
    ("all records in a folder, and the folders in it", "neurofit leaderboard neurofit-out"),
    ("for a spreadsheet", "neurofit leaderboard neurofit-out --format csv --out scores.csv"),
    ("pages to click through, from disk", "neurofit leaderboard neurofit-out --site site"),
)  # fmt: skip
Format = Literal["text", "markdown", "csv"]


def leaderboard(
    folder: Annotated[Path, typer.Argument(help="Searched, with the folders in it, for records of neurofit score.")],
    form: Annotated[Format, typer.Option("--format", help="Of the table.")] = "text",
    benchmark: Annotated[str | None, typer.Option(help="Only boards of this benchmark.")] = None,
    region: Annotated[str | None, typer.Option(help="Only boards of this region.")] = None,
    simulated: Annotated[
        bool | None,
        typer.Option("--simulated/--real", help="Only simulated data, or only real recordings; both by default."),
    ] = None,
    site: Annotated[
        Path | None, typer.Option(help="Folder for a website that opens without a server.", rich_help_panel=FILES)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="File for the table, instead of the screen.", rich_help_panel=FILES)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all boards as one JSON document.", rich_help_panel=FILES)
    ] = False,
) -> None:
    """Rank what records can be compared, with intervals of the ranks; nothing is computed again."""
    output = Output(as_json)
    from neurofit.report.leaderboard import leaderboard as read
    from neurofit.report.leaderboard_text import csv_of, document_of, markdown_of, printable, text_of

    found = read(folder).chosen(benchmark=benchmark, region=region, simulated=simulated)
    width = shutil.get_terminal_size((120, 24)).columns
    renderers: dict[Format, Callable[[Leaderboard], str]] = {
        "text": partial(text_of, width=width),
        "markdown": markdown_of,
        "csv": csv_of,
    }
    table = renderers[form](found)
    written: dict[str, str] = {}
    if out is not None:
        written["table"] = str(_write(out, table))
        output.say(f"table: {out}")
    elif site is None:
        output.say(table.rstrip("\n"))
    if form == "csv" or out is not None or site is not None:
        for each in found.left_out:
            output.note(printable(f"left out: {each.path}: {each.reason}"))
    if site is not None:
        _write_site(found, site, output)
        written["site"] = str(site)
    output.emit({**document_of(found), "written": written})


def _write(path: Path, text: str) -> Path:
    from neurofit.files.atomic import atomic_write, reporting_output_errors

    with reporting_output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as handle:
            handle.write(text.encode())
    return path


def _write_site(found: Leaderboard, folder: Path, output: Output) -> None:
    from neurofit.report.site import write_site

    with output.of_others():
        summary = write_site(found, folder, progress=output.progress)
    output.say(
        f"site: {folder / 'index.html'} ({summary.runs} runs on {summary.boards} boards, {summary.files} files, "
        f"{readable_size(summary.bytes)})"
    )
