"""Medians of many columns over the same draws with replacement, without drawing the values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
#: Columns times draws that are worked on at once: their counts stay in a core's cache.
BLOCK = 2**17


def draw_counts(
    n: int, n_draws: int = 1000, random_state: int | np.random.Generator = 0
) -> npt.NDArray[np.unsignedinteger]:
    """Return how often each of n things is drawn when n are drawn with replacement.

    Parameters
    ----------
    n : int
    n_draws : int
        B; 1,000 as in `neurofit.kernel.resampling.bootstrap_interval`.
    random_state : int or numpy Generator

    Returns
    -------
    ndarray of unsigned int (n, B)
        Every column sums to n.
    """
    rng = np.random.default_rng(random_state)
    counts = np.zeros((n, n_draws), np.min_scalar_type(2 * n + 1))
    for b in range(n_draws):
        counts[:, b] = np.bincount(rng.integers(0, n, n), minlength=n)
    return counts


def medians_of_draws(values: npt.NDArray[np.floating], counts: npt.NDArray[np.unsignedinteger]) -> Array:
    """Return the median of every column in every draw, over the drawn values that are finite.

    A column is sorted once. In a draw, the median is where the sum of the counts, in the column's order, passes half of
    all: additions of small integers, instead of a partition of drawn values for every draw.

    Parameters
    ----------
    values : array (q, C)
        NaN where there is no value.
    counts : array of unsigned int (q, B)
        See `draw_counts`.

    Returns
    -------
    ndarray (C, B)
        NaN where no finite value was drawn; otherwise `numpy.nanmedian` of the drawn values.
    """
    values = np.asarray(values, np.float64)
    finite = np.isfinite(values)
    order = np.argsort(np.where(finite, values, np.inf), axis=0, kind="stable")
    ordered = np.take_along_axis(np.where(finite, values, np.nan), order, axis=0)
    medians = np.empty((values.shape[1], counts.shape[1]))
    step = max(1, BLOCK // max(1, counts.shape[1]))
    for first in range(0, values.shape[1], step):
        part = slice(first, first + step)
        medians[part] = _medians(ordered[:, part], order[:, part], finite[:, part], counts)
    return medians


def _medians(ordered: Array, order: np.ndarray, finite: np.ndarray, counts: np.ndarray) -> Array:
    """Return the medians (C, B) of sorted columns (q, C)."""
    kind = counts.dtype
    total = (finite.T.astype(np.float32) @ counts.astype(np.float32)).astype(kind)  # (C, B), exact below 2**24
    nothing = total == 0
    lower, upper = (np.maximum(total, 1) - 1) // 2, total // 2
    so_far, taken = np.zeros_like(total), np.empty_like(total)
    below, above = np.zeros_like(total), np.zeros_like(total)
    passed = np.empty(total.shape, bool)
    for k in range(int(finite.sum(0).max(initial=0))):
        np.take(counts, order[k], axis=0, out=taken)
        so_far += taken
        for target, position in ((lower, below), (upper, above)):
            np.less_equal(so_far, target, out=passed)
            position += passed
    columns = np.arange(ordered.shape[1])[:, None]
    last = len(ordered) - 1  # of draws without a value, whose position is past the end
    found = (ordered[np.minimum(below, last), columns] + ordered[np.minimum(above, last), columns]) / 2
    return np.where(nothing, np.nan, found)
