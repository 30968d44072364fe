"""Scores by a layer commitment, and all layers of a subject side by side.

Letters: T time bins, q neuroids, S splits.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from neurofit.assembly.time_bins import rebin
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.commitment import Average, Commitment, Per, Picks
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.predictivity import score_of, terms_of
from neurofit.scoring.problem import Problem
from neurofit.scoring.run import SOURCE_ATTRS, Target, benchmark_attrs, load_target, record_layers, subject_attrs
from neurofit.scoring.score import Terms
from neurofit.scoring.selection import N_INNER, check_metric, commitment_from, dataset_of, posed, record_for_selection
from neurofit.scoring.time_course import as_benchmarked
from neurofit.subjects.subject import Subject


@dataclass(frozen=True, eq=False)
class LayerScores:
    """All layers of a subject against one region.

    Parameters
    ----------
    commitment : Commitment
        What was chosen, in training stimuli.
    scores : mapping from layer to xarray.Dataset
        The score of every layer alone, on each split's test stimuli: to be looked at, not to choose by.
    committed : xarray.Dataset
        The score in which every split has its own choice.
    """

    commitment: Commitment
    scores: Mapping[str, xr.Dataset]
    committed: xr.Dataset


def score_layers(
    benchmark: Benchmark,
    subject: Subject,
    *,
    per: Per = "region",
    average: Average = "responses",
    layers: Collection[str] | None = None,
    n_inner: int = N_INNER,
    formula: str = "raw",
    data: str | Path | None = None,
    target: Target | None = None,
    n_jobs: int | None = None,
    mapping_device: str = "cpu",
    progress: bool = False,
) -> LayerScores:
    """Record all layers of a subject in one pass, choose in the training stimuli, and score each layer and the choice.

    Parameters
    ----------
    benchmark, subject, per, average, layers, n_inner, data, target, n_jobs, mapping_device, progress
        See `commit_layers`.
    formula : str
        Noise correction of the scores; 'raw' by default, which is what layers are always chosen by.

    Returns
    -------
    LayerScores
    """
    target, subject = target or load_target(benchmark, data), as_benchmarked(subject, benchmark)
    began = time.perf_counter()
    sources = record_for_selection(benchmark, subject, target, layers or subject.layers, progress)
    seconds = round(time.perf_counter() - began, 3)
    commitment = commitment_from(
        benchmark,
        subject,
        target,
        sources,
        per=per,
        average=average,
        n_inner=n_inner,
        n_jobs=n_jobs,
        mapping_device=mapping_device,
        progress=progress,
    )
    benchmark = benchmark.varied(formula=formula)
    began, bins = time.perf_counter(), benchmark.time_bins.bins()
    scores, terms = {}, {}
    for layer, source in sources.items():
        problem = posed(benchmark, rebin(source, bins), target.recording, mapping_device)
        terms[layer] = terms_of(problem, n_jobs, progress)
        scores[layer] = _score(benchmark, target, problem, terms[layer], {layer: source}).assign_attrs(
            layer=layer, seconds_activations=seconds, **subject_attrs(subject)
        )
    picks = commitment.picks(problem, dataset_of(benchmark, target), benchmark.region)
    picked = Terms.picked([terms[layer] for layer in picks.layers], picks.index)
    used = {layer: sources[layer] for layer in picks.layers}
    committed = _score(benchmark, target, problem, picked, used).assign_attrs(
        **subject_attrs(subject),
        seconds_activations=seconds,
        seconds_mapping=round(time.perf_counter() - began, 3),
        **commitment_attrs(commitment, picks),
    )
    return LayerScores(commitment, scores, committed)


def run_committed(
    benchmark: Benchmark,
    subject: Subject,
    commitment: Commitment,
    *,
    data: str | Path | None = None,
    target: Target | None = None,
    n_jobs: int | None = None,
    mapping_device: str = "cpu",
    progress: bool = False,
) -> xr.Dataset:
    """Score a subject by a layer commitment: each split by the layer that was chosen in its own training stimuli.

    On a recording of other stimuli than the commitment's the overall choice is taken, and the score's
    `commitment_use` says so.

    Parameters
    ----------
    benchmark, subject
        See `neurofit.run`.
    commitment : Commitment
    data, target, n_jobs, mapping_device, progress
        See `neurofit.run`.

    Returns
    -------
    xarray.Dataset
        A score as of `neurofit.run`; attrs also name the commitment: `commitment`, `commitment_per`,
        `commitment_nested` and `commitment_use`. `source_units` are of all layers used together.

    Raises
    ------
    ConfigurationError
        If the commitment is of another model, other weights or another region.
    AlignmentError
        If it has seen the stimuli that the benchmark's splits test on.
    """
    check_metric(benchmark)
    subject = as_benchmarked(subject, benchmark)
    commitment.check_subject(subject)
    commitment.check_region(benchmark.region)
    target = target or load_target(benchmark, data)
    # splits, bins and neuroids are those of the recording, whatever is mapped to it
    outline = posed(benchmark.varied(formula="raw"), target.recording, target.recording)
    picks = commitment.picks(outline, dataset_of(benchmark, target), benchmark.region)
    began = time.perf_counter()
    sources = record_layers(benchmark, subject, target, picks.layers, progress)
    seconds, terms = time.perf_counter() - began, []
    began = time.perf_counter()
    for i, layer in enumerate(picks.layers):
        problem = posed(benchmark, sources[layer], target.recording, mapping_device)
        rows = np.flatnonzero((picks.index == i).any((1, 2)))
        terms.append(_on_splits(problem, rows, n_jobs, progress))
    score = _score(benchmark, target, problem, Terms.picked(terms, picks.index), sources)
    return score.assign_attrs(
        **subject_attrs(subject),
        seconds_activations=round(seconds, 3),
        seconds_mapping=round(time.perf_counter() - began, 3),
        **commitment_attrs(commitment, picks),
    )


def commitment_of(score: xr.Dataset) -> dict[str, object]:
    """Return what a score says of its commitment; nothing where it follows none."""
    return {name: value for name, value in score.attrs.items() if str(name).startswith("commitment")}


def commitment_attrs(commitment: Commitment, picks: Picks) -> dict[str, object]:
    """Return what a score says of the commitment that it followed."""
    return {
        "layer": ", ".join(picks.layers),
        "commitment": f"{commitment.model} to {commitment.region} of {commitment.benchmark}, {commitment.date}",
        "commitment_per": commitment.per,
        "commitment_nested": int(picks.nested),
        "commitment_use": picks.sentence,
    }


def _on_splits(problem: Problem, rows: np.ndarray, n_jobs: int | None, progress: bool) -> Terms:
    """Return the terms of some splits, NaN in the others."""
    S = len(problem.splits)
    terms = terms_of(replace(problem, splits=[problem.splits[s] for s in rows]), n_jobs, progress)

    def spread(values: np.ndarray) -> np.ndarray:
        whole = np.zeros((S, *values.shape[1:]), values.dtype)
        if values.dtype.kind == "f":
            whole[:] = np.nan
        whole[rows] = values
        return whole

    return replace(
        terms,
        raw=spread(terms.raw),
        internal=spread(terms.internal),
        mapping=spread(terms.mapping),
        components=spread(terms.components),
        alphas=None if terms.alphas is None else spread(terms.alphas),
    )


def _score(
    benchmark: Benchmark, target: Target, problem: Problem, terms: Terms, sources: Mapping[str, xr.DataArray]
) -> xr.Dataset:
    """Average terms into a score that says what a benchmark's score says."""
    correction = benchmark.correction
    score = score_of(
        terms,
        problem,
        target.recording,
        formula=formula_named(correction.formula),
        n_halvings=correction.n_halvings,
        threshold=correction.threshold,
        splitter=benchmark.splits.splitter(),
    )
    kept = {name: _told(sources, name) for name in SOURCE_ATTRS}
    return score.assign_attrs(
        metric=benchmark.metric.kind,
        **benchmark_attrs(benchmark, target),
        n_source_neuroids=sum(source.sizes["neuroid"] for source in sources.values()),
        source_units=sum(int(source.attrs.get("units", source.sizes["neuroid"])) for source in sources.values()),
        **{f"source_{name}": text for name, text in kept.items() if text},
    )


def _told(sources: Mapping[str, xr.DataArray], name: str) -> str:
    """Return what layers say of their features, layer by layer where they say different things."""
    told = {layer: str(source.attrs.get(name, "")) for layer, source in sources.items()}
    if len(set(told.values())) == 1:
        return next(iter(told.values()))
    return "; ".join(f"{layer}: {text}" for layer, text in told.items())
