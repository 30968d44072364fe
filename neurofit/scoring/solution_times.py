"""Object solution times: when a population first tells what is shown as well as a reference does, image by image.

Solution times are a decoding (`scoring.decoding`) with, besides (dimensions split S, stimulus n):

``solution_time`` (n,), ms
    When d' first reaches the reference; NaN for stimuli that are not solved.
``solution_time_by_split`` (S, n), ms
    The same from the d' of one split; NaN also where the stimulus is not held out.
``reference`` (n,)
    The d' to be reached.
``solved`` (n,)
    Whether d' reaches the reference in any bin; stimuli that are never held out are not.

A bin's time is its centre. Between the last bin below the reference and the first that is not, time is interpolated
linearly; where the first bin of the window is not below, the solution time is that bin's centre.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy.stats import binom

from neurofit.assembly.build import stimulus_index
from neurofit.assembly.schema import check_assembly, has_repetitions
from neurofit.errors import AlignmentError, ConfigurationError, ReliabilityError, listed
from neurofit.kernel.crossing import first_crossing
from neurofit.kernel.rank_correlation import spearman
from neurofit.kernel.reliability import halve, spearman_brown
from neurofit.scoring.decoding import STIMULUS, decode
from neurofit.vocabulary import (
    HALVING,
    PRESENTATION,
    SPLIT,
    STIMULUS_ID,
    TIME_BIN,
    TIME_BIN_END,
    TIME_BIN_START,
)

LABELS = ("category_name", "object_name")
"""Labels that are decoded where none are named: the first that the recording has. The coarser one leaves 80 stimuli for
each of 8 categories of a simulated recording; the papers had some hundred for each of 10 objects."""
CHANCE_LEVEL = 0.01
"""Probability, for a whole recording, that the default reference exists where nothing can be decoded."""

Reference = float | Mapping[str, float] | Sequence[float] | np.ndarray


def object_solution_times(
    responses: xr.DataArray,
    *,
    reference: Reference | None = None,
    labels: str | Mapping[str, str] | None = None,
    window_ms: tuple[int, int] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Decode a population in every time bin and return when each stimulus is solved (specification of the papers, 7.1).

    Parameters
    ----------
    responses : xarray.DataArray (presentation, neuroid, time_bin)
        A recording, or activations of a model.
    reference : float, mapping from stimulus_id to float, or array (n,), optional
        The d' to be reached, for all stimuli or for each (an array is in ascending order of stimulus_id). The papers
        take the accuracy that monkeys reach with the image. Without behaviour it is `typical_best` of these responses;
        for a model give it the reference of the recording: ``reference=neural['reference'].values``.
    labels : str or mapping from stimulus_id to str, optional
        See `decode`; the first of `LABELS` that the responses have.
    window_ms : (start, end), optional
        Bins inside it are searched; all that start at stimulus onset or later by default.
    **options
        Of `decode`: classifier, splitter, penalty, n_jobs, progress, random_state.

    Returns
    -------
    xarray.Dataset
        See `scoring.solution_times`. attrs also: reference (in words), window_start_ms, window_end_ms, n_tested (held
        out at least once), n_solved, fraction_solved, dynamic, and why_none, in words, where there are no times.

    Raises
    ------
    AssemblyError, AlignmentError, MappingError, UnknownNameError, ConfigurationError
    """
    decoding = decode(responses, labels=default_labels(responses) if labels is None else labels, **options)
    return solution_times(decoding, reference=reference, window_ms=window_ms)


def default_labels(responses: xr.DataArray) -> str:
    """Return which coordinate is decoded where none is named; see `LABELS`."""
    return next((name for name in LABELS if name in responses.coords), LABELS[-1])


