"""Spike rasters of neurons that were recorded one after the other: counts in time bins, and one population of all.

An assembly has the response of every neuroid in every presentation. Neurons of different sessions have no presentation
in common and were shown the stimuli unequally often, so that a *pseudo-population* is made of them: presentation
(stimulus, r) holds every neuron's own r-th trial of that stimulus. Means and the consistency of each neuron are right;
correlations between neurons within a stimulus are not those of simultaneous trials, except inside a session.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurofit.assembly.build import make_assembly
from neurofit.assembly.time_bins import make_time_bins
from neurofit.errors import AssemblyError, listed

SHOW_PROGRESS_AFTER_S = 2.0
_TIME_COLUMN = re.compile(r"time\.(-?\d+)_(-?\d+)")


class Neuron(NamedTuple):
    """The trials of one neuron.

    Parameters
    ----------
    neuroid_id, subject : str
    stimulus_id : array of str (trials,)
    counts : array (trials, T bins)
    coords : mapping of str to str
        What else is known of the neuron, the same names for all neurons.
    """

    neuroid_id: str
    subject: str
    stimulus_id: np.ndarray
    counts: np.ndarray
    coords: Mapping[str, str] = {}


def bin_counts(raster: np.ndarray, start_ms: int, width_ms: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Count the spikes of a raster in time bins that follow on each other, so that every spike is in exactly one.

    Parameters
    ----------
    raster : array of int (..., M)
        Spikes per millisecond; the first column is [start_ms, start_ms + 1).
    start_ms : int
        From stimulus onset.
    width_ms : int
        Of a bin; the M ms have to be a whole number of bins.

    Returns
    -------
    counts : ndarray of int64 (..., M / width_ms)
    time_bins : list of (start, end)
        Half-open intervals in ms.

    Raises
    ------
    AssemblyError
        If bins of that width do not fill the raster exactly: a rest would be lost.
    """
    raster = np.asarray(raster)
    bins = make_time_bins(start_ms, start_ms + raster.shape[-1], width_ms)
    return raster.reshape(*raster.shape[:-1], len(bins), width_ms).sum(axis=-1, dtype=np.int64), bins


def between(raster: np.ndarray, first_ms: int, start_ms: int, end_ms: int) -> np.ndarray:
    """Return the columns [start_ms, end_ms) of a raster (..., M) that begins at first_ms, as a view.

    Raises
    ------
    AssemblyError
        If the raster does not reach so far.
    """
    last_ms = first_ms + raster.shape[-1]
    if not first_ms <= start_ms < end_ms <= last_ms:
        raise AssemblyError(
            f"a raster covers [{start_ms}, {end_ms}) ms", f"it covers [{first_ms}, {last_ms}) ms", "ask for bins inside"
        )
    return raster[..., start_ms - first_ms : end_ms - first_ms]


def first_millisecond(columns: Sequence[str]) -> int:
    """Return where a raster starts whose columns are called time.START_END, as in the NeuroDecodeR format.

    Parameters
    ----------
    columns : sequence of str
        Those of the raster alone, in the order of the file.

    Raises
    ------
    AssemblyError
        If a column is called otherwise, is not 1 ms wide, or does not follow on the one before it.
    """
    spans = [_TIME_COLUMN.fullmatch(name) for name in columns]
    starts = [int(span[1]) for span in spans if span and int(span[2]) == int(span[1]) + 1]
    if not starts or starts != list(range(starts[0], starts[0] + len(columns))):
        raise AssemblyError(
            "a raster has one column for every ms, called time.START_END, in order",
            f"found {len(columns)} columns, {listed(columns, 3)}",
            "check that the file is a raster in 1 ms bins",
        )
    return starts[0]


def pseudo_population(
    neurons: Iterable[Neuron],
    n_repetitions: int,
    time_bins: Sequence[tuple[int, int]],
    *,
    describe: Callable[[str], Mapping[str, Any]],
    region: str | None,
    subregion: str | None = None,
) -> xr.DataArray:
    """Combine neurons that were recorded separately into one recording.

    Parameters
    ----------
    neurons : iterable of Neuron
    n_repetitions : int
        R; of every stimulus each neuron's first R trials are taken. Neurons that saw some stimulus less often are left
        out, and attrs `neuroids_left_out` says how many there were.
    time_bins : sequence of (start, end)
        Of the counts.
    describe : callable
        From a stimulus_id to its further coordinates.
    region, subregion : str, optional
        Of all neurons; without a region, every neuron's coords have one.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        float32; presentations go stimulus by stimulus (sorted), repetition 0 to R - 1.

    Raises
    ------
    AssemblyError
        If no neuron has as many trials.
    """
    neurons = list(neurons)
    stimuli = np.unique(np.concatenate([neuron.stimulus_id for neuron in neurons])) if neurons else np.array([])
    least = [_least_repetitions(neuron, stimuli) for neuron in neurons]
    kept = [neuron for neuron, least_of_it in zip(neurons, least, strict=True) if least_of_it >= n_repetitions > 0]
    if not kept:
        raise AssemblyError(
            f"some neurons have {n_repetitions} repetitions or more of every stimulus, which is at least one",
            f"of {len(neurons)} neurons and {len(stimuli)} stimuli the best has {max(least, default=0)}",
            "ask for fewer repetitions",
        )
    values = np.stack([_first_trials(neuron, stimuli, n_repetitions) for neuron in kept], axis=1)
    described = [describe(str(stimulus)) for stimulus in stimuli]
    return make_assembly(
        values,
        stimulus_id=np.repeat(stimuli, n_repetitions),
        repetition=np.tile(np.arange(n_repetitions), len(stimuli)),
        neuroid_id=[neuron.neuroid_id for neuron in kept],
        subject=[neuron.subject for neuron in kept],
        region=region,
        subregion=subregion,
        time_bins=time_bins,
        presentation_coords={
            name: np.repeat([coords[name] for coords in described], n_repetitions) for name in described[0]
        },
        neuroid_coords={name: [neuron.coords[name] for neuron in kept] for name in kept[0].coords},
        attrs={"neuroids_left_out": len(neurons) - len(kept)},
    )


def _least_repetitions(neuron: Neuron, stimuli: np.ndarray) -> int:
    """Return how often a neuron saw the stimulus that it saw least often."""
    return int(np.bincount(np.searchsorted(stimuli, neuron.stimulus_id), minlength=len(stimuli)).min())


def _first_trials(neuron: Neuron, stimuli: np.ndarray, n_repetitions: int) -> np.ndarray:
    """Return (stimuli x n_repetitions, T): the first trials of each stimulus, in the order in which they are filed."""
    index = np.searchsorted(stimuli, neuron.stimulus_id)
    order = np.argsort(index, kind="stable")
    starts = np.searchsorted(index[order], np.arange(len(stimuli)))
    return neuron.counts[order[(starts[:, None] + np.arange(n_repetitions)).ravel()]].astype(np.float32)


def with_progress(items: Sequence[Any], what: str) -> Iterator[Any]:
    """Yield items, with a progress bar on a terminal once it takes longer than a person waits for."""
    from tqdm import tqdm

    hidden = True if "TQDM_DISABLE" in os.environ else None
    yield from tqdm(items, desc=what, unit="neuron", disable=hidden, delay=SHOW_PROGRESS_AFTER_S, leave=False)
