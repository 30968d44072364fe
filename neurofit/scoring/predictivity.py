"""Predictivity: how well one population, mapped linearly, predicts another on stimuli that the mapping has not seen.

Letters: n stimuli, p source neuroids, q target neuroids, T time bins, S splits, H halvings.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from neurofit.assembly.align import align
from neurofit.assembly.build import average_repetitions, stimulus_index
from neurofit.assembly.schema import check_assembly, has_repetitions, time_bins_of
from neurofit.errors import AlignmentError, AssemblyError, MappingError, ReliabilityError, listed
from neurofit.kernel.correlation import pearson
from neurofit.kernel.held_out import MapSplits
from neurofit.kernel.reliability import halve, spearman_brown
from neurofit.kernel.trials import half_means_of_all
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.held_out import Mapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.ceiling import internal_consistency
from neurofit.scoring.formulas import Formula, formula_named
from neurofit.scoring.score import Terms, assemble_score
from neurofit.vocabulary import BASIS, NEUROID_ID, PER_BIN, PRESENTATION, STIMULUS_ID

TEMPORAL_MAPPINGS = ("per-bin", "fixed")


class Splitter(Protocol):
    """A scikit-learn splitter over stimuli."""

    def split(
        self, X: np.ndarray, y: np.ndarray | None = None, groups: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield (train, test) rows."""


@dataclass(frozen=True)
class _Problem:
    """Everything the bins and splits share."""

    X: np.ndarray  # (T, n, p) source
    Y: np.ndarray  # (T, n, q) trial means of the target
    trials: np.ndarray  # (T, presentations, q)
    stimulus: np.ndarray  # (presentations,) index of the stimulus, 0 ... n - 1
    halvings: list[np.ndarray]  # H masks (presentations,)
    splits: list[tuple[np.ndarray, np.ndarray]]
    mapping: Mapping
    refit: bool  # whether the mapping is fitted to the halves too


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
    chosen, mapping, splitter = formula_named(formula), mapping or PLSMapping(), splitter or StimulusShuffleSplit()
    if temporal not in TEMPORAL_MAPPINGS:
        raise AlignmentError("a temporal mapping is 'per-bin' or 'fixed'", f"got '{temporal}'", "choose one of them")
    _check_basis(source, temporal, mapping)
    source, mean = _aligned(source, target)
    _check_variance(mean)
    problem = _pose(source, mean, target, chosen, mapping, splitter, n_halvings, random_state, stratify)
    groups = _bins_of_equal_source(problem.X) if temporal == "per-bin" else [list(range(len(problem.X)))]
    results = _all_groups(problem, groups, temporal == "fixed", n_jobs, progress)
    terms = Terms.joined(results)
    if chosen.on_aggregates:
        terms = terms.with_ceiling(internal_consistency(target, n_halvings, 1, scheme="by-repetition").values)
    attrs = {
        "formula": chosen.name,
        "threshold": threshold,
        "temporal_mapping": temporal,
        "mapping": repr(mapping),
        "splitter": repr(splitter),
        "n_splits": len(problem.splits),
        "n_halvings": len(problem.halvings) if not chosen.on_aggregates else n_halvings,
        "n_stimuli": mean.sizes[PRESENTATION],
        "n_source_neuroids": source.sizes["neuroid"],
        "repetitions_min": mean.attrs["repetitions_min"],
        "repetitions_max": mean.attrs["repetitions_max"],
    }
    return assemble_score(terms, mean, attrs)


