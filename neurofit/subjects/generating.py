"""A subject whose layers are the stages of the simulated ventral stream itself: which one drives which area is known.

It is SIMULATED ground truth, to try methods on: a method that asks which layer matches V4 or IT of the embedded
recordings has to answer 'V4' and 'IT'.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cached_property

import numpy as np
import xarray as xr

from neurofit.assembly.align import select_stimuli
from neurofit.assembly.build import make_assembly
from neurofit.assembly.time_bins import TimeBins, rebin
from neurofit.data.simulated import NAME as DATASET_NAME
from neurofit.data.simulated import SimulatedVentralStream
from neurofit.data.simulated_populations import POPULATIONS, TIME_BINS, early_course, late_course
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import UnknownNameError
from neurofit.kernel.routes import Basis
from neurofit.subjects.viewing import Viewing
from neurofit.vocabulary import SIMULATED, STIMULUS_ID

NAME = "sim_truth"
ENERGIES = "energies"
REGION_LAYERS = {"V4": "V4", "IT": "IT", "pIT": "IT", "aIT": "IT"}
ENERGIES_LATENCY_MS = 40.0
"""When the first stage begins: before all simulated V4, whose earliest neuroid responds at 50 ms."""
LATE_ONSET_MS, LATE_DURATION_MS = 55.0, 120.0
"""Of the late response after the early one began: the middles of what the neuroids' are drawn from."""


class GeneratingSubject:
    """The simulated ventral stream as a model of itself.

    Layer 'energies' has the local contrast energies of the pictures, 'V4' and 'IT' the latents that neuroids of these
    regions respond to. Every feature occurs twice, once with the course of an early and once with that of a late
    response (the energies once, early), so that the mean rate of a neuroid in a bin is linear in its region's layer;
    courses begin with the region's earliest neuroid, and are 0 before.

    Parameters
    ----------
    stream : SimulatedVentralStream, optional
        The embedded default's.
    """

    def __init__(self, stream: SimulatedVentralStream | None = None) -> None:
        self.stream = stream or SimulatedVentralStream()

    @property
    def name(self) -> str:
        """Name, as it appears in tables."""
        return NAME

    @property
    def layers(self) -> tuple[str, ...]:
        """Stages of the simulation, from input to output."""
        return (ENERGIES, "V4", "IT")

    @property
    def region_layers(self) -> Mapping[str, str]:
        """Which stage drives which region."""
        return REGION_LAYERS

    def record(
        self,
        stimuli: StimulusSet,
        *,
        layer: str,
        time_bins: TimeBins,
        viewing: Viewing | None = None,
        basis: Basis = "units",
        progress: bool = False,
    ) -> xr.DataArray:
        """Return one stage's responses to these stimuli; see `record_many`."""
        return self.record_many(stimuli, layers=[layer], time_bins=time_bins, viewing=viewing)[layer]

    def record_many(
        self,
        stimuli: StimulusSet,
        *,
        layers: Collection[str],
        time_bins: TimeBins,
        viewing: Viewing | None = None,
        basis: Basis = "units",
        progress: bool = False,
    ) -> dict[str, xr.DataArray]:
        """Return the responses of several stages to stimuli of the simulation.

        `viewing` is fixed: 100 ms, recorded for 260. Features are few: `basis` is not used.

        Raises
        ------
        UnknownNameError
            If a layer is no stage of the simulation.
        AlignmentError
            If a stimulus is not the simulation's.
        AssemblyError
            If a bin reaches beyond 0-260 ms.
        """
        for layer in layers:
            if layer not in self.layers:
                raise UnknownNameError("layer", layer, self.layers)
        return {
            layer: select_stimuli(rebin(self._assembly(layer), time_bins), stimuli.ids, f"recording of {NAME}")
            for layer in dict.fromkeys(layers)
        }

    def describe(self) -> dict[str, object]:
        """Return that it is simulated, and of which stream it is the truth."""
        return {
            "kind": "SIMULATED ground truth",
            "name": NAME,
            SIMULATED: True,
            "dataset": DATASET_NAME,
            "n_views": self.stream.n_views,
            "random_state": self.stream.random_state,
        }

    @cached_property
    def _stages(self) -> dict[str, np.ndarray]:
        return self.stream.stages()

    def _assembly(self, layer: str) -> xr.DataArray:
        """Return a stage laid out over the simulation's bins: (n stimuli, features times courses, T)."""
        features, courses = self._stages[layer], _courses(layer)
        values = np.concatenate([features[:, :, None] * course for course in courses], axis=1)
        return make_assembly(
            values.astype(np.float32),
            stimulus_id=self.stream.table()[STIMULUS_ID].to_numpy(str),
            neuroid_id=[
                f"{layer}-{kind}-{k}" for kind in ("early", "late")[: len(courses)] for k in range(features.shape[1])
            ],
            subject=NAME,
            layer=layer,
            time_bins=TIME_BINS,
            attrs={"units": values.shape[1], "route": "raw", "reduction": "none", SIMULATED: 1},
        )


def _courses(layer: str) -> list[np.ndarray]:
    """Return the courses (T,) of a stage's features, peak 1."""
    if layer == ENERGIES:
        return [early_course(np.array([ENERGIES_LATENCY_MS]))[0]]
    latency = min(p.latency_ms[0] for p in POPULATIONS if p.region == layer)
    late = late_course(np.array([latency + LATE_ONSET_MS]), np.array([LATE_DURATION_MS]))
    return [early_course(np.array([latency]))[0], late[0]]
