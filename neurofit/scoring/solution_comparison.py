"""Whether a model solves the same images as a population, and in the same order."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurofit.assembly.align import select_stimuli
from neurofit.assembly.build import average_repetitions
from neurofit.errors import AlignmentError
from neurofit.kernel.rank_correlation import spearman
from neurofit.kernel.resampling import bootstrap_interval, standard_error
from neurofit.scoring.decoding import OBJECT
from neurofit.scoring.solution_times import object_solution_times
from neurofit.vocabulary import STIMULUS_ID

MIN_STIMULI = 3
"""Fewest stimuli with both times over which a rank correlation is formed."""
_SHARED_ATTRS = ("labels", "classifier", "penalty", "splitter", "n_objects", "window_start_ms", "window_end_ms")


@dataclass(frozen=True)
class SolutionTimeComparison:
    """What two tables of solution times have in common.

    Parameters
    ----------
    spearman : float
        Rank correlation of model and neural solution time over the stimuli that have both; NaN where `why_none` says.
    standard_error : float
        Over splits, of the same correlation of the times of one split's held-out stimuli: population s.d. of the
        splits that have one / sqrt(their number), as Brain-Score.
    low, high : float
        95 % bootstrap interval of `spearman` over stimuli.
    n_both : int
        Stimuli that have both times.
    n_neural : int
        Stimuli that the neural population solves.
    n_model_too : int
        Those of them whose reference the model reaches, with or without dynamics.
    fraction_solved : float
        n_model_too / n_neural; NaN where the population solves none.
    median_lag_ms : float
        Median of model minus neural solution time over the stimuli that have both.
    splits_counted : int
        Splits that have a correlation.
    why_none : str
        Why there is no correlation, in words; '' if there is.
    """

    spearman: float
    standard_error: float
    low: float
    high: float
    n_both: int
    n_neural: int
    n_model_too: int
    fraction_solved: float
    median_lag_ms: float
    splits_counted: int
    why_none: str

    def as_dict(self) -> dict[str, object]:
        """Return the fields as a dictionary."""
        return asdict(self)


def solution_times_of_model(activations: xr.DataArray, neural: xr.Dataset, **options: Any) -> xr.Dataset:
    """Return a model's object solution times, made as a neural population's were.

    Parameters
    ----------
    activations : xarray.DataArray (presentation, neuroid, time_bin)
        A layer's, in the recording's bins: steps and bins one to one.
    neural : xarray.Dataset
        Of `object_solution_times`; gives stimuli, labels, window, classifier, penalty and the reference to be reached.
    **options
        Of `decode`: the splitter, which has to be the population's, n_jobs, progress, random_state.

    Returns
    -------
    xarray.Dataset
        See `object_solution_times`.

    Raises
    ------
    AlignmentError
        If a stimulus of the recording is missing.
    """
    ids, attrs = neural[STIMULUS_ID].values.astype(str), neural.attrs
    return object_solution_times(
        select_stimuli(average_repetitions(activations), ids.tolist(), "model"),
        reference=neural["reference"].values,
        labels=dict(zip(ids.tolist(), neural[OBJECT].values.astype(str).tolist(), strict=True)),
        window_ms=(attrs["window_start_ms"], attrs["window_end_ms"]),
        classifier=attrs["classifier"],
        penalty=attrs["penalty"],
        **options,
    ).assign_attrs(labels=attrs["labels"])


def compare_solution_times(
    model: xr.Dataset, neural: xr.Dataset, *, n_resamples: int = 1000, random_state: int = 0
) -> SolutionTimeComparison:
    """Compare a model's object solution times with a neural population's.

    Parameters
    ----------
    model, neural : xarray.Dataset
        Of `object_solution_times` with the same stimuli, labels, classifier, splits and reference.
    n_resamples, random_state : int
        Of the bootstrap.

    Returns
    -------
    SolutionTimeComparison

    Raises
    ------
    AlignmentError
        If the two were not made alike; `solution_times_of_model` makes them so.
    """
    _check_alike(model, neural)
    one, two = model["solution_time"].values, neural["solution_time"].values
    both = np.isfinite(one) & np.isfinite(two)
    neural_solved = neural["solved"].values
    too = int((model["solved"].values & neural_solved).sum())
    n_neural = int(neural_solved.sum())
    pairs = np.stack([one[both], two[both]], 1)
    rho, why = _correlate(pairs), _why_none(model, neural, pairs)
    low = high = np.nan
    if not np.isnan(rho):
        found = bootstrap_interval(pairs, _of_draws, n_resamples, random_state=random_state)
        low, high = float(found[0]), float(found[1])
    splits = _by_split(model, neural)
    return SolutionTimeComparison(
        spearman=rho,
        standard_error=float(standard_error(splits)) if np.isfinite(splits).any() else np.nan,
        low=low,
        high=high,
        n_both=len(pairs),
        n_neural=n_neural,
        n_model_too=too,
        fraction_solved=too / n_neural if n_neural else np.nan,
        median_lag_ms=float(np.median(pairs[:, 0] - pairs[:, 1])) if len(pairs) else np.nan,
        splits_counted=int(np.isfinite(splits).sum()),
        why_none=why,
    )


def _correlate(pairs: np.ndarray) -> float:
    """Return Spearman's correlation of pairs (m, 2), NaN if there are too few or all of a side are tied."""
    return float(spearman(pairs[:, 0], pairs[:, 1])) if len(pairs) >= MIN_STIMULI else np.nan


