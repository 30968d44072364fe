"""Figures of scores that compare whole populations: RSA, and decoding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurofit.report.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, add_caption, data_sentence, plain_axes
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.population_score import metric_of
from neurofit.scoring.summary import summarise
from neurofit.vocabulary import TIME_BIN_END, TIME_BIN_START

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LABELS = {"rsa": "correlation of RDMs", "decoding": "agreement of image-level d'"}


def plot_population_time_course(score: xr.Dataset, aggregation: AggregationSpec | None = None) -> Figure:
    """Draw a population score over time with its ceiling and, for decoding, the accuracies of both populations.

    Parameters
    ----------
    score : xarray.Dataset
        Of the metric 'rsa' or 'decoding'.
    aggregation : AggregationSpec, optional

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.figure import Figure

    table = summarise(score, aggregation)
    centre = (table[TIME_BIN_START] + table[TIME_BIN_END]) / 2
    decoding = "accuracy_source" in table
    figure = Figure(figsize=(7.2, 5.6 if decoding else 4.4), layout="constrained")
    panels = figure.subplots(2 if decoding else 1, 1, sharex=True, squeeze=False)[:, 0]
    style = {"markersize": 7 if len(table) == 1 else 3.5, "linewidth": 1.8}
    top, bottom = panels[0], panels[-1]
    _draw_agreement(top, table, centre, score, style)
    if decoding:
        bottom.plot(centre, table["accuracy_target"], color=GREEN, marker="s", label="neural population", **style)
        bottom.plot(centre, table["accuracy_source"], color=PURPLE, marker="^", label="model", **style)
        bottom.axhline(score.attrs["chance"], color=GREY, linestyle=":", label="chance")
        bottom.set_ylabel("decoding accuracy")
        bottom.legend(frameon=False, fontsize=8)
    bottom.set_xlabel("time from stimulus onset (ms)")
    if len(table) == 1:
        bottom.set_xlim(table[TIME_BIN_START].iloc[0] - 50, table[TIME_BIN_END].iloc[0] + 50)
    plain_axes(*panels)
    return add_caption(figure, f"{population_sentence(score)} {data_sentence(score.attrs)}")


def _draw_agreement(top: Axes, table: pd.DataFrame, centre: pd.Series, score: xr.Dataset, style: dict) -> None:
    single = len(table) == 1
    if table["internal_consistency"].notna().any():
        marks = ("_", "D") if single else ("v", "D")  # without lines only the marks tell them apart
        for name, label, dashes, mark in (
            ("ceiling_of_r", "ceiling", "--", marks[0]),
            ("internal_consistency", "reliability of the neural side", ":", marks[1]),
        ):
            top.plot(centre, table[name], color=GREY, linestyle=dashes, marker=mark, label=label, **style)
    top.plot(centre, table["raw"], color=BLUE, marker="o", label="raw", **style)
    if score.attrs["formula"] != "raw":
        top.plot(
            centre, table["corrected"], color=ORANGE, marker="s", label=f"corrected ({score.attrs['formula']})", **style
        )
    top.fill_between(centre, table["low"], table["high"], color=ORANGE, alpha=0.2, linewidth=0)
    if single:
        spread = np.abs(table[["low", "high"]].to_numpy().T - table["corrected"].to_numpy())
        top.errorbar(centre, table["corrected"], spread, color=ORANGE, capsize=4)
    top.axhline(0, color=INK, linewidth=0.6)
    if "on_ms" in score.attrs and not single:
        top.axvspan(0, score.attrs["on_ms"], ymin=0.975, color=INK, linewidth=0)  # a bar while the image is on
    low, high = top.get_ylim()
    top.set_ylim(low, high + 0.25 * (high - low))  # room for bar and legend
    top.set_ylabel(_LABELS[metric_of(score)])
    top.set_title(_title(score), loc="left", fontsize=10)
    top.legend(frameon=False, fontsize=8, loc="upper right", ncols=2, borderaxespad=1.2)


def population_sentence(score: xr.Dataset) -> str:
    """Return what a population score's numbers are, in words."""
    attrs = score.attrs
    words = [f"{attrs['measure'][0].upper()}{attrs['measure'][1:]}, time bin by time bin"]
    if attrs["formula"] != "raw":
        words.append(f"corrected by '{attrs['formula']}': {attrs['formula_text']}")
    splits = f"{attrs['n_splits']} splits" if attrs["n_splits"] else "nothing is fitted, so there are no splits"
    words += [splits, "band: bootstrap interval over stimuli"]
    if "on_ms" in attrs and score.sizes["time_bin"] > 1:
        words.append("black bar: the image is on")
    course = f" Time course of the source: {attrs['source_time_course']}." if "source_time_course" in attrs else ""
    return f"{'; '.join(words)}.{course}"


def _title(score: xr.Dataset) -> str:
    attrs = score.attrs
    kind = "SIMULATED" if attrs.get("simulated") else "real"
    counts = f"{attrs['n_stimuli']} stimuli, {attrs['n_neuroids']} neuroids"
    if "benchmark" not in attrs:
        return f"{kind} data, {counts}" if "simulated" in attrs else counts
    model = f"{attrs['subject']} ({attrs['layer']})" if "subject" in attrs else "source"
    return f"{model} and {attrs['region']} of {attrs['dataset']} [{kind} data]\n{counts}"
