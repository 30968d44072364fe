"""Windows of time in which comparisons are summarised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurofit.errors import ConfigurationError, listed

Window = tuple[int, int]

RESPONSE_MS = (70, 260)
"""First time bin that the papers fit (specification 6.2, there from memory) and the end of their recordings (5)."""

FEEDFORWARD_END_MS = {"V4": 150, "pIT": 170, "cIT": 190, "aIT": 190, "IT": 190}
"""Where feed-forward curves of the 2018 figure fall to zero (digitised, specification 5); IT has the later part's."""


def default_windows(region: str) -> dict[str, Window]:
    """Return the early, late and whole window of a region, in ms from stimulus onset.

    Early is while a feed-forward network of the papers responds, late after that, for an image shown for 100 ms.
    """
    start, end = RESPONSE_MS
    turn = FEEDFORWARD_END_MS.get(region, FEEDFORWARD_END_MS["IT"])
    return {"early": (start, turn), "late": (turn, end), "whole": (start, end)}


def bins_in_windows(
    bins: Sequence[Window], windows: Mapping[str, Window], all_named: bool = False
) -> dict[str, np.ndarray]:
    """Return the indices of the bins that lie inside each window; windows without any are left out.

    With none in any window, as of a recording with a single long bin, all bins are one window, 'all'.

    Raises
    ------
    ConfigurationError
        If a window ends before it starts, or, with `all_named`, if one has no bin.
    """
    for name, (start, end) in windows.items():
        if start >= end:
            raise ConfigurationError("a window ends after it starts", f"'{name}' is {start}-{end} ms", "correct it")
    edges = np.array(bins)
    found = {
        name: np.flatnonzero((edges[:, 0] >= start) & (edges[:, 1] <= end)) for name, (start, end) in windows.items()
    }
    if all_named and (empty := [name for name, inside in found.items() if not len(inside)]):
        raise ConfigurationError(
            "at least one time bin lies inside each window that is named",
            f"there is none in {listed(empty)}; the bins span {edges.min()}-{edges.max()} ms",
            "name windows of whole bins, or take those of the region",
        )
    found = {name: inside for name, inside in found.items() if len(inside)}
    return found or {"all": np.arange(len(bins))}
