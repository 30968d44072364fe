"""Inter-animal consistency: how well the population of one animal predicts that of another.

It is the empirical ceiling beside the noise ceiling: the mapping, splits and formula that a model is judged by, with
other animals in the model's place. An animal is a noisy source, unlike a model; formulas that use a mapping consistency
take it from mappings between halves of both animals' trials (see `scoring.source_halves`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from sklearn.base import clone

from neurofit.assembly.build import average_repetitions, select_region
from neurofit.assembly.time_bins import rebin
from neurofit.data.datasets import load_dataset
from neurofit.errors import AlignmentError, UnknownNameError, listed
from neurofit.mapping.estimators import PLSMapping, RidgeMapping
from neurofit.mapping.held_out import Mapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.animals import Animal, animals_of, halved_trials, origin, pooled_mean
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.ceiling import internal_consistency
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.predictivity import terms_of
from neurofit.scoring.problem import Problem, Splitter, fingerprints, pose
from neurofit.scoring.score import Terms, assemble_score, check_score
from neurofit.scoring.source_halves import consistency_of_both
from neurofit.vocabulary import ASSEMBLY_DIMS, NEUROID, NEUROID_ID, SPLIT, STIMULUS_ID, SUBJECT, TIME_BIN

POOLED = "pooled"
NO_SOURCE = "none"
INTER_ANIMAL = "inter-animal"
SOURCE_ANIMALS, SOURCE_NEUROIDS, COMMON_STIMULI = "source_animals", "source_neuroids", "common_stimuli"


@dataclass(frozen=True)
class _Options:
    """What all pairs of animals share; see `inter_animal_consistency`."""

    mapping: Mapping = field(default_factory=PLSMapping)
    splitter: Splitter = field(default_factory=StimulusShuffleSplit)
    temporal: str = "per-bin"
    formula: str = "both"
    n_halvings: int = 10
    threshold: float = 0.1
    random_state: int = 0
    stratify: str | None = None
    n_jobs: int | None = None
    progress: bool = False

    def problem(self, source: xr.DataArray, target: xr.DataArray, mapping: Mapping) -> Problem:
        """Bring a source and a target together."""
        return pose(
            source,
            target,
            mapping=mapping,
            splitter=self.splitter,
            temporal=self.temporal,
            formula=formula_named(self.formula),
            n_halvings=self.n_halvings,
            random_state=self.random_state,
            stratify=self.stratify,
        )


@dataclass(frozen=True)
class _Pair:
    """What was found of one target animal and its sources; `sources` is empty where nothing is predicted."""

    target: Animal
    sources: list[Animal]
    problem: Problem
    score: xr.Dataset


def inter_animal_consistency(
    recordings: xr.DataArray | Sequence[xr.DataArray],
    *,
    source: str = POOLED,
    mapping: Mapping | None = None,
    splitter: Splitter | None = None,
    temporal: str = "per-bin",
    formula: str = "both",
    n_halvings: int = 10,
    threshold: float = 0.1,
    random_state: int = 0,
    stratify: str | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Score how well animals predict each other.

    Parameters
    ----------
    recordings : xarray.DataArray (presentation, neuroid, time_bin), or a sequence of them
        Neuroids of two or more animals (coordinate subject). Animals of one recording share its stimuli; those of
        several recordings are compared on the stimuli that they have in common.
    source : str
        'pooled': every animal is predicted from all others together. The name of an animal: it predicts each other.
    mapping, splitter, temporal, formula, n_halvings, threshold, random_state, stratify, n_jobs, progress
        As in `predictivity`, with the same defaults; PLS has as many components as the source has neuroids where that
        is fewer.

    Returns
    -------
    xarray.Dataset
        A score (see `scoring.score`) of all target animals' neuroids in the order of the recordings. Coordinate
        source_animals (neuroid) says who predicted; source_neuroids and common_stimuli (neuroid) are their number and
        that of the stimuli; `components` is the least of all targets. Predictivity is NaN where target and sources
        have no stimulus in common.

    Raises
    ------
    AlignmentError
        If there is only one animal, one is in two recordings, or no two have stimuli in common.
    UnknownNameError
        If the source is none of the animals.
    AssemblyError, MappingError, ReliabilityError
        As `predictivity`.
    """
    options = _Options(
        mapping=mapping or PLSMapping(),
        splitter=splitter or StimulusShuffleSplit(),
        temporal=temporal,
        formula=formula_named(formula).name,
        n_halvings=n_halvings,
        threshold=threshold,
        random_state=random_state,
        stratify=stratify,
        n_jobs=n_jobs,
        progress=progress,
    )
    animals = animals_of(recordings)
    names = [animal.name for animal in animals]
    if len(animals) < 2:
        raise AlignmentError(
            "an inter-animal consistency needs two animals or more",
            f"all {animals[0].recording.sizes[NEUROID]} neuroids are of '{names[0]}'",
            "add a recording of another animal on the same stimuli",
        )
    if source not in (POOLED, *names):
        raise UnknownNameError("source animal", source, [POOLED, *names])
    targets = animals if source == POOLED else [animal for animal in animals if animal.name != source]
    pairs = []
    for target in targets:
        others = [a for a in animals if a is not target and source in (POOLED, a.name)]
        pairs.append(_predicted(target, others, options))
    if not any(pair.sources for pair in pairs):
        raise AlignmentError(
            "animals are compared on stimuli that they have in common",
            f"no two of {listed(names)} have any",
            "check how the stimulus_id are written",
        )
    attrs = {SUBJECT: INTER_ANIMAL, "layer": source, "source": source, "animals": ", ".join(names)}
    return _joined(pairs, options).assign_attrs(attrs | origin(animals))


