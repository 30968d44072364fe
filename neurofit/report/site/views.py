"""What the pages say, gathered from a leaderboard."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import neurofit
from neurofit.report.leaderboard import Board, Leaderboard, Row
from neurofit.report.leaderboard_names import names_of
from neurofit.report.runs import ScoredRun
from neurofit.report.site.text import LONGEST_SHOWN, bibtex_entry, file_stem, file_stems, shown
from neurofit.report.site.words import number, part

_METRICS = {"rsa": "RSA"}


@dataclass(frozen=True)
class BoardView:
    """A board, and what its pages need besides.

    Parameters
    ----------
    board : Board
    file : str
        Its pages' name, without ending.
    region, metric : str
    images, neuroids : int or None
    low, high : float
        Ends of the axis of the bars of scores.
    citation : str
        BibTeX of dataset, benchmark and neurofit.
    notes : dict of str to str
        What sets a run apart from others of its model and layer, by its identifier; '' where there are none.
    """

    board: Board
    file: str
    region: str
    metric: str
    images: int | None
    neuroids: int | None
    low: float
    high: float
    citation: str
    notes: dict[str, str]

    @property
    def corrects(self) -> bool:
        """Whether the scores are corrected for noise."""
        return not self.board.rows or part(self.board.rows[0].run.document, "score", "formula") != "raw"

    def bar(self, run: ScoredRun) -> str:
        """Return where a run's interval and value lie on the axis, as custom properties of CSS in percent."""
        if not math.isfinite(run.value):
            return ""
        low, high = (run.low, run.high) if math.isfinite(run.low + run.high) else (run.value, run.value)
        start = self._at(low)
        return f"--v:{self._at(run.value):.1f};--a:{start:.1f};--w:{self._at(high) - start:.1f}"

    def _at(self, value: float) -> float:
        return 100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))


@dataclass
class ModelView:
    """A model, and its runs on all boards.

    Parameters
    ----------
    name : str
        As the records have it.
    file : str
    ranked : list of (BoardView, Row)
    older : list of (BoardView, ScoredRun)
        Runs that were superseded.
    """

    name: str
    file: str
    ranked: list[tuple[BoardView, Row]] = field(default_factory=list)
    older: list[tuple[BoardView, ScoredRun]] = field(default_factory=list)

    @property
    def runs(self) -> list[ScoredRun]:
        """All runs, newest first."""
        runs = [row.run for _, row in self.ranked] + [run for _, run in self.older]
        return sorted(runs, key=lambda run: run.date, reverse=True)

    @property
    def boards(self) -> list[BoardView]:
        """The boards on which it is ranked."""
        return list({view.file: view for view, _ in self.ranked}.values())

    @property
    def citation(self) -> str:
        """BibTeX of the model as it was scored."""
        newest = self.runs[0]
        weights = part(newest.document, "subject", "weights_sha256")
        note = f"Model scored by neurofit {neurofit.__version__}"
        return bibtex_entry(
            "misc",
            f"model-{self.file}",
            title=shown(self.name, 3 * LONGEST_SHOWN),
            year=newest.date[:4],
            note=f"{note}; weights SHA-256 {weights}" if weights else note,
        )


@dataclass(frozen=True)
class SiteView:
    """All that is on a site.

    Parameters
    ----------
    boards : list of BoardView
    models : dict of str to ModelView
        By name, in alphabetical order.
    run_files : dict of str to str
        Name of a run's file without ending, by its identifier.
    left_out : list of (str, str)
        Files that are not ranked, and why.
    newest : str
        Date of the newest run, '' where there is none: the same records make the same pages.
    """

    boards: list[BoardView]
    models: dict[str, ModelView]
    run_files: dict[str, str]
    left_out: list[tuple[str, str]]
    newest: str

    def kind(self, simulated: bool) -> list[BoardView]:
        """Return the boards of simulated responses, or of real recordings."""
        return [view for view in self.boards if view.board.simulated is simulated]

    @property
    def regions(self) -> list[str]:
        """Regions of all boards."""
        return sorted({view.region for view in self.boards})

    @property
    def layers(self) -> list[str]:
        """Layers of all ranked runs."""
        return sorted({shown(row.run.layer, LONGEST_SHOWN) for view in self.boards for row in view.board.rows})


