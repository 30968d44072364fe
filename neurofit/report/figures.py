"""Figures of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurofit.report.ceiling_figure import draw_inter_animal
from neurofit.report.population_figure import plot_population_time_course
from neurofit.report.style import BLUE, GREY, INK, ORANGE, add_caption, data_sentence, formula_sentence, plain_axes
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.metrics import PREDICTIVITY
from neurofit.scoring.population_score import metric_of
from neurofit.scoring.summary import summarise
from neurofit.vocabulary import SIMULATED, TIME_BIN_END, TIME_BIN_START

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_time_course(
    score: xr.Dataset, aggregation: AggregationSpec | None = None, inter_animal: xr.Dataset | None = None
) -> Figure:
    """Draw predictivity over time with its ceiling.

    Parameters
    ----------
    score : xarray.Dataset
        From `neurofit.run` or `neurofit.predictivity`.
    aggregation : AggregationSpec, optional
    inter_animal : xarray.Dataset, optional
        Of `neurofit.inter_animal_consistency`, with the bins and formula of the score: drawn beside the ceiling.

    Returns
    -------
    matplotlib Figure
        Raw and corrected predictivity (median over neuroids, band: bootstrap interval over neuroids), the internal
        consistency and the ceiling of r that follows from it, and the neuroids counted per bin below; for other
        metrics see `report.population_figure`.
    """
    from matplotlib.figure import Figure

    if metric_of(score) != PREDICTIVITY:
        return plot_population_time_course(score, aggregation)

    table = summarise(score, aggregation)
    centre = (table[TIME_BIN_START] + table[TIME_BIN_END]) / 2
    single = len(table) == 1
    figure = Figure(figsize=(7.2, 5.0), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    style = {"marker": "o", "markersize": 7 if single else 3.5, "linewidth": 1.8}
    if table["internal_consistency"].notna().any():
        marks = ("_", "D") if single else ("o", "o")  # without lines only the marks tell them apart
        for name, label, dashes, marker in (
            ("ceiling_of_r", "ceiling of r", "--", marks[0]),
            ("internal_consistency", "internal consistency", ":", marks[1]),
        ):
            top.plot(centre, table[name], color=GREY, linestyle=dashes, label=label, **(style | {"marker": marker}))
    top.plot(centre, table["raw"], color=BLUE, label="raw r", **style)
    if score.attrs["formula"] != "raw":
        top.fill_between(centre, table["low"], table["high"], color=ORANGE, alpha=0.2, linewidth=0)
        top.plot(centre, table["corrected"], color=ORANGE, label=f"noise-corrected ({score.attrs['formula']})", **style)
        if single:
            spread = np.abs(table[["low", "high"]].to_numpy().T - table["corrected"].to_numpy())
            top.errorbar(centre, table["corrected"], spread, color=ORANGE, capsize=4)
    if inter_animal is not None:
        draw_inter_animal(top, inter_animal, score, aggregation)
    top.axhline(0, color=INK, linewidth=0.6)
    if "on_ms" in score.attrs and not single:
        top.axvspan(0, score.attrs["on_ms"], ymin=0.975, color=INK, linewidth=0)  # a bar while the image is on
    low, high = top.get_ylim()
    top.set_ylim(low, high + 0.22 * (high - low))  # room for bar and legend
    top.set_ylabel("predictivity (median over neuroids)")
    top.set_title(_title(score), loc="left", fontsize=10)
    top.legend(frameon=False, fontsize=8, loc="upper right", ncols=2, borderaxespad=1.2)
    width = (table[TIME_BIN_END] - table[TIME_BIN_START]) * 0.8
    bottom.bar(centre, table["counted"], width=width, color=ORANGE, alpha=0.6)
    bottom.set_ylim(0, score.sizes["neuroid"])
    bottom.set_ylabel("neuroids\ncounted")
    bottom.set_xlabel("time from stimulus onset (ms)")
    if single:
        bottom.set_xlim(table[TIME_BIN_START].iloc[0] - 50, table[TIME_BIN_END].iloc[0] + 50)
    plain_axes(top, bottom)
    return add_caption(
        figure,
        f"{formula_sentence(score.attrs)} Lines: medians over neuroids; band: 95 % bootstrap interval over neuroids; "
        f"black bar: the image is on. {data_sentence(score.attrs)}",
    )


def _title(score: xr.Dataset) -> str:
    attrs = score.attrs
    if "benchmark" not in attrs:
        return "SIMULATED data" if attrs.get(SIMULATED) else ""
    kind = "SIMULATED" if attrs[SIMULATED] else "real"
    model = f"{attrs['subject']} ({attrs['layer']})"
    mapping = f"{attrs['temporal_mapping']} mapping, {attrs['n_stimuli']} stimuli, {score.sizes['neuroid']} neuroids"
    return f"{model} on {attrs['region']} of {attrs['dataset']} [{kind} data]\n{mapping}"
