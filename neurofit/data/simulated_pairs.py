"""Pairs of simulated models of a simulated brain, to see how often a comparison finds what is there, or is not.

All of it is SIMULATED. Feature k of a model for image i in bin t is::

    early:  q_k . a(i) + s e_k(i)            for as long as the recording lasts
    late:   h(t) (q_k . b(i) + s e_k(i))     h rises and falls as the brain's late response does

a(i) and b(i) are the latents that the brain's early and late responses are tuned to, q_k is a random rotation, and
e_k(i) is noise of the model's own for every image: what else a network sees. The recurrent model has early and late
features, the feed-forward one is the same model without the late ones.

In the control there is no recurrence, neither in the brain nor in a model: late responses last as long, but repeat what
the early ones say, and both models are draws of early features. Neither is better but by the luck of the images.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurofit.assembly.build import make_assembly
from neurofit.assembly.time_bins import make_time_bins, rebin
from neurofit.data.simulated import SimulatedVentralStream
from neurofit.data.simulated_populations import late_course
from neurofit.errors import ConfigurationError
from neurofit.vocabulary import SIMULATED, STIMULUS_ID

LATE_ONSET_MS, LATE_DURATION_MS = 140.0, 120.0
"""Middles of the onsets and durations of late responses that `simulated_populations` draws for IT."""
FEATURE_NOISE = 0.5
_MODEL_SEED = 17


@dataclass(frozen=True)
class SimulatedPair:
    """A simulated recording and two models of it.

    Parameters
    ----------
    recurrence : bool
        Whether the brain's late responses say something new and the first model knows it.
    n_views : int
        Pictures of each of 64 objects.
    random_state : int
        Of pictures, neuroids, trials and models.
    start_ms, width_ms : int
        Of the time bins, which go to the end of the recording at 260 ms; before 60 ms nobody responds.
    n_early, n_late : int
        Features of a model, and those that the recurrent one has besides.
    """

    recurrence: bool = True
    n_views: int = 3
    random_state: int = 0
    start_ms: int = 60
    width_ms: int = 20
    n_early: int = 20
    n_late: int = 20

    def simulate(self, region: str = "IT") -> tuple[xr.DataArray, xr.DataArray, xr.DataArray]:
        """Return the recording, trial by trial, and the features of the recurrent and of the feed-forward model.

        Parameters
        ----------
        region : {'V4', 'IT'}

        Returns
        -------
        recording, recurrent, feedforward : xarray.DataArray (presentation, neuroid, time_bin)
        """
        stream = SimulatedVentralStream(self.n_views, self.random_state, self.recurrence)
        recording, truth = stream.record_with_truth(region)
        bins = make_time_bins(self.start_ms, 260, self.width_ms)
        early, late = (truth.latents[:, np.abs(weights).max(1) > 0] for weights in truth.weights)
        rng = np.random.default_rng([self.random_state, _MODEL_SEED])
        always = np.ones(len(bins))
        hump = late_course(np.array([LATE_ONSET_MS]), np.array([LATE_DURATION_MS]), np.array(bins).mean(1))[0]
        first = _features(early, self.n_early, rng)[:, :, None] * always
        if self.recurrence:
            second = first
            first = np.concatenate([first, _features(late, self.n_late, rng)[:, :, None] * hump], axis=1)
        else:
            second = _features(early, self.n_early, rng)[:, :, None] * always
        ids = stream.table()[STIMULUS_ID].tolist()
        recurrent, feedforward = _assembly(first, "recurrent", ids, bins), _assembly(second, "feed-forward", ids, bins)
        return rebin(recording, bins), recurrent, feedforward


def _assembly(values: np.ndarray, name: str, ids: list[str], bins: list[tuple[int, int]]) -> xr.DataArray:
    return make_assembly(
        values.astype(np.float32),
        stimulus_id=ids,
        neuroid_id=[f"{name}-{k}" for k in range(values.shape[1])],
        subject=name,
        layer="features",
        time_bins=bins,
        attrs={SIMULATED: 1},
    )


def _features(latents: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return combinations of the D latents (n, count) with noise for every image, count >= D.

    The weights are a random rotation of the latents into `count` dimensions. Any two draws are then rotations of each
    other but for the noise, and know as much about the latents: with random weights one model would be better.
    """
    if count < latents.shape[1]:
        raise ConfigurationError(
            "a simulated model has as many features as its region has latents, or more",
            f"{count} features of {latents.shape[1]} latents were asked for",
            "raise n_early or n_late",
        )
    rotation = np.linalg.qr(rng.standard_normal((count, count)))[0][: latents.shape[1]]
    return latents @ rotation + FEATURE_NOISE * rng.standard_normal((len(latents), count))
