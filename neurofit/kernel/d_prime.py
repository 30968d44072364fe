"""How well single images can be told from other objects: hits, false alarms and d' from a classifier's scores.

Letters: n images, K objects.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtri

Array = npt.NDArray[np.float64]

CLIP = 5.0
"""Largest d' of an image, either sign (Brain-Score's, by the specification of the papers, 7.1)."""
_LEAST_RATE = 2.0**-53  # the smallest distance of a rate from 1 that float64 resolves


def pairwise_hits(scores: npt.ArrayLike, truth: npt.ArrayLike) -> Array:
    """Return how surely each image is called its own object where the choice is that or one other.

    Class scores become probabilities by a softmax; of two objects the own is then chosen with
    ``p_own / (p_own + p_other) = 1 / (1 + exp(score_other - score_own))``.

    Parameters
    ----------
    scores : array (n, K)
        One score per object, on the scale of log odds.
    truth : array of int (n,)
        Column of each image's own object.

    Returns
    -------
    array (n, K)
        NaN in the own object's column.
    """
    scores, truth = np.asarray(scores, np.float64), np.asarray(truth)
    rows = np.arange(len(scores))
    hits = expit(scores[rows, truth][:, None] - scores)
    hits[rows, truth] = np.nan
    return hits


def image_d_prime(scores: npt.ArrayLike, truth: npt.ArrayLike) -> Array:
    """Return d' of every image: z(hit) - z(false alarm rate of its object), clipped to +-5.

    The hit rate is the mean of `pairwise_hits` over the K - 1 other objects. The false alarm rate of an object is the
    mean over all images of others of ``1 - pairwise_hits``: how surely they are called this object where the choice is
    that or their own.

    Parameters
    ----------
    scores, truth
        See `pairwise_hits`. With one object alone among the images, no false alarms exist.

    Returns
    -------
    array (n,)
        NaN where no image of another object is there to raise a false alarm.
    """
    truth = np.asarray(truth)
    hits = pairwise_hits(scores, truth)
    n_objects = hits.shape[1]
    others = np.isfinite(hits)
    filled = np.where(others, hits, 0.0)
    false_alarms = np.full(n_objects, np.nan)
    counts = others.sum(0)
    present = counts > 0
    false_alarms[present] = 1 - filled[:, present].sum(0) / counts[present]
    hit_rates = filled.sum(1) / (n_objects - 1)
    return np.clip(_z(hit_rates) - _z(false_alarms)[truth], -CLIP, CLIP)


def _z(rates: Array) -> Array:
    """Return the quantile of the standard normal distribution, finite for rates of 0 and 1."""
    return ndtri(np.clip(rates, _LEAST_RATE, 1 - _LEAST_RATE))


__all__ = ["CLIP", "image_d_prime", "pairwise_hits"]
