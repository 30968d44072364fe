"""How sure the ranks of runs are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from neurofit.kernel.drawn_medians import draw_counts, medians_of_draws
from neurofit.report.runs import ScoredRun
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.score import nan_mean
from neurofit.vocabulary import NEUROID_ID

N_DRAWS = 1000
"""As the intervals of scores (`neurofit.scoring.benchmark.AggregationSpec`)."""
LEVEL = 0.95
RANDOM_STATE = 0
FEWEST_NEUROIDS = 6
"""Of fewer nothing is drawn, as in `neurofit.compare`."""
_COLUMNS_AT_ONCE = 2**12


@dataclass(frozen=True)
class Ranks:
    """Ranks of R runs, from 1, and the intervals in which they lie.

    Parameters
    ----------
    rank, low, high : array of int (R,)
    method : str
        A sentence.
    """

    rank: npt.NDArray[np.int_]
    low: npt.NDArray[np.int_]
    high: npt.NDArray[np.int_]
    method: str


def rank_runs(runs: Sequence[ScoredRun]) -> Ranks:
    """Rank runs by their values, the largest first, with the 95 % interval of every rank.

    Where all records tell how each neuroid was predicted, the neuroids that all share are drawn with replacement, the
    same ones for every run, and each draw is aggregated as the papers do: per time bin the median over neuroids, and
    the mean over the bins of the headline's window. A run's draws are moved by what this differs from its headline (in
    the order of aggregation, and in rounding). Elsewhere every run is drawn by itself from the normal distribution of
    its printed interval.

    Parameters
    ----------
    runs : sequence of ScoredRun
        Comparable with each other; at least one.
    """
    values = np.array([run.value for run in runs])
    rank = rankdata(-values, "min").astype(int)
    if len(runs) == 1:
        return Ranks(rank, rank, rank, "There is one run, which is ranked against nothing.")
    everywhere = np.ones_like(rank), np.full_like(rank, len(runs))
    tables = _tables(runs)
    n = _n_drawn(runs, tables)
    if n < FEWEST_NEUROIDS:
        method = f"Rank intervals span all ranks: the runs share {n} neuroids, too few to say how sure a rank is."
        return Ranks(rank, *everywhere, method)
    if tables is None:
        draws, unknown = _normal_draws(runs, values)
        method = (
            f"Rank intervals: 95 % of {N_DRAWS:,} draws from the runs' printed intervals, as if these were normal and "
            "independent: not all records hold values per neuroid."
        )
        if unknown.any():
            method += f" Runs without an interval ({unknown.sum()}) may have any rank."
    else:
        draws, unknown = _draws_of_neuroids(tables, values), np.zeros(len(runs), bool)
        method = (
            f"Rank intervals: 95 % of {N_DRAWS:,} draws of the {n} neuroids that all runs share, drawn "
            "jointly; the images are held."
        )
    drawn = rankdata(-draws, "min", axis=0)
    tails = [50 * (1 - LEVEL), 50 * (1 + LEVEL)]
    low, high = np.percentile(drawn, tails, axis=1, method="inverted_cdf").astype(int)
    low, high = np.minimum(low, rank), np.maximum(high, rank)
    return Ranks(rank, np.where(unknown, everywhere[0], low), np.where(unknown, everywhere[1], high), method)


def _n_drawn(runs: Sequence[ScoredRun], tables: Sequence[np.ndarray] | None) -> int:
    """Return how many neuroids, or stimuli where the metric has no neuroids, intervals are drawn from."""
    if tables is not None:
        return len(tables[0])
    name = "n_neuroids" if runs[0].metric == PREDICTIVITY else "n_stimuli"
    return int(runs[0].document["score"][name])


def _tables(runs: Sequence[ScoredRun]) -> list[np.ndarray] | None:
    """Return corrected predictivity (q, bins of the window) of the neuroids that all share; None if a run has none."""
    neuroids = [run.document.get("neuroids") or {} for run in runs]
    if not all("corrected" in each for each in neuroids):
        return None
    first = neuroids[0][NEUROID_ID]
    shared = set(first).intersection(*(each[NEUROID_ID] for each in neuroids[1:]))
    tables = []
    for run, each in zip(runs, neuroids, strict=True):
        table = np.array(each["corrected"], float).reshape(len(each[NEUROID_ID]), -1)[:, _window(run)]
        if each[NEUROID_ID] != first or len(shared) < len(first):
            row = {name: i for i, name in enumerate(each[NEUROID_ID])}
            table = table[[row[name] for name in first if name in shared]]
        tables.append(table)
    return tables


def _window(run: ScoredRun) -> np.ndarray:
    """Return which time bins lie in the window of the headline."""
    score = run.document["score"]
    bins = [(row["time_bin_start"], row["time_bin_end"]) for row in run.document["time_bins"]]
    start, end = (score.get(f"window_{name}_ms") for name in ("start", "end"))
    if type(start) not in (int, float) or type(end) not in (int, float):
        return np.ones(len(bins), bool)
    return np.array([a >= start and b <= end for a, b in bins], bool)


def _draws_of_neuroids(tables: Sequence[np.ndarray], values: np.ndarray) -> np.ndarray:
    """Return the runs' values (R, B) in joint draws of neuroids; see `rank_runs`."""
    counts = draw_counts(len(tables[0]), N_DRAWS, RANDOM_STATE)
    as_they_are = np.ones((len(counts), 1), counts.dtype)
    counts = np.concatenate([as_they_are, counts], axis=1)
    draws = np.empty((len(tables), N_DRAWS))
    first = 0
    while first < len(tables):
        last, width = first + 1, tables[first].shape[1]
        while last < len(tables) and width + tables[last].shape[1] <= _COLUMNS_AT_ONCE:
            width += tables[last].shape[1]
            last += 1
        medians = medians_of_draws(np.concatenate(tables[first:last], axis=1), counts)  # (columns, 1 + B)
        ends = np.cumsum([table.shape[1] for table in tables[first:last]])
        for run, part in enumerate(np.split(medians, ends[:-1]), first):
            found = nan_mean(part, 0)
            draws[run] = found[1:] + (values[run] - found[0])
        first = last
    return np.where(np.isfinite(draws), draws, -np.inf)  # a draw without a reliable neuroid ranks last


def _normal_draws(runs: Sequence[ScoredRun], values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return normal draws (R, B) and which runs have no interval (R,)."""
    deviations = np.array([(run.high - run.low) / _width(run) for run in runs])
    unknown = ~np.isfinite(deviations)
    rng = np.random.default_rng(RANDOM_STATE)
    noise = rng.standard_normal((len(runs), N_DRAWS))
    return values[:, None] + np.where(unknown, 0.0, deviations)[:, None] * noise, unknown


def _width(run: ScoredRun) -> float:
    """Return how many standard deviations a normal interval of the benchmark's level is wide."""
    level = (run.document["benchmark"].get("aggregation") or {}).get("level")
    level = level if isinstance(level, float) and 0 < level < 1 else LEVEL
    return 2 * NormalDist().inv_cdf((1 + level) / 2)