def noise_ceiling(recording: xr.DataArray, **options: Any) -> xr.Dataset:
    """Return a score without a source: the internal consistency of a recording on held-out stimuli, nothing predicted.

    It is what remains to be said of a recording of one animal; the ceiling of r is the root of the consistency.

    Parameters
    ----------
    recording : xarray.DataArray (presentation, neuroid, time_bin)
        With repetitions.
    **options
        Of `inter_animal_consistency`, those of the splits and halvings.

    Returns
    -------
    xarray.Dataset
        A score whose predictivity is NaN throughout.
    """
    chosen = _Options(**options)
    animals = animals_of(recording)
    attrs = {SUBJECT: NO_SOURCE, "layer": NO_SOURCE, "source": NO_SOURCE}
    attrs |= {"animals": ", ".join(animal.name for animal in animals)}
    return _joined([_unpredicted(animal, chosen) for animal in animals], chosen).assign_attrs(attrs | origin(animals))


def load_recording(benchmark: Benchmark, data: str | Path | None = None) -> xr.DataArray:
    """Load a benchmark's recording in its bins; its images are not needed."""
    recording = select_region(load_dataset(benchmark.dataset, data, benchmark.region), benchmark.region)
    return rebin(recording, benchmark.time_bins.bins())


def run_inter_animal(
    benchmark: Benchmark,
    *,
    source: str = POOLED,
    data: str | Path | None = None,
    recording: xr.DataArray | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Score how well the animals of a benchmark's recording predict each other, as the benchmark scores models.

    Parameters
    ----------
    benchmark : Benchmark
    source : str
        'pooled', the name of an animal, or 'none': the noise ceiling alone (one animal is enough).
    data : path, optional
        Folder of fetched datasets; the user's data folder by default.
    recording : xarray.DataArray, optional
        Of `load_recording`, where it is scored several times.
    n_jobs : int, optional
    progress : bool

    Returns
    -------
    xarray.Dataset
        As `inter_animal_consistency`, whose attrs also name the benchmark as a model's score does.
    """
    if benchmark.metric.kind != PREDICTIVITY:
        benchmark.metric.refuse("inter-animal consistency")
    recording = load_recording(benchmark, data) if recording is None else recording
    correction = benchmark.correction
    options: dict[str, Any] = {
        "mapping": benchmark.mapping.estimator(),
        "splitter": benchmark.splits.splitter(),
        "temporal": benchmark.mapping.temporal,
        "formula": correction.formula,
        "n_halvings": correction.n_halvings,
        "threshold": correction.threshold,
        "random_state": correction.random_state,
        "stratify": benchmark.splits.stratify,
        "n_jobs": n_jobs,
        "progress": progress,
    }
    if source == NO_SOURCE:
        score = noise_ceiling(recording, **options)
    else:
        score = inter_animal_consistency(recording, source=source, **options)
    return score.assign_attrs(
        benchmark=benchmark.name,
        benchmark_version=benchmark.version,
        dataset=benchmark.dataset,
        region=benchmark.region,
        on_ms=benchmark.viewing.on_ms,
    )


def _predicted(target: Animal, others: Sequence[Animal], options: _Options) -> _Pair:
    """Predict an animal from others, on the stimuli common to it and all that share any with it."""
    sources = [animal for animal in others if len(np.intersect1d(animal.stimuli, target.stimuli))]
    if not sources:
        return _unpredicted(target, options)
    common = reduce(np.intersect1d, [animal.stimuli for animal in sources], target.stimuli)
    if not len(common):
        return _unpredicted(target, options)
    seen = target.seeing(common)
    mean = pooled_mean(sources, common)
    problem = options.problem(mean, seen, _affordable(options.mapping, mean.sizes[NEUROID]))
    terms = terms_of(replace(problem, refit=False), options.n_jobs, options.progress)
    if problem.refit:
        halved = [halved_trials(animal, target, problem, common, options.random_state) for animal in sources]
        consistency = consistency_of_both(problem, halved, options.n_jobs, options.progress)
        terms = replace(terms, mapping=consistency)
    return _Pair(target, sources, problem, _assembled(terms, problem, seen, sources, options))


def _unpredicted(target: Animal, options: _Options) -> _Pair:
    """Score an animal that nothing predicts: its consistency alone."""
    problem = options.problem(average_repetitions(target.recording), target.recording, PLSMapping(1))
    found = terms_of(replace(problem, refit=False), options.n_jobs, options.progress)
    nothing = np.full_like(found.raw, np.nan)
    terms = replace(
        found,
        raw=nothing,
        mapping=np.full_like(found.internal, np.nan),
        components=np.zeros_like(found.components),
        silent=np.zeros_like(found.silent),
        alphas=nothing if isinstance(options.mapping, RidgeMapping) else None,
    )
    return _Pair(target, [], problem, _assembled(terms, problem, target.recording, [], options))


def _assembled(
    terms: Terms, problem: Problem, seen: xr.DataArray, sources: Sequence[Animal], options: _Options
) -> xr.Dataset:
    """Return the score of one target animal."""
    if formula_named(options.formula).on_aggregates:
        terms = terms.with_ceiling(internal_consistency(seen, options.n_halvings, 1, scheme="by-repetition").values)
    score = assemble_score(terms, problem.mean, {"formula": options.formula, "threshold": options.threshold})
    q = score.sizes[NEUROID]
    counts = {
        SOURCE_NEUROIDS: sum(len(animal.columns) for animal in sources),
        COMMON_STIMULI: len(problem.stimulus_ids) if sources else 0,
    }
    who = "+".join(animal.name for animal in sources) or NO_SOURCE
    return score.assign({name: (NEUROID, np.full(q, count)) for name, count in counts.items()}).assign_coords(
        {SOURCE_ANIMALS: (NEUROID, np.full(q, who))}
    )


def _affordable(mapping: Mapping, n_neuroids: int) -> Mapping:
    """Return the mapping, with no more components than the source has neuroids."""
    if isinstance(mapping, PLSMapping) and mapping.n_components > n_neuroids:
        return clone(mapping).set_params(n_components=n_neuroids)
    return mapping


def _joined(pairs: Sequence[_Pair], options: _Options) -> xr.Dataset:
    """Return the scores of several target animals as one, in the order of the recordings."""
    apart = ("components", "silent")
    shared = set.intersection(*(set(pair.score.coords) for pair in pairs))
    parts = [
        pair.score.drop_vars([*apart, *(name for name in pair.score.coords if name not in shared)]) for pair in pairs
    ]
    score = xr.concat(
        parts, NEUROID, data_vars="minimal", coords="minimal", compat="override", join="override", combine_attrs="drop"
    )
    score = score.isel({NEUROID: np.argsort(np.concatenate([pair.target.columns for pair in pairs]))})
    some = [pair for pair in pairs if pair.sources] or list(pairs)
    score = score.assign(
        components=((SPLIT, TIME_BIN), np.min([pair.score["components"].values for pair in some], axis=0)),
        silent=((TIME_BIN,), np.all([pair.score["silent"].values for pair in some], axis=0)),
    )
    return check_score(score.assign_attrs(_attrs(some, options) | _fingerprints(pairs, score)))


def _attrs(pairs: Sequence[_Pair], options: _Options) -> dict[str, object]:
    """Return what a score's attrs say of how it was made; numbers that differ between targets are the least."""
    fewest = {pair.target.name: int(pair.score[SOURCE_NEUROIDS][0]) for pair in pairs if pair.sources}
    asked = getattr(options.mapping, "n_components", 0)
    reduced = [f"{count} to predict {name}" for name, count in fewest.items() if count < asked]
    note = f" (as many components as source neuroids: {', '.join(reduced)})" if reduced else ""
    means = [pair.problem.mean for pair in pairs]
    return {
        "formula": options.formula,
        "threshold": options.threshold,
        "temporal_mapping": options.temporal,
        "mapping": f"{options.mapping!r}{note}" if fewest else NO_SOURCE,
        "splitter": repr(options.splitter),
        "n_splits": len(pairs[0].problem.splits),
        "n_halvings": 0 if options.formula == "raw" else options.n_halvings,
        "n_stimuli": min(len(pair.problem.stimulus_ids) for pair in pairs),
        "n_source_neuroids": min(fewest.values(), default=0),
        "source_units": min(fewest.values(), default=0),
        "repetitions_min": min(mean.attrs["repetitions_min"] for mean in means),
        "repetitions_max": max(mean.attrs["repetitions_max"] for mean in means),
    }


def _fingerprints(pairs: Sequence[_Pair], score: xr.Dataset) -> dict[str, str]:
    """Return what a model's score on the same recording has too, where all targets share their presentations."""
    if len({pair.target.file for pair in pairs}) > 1:
        return {}
    first = pairs[0].problem
    order = np.argsort(np.concatenate([pair.target.columns for pair in pairs]))
    responses = np.concatenate([pair.problem.Y for pair in pairs], axis=2)[:, :, order]
    coords = {STIMULUS_ID: first.mean[STIMULUS_ID], NEUROID_ID: (NEUROID, score[NEUROID_ID].values)}
    mean = xr.DataArray(responses.transpose(1, 2, 0), dims=ASSEMBLY_DIMS, coords=coords)
    return fingerprints(mean, responses, first.splits, first.halvings)
