"""Mapping consistency where the source is noisy itself: another animal, whose trials are halved as the target's are.

M1 is the prediction of a mapping from the source's first half to the target's first half, made from the source's first
half; M2 is the same of the second halves (specification of the ConvRNN papers, 6.3: neuroailab/brainmodel_utils @
164d3a2). No trial of either animal is in both, so that r(M1, M2) loses what the noise of *both* animals costs.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from neurofit.kernel.correlation import pearson
from neurofit.kernel.reliability import spearman_brown
from neurofit.kernel.trials import half_means_of_all
from neurofit.scoring.problem import Problem


@dataclass(frozen=True)
class HalvedTrials:
    """Single trials of some neuroids, and how they are halved.

    Parameters
    ----------
    trials : array (T, presentations, neuroids)
    stimulus : array of int (presentations,)
        Index of the stimulus, 0 ... n - 1.
    halvings : list of H arrays of bool (presentations,)
    """

    trials: np.ndarray
    stimulus: np.ndarray
    halvings: list[np.ndarray]

    def means(self, halving: int, bins: Sequence[int]) -> np.ndarray:
        """Return the two halves' means (2, bins x n, neuroids), stacked bin by bin."""
        mask = self.halvings[halving][None]
        n = int(self.stimulus.max()) + 1
        each = [half_means_of_all(self.trials[t], self.stimulus, n, mask)[0] for t in bins]
        return np.concatenate(each, axis=1)


def consistency_of_both(
    problem: Problem, sources: Sequence[HalvedTrials], n_jobs: int | None = None, progress: bool = False
) -> np.ndarray:
    """Return the mapping consistency when source and target are halved.

    Parameters
    ----------
    problem : Problem
        Of the target; its halvings are those of the target's trials.
    sources : sequence of HalvedTrials
        Populations on the same n stimuli, as many halvings each; their neuroids are joined.
    n_jobs : int, optional
        Threads; all cores by default.
    progress : bool

    Returns
    -------
    array (S, H, T, q)
        Spearman-Brown corrected correlations of M1 and M2 over held-out stimuli; NaN where one does not vary.
    """
    T, _, q = problem.Y.shape
    S, H = len(problem.splits), len(problem.halvings)
    target = HalvedTrials(problem.trials, problem.stimulus, problem.halvings)
    groups = [list(range(T))] if problem.temporal == "fixed" else [[t] for t in range(T)]
    out = np.empty((S, H, T, q))
    bar = tqdm(total=2 * S * H * len(groups), desc="halves of both", unit="fit", disable=not progress, leave=False)

    def one(task: tuple[list[int], int]) -> None:
        bins, halving = task
        X = np.concatenate([source.means(halving, bins) for source in sources], axis=2)
        out[:, halving, bins] = _refitted(problem, X, target.means(halving, bins), bins)
        bar.update(2 * S)

    with bar, threadpool_limits(1), ThreadPoolExecutor(n_jobs or os.cpu_count() or 1) as pool:
        list(pool.map(one, product(groups, range(H))))
    return spearman_brown(out)


def _refitted(problem: Problem, X: np.ndarray, Y: np.ndarray, bins: Sequence[int]) -> np.ndarray:
    """Correlate (S, bins, q) the predictions of two mappings, from X[i] to Y[i] of half i, (2, bins x n, p or q)."""
    mapping: Any = problem.mapping
    sources = [mapping.prepare(half) for half in X]
    targets = [source.with_targets(half[None]) for source, half in zip(sources, Y, strict=True)]
    found = []
    for split in problem.splits:
        train, test = (problem.rows(part) for part in split) if problem.temporal == "fixed" else split
        one, two = (
            np.asarray(mapping.predict_held_out(source, target, train, test)[0]).reshape(len(bins), -1, Y.shape[2])
            for source, target in zip(sources, targets, strict=True)
        )
        found.append(pearson(one, two, axis=1))
    return np.stack(found)