def gather(board: Leaderboard) -> SiteView:
    """Return what the pages of a leaderboard say."""
    files = file_stems([each.id for each in board.boards])
    views = [_board_view(each, files[each.id]) for each in board.boards]
    models: dict[str, ModelView] = {}
    for view in views:
        for row in view.board.rows:
            _model(models, row.run.model).ranked.append((view, row))
        for run in view.board.older:
            _model(models, run.model).older.append((view, run))
    runs = list(all_runs(board))
    left_out = [(shown(each.path.name, LONGEST_SHOWN), _without_folder(each.reason, board)) for each in board.left_out]
    return SiteView(
        views,
        dict(sorted(models.items(), key=lambda item: (item[0].lower(), item[0]))),
        file_stems([run.id for run in runs]),
        left_out,
        max((run.date[:10] for run in runs), default=""),
    )


def all_runs(board: Leaderboard) -> Iterator[ScoredRun]:
    """Yield every run of a leaderboard, the ranked and the older ones."""
    for each in board.boards:
        yield from (row.run for row in each.rows)
        yield from each.older


def board_index(site: SiteView) -> list[dict[str, Any]]:
    """Return what the page of comparisons offers: boards and their runs by rank."""
    return [
        {
            "id": view.file,
            "title": shown(view.board.title),
            "simulated": view.board.simulated,
            "runs": [
                {
                    "id": site.run_files[row.run.id],
                    "model": shown(row.run.model, LONGEST_SHOWN),
                    "layer": " ".join([shown(row.run.layer, LONGEST_SHOWN), view.notes[row.run.id]]).strip(),
                    "rank": row.rank,
                    "page": site.models[row.run.model].file,
                }
                for row in view.board.rows
            ],
        }
        for view in site.boards
    ]


def _model(models: dict[str, ModelView], name: str) -> ModelView:
    return models.setdefault(name, ModelView(name, file_stem(name)))


def _board_view(board: Board, file: str) -> BoardView:
    first: Any = board.rows[0].run.document if board.rows else {}
    ends = [value for row in board.rows for value in (row.run.value, row.run.low, row.run.high) if math.isfinite(value)]
    metric = str(part(first, "score", "metric") or "predictivity")
    low = min(0.0, math.floor(10 * min(ends, default=0.0)) / 10)
    return BoardView(
        board,
        file,
        region=shown(board.settings.get("region") or (board.rows[0].run.region if board.rows else ""), 40),
        metric=_METRICS.get(metric, shown(metric, 40)),
        images=_whole(number(first, "score", "n_stimuli")),
        neuroids=_whole(number(first, "score", "n_neuroids")),
        low=low,
        high=max(low + 0.1, math.ceil(10 * max(ends, default=0.0)) / 10),
        citation=_citation(board, first),
        notes=_notes(board),
    )


def _notes(board: Board) -> dict[str, str]:
    """Return what names of runs say beyond model and layer."""
    runs = [row.run for row in board.rows]
    named = {run.id: f"{run.model} {run.layer}" for run in runs}
    return {
        key: shown(name.removeprefix(named[key]).strip(), LONGEST_SHOWN) if name.startswith(named[key] + " ") else ""
        for key, name in names_of(runs).items()
    }


def _citation(board: Board, document: Any) -> str:
    """Return BibTeX of a board's dataset, of its benchmark and of neurofit."""
    said = board.settings
    dataset = part(document, "dataset", "name") or said.get("dataset") or board.benchmark
    licence = part(document, "dataset", "licence") or said.get("licence") or "not stated"
    version = part(document, "benchmark", "version") or "not stated"
    entries = [
        bibtex_entry(
            "misc",
            f"dataset-{dataset}",
            title=f"Dataset {dataset}",
            note=part(document, "dataset", "citation") or said.get("citation"),
            howpublished=f"Licence: {licence}",
        ),
        bibtex_entry(
            "misc",
            f"benchmark-{board.benchmark}",
            title=part(document, "benchmark", "title") or board.title,
            note=f"neurofit benchmark {board.benchmark}, version {version}",
        ),
        bibtex_entry(
            "software",
            "neurofit",
            title="neurofit: neural-predictivity benchmarking of recurrent networks against primate V4 and IT",
            author="the neurofit developers",
            version=neurofit.__version__,
            license="BSD-3-Clause",
        ),
    ]
    return "\n\n".join(entries)


def _whole(value: int | float | None) -> int | None:
    return None if value is None else int(value)


def _without_folder(reason: str, board: Leaderboard) -> str:
    """Return a reason without the folder of the records: where that is, readers of a published site need not know."""
    for folder in {str(board.folder), str(board.folder.resolve())}:
        if len(folder) > 1:
            reason = reason.replace(f"{folder}/", "").replace(folder, "the folder")
    return shown(reason, 600)
