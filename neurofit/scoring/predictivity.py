"""Predictivity: how well one population, mapped linearly, predicts another on stimuli that the mapping has not seen.

Letters: n stimuli, p source neuroids, q target neuroids, T time bins, S splits, H halvings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from neurofit.kernel.correlation import pearson
from neurofit.kernel.held_out import MapSplits
from neurofit.kernel.reliability import spearman_brown
from neurofit.kernel.trials import half_means_of_all
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.held_out import Mapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.ceiling import internal_consistency
from neurofit.scoring.formulas import Formula, formula_named
from neurofit.scoring.jackknife import with_groups_left_out
from neurofit.scoring.predictions import with_predictions
from neurofit.scoring.problem import Problem, Splitter, pose
from neurofit.scoring.score import Terms, assemble_score
from neurofit.vocabulary import SIMULATED


def predictivity(
    source: xr.DataArray,
    target: xr.DataArray,
    *,
    mapping: Mapping | None = None,
    splitter: Splitter | None = None,
    temporal: str = "per-bin",
    formula: str = "both",
    n_halvings: int = 10,
    threshold: float = 0.1,
    random_state: int = 0,
    stratify: str | None = None,
    keep_predictions: bool = False,
    image_groups: int = 0,
    n_jobs: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Score how well `source` predicts `target`.

    Parameters
    ----------
    source : xarray.DataArray (presentation, neuroid, time_bin)
        Activations of a model, or a recording of another animal; repetitions are averaged.
    target : xarray.DataArray (presentation, neuroid, time_bin)
        A recording, with its repetitions where the formula corrects for noise.
    mapping : Mapping, optional
        `PLSMapping`, 25 components without scaling by default (specification of the papers, 6.1).
    splitter : scikit-learn splitter, optional
        `StimulusShuffleSplit`, 10 splits with 25 % held out, by default (ibid.).
    temporal : {'per-bin', 'fixed'}
        An independent mapping per time bin, or one for all bins with (stimulus, bin) pairs as samples.
    formula : str
        A name of `scoring.formulas.FORMULAS`.
    n_halvings : int
        Random halvings of the repetitions; 10 in the authors' 2018 code (neuroailab/streams @ 0570ab1).
    threshold : float
        Consistency below which a neuroid x bin is not corrected but NaN and counted; 0.1.
    random_state : int
        Of the halvings.
    stratify : str, optional
        Presentation coordinate of the target whose values are held out in proportion.
    keep_predictions : bool
        Whether the score also holds the held-out predictions and the responses; see `scoring.predictions`.
    image_groups : int
        Into how many groups the images are divided, to see how the score would be without each; none by default. See
        `scoring.jackknife`.
    n_jobs : int, optional
        Threads; all cores by default.
    progress : bool
        Whether to draw a bar on standard error.

    Returns
    -------
    xarray.Dataset
        A score; see `scoring.score`.

    Raises
    ------
    AssemblyError, AlignmentError, MappingError, ReliabilityError
    """
    chosen = formula_named(formula)
    problem = pose(
        source,
        target,
        mapping=mapping or PLSMapping(),
        splitter=(splitter := splitter or StimulusShuffleSplit()),
        temporal=temporal,
        formula=chosen,
        n_halvings=n_halvings,
        random_state=random_state,
        stratify=stratify,
    )
    terms = terms_of(problem, n_jobs, progress)
    score = score_of(
        terms, problem, target, formula=chosen, n_halvings=n_halvings, threshold=threshold, splitter=splitter
    )
    if image_groups:
        score = with_groups_left_out(score, problem, image_groups, n_jobs=n_jobs, progress=progress)
    return with_predictions(score, problem, n_jobs, progress) if keep_predictions else score


def score_of(
    terms: Terms,
    problem: Problem,
    target: xr.DataArray,
    *,
    formula: Formula,
    n_halvings: int,
    threshold: float,
    splitter: Splitter,
) -> xr.Dataset:
    """Average a problem's terms into a score that says what it was computed from; see `predictivity`."""
    if formula.on_aggregates:
        terms = terms.with_ceiling(internal_consistency(target, n_halvings, 1, scheme="by-repetition").values)
    attrs = {
        "formula": formula.name,
        "threshold": threshold,
        "temporal_mapping": problem.temporal,
        "mapping": repr(problem.mapping),
        "splitter": repr(splitter),
        "n_splits": len(problem.splits),
        "n_halvings": len(problem.halvings) if not formula.on_aggregates else n_halvings,
        "n_stimuli": len(problem.stimulus_ids),
        "n_source_neuroids": problem.X.shape[2],
        "repetitions_min": problem.mean.attrs["repetitions_min"],
        "repetitions_max": problem.mean.attrs["repetitions_max"],
        **problem.fingerprints(),
        SIMULATED: int(target.attrs.get(SIMULATED, 0)),
    }
    return assemble_score(terms, problem.mean, attrs)


