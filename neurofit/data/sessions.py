"""Several sessions as one recording."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr

from neurofit.assembly.build import make_assembly
from neurofit.assembly.schema import time_bins_of
from neurofit.assembly.spikes import number_showings
from neurofit.errors import AssemblyError, listed
from neurofit.vocabulary import (
    LAYER,
    NEUROID,
    NEUROID_ID,
    PRESENTATION,
    REGION,
    REPETITION,
    STIMULUS_ID,
    SUBJECT,
    SUBREGION,
)

SESSION = "session"
STIMULI_LEFT_OUT, PRESENTATIONS_LEFT_OUT = "stimuli_left_out", "presentations_beyond"


def join_sessions(sessions: Mapping[str, xr.DataArray], n_repetitions: int | None = None) -> xr.DataArray:
    """Join recordings of several sessions.

    Sessions of the same neuroids follow on each other: all their presentations, numbered anew. Sessions of different
    neuroids stand side by side as a pseudo-population: presentation (stimulus, r) holds every session's own r-th
    showing, so that neuroids of one session were recorded at the same time and those of different sessions were not.

    Parameters
    ----------
    sessions : mapping of name to xarray.DataArray (presentation, neuroid, time_bin)
        Of the same time bins.
    n_repetitions : int, optional
        R of a pseudo-population; by default as often as the session that showed a common stimulus least often.

    Returns
    -------
    xarray.DataArray (presentation, neuroid, time_bin)
        Of the same neuroids: with the presentation coordinate `session`. Of others: with the neuroid coordinate
        `session`, neuroid_id 'SESSION/ID', and attrs `stimuli_left_out` (not shown in every session) and
        `presentations_beyond` (showings beyond R). Coordinates that all sessions have are kept; in a
        pseudo-population, those of presentations only where they belong to the stimulus.

    Raises
    ------
    AssemblyError
        If time bins differ, or no stimulus was shown R times in all sessions.
    """
    parts = list(sessions.values())
    if any(time_bins_of(part) != time_bins_of(parts[0]) for part in parts):
        raise AssemblyError("sessions have the same time bins", f"{listed(sessions)} differ", "bring them to one")
    first = parts[0][NEUROID_ID].values.tolist()
    if all(part[NEUROID_ID].values.tolist() == first for part in parts):
        return _one_after_the_other(sessions)
    return _side_by_side(sessions, n_repetitions)


def _one_after_the_other(sessions: Mapping[str, xr.DataArray]) -> xr.DataArray:
    parts = list(sessions.values())
    stimuli = np.concatenate([part[STIMULUS_ID].values for part in parts])
    common = set.intersection(*({str(n) for n in _on(part, PRESENTATION)} for part in parts))
    coords = {n: np.concatenate([part[n].values for part in parts]) for n in common - {STIMULUS_ID, REPETITION}}
    coords[SESSION] = np.repeat(list(sessions), [part.sizes[PRESENTATION] for part in parts])
    neuroids = _neuroids(parts[0])
    return make_assembly(
        np.concatenate([part.values for part in parts]),
        stimulus_id=stimuli,
        repetition=number_showings(stimuli, np.arange(len(stimuli))),
        time_bins=time_bins_of(parts[0]),
        presentation_coords=coords,
        **neuroids,
    )


def _side_by_side(sessions: Mapping[str, xr.DataArray], n_repetitions: int | None) -> xr.DataArray:
    parts = list(sessions.values())
    shown = [np.unique(part[STIMULUS_ID].values.astype(str), return_counts=True) for part in parts]
    stimuli = np.array(sorted(set.intersection(*(set(ids.tolist()) for ids, _ in shown))))
    fewest = [counts[np.isin(ids, stimuli)].min() if len(stimuli) else 0 for ids, counts in shown]
    wanted = int(min(fewest)) if n_repetitions is None else n_repetitions
    if not 0 < wanted <= min(fewest):
        raise AssemblyError(
            f"stimuli are common to all sessions and were shown {max(wanted, 1)} times or more in each",
            f"{len(stimuli)} are common, and shown at least {min(fewest)} times",
            "join sessions that showed the same stimuli, or ask for fewer repetitions",
        )
    picked = [part.isel({PRESENTATION: _first_showings(part, stimuli, wanted)}) for part in parts]
    everything = [_neuroids(part, name) for name, part in sessions.items()]
    named = {k: np.concatenate([np.asarray(one[k]) for one in everything]) for k in everything[0] if k in _OWN}
    extra = set.intersection(*(set(one["neuroid_coords"]) for one in everything))
    beyond = sum(part.sizes[PRESENTATION] for part in parts) - len(parts) * wanted * len(stimuli)
    return make_assembly(
        np.concatenate([part.values for part in picked], axis=1),
        stimulus_id=np.repeat(stimuli, wanted),
        repetition=np.tile(np.arange(wanted), len(stimuli)),
        time_bins=time_bins_of(parts[0]),
        presentation_coords=_of_stimuli(picked),
        neuroid_coords={n: np.concatenate([one["neuroid_coords"][n] for one in everything]) for n in sorted(extra)},
        attrs={
            STIMULI_LEFT_OUT: len({s for ids, _ in shown for s in ids.tolist()}) - len(stimuli),
            PRESENTATIONS_LEFT_OUT: int(beyond),
        },
        **named,
    )


_OWN = (NEUROID_ID, SUBJECT, REGION, SUBREGION, LAYER)


def _neuroids(part: xr.DataArray, session: str | None = None) -> dict:
    """Return what `make_assembly` wants to know of neuroids; with a session's name, ids are made its own."""
    names = {str(n): part[n].values for n in _on(part, NEUROID)}
    known = {n: names.pop(n) for n in _OWN if n in names}
    if session is not None:
        known[NEUROID_ID] = np.array([f"{session}/{one}" for one in known[NEUROID_ID]])
        names[SESSION] = np.full(part.sizes[NEUROID], session)
    return known | {"neuroid_coords": names}


def _on(part: xr.DataArray, dim: str) -> list[str]:
    return [str(name) for name, coordinate in part.coords.items() if coordinate.dims == (dim,)]


def _first_showings(part: xr.DataArray, stimuli: np.ndarray, n_repetitions: int) -> np.ndarray:
    """Return the presentations (stimuli x R,) of each stimulus' first showings, in the order of `repetition`."""
    shown = part[STIMULUS_ID].values.astype(str)
    order = part[REPETITION].values if REPETITION in part.coords else np.zeros(len(shown), int)
    rows = [np.flatnonzero(shown == stimulus) for stimulus in stimuli]
    return np.concatenate([r[np.argsort(order[r], kind="stable")][:n_repetitions] for r in rows])


def _of_stimuli(picked: list[xr.DataArray]) -> dict[str, np.ndarray]:
    """Return the presentation coordinates that are the same in every session, row by row."""
    common = set.intersection(*(set(_on(part, PRESENTATION)) for part in picked)) - {STIMULUS_ID, REPETITION}
    first = {name: picked[0][name].values for name in sorted(common)}
    return {n: v for n, v in first.items() if all(np.array_equal(part[n].values, v) for part in picked)}
