"""A sweep: what is not finished is scored, here or on a cluster, and kept as soon as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pandas as pd

from neurofit.sweeps.cells import Cell, cells_of
from neurofit.sweeps.results import COMPLETE, FAILED, SweepFolder
from neurofit.sweeps.specification import SweepSpec
from neurofit.sweeps.work import Outcome, score_cell


class Engine(Protocol):
    """What scores cells."""

    def outcomes(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """Yield cells with what became of them, in any order."""
        ...


@dataclass(frozen=True)
class InProcess:
    """Scores one cell after the other in this process.

    Parameters
    ----------
    progress : bool
        Whether to draw bars for each on standard error.
    """

    progress: bool = False

    def outcomes(self, cells: Sequence[Cell]) -> Iterator[tuple[Cell, Outcome]]:
        """Yield cells with what became of them, those that share data and models together."""
        for cell in sorted(cells, key=lambda cell: cell.place):
            yield cell, score_cell(cell, progress=self.progress)


@dataclass(frozen=True)
class SweepResult:
    """What a sweep came to.

    Parameters
    ----------
    table : pandas.DataFrame
        A row a cell; see `SweepFolder.table`.
    path : Path
        Of the table.
    scored : int
        Cells that were scored this time.
    found : int
        Cells that were finished before.
    """

    table: pd.DataFrame
    path: Path
    scored: int
    found: int

    @property
    def failed(self) -> pd.DataFrame:
        """Return the rows of cells that failed."""
        return self.table[self.table["status"] == FAILED]

    @property
    def complete(self) -> pd.DataFrame:
        """Return the rows of cells that have a record."""
        return self.table[self.table["status"] == COMPLETE]


def run_sweep(
    spec: SweepSpec | Sequence[Cell],
    out: str | Path,
    *,
    engine: Engine | None = None,
    on_outcome: Callable[[Cell, Outcome, Path], object] = lambda *_: None,
    on_start: Callable[[Sequence[Cell], Sequence[Cell]], object] = lambda *_: None,
) -> SweepResult:
    """Score what of a sweep has no record yet, and tabulate all of it.

    Every record is written when its cell is done, so an interruption, a kill or a full disk loses the cells in flight
    alone, and the same call goes on. Cells that failed are tried again.

    Parameters
    ----------
    spec : SweepSpec or sequence of Cell
    out : path
        Folder of the sweep: `records/`, `failures/` and `sweep.csv`.
    engine : Engine, optional
        `InProcess` by default; `neurofit.sweeps.cluster.DaskEngine` for others.
    on_outcome : callable
        Called with every cell that was tried, its outcome and the file that tells it.
    on_start : callable
        Called with all cells and those that are to be scored.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    NeurofitError
        If the sweep names no benchmark, or the engine is lost; what fails in a cell is in the table.
    """
    cells = cells_of(spec) if isinstance(spec, SweepSpec) else list(spec)
    folder = SweepFolder(Path(out))
    folder.make()
    open_cells = [cell for cell in distinct(cells) if not folder.is_finished(cell)]
    on_start(cells, open_cells)
    scored = 0
    if open_cells:
        for cell, outcome in (engine or InProcess()).outcomes(open_cells):
            path = folder.keep(cell, outcome)
            scored += not outcome.failed
            on_outcome(cell, outcome, path)
    table = folder.table(cells)
    return SweepResult(table, folder.write_table(table), scored, len(cells) - len(open_cells))


def distinct(cells: Iterable[Cell]) -> list[Cell]:
    """Return cells without those that are the same under another name."""
    return list({cell.key: cell for cell in cells}.values())
