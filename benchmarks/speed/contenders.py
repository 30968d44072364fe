"""Who does the same job: neurofit, scikit-learn, ikpls and Brain-Score. Those that are not installed are left out."""

from __future__ import annotations

import contextlib
import importlib.util
import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from measuring import Entrant, Part, Workers
from problems import Array, Problem, Trials, Unit

from neurofit.kernel.gram import SharedSource
from neurofit.kernel.held_out import HeldOutFits
from neurofit.kernel.split_half import split_half_correlations

Predict = Callable[[Array, Array, Array, int], Array]
#: neurofit refits to half-trials in single precision.
REFITS = 2e-4
NEUROFIT, STANDARDISED, PLAIN = "neurofit", "neurofit, standardised", "plain NumPy loop"


@dataclass(frozen=True)
class Contender:
    """A program, how it is asked, and how far from its reference it may be.

    Attributes
    ----------
    name : str
    units : {"all", "fits", "folds"}
        What a run does: the whole job, some fits one by one, or all folds of some target sets.
    correlate : callable (Problem, list of units, Workers) -> array (units, q)
        Pearson's r on the test images.
    reference : str
    tolerance : float
        Exact algorithms in float64 differ by rounding. scikit-learn stops its power iterations at a tolerance of
        1e-6, by default and here, and float32 has 7 digits, of which 25 components cost some.
    needs : str
        The package that must be there.
    float32 : bool
        Whether it is compared with the machine's matrix products in float32.
    """

    name: str
    units: Literal["all", "fits", "folds"]
    correlate: Callable[[Problem, list[Unit], Workers], Array]
    reference: str
    tolerance: float
    needs: str = "neurofit"
    float32: bool = False

    @property
    def missing(self) -> bool:
        """Whether its package is not installed."""
        return importlib.util.find_spec(self.needs) is None

    def can(self, problem: Problem) -> bool:
        """Say whether it can do the job: cross-validation on shared statistics needs folds."""
        return self.units != "folds" or problem.folds

    def entrant(self, problem: Problem, n_units: int) -> Entrant:
        """Return it at work on a problem: `n_units` fits (or target sets, if it does all folds) in every run."""
        tolerance = self.tolerance if problem.halves is None else max(self.tolerance, REFITS)
        return Entrant(self.name, partial(self._run, problem, n_units), self.reference, tolerance)

    def _run(self, problem: Problem, n_units: int, number: int, workers: Workers) -> Part:
        units = self._chosen(problem, n_units, number)
        values = self.correlate(problem, units, workers)
        if self.units == "all":
            return Part(..., values, 1.0)
        sets, splits = (list(axis) for axis in zip(*units, strict=True))
        return Part((splits, sets), values, problem.share(units))

    def _chosen(self, problem: Problem, n_units: int, number: int) -> list[Unit]:
        """Return units (set, split): others in every round, so that they stand for all."""
        if self.units == "all":
            return []
        n_splits, start = len(problem.splits), number * n_units
        if self.units == "folds":
            sets = range(start, start + min(n_units, problem.n_sets))
            return [(b % problem.n_sets, s) for b in sets for s in range(n_splits)]
        n_all = problem.n_sets * n_splits
        return [divmod(unit % n_all, n_splits) for unit in range(start, start + min(n_units, n_all))]


def pearson(one: Array, two: Array) -> Array:
    """Return r over images (..., n, q)."""
    a, b = (values - values.mean(axis=-2, keepdims=True) for values in (one, two))
    return (a * b).sum(axis=-2) / np.sqrt((a * a).sum(axis=-2) * (b * b).sum(axis=-2))


def with_neurofit(
    problem: Problem, _: list[Unit], workers: Workers, *, precision: str = "float64", scale: bool = False
) -> Array:
    """Return r of all splits and sets (S, B, q); where there are halves, that of the refits, after the other's."""
    source = SharedSource.of(problem.X, scale=scale, precision=precision)
    fits = HeldOutFits(source, problem.splits, problem.components, map_splits=workers.map)
    mapped = fits.correlate(problem.Y).r
    r = mapped if problem.halves is None else fits.correlate_halves(*problem.halves).mapping
    return r[:, :, 0]  # the test images of a split are one group


