"""What the curves of `scoring.health` say: the best number of components, and where more training stimuli would lead.

Every number is the benchmark's headline (mean over the bins of its window, aggregated in its order) of a slice of the
curve. Letters: M slices, S splits, q neuroids, T time bins, D resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.kernel.power_law import EXPONENTS, PowerLaw, fit_power_law
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.formulas import ceiling_of_r, correct, formula_named
from neurofit.scoring.health import COMPONENT_NUMBER, TRAINING_SIZE
from neurofit.scoring.score import nan_mean
from neurofit.scoring.summary import window_bins
from neurofit.vocabulary import HALVING, NEUROID, SPLIT, TIME_BIN

RAW, CORRECTED, OF_CEILING, TRAINING = "raw", "corrected", "of_ceiling", "training"
FACTORS = (2.0, 10.0, float("inf"))
"""Multiples of all training stimuli to which learning curves are extrapolated."""
PLATEAU = 0.01
"""Numbers of components within this of the best are as good."""
LARGEST_WIDTH = 0.1
"""Of the interval of an extrapolation that is called supported."""
LARGEST_FALL, LARGEST_RESIDUAL, LEAST_SPAN, LEAST_SIZES = 0.005, 0.01, 4.0, 5
"""A curve that falls by more, a fit that misses by more, sizes that span less, or fewer of them, support nothing."""


@dataclass(frozen=True)
class Quantity:
    """A predictivity of all slices, by split, neuroid and bin.

    Parameters
    ----------
    name : str
        'raw' r, 'corrected' by the benchmark's formula, 'of_ceiling' (raw r over the ceiling of r), or 'training' r.
    values : array (M, S, q, T)
    ceilings : array (H, q, T), optional
        For formulas on aggregates, which are applied last.
    formula : str
        Of these.
    """

    name: str
    values: np.ndarray
    ceilings: np.ndarray | None = None
    formula: str = RAW

    def per_bin(self, order: str, neuroids: np.ndarray | None = None, splits: np.ndarray | None = None) -> np.ndarray:
        """Return (M, T), of the drawn neuroids and splits where they are given."""
        values = self.values if splits is None else self.values[:, splits]
        if order == "splits-then-neuroids":
            values = nan_mean(values, 1)[:, None]
        values = values if neuroids is None else values[:, :, neuroids]
        found = nan_mean(median_of_finite(values, 2), 1)
        if self.ceilings is None:
            return found
        ceilings = self.ceilings if neuroids is None else self.ceilings[:, neuroids]
        return correct(self.formula, found, nan_mean(median_of_finite(ceilings, 1), 0))

    def headline(self, order: str, neuroids: np.ndarray | None = None, splits: np.ndarray | None = None) -> np.ndarray:
        """Return (M,): the mean over bins."""
        return nan_mean(self.per_bin(order, neuroids, splits), 1)


@dataclass(frozen=True)
class ComponentDiagnosis:
    """Where the best number of components lies on the held-out stimuli, and how far the benchmark's is from it.

    Parameters
    ----------
    quantity : str
    chosen : int
        The benchmark's number.
    chosen_value : float
        NaN where it is not in the grid.
    best : int
        The best of the grid. It was found on the held-out stimuli, so that `best_value` is no score.
    best_value : float
    gain, gain_low, gain_high : float
        best_value - chosen_value, with its bootstrap interval over neuroids (the number staying that of all neuroids).
    plateau : tuple of int
        Numbers within `PLATEAU` of the best.
    best_is_largest : bool
        Whether the best is the end of the grid, so that more might be better still.
    best_by_bin : tuple of int
        The best of every bin in which there is a value, 0 where there is none.
    plateau_by_bin : tuple of (int, int)
        Smallest and largest number within `PLATEAU` of the best of every bin; 0 where there is no value.
    """

    quantity: str
    chosen: int
    chosen_value: float
    best: int
    best_value: float
    gain: float
    gain_low: float
    gain_high: float
    plateau: tuple[int, ...]
    best_is_largest: bool
    best_by_bin: tuple[int, ...]
    plateau_by_bin: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Interval:
    """Percentile bootstrap interval over what was drawn."""

    low: float
    high: float


@dataclass(frozen=True)
class Projection:
    """A learning curve, extrapolated.

    Parameters
    ----------
    factor : float
        Times the training stimuli of the largest set; infinity is the limit.
    value : float
    over_neuroids, over_splits, over_both : Interval
        Over draws of neuroids, of splits, and of both at once.
    supported : bool
        Whether the curve gives no reason against it, and the last of these is no wider than `LARGEST_WIDTH`.
    """

    factor: float
    value: float
    over_neuroids: Interval
    over_splits: Interval
    over_both: Interval
    supported: bool


@dataclass(frozen=True)
class LearningDiagnosis:
    """A fit of limit - scale m^-exponent to a learning curve.

    Parameters
    ----------
    quantity : str
    limit, scale, exponent, residual : float
        NaN where nothing was fitted; the residual is the root of the mean square.
    reasons : tuple of str
        Why the fit supports no extrapolation; none is good.
    projections : tuple of Projection
    """

    quantity: str
    limit: float
    scale: float
    exponent: float
    residual: float
    reasons: tuple[str, ...]
    projections: tuple[Projection, ...]

    def at(self, sizes: np.ndarray) -> np.ndarray:
        """Return the fitted curve at some sizes."""
        return self.limit - self.scale * sizes**-self.exponent


def quantities(curve: xr.Dataset) -> dict[str, Quantity]:
    """Return what a curve of `scoring.health` holds."""
    dimension = dimension_of(curve)
    axes = (dimension, SPLIT, NEUROID, TIME_BIN)
    formula = formula_named(str(curve.attrs["formula"]))
    raw = curve["predictivity"].transpose(*axes).values
    found = {RAW: Quantity(RAW, raw)}
    if formula.on_aggregates:
        ceilings = curve["ceiling_by_halving"].isel({dimension: 0}).transpose(HALVING, NEUROID, TIME_BIN).values
        found[CORRECTED] = Quantity(CORRECTED, raw, ceilings, formula.name)
    elif formula.corrects:
        found[CORRECTED] = Quantity(CORRECTED, curve["predictivity_corrected"].transpose(*axes).values)
    internal = curve["internal_consistency"].isel({dimension: 0}).transpose(NEUROID, TIME_BIN).values
    if np.isfinite(internal).any():
        reliable = np.where(internal > float(curve.attrs["threshold"]), internal, np.nan)
        found[OF_CEILING] = Quantity(OF_CEILING, raw / ceiling_of_r(reliable))
    found[TRAINING] = Quantity(TRAINING, curve["training_predictivity"].transpose(*axes).values)
    return found


def dimension_of(curve: xr.Dataset) -> str:
    """Return the dimension along which a curve goes."""
    return COMPONENT_NUMBER if COMPONENT_NUMBER in curve.dims else TRAINING_SIZE


def in_window(curve: xr.Dataset, aggregation: AggregationSpec) -> xr.Dataset:
    """Return the bins of a curve that the headline is of."""
    return curve.isel({TIME_BIN: window_bins(curve, aggregation)})


def tabulate(curve: xr.Dataset, aggregation: AggregationSpec) -> pd.DataFrame:
    """Return one row per slice: the number, and the headline of every quantity."""
    part = in_window(curve, aggregation)
    columns = {name: each.headline(aggregation.order) for name, each in quantities(part).items()}
    dimension = dimension_of(curve)
    return pd.DataFrame({dimension: curve[dimension].values, **columns})


def ceiling_in_window(curve: xr.Dataset, aggregation: AggregationSpec) -> float:
    """Return the ceiling of r: root of the median consistency, mean over the window's bins; NaN without repetitions."""
    dimension = dimension_of(curve)
    internal = in_window(curve, aggregation)["internal_consistency"].isel({dimension: -1})
    medians = median_of_finite(internal.transpose(NEUROID, TIME_BIN).values, 0)
    return float(nan_mean(ceiling_of_r(medians), 0))


