"""Held-out predictions themselves, where correlations are not enough: images can then be drawn anew.

A score with predictions also has (dimensions split S, held_out m, neuroid q, time_bin T, stimulus n):

``prediction`` (S, m, q, T), float32
    Of the held-out stimuli of each split.
``held_out`` (S, m), int
    Which stimuli these are: rows of ``response``.
``response`` (n, q, T), float32
    Trial means of all stimuli; coordinate stimulus_id.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from neurofit.errors import MappingError
from neurofit.scoring.problem import Problem
from neurofit.vocabulary import NEUROID, SPLIT, STIMULUS_ID, TIME_BIN

HELD_OUT, STIMULUS = "held_out", "stimulus"


def with_predictions(
    score: xr.Dataset, problem: Problem, n_jobs: int | None = None, progress: bool = False
) -> xr.Dataset:
    """Return the score with held-out predictions and responses.

    Raises
    ------
    MappingError
        If splits hold out different numbers of stimuli.
    """
    sizes = sorted({len(test) for _, test in problem.splits})
    if len(sizes) > 1:
        raise MappingError(
            "predictions are kept where every split holds out as many stimuli",
            f"these hold out {sizes[0]} to {sizes[-1]}",
            "use a splitter with a fixed test_size",
        )
    predicted = held_out_predictions(problem, n_jobs, progress)
    return score.assign(
        prediction=((SPLIT, HELD_OUT, NEUROID, TIME_BIN), predicted.transpose(0, 2, 3, 1)),
        held_out=((SPLIT, HELD_OUT), np.stack([np.sort(test) for _, test in problem.splits])),
        response=((STIMULUS, NEUROID, TIME_BIN), problem.Y.transpose(1, 2, 0).astype(np.float32)),
    ).assign_coords({STIMULUS_ID: (STIMULUS, problem.stimulus_ids)})


def held_out_predictions(problem: Problem, n_jobs: int | None = None, progress: bool = False) -> np.ndarray:
    """Return predictions (S, T, m, q), float32, of each split's held-out stimuli in ascending order of their rows."""
    mapping: Any = problem.mapping
    T, n, q = problem.Y.shape
    out = np.empty((len(problem.splits), T, len(problem.splits[0][1]), q), np.float32)
    bar = tqdm(total=out.shape[0] * T, desc="predictions", unit="fit", disable=not progress, leave=False)

    def one(split: int, source: Any, bins: Sequence[int]) -> None:
        train, test = problem.splits[split][0], np.sort(problem.splits[split][1])
        if problem.temporal == "fixed":
            stacked = problem.Y.reshape(1, T * n, q)
            found = mapping.predict_held_out(source, stacked, problem.rows(train), problem.rows(test))[0]
            out[split] = np.asarray(found).reshape(T, len(test), q)
        else:
            out[split, list(bins)] = mapping.predict_held_out(source, problem.Y[list(bins)], train, test)[0]
        bar.update(len(bins))

    groups = [list(range(T))] if problem.temporal == "fixed" else [[t] for t in range(T)]
    with bar, threadpool_limits(1), ThreadPoolExecutor(n_jobs or os.cpu_count() or 1) as pool:
        for bins in groups:
            features = problem.X.reshape(T * n, -1) if problem.temporal == "fixed" else problem.X[bins[0]]
            source = mapping.prepare(features)
            list(pool.map(partial(one, source=source, bins=bins), range(len(problem.splits))))
    return out
