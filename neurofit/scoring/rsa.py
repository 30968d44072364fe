"""Representational similarity over time: do two populations find the same stimuli alike, bin by bin?

In every time bin the dissimilarities of all pairs of stimuli are computed within each population, and the two RDMs are
compared (Kriegeskorte et al. 2008). Nothing is fitted, so there are no splits: all stimuli count at once.

Letters: n stimuli, m pairs of stimuli, T time bins, H halvings, B resamples.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from neurofit.assembly.build import stimulus_index
from neurofit.errors import AlignmentError, MappingError, UnknownNameError
from neurofit.kernel.rdm import Comparison, Distance, ResampledRDMs, compare, dissimilarities, draw_counts, pairs_of
from neurofit.kernel.reliability import spearman_brown
from neurofit.kernel.trials import half_means_of_all
from neurofit.scoring.metrics import MAX_STIMULI, RDMDistance, Repetitions
from neurofit.scoring.population_score import assemble_population_score, check_population_score
from neurofit.scoring.problem import aligned_means, draw_halvings, fingerprints
from neurofit.vocabulary import BASIS, CORRELATION, PRESENTATION, STIMULUS_ID

FORMULAS = {
    "raw": "r",
    "neural-rdm": "r / sqrt(reliability of the neural RDM)",
}
"""Noise corrections of an RDM correlation r; the reliability is Spearman-Brown corrected."""
_MEASURES = {"spearman": "Spearman's rho", "kendall": "Kendall's tau-a", "pearson": "Pearson's r"}
_DISTANCES = {"correlation": "1 - Pearson's r over units", "euclidean": "Euclidean distance"}
_LEAST_STIMULI = 3
_DRAWN_AT_ONCE = 25
SILENT = 1e-6
"""As in `scoring.predictivity`: a bin whose units vary less than this part of their magnitude says nothing."""


class _Bin(NamedTuple):
    """What one time bin comes to."""

    source: np.ndarray  # (m,)
    target: np.ndarray  # (m,)
    value: float
    halves: np.ndarray  # (H,) correlations of half-trial RDMs
    silent: bool
    counted: int


def rsa(
    source: xr.DataArray,
    target: xr.DataArray,
    *,
    distance: RDMDistance = "correlation",
    comparison: Comparison = "spearman",
    formula: str = "neural-rdm",
    n_halvings: int = 10,
    threshold: float = 0.1,
    random_state: int = 0,
    max_stimuli: int = MAX_STIMULI,
    sample_state: int = 0,
    repetitions: Repetitions = "equal",
    n_resamples: int = 1000,
    n_jobs: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Compare what `source` and `target` find alike.

    Parameters
    ----------
    source : xarray.DataArray (presentation, neuroid, time_bin)
        Activations of a model, or a recording; repetitions are averaged.
    target : xarray.DataArray (presentation, neuroid, time_bin)
        A recording, with its repetitions where the formula corrects for noise.
    distance : {'correlation', 'euclidean'}
        1 - Pearson's r over units (Kriegeskorte et al. 2008), or the Euclidean distance.
    comparison : {'spearman', 'kendall', 'pearson'}
        Of the pairs' dissimilarities: Spearman's rho (ibid.), Kendall's tau-a, Pearson's r.
    formula : {'neural-rdm', 'raw'}
        'neural-rdm': r / sqrt(reliability of the neural RDM). The reliability is r between the RDMs of two halves of
        the repetitions, Spearman-Brown corrected, mean over halvings.
    n_halvings : int
        10 (neuroailab/streams @ 0570ab1, for neuroids).
    threshold : float
        Bins whose reliability is not above it are NaN; 0.1.
    random_state : int
        Of the halvings.
    max_stimuli : int
        Of more stimuli, this many are drawn without replacement: 5,760 would have 16.6 million pairs.
    sample_state : int
        Of that draw, of the showings that are kept, and of the resamples.
    repetitions : {'equal', 'all'}
        'equal': of every stimulus as many showings, drawn at random, as the stimulus with the fewest has (an even
        number, for the halves). Noise makes distances larger; where it differs between stimuli by their number of
        showings, the RDM has a structure that has nothing to do with the stimuli and yet is the same in both halves
        (docs/metrics.md has the numbers). 'all' keeps every showing.
    n_resamples : int
        Bootstrap over stimuli; pairs of a stimulus with its own copy are left out. 1,000.
    n_jobs : int, optional
        Threads; all cores by default.
    progress : bool

    Returns
    -------
    xarray.Dataset
        See `scoring.population_score`; also `consistency_by_halving` (H, T).

    Raises
    ------
    AssemblyError, AlignmentError, MappingError, ReliabilityError, UnknownNameError
    """
    _check_names(distance, comparison, formula)
    chosen = _distance_of(source, distance)
    source, target, n_known = _sampled(source, target, max_stimuli, sample_state)
    if repetitions == "equal":
        source, target = (with_equal_repetitions(side, sample_state) for side in (source, target))
    averaged, mean = aligned_means(source, target)
    n = mean.sizes[PRESENTATION]
    if n < _LEAST_STIMULI:
        raise AlignmentError(f"an RDM is of {_LEAST_STIMULI} stimuli or more", f"there are {n}", "use more stimuli")
    index = stimulus_index(target)[1]
    halvings = [] if formula == "raw" else draw_halvings(target, index, formula, n_halvings, random_state)
    X, Y = (np.ascontiguousarray(side.values.transpose(2, 0, 1)) for side in (averaged, mean))

    def one(t: int) -> _Bin:
        trials = np.ascontiguousarray(target.values[:, :, t])
        halves = half_means_of_all(trials, index, n, np.stack(halvings)) if halvings else np.empty((0, 2, n, 1))
        return _one_bin(X[t], Y[t], halves, chosen, distance, comparison)

    bins, resampled = _all_bins(one, len(X), n, comparison, draw_counts(n, n_resamples, sample_state), n_jobs, progress)
    attrs = {
        "metric": "rsa",
        "measure": f"{_MEASURES[comparison]} between RDMs ({_DISTANCES[distance]})",
        "formula": formula,
        "formula_text": FORMULAS[formula],
        "threshold": threshold,
        "distance": distance,
        "comparison": comparison,
        "repetitions": repetitions,
        "n_stimuli": n,
        "n_stimuli_known": n_known,
        "n_neuroids": Y.shape[2],
        "n_source_neuroids": X.shape[2],
        "n_splits": 0,
        "n_halvings": len(halvings),
        "n_resamples": n_resamples,
        "repetitions_min": mean.attrs["repetitions_min"],
        "repetitions_max": mean.attrs["repetitions_max"],
        **fingerprints(mean, Y, [], halvings),
    }
    return check_population_score(
        assemble_population_score(
            np.array([b.value for b in bins]),
            spearman_brown(np.stack([b.halves for b in bins], axis=1)),
            resampled,
            np.array([b.silent for b in bins]),
            np.array([b.counted for b in bins]),
            mean,
            attrs,
        )
    )


