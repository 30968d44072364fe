"""When a course in time first reaches a level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def first_crossing(values: npt.ArrayLike, times: npt.ArrayLike, level: npt.ArrayLike) -> Array:
    """Return when each course first reaches its level, interpolated between the sample below and the first that is not.

    Parameters
    ----------
    values : array (..., T)
    times : array (T,)
        Ascending.
    level : array (...), broadcast with the courses

    Returns
    -------
    array (...)
        NaN where the level is never reached, or level or course are NaN up to there. A course that starts at its level
        or above crosses at the first time: when it did so before is not known.
    """
    values, times = np.asarray(values, np.float64), np.asarray(times, np.float64)
    level = np.broadcast_to(np.asarray(level, np.float64), values.shape[:-1])
    with np.errstate(invalid="ignore"):
        reached = values >= level[..., None]
    first = reached.argmax(-1)
    before = np.maximum(first - 1, 0)
    low, high = (np.take_along_axis(values, i[..., None], -1)[..., 0] for i in (before, first))
    rise = np.where(first > before, high - low, 1.0)
    with np.errstate(invalid="ignore"):
        share = np.where(first > before, (level - low) / rise, 0.0)
    crossing = times[before] + share * (times[first] - times[before])
    return np.where(reached.any(-1), crossing, np.nan)


__all__ = ["first_crossing"]
