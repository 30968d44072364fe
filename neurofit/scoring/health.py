"""Health of a regression: predictivity against the number of PLS components, and against that of training stimuli.

A curve is a score with one dimension more, each slice of which is a score as `neurofit.predictivity` makes it, with one
variable more (dimensions as in `scoring.score`):

``training_predictivity`` (S, q, T)
    Raw r on the stimuli that the mapping was fitted to. What it exceeds ``predictivity`` by is overfitting.

Both curves are diagnoses. The held-out stimuli say where the best number of components lies, so that the predictivity
there is no score: it was chosen on the stimuli that it is of.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.errors import ConfigurationError, MappingError
from neurofit.kernel.prefixes import check_grid
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.held_out import Mapping
from neurofit.mapping.nested import NestedPLS, nested_order
from neurofit.scoring.benchmark import Benchmark
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.predictivity import score_of, terms_of
from neurofit.scoring.problem import Problem, pose
from neurofit.scoring.score import Terms
from neurofit.scoring.summary import window_bins
from neurofit.vocabulary import NEUROID, SIMULATED, SPLIT, TIME_BIN

COMPONENT_NUMBER, TRAINING_SIZE = "n_components", "n_training"
"""Dimensions of the two curves."""
COMPONENT_GRID = (1, 2, 3, 5, 10, 15, 20, 25, 35, 50)
LEAST_SIZE_PER_COMPONENT = 1.6
"""Training stimuli of the smallest set, for each component: 40 for the field's 25."""
DEFAULT_SIZES = 7


