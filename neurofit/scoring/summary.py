"""From a score to a table per time bin and one headline number, with intervals."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assembly.schema import time_bins_of
from neurofit.errors import ConfigurationError
from neurofit.kernel.resampling import bootstrap_interval
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.formulas import ceiling_of_r, correct, formula_named
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.population_score import PopulationHeadline, metric_of, population_headline, population_table
from neurofit.scoring.score import nan_mean
from neurofit.vocabulary import NEUROID, SPLIT, TIME_BIN_END, TIME_BIN_START


@dataclass(frozen=True)
class Headline:
    """One number for a score.

    Parameters
    ----------
    value, raw : float
        Mean over the window's bins of the corrected (by `formula`) and raw predictivity, aggregated over neuroids and
        splits in the benchmark's order.
    low, high : float
        Bootstrap interval of `value` over neuroids.
    standard_error : float
        Standard deviation over splits / sqrt(splits) of the raw predictivity (population s.d., as Brain-Score).
    ceiling : float
        Median over neuroids of the internal consistency, mean over bins.
    neuroids_counted, neuroids_excluded : int
        Neuroids that are reliable in at least one bin of the window, and the others.
    window_start_ms, window_end_ms : int
    bins : int
        Bins of the window that have a value.
    formula : str
    """

    value: float
    raw: float
    low: float
    high: float
    standard_error: float
    ceiling: float
    neuroids_counted: int
    neuroids_excluded: int
    window_start_ms: int
    window_end_ms: int
    bins: int
    formula: str

    def as_dict(self) -> dict[str, object]:
        """Return the fields as a dictionary."""
        return asdict(self)


def summarise(score: xr.Dataset, aggregation: AggregationSpec | None = None) -> pd.DataFrame:
    """Return one row per time bin.

    Parameters
    ----------
    score : xarray.Dataset
    aggregation : AggregationSpec, optional
        The ConvRNN papers' by default: mean over splits, then median over neuroids.

    Returns
    -------
    DataFrame
        time_bin_start, time_bin_end (ms); raw, internal_consistency, mapping_consistency, ceiling_of_r, corrected
        (medians over neuroids, in the order of the benchmark); low, high (bootstrap over neuroids, of corrected);
        standard_error (over splits, of raw); counted, excluded (neuroids); silent. For other metrics see
        `scoring.population_score.population_table`: there counted, excluded and the bootstrap are of stimuli.
    """
    aggregation = aggregation or AggregationSpec()
    if metric_of(score) != PREDICTIVITY:
        return population_table(score, aggregation)
    bins = np.array(time_bins_of(score["predictivity"]))
    raw, corrected, internal = _tables(score)
    low, high = _interval(score, aggregation, window=None)
    counted = np.isfinite(corrected).any(0).sum(0)
    per_split = _median(raw.swapaxes(0, 1))
    return pd.DataFrame(
        {
            TIME_BIN_START: bins[:, 0],
            TIME_BIN_END: bins[:, 1],
            "raw": _aggregate(raw, aggregation),
            "internal_consistency": internal,
            "mapping_consistency": _median(score["mapping_consistency"].values),
            "ceiling_of_r": ceiling_of_r(internal),
            "corrected": _aggregate_corrected(score, raw, corrected, aggregation),
            "low": low,
            "high": high,
            "standard_error": per_split.std(0) / np.sqrt(len(per_split)),
            "counted": counted,
            "excluded": raw.shape[1] - counted,
            "silent": score["silent"].values,
        }
    )


def headline(score: xr.Dataset, aggregation: AggregationSpec | None = None) -> Headline | PopulationHeadline:
    """Return the one number of a score.

    Raises
    ------
    ConfigurationError
        If no time bin lies inside the window.
    """
    aggregation = aggregation or AggregationSpec()
    if metric_of(score) != PREDICTIVITY:
        return population_headline(score, aggregation, window_bins(score, aggregation))
    return headline_of_neuroids(score, aggregation)


def headline_of_neuroids(score: xr.Dataset, aggregation: AggregationSpec | None = None) -> Headline:
    """Return the one number of a score of predictivity; see `headline`."""
    aggregation = aggregation or AggregationSpec()
    inside = window_bins(score, aggregation)
    table = summarise(score, aggregation).loc[inside]
    raw, corrected, _ = _tables(score.isel(time_bin=inside))
    low, high = _interval(score, aggregation, window=inside)
    counted = int(np.isfinite(corrected).any((0, 2)).sum())
    splits = nan_mean(_median(raw.swapaxes(0, 1)), 1)
    return Headline(
        value=_mean(table["corrected"]),
        raw=_mean(table["raw"]),
        low=float(low),
        high=float(high),
        standard_error=float(splits.std() / np.sqrt(len(splits))),
        ceiling=_mean(table["internal_consistency"]),
        neuroids_counted=counted,
        neuroids_excluded=raw.shape[1] - counted,
        window_start_ms=int(table[TIME_BIN_START].min()),
        window_end_ms=int(table[TIME_BIN_END].max()),
        bins=int(np.isfinite(table["corrected"]).sum()),
        formula=str(score.attrs["formula"]),
    )


def window_bins(score: xr.Dataset, aggregation: AggregationSpec) -> np.ndarray:
    """Return the indices of the bins that lie inside the window.

    Raises
    ------
    ConfigurationError
        If there are none.
    """
    bins = np.array(time_bins_of(score))
    start, end = aggregation.window_ms
    inside = np.flatnonzero((bins[:, 0] >= start) & (bins[:, 1] <= end))
    if not len(inside):
        raise ConfigurationError(
            "at least one time bin lies inside the window of the headline",
            f"the window is {start}-{end} ms, the bins span {bins.min()}-{bins.max()} ms",
            "change window_ms of the benchmark",
        )
    return inside


def _tables(score: xr.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return raw and corrected (S, q, T), and the aggregated internal consistency (T,)."""
    raw = score["predictivity"].transpose(SPLIT, NEUROID, ...).values
    if "ceiling_by_halving" in score:
        by_halving = _median(score["ceiling_by_halving"].values.swapaxes(0, 1))
        return raw, raw, nan_mean(by_halving, 0)
    return raw, score["predictivity_corrected"].values, _median(score["internal_consistency"].values)


