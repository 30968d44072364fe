"""Which of several things no other beats both in cost and in value."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def pareto_front(cost: npt.ArrayLike, value: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Say which points are not dominated.

    A point dominates another if it costs no more and is worth no less, and one of the two strictly. Equal points do
    not dominate each other; a point with NaN is not on the front and dominates nothing.

    Parameters
    ----------
    cost, value : array (n,)

    Returns
    -------
    ndarray of bool (n,)
    """
    x, y = np.asarray(cost, np.float64), np.asarray(value, np.float64)
    no_worse = (x[:, None] <= x) & (y[:, None] >= y)
    better = (x[:, None] < x) | (y[:, None] > y)
    return ~(no_worse & better).any(axis=0) & ~np.isnan(x) & ~np.isnan(y)
