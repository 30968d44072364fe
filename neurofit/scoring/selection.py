"""Which layer matches a region: chosen for every split of a benchmark in its training stimuli alone.

Letters: n stimuli, T time bins, q neuroids, L layers, S splits, I inner splits of the training stimuli of each.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

import numpy as np
import xarray as xr
from tqdm import tqdm

from neurofit import __version__
from neurofit.assembly.time_bins import rebin
from neurofit.errors import ConfigurationError, MappingError, UnknownNameError
from neurofit.kernel.resampling import bootstrap_interval
from neurofit.scoring.benchmark import AggregationSpec, Benchmark
from neurofit.scoring.commitment import Average, Commitment, LayerRow, Per, bin_names, split_hashes
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.predictivity import terms_of
from neurofit.scoring.problem import Problem, Splitter, pose
from neurofit.scoring.run import Target, load_target, placed, record_layers
from neurofit.scoring.time_course import as_benchmarked
from neurofit.subjects.subject import Subject, weights_of
from neurofit.vocabulary import DATASET, NEUROID_ID, PRESENTATION, SIMULATED

N_INNER = 3
"""Inner splits of the training stimuli of every split: with ten splits a choice overall rests on thirty."""


def commit_layers(
    benchmark: Benchmark,
    subject: Subject,
    *,
    per: Per = "region",
    average: Average = "responses",
    layers: Collection[str] | None = None,
    n_inner: int = N_INNER,
    data: str | Path | None = None,
    target: Target | None = None,
    n_jobs: int | None = None,
    mapping_device: str = "cpu",
    progress: bool = False,
) -> Commitment:
    """Choose the layer of a subject that matches a benchmark's region, for every split in its training stimuli.

    Parameters
    ----------
    benchmark : Benchmark
    subject : Subject
    per : {'region', 'bin', 'neuroid'}
        One layer for the region, by the median over neuroids of the time-averaged responses; one for every bin; or
        one for every neuroid (the distribution of figure 4B of the 2018 paper).
    average : {'responses', 'scores'}
        What the region's and the neuroids' layers are chosen by: r of the responses averaged over the window, with
        features averaged alike (the 2018 paper's), or the mean of the r of its bins. A layer that is silent in part of
        the window loses nothing by the first.
    layers : collection of str, optional
        Which to choose from; all by default.
    n_inner : int
        Inner splits of the training stimuli of every split.
    data, target, n_jobs, mapping_device, progress
        See `neurofit.run`.

    Returns
    -------
    Commitment

    Raises
    ------
    NeurofitError
        Whatever is wrong with data, subject or benchmark, in one sentence.
    """
    _check_choices(per, average, n_inner)
    target, subject = target or load_target(benchmark, data), as_benchmarked(subject, benchmark)
    sources = record_for_selection(benchmark, subject, target, layers or subject.layers, progress)
    options = {"n_jobs": n_jobs, "mapping_device": mapping_device, "progress": progress}
    return commitment_from(benchmark, subject, target, sources, per=per, average=average, n_inner=n_inner, **options)  # type: ignore[arg-type]


def _check_choices(per: str, average: str, n_inner: int) -> None:
    """Raise, before anything is recorded, if there is no such way to choose."""
    for what, choice, known in (("unit of choice", per, get_args(Per)), ("average", average, get_args(Average))):
        if choice not in known:
            raise UnknownNameError(what, choice, known)
    if n_inner < 1:
        raise ConfigurationError(
            "layers are chosen on one inner split or more", f"n_inner is {n_inner}", f"take {N_INNER}"
        )


def window_of(benchmark: Benchmark) -> tuple[int, int]:
    """Return the span in ms of the benchmark's bins that lie inside its `window_ms`.

    Raises
    ------
    ConfigurationError
        If there are none.
    """
    bins, (start, end) = benchmark.time_bins.bins(), benchmark.aggregation.window_ms
    inside = [b for b in bins if b[0] >= start and b[1] <= end]
    if not inside:
        raise ConfigurationError(
            "responses are averaged over the bins inside a window",
            f"the window is {start}-{end} ms, the bins span {bins[0][0]}-{bins[-1][1]} ms",
            "change window_ms of the benchmark",
        )
    return inside[0][0], inside[-1][1]


def record_for_selection(
    benchmark: Benchmark, subject: Subject, target: Target, layers: Collection[str], progress: bool = False
) -> dict[str, xr.DataArray]:
    """Record layers in one pass, in the benchmark's bins and, where bins cannot be averaged later, in the window too.

    Features of a wide layer that only share their inner products with the units (basis 'per-bin') differ from bin to
    bin: the mean over the window is then one more bin of the same pass.
    """
    check_metric(benchmark)
    bins, window, basis = benchmark.time_bins.bins(), window_of(benchmark), benchmark.mapping.basis()
    asked = sorted({*bins, window}) if basis == "per-bin" else bins
    sources = record_layers(benchmark, subject, target, list(dict.fromkeys(layers)), progress, time_bins=asked)
    least = benchmark.mapping.n_components or 0
    for layer, source in sources.items():
        if source.sizes["neuroid"] < least:
            raise MappingError(
                "layers that are compared have as many units as the mapping has components, or more",
                f"'{layer}' of {subject.name} has {source.sizes['neuroid']}, the mapping {least}",
                "name the others with --layer, or take fewer --components",
            )
    return sources


def check_metric(benchmark: Benchmark) -> None:
    """Raise unless the benchmark maps: neither RDMs nor decoders have terms of splits and neuroids."""
    if benchmark.metric.kind != PREDICTIVITY:
        raise ConfigurationError(
            "layers are committed by predictivity",
            f"the metric of {benchmark.name} is '{benchmark.metric.kind}'",
            "take a benchmark with the metric predictivity, and score by --layer elsewhere",
        )


def posed(benchmark: Benchmark, source: xr.DataArray, recording: xr.DataArray, mapping_device: str = "cpu") -> Problem:
    """Bring a layer and a recording together as the benchmark says, in the recording's bins."""
    correction = benchmark.correction
    return pose(
        source,
        recording,
        mapping=placed(benchmark.mapping.estimator(), mapping_device),
        splitter=benchmark.splits.splitter(),
        temporal=benchmark.mapping.temporal,
        formula=formula_named(correction.formula),
        n_halvings=correction.n_halvings,
        random_state=correction.random_state,
        stratify=benchmark.splits.stratify,
    )


def commitment_from(
    benchmark: Benchmark,
    subject: Subject,
    target: Target,
    sources: Mapping[str, xr.DataArray],
    *,
    per: Per = "region",
    average: Average = "responses",
    n_inner: int = N_INNER,
    n_jobs: int | None = None,
    mapping_device: str = "cpu",
    progress: bool = False,
) -> Commitment:
    """Choose from layers that were recorded by `record_for_selection`; see `commit_layers`."""
    _check_choices(per, average, n_inner)
    raw = replace(benchmark, correction=replace(benchmark.correction, formula="raw"))
    order = benchmark.aggregation
    window, bins = window_of(benchmark), benchmark.time_bins.bins()
    inside = [b for b in bins if b[0] >= window[0] and b[1] <= window[1]]
    names, S = list(sources), benchmark.splits.n_splits
    bar = tqdm(total=len(names) * S * (1 + (per == "bin")), desc="layers", unit="split", disable=not progress)
    with bar:

        def inner(time_bins: Sequence[tuple[int, int]]) -> tuple[Problem, np.ndarray]:
            recording, found = rebin(target.recording, time_bins), []
            for source in sources.values():
                problem = posed(raw, rebin(source, time_bins), recording, mapping_device)
                found.append(training_r(problem, benchmark, n_inner, n_jobs, bar.update))
            return problem, np.stack(found)  # (L, S, I, T, q)

        averaged, r = inner([window] if average == "responses" else inside)
        problem, by_bin = inner(bins) if per == "bin" else (averaged, r)
    r = r.mean(3)
    by_split, overall = _aggregated(r, order), _aggregated(_joined(r), order)  # (L, S), (L,)
    preferred = [values.mean(-2).argmax(0) for values in (r, _joined(r))]  # (S, q), (q,)
    if per == "bin":
        of_bins = np.moveaxis(by_bin, 3, 1)  # (L, T, S, I, q)
        units, choices = bin_names(problem), _aggregated(of_bins, order).argmax(0).T
        of_all = _aggregated(_joined(of_bins), order).argmax(0)
    else:
        units, choices, of_all = averaged.mean[NEUROID_ID].values.astype(str).tolist(), *preferred
    if per == "region":
        units, choices, of_all = [], np.empty((S, 0), int), np.empty(0, int)
    inner_splitter = replace(benchmark.splits, n_splits=n_inner).splitter()
    prints = averaged.fingerprints()
    return Commitment(
        simulated=bool(target.recording.attrs.get(SIMULATED, 0)),
        model=subject.name,
        weights_sha256=weights_of(subject),
        benchmark=benchmark.name,
        benchmark_version=benchmark.version,
        dataset=dataset_of(benchmark, target),
        region=benchmark.region,
        per=per,
        window_ms=window,
        average=average,
        mapping=f"{averaged.mapping!r}, {benchmark.mapping.temporal}",
        inner_splits=f"{n_inner} of {type(inner_splitter).__name__}, test_size {benchmark.splits.test_size}",
        stimuli_hash=prints["stimuli_hash"],
        splits_hash=prints["splits_hash"],
        neuroids_hash=prints["neuroids_hash"],
        responses_hash=prints["responses_hash"],
        split_hashes=split_hashes(averaged),
        layer=names[int(overall.argmax())],
        split_layers=tuple(names[i] for i in by_split.argmax(0)),
        units=tuple(units),
        choices=tuple(tuple(names[i] for i in row) for row in choices) if units else (),
        overall=tuple(names[i] for i in of_all),
        table=_table(names, r, by_split, overall, preferred, order),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        neurofit_version=__version__,
    )


def training_r(
    problem: Problem,
    benchmark: Benchmark,
    n_inner: int,
    n_jobs: int | None = None,
    advance: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return raw r (S, I, T, q) on inner splits of the training stimuli of each split; test stimuli are cut off before.

    The inner splitter is of the benchmark's kind, with its test_size and strata; that of split s is seeded with the
    benchmark's seed + 1 + s. A source that is the same for all stimuli, or whose prediction is, has r = 0.
    """
    found = []
    for s, (train, _) in enumerate(problem.splits):
        spec = replace(benchmark.splits, n_splits=n_inner, random_state=benchmark.splits.random_state + 1 + s)
        terms = terms_of(training_part(problem, train, spec.splitter(), benchmark.splits.stratify), n_jobs)
        found.append(np.where(terms.silent[:, None] | ~np.isfinite(terms.raw), 0.0, terms.raw))
        if advance is not None:
            advance(1)
    return np.stack(found)


def training_part(problem: Problem, train: np.ndarray, splitter: Splitter, stratify: str | None = None) -> Problem:
    """Return the problem of training stimuli alone, without halvings, split by another splitter."""
    rows = np.sort(train)
    mean = problem.mean.isel({PRESENTATION: rows})
    ids, strata = problem.stimulus_ids[rows], None if stratify is None else mean[stratify].values.astype(str)
    return replace(
        problem,
        X=problem.X[:, rows],
        Y=problem.Y[:, rows],
        trials=np.empty((len(problem.X), 0)),
        halvings=[],
        refit=False,
        splits=list(splitter.split(ids.reshape(-1, 1), strata, ids)),
        mean=mean,
    )


def dataset_of(benchmark: Benchmark, target: Target) -> str:
    """Return the name of the dataset that a target was loaded from."""
    return str(target.recording.attrs.get(DATASET, benchmark.dataset))


def _joined(r: np.ndarray) -> np.ndarray:
    """Return r (..., S, I, q) with the inner splits of all splits in a row (..., S I, q)."""
    return r.reshape(*r.shape[:-3], -1, r.shape[-1])


def _aggregated(r: np.ndarray, aggregation: AggregationSpec) -> np.ndarray:
    """Return one number of r (..., I, q), in the benchmark's order."""
    if aggregation.order == "splits-then-neuroids":
        return np.median(r.mean(-2), -1)
    return np.median(r, -1).mean(-1)


def _table(
    names: Sequence[str],
    r: np.ndarray,
    by_split: np.ndarray,
    overall: np.ndarray,
    preferred: Sequence[np.ndarray],
    aggregation: AggregationSpec,
) -> tuple[LayerRow, ...]:
    """Return what the training stimuli say of each layer, r (L, S, I, q)."""

    def statistic(drawn: np.ndarray, axis: int = 0) -> np.ndarray:  # (draws, q, L, S I)
        return _aggregated(np.moveaxis(drawn, axis, -1), aggregation)

    low, high = bootstrap_interval(
        np.moveaxis(_joined(r), -1, 0), statistic, aggregation.n_resamples, aggregation.level, random_state=0
    )
    of_split, of_all = preferred
    return tuple(
        LayerRow(
            layer=name,
            r=float(overall[i]),
            low=float(low[i]),
            high=float(high[i]),
            r_by_split=tuple(by_split[i].tolist()),
            fraction=float(np.mean(of_all == i)),
            fraction_by_split=tuple(np.mean(of_split == i, axis=1).tolist()),
        )
        for i, name in enumerate(names)
    )
