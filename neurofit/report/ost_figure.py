"""The figure of object solution times: decoding over time, what is solved by when, and model against population."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.report.style import BLUE, GREY, INK, ORANGE, add_caption, plain_axes
from neurofit.scoring.solution_comparison import SolutionTimeComparison, compare_solution_times
from neurofit.scoring.solution_times import table_of_bins
from neurofit.vocabulary import DATASET, SIMULATED, TIME_BIN_END, TIME_BIN_START

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CLASSIFIERS = {
    "svm": "linear support vector machines, one object against the rest",
    "logistic": "multinomial logistic regression",
}


def plot_solution_times(
    neural: xr.Dataset,
    model: xr.Dataset | None = None,
    *,
    names: tuple[str, str] = ("population", "model"),
    on_ms: int | None = None,
) -> Figure:
    """Draw decoding over time and object solution times.

    Parameters
    ----------
    neural : xarray.Dataset
        Of `object_solution_times`.
    model : xarray.Dataset, optional
        Of `solution_times_of_model`.
    names : (str, str)
        Of the population and the model.
    on_ms : int, optional
        How long the stimulus is on.
    """
    from matplotlib.figure import Figure

    curves = [(neural, names[0], BLUE, "o")] + ([] if model is None else [(model, names[1], ORANGE, "s")])
    figure = Figure(figsize=(8.6, 6.4), layout="constrained")
    (accuracy, d_prime), (solved, last) = figure.subplots(2, 2)
    for times, name, colour, marker in curves:
        table = pd.DataFrame(table_of_bins(times))
        style = {"color": colour, "marker": marker, "markersize": 3.5, "linewidth": 1.6, "label": name}
        _draw_accuracy(accuracy, table, style)
        _draw_d_prime(d_prime, table, style)
        _draw_solved(solved, times, style)
    chance = neural.attrs["chance"]
    accuracy.axhline(chance, color=GREY, linestyle=":", linewidth=1.2, label=f"chance ({chance:.2g})")
    accuracy.set_ylim(0, 1.08)
    accuracy.set_ylabel("accuracy on held-out stimuli")
    d_prime.set_ylabel("d' of a stimulus (median, quartiles)")
    _draw_reference(d_prime, neural)
    solved.set_ylim(0, 1.08)
    solved.set_ylabel("part of the stimuli solved by then")
    for axes in (accuracy, d_prime, solved):
        axes.set_xlim(*_span(neural))
        axes.set_xlabel("time from stimulus onset (ms)")
        if on_ms:
            axes.axvspan(0, on_ms, ymin=0.975, color=INK, linewidth=0)
    accuracy.legend(frameon=False, fontsize=8, loc="upper left", borderaxespad=1.0)
    comparison = None if model is None else compare_solution_times(model, neural)
    if model is None or comparison is None:
        _draw_histogram(last, neural)
    else:
        _draw_scatter(last, neural, model, comparison, names)
    for letter, axes in zip("abcd", (accuracy, d_prime, solved, last), strict=True):
        axes.set_title(letter, loc="left", fontsize=10, fontweight="bold")
    plain_axes(accuracy, d_prime, solved, last)
    figure.suptitle(_title(neural, model, names), fontsize=10, x=0.01, ha="left")
    return add_caption(figure, _caption(neural, comparison, on_ms))


def _draw_accuracy(axes: Axes, table: pd.DataFrame, style: dict[str, Any]) -> None:
    centre, error = _centres(table), table["standard_error"]
    axes.fill_between(
        centre, table["accuracy"] - error, table["accuracy"] + error, color=style["color"], alpha=0.25, linewidth=0
    )
    axes.plot(centre, table["accuracy"], **style)


def _draw_d_prime(axes: Axes, table: pd.DataFrame, style: dict[str, Any]) -> None:
    axes.fill_between(
        _centres(table), table["d_prime_low"], table["d_prime_high"], color=style["color"], alpha=0.2, linewidth=0
    )
    axes.plot(_centres(table), table["d_prime"], **style)


def _draw_reference(axes: Axes, neural: xr.Dataset) -> None:
    level = neural["reference"].values
    level = level[np.isfinite(level)]
    if not len(level):
        return
    if np.ptp(level) == 0:
        axes.axhline(level[0], color=INK, linestyle="--", linewidth=1.0)
        words = f"reference, d' = {level[0]:.2f}"
    else:
        axes.axhspan(*np.percentile(level, [25, 75]), color=INK, alpha=0.1, linewidth=0)
        words = "reference (quartiles over stimuli)"
    top = max(axes.get_ylim()[1], 1.12 * float(np.median(level)))
    axes.set_ylim(axes.get_ylim()[0], top * 1.08)
    axes.annotate(
        words, (0.99, float(np.median(level))), xycoords=("axes fraction", "data"), xytext=(0, 3),
        textcoords="offset points", ha="right", va="bottom", fontsize=8, color=INK,
    )  # fmt: skip


def _draw_solved(axes: Axes, times: xr.Dataset, style: dict[str, Any]) -> None:
    found, tested = times["solution_time"].values, times.attrs["n_tested"]
    found = np.sort(found[np.isfinite(found)])
    if not len(found):
        axes.plot([], [], **style)
        return
    start, end = _span(times)
    x = np.concatenate([[start], found, [end]])
    y = np.concatenate([[0], np.arange(1, len(found) + 1), [len(found)]]) / tested
    axes.step(x, y, where="post", color=style["color"], linewidth=style["linewidth"])
    at = np.searchsorted(x, np.percentile(found, [25, 50, 75])).clip(0, len(x) - 1)
    axes.plot(x[at], y[at], color=style["color"], marker=style["marker"], markersize=6, linestyle="none")


def _draw_histogram(axes: Axes, neural: xr.Dataset) -> None:
    found = neural["solution_time"].values
    start, end = _span(neural)
    axes.hist(found[np.isfinite(found)], bins=np.arange(start, end + 10, 10).tolist(), color=BLUE, alpha=0.7)
    axes.set_xlim(start, end)
    axes.set_xlabel("object solution time (ms)")
    axes.set_ylabel("stimuli per 10 ms")
    if neural.attrs["why_none"]:
        _say(axes, neural.attrs["why_none"])


def _draw_scatter(
    axes: Axes, neural: xr.Dataset, model: xr.Dataset, comparison: SolutionTimeComparison, names: tuple[str, str]
) -> None:
    one, two = neural["solution_time"].values, model["solution_time"].values
    span = _span(neural)
    axes.plot(span, span, color=GREY, linestyle="--", linewidth=1.0)
    axes.scatter(one, two, s=9, color=ORANGE, alpha=0.55, linewidth=0, marker="o")
    axes.set_xlim(*span)
    axes.set_ylim(*span)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xticks(axes.get_yticks())
    axes.set_xlim(*span)
    axes.set_xlabel(f"solution time of the {names[0]} (ms)")
    axes.set_ylabel(f"solution time of {names[1]} (ms)")
    if comparison.why_none:
        _say(axes, comparison.why_none)
        return
    axes.annotate(
        f"Spearman {comparison.spearman:.2f} ± {comparison.standard_error:.2f}\n"
        f"[{comparison.low:.2f}, {comparison.high:.2f}], n = {comparison.n_both}\n"
        f"solves {comparison.fraction_solved:.0%} of {comparison.n_neural}",
        (0.03, 0.98), xycoords="axes fraction", va="top", fontsize=8, color=INK,
        bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.5},
    )  # fmt: skip


def _say(axes: Axes, words: str) -> None:
    """Write why there is nothing to see."""
    from textwrap import fill

    axes.annotate(
        fill(words, 34), (0.5, 0.55), xycoords="axes fraction", ha="center", va="center", fontsize=8.5, color=INK,
        bbox={"facecolor": "white", "alpha": 0.85, "linewidth": 0},
    )  # fmt: skip


def _centres(table: pd.DataFrame) -> pd.Series:
    return (table[TIME_BIN_START] + table[TIME_BIN_END]) / 2


def _span(times: xr.Dataset) -> tuple[int, int]:
    return int(times[TIME_BIN_START].values.min()), int(times[TIME_BIN_END].values.max())


def _title(neural: xr.Dataset, model: xr.Dataset | None, names: tuple[str, str]) -> str:
    kind = "SIMULATED" if neural.attrs[SIMULATED] else "real"
    who = names[0] if model is None else f"{names[1]} and {names[0]}"
    place = f" of {neural.attrs[DATASET]}" if DATASET in neural.attrs else ""
    return f"Object solution times: {who}{place} [{kind} data]"


def _caption(neural: xr.Dataset, comparison: SolutionTimeComparison | None, on_ms: int | None) -> str:
    attrs = neural.attrs
    kind = "SIMULATED responses" if attrs[SIMULATED] else "real recordings"
    classifier = f"{_CLASSIFIERS[attrs['classifier']]} (C = {attrs['penalty']:g})"
    compared = (
        "d: the solution times. "
        if comparison is None
        else "d: stimuli that both solve, with Spearman's correlation ± s.e.m. over splits [95 % bootstrap interval "
        "over stimuli]; dashed: the same time. "
    )
    bar = "Black bar: the stimulus is on. " if on_ms else ""
    return (
        f"Decoding of {attrs['labels']} ({attrs['n_objects']} objects) bin by bin by {classifier}, on held-out stimuli "
        f"of {attrs['n_splits']} splits. a: mean and s.e.m. over splits. b: image-level d' = z(hit rate) - "
        f"z(mean false alarm rate of the object), mean over splits. c: part of the {attrs['n_tested']} tested stimuli "
        f"whose d' has reached the reference; marks: quartiles. Reference: {attrs['reference']}. {compared}{bar}"
        f"Data: {kind}, {attrs['n_stimuli']} stimuli, {attrs['n_neuroids']} neuroids."
    )
