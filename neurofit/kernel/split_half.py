"""Split-half correlations of all halvings, neuroids and time bins at once.

`split_half_correlations` takes one of three routes, which it decides from the masks and the values:

1. *Trial covariance*: no trial is missing and every halving divides the trials of all stimuli alike (halvings of
   repetition ordinals, as Brain-Score's). Then one R x R covariance of the trials over the stimuli holds all that
   halvings can ask for: with a half's mask h, the halves' (co)variances are h'Ch, h'C(1-h) and (1-h)'C(1-h).
   Taken where it costs less than the second.
2. *Weighted halves*: no trial is missing, but numbers of trials or halves differ between stimuli. Stimuli stream by;
   one matrix product per stimulus averages its trials for all halvings, and five moments are summed.
3. *Counted halves*: as 2 for the neuroids that lack single trials, whose numbers are counted in each half.

Everything is accumulated in float64 after subtracting a value near the mean, so that neither a large mean nor float32
input costs digits: r is that of the plain loop over halvings (`half_means` and `pearson`) to 1e-12, and to 1e-9 where
the mean is a million times the spread (less over two or three stimuli that hardly differ).

Letters: P presentations, n stimuli, R trials per stimulus, H halvings, C columns (neuroids x time bins).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from neurofit.errors import ReliabilityError
from neurofit.kernel.correlation import CONSTANT
from neurofit.kernel.trials import (
    BLOCK_VALUES,
    Array,
    Mask,
    Rows,
    TrialGroup,
    Trials,
    blocks_of,
    check_halves,
    checked,
    flattened,
    trial_groups,
)

#: Columns at a time where all halvings' means of some stimuli are formed.
COLUMNS = 128
#: Presentations whose mean is subtracted before anything is squared. Any value inside the data's range would do.
SAMPLED = 2048
#: Sums of squares that are smaller than this part of what they were computed from are rounding.
ROUNDING = 1e-13
#: Work of the second route per halving and value besides the matrix product, in multiplications.
MOMENTS_COST = 32


class _Moments(NamedTuple):
    """Sums over stimuli for each halving and column, and what tells them from rounding."""

    one: Array  # (H, C) centred sum of squares of the first half's means
    two: Array
    product: Array
    scale_one: Array  # (H, C) sums of squares that `one` was computed from
    scale_two: Array
    n: npt.NDArray[np.floating]  # (H, C) or () stimuli
    magnitude_one: Array  # (H, C) of the values before anything was subtracted
    magnitude_two: Array

    def correlations(self) -> Array:
        """Pearson's r (H, C); NaN where a half's means do not vary."""
        flat = (self.one <= ROUNDING * self.scale_one) | (self.two <= ROUNDING * self.scale_two)
        flat |= np.sqrt(np.maximum(self.one, 0.0)) <= CONSTANT * np.sqrt(self.n) * self.magnitude_one
        flat |= np.sqrt(np.maximum(self.two, 0.0)) <= CONSTANT * np.sqrt(self.n) * self.magnitude_two
        norms = np.sqrt(np.where(flat, 1.0, self.one)) * np.sqrt(np.where(flat, 1.0, self.two))
        return np.where(flat, np.nan, np.clip(self.product / norms, -1.0, 1.0))


class _SameTrials(NamedTuple):
    """Trials that every halving divides alike for all stimuli."""

    rows: Rows  # (n, R) presentations
    halves: Mask  # (H, R)


def split_half_correlations(
    values: npt.NDArray[np.floating], stimulus_index: npt.ArrayLike, halvings: npt.ArrayLike
) -> Array:
    """Return Pearson's r over stimuli of the two halves' means, for every halving.

    Parameters
    ----------
    values : array (P, ...)
        Responses, neuroids and time bins on the trailing axes. NaN is a missing trial of that neuroid and bin alone;
        a stimulus of which a half then has no trial left is left out for that neuroid, bin and halving.
    stimulus_index : array of int (P,)
        Which stimulus each presentation showed; numbers of presentations may differ.
    halvings : array of bool (H, P)
        The first halves, drawn by `halve` or `halvings_by_repetition`.

    Returns
    -------
    ndarray (H, ...)
        NaN where a half's means do not vary over stimuli.

    Raises
    ------
    ReliabilityError
        If a half has no presentation of a stimulus, a response is infinite, or shapes do not fit.
    """
    values, index, masks = checked(values, stimulus_index, halvings)
    groups = trial_groups(index)
    same = _same_trials(groups, masks)
    if same is None or (same.halves.any(axis=1) == same.halves.all(axis=1)).any():
        check_halves(groups, masks)
    result = np.empty((len(masks), *values.shape[1:]))
    for flat, part in flattened(values, result):
        width = flat.shape[1] if same is None else max(8, BLOCK_VALUES // (2 * same.halves.shape[1] ** 2))
        for start in range(0, flat.shape[1], width):
            columns, found = flat[:, start : start + width], part[:, start : start + width]
            if same is None:
                moments = _by_weighted_halves(columns, groups, masks)
            else:
                moments = _by_trial_covariance(columns, same)
            found[:] = moments.correlations()
            lacking = np.flatnonzero(~np.isfinite(moments.scale_one).all(axis=0))
            for first in range(0, len(lacking), COLUMNS):
                some = lacking[first : first + COLUMNS]
                found[:, some] = _by_counted_halves(columns[:, some], groups, masks).correlations()
    return result


def _same_trials(groups: list[TrialGroup], masks: Mask) -> _SameTrials | None:
    """Order the presentations so that all halvings treat their columns alike, where the first route is worth it."""
    rows = groups[0].rows
    n_trials = rows.shape[1]
    if len(groups) > 1 or n_trials**2 > len(masks) * (2 * n_trials + MOMENTS_COST):
        return None
    # presentations in the same halves have the same key, others the same with a probability of about 1e-15
    keys = np.zeros(masks.shape[1])
    for mask, key in zip(masks, np.random.default_rng(0).random(len(masks)), strict=True):
        keys += key * mask
    if (keys[rows] != keys[rows[0]]).any():
        rows = np.take_along_axis(rows, np.argsort(keys[rows], axis=1, kind="stable"), axis=1)
        if (keys[rows] != keys[rows[0]]).any():
            return None
    return _SameTrials(rows, masks[:, rows[0]])


def _location(sample: npt.NDArray[np.floating]) -> tuple[Array, Array]:
    """Value to subtract (..., C) from float64 samples (m, ..., C), and the power of two to divide by (C,)."""
    sample = sample.astype(np.float64)
    shift = sample.mean(axis=0)
    spread = np.abs(sample - shift).reshape(-1, sample.shape[-1]).max(axis=0)
    usual = (spread == 0) | ((spread > 1e-100) & (spread < 1e100)) | ~np.isfinite(spread)
    return shift, np.where(usual, 1.0, 2.0 ** np.frexp(np.where(usual, 1.0, spread))[1])


@np.errstate(invalid="ignore", over="ignore")  # of columns with NaN, which `_by_counted_halves` then does
def _by_trial_covariance(values: npt.NDArray[np.floating], same: _SameTrials) -> _Moments:
    """First route, for some columns."""
    n, n_trials = same.rows.shape
    width = values.shape[1]
    shift, unit = _location(values[same.rows[:: 1 + n * n_trials // SAMPLED]])
    shift, unit = shift.T, unit[:, None]
    usual = bool((unit == 1).all())
    size = max(8, 2 * BLOCK_VALUES // (width * n_trials))
    trials, space, ones = Trials(values, same.rows), np.empty((size, width, n_trials)), np.ones(size)
    squares, sums = np.zeros((width, n_trials, n_trials)), np.zeros((width, n_trials))
    for start in range(0, n, size):
        block = trials[start : start + size].swapaxes(1, 2)
        trial = np.subtract(block, shift, out=space[: len(block)])
        if not usual:
            trial /= unit
        squares += trial.transpose(1, 2, 0) @ trial.swapaxes(0, 1)
        sums += (ones[: len(block)] @ trial.reshape(len(block), -1)).reshape(sums.shape)
    covariance = squares - sums[:, :, None] * (sums[:, None, :] / n)
    power, magnitude = np.einsum("crr->rc", squares), np.abs(shift / unit + sums / n).T
    one = same.halves / same.halves.sum(axis=1, keepdims=True)
    two = ~same.halves / (~same.halves).sum(axis=1, keepdims=True)
    with_one = one @ covariance  # (C, H, R)
    return _Moments(
        one=np.einsum("chr,hr->hc", with_one, one),
        two=np.einsum("chr,hr->hc", two @ covariance, two),
        product=np.einsum("chr,hr->hc", with_one, two),
        scale_one=one @ power,
        scale_two=two @ power,
        n=np.asarray(float(n)),
        magnitude_one=one @ magnitude,
        magnitude_two=two @ magnitude,
    )


@np.errstate(invalid="ignore", over="ignore")
def _by_weighted_halves(values: npt.NDArray[np.floating], groups: list[TrialGroup], masks: Mask) -> _Moments:
    """Second route.

    With a stimulus' mean m over all its trials, the halves' means are m + e and m - w e, where w = k1 / k2 is the
    ratio of their trials: one product yields e of all halvings.
    """
    n_halvings, width = len(masks), values.shape[1]
    n = sum(len(group.rows) for group in groups)
    shift, unit = _location(values[:: 1 + len(values) // SAMPLED])
    # sums over stimuli of e, w e; of m e, w m e; of e^2, w e^2, w^2 e^2; of m; of m^2
    e, me, ee = (np.zeros((n_halvings, powers, width)) for powers in (2, 2, 3))
    m, mm = np.zeros(width), np.zeros(width)
    balanced = all((2 * masks[:, group.rows].sum(axis=2) == group.rows.shape[1]).all() for group in groups)
    chunks = [slice(start, min(start + COLUMNS, width)) for start in range(0, width, COLUMNS)]
    each = n_halvings * min(width, COLUMNS)
    space = np.empty((2, BLOCK_VALUES + each))  # new arrays would cost more than what is done with them
    for group in groups:
        n_trials = group.rows.shape[1]
        trials = [Trials(values[:, chunk], group.rows) for chunk in chunks]
        for block in blocks_of(len(group.rows), max(each, n_trials * min(width, COLUMNS))):
            first = masks[:, group.rows[block]]  # (H, g, R)
            size = first.sum(axis=2, keepdims=True)
            weights = (first / size - 1.0 / n_trials).swapaxes(0, 1)
            ratio = (size / (n_trials - size)).swapaxes(1, 2)  # (H, 1, g)
            w = np.ones((1, 1, ratio.shape[2])) if balanced else np.concatenate([ratio**0, ratio, ratio**2], axis=1)
            for chunk, part in zip(chunks, trials, strict=True):
                trial = np.subtract(part[block], shift[chunk], dtype=np.float64)
                trial /= unit[chunk]
                mean = trial.mean(axis=1)
                shape = (n_halvings, *mean.shape)
                deviation, product = (one[: np.prod(shape)].reshape(shape) for one in space)
                np.matmul(weights, trial, out=deviation.swapaxes(0, 1))
                e[..., chunk] += w[:, :2] @ deviation
                me[..., chunk] += w[:, :2] @ np.multiply(deviation, mean, out=product)
                ee[..., chunk] += w @ np.multiply(deviation, deviation, out=product)
                m[chunk] += mean.sum(axis=0)
                mm[chunk] += np.einsum("gc,gc->c", mean, mean)
    one, two = m + e[:, 0], m - e[:, 1]
    magnitude = np.broadcast_to(np.abs(shift / unit + m / n), one.shape)
    return _Moments(
        one=mm + 2 * me[:, 0] + ee[:, 0] - one * (one / n),
        two=mm - 2 * me[:, 1] + ee[:, 2] - two * (two / n),
        product=mm + me[:, 0] - me[:, 1] - ee[:, 1] - one * (two / n),
        scale_one=mm + ee[:, 0],
        scale_two=mm + ee[:, 2],
        n=np.asarray(float(n)),
        magnitude_one=magnitude,
        magnitude_two=magnitude,
    )


def _by_counted_halves(values: npt.NDArray[np.floating], groups: list[TrialGroup], masks: Mask) -> _Moments:
    """Third route, for columns in which trials are missing."""
    infinite = np.isinf(values)
    if infinite.any():
        raise ReliabilityError(
            "responses are finite, or NaN where a trial is missing",
            f"{int(infinite.sum())} are infinite, the first in presentation {np.argwhere(infinite)[0][0]}",
            "leave out those presentations or neuroids",
        )
    present = ~np.isnan(values)
    count = np.maximum(present.sum(axis=0), 1)
    shift = np.where(present, values, 0.0).sum(axis=0, dtype=np.float64) / count
    n_halvings, width = len(masks), values.shape[1]
    n, one, two, oo, tt, ot = np.zeros((6, n_halvings, width))
    for group in groups:
        for block in blocks_of(len(group.rows), max(n_halvings, group.rows.shape[1]) * width):
            rows = group.rows[block]
            there = present[rows]
            trial = np.where(there, np.subtract(values[rows], shift, dtype=np.float64), 0.0)
            first = masks[:, rows].swapaxes(0, 1).astype(np.float64)  # (g, H, R)
            k_one = first @ there.astype(np.float64)
            k_two = there.sum(axis=1)[:, None] - k_one
            total = first @ trial
            rest = (1.0 - first) @ trial
            valid = (k_one > 0) & (k_two > 0)
            a = np.where(valid, total / np.maximum(k_one, 1.0), 0.0)
            b = np.where(valid, rest / np.maximum(k_two, 1.0), 0.0)
            n += valid.sum(axis=0)
            one += a.sum(axis=0)
            two += b.sum(axis=0)
            oo += np.einsum("ghc,ghc->hc", a, a)
            tt += np.einsum("ghc,ghc->hc", b, b)
            ot += np.einsum("ghc,ghc->hc", a, b)
    some = np.maximum(n, 1.0)
    magnitude = np.broadcast_to(np.abs(shift), n.shape)
    return _Moments(
        one=oo - one * (one / some),
        two=tt - two * (two / some),
        product=ot - one * (two / some),
        scale_one=oo,
        scale_two=tt,
        n=n,
        magnitude_one=magnitude,
        magnitude_two=magnitude,
    )