def component_curve(
    source: xr.DataArray,
    target: xr.DataArray,
    benchmark: Benchmark,
    *,
    grid: Sequence[int] | None = None,
    n_jobs: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Score a source with several numbers of PLS components; all come from one fit of the largest.

    Parameters
    ----------
    source : xarray.DataArray (presentation, neuroid, time_bin)
        Activations of a model, or another animal's recording, in the benchmark's bins or some of them.
    target : xarray.DataArray (presentation, neuroid, time_bin)
        The recording, in the same bins, with its repetitions where the benchmark's formula corrects for noise.
    benchmark : Benchmark
        Its mapping, splits, correction and aggregation are used.
    grid : sequence of int, optional
        Numbers of components, ascending; `COMPONENT_GRID` and the benchmark's own number, as far as the data allow, by
        default.
    n_jobs : int, optional
        Threads; all cores by default.
    progress : bool
        Whether to draw bars on standard error.

    Returns
    -------
    xarray.Dataset
        See this module; its first dimension is n_components.

    Raises
    ------
    ConfigurationError
        If the benchmark's regression is not PLS.
    MappingError
        If the data do not allow a number of components.
    """
    problem = _posed(benchmark, source, target)
    mapping, numbers = _pls_of(problem, benchmark), component_numbers(problem, benchmark, grid)
    nested = replace(problem, mapping=NestedPLS(mapping, numbers))
    mappings = [PLSMapping(k, scale=mapping.scale, precision=mapping.precision) for k in numbers]
    scores = _scores(
        replace(nested, splits=problem.splits * len(numbers)), mappings, benchmark, target, n_jobs, progress
    )
    return _joined(scores, COMPONENT_NUMBER, numbers)


def learning_curve(
    source: xr.DataArray,
    target: xr.DataArray,
    benchmark: Benchmark,
    *,
    sizes: Sequence[int] | None = None,
    random_state: int = 0,
    n_jobs: int | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Score a source with mappings that are fitted to some of each split's training stimuli.

    The held-out stimuli stay, and with them the recording's consistency on them. Training sets are nested: in each
    split the stimuli are put in one random order, stratified as the splits are. Where the formula uses the mapping's
    consistency, this is of mappings refitted to the same training stimuli.

    Parameters
    ----------
    source, target, benchmark, n_jobs, progress
        See `component_curve`; the regression may be any.
    sizes : sequence of int, optional
        Training stimuli, ascending; by default seven in equal ratios, from 1.6 for each component to all.
    random_state : int
        Of the orders.

    Returns
    -------
    xarray.Dataset
        See this module; its first dimension is n_training. Its last slice is the score itself where the last size is
        that of all training stimuli.

    Raises
    ------
    MappingError
        If sizes do not ascend from two more than the components to the training stimuli of the smallest split.
    """
    problem = _posed(benchmark, source, target)
    numbers = training_sizes(problem, sizes)
    rng = np.random.default_rng(random_state)
    stratify = benchmark.splits.stratify
    strata = None if stratify is None else problem.mean[stratify].values.astype(str)
    orders = [nested_order(train, strata, rng) for train, _ in problem.splits]
    tests = [test for _, test in problem.splits]
    # splits of all sizes at once: what they share of the source is then formed once
    splits = [(np.sort(order[:m]), test) for m in numbers for order, test in zip(orders, tests, strict=True)]
    mappings = [problem.mapping] * len(numbers)
    scores = _scores(replace(problem, splits=splits), mappings, benchmark, target, n_jobs, progress)
    return _joined(scores, TRAINING_SIZE, numbers)


def check_curves(
    source: xr.DataArray,
    target: xr.DataArray,
    benchmark: Benchmark,
    grid: Sequence[int] | None,
    sizes: Sequence[int] | None,
    curves: Sequence[str],
) -> None:
    """Raise what `component_curve` and `learning_curve` would raise of their numbers, before anything is computed."""
    problem = _posed(benchmark, source, target)
    if "components" in curves:
        component_numbers(problem, benchmark, grid)
    if "learning" in curves and len(training_sizes(problem, sizes)) < 4:
        raise MappingError(
            "a learning curve of three parameters has four sizes or more",
            f"got {len(sizes or ())}",
            "give more sizes, or --curves components",
        )


def headline_bins(source: xr.DataArray, target: xr.DataArray, benchmark: Benchmark) -> tuple[xr.DataArray, ...]:
    """Return source and target in the bins of the benchmark's headline; all bins where one mapping serves them all."""
    if benchmark.mapping.temporal == "fixed":
        return source, target
    inside = window_bins(target.to_dataset(name="predictivity"), benchmark.aggregation)
    return source.isel({TIME_BIN: inside}), target.isel({TIME_BIN: inside})


def default_sizes(n_components: int, most: int) -> list[int]:
    """Return seven sizes in equal ratios, from 1.6 (at least ten stimuli) for each component to all."""
    least = max(10, int(np.ceil(LEAST_SIZE_PER_COMPONENT * n_components)))
    if least >= most:
        raise MappingError(
            "a learning curve begins with 1.6 training stimuli for each component",
            f"{n_components} components need {least}, and splits train on {most}",
            "use fewer components, or name the sizes",
        )
    return sorted({round(m) for m in np.geomspace(least, most, DEFAULT_SIZES)})


def check_sizes(sizes: Sequence[int], n_components: int, most: int) -> list[int]:
    """Return the sizes if they ascend from two more than the components to `most`."""
    numbers = [int(m) for m in sizes]
    if not numbers or numbers != sorted(set(numbers)) or numbers[0] < n_components + 2 or numbers[-1] > most:
        raise MappingError(
            f"sizes of training sets ascend between {n_components + 2}, two more than the components, and {most}, "
            "the training stimuli of a split",
            f"got {', '.join(map(str, numbers)) or 'none'}",
            "give each once, in order",
        )
    return numbers


def component_numbers(problem: Problem, benchmark: Benchmark, grid: Sequence[int] | None) -> tuple[int, ...]:
    """Return the numbers of components, if the data allow those of the grid."""
    own, limit = _pls_of(problem, benchmark).n_components, most_components(problem)
    return check_grid(sorted({k for k in (*COMPONENT_GRID, own) if k <= limit}) if grid is None else grid, limit)


def training_sizes(problem: Problem, sizes: Sequence[int] | None) -> list[int]:
    """Return the sizes of training sets, if the splits and the components allow those that are given."""
    k = getattr(problem.mapping, "n_components", 1)
    most = min(len(train) for train, _ in problem.splits)
    return check_sizes(default_sizes(k, most) if sizes is None else sizes, k, most)


def _pls_of(problem: Problem, benchmark: Benchmark) -> PLSMapping:
    """Return the mapping, or say that it is none with components."""
    if not isinstance(problem.mapping, PLSMapping):
        raise ConfigurationError(
            "components are those of a PLS",
            f"the mapping of '{benchmark.name}' is {problem.mapping!r}",
            "use --regression pls",
        )
    return problem.mapping


def most_components(problem: Problem) -> int:
    """Return the largest number of components that every split allows."""
    samples = min(len(train) for train, _ in problem.splits) * (len(problem.X) if problem.temporal == "fixed" else 1)
    return min(samples - 1, problem.X.shape[2])


def _posed(benchmark: Benchmark, source: xr.DataArray, target: xr.DataArray) -> Problem:
    correction = benchmark.correction
    return pose(
        source,
        target,
        mapping=benchmark.mapping.estimator(),
        splitter=benchmark.splits.splitter(),
        temporal=benchmark.mapping.temporal,
        formula=formula_named(correction.formula),
        n_halvings=correction.n_halvings,
        random_state=correction.random_state,
        stratify=benchmark.splits.stratify,
    )


def _scores(
    problem: Problem,
    mappings: Sequence[Mapping],
    benchmark: Benchmark,
    target: xr.DataArray,
    n_jobs: int | None,
    progress: bool,
) -> list[xr.Dataset]:
    """Return one score for each mapping; the problem has the splits of one after those of the other."""
    held_out = terms_of(problem, n_jobs, progress)
    on_training = [(train, train) for train, _ in problem.splits]
    trained = terms_of(replace(problem, splits=on_training, halvings=[], refit=False), n_jobs, progress).raw
    attrs = {
        "benchmark": benchmark.name,
        "benchmark_version": benchmark.version,
        "dataset": benchmark.dataset,
        "region": benchmark.region,
        "on_ms": benchmark.viewing.on_ms,
        SIMULATED: int(target.attrs.get(SIMULATED, 0)),
    }
    n_splits = len(problem.splits) // len(mappings)
    scores = []
    for i, mapping in enumerate(mappings):
        part = slice(i * n_splits, (i + 1) * n_splits)
        own = replace(problem, splits=problem.splits[part], mapping=mapping)
        score = _as_score(_some_splits(held_out, part), trained[part], own, benchmark, target)
        scores.append(score.assign_attrs(attrs))
    return scores


def _some_splits(terms: Terms, part: slice) -> Terms:
    return replace(
        terms,
        raw=terms.raw[part],
        internal=terms.internal[part],
        mapping=terms.mapping[part],
        components=terms.components[part],
        alphas=None if terms.alphas is None else terms.alphas[part],
    )


def _as_score(
    terms: Terms, trained: np.ndarray, problem: Problem, benchmark: Benchmark, target: xr.DataArray
) -> xr.Dataset:
    """Assemble a score; `trained` (S, T, q) is r on the training stimuli."""
    score = score_of(
        terms,
        problem,
        target,
        formula=formula_named(benchmark.correction.formula),
        n_halvings=benchmark.correction.n_halvings,
        threshold=benchmark.correction.threshold,
        splitter=benchmark.splits.splitter(),
    )
    training = np.where(terms.silent[:, None], 0.0, trained)
    return score.assign(training_predictivity=((SPLIT, NEUROID, TIME_BIN), training.swapaxes(1, 2)))


def _joined(scores: Sequence[xr.Dataset], dimension: str, numbers: Sequence[int]) -> xr.Dataset:
    """Join slices along a dimension of theirs."""
    return xr.concat(
        list(scores),
        pd.Index(list(numbers), name=dimension),
        data_vars="all",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