def _check_names(distance: str, comparison: str, formula: str) -> None:
    tables = {"distance of RDMs": (distance, _DISTANCES), "comparison of RDMs": (comparison, _MEASURES)}
    for kind, (name, table) in (tables | {"formula of RSA": (formula, FORMULAS)}).items():
        if name not in table:
            raise UnknownNameError(kind, name, table)


def _distance_of(source: xr.DataArray, distance: RDMDistance) -> Distance:
    """Return how distances are had from what was kept of the source's units."""
    basis = source.attrs.get(BASIS)
    if distance == "euclidean":
        if basis == CORRELATION:
            raise MappingError(
                "Euclidean distances are of the units",
                "these are patterns centred and scaled over the units (basis 'correlation')",
                "record with the basis 'per-bin', or take the correlation distance",
            )
        return "euclidean"
    if basis == CORRELATION:
        return "half-squared"
    if basis is not None or "projected_to" in source.attrs:
        raise MappingError(
            "the correlation distance needs the mean over a layer's units",
            f"what was kept of them has lost it ({source.attrs.get('reduction', basis)})",
            "record with the basis 'correlation' or keep the units (--features raw), or take the Euclidean distance",
        )
    return "correlation"


def _sampled(
    source: xr.DataArray, target: xr.DataArray, max_stimuli: int, random_state: int
) -> tuple[xr.DataArray, xr.DataArray, int]:
    """Return source and target on a random subset of the target's stimuli, and how many there were."""
    ids, index = stimulus_index(target)
    if len(ids) <= max_stimuli:
        return source, target, len(ids)
    drawn = np.sort(np.random.default_rng(random_state).choice(len(ids), max_stimuli, replace=False))
    mine = np.isin(source[STIMULUS_ID].values.astype(str), ids[drawn])
    of_target = np.isin(index, drawn)
    return source.isel({PRESENTATION: mine}), target.isel({PRESENTATION: of_target}), len(ids)


