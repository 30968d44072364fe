"""Leaderboards: runs that can be compared, ranked, with the uncertainty of their ranks; read, never computed again."""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.files.json_text import plain_values
from neurofit.report.leaderboard_ranks import rank_runs
from neurofit.report.leaderboard_words import board_title, settings_of, title_words
from neurofit.report.runs import VARIED, LeftOut, ScoredRun, identity, read_runs

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """One ranked run.

    Parameters
    ----------
    run : ScoredRun
    rank : int
        From 1; equal values share the better rank.
    rank_low, rank_high : int
        Best and worst rank of the bootstrap's interval.
    """

    run: ScoredRun
    rank: int
    rank_low: int
    rank_high: int


@dataclass(frozen=True)
class Board:
    """Runs that may be ranked against each other: one benchmark, version, formula, mapping, splits and data.

    Parameters
    ----------
    id : str
        Safe in a file's name, and the same in every reading.
    benchmark : str
        Its name, without '(varied)'.
    title : str
        What a heading says: benchmark's title, version, and what sets this board apart from others of its benchmark.
    simulated : bool
    settings : mapping of str to str
        What all rows share, in words: region, metric, formula, mapping, splits, halvings, window, stimuli, neuroids,
        dataset, licence, citation, hashes.
    rows : tuple of Row
        By rank.
    rank_method : str
        How the rank intervals were found, in a sentence.
    older : tuple of ScoredRun
        Earlier runs of a model and layer that was scored again; not ranked.
    """

    id: str
    benchmark: str
    title: str
    simulated: bool
    settings: Mapping[str, str]
    rows: tuple[Row, ...]
    rank_method: str
    older: tuple[ScoredRun, ...] = ()


@dataclass(frozen=True)
class Leaderboard:
    """All boards of a folder.

    Parameters
    ----------
    folder : Path
    boards : tuple of Board
        Real recordings first, then simulated ones, by name.
    left_out : tuple of LeftOut
    """

    folder: Path
    boards: tuple[Board, ...]
    left_out: tuple[LeftOut, ...]

    def chosen(
        self, *, benchmark: str | None = None, region: str | None = None, simulated: bool | None = None
    ) -> Leaderboard:
        """Return the boards of one benchmark, of one region, or of real or simulated data alone.

        Raises
        ------
        UnknownNameError
            If no board is of this benchmark or region; with the nearest names.
        ConfigurationError
            If nothing is left.
        """
        boards = self.boards
        for kind, name, of in (
            ("benchmark", benchmark, lambda board: board.benchmark),
            ("region", region, lambda board: board.rows[0].run.region),
        ):
            if name is not None and name not in (known := {of(board) for board in boards}):
                raise UnknownNameError(f"{kind} of the records in {self.folder}", name, known)
            boards = tuple(board for board in boards if name is None or of(board) == name)
        boards = tuple(board for board in boards if simulated in (None, board.simulated))
        if not boards:
            raise ConfigurationError(
                "there is a board to show",
                f"all records are of {'real recordings' if simulated else 'SIMULATED data'}",
                "choose the others",
            )
        return replace(self, boards=boards)

    def __repr__(self) -> str:
        from neurofit.report.leaderboard_text import text_of

        return text_of(self).rstrip("\n")

    def frame(self) -> pd.DataFrame:
        """Return one row per ranked run; see `neurofit.report.leaderboard_text.frame_of`."""
        from neurofit.report.leaderboard_text import frame_of

        return frame_of(self)

    def _repr_html_(self) -> str:
        from neurofit.report.leaderboard_text import html_of

        return html_of(self)


def leaderboard(folder: str | Path) -> Leaderboard:
    """Read the records of a folder and rank what can be ranked.

    Nothing is computed again: values and intervals are those of the records.

    Parameters
    ----------
    folder : path
        Searched with the folders in it for records that `neurofit score` wrote, or `make_record(...).save`.

    Returns
    -------
    Leaderboard

    Raises
    ------
    ConfigurationError
        If there is no such folder, or no record of a score in it.
    """
    runs, left_out = read_runs(folder)
    if not runs:
        first = f", such as {left_out[0].path.name}: {left_out[0].reason}" if left_out else ""
        raise ConfigurationError(
            "a leaderboard has a record of a score",
            f"{folder} has none among {len(left_out)} JSON files{first}",
            "write some with neurofit score --out",
        )
    groups: dict[str, list[ScoredRun]] = defaultdict(list)
    for run in runs:
        groups[_key(run)].append(run)
    by_benchmark: dict[str, list[str]] = defaultdict(list)
    for key, members in groups.items():
        by_benchmark[_benchmark(members[0])].append(key)
    titles = {name: groups[keys[0]][0].document["benchmark"].get("title") for name, keys in by_benchmark.items()}
    boards = []
    for name, keys in by_benchmark.items():
        apart = title_words([identity(groups[key][0].document) for key in keys])
        alone = list(titles.values()).count(titles[name]) == 1
        for key, words in zip(keys, apart, strict=True):
            boards.append(_board(groups[key], key, board_title(groups[key][0], words, alone)))
    ordered = sorted(boards, key=lambda board: (board.simulated, board.benchmark, board.title, board.id))
    return Leaderboard(Path(folder), tuple(ordered), left_out)


def _board(members: Sequence[ScoredRun], key: str, title: str) -> Board:
    """Rank the newest run of every model and layer."""
    newest: dict[str, ScoredRun] = {}
    older: list[ScoredRun] = []
    for run in sorted(members, key=lambda run: (run.when, run.id)):
        what = _what_is_scored(run)
        if what in newest:
            older.append(newest[what])
        newest[what] = run
    runs = sorted(newest.values(), key=lambda run: (-run.value, run.model, run.layer, run.id))
    ranks = rank_runs(runs)
    rows = tuple(
        Row(run, int(rank), int(low), int(high))
        for run, rank, low, high in zip(runs, ranks.rank, ranks.low, ranks.high, strict=True)
    )
    first = runs[0]
    slug = re.sub(r"[^A-Za-z0-9_.-]+", "-", _benchmark(first))[:60].strip("-.") or "x"
    return Board(
        id=f"{slug}-v{first.document['benchmark']['version']}-{key[:10]}",
        benchmark=_benchmark(first),
        title=title,
        simulated=first.simulated,
        settings=settings_of(first),
        rows=rows,
        rank_method=ranks.method,
        older=tuple(sorted(older, key=lambda run: (run.when, run.id), reverse=True)),
    )


def _benchmark(run: ScoredRun) -> str:
    return str(run.document["benchmark"]["name"]).removesuffix(VARIED)


def _key(run: ScoredRun) -> str:
    """Return a hash of all that runs of one board share."""
    return _hash(identity(run.document))


def _what_is_scored(run: ScoredRun) -> str:
    """Return a hash of what two runs share if they are of the same: model, layer, weights, how it is shown."""
    subject = run.document["subject"]
    static = {} if run.static_mode in ("", "own") else run.document["benchmark"].get("static")
    commitment = {name: value for name, value in subject.items() if name.startswith("commitment")}
    return _hash([run.model, run.layer, run.weights_sha256, run.parameters, run.static_mode, static, commitment])


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(plain_values(value), sort_keys=True).encode()).hexdigest()
