"""Spearman's correlation of whole batches."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from neurofit.kernel.correlation import pearson


def spearman(a: npt.ArrayLike, b: npt.ArrayLike, axis: int = 0) -> npt.NDArray[np.float64]:
    """Return Spearman's rank correlation of two arrays along an axis; ties have their mean rank.

    Parameters
    ----------
    a, b : array (..., n, ...)
        Of one shape, without NaN.
    axis : int
        Axis of the n samples.

    Returns
    -------
    ndarray (...)
        In [-1, 1]; NaN where all of one side are tied.
    """
    return pearson(rankdata(a, axis=axis), rankdata(b, axis=axis), axis)


__all__ = ["spearman"]
