"""Whoever is recorded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import xarray as xr

from neurofit.assembly.align import select_stimuli
from neurofit.assembly.build import average_repetitions, select_region
from neurofit.assembly.schema import check_assembly
from neurofit.assembly.time_bins import TimeBins, rebin
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import AlignmentError, listed
from neurofit.kernel.routes import Basis
from neurofit.subjects.viewing import Viewing
from neurofit.vocabulary import NEUROID, REGION, SIMULATED, SUBJECT


class Subject(Protocol):
    """An animal or a model: shown stimuli, it yields an assembly.

    `layers` are the stages (models) or regions (animals) that can be recorded.
    """

    @property
    def name(self) -> str:
        """Name, as it appears in tables."""

    @property
    def layers(self) -> Sequence[str]:
        """What can be recorded."""

    def record(
        self,
        stimuli: StimulusSet,
        *,
        layer: str,
        time_bins: TimeBins,
        viewing: Viewing,
        basis: Basis = "units",
        progress: bool = False,
    ) -> xr.DataArray:
        """Return responses (presentation, neuroid, time_bin), one presentation per stimulus, in the set's order.

        `basis` is what the neuroids may be where there are too many to keep; see `ModelSubject.record_many`.
        """

    def record_many(
        self,
        stimuli: StimulusSet,
        *,
        layers: Collection[str],
        time_bins: TimeBins,
        viewing: Viewing,
        basis: Basis = "units",
        progress: bool = False,
    ) -> dict[str, xr.DataArray]:
        """Return the responses of several layers from one pass over the stimuli."""

    def describe(self) -> dict[str, object]:
        """Return what a record must say of the subject: scalars and strings."""


class RecordedSubject:
    """An animal's recording as a subject, so that animals are mapped to animals as models are.

    Parameters
    ----------
    recording : xarray.DataArray (presentation, neuroid, time_bin)
        With or without repetitions; they are averaged.
    name : str, optional
        One animal of the recording; all its neuroids together by default.
    """

    def __init__(self, recording: xr.DataArray, name: str | None = None) -> None:
        check_assembly(recording)
        if name is not None:
            mine = recording[SUBJECT].values.astype(str) == name
            if not mine.any():
                raise AlignmentError(
                    "a recorded subject is in its recording",
                    f"'{name}' is not among {listed(sorted(set(recording[SUBJECT].values.tolist())))}",
                    "choose one of these",
                )
            recording = recording.isel({NEUROID: mine.nonzero()[0]})
        self._name = name or "+".join(sorted(set(recording[SUBJECT].values.astype(str).tolist())))
        self._mean = average_repetitions(recording)

    @property
    def name(self) -> str:
        """Name of the animal or animals."""
        return self._name

    @property
    def layers(self) -> list[str]:
        """Regions that were recorded."""
        return sorted(set(self._mean[REGION].values.astype(str).tolist()))

    def record(
        self,
        stimuli: StimulusSet,
        *,
        layer: str,
        time_bins: TimeBins,
        viewing: Viewing,
        basis: Basis = "units",
        progress: bool = False,
    ) -> xr.DataArray:
        """Replay the trial-mean responses of a region to these stimuli.

        `viewing` was fixed when the recording was made, and neuroids are few: neither it nor `basis` is used.

        Raises
        ------
        UnknownNameError
            If `layer` is not a recorded region or subregion.
        AlignmentError
            If a stimulus was never shown to the animal.
        """
        return select_stimuli(
            rebin(select_region(self._mean, layer), time_bins), stimuli.ids, f"recording of {self.name}"
        )

    def record_many(
        self,
        stimuli: StimulusSet,
        *,
        layers: Collection[str],
        time_bins: TimeBins,
        viewing: Viewing,
        basis: Basis = "units",
        progress: bool = False,
    ) -> dict[str, xr.DataArray]:
        """Replay the trial-mean responses of several regions; see `record`."""
        return {
            layer: self.record(stimuli, layer=layer, time_bins=time_bins, viewing=viewing, basis=basis)
            for layer in layers
        }

    def describe(self) -> dict[str, object]:
        """Return kind, name and whether the recording is simulated."""
        return {"kind": "animal", "name": self.name, "simulated": bool(self._mean.attrs.get(SIMULATED, 0))}


def weights_of(subject: Subject) -> str:
    """Return the hash of a subject's weights; nothing for one without any."""
    told = subject.describe().get("weights_sha256")
    network = getattr(subject, "network", None)
    if told is not None or network is None:
        return str(told or "")
    from neurofit.models.weights import state_hash  # torch, which only networks need

    return state_hash(network) if network.state_dict() else ""
