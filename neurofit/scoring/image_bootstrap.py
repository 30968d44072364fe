"""A score with its held-out images drawn with replacement, while the fits stay as they are."""

from __future__ import annotations

import numpy as np
import xarray as xr
from threadpoolctl import threadpool_limits

from neurofit.kernel.paired import draw_counts, weighted_pearson
from neurofit.scoring.jackknife import corrected_alike

DRAWS_AT_ONCE = 100


def with_images_drawn(score: xr.Dataset, n_draws: int, random_state: int) -> np.ndarray:
    """Return predictivity (B, q, T), mean over splits, in B draws of the images.

    A draw is of all n images, the same for all splits; each split's held-out ones count as often as they were drawn.
    The same seed draws the same images for every score of the same stimuli. Corrected by the score's own consistencies.

    Parameters
    ----------
    score : xarray.Dataset
        With predictions; see `scoring.predictions`.
    n_draws : int
        B.
    random_state : int
    """
    response, predicted, held_out = (score[name].values for name in ("response", "prediction", "held_out"))
    silent = score["silent"].values
    counts = draw_counts(len(response), n_draws, random_state)
    shape = response.shape[1:]
    values = np.empty((n_draws, *shape), np.float32)
    with threadpool_limits(1):
        for start in range(0, n_draws, DRAWS_AT_ONCE):
            drawn = counts[start : start + DRAWS_AT_ONCE]
            raw = np.stack(
                [
                    weighted_pearson(
                        own.reshape(len(rows), -1), response[rows].reshape(len(rows), -1), drawn[:, rows]
                    ).reshape(-1, *shape)
                    for own, rows in zip(predicted, held_out, strict=True)
                ],
                axis=1,
            )
            values[start : start + DRAWS_AT_ONCE] = _mean(corrected_alike(score, np.where(silent, 0.0, raw)))
    return values


def _mean(values: np.ndarray) -> np.ndarray:
    """Return the mean over splits (axis 1) of what is known."""
    known = np.isfinite(values)
    return np.where(known, values, 0.0).sum(1) / np.where(known.any(1), known.sum(1), np.nan)
