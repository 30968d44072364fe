"""A leaderboard as a table: pandas, text, Markdown, CSV and HTML.

Names in records are anybody's. Text and Markdown show no control characters, Markdown and HTML escape what would be
markup, and CSV puts an apostrophe before text that a spreadsheet would take for a formula.
"""

from __future__ import annotations

import csv
import html
import io
import textwrap
import unicodedata
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pandas as pd

from neurofit.report.leaderboard_names import names_of
from neurofit.report.plain_text import printable
from neurofit.scoring.metrics import PREDICTIVITY

if TYPE_CHECKING:
    from neurofit.report.leaderboard import Board, Leaderboard, Row

COLUMNS = (
    "board", "benchmark", "version", "region", "data", "model", "layer", "rank", "rank_low", "rank_high",
    "value", "low", "high", "raw", "ceiling", "metric", "formula", "mapping", "n_splits", "n_stimuli", "n_neuroids",
    "parameters", "top1", "trained_on", "static_mode", "date", "neurofit", "torch", "git_revision", "weights_sha256",
    "record",
)  # fmt: skip
WIDTH = 120
NARROWEST = 50
_LONGEST_NAME = 40
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
_MARKUP = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]()<>#|~!"})

# Heading of a column, what it shows of a row, whether it may be left out of a narrow table (the last ones first).
_Column = tuple[str, Callable[["Row"], str], bool]


def frame_of(leaderboard: Leaderboard) -> pd.DataFrame:
    """Return one row per ranked run, in the order of the boards.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`: board (id), benchmark, version, region, data ('SIMULATED' or 'real'), model, layer, rank with
        its interval, value with its interval, raw predictivity, ceiling (median internal consistency), metric, formula,
        mapping, n_splits, n_stimuli, n_neuroids, parameters, top1 (a fraction of what trained_on says), static_mode,
        date (UTC), versions, git_revision, weights_sha256 and record (path). Numbers that a record lacks are NaN or NA.
    """
    rows = [_values(board, row) for board in leaderboard.boards for row in board.rows]
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    for name in ("parameters", "n_splits"):
        frame[name] = frame[name].astype("Int64")
    frame["top1"] = frame["top1"].astype(float)
    return frame


def _values(board: Board, row: Row) -> list[Any]:
    run = row.run
    score, benchmark = run.document["score"], run.document["benchmark"]
    splits = score.get("n_splits")
    return [
        board.id, board.benchmark, benchmark["version"], run.region, data_word(board), run.model, run.layer, row.rank,
        row.rank_low, row.rank_high, run.value, run.low, run.high, run.raw, run.ceiling, run.metric, run.formula,
        board.settings.get("mapping", ""), splits if type(splits) is int else None, score["n_stimuli"],
        score["n_neuroids"], run.parameters, run.top1, run.trained_on, run.static_mode, run.date,
        str(run.versions.get("neurofit") or ""), str(run.versions.get("torch") or ""), run.git_revision,
        run.weights_sha256, str(run.path),
    ]  # fmt: skip


def data_word(board: Board) -> str:
    """Return 'SIMULATED' or 'real'."""
    return "SIMULATED" if board.simulated else "real"


def text_of(leaderboard: Leaderboard, width: int = WIDTH) -> str:
    """Return the boards as aligned columns.

    Parameters
    ----------
    leaderboard : Leaderboard
    width : int
        Of a line; narrower tables leave out date, top-1, parameters and ceiling, in this order, then shorten names.
    """
    parts = [_text_of_board(board, max(width, NARROWEST)) for board in leaderboard.boards]
    return "\n\n".join([*parts, *_left_out(leaderboard)]) + "\n"


def markdown_of(leaderboard: Leaderboard) -> str:
    """Return the boards as Markdown tables, with a heading each; markup in names is escaped."""
    parts = []
    for board in leaderboard.boards:
        columns = [(name, show) for name, show, _ in _columns(board)]
        body = [f"| {' | '.join(_markdown(show(row)) for _, show in columns)} |" for row in board.rows]
        parts.append(
            "\n".join(
                [
                    f"## {_markdown(board.title)}",
                    "",
                    f"Data: {data_word(board)}. {_markdown(_shared(board))}",
                    "",
                    f"| {' | '.join(name for name, _ in columns)} |",
                    f"|{'---|' * len(columns)}",
                    *body,
                    "",
                    _notes(board),
                ]
            )
        )
    return "\n\n".join([*parts, *map(_markdown, _left_out(leaderboard))]) + "\n"


def csv_of(leaderboard: Leaderboard) -> str:
    """Return `frame_of` as CSV; text that begins like a formula of a spreadsheet gets an apostrophe before it."""
    frame = frame_of(leaderboard)
    handle = io.StringIO()
    writer = csv.writer(handle, lineterminator="\n")
    writer.writerow(frame.columns)
    for row in frame.itertuples(index=False):
        writer.writerow([csv_cell(value) for value in row])
    return handle.getvalue()


def document_of(leaderboard: Leaderboard) -> dict[str, Any]:
    """Return the boards for JSON: what a board's runs share, its ranked runs as in `frame_of`, and what is left out."""
    return {
        "folder": str(leaderboard.folder),
        "boards": [
            {
                "id": board.id,
                "title": board.title,
                "benchmark": board.benchmark,
                "simulated": board.simulated,
                "settings": dict(board.settings),
                "rank_method": board.rank_method,
                "rows": [dict(zip(COLUMNS, _values(board, row), strict=True)) for row in board.rows],
                "older": [str(run.path) for run in board.older],
            }
            for board in leaderboard.boards
        ],
        "left_out": [{"path": str(each.path), "reason": each.reason} for each in leaderboard.left_out],
    }


