"""Figures of ceilings: what noise leaves to be predicted, and what other animals predict of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import xarray as xr

from neurofit.assembly.schema import time_bins_of
from neurofit.errors import AlignmentError, listed
from neurofit.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    MARKERS,
    ORANGE,
    add_caption,
    data_sentence,
    formula_sentence,
    plain_axes,
)
from neurofit.scoring.animal_pairs import parts_by_pair
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.formulas import formula_named
from neurofit.scoring.inter_animal import NO_SOURCE, SOURCE_NEUROIDS
from neurofit.scoring.summary import summarise
from neurofit.vocabulary import NEUROID, SIMULATED, TIME_BIN, TIME_BIN_END, TIME_BIN_START

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DASHES = ("-", "--", "-.", ":")
MOST_LABELS = 6
"""Pairs of animals that a legend names."""


def plot_ceilings(scores: Sequence[xr.Dataset], aggregation: AggregationSpec | None = None) -> Figure:
    """Draw the noise ceiling and the inter-animal consistency over time.

    Parameters
    ----------
    scores : sequence of xarray.Dataset
        Of `inter_animal_consistency`: all sources pooled first, then single ones if there are; or one of
        `noise_ceiling` alone.
    aggregation : AggregationSpec, optional

    Returns
    -------
    matplotlib Figure
        Above: ceiling of r, internal consistency and raw inter-animal r; in the middle: the corrected one with its
        bootstrap interval over neuroids; below: neuroids counted. Medians over neuroids; thin lines are pairs of
        animals.
    """
    from matplotlib.figure import Figure

    pooled = scores[0]
    predicted = pooled.attrs["source"] != NO_SOURCE
    corrects = predicted and formula_named(str(pooled.attrs["formula"])).corrects
    table = summarise(pooled, aggregation)
    figure = Figure(figsize=(7.2, 6.4 if corrects else 3.6), layout="constrained")
    ratios = (4, 3.4, 1) if corrects else (1,)
    panels = list(figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios, squeeze=False)[:, 0])
    _draw_noise_ceiling(panels[0], table)
    if predicted:
        _draw_pairs(panels[0], scores, "raw", BLUE, aggregation)
        _draw(panels[0], table, "raw", color=BLUE, marker="o", linewidth=2, label="inter-animal, raw r")
    _finish(panels[0], pooled, table)
    panels[0].set_title(_title(pooled, scores), loc="left", fontsize=10)
    if corrects:
        _draw_corrected(panels[1], panels[2], scores, table, aggregation)
    panels[-1].set_xlabel("time from stimulus onset (ms)")
    plain_axes(*panels)
    return add_caption(figure, _caption(pooled, predicted))


def draw_inter_animal(
    axes: Axes, score: xr.Dataset, like: xr.Dataset, aggregation: AggregationSpec | None = None
) -> None:
    """Add the lines of an inter-animal consistency to the axes of another score's time course.

    Parameters
    ----------
    axes : matplotlib Axes
        Time in ms from stimulus onset against predictivity.
    score : xarray.Dataset
        Of `inter_animal_consistency`.
    like : xarray.Dataset
        The score that is drawn there.
    aggregation : AggregationSpec, optional

    Raises
    ------
    AlignmentError
        If bins or noise correction are not those of the other score.
    """
    for what, one, two in (
        ("time bins", time_bins_of(score["predictivity"]), time_bins_of(like["predictivity"])),
        ("noise correction", [score.attrs["formula"]], [like.attrs["formula"]]),
    ):
        if one != two:
            raise AlignmentError(
                f"a score and its inter-animal consistency have the same {what}",
                f"found {listed(two, 3)} and {listed(one, 3)}",
                "compute both with one benchmark",
            )
    table = summarise(score, aggregation)
    style: dict[str, Any] = {"color": GREEN, "marker": "^", "linewidth": 1.4}
    _draw(axes, table, "raw", linestyle="-.", markerfacecolor="white", label="inter-animal, raw r", **style)
    if formula_named(str(score.attrs["formula"])).corrects:
        _draw(axes, table, "corrected", label="inter-animal, noise-corrected", **style)


def _draw(axes: Axes, table: pd.DataFrame, name: str, **style: Any) -> None:
    centre = (table[TIME_BIN_START] + table[TIME_BIN_END]) / 2
    axes.plot(centre, table[name], **({"markersize": 7 if len(table) == 1 else 4} | style))


def _draw_noise_ceiling(axes: Axes, table: pd.DataFrame) -> None:
    if table["internal_consistency"].notna().any():
        _draw(axes, table, "ceiling_of_r", color=GREY, linestyle="--", marker="D", label="ceiling of r")
        _draw(axes, table, "internal_consistency", color=GREY, linestyle=":", marker="o", label="internal consistency")


def _draw_pairs(
    axes: Axes, scores: Sequence[xr.Dataset], name: str, color: str, aggregation: AggregationSpec | None
) -> None:
    """Draw a thin line for every pair of source and target."""
    pairs = {key: part for score in scores for key, part in parts_by_pair(score).items() if key[0] != NO_SOURCE}
    several = len(pairs) > MOST_LABELS
    for i, ((source, target), part) in enumerate(pairs.items()):
        label = f"{source} to {target} ({int(part[SOURCE_NEUROIDS][0])} to {part.sizes[NEUROID]} neuroids)"
        label = ("" if i else f"{len(pairs)} pairs of animals") if several else label
        style: dict[str, Any] = {"linestyle": DASHES[i % len(DASHES)], "marker": MARKERS[1 + i % (len(MARKERS) - 1)]}
        _draw(
            axes, summarise(part, aggregation), name, color=color, alpha=0.75, linewidth=0.9, label=label,
            markersize=3, **style,
        )  # fmt: skip


def _draw_corrected(
    axes: Axes,
    below: Axes,
    scores: Sequence[xr.Dataset],
    table: pd.DataFrame,
    aggregation: AggregationSpec | None,
) -> None:
    centre = (table[TIME_BIN_START] + table[TIME_BIN_END]) / 2
    axes.axhline(1, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    _draw_pairs(axes, scores, "corrected", ORANGE, aggregation)
    axes.fill_between(centre, table["low"], table["high"], color=ORANGE, alpha=0.2, linewidth=0)
    _draw(axes, table, "corrected", color=ORANGE, marker="o", linewidth=2, label="inter-animal, noise-corrected")
    low, high = axes.get_ylim()
    axes.set_ylim(
        min(max(low, -0.6), 0), max(min(high, 1.8), 1.1)
    )  # medians over a few neuroids would flatten all others
    axes.set_ylabel(f"noise-corrected\n('{scores[0].attrs['formula']}')")
    _finish(axes, scores[0], table, bar=False)
    width = (table[TIME_BIN_END] - table[TIME_BIN_START]) * 0.8
    below.bar(centre, table["counted"], width=width, color=ORANGE, alpha=0.6)
    below.set_ylim(0, scores[0].sizes[NEUROID])
    below.set_ylabel("neuroids\ncounted")


def _finish(axes: Axes, score: xr.Dataset, table: pd.DataFrame, bar: bool = True) -> None:
    axes.axhline(0, color=INK, linewidth=0.6)
    if bar:
        axes.set_ylabel("Pearson r")
    single = len(table) == 1
    if single:
        start, end = int(table[TIME_BIN_START].iloc[0]), int(table[TIME_BIN_END].iloc[0])
        axes.set_xlim(start - 50, end + 50)
    elif bar and "on_ms" in score.attrs:
        axes.axvspan(0, score.attrs["on_ms"], ymin=0.975, color=INK, linewidth=0)  # a bar while the image is on
    axes.legend(frameon=False, fontsize=7.5, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _title(pooled: xr.Dataset, scores: Sequence[xr.Dataset]) -> str:
    attrs = pooled.attrs
    kind = "SIMULATED" if attrs[SIMULATED] else "real"
    place = f"{attrs['region']} of {attrs['dataset']}" if "dataset" in attrs else str(attrs["region"])
    return f"ceilings of {place} [{kind} data]\n{attrs['n_stimuli']} stimuli, animals: {attrs['animals']}"


def _caption(pooled: xr.Dataset, predicted: bool) -> str:
    attrs = pooled.attrs
    if not predicted:
        return (
            "Internal consistency is split-half, Spearman-Brown corrected, of held-out stimuli; the ceiling of r is "
            f"its root. Medians over {pooled.sizes[NEUROID]} neuroids of one animal, which no other predicts. "
            f"{data_sentence(attrs)}"
        )
    halves = " Mapping consistency: of mappings between halves of both animals' trials."
    needs = formula_named(str(attrs["formula"])).needs_mapping_consistency
    bar = "; black bar: the image is on" if "on_ms" in attrs and pooled.sizes[TIME_BIN] > 1 else ""
    return (
        f"{formula_sentence(attrs)}{halves if needs else ''} Lines: medians over neuroids; band: 95 % bootstrap "
        f"interval over neuroids; thin lines: pairs of animals{bar}. {data_sentence(attrs)}"
    )
