"""How consistent a recording is with itself."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurofit.assembly.build import stimulus_index
from neurofit.assembly.schema import check_assembly, has_repetitions
from neurofit.errors import ReliabilityError
from neurofit.kernel.reliability import halve, halvings_by_repetition, spearman_brown
from neurofit.kernel.split_half import split_half_correlations
from neurofit.vocabulary import HALVING, NEUROID, PRESENTATION, REPETITION, TIME_BIN

SCHEMES = ("per-stimulus", "by-repetition")


def internal_consistency(
    recording: xr.DataArray, n_halvings: int = 10, random_state: int = 0, scheme: str = "per-stimulus"
) -> xr.DataArray:
    """Return the split-half consistency of every neuroid and time bin over all stimuli.

    Parameters
    ----------
    recording : xarray.DataArray (presentation, neuroid, time_bin)
        With repetitions.
    n_halvings : int
        10 (neuroailab/streams @ 0570ab1; Brain-Score the same).
    random_state : int
    scheme : {'per-stimulus', 'by-repetition'}
        Halve each stimulus' own repetitions at random (the number may differ between stimuli, and an odd one goes to
        either half), or halve the repetition ordinals of the whole recording at once, as Brain-Score does.

    Returns
    -------
    xarray.DataArray (halving, neuroid, time_bin)
        Pearson r of the two halves' means over stimuli, Spearman-Brown corrected; NaN where a half does not vary.

    Raises
    ------
    ReliabilityError
        If stimuli were shown once only.
    """
    check_assembly(recording)
    if not has_repetitions(recording):
        raise ReliabilityError(
            "a consistency needs repetitions",
            f"each of the {recording.sizes[PRESENTATION]} stimuli was shown once",
            "use a recording with its repetitions",
        )
    index = stimulus_index(recording)[1]
    if scheme == "by-repetition":
        masks = list(halvings_by_repetition(recording[REPETITION].values, n_halvings, random_state))
    else:
        rng = np.random.default_rng(random_state)
        masks = [halve(index, rng) for _ in range(n_halvings)]
    values = spearman_brown(split_half_correlations(recording.values, index, np.stack(masks)))
    coords = {k: v for k, v in recording.coords.items() if PRESENTATION not in v.dims}
    return xr.DataArray(values, dims=(HALVING, NEUROID, TIME_BIN), coords=coords, name="internal_consistency")