def diagnose_components(
    curve: xr.Dataset, aggregation: AggregationSpec, chosen: int, n_resamples: int = 500
) -> dict[str, ComponentDiagnosis]:
    """Return where the best number of components lies, for raw and corrected predictivity.

    Parameters
    ----------
    curve : xarray.Dataset
        From `component_curve`.
    aggregation : AggregationSpec
    chosen : int
        The benchmark's number.
    n_resamples : int
        Of the interval of the gain.
    """
    numbers = [int(k) for k in curve[COMPONENT_NUMBER].values]
    windowed, everywhere = quantities(in_window(curve, aggregation)), quantities(curve)
    found = {}
    for name in (RAW, CORRECTED):
        if name not in windowed:
            continue
        values = windowed[name].headline(aggregation.order)
        if not np.isfinite(values).any():
            continue
        best = int(np.nanargmax(values))
        at = numbers.index(chosen) if chosen in numbers else None
        low = high = gain = float("nan")
        if at is not None:
            gain = float(values[best] - values[at])
            drawn = np.stack([each[best] - each[at] for each in _drawn(windowed[name], aggregation, n_resamples, "q")])
            low, high = _tails(drawn, aggregation.level)
        by_bin = [_best_and_plateau(numbers, column) for column in everywhere[name].per_bin(aggregation.order).T]
        as_good = _best_and_plateau(numbers, values)[1]
        found[name] = ComponentDiagnosis(
            quantity=name,
            chosen=chosen,
            chosen_value=float("nan") if at is None else float(values[at]),
            best=numbers[best],
            best_value=float(values[best]),
            gain=gain,
            gain_low=low,
            gain_high=high,
            plateau=as_good,
            best_is_largest=best == len(numbers) - 1,
            best_by_bin=tuple(each for each, _ in by_bin),
            plateau_by_bin=tuple((good[0], good[-1]) for _, good in by_bin),
        )
    return found


