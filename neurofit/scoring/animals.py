"""Animals of one or several recordings, as targets and as sources of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurofit.assembly.align import select_stimuli
from neurofit.assembly.build import average_repetitions, make_assembly, stimulus_index
from neurofit.assembly.schema import check_assembly, time_bins_of
from neurofit.errors import AlignmentError
from neurofit.kernel.reliability import halve
from neurofit.scoring.problem import Problem
from neurofit.scoring.source_halves import HalvedTrials
from neurofit.vocabulary import DATASET, NEUROID, NEUROID_ID, PRESENTATION, REGION, SIMULATED, STIMULUS_ID, SUBJECT


@dataclass(frozen=True)
class Animal:
    """One animal of some recordings.

    Parameters
    ----------
    name : str
    recording : xarray.DataArray (presentation, neuroid, time_bin)
        Its own neuroids, with their repetitions.
    file : int
        Which of the recordings it is in: animals of one recording share presentations.
    columns : array of int (neuroids,)
        Where its neuroids stand among those of all recordings.
    """

    name: str
    recording: xr.DataArray
    file: int
    columns: np.ndarray

    @property
    def stimuli(self) -> np.ndarray:
        """What it saw, sorted (str)."""
        return np.unique(self.recording[STIMULUS_ID].values.astype(str))

    def seeing(self, stimuli: np.ndarray) -> xr.DataArray:
        """Return its presentations of these stimuli."""
        inside = np.isin(self.recording[STIMULUS_ID].values.astype(str), stimuli)
        return self.recording if inside.all() else self.recording.isel({PRESENTATION: np.flatnonzero(inside)})


def animals_of(recordings: xr.DataArray | Sequence[xr.DataArray]) -> list[Animal]:
    """Return the animals of one or several recordings, sorted by name.

    Raises
    ------
    AssemblyError
        If a recording breaks the contract.
    AlignmentError
        If there is no recording, or an animal is in two of them.
    """
    several = [recordings] if isinstance(recordings, xr.DataArray) else list(recordings)
    if not several:
        raise AlignmentError("there is a recording", "the list is empty", "give one recording or more")
    animals: dict[str, Animal] = {}
    start = 0
    for file, recording in enumerate(several):
        subjects = check_assembly(recording)[SUBJECT].values.astype(str)
        for name in np.unique(subjects).tolist():
            if name in animals:
                raise AlignmentError(
                    "an animal is in one recording",
                    f"'{name}' is in number {animals[name].file} and number {file}",
                    "give one session of each animal",
                )
            own = np.flatnonzero(subjects == name)
            animals[name] = Animal(name, recording.isel({NEUROID: own}), file, own + start)
        start += len(subjects)
    return [animals[name] for name in sorted(animals)]


def pooled_mean(animals: Sequence[Animal], stimuli: np.ndarray) -> xr.DataArray:
    """Return trial means of several animals' neuroids side by side."""
    means = [select_stimuli(average_repetitions(animal.seeing(stimuli)), stimuli.tolist()) for animal in animals]
    for mean, animal in zip(means, animals, strict=True):
        if time_bins_of(mean) != time_bins_of(means[0]):
            raise AlignmentError(
                "all animals have the same time bins",
                f"those of '{animal.name}' differ from those of '{animals[0].name}'",
                "bring them to the same with neurofit.rebin",
            )
    return make_assembly(
        np.concatenate([mean.values for mean in means], axis=1),
        stimulus_id=stimuli,
        neuroid_id=[f"{a.name}/{name}" for a, m in zip(animals, means, strict=True) for name in m[NEUROID_ID].values],
        subject=[animal.name for animal, mean in zip(animals, means, strict=True) for _ in mean[NEUROID_ID]],
        region="source",
        time_bins=time_bins_of(means[0]),
    )


def halved_trials(
    source: Animal, target: Animal, problem: Problem, stimuli: np.ndarray, random_state: int
) -> HalvedTrials:
    """Halve a source's trials: as the target's where they share presentations, by draws of its own otherwise.

    With the same masks for both, what neurons of simultaneous recordings have in common from trial to trial stays in
    one half of a halving. Trials that only share a number are different trials, and any masks would do.
    """
    seen = source.seeing(stimuli)
    index = stimulus_index(seen)[1]
    if source.file == target.file:
        halvings = problem.halvings
    else:
        rng = np.random.default_rng([random_state, 1 + source.file])
        halvings = [halve(index, rng) for _ in problem.halvings]
    return HalvedTrials(np.ascontiguousarray(seen.values.transpose(2, 0, 1)), index, halvings)


def origin(animals: Sequence[Animal]) -> dict[str, object]:
    """Return where the recordings come from; simulated where any is."""
    recordings = {animal.file: animal.recording for animal in animals}.values()
    regions = sorted({str(name) for one in recordings if REGION in one.coords for name in one[REGION].values})
    datasets = sorted({str(one.attrs[DATASET]) for one in recordings if DATASET in one.attrs})
    origin: dict[str, object] = {
        SIMULATED: int(any(one.attrs.get(SIMULATED, 0) for one in recordings)),
        "region": "+".join(regions),
    }
    return origin | ({DATASET: ", ".join(datasets)} if datasets else {})