def one_by_one(predict: Predict, problem: Problem, units: list[Unit], workers: Workers) -> Array:
    """Fit every unit on its own."""

    def correlate(unit: Unit) -> Array:
        b, (train, test) = unit[0], problem.splits[unit[1]]
        inputs, held_out = problem.X[train], problem.X[test]
        if problem.halves is None:
            return pearson(predict(inputs, problem.Y[b][train], held_out, problem.components), problem.Y[b][test])
        return pearson(*(predict(inputs, half[b][train], held_out, problem.components) for half in problem.halves))

    return np.stack(list(workers.map(correlate, units)))


def with_scikit_learn(X: Array, Y: Array, held_out: Array, k: int, *, scale: bool = False) -> Array:
    """Predict with PLSRegression: its default tolerance, which is what its users and Brain-Score's run."""
    from sklearn.cross_decomposition import PLSRegression

    return PLSRegression(n_components=k, scale=scale).fit(X, Y).predict(held_out)


def with_ikpls(X: Array, Y: Array, held_out: Array, k: int, *, algorithm: int, dtype: Any = np.float64) -> Array:
    """Predict with improved kernel PLS."""
    from ikpls.numpy import PLS

    model = PLS(algorithm=algorithm, scale_X=False, scale_Y=False, dtype=dtype)
    return model.fit(X, Y, k).predict(held_out, k)


def with_ikpls_folds(problem: Problem, units: list[Unit], workers: Workers, *, algorithm: int) -> Array:
    """Cross-validate with statistics that the folds share, one set after the other."""
    from ikpls.fast_cross_validation.numpy import PLS
    from joblib import parallel_config

    last = problem.components - 1

    def predictions(Y: Array) -> list[Array]:
        model = PLS(algorithm=algorithm, scale_X=False, scale_Y=False)
        with contextlib.redirect_stdout(io.StringIO()), parallel_config("threading"):
            found = model.cross_validate(
                problem.X,
                Y,
                problem.components,
                problem.fold_of,
                lambda _, predicted: predicted[last].copy(),
                n_jobs=workers.threads,
                verbose=0,
            )
        return [found[s] for s in range(len(problem.splits))]

    r = []
    for b in dict.fromkeys(b for b, _ in units):
        if problem.halves is None:
            r += [
                pearson(predicted, problem.Y[b][test])
                for predicted, (_, test) in zip(predictions(problem.Y[b]), problem.splits, strict=True)
            ]
        else:
            r += map(pearson, *(predictions(half[b]) for half in problem.halves))
    return np.stack(r)


def with_brain_score(problem: Problem, units: list[Unit], workers: Workers) -> Array:
    """Correlate by Brain-Score's metric on given splits; how it divides assemblies into its own takes it longer."""
    from brainscore_vision.metrics.regression_correlation.metric import (
        CrossRegressedCorrelation,
        pearsonr_correlation,
        pls_regression,
    )

    def correlate(unit: Unit) -> Array:
        b, (train, test) = unit[0], problem.splits[unit[1]]
        regression = pls_regression({"n_components": problem.components})
        metric = CrossRegressedCorrelation(regression, pearsonr_correlation())
        if problem.halves is not None:
            predicted = []
            for half in problem.halves:
                regression.fit(_assembly(problem.X[train], train), _assembly(half[b][train], train))
                predicted.append(regression.predict(_assembly(problem.X[test], test)))
            return metric.correlation(*predicted).values
        parts = [_assembly(values[rows], rows) for rows in (train, test) for values in (problem.X, problem.Y[b])]
        return metric.apply(*parts).values

    return np.stack(list(workers.map(correlate, units)))


