"""A simulated ventral stream, recorded while it sees rendered pictures: the truth is known in closed form.

Mean count of neuroid j to image i in 10 ms bin t::

    rate_j(i, t) = base_j + early_j(t) (1 + m_j e_j(i)) + late_j(t) (1 + m_j l_j(i))

`early_j` and `late_j` are non-negative courses in time, e_j and l_j linear combinations of the region's latents within
[-1, 1], and |m_j| <= 1 (`weights` holds m_j e_j and m_j l_j): no rate is negative, and the best predictor from the
latents is linear. Counts are Poisson, independent over trials and bins. All of it is simulated; no number here comes
from an animal except where said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assembly.build import make_assembly, select_region
from neurofit.data.rendering import RenderedImages, hvm_like_table
from neurofit.data.simulated_latents import (
    FEATURE_SIZE_PX,
    IT_PARTS,
    V4_PARTS,
    it_latents,
    part_names,
    pooled_energies,
    v4_latents,
)
from neurofit.data.simulated_populations import POPULATIONS, TIME_BINS, draw_courses, draw_tuning
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import UnknownNameError
from neurofit.vocabulary import DATASET, NEUROID_ID, REGION, SIMULATED, STIMULUS_ID, SUBJECT, SUBREGION

NAME = "sim-ventral"
SIZE_DEG = 8.0  # as in the recordings that are imitated (specification of the ConvRNN papers, section 5)
REPETITIONS = (8, 14)  # fewest and most showings of a stimulus; tuned together with the populations' rates
_REGIONS = {"V4": (V4_PARTS, v4_latents), "IT": (IT_PARTS, it_latents)}
_REPETITION_SEED, _LATENT_SEED, _NEUROID_SEED, _TRIAL_SEED = range(2, 6)


@dataclass(frozen=True, eq=False)
class SimulatedRegion:
    """The neuroids of one region and all that their responses are made of.

    Parameters
    ----------
    neuroids : DataFrame
        One row per neuroid: neuroid_id, subject, region, subregion.
    latents : array (n, D)
        What the neuroids respond to, standardised over the n images.
    latent_names : list of str
        Of the D columns.
    base : array (N,)
        Mean count per bin without a stimulus.
    courses : array (2, N, T)
        Mean count per bin of the early and the late component.
    weights : array (2, D, N)
        Tuning of the two components; `latents @ weights[c]` lies within [-1, 1].
    repetitions : array (n,), int
        Showings of each image.
    """

    neuroids: pd.DataFrame
    latents: np.ndarray
    latent_names: list[str]
    base: np.ndarray
    courses: np.ndarray
    weights: np.ndarray
    repetitions: np.ndarray

    def rates(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the mean counts per bin (n, N, T) of all images, or of those at `rows`."""
        latents = self.latents if rows is None else self.latents[rows]
        rates = np.broadcast_to(self.base[:, None], (len(latents), *self.courses.shape[1:]))
        for course, weights in zip(self.courses, self.weights, strict=True):
            rates = rates + (1 + latents @ weights)[:, :, None] * course
        return rates

    def signal_variance(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the variance (N, T) of the rates over images (all, or those at `rows`)."""
        return self.rates(rows).var(0)

    def noise_variance(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the trial noise (N, T) left in the mean over all showings, averaged over images: E_i[rate_i / n_i]."""
        return self._mean_noise(1 / self.repetitions, rows)

    def true_reliability(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the share (N, T) of signal in the variance of trial means over images.

        It is the expected correlation between two recordings like this one, and its square root the correlation
        of the trial means with the true rates.
        """
        signal = self.signal_variance(rows)
        return signal / (signal + self.noise_variance(rows))

    def true_ceiling(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the correlation (N, T) that the perfect predictor has with the trial means: sqrt of reliability."""
        return np.sqrt(self.true_reliability(rows))

    def expected_consistency(self, rows: np.ndarray | None = None) -> np.ndarray:
        """Return what the split-half consistency with Spearman-Brown correction should come to (N, T).

        Halves are of n_i // 2 and of n_i - n_i // 2 showings, and chance says which half is the larger. Each half then
        carries the noise h = E_i[rate_i (1 / floor + 1 / ceil) / 2], halves correlate by r = S / (S + h), and
        2 r / (1 + r) = S / (S + h / 2): for even n_i this is the reliability, for odd ones a little less.
        """
        small = self.repetitions // 2
        large = self.repetitions - small
        signal = self.signal_variance(rows)
        return signal / (signal + self._mean_noise((1 / small + 1 / large) / 4, rows))

    def _mean_noise(self, factor: np.ndarray, rows: np.ndarray | None) -> np.ndarray:
        factor = factor if rows is None else factor[rows]
        return np.einsum("int,i->nt", self.rates(rows), factor) / len(factor)


@dataclass(frozen=True)
class SimulatedVentralStream:
    """Two simulated animals' V4 and IT, and the pictures that they see: 64 objects in `n_views` poses each.

    Everything follows from the fields; nothing is kept between calls.

    Parameters
    ----------
    n_views : int
        Pictures of each object; 10 give 640 stimuli.
    random_state : int, not negative
        Of the pictures, neuroids and trials.
    recurrence : bool
        Whether late responses are tuned to other things than early ones. Without it they last as long and are as noisy,
        but repeat what the early ones say: the control for claims about dynamics.
    """

    n_views: int = 10
    random_state: int = 0
    recurrence: bool = True

    def table(self) -> pd.DataFrame:
        """Return the stimuli; see `neurofit.data.rendering.hvm_like_table`.

        Raises
        ------
        ConfigurationError
            If n_views is less than 1.
        """
        return hvm_like_table(self.n_views, self.random_state)

    def stimuli(self, size_px: int = 128) -> StimulusSet:
        """Return the pictures as a stimulus set; each is drawn when it is read."""
        table = self.table()
        return StimulusSet(NAME, table, RenderedImages(table, size_px), SIZE_DEG, simulated=True)

    def repetitions(self) -> np.ndarray:
        """Return how often each stimulus is shown (n,), the same for both animals and regions."""
        rng = np.random.default_rng([self.random_state, _REPETITION_SEED])
        fewest, most = REPETITIONS
        return rng.integers(fewest, most + 1, len(self.table()))

    def truth(self, region: str) -> SimulatedRegion:
        """Return the neuroids of 'V4' or 'IT' and what their responses are made of.

        Raises
        ------
        UnknownNameError
            If it is not simulated.
        """
        if region not in _REGIONS:
            raise UnknownNameError("region", region, _REGIONS)
        return self._simulate([region])[region]

    def record(self, region: str | None = None) -> xr.DataArray:
        """Return spike counts, trial by trial; the same ones at every call.

        Parameters
        ----------
        region : str, optional
            'V4', 'IT', or a subregion of IT; both regions together by default.

        Returns
        -------
        xarray.DataArray (presentation, neuroid, time_bin), float32
            Counts per 10 ms bin. Presentations come in blocks: every stimulus once, then again, and so on; stimuli with
            fewer repetitions are missing from the last blocks. Coordinates stimulus_id, repetition, object_name,
            category_name; attrs simulated=1, dataset, units, random_state.

        Raises
        ------
        UnknownNameError
            If the region is not simulated.
        """
        recording = self._recorded(self._simulate(_regions_with(region)))
        return recording if region in (None, *_REGIONS) else select_region(recording, str(region))

    def record_with_truth(self, region: str) -> tuple[xr.DataArray, SimulatedRegion]:
        """Return the recording of 'V4' or 'IT' and the truth about it; the pictures are drawn once.

        Raises
        ------
        UnknownNameError
            If the region is not simulated.
        """
        if region not in _REGIONS:
            raise UnknownNameError("region", region, _REGIONS)
        truths = self._simulate([region])
        return self._recorded(truths), truths[region]

    def _recorded(self, truths: Mapping[str, SimulatedRegion]) -> xr.DataArray:
        repetitions = self.repetitions()
        blocks = [np.flatnonzero(repetitions > r) for r in range(repetitions.max())]
        shown = self.table().iloc[np.concatenate(blocks)]
        neuroids = pd.concat([t.neuroids for t in truths.values()])
        return make_assembly(
            self._count_spikes(truths, blocks),
            stimulus_id=shown[STIMULUS_ID].tolist(),
            repetition=np.repeat(np.arange(len(blocks)), [len(b) for b in blocks]).tolist(),
            neuroid_id=neuroids[NEUROID_ID].tolist(),
            subject=neuroids[SUBJECT].tolist(),
            region=neuroids[REGION].tolist(),
            subregion=neuroids[SUBREGION].tolist(),
            time_bins=TIME_BINS,
            presentation_coords={name: shown[name].to_numpy(str) for name in ("object_name", "category_name")},
            attrs={SIMULATED: 1, DATASET: NAME, "units": "spikes per bin", "random_state": self.random_state},
        )

    def stages(self, regions: Sequence[str] = tuple(_REGIONS)) -> dict[str, np.ndarray]:
        """Return what the simulation computes of its stimuli on the way to the responses; they are drawn once.

        Parameters
        ----------
        regions : sequence of {'V4', 'IT'}

        Returns
        -------
        dict from str to array (n, features)
            'energies', the first stage (see `pooled_energies`), and the latents that each region responds to.
        """
        table = self.table()
        images = RenderedImages(table, FEATURE_SIZE_PX)
        energies = pooled_energies(np.stack([images[row] for row in range(len(table))]))
        latents = {
            region: _REGIONS[region][1](energies, table, self._generator(_LATENT_SEED, region)) for region in regions
        }
        return {"energies": energies.reshape(len(table), -1), **latents}

    def _simulate(self, regions: Sequence[str]) -> dict[str, SimulatedRegion]:
        """Return the truth about some regions."""
        repetitions, stages = self.repetitions(), self.stages(regions)
        truths = {
            region: _populate(
                region, _REGIONS[region][0], stages[region], repetitions, self._generator(_NEUROID_SEED, region)
            )
            for region in regions
        }
        if not self.recurrence:
            truths = {name: replace(t, weights=np.stack([t.weights[0]] * 2)) for name, t in truths.items()}
        return truths

    def _count_spikes(self, truths: Mapping[str, SimulatedRegion], blocks: Sequence[np.ndarray]) -> np.ndarray:
        """Draw the counts (presentations, all neuroids, T), block of presentations by block."""
        sizes = [len(t.neuroids) for t in truths.values()]
        counts = np.empty((sum(len(b) for b in blocks), sum(sizes), len(TIME_BINS)), np.float32)
        rows = np.split(counts, np.cumsum([len(b) for b in blocks])[:-1])
        ends = np.cumsum(sizes)
        for (region, truth), end in zip(truths.items(), ends, strict=True):
            rates, rng = truth.rates(), self._generator(_TRIAL_SEED, region)
            for block, shown in zip(blocks, rows, strict=True):
                shown[:, end - rates.shape[1] : end] = rng.poisson(rates[block])
        return counts

    def _generator(self, purpose: int, region: str) -> np.random.Generator:
        """Return a stream of random numbers of its own for every purpose and region, whatever else is simulated."""
        return np.random.default_rng([self.random_state, purpose, list(_REGIONS).index(region)])


def _regions_with(name: str | None) -> list[str]:
    """Return the regions to simulate for a region, a subregion or, by default, everything."""
    if name is None:
        return list(_REGIONS)
    found = [p.region for p in POPULATIONS if name in (p.region, p.subregion)]
    if not found:
        raise UnknownNameError("region", name, {*_REGIONS, *(p.subregion for p in POPULATIONS)})
    return found[:1]


def _populate(
    region: str, parts: Mapping[str, int], latents: np.ndarray, repetitions: np.ndarray, rng: np.random.Generator
) -> SimulatedRegion:
    populations = [p for p in POPULATIONS if p.region == region]
    bases, courses = zip(*(draw_courses(p, rng) for p in populations), strict=True)
    weights = [draw_tuning(p, parts, latents, rng) for p in populations]
    return SimulatedRegion(
        neuroids=pd.concat([p.neuroids() for p in populations], ignore_index=True),
        latents=latents,
        latent_names=part_names(parts),
        base=np.concatenate(bases),
        courses=np.concatenate(courses, 1),
        weights=np.concatenate(weights, 2),
        repetitions=repetitions,
    )