def with_equal_repetitions(recording: xr.DataArray, random_state: int = 0) -> xr.DataArray:
    """Return a recording with as many showings of every stimulus, drawn at random; an even number unless it is 1."""
    index = stimulus_index(recording)[1]
    counts = np.bincount(index)
    fewest = int(counts.min())
    kept = fewest if fewest == 1 else 2 * (fewest // 2)
    order = np.lexsort((np.random.default_rng(random_state).random(len(index)), index))
    rank = np.empty(len(index), int)
    rank[order] = np.arange(len(index)) - np.repeat(np.cumsum(counts) - counts, counts)
    return recording if counts.max() == kept else recording.isel({PRESENTATION: np.flatnonzero(rank < kept)})


def _one_bin(
    X: np.ndarray, Y: np.ndarray, halves: np.ndarray, of_source: Distance, of_target: Distance, how: Comparison
) -> _Bin:
    """Compare source (n, p) and target (n, q), and the target's halves (H, 2, n, q)."""
    x, y = dissimilarities(X, of_source), dissimilarities(Y, of_target)
    silent = bool((np.ptp(X, axis=0) <= SILENT * np.abs(X).max(axis=0, initial=0)).all())
    # a stimulus without a correlation has no dissimilarity but the one with itself
    defined = (np.isfinite(y).sum(0) > 1) & (silent | (np.isfinite(x).sum(0) > 1))
    source, target = pairs_of(x), pairs_of(y)
    reliability = []
    for pair in halves:
        one, other = (pairs_of(dissimilarities(half, of_target)) for half in pair)
        reliability.append(compare(one, other, how))
    value = 0.0 if silent else compare(source, target, how)
    return _Bin(source, target, value, np.array(reliability, float), silent, int(defined.sum()))


def _all_bins(
    one: Callable[[int], _Bin],
    T: int,
    n: int,
    how: Comparison,
    counts: np.ndarray,
    n_jobs: int | None,
    progress: bool,
) -> tuple[list[_Bin], np.ndarray]:
    """Return every bin and the resampled values (B, T)."""
    workers = n_jobs or os.cpu_count() or 1
    resampled, heard, bins, values = ResampledRDMs(n, how), [], [], np.full((len(counts), T), np.nan)
    bar = tqdm(total=T + len(counts), desc="RDMs", unit="", disable=not progress, leave=False)
    with bar, threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
        for start in range(0, T, workers):  # no more RDMs at once than are worked on
            for t, found in enumerate(pool.map(one, range(start, min(start + workers, T))), start):
                if not found.silent and np.isfinite(found.value):
                    resampled.add(found.source, found.target)
                    heard.append(t)
                bins.append(found._replace(source=np.empty(0), target=np.empty(0)))
                bar.update()
        chunks = [
            slice(first, first + _DRAWN_AT_ONCE) for first in range(0, len(counts) if heard else 0, _DRAWN_AT_ONCE)
        ]
        for rows, drawn in zip(chunks, pool.map(lambda rows: resampled.compare(counts[rows]), chunks), strict=True):
            values[rows, heard] = drawn
            bar.update(len(drawn))
    return bins, values


__all__ = ["FORMULAS", "rsa"]
