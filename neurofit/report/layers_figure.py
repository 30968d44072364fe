"""The figure of a layer commitment: every layer over time, and how many neuroids each layer predicts best."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from neurofit.report.style import BLUE, GREY, INK, ORANGE, add_caption, data_sentence, formula_sentence, plain_axes
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.committed import LayerScores
from neurofit.scoring.summary import summarise
from neurofit.vocabulary import SIMULATED, TIME_BIN_END, TIME_BIN_START

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Shares of neurons by preferred layer in figure 4B of the 2018 paper, digitised from a picture of it (nips_rnn.png of
# qbilius/klab.lt @ 2c3dbb4; reading error about .01): specification of the ConvRNN papers, section 5. Layers that
# could not be read are missing; V4's layer 4 stands for layers 1 to 4 together.
FRACTIONS_2018: dict[str, dict[str, float]] = {
    "V4": {"conv4": 0.10, "conv6": 0.76, "conv7": 0.085},
    "pIT": {"conv7": 0.89},
    "cIT": {"conv6": 0.025, "conv7": 0.04, "conv8": 0.475, "conv9": 0.275, "conv10": 0.065},
    "aIT": {"conv6": 0.025, "conv7": 0.04, "conv8": 0.475, "conv9": 0.275, "conv10": 0.065},
}
REFERENCE_MODEL = "rgc_intermediate"
"""Of whose kind the 2018 figure's network is; it is not the same network."""
FEW_BINS = 3
"""Up to so many bins, numbers are written into the fields."""