def solution_times(
    decoding: xr.Dataset, *, reference: Reference | None = None, window_ms: tuple[int, int] | None = None
) -> xr.Dataset:
    """Return when each stimulus of a decoding is solved; see `object_solution_times`.

    A population whose responses are the same (but for a factor and what all stimuli share, as where a bin covers half a
    response) in all bins of the window in which they differ between stimuli has no dynamics: its d' is one number for
    each stimulus, and has no time. Its solution times are NaN, and attrs `why_none` says so; which stimuli reach the
    reference is still known.
    """
    inside = _bins_inside(decoding, window_ms)
    part = decoding.isel({TIME_BIN: inside})
    d_prime = part["d_prime"].values
    level, words = _reference(part, reference)
    centres = (part[TIME_BIN_START].values + part[TIME_BIN_END].values) / 2
    times = first_crossing(d_prime, centres, level)
    by_split = first_crossing(part["d_prime_by_split"].values, centres, level)
    solved = np.isfinite(times)
    tested = decoding["times_held_out"].values > 0
    why = _why_none(part, level, solved)
    if why:
        times, by_split = np.full_like(times, np.nan), np.full_like(by_split, np.nan)
    return decoding.assign(
        solution_time=((STIMULUS,), times),
        solution_time_by_split=((SPLIT, STIMULUS), by_split),
        reference=((STIMULUS,), level),
        solved=((STIMULUS,), solved),
    ).assign_attrs(
        reference=words,
        window_start_ms=int(part[TIME_BIN_START].values.min()),
        window_end_ms=int(part[TIME_BIN_END].values.max()),
        n_tested=int(tested.sum()),
        n_solved=int(solved.sum()),
        fraction_solved=float(solved.sum() / max(tested.sum(), 1)),
        dynamic=int(_distinct(part) > 1),
        why_none=why,
    )


def typical_best(decoding: xr.Dataset) -> float:
    """Return the median d' over stimuli in the bin where it is largest: what the typical stimulus reaches at best.

    It stands in for behaviour. One number for all stimuli cannot follow the noise of any one of them, as a share of its
    own d' would, and a level of the population's own decoding is on the scale of classifier, penalty and number of
    objects, which shrink d' of support vector machines.

    Returns
    -------
    float
        NaN where the objects cannot be told apart in any bin: the accuracy, pooled over splits, is not above that of
        always naming the most frequent object (binomial over the stimuli that are held out, Bonferroni over bins,
        `CHANCE_LEVEL`).
    """
    n, chance = int((decoding["times_held_out"] > 0).sum()), float(decoding.attrs["chance"])
    best = float(decoding["accuracy"].mean(SPLIT).max())
    by_chance = binom.sf(np.ceil(best * n) - 1, n, chance) * decoding.sizes[TIME_BIN]
    if by_chance >= CHANCE_LEVEL:
        return np.nan
    return float(np.nanmedian(decoding["d_prime"].values, axis=0).max())


def solution_time_consistency(
    recording: xr.DataArray,
    *,
    n_halvings: int = 1,
    reference: Reference | None = None,
    halving_random_state: int = 0,
    **options: Any,
) -> xr.Dataset:
    """Return how consistent the solution times of two halves of the repetitions are.

    A correlation with the times of something without noise can reach the square root of it.

    Parameters
    ----------
    recording : xarray.DataArray (presentation, neuroid, time_bin)
        With two repetitions of every stimulus at least.
    n_halvings : int
        Each costs two decodings.
    reference : optional
        See `object_solution_times`; by default `typical_best` of each half, since half the trials are decoded less
        well.
    halving_random_state : int
        Of the halvings.
    **options
        Of `object_solution_times`.

    Returns
    -------
    xarray.Dataset (halving)
        ``consistency``: Spearman's correlation of the two halves' solution times over stimuli that both solve,
        Spearman-Brown corrected; ``n_both``: how many these are.

    Raises
    ------
    ReliabilityError
        If a stimulus was shown once only.
    """
    check_assembly(recording)
    if not has_repetitions(recording):
        raise ReliabilityError(
            "a consistency needs repetitions", "each stimulus was shown once", "use a recording with its repetitions"
        )
    index, rng = stimulus_index(recording)[1], np.random.default_rng(halving_random_state)
    found, counts = [], []
    for _ in range(n_halvings):
        first = halve(index, rng)
        one, two = (
            object_solution_times(recording.isel({PRESENTATION: np.flatnonzero(half)}), reference=reference, **options)[
                "solution_time"
            ].values
            for half in (first, ~first)
        )
        both = np.isfinite(one) & np.isfinite(two)
        counts.append(int(both.sum()))
        found.append(float(spearman_brown(spearman(one[both], two[both]))) if counts[-1] > 2 else np.nan)
    return xr.Dataset({"consistency": ((HALVING,), np.array(found)), "n_both": ((HALVING,), np.array(counts))})