def _of_draws(drawn: np.ndarray, axis: int = 1) -> np.ndarray:
    """Return the correlations (resamples,) of pairs (resamples, m, 2)."""
    return spearman(drawn[..., 0], drawn[..., 1], axis)


def _by_split(model: xr.Dataset, neural: xr.Dataset) -> np.ndarray:
    """Return the correlation in every split (S,), NaN where it has none."""
    found = []
    pair = (model["solution_time_by_split"].values, neural["solution_time_by_split"].values)
    for one, two in zip(*pair, strict=True):
        both = np.isfinite(one) & np.isfinite(two)
        found.append(_correlate(np.stack([one[both], two[both]], 1)))
    return np.array(found)


def _why_none(model: xr.Dataset, neural: xr.Dataset, pairs: np.ndarray) -> str:
    for name, times in (("the model has no solution times", model), ("the population has no solution times", neural)):
        if times.attrs["why_none"]:
            return f"{name}: {times.attrs['why_none']}"
    if len(pairs) < MIN_STIMULI:
        return f"{len(pairs)} stimuli are solved by both; a rank correlation needs {MIN_STIMULI}"
    tied = [who for who, column in zip(("model", "population"), pairs.T, strict=True) if np.ptp(column) == 0]
    return f"all solution times of the {tied[0]} are the same" if tied else ""


def _check_alike(model: xr.Dataset, neural: xr.Dataset) -> None:
    if not np.array_equal(model[STIMULUS_ID].values, neural[STIMULUS_ID].values):
        raise AlignmentError(
            "both tables of solution times are of the same stimuli",
            f"the model has {model.sizes['stimulus']}, the population {neural.sizes['stimulus']}, or others",
            "decode both on the same stimuli",
        )
    for name in _SHARED_ATTRS:
        if model.attrs[name] != neural.attrs[name]:
            raise AlignmentError(
                f"both tables of solution times have the same {name}",
                f"the model's is {model.attrs[name]}, the population's {neural.attrs[name]}",
                "decode both alike",
            )
    if not np.array_equal(model["times_held_out"].values, neural["times_held_out"].values):
        raise AlignmentError(
            "both populations were decoded in the same splits", "their held-out stimuli differ", "decode both alike"
        )
    if not np.allclose(model["reference"].values, neural["reference"].values, equal_nan=True):
        raise AlignmentError(
            "both populations are to reach the same reference",
            "the d' to be reached differ",
            "give the model the population's: reference=neural['reference'].values",
        )


__all__ = ["SolutionTimeComparison", "compare_solution_times", "solution_times_of_model"]