def _aligned(source: xr.DataArray, target: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Return source and target averaged over repetitions, on the target's stimuli and the same bins."""
    check_assembly(source)
    check_assembly(target)
    if time_bins_of(source) != time_bins_of(target):
        raise AlignmentError(
            "source and target have the same time bins",
            f"the source has {listed(time_bins_of(source), 3)} ms, the target {listed(time_bins_of(target), 3)} ms",
            "bring one to the other's with neurofit.rebin",
        )
    return align(average_repetitions(source), average_repetitions(target))


def _check_basis(source: xr.DataArray, temporal: str, mapping: Mapping) -> None:
    """Raise if activations were reduced to what this mapping cannot use; see `ModelSubject.record_many`."""
    basis = source.attrs.get(BASIS)
    if basis is not None and getattr(mapping, "scale", False):
        raise MappingError(
            "a mapping that scales its features sees the units themselves",
            f"these are other features with the same inner products (basis '{basis}')",
            "record with the basis 'units', or do not scale",
        )
    if basis == PER_BIN and temporal == "fixed":
        raise MappingError(
            "a mapping that is fixed in time sees the same features in every bin",
            "these differ from bin to bin (basis 'per-bin')",
            "record with the basis 'shared' or 'units', or map per bin",
        )


def _check_variance(mean: xr.DataArray) -> None:
    spread = np.ptp(mean.values, axis=0).max(axis=1)
    flat = mean[NEUROID_ID].values[spread == 0]
    if len(flat):
        raise AssemblyError(
            "every neuroid responds differently to some stimuli",
            f"{len(flat)} have the same response to all {mean.sizes[PRESENTATION]}: {listed(flat, 3)}",
            "leave them out of the recording",
        )


def _pose(
    source: xr.DataArray,
    mean: xr.DataArray,
    target: xr.DataArray,
    formula: Formula,
    mapping: Mapping,
    splitter: Splitter,
    n_halvings: int,
    random_state: int,
    stratify: str | None,
) -> _Problem:
    """Lay out arrays bin by bin, and draw splits and halvings."""
    ids = mean[STIMULUS_ID].values.astype(str)
    strata = None
    if stratify is not None:
        if stratify not in mean.coords:
            raise AlignmentError(
                f"the recording has the coordinate '{stratify}' to stratify the splits by",
                f"found {listed(sorted(str(c) for c in mean.coords), 12)}",
                "name one of these, or do not stratify",
            )
        strata = mean[stratify].values.astype(str)
    halvings: list[np.ndarray] = []
    index = stimulus_index(target)[1]  # sorted ids, as `align` orders the means
    if formula.corrects and not formula.on_aggregates:
        if not has_repetitions(target):
            raise ReliabilityError(
                f"the formula '{formula.name}' needs repetitions of the stimuli",
                f"each of the {len(ids)} stimuli was shown once",
                "use a recording with its repetitions, or the formula 'raw'",
            )
        rng = np.random.default_rng(random_state)
        halvings = [halve(index, rng) for _ in range(n_halvings)]
    return _Problem(
        X=np.ascontiguousarray(source.values.transpose(2, 0, 1)),
        Y=np.ascontiguousarray(mean.values.transpose(2, 0, 1), dtype=np.float64),
        trials=np.ascontiguousarray(target.values.transpose(2, 0, 1))
        if halvings
        else np.empty((len(mean.time_bin), 0)),
        stimulus=index,
        halvings=halvings,
        splits=list(splitter.split(ids.reshape(-1, 1), strata, ids)),
        mapping=mapping,
        refit=formula.needs_mapping_consistency,
    )


def _bins_of_equal_source(X: np.ndarray) -> list[list[int]]:
    """Group runs of bins (T, n, p) in which the source is the same, so that its fits are shared."""
    groups: list[list[int]] = []
    for t in range(len(X)):
        if groups and np.array_equal(X[t], X[groups[-1][0]]):
            groups[-1].append(t)
        else:
            groups.append([t])
    return groups


def _all_groups(
    problem: _Problem, groups: list[list[int]], stacked: bool, n_jobs: int | None, progress: bool
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
    problem: _Problem, bins: Sequence[int], stacked: bool, advance: Callable[[int], object], map_splits: MapSplits
) -> Terms:
    """Score some bins: one mapping for all, fitted to their stacked samples, or one for each on the same features."""
    T, n, H, S = len(bins), problem.Y.shape[1], len(problem.halvings), len(problem.splits)
    X, whole, halves = problem.X[list(bins)], problem.Y[list(bins)], _half_targets(problem, bins)
    q = whole.shape[2]
    # a bin in which the source is the same for all stimuli says nothing about them
    silent = (np.ptp(X, axis=1) <= 1e-6 * np.abs(X).max(axis=1, initial=0)).all(axis=1)
    if stacked:
        features, shape, groups = X.reshape(T * n, -1), (-1, T * n, q), T
        splits = [tuple((np.arange(T)[:, None] * n + rows).ravel() for rows in split) for split in problem.splits]
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


def _half_targets(problem: _Problem, bins: Sequence[int]) -> np.ndarray:
    """Return the half-trial means (2 H, T, n, q), the two halves of a halving next to each other."""
    n, q = problem.Y.shape[1:]
    halves = np.empty((2 * len(problem.halvings), len(bins), n, q))
    if len(halves):
        masks = np.stack(problem.halvings)
        for i, t in enumerate(bins):
            halves[:, i] = half_means_of_all(problem.trials[t], problem.stimulus, n, masks).reshape(-1, n, q)
    return halves
