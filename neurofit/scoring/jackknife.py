"""How a score depends on which images there were: it is computed again without each of K groups of them.

A score with groups also has the variable

``without_group`` (image_group K, neuroid q, time_bin T)
    Predictivity, mean over splits, when the images of a group are in neither training nor test set; corrected by the
    same consistencies as the score itself (formulas on aggregates: not corrected).

Groups are random, of equal size, and the same for every subject that is shown the same stimuli.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from neurofit.errors import ConfigurationError
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.problem import Problem
from neurofit.scoring.score import nan_mean
from neurofit.vocabulary import NEUROID, TIME_BIN

IMAGE_GROUP = "image_group"
FEWEST_GROUPS, FEWEST_IMAGES = 5, 2
FEWEST_TESTED = 2
"""Of one held-out image there is no r."""
SQUARED = ("both-squared",)


def with_groups_left_out(
    score: xr.Dataset,
    problem: Problem,
    n_groups: int,
    random_state: int = 0,
    n_jobs: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Return the score with what it would be without each of `n_groups` groups of images.

    Raises
    ------
    ConfigurationError
        If there are too few groups, or images for them, or too few held-out images outside some group.
    """
    n = len(problem.stimulus_ids)
    if not FEWEST_GROUPS <= n_groups <= n // FEWEST_IMAGES:
        raise ConfigurationError(
            f"images are left out in at least {FEWEST_GROUPS} groups of at least {FEWEST_IMAGES}",
            f"{n_groups} groups of {n} images were asked for",
            "choose another number of groups",
        )
    groups = np.array_split(np.random.default_rng(random_state).permutation(n), n_groups)
    raw = _without(problem, groups, n_jobs, progress)  # (K, S, T, q)
    raw = np.where(score["silent"].values[:, None], 0.0, raw).swapaxes(2, 3)
    values = nan_mean(corrected_alike(score, raw), 1)
    return score.assign(without_group=((IMAGE_GROUP, NEUROID, TIME_BIN), values)).assign_attrs(image_groups=n_groups)


def corrected_alike(score: xr.Dataset, raw: np.ndarray) -> np.ndarray:
    """Correct r (..., S, q, T) as the score's own was: by the same consistencies."""
    formula = formula_named(str(score.attrs["formula"]))
    if formula.on_aggregates or not formula.corrects:
        return raw
    before, corrected = score["predictivity"].values, score["predictivity_corrected"].values
    if formula.name in SQUARED:
        before, raw = np.sign(before) * before**2, np.sign(raw) * raw**2
    factor = np.divide(corrected, before, out=np.zeros_like(corrected), where=before != 0)
    return np.where(np.isfinite(corrected), raw * factor, np.nan)


def _without(problem: Problem, groups: list[np.ndarray], n_jobs: int | None, progress: bool) -> np.ndarray:
    """Return r (K, S, T, q) of the fits without each group."""
    mapping: Any = problem.mapping
    if hasattr(mapping, "precision"):  # a spread over groups needs no more digits (docs/adr/0012)
        mapping = type(mapping)(**{**mapping.get_params(), "precision": "float32"})
    T, n, q = problem.Y.shape
    S = len(problem.splits)
    kept = [
        (np.setdiff1d(train, group), np.setdiff1d(test, group)) for group in groups for train, test in problem.splits
    ]
    if (fewest := min(len(test) for _, test in kept)) < FEWEST_TESTED:
        raise ConfigurationError(
            f"a split holds out {FEWEST_TESTED} images or more that are in no group left out",
            f"one of {n} images, {len(groups)} groups and {S} splits holds out {fewest}",
            "choose more groups of images, or hold out more",
        )
    r = np.empty((len(groups) * S, T, q))
    bar = tqdm(total=len(kept) * T, desc="without groups of images", unit="fit", disable=not progress, leave=False)
    with bar, threadpool_limits(1), ThreadPoolExecutor(n_jobs or os.cpu_count() or 1) as pool:
        if problem.temporal == "fixed":
            splits = [(problem.rows(train), problem.rows(test)) for train, test in kept]
            fits = mapping.held_out(
                problem.X.reshape(T * n, -1),
                splits,
                n_groups=T,
                map_splits=pool.map,
                advance=lambda k: bar.update(k * T),
            )
            r[:] = fits.correlate(problem.Y.reshape(1, T * n, q)).r[:, 0]
        else:
            for t in range(T):
                fits = mapping.held_out(problem.X[t], kept, map_splits=pool.map, advance=bar.update)
                r[:, t] = fits.correlate(problem.Y[t : t + 1]).r[:, 0, 0]
    return r.reshape(len(groups), S, T, q)
