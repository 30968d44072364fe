"""Representational dissimilarity matrices (RDMs), how alike two of them are, and that for resampled stimuli.

Letters: n stimuli, p units, m = n (n - 1) / 2 pairs of stimuli, T time bins, B resamples.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import squareform
from scipy.stats import kendalltau, rankdata

from neurofit.kernel.correlation import CONSTANT, pearson

Array = npt.NDArray[np.float64]
Distance = Literal["correlation", "euclidean", "half-squared"]
Comparison = Literal["spearman", "kendall", "pearson"]

#: Levels that dissimilarities are sorted into where stimuli are resampled. With them a resampled Spearman correlation
#: is within about 1e-4 of that of the dissimilarities themselves (docs/metrics.md), whose spread is some 2e-3.
LEVELS = 128
_NOWHERE = LEVELS * LEVELS


def unit_patterns(patterns: npt.NDArray[np.floating]) -> tuple[Array, npt.NDArray[np.bool_]]:
    """Centre every stimulus' pattern over the units and scale it to norm 1.

    Half the squared Euclidean distance of two such patterns is 1 - Pearson's r of the patterns. Unlike r it survives
    whatever keeps distances: centring over stimuli, and other features with the same inner products.

    Parameters
    ----------
    patterns : array (n, p)

    Returns
    -------
    unit : ndarray (n, p), float64
        Zeros where a pattern is flat.
    flat : ndarray of bool (n,)
        Whether all units have the same value (up to rounding), so that no correlation is defined.
    """
    values = np.asarray(patterns, np.float64)
    magnitude = np.abs(values).max(axis=1, initial=0.0)
    unit = values - values.mean(axis=1, keepdims=True)
    flat = np.abs(unit).max(axis=1, initial=0.0) <= CONSTANT * magnitude
    norms = np.sqrt(np.einsum("ij,ij->i", unit, unit))
    unit /= np.where(flat, 1.0, norms)[:, None]
    unit[flat] = 0.0
    return unit, flat


def dissimilarities(patterns: npt.NDArray[np.floating], distance: Distance) -> Array:
    """Return the RDM of some stimuli.

    Parameters
    ----------
    patterns : array (n, p)
    distance : {'correlation', 'euclidean', 'half-squared'}
        1 - Pearson's r over units; the Euclidean distance; or half its square, which is the first for what
        `unit_patterns` returns.

    Returns
    -------
    ndarray (n, n)
        Symmetric, zeros on the diagonal; NaN in the rows and columns of stimuli without a correlation.
    """
    if distance == "correlation":
        unit, flat = unit_patterns(patterns)
        found = 1.0 - unit @ unit.T
        found[flat] = found[:, flat] = np.nan
    else:
        centred = np.asarray(patterns, np.float64)
        centred = centred - centred.mean(axis=0)  # so that a large common part costs no digits
        squares = np.einsum("ij,ij->i", centred, centred)
        found = np.maximum((squares[:, None] + squares) / 2 - centred @ centred.T, 0.0)
        if distance == "euclidean":
            found = np.sqrt(2 * found)
    np.fill_diagonal(found, 0.0)
    return found


def pairs_of(rdm: Array) -> Array:
    """Return the dissimilarities (m,) of the pairs i < j, row after row, of a matrix (n, n)."""
    return squareform(rdm, checks=False)


def compare(x: Array, y: Array, how: Comparison) -> float:
    """Return how alike two RDMs are.

    Parameters
    ----------
    x, y : array (m,)
        Dissimilarities of the same pairs. Pairs that either lacks (NaN) are left out.
    how : {'spearman', 'kendall', 'pearson'}
        Spearman's rho (mean ranks for ties), Kendall's tau-a (ties count as neither; Nili et al. 2014 recommend it
        for models that predict ties), or Pearson's r.

    Returns
    -------
    float
        NaN where fewer than 3 pairs are left, or one RDM is constant.
    """
    both = np.isfinite(x) & np.isfinite(y)
    if not both.all():
        x, y = x[both], y[both]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    if how == "kendall":
        # SciPy's tau-b divides by the pairs that are not tied, tau-a by all
        tau_b = float(kendalltau(x, y).statistic)
        return tau_b * float(np.sqrt((1 - _tied(x)) * (1 - _tied(y))))
    if how == "spearman":
        x, y = rankdata(x), rankdata(y)
    return float(pearson(x, y))


def _tied(x: Array) -> float:
    """Share of the pairs of values that are equal."""
    counts = np.unique(x, return_counts=True)[1].astype(float)
    return float((counts * (counts - 1)).sum() / (len(x) * (len(x) - 1)))


def draw_counts(n: int, n_resamples: int, random_state: int) -> Array:
    """Return how often each of n stimuli is drawn in resamples of n with replacement, (B, n)."""
    rng = np.random.default_rng(random_state)
    return np.stack([np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(n_resamples)]).astype(float)


class ResampledRDMs:
    """Comparisons of pairs of RDMs for stimuli drawn with replacement.

    A stimulus drawn twice stands in its pairs twice. The pairs of a stimulus with its own copy are left out, as
    rsatoolbox 0.3.2 does (`RDMs.subsample_pattern`): their dissimilarity is 0 in any RDM and would only make
    all RDMs alike. Ranks are of the resampled pairs, of dissimilarities sorted into `LEVELS` levels of equal counts;
    what the levels alone change in the comparison of all stimuli is subtracted. Pearson's r has no levels.

    Parameters
    ----------
    n : int
    how : str
        See `compare`.
    """

    def __init__(self, n: int, how: Comparison) -> None:
        self.n, self.how = n, how
        self._cells: list[npt.NDArray[np.uint16]] = []
        self._pearson: list[tuple[Array, Array]] = []
        self._shift: list[float] = []
        self._later = np.concatenate([np.arange(i + 1, n) for i in range(n)]).astype(np.intp)
        self._partners = np.arange(n - 1, -1, -1)

    def add(self, x: Array, y: Array) -> None:
        """Add two RDMs (m,) that are compared."""
        both = np.isfinite(x) & np.isfinite(y)
        if self.how == "pearson":
            sides = []
            for side in (x, y):
                mean, spread = side[both].mean(), side[both].std()
                sides.append(np.where(both, (side - mean) / (spread if spread > 0 else 1.0), 0.0))
            self._pearson.append((sides[0], np.stack([sides[1], both])))
            return
        cells = np.full(len(x), _NOWHERE, np.uint16)
        cells[both] = _levels(x[both]) * LEVELS + _levels(y[both])
        self._cells.append(cells)
        exact = compare(x, y, self.how)
        self._shift.append(exact - self._of_table(self._tables(np.ones(self.n), [cells])[0]))

    def compare(self, counts: Array) -> Array:
        """Return the comparisons (B, T) for stimuli drawn so often (B, n), of all T that were added."""
        if self.how == "pearson":
            return np.stack([self._correlations(counts, *sides) for sides in self._pearson], axis=1)
        found = [[self._of_table(table) for table in self._tables(row, self._cells)] for row in counts]
        return np.clip(np.asarray(found) + self._shift, -1.0, 1.0)

    def _tables(self, counts: Array, cells: list[npt.NDArray[np.uint16]]) -> list[Array]:
        """Joint histograms (LEVELS, LEVELS) of the resampled pairs."""
        weights = np.repeat(counts, self._partners)
        weights *= counts[self._later]
        counted = (np.asarray(np.bincount(c, weights, minlength=_NOWHERE + 1), np.float64) for c in cells)
        return [table[:_NOWHERE].reshape(LEVELS, LEVELS) for table in counted]

    def _of_table(self, table: Array) -> float:
        x, y = table.sum(1), table.sum(0)
        total = x.sum()
        if total < 3:
            return np.nan
        if self.how == "kendall":
            below = np.zeros((LEVELS, LEVELS + 1))
            below[1:, 1:] = table.cumsum(0).cumsum(1)[:-1]  # pairs lower in x, and in y lower than the column
            concordant = (table * below[:, :-1]).sum()
            discordant = (table * (below[:, -1:] - below[:, 1:])).sum()
            return float((concordant - discordant) / (total * (total - 1) / 2))
        rank_x, rank_y = (np.cumsum(side) - side / 2 - total / 2 for side in (x, y))
        spread = np.sqrt((x @ rank_x**2) * (y @ rank_y**2))
        return float(rank_x @ table @ rank_y / spread) if spread > 0 else np.nan

    def _correlations(self, counts: Array, x: Array, rest: Array) -> Array:
        """Pearson's r (B,) of weighted pairs, by quadratic forms in the counts."""
        y, both = rest

        def total(values: Array) -> Array:
            return np.einsum("bi,bi->b", counts @ squareform(values), counts) / 2

        weight, sx, sy = total(both), total(x), total(y)
        with np.errstate(invalid="ignore", divide="ignore"):
            sxx, syy = total(x * x) - sx * sx / weight, total(y * y) - sy * sy / weight
            return np.clip((total(x * y) - sx * sy / weight) / np.sqrt(sxx * syy), -1.0, 1.0)


def _levels(x: Array) -> npt.NDArray[np.intp]:
    """Return the level (m,) of each value by its rank; equal values have the same."""
    ranks = rankdata(x, "max") - 1
    return np.minimum(ranks * LEVELS // max(len(x), 1), LEVELS - 1).astype(np.intp)
