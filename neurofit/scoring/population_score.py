"""A score of two whole populations, which has no neuroids: RSA, and decoding.

Variables (dimensions time_bin T, resample B, halving H):

``value`` (T,)
    The metric's own measure of agreement, signed; 0 in a silent bin.
``consistency`` (T,)
    Reliability of the neural side of it, Spearman-Brown corrected split-half, mean over halvings; NaN where the formula
    is 'raw'.
``corrected`` (T,)
    `value` by the named formula; NaN where the consistency is not above the threshold.
``resampled`` (B, T)
    `value` for stimuli drawn with replacement, the same ones in every bin.
``silent`` (T,)
    Bins in which the source is the same for all stimuli: its value is 0 there by definition.
``stimuli_counted`` (T,)
    Stimuli that the value is of.

A metric adds its own (`scoring.rsa`, `scoring.agreement`). attrs: metric, `measure` (the value in words), formula,
`formula_text`, threshold, n_stimuli, n_neuroids, n_source_neuroids, n_splits, n_halvings and fingerprints.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assembly.schema import time_bins_of
from neurofit.errors import AssemblyError, MappingError, listed
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.vocabulary import TIME_BIN, TIME_BIN_END, TIME_BIN_START

if TYPE_CHECKING:
    from neurofit.scoring.benchmark import AggregationSpec

RESAMPLE = "resample"
REQUIRED_VARIABLES = ("value", "consistency", "corrected", "resampled", "silent", "stimuli_counted")
REQUIRED_ATTRS = ("metric", "measure", "formula", "formula_text", "threshold", "n_stimuli", "n_neuroids")
_LEAST_RESAMPLED = 0.5
"""Part of the resamples of a bin that must have a value for its interval to be given."""


def metric_of(score: xr.Dataset) -> str:
    """Return the metric of a score; those of predictivity need not say it."""
    return str(score.attrs.get("metric", PREDICTIVITY))


def check_population_score(score: xr.Dataset) -> xr.Dataset:
    """Return the score if it keeps the contract of this module.

    Raises
    ------
    AssemblyError
        If a variable or attribute is missing.
    MappingError
        If a value lies outside [-1, 1].
    """
    missing = [v for v in REQUIRED_VARIABLES if v not in score]
    missing += [f"attribute {a}" for a in REQUIRED_ATTRS if a not in score.attrs]
    if missing:
        raise AssemblyError("a score has all its variables", f"missing {listed(missing)}", "make it with neurofit.run")
    for name in ("value", "resampled"):
        found = score[name].values
        if np.isinf(found).any() or (np.abs(found[np.isfinite(found)]) > 1 + 1e-9).any():
            raise MappingError(
                "a correlation lies in [-1, 1]", f"found {np.nanmax(np.abs(found))}", "report this as a defect"
            )
    return score


def assemble_population_score(
    value: np.ndarray,
    by_halving: np.ndarray,
    resampled: np.ndarray,
    silent: np.ndarray,
    counted: np.ndarray,
    time: xr.DataArray,
    attrs: dict[str, object],
) -> xr.Dataset:
    """Correct values and make them a score.

    Parameters
    ----------
    value : array (T,)
    by_halving : array (H, T)
        Consistencies, Spearman-Brown corrected; H = 0 for the formula 'raw'.
    resampled : array (B, T)
    silent : array of bool (T,)
    counted : array of int (T,)
    time : xarray.DataArray
        Whatever has the time bins' coordinates.
    attrs : dict
    """
    finite = np.isfinite(by_halving)
    count = finite.sum(0)
    consistency = np.where(count > 0, np.where(finite, by_halving, 0.0).sum(0) / np.maximum(count, 1), np.nan)
    value = np.where(silent, 0.0, value)
    resampled = np.where(silent, 0.0, resampled)
    corrected = value / _divisor(consistency, attrs)
    coords = {name: c for name, c in time.coords.items() if c.dims == (TIME_BIN,)}
    return xr.Dataset(
        {
            "value": ((TIME_BIN,), value),
            "consistency": ((TIME_BIN,), consistency),
            "consistency_by_halving": (("halving", TIME_BIN), by_halving),
            "corrected": ((TIME_BIN,), corrected),
            "resampled": ((RESAMPLE, TIME_BIN), resampled),
            "silent": ((TIME_BIN,), silent),
            "stimuli_counted": ((TIME_BIN,), counted),
        },
        coords=coords,
        attrs=attrs,
    )


def _divisor(consistency: np.ndarray, attrs: dict[str, object]) -> np.ndarray:
    """Return what the formula divides by (T,): NaN where the consistency is not above the threshold."""
    if attrs["formula"] == "raw":
        return np.ones_like(consistency)
    with np.errstate(invalid="ignore"):
        reliable = consistency > float(attrs["threshold"])  # type: ignore[arg-type]
    return np.sqrt(np.where(reliable, consistency, np.nan))


@dataclass(frozen=True)
class PopulationHeadline:
    """One number for a score of two populations.

    Parameters
    ----------
    value, raw : float
        Mean over the window's bins of the corrected (by `formula`) value, and of the value itself.
    low, high : float
        Percentile bootstrap interval of `value` over stimuli; the consistency is held fixed.
    ceiling : float
        Mean over the window's bins of the consistency.
    bins, bins_excluded : int
        Bins of the window that have a corrected value, and those that are not reliable enough.
    stimuli_counted : int
        Fewest stimuli of a bin.
    window_start_ms, window_end_ms : int
    formula, metric : str
    """

    value: float
    raw: float
    low: float
    high: float
    ceiling: float
    bins: int
    bins_excluded: int
    stimuli_counted: int
    window_start_ms: int
    window_end_ms: int
    formula: str
    metric: str

    def as_dict(self) -> dict[str, object]:
        """Return the fields as a dictionary."""
        return asdict(self)


def population_table(score: xr.Dataset, aggregation: AggregationSpec) -> pd.DataFrame:
    """Return one row per time bin; see `scoring.summary.summarise`.

    `internal_consistency` is that of the whole population's measure, `counted` and `excluded` are stimuli, and `low`
    and `high` a bootstrap over stimuli.
    """
    bins = np.array(time_bins_of(score))
    consistency = score["consistency"].values
    draws = score["resampled"].values / _divisor(consistency, score.attrs)
    low, high = _interval(draws, aggregation.level)
    counted = score["stimuli_counted"].values
    with np.errstate(invalid="ignore"):
        ceiling = np.sqrt(np.where(consistency > 0, consistency, np.nan))
    accuracies = [name for name in ("accuracy_source", "accuracy_target") if name in score]
    return pd.DataFrame(
        {
            TIME_BIN_START: bins[:, 0],
            TIME_BIN_END: bins[:, 1],
            "raw": score["value"].values,
            "internal_consistency": consistency,
            "ceiling_of_r": ceiling,
            "corrected": score["corrected"].values,
            "low": low,
            "high": high,
            "counted": counted,
            "excluded": int(score.attrs["n_stimuli"]) - counted,
            "silent": score["silent"].values,
            **{name: score[name].values.mean(0) for name in accuracies},
        }
    )


def population_headline(score: xr.Dataset, aggregation: AggregationSpec, inside: np.ndarray) -> PopulationHeadline:
    """Return the one number of a score from the bins `inside` the window; see `PopulationHeadline`."""
    part = score.isel({TIME_BIN: inside})
    table = population_table(part, aggregation)
    valid = np.isfinite(table["corrected"].to_numpy())
    draws = part["resampled"].values / _divisor(part["consistency"].values, part.attrs)
    # a resample counts if it has all the bins that the score has
    low, high = _interval(draws[:, valid].mean(1), aggregation.level) if valid.any() else (np.nan, np.nan)
    return PopulationHeadline(
        value=_mean(table["corrected"]),
        raw=_mean(table["raw"]),
        low=float(low),
        high=float(high),
        ceiling=_mean(table["internal_consistency"]),
        bins=int(valid.sum()),
        bins_excluded=int((~valid).sum()),
        stimuli_counted=int(table["counted"].min()),
        window_start_ms=int(table[TIME_BIN_START].min()),
        window_end_ms=int(table[TIME_BIN_END].max()),
        formula=str(score.attrs["formula"]),
        metric=metric_of(score),
    )


def _interval(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Percentiles over resamples (B, ...); NaN where fewer than half of them have a value."""
    finite = np.isfinite(draws)
    enough = finite.mean(0) >= _LEAST_RESAMPLED if len(draws) else np.zeros(draws.shape[1:], bool)
    tails = [50 * (1 - level), 50 * (1 + level)]
    low, high = np.nanpercentile(np.where(enough, draws, 0.0), tails, axis=0) if len(draws) else (np.nan, np.nan)
    return np.where(enough, low, np.nan), np.where(enough, high, np.nan)


def _mean(values: Iterable[float]) -> float:
    finite = np.asarray(list(values), float)
    finite = finite[np.isfinite(finite)]
    return float(finite.mean()) if len(finite) else np.nan