def _aggregate_corrected(
    score: xr.Dataset, raw: np.ndarray, corrected: np.ndarray, aggregation: AggregationSpec
) -> np.ndarray:
    formula = formula_named(str(score.attrs["formula"]))
    if not formula.on_aggregates:
        return _aggregate(corrected, aggregation)
    ceiling = nan_mean(_median(score["ceiling_by_halving"].values.swapaxes(0, 1)), 0)
    return correct(formula.name, _aggregate(raw, aggregation), ceiling)


def _aggregate(values: np.ndarray, aggregation: AggregationSpec) -> np.ndarray:
    """Return one value per bin (T,) of (S, q, T)."""
    if aggregation.order == "splits-then-neuroids":
        return _median(nan_mean(values, 0))
    return nan_mean(_median(values.swapaxes(0, 1)), 0)


def _interval(
    score: xr.Dataset, aggregation: AggregationSpec, window: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the bootstrap interval over neuroids of the corrected predictivity, per bin or of the window's mean."""
    part = score if window is None else score.isel(time_bin=window)
    raw, corrected, _ = _tables(part)
    formula = formula_named(str(score.attrs["formula"]))
    ceilings = part["ceiling_by_halving"].values if formula.on_aggregates else np.empty((0, *raw.shape[1:]))
    # neuroids first, so that they are what is drawn; splits and halvings travel with them
    columns = np.concatenate([corrected, ceilings]).swapaxes(0, 1)  # (q, S + H, T)
    n_splits = len(raw)

    def statistic(drawn: np.ndarray, axis: int = 0) -> np.ndarray:
        values = np.moveaxis(drawn, axis, -3)  # (..., q, S + H, T)
        if aggregation.order == "splits-then-neuroids":
            per_bin = _median(nan_mean(values[..., :n_splits, :], -2), -2)
        else:
            per_bin = nan_mean(_median(values[..., :n_splits, :], -3), -2)
        if formula.on_aggregates:
            per_bin = correct(formula.name, per_bin, nan_mean(_median(values[..., n_splits:, :], -3), -2))
        return per_bin if window is None else nan_mean(per_bin, -1)

    return bootstrap_interval(columns, statistic, aggregation.n_resamples, aggregation.level, random_state=0)


def _median(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the median over finite values of an axis, NaN (without a warning) where there are none."""
    nothing = ~np.isfinite(values).any(axis)
    filled = np.where(np.expand_dims(nothing, axis), 0.0, values)
    return np.where(nothing, np.nan, np.nanmedian(filled, axis))


def _mean(column: pd.Series) -> float:
    return float(nan_mean(column.to_numpy(float), 0))
