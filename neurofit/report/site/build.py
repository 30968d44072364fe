"""Write a leaderboard as a folder of static pages."""

from __future__ import annotations

import csv
import io
import json
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from tqdm import tqdm

import neurofit
from neurofit.files.json_text import plain_values
from neurofit.report.leaderboard import Board, Leaderboard
from neurofit.report.runs import ScoredRun
from neurofit.report.site import words
from neurofit.report.site.colours import DARK, LIGHT, series
from neurofit.report.site.folder import new_folder
from neurofit.report.site.text import LONGEST_SHOWN, csv_cell, script_call, shown
from neurofit.report.site.views import BoardView, ModelView, SiteView, all_runs, board_index, gather

PARTS = Path(__file__).resolve().parent
CONTENT_SECURITY_POLICY = (
    # 'file:' beside 'self': a page that is opened from disk has no origin, and some browsers match 'self' to none
    "default-src 'none'; script-src 'self' file:; style-src 'self' file: 'unsafe-inline'; "
    "img-src 'self' file: data: blob:; connect-src 'none'; base-uri 'none'; form-action 'none'"
)
"""Nothing but the site's own files; Plotly and the bars of scores write styles, and no script is part of a page."""
CSV_COLUMNS = (
    "rank", "rank_low", "rank_high", "model", "layer", "region", "value", "low", "high", "raw", "ceiling", "parameters",
    "top1", "trained_on", "date", "simulated", "neurofit", "run",
)  # fmt: skip


@dataclass(frozen=True)
class SiteSummary:
    """What was written.

    Parameters
    ----------
    files, bytes : int
    boards, runs : int
        Runs with those that were superseded.
    seconds : float
    """

    files: int
    bytes: int
    boards: int
    runs: int
    seconds: float


def write_site(board: Leaderboard, out: Path, *, progress: bool = False) -> SiteSummary:
    """Write a leaderboard as a folder of pages that opens from disk.

    Parameters
    ----------
    board : Leaderboard
    out : Path
        Made, or replaced as a whole if it is a site that this function wrote and nobody added to.
    progress : bool, optional
        Whether to show a progress bar of the runs.

    Returns
    -------
    SiteSummary

    Raises
    ------
    OutputError
        If `out` is something else, or cannot be written; it is then as it was before.
    """
    start = time.perf_counter()
    site = gather(board)
    with new_folder(Path(out)) as folder:
        for name, text in _pages(site):
            folder.write(name, text)
        for name, content in _assets(site):
            folder.write(name, content)
        for view in site.boards:
            folder.write(f"csv/{view.file}.csv", csv_text(view.board))
        runs = {run.id: run for run in all_runs(board)}
        for run in tqdm(runs.values(), desc="runs", unit="run", disable=not progress):
            file = site.run_files[run.id]
            folder.write(f"runs/{file}.js", script_call("neurofit.receive", file, record_text(run)))
    return SiteSummary(folder.files, folder.bytes, len(site.boards), len(runs), time.perf_counter() - start)


def record_text(run: ScoredRun) -> str:
    """Return a run's record as JSON text: the file's own, or its values where the file is not plain JSON or gone.

    A page parses it as JSON, so that nothing in it can be a script.
    """
    try:
        text = run.path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError):  # ValueError: a path that no system can have
        text = ""
    if not text or "NaN" in text or "Infinity" in text:  # words that Python reads as numbers and browsers do not
        text = json.dumps(plain_values(run.document), allow_nan=False)
    return text


def csv_text(board: Board) -> str:
    """Return a board as CSV, all digits, with cells that no spreadsheet takes for formulas."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(CSV_COLUMNS)
    for row in board.rows:
        run = row.run
        cells = (
            row.rank, row.rank_low, row.rank_high, run.model, run.layer, run.region, run.value, run.low, run.high,
            run.raw, run.ceiling, run.parameters, run.top1, run.trained_on, run.date, str(run.simulated).lower(),
            words.version(run), run.id,
        )  # fmt: skip
        writer.writerow(["" if cell != cell else csv_cell(cell) for cell in cells])  # NaN is not itself
    return text.getvalue()


def _pages(site: SiteView) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of every page."""
    templates = _templates()
    shared = {"site": site, "policy": CONTENT_SECURITY_POLICY, "version": neurofit.__version__}
    yield "index.html", templates.get_template("index.html").render(shared, root="")
    yield "compare.html", templates.get_template("compare.html").render(shared, root="")
    page = templates.get_template("board.html")
    for view in site.boards:
        yield f"boards/{view.file}.html", page.render(shared, root="../", view=view)
    page = templates.get_template("model.html")
    for model in site.models.values():
        yield f"models/{model.file}.html", page.render(shared, root="../", model=model, details=_details(model))


def _details(model: ModelView) -> list[tuple[str, str]]:
    return words.details(model.runs)


def _templates() -> Environment:
    """Return the templates with the filters that they use; everything is escaped unless a template says otherwise."""
    templates = Environment(
        loader=FileSystemLoader(PARTS / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "r": words.correlation,
        "count": words.count,
        "size": words.size,
        "of": words.of,
        "percent": words.percent,
        "order": words.order,
        "ranks": lambda row: words.ranks(row.rank_low, row.rank_high),
        "interval": lambda run: words.interval(run.low, run.high),
        "neurofit_version": words.version,
        "versions": words.versions,
        "shown": shown,
        "brief": lambda text: shown(text, LONGEST_SHOWN),
        "on_ms": _on_ms,
    }
    return templates


def _on_ms(view: BoardView) -> int | float | str:
    """Return for how long a benchmark shows its images, '' where it does not say."""
    found = words.number(view.board.rows[0].run.document, "benchmark", "viewing", "on_ms") if view.board.rows else None
    return "" if found is None else found


def _assets(site: SiteView) -> Iterator[tuple[str, str | bytes]]:
    """Yield the name and content of style, scripts, libraries and what scripts must know."""
    for path in sorted((PARTS / "assets").iterdir()):
        yield f"assets/{path.name}", path.read_bytes()
    for library in libraries().values():
        for name in (library["file"], library["licence_file"]):
            yield f"assets/vendor/{name}", (PARTS / "vendor" / name).read_bytes()
    yield "assets/vendor/libraries.toml", (PARTS / "vendor" / "libraries.toml").read_bytes()
    surfaces = {"light": LIGHT, "dark": DARK}
    yield "assets/series.js", script_call("neurofit.setSeries", {**series(), "surfaces": surfaces})
    yield "assets/boards.js", script_call("neurofit.setBoards", board_index(site))


def libraries() -> dict[str, dict[str, Any]]:
    """Return what is known of the bundled libraries, by name."""
    return tomllib.loads((PARTS / "vendor" / "libraries.toml").read_text(encoding="utf-8"))