def html_of(leaderboard: Leaderboard) -> str:
    """Return the boards as HTML tables, for notebooks."""
    parts = []
    for board in leaderboard.boards:
        columns = [(name, show) for name, show, _ in _columns(board)]
        head = "".join(f"<th>{html.escape(name)}</th>" for name, _ in columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(printable(show(row)))}</td>" for _, show in columns) + "</tr>"
            for row in board.rows
        )
        parts.append(
            f"<h4>{html.escape(printable(board.title))}</h4>"
            f"<p>Data: {data_word(board)}. {html.escape(printable(_shared(board)))}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p><small>{html.escape(_notes(board))}</small></p>"
        )
    parts += [f"<p><small>{html.escape(line)}</small></p>" for line in _left_out(leaderboard)]
    return "<div>" + "".join(parts) + "</div>"


def _columns(board: Board) -> list[_Column]:
    """Return the columns of a board's table."""
    names = names_of(row.run for row in board.rows)
    columns: list[_Column] = [
        ("rank", lambda row: str(row.rank), False),
        ("95 %", lambda row: f"{row.rank_low}-{row.rank_high}", False),
        ("model", lambda row: names[row.run.id], False),
        ("layer", lambda row: row.run.layer, False),
        ("score", lambda row: _number(row.run.value), False),
        ("95 % interval", lambda row: _interval(row.run.low, row.run.high), False),
        ("ceiling", lambda row: _number(row.run.ceiling), True),
    ]
    if any(row.run.static_mode not in ("", "own") for row in board.rows):
        columns.append(("in time", lambda row: row.run.static_mode, True))
    if any(row.run.parameters is not None for row in board.rows):
        columns.append(("parameters", lambda row: _count(row.run.parameters), True))
    if any(row.run.top1 is not None for row in board.rows):
        columns.append(("top-1", lambda row: "" if row.run.top1 is None else f"{row.run.top1:.1%}", True))
    columns.append(("date", lambda row: row.run.when.date().isoformat(), True))
    return columns


def _text_of_board(board: Board, width: int) -> str:
    columns = _columns(board)
    table = [[printable(show(row)) for _, show, _ in columns] for row in board.rows]
    heads = [name for name, _, _ in columns]
    longest = _LONGEST_NAME
    while True:
        cells = [[_shortened(cell, longest) for cell in row] for row in [heads, *table]]
        widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
        if sum(widths) + 2 * (len(widths) - 1) <= width or (longest <= 8 and not any(c[2] for c in columns)):
            break
        last = next((i for i in reversed(range(len(columns))) if columns[i][2]), None)
        if last is None:
            longest -= 4
            continue
        del columns[last], heads[last]
        for row in table:
            del row[last]
    left = {"model", "layer", "in time", "date"}
    lines = [
        "  ".join(_padded(cell, w, name in left) for cell, w, name in zip(row, widths, heads, strict=True)).rstrip()
        for row in cells
    ]
    title = "\n".join(textwrap.wrap(printable(board.title), width))
    shared = textwrap.fill(f"{data_word(board)} data. {printable(_shared(board))}", width)
    notes = textwrap.fill(_notes(board), width)
    return "\n".join([title, shared, "", lines[0], *lines[1:], "", notes])


def _shared(board: Board) -> str:
    """Return what a table's caption says of all its rows."""
    names = ("region", "metric", "formula", "mapping", "splits", "halvings", "window", "stimuli", "neuroids", "dataset")
    return "; ".join(f"{name}: {board.settings[name]}" for name in names if name in board.settings) + "."


def _notes(board: Board) -> str:
    older = len(board.older)
    again = f" {older} older run{'s' if older > 1 else ''} of the same models and layers not ranked." if older else ""
    of_neuroids = board.rows[0].run.metric == PREDICTIVITY
    ceiling = "median internal consistency" if of_neuroids else "reliability of the responses' side of the measure"
    return f"{board.rank_method} Ceiling: {ceiling}.{again}"


def _left_out(leaderboard: Leaderboard) -> list[str]:
    """Return the lines on files that are not ranked."""
    if not leaderboard.left_out:
        return []
    n = len(leaderboard.left_out)
    lines = [f"Left out: {n} JSON file{'s' if n > 1 else ''}."]
    lines += [f"  {printable(str(each.path))}: {printable(each.reason)}" for each in leaderboard.left_out[:10]]
    return ["\n".join([*lines, *(["  ..."] if n > 10 else [])])]


def _number(value: float) -> str:
    return "" if value != value else f"{value:.3f}"


def _interval(low: float, high: float) -> str:
    return "" if low != low or high != high else f"[{low:.3f}, {high:.3f}]"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _markdown(text: str) -> str:
    return printable(text).translate(_MARKUP)


def csv_cell(value: Any) -> str:
    """Return a value of a CSV cell, which no spreadsheet takes for a formula."""
    if isinstance(value, str):
        return f"'{value}" if value.lstrip(" \n").startswith(_FORMULA_STARTS) else value
    return "" if pd.isna(value) else str(value)


def _width(text: str) -> int:
    """Return how many columns a terminal needs for a text."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 for c in text)


def _padded(text: str, width: int, left: bool) -> str:
    space = " " * (width - _width(text))
    return text + space if left else space + text


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 3] + "..."
