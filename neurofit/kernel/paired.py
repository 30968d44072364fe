"""Are two predictions of the same responses equally good? Images and neuroids drawn anew.

Letters: m held-out images, q neuroids (and time bins), B draws, T quantities that are tested together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from neurofit.kernel.correlation import CONSTANT

Array = npt.NDArray[np.float64]
TRIMMED = 0.2
"""Part of the neuroids that is left out on either side of a trimmed mean."""


class Tested(NamedTuple):
    """What draws say of T estimates.

    Attributes
    ----------
    error : ndarray (T,)
        Standard deviation over draws.
    low, high : ndarray (T,)
        Interval of each estimate on its own.
    p : ndarray (T,)
        Of each on its own; two-sided.
    p_corrected : ndarray (T,)
        That any of the T would be as far from zero, in standard errors, were all of them zero (single-step maximum).
        NaN, as p is, where the draws do not vary.
    """

    error: Array
    low: Array
    high: Array
    p: Array
    p_corrected: Array


def draw_counts(n: int, n_draws: int, random_state: int) -> Array:
    """Return how often each of n images is in each of B bootstrap samples (B, n)."""
    return np.random.default_rng(random_state).multinomial(n, np.full(n, 1 / n), size=n_draws).astype(np.float64)


def weighted_pearson(predictions: npt.ArrayLike, responses: npt.ArrayLike, weights: npt.ArrayLike) -> Array:
    """Return Pearson's r over images that count several times.

    Parameters
    ----------
    predictions, responses : array (m, q)
    weights : array (B, m), not negative
        How often each image is in each draw.

    Returns
    -------
    ndarray (B, q)
        NaN where a side does not vary over the images drawn.
    """
    w = np.asarray(weights, np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        w = w / w.sum(1, keepdims=True)
    sides = []
    for values in (predictions, responses):
        values = np.asarray(values, np.float64)
        centred = values - values.mean(0)  # the digits of a large mean would be lost in the squares
        mean = w @ centred
        spread = w @ (centred * centred) - mean * mean
        flat = spread <= (CONSTANT * np.abs(values).max(0, initial=0.0)) ** 2 + 1e-12 * (centred * centred).mean(0)
        sides.append((centred, mean, np.where(flat, np.nan, spread)))
    (one, one_mean, one_spread), (two, two_mean, two_spread) = sides
    covariance = w @ (one * two) - one_mean * two_mean
    return np.clip(covariance / np.sqrt(one_spread) / np.sqrt(two_spread), -1.0, 1.0)


def draw_neuroids(differences: Array, n_draws: int, random_state: int) -> Array:
    """Return how the centre (B, T) of differences (q, T) deviates when neuroids are drawn with replacement.

    Widened by sqrt(q / (q - 1)), since a sample varies about its own mean by less than the population does.
    """
    q = len(differences)
    rng = np.random.default_rng(random_state)
    drawn = np.stack([trimmed_mean(differences[rng.integers(0, q, q)]) for _ in range(n_draws)])
    return (drawn - nan_mean(drawn)) * np.sqrt(q / max(q - 1, 1))


def draw_images(left_out: Array, n_draws: int, random_state: int) -> Array:
    """Return draws (B, T) of how estimates deviate with the images, from those without each of K groups (K, T).

    By the delete-a-group jackknife (Kott 2001, Journal of Official Statistics 17) an estimate's variance is the sum
    of squares of the K values about their mean, times (K - 1) / K. Draws are these deviations with normal multipliers,
    over the root of a chi-squared number over its K - 1 degrees of freedom, so that they have Student's tails.
    """
    groups = len(left_out)
    rng = np.random.default_rng(random_state)
    influence = (left_out - nan_mean(left_out)) * np.sqrt((groups - 1) / groups)
    tails = np.sqrt((groups - 1) / rng.chisquare(groups - 1, n_draws))
    return (rng.standard_normal((n_draws, groups)) * tails[:, None]) @ np.nan_to_num(influence)


def against_zero(estimates: Array, deviations: Array, level: float = 0.95) -> Tested:
    """Test T estimates by how they deviate over draws (B, T)."""
    error = np.sqrt(nan_mean(deviations**2))
    known = (error > 1e-12) & np.isfinite(estimates)
    error = np.where(known, error, np.nan)
    tails = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.full((2, len(estimates)), np.nan)
    lower, upper = np.nanpercentile(np.where(known, deviations, 0.0), tails, axis=0)
    low[known], high[known] = (estimates - upper)[known], (estimates - lower)[known]
    null, size = np.nan_to_num(np.abs(deviations / error)), np.abs(estimates / error)
    p = (1 + (null >= size).sum(0)) / (len(null) + 1)
    p_corrected = (1 + (null.max(1, initial=0.0)[:, None] >= size).sum(0)) / (len(null) + 1)
    return Tested(error, low, high, np.where(known, p, np.nan), np.where(known, p_corrected, np.nan))


def rank_biserial(differences: npt.ArrayLike) -> float:
    """Return the matched-pairs rank-biserial correlation of differences (q,): Kerby (2014), simple difference formula.

    The sum of the ranks of positive differences minus that of negative ones, over the sum of both: 1 where all are
    positive, 0 where neither sign prevails; NaN where all are zero. Zeros and NaN are left out.
    """
    values = np.asarray(differences, np.float64)
    values = values[np.isfinite(values) & (values != 0)]
    if not len(values):
        return float("nan")
    ranks = rankdata(np.abs(values))
    return float((np.sign(values) * ranks).sum() / ranks.sum())


def holm(p: npt.ArrayLike) -> Array:
    """Return p values (T,) corrected by Holm's step-down procedure; NaN are not counted."""
    p = np.asarray(p, np.float64)
    corrected = np.full(p.shape, np.nan)
    tested = np.flatnonzero(np.isfinite(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return corrected


def trimmed_mean(values: Array) -> Array:
    """Return the mean over the first axis (q, ...) without the highest and lowest fifth of what is not NaN.

    A fifth is Wilcox' (2012, Introduction to Robust Estimation) recommendation: neuroids of low reliability have heavy
    tails once they are corrected, and the trimmed mean, unlike the median, is smooth enough for a jackknife.
    """
    ordered = np.sort(values, axis=0)  # NaN come last
    count = np.isfinite(ordered).sum(0)
    cut = (TRIMMED * count).astype(int)
    place = np.arange(len(ordered)).reshape(-1, *(1,) * (ordered.ndim - 1))
    inside = (place >= cut) & (place < count - cut)
    return nan_mean(np.where(inside, ordered, np.nan))


def nan_mean(values: Array, axis: int = 0) -> Array:
    """Return the mean of what is not NaN along an axis; NaN where there is nothing."""
    known = np.isfinite(values)
    count = known.sum(axis)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis) / np.maximum(count, 1), np.nan)