def diagnose_learning(
    curve: xr.Dataset, aggregation: AggregationSpec, n_resamples: int = 500
) -> dict[str, LearningDiagnosis]:
    """Fit and extrapolate a learning curve, for raw and corrected predictivity and that over the ceiling of r.

    Parameters
    ----------
    curve : xarray.Dataset
        From `learning_curve`, with four sizes or more.
    aggregation : AggregationSpec
    n_resamples : int
        Of each interval.

    Raises
    ------
    MappingError
        If there are fewer than four sizes.
    """
    sizes = curve[TRAINING_SIZE].values.astype(float)
    found = {}
    for name, quantity in quantities(in_window(curve, aggregation)).items():
        if name == TRAINING:
            continue
        values = quantity.headline(aggregation.order)
        if not np.isfinite(values).all():
            why = (f"{int((~np.isfinite(values)).sum())} sizes have no value",)
            found[name] = LearningDiagnosis(name, float("nan"), float("nan"), float("nan"), float("nan"), why, ())
            continue
        law = fit_power_law(sizes, values)
        reasons = tuple(_reasons(name, sizes, values, law))
        drawn = {}
        for kind in ("q", "S", "qS"):
            curves = np.stack(list(_drawn(quantity, aggregation, n_resamples, kind)))
            drawn[kind] = fit_power_law(sizes, curves[np.isfinite(curves).all(axis=1)])
        projections = tuple(
            _projected(law, drawn, sizes[-1], factor, aggregation.level, not reasons) for factor in FACTORS
        )
        limit, scale, exponent, residual = (
            float(each[0]) for each in (law.limit, law.scale, law.exponent, law.residual)
        )
        found[name] = LearningDiagnosis(name, limit, scale, exponent, residual, reasons, projections)
    return found