def _assembly(values: Array, stimuli: Array, **coords: Any) -> Any:
    """Brain-Score's assembly of responses (P, q) to stimuli (P,), with names that sort as their numbers do."""
    from brainscore_core.supported_data_standards.brainio.assemblies import NeuroidAssembly

    columns = [f"{j:06d}" for j in range(values.shape[1])]
    return NeuroidAssembly(
        values,
        dims=("presentation", "neuroid"),
        coords={
            "stimulus_id": ("presentation", [f"{i:06d}" for i in stimuli]),
            "object_name": ("presentation", ["object"] * len(stimuli)),
            "neuroid_id": ("neuroid", columns),
            "region": ("neuroid", ["IT"] * len(columns)),
            **coords,
        },
    )


IKPLS = {f"algorithm {number}": partial(one_by_one, partial(with_ikpls, algorithm=number)) for number in (1, 2)}
IKPLS_FOLDS = {f"fast cross-validation {number}": partial(with_ikpls_folds, algorithm=number) for number in (1, 2)}
MAPPINGS = (
    Contender(NEUROFIT, "all", with_neurofit, NEUROFIT, 0.0),
    Contender("neurofit, float32", "all", partial(with_neurofit, precision="float32"), NEUROFIT, 2e-3, float32=True),
    *(Contender(f"ikpls, {name}", "fits", fit, NEUROFIT, 1e-6, "ikpls") for name, fit in IKPLS.items()),
    *(Contender(f"ikpls, {name}", "folds", fit, NEUROFIT, 1e-6, "ikpls") for name, fit in IKPLS_FOLDS.items()),
    Contender("scikit-learn", "fits", partial(one_by_one, with_scikit_learn), NEUROFIT, 2e-2, "sklearn"),
    Contender("Brain-Score", "fits", with_brain_score, NEUROFIT, 2e-2, "brainscore_vision"),
    Contender(STANDARDISED, "all", partial(with_neurofit, scale=True), STANDARDISED, 0.0),
    Contender(
        "scikit-learn, standardised",
        "fits",
        partial(one_by_one, partial(with_scikit_learn, scale=True)),
        STANDARDISED,
        2e-2,
        "sklearn",
    ),
)


def reliabilities(trials: list[Trials], n_halvings: int, *, brain_score: bool) -> list[Entrant]:
    """Return who correlates halves of trials, on one array a time bin.

    Parameters
    ----------
    trials : list of Trials
    n_halvings : int
        How many the plain loop does in a run.
    brain_score : bool
        Whether Brain-Score's ceiling takes part: it draws the halvings itself.
    """

    def all_at_once(_: int, workers: Workers) -> Part:
        r = [split_half_correlations(one.values, one.stimulus, one.halvings) for one in trials]
        return Part(..., np.stack(r), 1.0)

    def loop(number: int, workers: Workers) -> Part:
        one, t = trials[number % len(trials)], number % len(trials)
        n_all, n = len(one.halvings), one.stimulus.max() + 1
        chosen = [h % n_all for h in range(number * n_halvings, number * n_halvings + min(n_halvings, n_all))]
        r = []
        for first in one.halvings[chosen]:
            halves = (one.values[half].reshape(n, -1, one.values.shape[1]).mean(axis=1) for half in (first, ~first))
            r.append(pearson(*halves))
        return Part((t, chosen), np.stack(r), len(chosen) / n_all / len(trials))

    entrants = [Entrant(NEUROFIT, all_at_once, NEUROFIT, 0.0), Entrant(PLAIN, loop, NEUROFIT, 1e-5)]
    if brain_score and importlib.util.find_spec("brainscore_vision") is not None:
        entrants.append(Entrant("Brain-Score", partial(_brain_score_ceiling, trials[0]), NEUROFIT, 1e-5))
    return entrants


def _brain_score_ceiling(trials: Trials, _: int, workers: Workers) -> Part:
    from brainscore_vision.metrics.internal_consistency.ceiling import InternalConsistency

    assembly = _assembly(trials.values, trials.stimulus, repetition=("presentation", trials.repetition))
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
        corrected = InternalConsistency()(assembly).raw.transpose("split", "neuroid").values
    return Part(0, corrected / (2 - corrected), 1.0)
