"""Spikes counted in time bins, exactly: every comparison is between whole microseconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

MICROSECONDS_PER_S = 1_000_000
MICROSECONDS_PER_MS = 1000
LAST_S = 2**53 / MICROSECONDS_PER_S  # later microseconds are not whole numbers in float64; 285 years


class SpikeCounts(NamedTuple):
    """Counts, and the spikes that they leave out.

    Parameters
    ----------
    counts : array of int64 (presentations, neuroids, T bins)
    outside : array of int64 (neuroids,)
        Spikes that lie in no bin of any presentation.
    """

    counts: np.ndarray
    outside: np.ndarray


def whole_microseconds(times_s: np.ndarray) -> np.ndarray:
    """Return times in seconds as the nearest whole microseconds (int64; halves go to the even one).

    A time that a file holds as float64 is less than half a microsecond from what was meant, so that 0.1 + 0.2 s and
    0.3 s are the same time. Samples of 30 kHz are 33 us apart: no two of them become one.

    Raises
    ------
    ValueError
        If a time is not finite, or is later than `LAST_S`.
    """
    times = np.asarray(times_s, np.float64)
    bad = ~(np.abs(times) < LAST_S)  # NaN as well
    if bad.any():
        raise ValueError(f"{int(bad.sum())} of {times.size} times are not numbers below {LAST_S:.3g} s")
    return np.rint(times * MICROSECONDS_PER_S).astype(np.int64)


def count_spikes(spike_times: Sequence[np.ndarray], onsets: np.ndarray, time_bins: np.ndarray) -> SpikeCounts:
    """Count spikes in half-open bins from the onset of every presentation.

    A spike at s is in the bin [start, end) of a presentation at t if t + start <= s < t + end, all in whole
    microseconds. Bins that follow on each other therefore lose no spike and count none twice; where presentations or
    bins overlap, a spike is in each of them.

    Parameters
    ----------
    spike_times : sequence of array (spikes,)
        Seconds, one array per neuroid, in any order.
    onsets : array (presentations,)
        Seconds.
    time_bins : array of int (T, 2)
        Start and end in ms from onset.

    Returns
    -------
    SpikeCounts

    Raises
    ------
    ValueError
        If a time is not finite, or is later than `LAST_S`.
    """
    bins = np.asarray(time_bins, np.int64).reshape(-1, 2) * MICROSECONDS_PER_MS
    edges = whole_microseconds(onsets)[:, None, None] + bins  # (presentations, T, 2)
    starts, ends = _merged(edges.reshape(-1, 2))
    counts = np.empty((edges.shape[0], len(spike_times), edges.shape[1]), np.int64)
    outside = np.empty(len(spike_times), np.int64)
    for j, times in enumerate(spike_times):
        spikes = np.sort(whole_microseconds(times))
        before = np.searchsorted(spikes, edges)  # how many spikes are earlier than each edge
        counts[:, j] = before[..., 1] - before[..., 0]
        outside[j] = len(spikes) - (np.searchsorted(spikes, ends) - np.searchsorted(spikes, starts)).sum()
    return SpikeCounts(counts, outside)


def _merged(intervals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the starts and the ends of the intervals' union."""
    if not len(intervals):
        return intervals[:, 0], intervals[:, 1]
    ordered = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reached = np.maximum.accumulate(ordered[:, 1])
    first = np.concatenate([[True], ordered[1:, 0] > reached[:-1]])
    last = np.concatenate([first[1:], [True]])
    return ordered[first, 0], reached[last]