def terms_of(problem: Problem, n_jobs: int | None = None, progress: bool = False) -> Terms:
    """Return the correlations of a problem before anything is averaged; see `predictivity`."""
    stacked = problem.temporal == "fixed"
    groups = [list(range(len(problem.X)))] if stacked else bins_of_equal_source(problem.X)
    return Terms.joined(_all_groups(problem, groups, stacked, n_jobs, progress))


def bins_of_equal_source(X: np.ndarray) -> list[list[int]]:
    """Group runs of bins (T, n, p) in which the source is the same, so that its fits are shared."""
    groups: list[list[int]] = []
    for t in range(len(X)):
        if groups and np.array_equal(X[t], X[groups[-1][0]]):
            groups[-1].append(t)
        else:
            groups.append([t])
    return groups


def _all_groups(
    problem: Problem, groups: list[list[int]], stacked: bool, n_jobs: int | None, progress: bool
) -> list[Terms]:
    """Score every group of bins: several groups at a time, or several splits of one after the other."""
    workers = n_jobs or os.cpu_count() or 1
    sets = len(problem.halvings) * 2 * problem.refit + 1
    fits = sets * len(problem.splits) * (len(groups) if stacked else len(problem.X))
    bar = tqdm(total=fits, desc="mapping", unit="fit", disable=not progress, leave=False)
    # many small matrix products: threads inside each of them cost more than they gain
    with bar, threadpool_limits(1), ThreadPoolExecutor(workers) as pool:
        if len(groups) < 4 * workers:
            return [_score_group(problem, group, stacked, bar.update, pool.map) for group in groups]
        futures = [pool.submit(_score_group, problem, group, stacked, bar.update, map) for group in groups]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _score_group(
    problem: Problem, bins: Sequence[int], stacked: bool, advance: Callable[[int], object], map_splits: MapSplits
) -> Terms:
    """Score some bins: one mapping for all, fitted to their stacked samples, or one for each on the same features."""
    T, n, H, S = len(bins), problem.Y.shape[1], len(problem.halvings), len(problem.splits)
    X, whole, halves = problem.X[list(bins)], problem.Y[list(bins)], _half_targets(problem, bins)
    q = whole.shape[2]
    # a bin in which the source is the same for all stimuli says nothing about them
    silent = (np.ptp(X, axis=1) <= 1e-6 * np.abs(X).max(axis=1, initial=0)).all(axis=1)
    if stacked:
        features, shape, groups = X.reshape(T * n, -1), (-1, T * n, q), T
        splits = [(problem.rows(train), problem.rows(test)) for train, test in problem.splits]
    else:
        features, shape, groups, splits = X[0], (-1, n, q), 1, problem.splits
    fits = problem.mapping.held_out(features, splits, n_groups=groups, map_splits=map_splits, advance=advance)
    raw = fits.correlate(whole.reshape(shape))
    if problem.refit:
        pair = fits.correlate_halves(halves[0::2].reshape(shape), halves[1::2].reshape(shape))
        refitted, internal = (r.reshape(S, H, T, q) for r in pair)
    else:
        refitted = np.empty((S, 0, T, q))
        tested = [pearson(halves[0::2, :, test], halves[1::2, :, test], axis=2) for _, test in problem.splits]
        internal = np.stack(tested).reshape(S, H, T, q)
    kept = raw.kept if raw.kept.ndim == 2 else np.zeros(raw.kept.shape[:2], np.int64)
    return Terms(
        raw=raw.r.reshape(S, T, q),
        internal=spearman_brown(internal),
        mapping=spearman_brown(refitted),
        silent=silent,
        components=np.broadcast_to(kept, (S, T)).copy(),
        alphas=np.broadcast_to(raw.kept, (S, T, q)) if raw.kept.ndim == 3 else None,
    )


def _half_targets(problem: Problem, bins: Sequence[int]) -> np.ndarray:
    """Return the half-trial means (2 H, T, n, q), the two halves of a halving next to each other."""
    n, q = problem.Y.shape[1:]
    halves = np.empty((2 * len(problem.halvings), len(bins), n, q))
    if len(halves):
        masks = np.stack(problem.halvings)
        for i, t in enumerate(bins):
            halves[:, i] = half_means_of_all(problem.trials[t], problem.stimulus, n, masks).reshape(-1, n, q)
    return halves
