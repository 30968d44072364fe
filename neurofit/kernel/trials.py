"""Trials of the same stimulus, wherever a recording holds them, and the means of all their halves.

Letters: P presentations, n stimuli, R trials per stimulus, H halvings, C columns (neuroids x time bins).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neurofit.errors import ReliabilityError, listed

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

#: Values of a working array: it stays in the processor's cache (2 MiB of float64).
BLOCK_VALUES = 2**18


class TrialGroup(NamedTuple):
    """Stimuli with the same number of trials."""

    stimuli: Rows  # (g,)
    rows: Rows  # (g, R) their presentations


class Trials:
    """`values[rows]`, some stimuli at a time: without a copy where the presentations lie in regular order."""

    def __init__(self, values: npt.NDArray[Any], rows: Rows) -> None:
        self._values, self._rows = values, rows
        self._view: npt.NDArray[Any] | None = None
        (n, n_trials), rest = rows.shape, values.shape[1:]
        if rows.size == len(values) and (rows.ravel() == np.arange(rows.size)).all():
            self._view = values.reshape(n, n_trials, *rest)
        elif rows.size == len(values) and (rows.T.ravel() == np.arange(rows.size)).all():
            self._view = values.reshape(n_trials, n, *rest).swapaxes(0, 1)

    def __getitem__(self, stimuli: slice) -> npt.NDArray[Any]:
        """Return values (g, R, ...) of some stimuli."""
        return self._values[self._rows[stimuli]] if self._view is None else self._view[stimuli]


def half_means_of_all(
    values: npt.NDArray[np.floating], stimulus_index: npt.ArrayLike, n_stimuli: int, halvings: npt.ArrayLike
) -> Array:
    """Average the halves of all halvings: `half_means` of each, in one pass over the values.

    Parameters
    ----------
    values : array (P, ...)
        Finite: a NaN would spread to both halves.
    stimulus_index : array of int (P,)
        0 to n_stimuli - 1.
    n_stimuli : int
    halvings : array of bool (H, P)

    Returns
    -------
    ndarray (H, 2, n, ...)
        float64; reshaped to (2 H, n, ...) the two halves of a halving lie next to each other.

    Raises
    ------
    ReliabilityError
        If a half has no presentation of a stimulus, or shapes do not fit.
    """
    values, index, masks = checked(values, stimulus_index, halvings)
    absent = np.setdiff1d(np.arange(n_stimuli), index)
    if len(absent) or index.max() >= n_stimuli:
        raise ReliabilityError(
            f"the presentations are of the stimuli 0 to {n_stimuli - 1}",
            f"{len(absent)} of them have none ({listed(absent)}), the largest index is {index.max()}",
            "number the stimuli that were shown",
        )
    groups = trial_groups(index)
    check_halves(groups, masks)
    result = np.empty((len(masks), 2, n_stimuli, *values.shape[1:]))
    for flat, part in flattened(values, result):
        by_stimulus = part.reshape(2 * len(masks), n_stimuli, -1).swapaxes(0, 1)  # a view
        for group in groups:
            trials, n_trials = Trials(flat, group.rows), group.rows.shape[1]
            for block in blocks_of(len(group.rows), 2 * len(masks) * flat.shape[1]):
                first = masks[:, group.rows[block]].swapaxes(0, 1)  # (g, H, R)
                halves = np.stack([first, ~first], axis=2).reshape(len(first), -1, n_trials)
                weights = halves / halves.sum(axis=2, keepdims=True)
                by_stimulus[group.stimuli[block]] = weights @ trials[block].astype(np.float64, copy=False)
    return result


def presentations_of(padded: npt.NDArray[np.floating]) -> tuple[npt.NDArray[np.floating], Rows, Rows]:
    """Turn responses padded with NaN to the same number of trials into presentations.

    Parameters
    ----------
    padded : array (n, R, ...)
        Trials that are NaN throughout are padding, wherever they stand.

    Returns
    -------
    values : ndarray (P, ...)
        A view where there is no padding.
    stimulus_index, repetition : ndarray of int (P,)
        Axes 0 and 1 of the padded array.
    """
    n, n_trials = padded.shape[:2]
    flat = padded.reshape(n * n_trials, *padded.shape[2:])
    kept = np.ones(len(flat), bool)
    suspects = np.flatnonzero(np.isnan(flat.reshape(len(flat), -1)[:, 0]))  # most trials need one look
    for suspect in suspects:
        kept[suspect] = not np.isnan(flat[suspect]).all()
    present = np.flatnonzero(kept)
    stimulus, repetition = np.divmod(present, n_trials)
    return (flat if kept.all() else flat[present]), stimulus.astype(np.intp), repetition.astype(np.intp)


def checked(
    values: npt.NDArray[np.floating], stimulus_index: npt.ArrayLike, halvings: npt.ArrayLike
) -> tuple[npt.NDArray[np.floating], Rows, Mask]:
    """Return values (P, ...), stimulus indices (P,) and halvings (H, P) as arrays, or raise."""
    values, index, masks = np.asarray(values), np.asarray(stimulus_index), np.asarray(halvings)
    if masks.dtype != bool or masks.ndim != 2 or not len(values) == len(index) == masks.shape[1] > 0:
        raise ReliabilityError(
            "halvings are boolean (halvings, presentations), with one stimulus index per presentation",
            f"values have the shape {values.shape}, indices {index.shape}, halvings {masks.shape} of {masks.dtype}",
            "stack the masks of 'halve' or 'halvings_by_repetition'",
        )
    return values, index.astype(np.intp), masks


def trial_groups(index: Rows) -> list[TrialGroup]:
    """Stimuli by their number of trials, with their presentations in the order given."""
    order = np.argsort(index, kind="stable")
    counts = np.bincount(index)
    starts = np.cumsum(counts) - counts
    groups = []
    for count in np.unique(counts[counts > 0]):
        stimuli = np.flatnonzero(counts == count)
        groups.append(TrialGroup(stimuli, order[starts[stimuli, None] + np.arange(count)]))
    return groups


def check_halves(groups: list[TrialGroup], masks: Mask) -> None:
    """Raise unless both halves of all halvings have a presentation of every stimulus."""
    for group in groups:
        size = masks[:, group.rows].sum(axis=2)
        empty = (size == 0) | (size == group.rows.shape[1])
        if empty.any():
            halving, at = np.argwhere(empty)[0]
            raise ReliabilityError(
                "both halves have a presentation of every stimulus",
                f"{int(empty.any(axis=0).sum())} stimuli with {group.rows.shape[1]} presentations have none in a half, "
                f"the first is number {group.stimuli[at]} in halving {halving}",
                "leave out stimuli with fewer repetitions, or halve each stimulus' own (scheme 'per-stimulus')",
            )


def flattened(values: npt.NDArray[np.floating], result: Array) -> Iterator[tuple[npt.NDArray[np.floating], Array]]:
    """Values (P, C) and the matching part of a result (..., C), both without a copy."""
    lead = result.ndim - values.ndim + 1
    if values.ndim < 3 or values.flags.c_contiguous:
        yield values.reshape(len(values), -1), result.reshape(*result.shape[:lead], -1)
        return
    for t in range(values.shape[-1]):  # one time bin after the other, wherever it lies
        yield from flattened(values[..., t], result[..., t])


def blocks_of(n: int, values_each: int) -> Iterator[slice]:
    """Slices of n stimuli with about BLOCK_VALUES values each."""
    size = max(1, BLOCK_VALUES // values_each)
    return (slice(start, start + size) for start in range(0, n, size))