def plot_layers(result: LayerScores, aggregation: AggregationSpec | None = None) -> Figure:
    """Draw predictivity by layer and time bin, and the share of neuroids that each layer predicts best.

    Parameters
    ----------
    result : LayerScores
        From `neurofit.score_layers`.
    aggregation : AggregationSpec, optional
        The benchmark's; the ConvRNN papers' by default.
    """
    from matplotlib.figure import Figure

    commitment = result.commitment
    layers = commitment.layers
    figure = Figure(figsize=(9.6, 1.9 + 0.34 * len(layers)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(5, 2))
    _draw_heat_map(figure, left, result, aggregation or AggregationSpec())
    with_reference = _draw_fractions(right, result)
    left.set_yticks(range(len(layers)), layers)
    left.set_ylabel("layer, input to output")
    left.set_title(_title(result), loc="left", fontsize=10)
    plain_axes(left, right)
    (start, end), splits = commitment.window_ms, len(commitment.split_hashes)
    reference = (
        " Diamonds: figure 4B of the 2018 paper, digitised (±.01), of another network with ten layers; V4's conv4 "
        "stands for layers 1-4 together."
    )
    of_time = "responses averaged over" if commitment.average == "responses" else "responses in the bins of"
    return add_caption(
        figure,
        f"Left: held-out predictivity of each layer alone, {_of_neuroids(aggregation)}; hatched: the layer is silent; "
        f"dots: the highest of a bin; bracket: {start}-{end} ms. Nothing on the left was used to choose. Right: share "
        f"of the {result.committed.sizes['neuroid']} neuroids whose {of_time} {start}-{end} ms the layer "
        f"predicts best (raw r) inside the training stimuli; whiskers: least and most of {splits} splits; "
        f"orange: committed to {commitment.region}.{reference if with_reference else ''} "
        f"{formula_sentence(result.committed.attrs)} {data_sentence(result.committed.attrs)}",
    )


def _draw_heat_map(figure: Figure, axes: Axes, result: LayerScores, aggregation: AggregationSpec) -> None:
    corrected = result.committed.attrs["formula"] != "raw"
    tables = [summarise(score, replace(aggregation, n_resamples=1)) for score in result.scores.values()]
    values = np.array([table["corrected" if corrected else "raw"].to_numpy(float) for table in tables])
    silent = np.array([table["silent"].to_numpy(bool) for table in tables])
    bins = tables[0]
    edges = np.append(bins[TIME_BIN_START].to_numpy(), bins[TIME_BIN_END].iloc[-1])
    rows = np.arange(len(values) + 1) - 0.5
    shown = np.ma.masked_where(silent | ~np.isfinite(values), values)
    top = max(0.1, float(np.nanmax(np.where(silent, np.nan, values), initial=0.1)))
    axes.set_facecolor("#f2f2f4")
    mesh = axes.pcolormesh(edges, rows, shown, cmap="viridis", vmin=min(0.0, float(shown.min())), vmax=top)
    label = f"corrected ({result.committed.attrs['formula']})" if corrected else "raw r"
    figure.colorbar(mesh, ax=axes, label=label, pad=0.01, fraction=0.05)
    for row, column in zip(*np.nonzero(silent), strict=True):
        axes.fill_between(edges[column : column + 2], row - 0.5, row + 0.5, hatch="////", facecolor="none",
                          edgecolor=GREY, linewidth=0)  # fmt: skip
    centre = (edges[:-1] + edges[1:]) / 2
    if len(centre) <= FEW_BINS:
        for (row, column), value in np.ndenumerate(shown):
            axes.text(centre[column], row, f"{value:.3f}", ha="center", va="center", color="white" if value < 0.7 * top
                      else INK, fontsize=9)  # fmt: skip
    else:
        heard = np.flatnonzero(~shown.mask.all(0)) if shown.mask.ndim else np.arange(len(centre))
        best = shown.filled(-np.inf).argmax(0)
        axes.plot(centre[heard], best[heard], "o", color="white", markeredgecolor=INK, markersize=4)
    start, end = result.commitment.window_ms
    axes.plot([start, start, end, end], len(values) - 0.5 + np.array([0, 0.12, 0.12, 0]), color=INK, clip_on=False)
    axes.set_ylim(-0.5, len(values) - 0.5)
    axes.set_xlabel("time from stimulus onset (ms)")


def _draw_fractions(axes: Axes, result: LayerScores) -> bool:
    """Draw the shares of neuroids; return whether those of the 2018 paper are beside them."""
    commitment = result.commitment
    rows = commitment.table
    share = np.array([row.fraction for row in rows])
    least, most = (np.array([f(row.fraction_by_split) for row in rows]) for f in (min, max))
    place = np.arange(len(rows))
    colours = [ORANGE if row.layer == commitment.layer else GREY for row in rows]
    axes.barh(place, share, color=colours, height=0.7)
    # the choice over all splits may lie outside what single splits chose
    spread = [np.maximum(share - least, 0), np.maximum(most - share, 0)]
    axes.errorbar(share, place, xerr=spread, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
    for i, row in enumerate(rows):
        axes.text(max(most[i], share[i]) + 0.03, i, f"{row.fraction:.0%}", va="center", fontsize=8, color=INK)
    reference = {}
    if commitment.model.startswith(REFERENCE_MODEL):
        known = FRACTIONS_2018.get(commitment.region, {})
        reference = {layer: known[layer] for layer in commitment.layers if layer in known}
    if reference:
        at = [commitment.layers.index(layer) for layer in reference]
        axes.plot(list(reference.values()), at, "D", color=BLUE, markersize=6, markeredgecolor="white")
    axes.set_xlim(0, 1.12)
    axes.set_xticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    axes.set_xlabel("neuroids that prefer it")
    axes.tick_params(labelleft=False)
    chosen = sum(layer == commitment.layer for layer in commitment.split_layers)
    axes.set_title(f"{commitment.layer} in {chosen} of {len(commitment.split_layers)} splits", loc="left", fontsize=10)
    return bool(reference)


def _of_neuroids(aggregation: AggregationSpec | None) -> str:
    order = (aggregation or AggregationSpec()).order
    if order == "splits-then-neuroids":
        return "median over neuroids of the mean over splits"
    return "mean over splits of the median over neuroids"


def _title(result: LayerScores) -> str:
    attrs = result.committed.attrs
    kind = "SIMULATED" if attrs[SIMULATED] else "real"
    return f"Layers of {attrs['subject']} against {attrs['region']} of {attrs['dataset']} [{kind} data]\n"