def table_of_bins(times: xr.Dataset) -> list[dict[str, float]]:
    """Return one row per time bin of a decoding or of solution times.

    Returns
    -------
    list of dict
        time_bin_start, time_bin_end (ms); accuracy (mean over splits) and its standard_error over splits (population
        s.d. / sqrt(splits)); d_prime (median over stimuli), d_prime_low, d_prime_high (quartiles); silent; and, of
        solution times, solved: part of the tested stimuli whose d' has reached the reference by then.
    """
    accuracy, d_prime = times["accuracy"].values, times["d_prime"].values
    tested = times["times_held_out"].values > 0
    low, middle, high = np.percentile(d_prime[tested], [25, 50, 75], axis=0)
    columns: dict[str, Any] = {
        TIME_BIN_START: times[TIME_BIN_START].values,
        TIME_BIN_END: times[TIME_BIN_END].values,
        "accuracy": accuracy.mean(0),
        "standard_error": accuracy.std(0) / np.sqrt(len(accuracy)),
        "d_prime": middle,
        "d_prime_low": low,
        "d_prime_high": high,
        "silent": times["silent"].values,
    }
    if "solution_time" in times:
        ends = times[TIME_BIN_END].values
        by_then = (times["solution_time"].values[tested, None] < ends).mean(0)
        columns["solved"] = np.full(len(ends), np.nan) if times.attrs["why_none"] else by_then
    return [dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)]


def _bins_inside(decoding: xr.Dataset, window_ms: tuple[int, int] | None) -> np.ndarray:
    starts, ends = decoding[TIME_BIN_START].values, decoding[TIME_BIN_END].values
    start, end = (0, int(ends.max())) if window_ms is None else window_ms
    inside = np.flatnonzero((starts >= start) & (ends <= end))
    if len(inside) < 2:
        raise ConfigurationError(
            "solution times need two time bins or more inside the window",
            f"{len(inside)} of {len(starts)} lie in {start}-{end} ms (the bins span {starts.min()}-{ends.max()} ms)",
            "use a recording with bins of 10 ms, say, or a wider window",
        )
    return inside


def _reference(decoding: xr.Dataset, given: Reference | None) -> tuple[np.ndarray, str]:
    """Return the d' to be reached (n,) and what it is, in words."""
    ids = decoding[STIMULUS_ID].values.astype(str)
    if given is None:
        level = typical_best(decoding)
        if np.isnan(level):
            return np.full(len(ids), level), "none: the objects cannot be told apart above chance in any bin"
        return np.full(len(ids), level), f"d' {level:.3f}, the largest median d' over bins of these responses"
    if isinstance(given, Mapping):
        missing = [i for i in ids if i not in given]
        if missing:
            raise AlignmentError(
                "every stimulus has a reference", f"{len(missing)} have none: {listed(missing, 3)}", "add them"
            )
        return np.asarray([float(given[i]) for i in ids]), "given for each stimulus"
    values = np.asarray(given, np.float64)
    if values.ndim == 0:
        return np.full(len(ids), float(values)), f"d' {float(values):.3f}, given for all stimuli"
    if values.shape != ids.shape:
        raise AlignmentError(
            "a reference is one d', or one for each stimulus",
            f"its shape is {values.shape} and there are {len(ids)} stimuli",
            "give a mapping from stimulus_id to d'",
        )
    if len(np.unique(values[np.isfinite(values)])) == 1:
        return values.copy(), f"d' {float(np.nanmean(values)):.3f}, given for all stimuli"
    return values.copy(), "given for each stimulus"


def _distinct(decoding: xr.Dataset) -> int:
    """Return how many patterns of responses the bins have; see `scoring.decoding`."""
    return len(np.setdiff1d(decoding["pattern"].values, [-1]))


def _why_none(decoding: xr.Dataset, level: np.ndarray, solved: np.ndarray) -> str:
    """Return why there are no solution times, in words; '' if there are."""
    silent, total = int(decoding["silent"].sum()), decoding.sizes[TIME_BIN]
    distinct = _distinct(decoding)
    if distinct == 0:
        return "the responses are the same for all stimuli in every bin"
    if distinct == 1:
        return (
            f"no dynamics: the responses are the same in all {total - silent} of {total} bins in which they differ "
            "between stimuli"
        )
    if not np.isfinite(level).any():
        return "no reference: the objects cannot be told apart above chance in any bin"
    return "" if solved.any() else "no stimulus reaches the reference in any bin"


__all__ = [
    "Reference",
    "default_labels",
    "object_solution_times",
    "solution_time_consistency",
    "solution_times",
    "table_of_bins",
    "typical_best",
]
