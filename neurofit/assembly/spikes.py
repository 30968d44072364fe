"""From spike times to a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurofit.assembly.build import Column, make_assembly
from neurofit.errors import AssemblyError, listed
from neurofit.kernel.spike_counts import count_spikes

SPIKES, SPIKES_OUTSIDE = "spikes", "spikes_outside"  # attributes: how many there were, and how many are in no bin


def bin_spikes(
    spike_times: Sequence[Sequence[float] | np.ndarray],
    onsets: Column,
    time_bins: Sequence[tuple[int, int]] | np.ndarray,
    *,
    stimulus_id: Column,
    neuroid_id: Column,
    subject: str | Column,
    region: str | Column,
    repetition: Column | None = None,
    presentation_coords: Mapping[str, Column] | None = None,
    neuroid_coords: Mapping[str, Column] | None = None,
    attrs: Mapping[str, Any] | None = None,
) -> xr.DataArray:
    """Count the spikes of every neuroid in the time bins of every presentation.

    Times are compared as whole microseconds, to which they are rounded first: a spike at s is in the bin [start, end)
    of a presentation at t if t + start <= s < t + end. Adjoining bins share every spike out between them; where
    presentations overlap, a spike counts in each.

    Parameters
    ----------
    spike_times : sequence of array, one per neuroid
        Seconds, in any order.
    onsets : sequence of float, one per presentation
        Seconds on the clock of the spikes.
    time_bins : sequence of (start, end)
        Half-open intervals in integer ms from onset; they may overlap.
    stimulus_id, neuroid_id, subject, region, presentation_coords, neuroid_coords
        As in `make_assembly`.
    repetition : sequence of int, optional
        Numbered from 0 for every stimulus, in the order of the onsets, if absent.
    attrs : mapping, optional

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        Spikes per bin, float32 (exact up to 16,777,216 spikes). attrs `spikes` is how many spikes there were and
        `spikes_outside` how many of them lie in no bin of any presentation.

    Raises
    ------
    AssemblyError
        If a time is not finite, a bin is empty, or lengths do not fit.
    """
    bins = np.asarray(time_bins)
    if bins.size == 0 or bins.dtype.kind not in "iu":
        raise AssemblyError(
            "time bins are pairs of integer ms",
            f"found {listed(bins.tolist(), 3) or 'none'}",
            "give (start, end) in ms",
        )
    onsets = np.asarray(onsets, np.float64)
    times = [np.asarray(one, np.float64).reshape(-1) for one in spike_times]
    for what, given, count in (("onset", onsets, len(stimulus_id)), ("array of spike times", times, len(neuroid_id))):
        if len(given) != count:
            of = "presentation" if what == "onset" else "neuroid"
            raise AssemblyError(f"every {of} has one {what}", f"found {len(given)} for {count}", "give as many")
    try:
        counted = count_spikes(times, onsets, bins)
    except ValueError as error:
        raise AssemblyError("spikes and onsets have times in s", str(error), "leave out what has no time") from error
    numbered = number_showings(stimulus_id, onsets) if repetition is None else repetition
    totals = {SPIKES: sum(map(len, times)), SPIKES_OUTSIDE: int(counted.outside.sum())}
    return make_assembly(
        counted.counts.astype(np.float32),
        stimulus_id=stimulus_id,
        repetition=numbered,
        neuroid_id=neuroid_id,
        subject=subject,
        region=region,
        time_bins=bins,
        presentation_coords=presentation_coords,
        neuroid_coords=neuroid_coords,
        attrs=totals | dict(attrs or {}),
    )


def number_showings(stimulus_id: Column, onsets: Column) -> np.ndarray:
    """Number the showings of each stimulus from 0, in the order of their onsets; (presentations,) int64."""
    names = np.unique(np.asarray([str(s) for s in stimulus_id]), return_inverse=True)[1]
    order = np.lexsort((np.asarray(onsets), names))  # by stimulus, then by onset
    starts = np.concatenate([[0], np.cumsum(np.bincount(names))])[:-1] if len(names) else np.zeros(0, int)
    numbered = np.empty(len(names), np.int64)
    numbered[order] = np.arange(len(names)) - starts[names[order]]
    return numbered


__all__ = ["bin_spikes", "number_showings"]
