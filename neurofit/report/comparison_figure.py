"""Figures of comparisons: time courses of several subjects, and their differences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.report.ceiling_figure import draw_inter_animal
from neurofit.report.style import (
    GREY,
    INK,
    MARKERS,
    PALETTE,
    add_caption,
    data_sentence,
    formula_sentence,
    plain_axes,
)
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.compare import FEWEST_NEUROIDS, Comparison, name_of, names_of
from neurofit.scoring.summary import summarise
from neurofit.vocabulary import SIMULATED, TIME_BIN_END, TIME_BIN_START

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IMAGES = {
    "refitted": "images left out in {image_groups} groups, with refits",
    "bootstrap": "held-out images drawn anew, fits held",
}


def plot_comparison(
    scores: Sequence[xr.Dataset],
    comparisons: Sequence[Comparison],
    aggregation: AggregationSpec | None = None,
    inter_animal: xr.Dataset | None = None,
) -> Figure:
    """Draw the time courses of several scores with their ceiling, and the differences from the first.

    Parameters
    ----------
    scores : sequence of xarray.Dataset
        The first is what the others are compared with.
    comparisons : sequence of Comparison
        Of the first with each other.
    aggregation : AggregationSpec, optional
        Of the time courses; the ConvRNN papers' by default.
    inter_animal : xarray.Dataset, optional
        How well animals predict each other (`run_inter_animal`), to be drawn beside the ceiling of r.

    Returns
    -------
    matplotlib Figure
        Above: predictivity (median over neuroids, band: bootstrap interval) and the ceiling of r. Below: paired
        differences with their intervals; filled marks where they are significant after correction.
    """
    from matplotlib.figure import Figure

    single = scores[0].sizes["time_bin"] == 1
    figure = Figure(figsize=(5.6 if single else 7.6, 6.4), layout="constrained")
    top, bottom = figure.subplots(2, 1, height_ratios=(3, 2))
    tables = [summarise(score, aggregation) for score in scores]
    if single:
        _draw_values(top, tables, names_of(scores))
        _draw_single_differences(bottom, comparisons)
    else:
        bottom.sharex(top)
        if inter_animal is not None:
            draw_inter_animal(top, inter_animal, scores[0], aggregation)
        _draw_courses(top, scores, tables)
        _draw_differences(bottom, comparisons)
        bottom.set_xlabel("time from stimulus onset (ms)")
    attrs = scores[0].attrs
    kind = "SIMULATED data" if attrs.get(SIMULATED) else "real recordings"
    region = f"{attrs['region']} of {attrs['dataset']} " if "dataset" in attrs else ""
    top.set_title(f"{region}[{kind}]", loc="left", fontsize=10)
    top.set_ylabel("predictivity\n(median over neuroids)")
    bottom.set_ylabel("difference\n(trimmed mean)")
    plain_axes(top, bottom)
    return add_caption(figure, _caption(scores, comparisons[0], aggregation or AggregationSpec()))


def _caption(scores: Sequence[xr.Dataset], comparison: Comparison, aggregation: AggregationSpec) -> str:
    told, attrs = comparison.attrs, scores[0].attrs
    images = IMAGES[told["images"]].format(**told)
    shared = {name: value for name, value in attrs.items() if name not in ("source_static_mode", "source_time_course")}
    modes = [(name_of(score), score.attrs.get("source_static_mode", "own")) for score in scores]
    laid_out = ", ".join(f"{name} '{mode}'" for name, mode in modes if mode != "own")
    static = f"Static modes: {laid_out}. " if laid_out else ""
    level, level_above = f"{100 * told['level']:.3g} %", f"{100 * aggregation.level:.3g} %"
    drawn = "neuroids and images" if scores[0].sizes["neuroid"] >= FEWEST_NEUROIDS else "images alone"
    return (
        f"{formula_sentence(shared)} {static}Above: medians over neuroids, bands {level_above} bootstrap intervals "
        f"over neuroids. Below: trimmed mean of paired differences ({told['values']} values), {level} intervals "
        f"over {drawn} ({images}); filled: significant at {1 - told['level']:.2g} after correction for the "
        f"number of bins (single-step maximum). {data_sentence(attrs)}"
    )


def _draw_courses(axes: Axes, scores: Sequence[xr.Dataset], tables: Sequence[pd.DataFrame]) -> None:
    centre = (tables[0][TIME_BIN_START] + tables[0][TIME_BIN_END]) / 2
    if tables[0]["ceiling_of_r"].notna().any():
        axes.plot(centre, tables[0]["ceiling_of_r"], color=GREY, linestyle="--", linewidth=1.4, label="ceiling of r")
    drawn = zip(scores, names_of(scores), tables, _cycled(PALETTE), _cycled(MARKERS), strict=False)
    for score, name, table, colour, marker in drawn:
        table = table.where(table["counted"] >= 0.1 * score.sizes["neuroid"])  # elsewhere a few neuroids make the line
        axes.fill_between(centre, table["low"], table["high"], color=colour, alpha=0.15, linewidth=0)
        axes.plot(centre, table["corrected"], color=colour, marker=marker, markersize=3.8, label=name)
    axes.axhline(0, color=INK, linewidth=0.6)
    if "on_ms" in scores[0].attrs:
        axes.axvspan(0, scores[0].attrs["on_ms"], ymin=0.98, color=INK, linewidth=0)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.2 * (high - low))  # room for the legend
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="upper right", borderaxespad=1.0)


def _draw_differences(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    width = comparisons[0].bins[TIME_BIN_END] - comparisons[0].bins[TIME_BIN_START]
    shift = width.median() * 0.5 / max(len(comparisons), 1)
    drawn = zip(comparisons, _cycled(PALETTE)[1:], _cycled(MARKERS)[1:], strict=False)
    for i, (comparison, colour, marker) in enumerate(drawn):
        table = comparison.bins
        centre = (table[TIME_BIN_START] + table[TIME_BIN_END]) / 2 + (i - (len(comparisons) - 1) / 2) * shift
        known = table["low"].notna()
        _with_intervals(axes, centre[known], table[known], colour, marker)
        axes.plot([], [], color=colour, marker=marker, label=f"{comparison.first} minus {comparison.second}")
    axes.axhline(0, color=INK, linewidth=0.6)
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + (0.12 + 0.09 * len(comparisons)) * (high - low))
    for row in comparisons[0].windows.to_dict("records"):
        if row["window"] != "whole":
            axes.axvline(row[TIME_BIN_START], color=GREY, linewidth=0.7, linestyle=":")
            axes.annotate(
                row["window"], (row[TIME_BIN_START], 0.0), (3, 3), xycoords=("data", "axes fraction"),
                textcoords="offset points", fontsize=7.5, color=GREY,
            )  # fmt: skip
    axes.legend(frameon=False, fontsize=8, loc="upper left")


def _draw_values(axes: Axes, tables: Sequence[pd.DataFrame], names: Sequence[str]) -> None:
    for i, (table, colour, marker) in enumerate(zip(tables, _cycled(PALETTE), _cycled(MARKERS), strict=False)):
        row = table.iloc[0]
        spread = [[row["corrected"] - row["low"]], [row["high"] - row["corrected"]]]
        axes.errorbar([i], [row["corrected"]], spread, color=colour, marker=marker, capsize=4, markersize=7)
    if np.isfinite(tables[0]["ceiling_of_r"].iloc[0]):
        axes.axhline(tables[0]["ceiling_of_r"].iloc[0], color=GREY, linestyle="--", linewidth=1.4, label="ceiling of r")
        axes.legend(frameon=False, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=20, ha="right", fontsize=8)
    axes.set_xlim(-0.5, len(names) - 0.5)


def _draw_single_differences(axes: Axes, comparisons: Sequence[Comparison]) -> None:
    drawn = zip(comparisons, _cycled(PALETTE)[1:], _cycled(MARKERS)[1:], strict=False)
    for i, (comparison, colour, marker) in enumerate(drawn, start=1):
        _with_intervals(axes, pd.Series([i]), comparison.bins, colour, marker)
    axes.set_xticks(
        range(1, len(comparisons) + 1), [c.second for c in comparisons], rotation=20, ha="right", fontsize=8
    )
    axes.set_xlabel(f"{comparisons[0].first} minus each", fontsize=9)
    axes.set_xlim(-0.5, len(comparisons) + 0.5)
    axes.axhline(0, color=INK, linewidth=0.6)


def _with_intervals(axes: Axes, places: pd.Series, table: pd.DataFrame, colour: str, marker: str) -> None:
    """Draw differences with their intervals, filled where they are significant."""
    axes.vlines(places, table["low"], table["high"], color=colour, linewidth=1.2, alpha=0.7)
    for significant in (True, False):
        some = (table["significant"] == significant).to_numpy()
        axes.plot(
            places[some], table["difference"][some], linestyle="none", marker=marker, markersize=5.5, color=colour,
            markerfacecolor=colour if significant else "white",
        )  # fmt: skip


def _cycled(values: Sequence[str]) -> list[str]:
    """Return the values over and over."""
    return [*values] * 8