def _best_and_plateau(numbers: list[int], values: np.ndarray) -> tuple[int, tuple[int, ...]]:
    """Return the best number, and those within `PLATEAU` of it; 0 and (0,) where there is no value."""
    if not np.isfinite(values).any():
        return 0, (0,)
    best = np.nanmax(values)
    good = tuple(k for k, value in zip(numbers, values, strict=True) if value >= best - PLATEAU)
    return numbers[int(np.nanargmax(values))], good


def median_of_finite(values: np.ndarray, axis: int) -> np.ndarray:
    """Return the median over the finite values of an axis, NaN where there are none; quicker than numpy.nanmedian."""
    ordered = np.sort(np.where(np.isfinite(values), values, np.nan), axis=axis)  # NaN last
    count = np.expand_dims(np.isfinite(values).sum(axis), axis)
    lower = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0), axis)
    upper = np.take_along_axis(ordered, np.minimum(count // 2, np.maximum(count - 1, 0)), axis)
    return np.squeeze((lower + upper) / 2, axis)


def _drawn(quantity: Quantity, aggregation: AggregationSpec, n_resamples: int, kind: str) -> Iterator[np.ndarray]:
    """Yield headlines (M,) of draws of neuroids ('q'), splits ('S') or both ('qS')."""
    rng = np.random.default_rng(0)
    n_splits, n_neuroids = quantity.values.shape[1:3]
    for _ in range(n_resamples):
        neuroids = np.asarray(rng.integers(0, n_neuroids, n_neuroids)) if "q" in kind else None
        splits = np.asarray(rng.integers(0, n_splits, n_splits)) if "S" in kind else None
        yield quantity.headline(aggregation.order, neuroids, splits)


def _tails(values: np.ndarray, level: float) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    low, high = np.percentile(finite, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def _reasons(name: str, sizes: np.ndarray, values: np.ndarray, law: PowerLaw) -> Iterator[str]:
    """Say what speaks against extrapolating a curve."""
    if len(sizes) < LEAST_SIZES:
        yield f"{len(sizes)} sizes are few for three parameters"
    if sizes[-1] < LEAST_SPAN * sizes[0]:
        yield f"the sizes span a factor of {sizes[-1] / sizes[0]:.1f} only"
    falls = np.diff(values)
    if falls.min() < -LARGEST_FALL:
        i = int(falls.argmin())
        fall = f"it falls by {-falls[i]:.3f} from {sizes[i]:.0f} to {sizes[i + 1]:.0f} stimuli"
        yield f"the curve is not monotone: {fall}"
    if law.scale[0] == 0:
        yield "the curve does not grow"
    elif law.at_bound()[0]:
        yield f"the exponent lies at a bound of its range, {EXPONENTS[0]:g} to {EXPONENTS[1]:g}: {law.exponent[0]:.2f}"
    if law.residual[0] > LARGEST_RESIDUAL:
        yield f"the fit misses the curve by {law.residual[0]:.3f} (root mean square)"
    if name == RAW and law.limit[0] > 1:
        yield f"the limit {law.limit[0]:.3f} is more than an r can be"


def _projected(
    law: PowerLaw, drawn: dict[str, PowerLaw], largest: float, factor: float, level: float, fits: bool
) -> Projection:
    """Extrapolate to a multiple of the largest size."""
    size = largest * factor
    each = {kind: Interval(*_tails(curves.at(size), level)) for kind, curves in drawn.items()}
    both = each["qS"]
    supported = fits and both.high - both.low <= LARGEST_WIDTH
    return Projection(factor, float(law.at(size)[0]), each["q"], each["S"], both, supported)


def as_plain(diagnoses: Mapping[str, ComponentDiagnosis | LearningDiagnosis]) -> dict[str, dict[str, Any]]:
    """Return diagnoses as dictionaries; an infinite factor as 'infinity', which JSON has no number for."""
    plain = {name: asdict(each) for name, each in diagnoses.items()}
    for document in plain.values():
        for projection in document.get("projections", ()):
            if np.isinf(projection["factor"]):
                projection["factor"] = "infinity"
    return plain
