"""Figures of training: curves over epochs, accuracy against predictivity, and what accuracy costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from neurofit.errors import ConfigurationError, listed
from neurofit.report.labels import label_points
from neurofit.report.plain_text import drawable
from neurofit.report.style import GREY, INK, MARKERS, PALETTE, add_caption, plain_axes
from neurofit.report.training_record import LookSeries, TrainingRun
from neurofit.report.training_table import ModelRow, ZooTable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LINES = ("-", "--", "-.", ":")
_MARKED_EPOCHS = 12
_NUMBERED_RUNS = 4
_LEAST_COST = 1e-6  # of a logarithmic axis: parameters, minutes
_PAINTED = len(PALETTE) * len(_LINES)


def plot_training(runs: Sequence[TrainingRun]) -> Figure:
    """Draw accuracy and loss per epoch and, where there were looks, accuracy against predictivity.

    Parameters
    ----------
    runs : sequence of TrainingRun
        From `load_training_run`. Seeds of a model share colour, marker and line; later seeds are paler.

    Raises
    ------
    ConfigurationError
        If there are none, none has an epoch, or more models than can be told apart.
    """
    from matplotlib.figure import Figure

    drawn = [run for run in runs if run.rows]
    models = list(dict.fromkeys(run.model for run in drawn))
    if not drawn or len(models) > _PAINTED:
        raise ConfigurationError(
            f"curves are of runs with an epoch or more, of up to {_PAINTED} models",
            f"{len(drawn)} of {len(runs)} runs have one, of {len(models)} models: {listed(models) or 'none'}",
            "name others, or fewer",
        )
    series = list({each.column: each for run in drawn for each in run.looks}.values())
    panels = 2 + len(series)
    across = 2 if panels in (2, 4) else 3
    down = math.ceil(panels / across)
    figure = Figure(figsize=(4.1 * across + 1.5, 3.6 * down), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for spare in axes[panels:]:
        spare.set_visible(False)
    styles = _styles(models)
    for run, style in _styled(drawn, styles):
        _draw_curve(axes[0], run, "top1", 100, style)
        _draw_curve(axes[1], run, "training_loss", 1, style)
        for panel, each in zip(axes[2:], series, strict=False):
            _draw_looks(panel, run, each, style, numbered=len(drawn) <= _NUMBERED_RUNS)
    axes[0].set_ylabel("validation top-1 (%)")
    axes[1].set_ylabel("training loss (nats)")
    for panel in axes[:2]:
        _label_epochs(panel, drawn)
    for panel, each in zip(axes[2:], series, strict=False):
        _label_looks(panel, each)
    for letter, panel in zip("abcdefghijkl", axes[:panels], strict=False):
        panel.set_title(letter, loc="left", fontsize=10, fontweight="bold")
    plain_axes(*axes[:panels])
    _legend(figure, drawn, styles)
    return add_caption(figure, _caption(drawn, series))


def plot_zoo(table: ZooTable) -> Figure:
    """Draw accuracy against parameters and against training time: the mean of each model, and its seeds.

    Parameters
    ----------
    table : ZooTable
        From `zoo_table`.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.4, 4.9), layout="constrained")
    FigureCanvasAgg(figure)  # measures the labels
    panels = figure.subplots(1, 2, sharey=True)
    styles = _styles([row.model for row in table.rows])
    costs = [[float(row.parameters) for row in table.rows], [row.mean_seconds / 60 for row in table.rows]]
    names = ("trained parameters", "training time (min, mean over seeds)")
    for axes, cost, name, letter in zip(panels, costs, names, "ab", strict=True):
        axes.set_xscale("log")
        for row, x in zip(table.rows, cost, strict=True):
            _draw_model(axes, row, x, styles[row.model])
        axes.set_xlim(max(min(cost), _LEAST_COST) / 1.7, max(*cost, _LEAST_COST) * 1.9)
        axes.set_xlabel(name)
        axes.set_title(letter, loc="left", fontsize=10, fontweight="bold")
        _plain_ticks(axes)
    low, high = panels[0].get_ylim()
    panels[0].set_ylim(low - 0.08 * (high - low), high + 0.08 * (high - low))
    panels[0].set_ylabel("validation top-1 (%)")
    plain_axes(*panels)
    add_caption(
        figure,
        "Accuracy of each network, trained alike: mean over seeds (large) and each seed (small, joined by a line). "
        + table.sentence(),
    )
    figure.canvas.draw()  # the layout decides where points lie
    means = [100 * row.mean_top1 for row in table.rows]
    for axes, cost in zip(panels, costs, strict=True):
        spans = [(100 * min(row.top1), 100 * max(row.top1)) for row in table.rows]
        # the zoo's names say which weights a network had before; these have been trained
        shown = [row.model.removesuffix("_untrained") for row in table.rows]
        label_points(axes, shown, np.column_stack([cost, means]), spans)
    return figure


def _styles(models: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return colour, marker and line of every model; no two are alike in more than one of them."""
    colours = len(PALETTE)
    return {
        model: {
            "color": PALETTE[i % colours],
            "marker": MARKERS[(i + i // colours) % len(MARKERS)],
            "linestyle": _LINES[i // colours % len(_LINES)],
        }
        for i, model in enumerate(models)
    }


def _styled(
    runs: Sequence[TrainingRun], styles: Mapping[str, dict[str, Any]]
) -> list[tuple[TrainingRun, dict[str, Any]]]:
    """Return runs with how each is drawn: later seeds of a model are paler."""
    seen: dict[str, int] = {}
    found = []
    for run in runs:
        seen[run.model] = seen.get(run.model, 0) + 1
        alpha = 1.0 if seen[run.model] == 1 else 0.55
        found.append((run, {**styles[run.model], "alpha": alpha, "linewidth": 1.4, "markersize": 4}))
    return found


def _draw_curve(axes: Axes, run: TrainingRun, column: str, scale: float, style: dict[str, Any]) -> None:
    rows = [row for row in run.rows if column in row]
    every = max(1, math.ceil(len(rows) / _MARKED_EPOCHS))
    axes.plot([row["epoch"] for row in rows], [scale * row[column] for row in rows], markevery=every, **style)


def _draw_looks(axes: Axes, run: TrainingRun, series: LookSeries, style: dict[str, Any], *, numbered: bool) -> None:
    """Draw accuracy against predictivity, epochs joined; that before training is hollow."""
    column = f"{series.column}.corrected"
    rows = [row for row in run.looked() if math.isfinite(row.get(column, math.nan)) and "top1" in row]
    if not rows:
        return
    x, y = [100 * row["top1"] for row in rows], [row[column] for row in rows]
    axes.plot(x, y, **style)
    if rows[0].get("epoch") == 0:
        axes.plot(x[0], y[0], **{**style, "markerfacecolor": "white", "zorder": 3})
    for row, at in ((rows[0], (x[0], y[0])), (rows[-1], (x[-1], y[-1]))) if numbered else ():
        axes.annotate(
            f"{row.get('epoch', 0):.0f}", at, xytext=(4, 4), textcoords="offset points", fontsize=7.5, color=INK
        )


def _label_epochs(axes: Axes, runs: Sequence[TrainingRun]) -> None:
    """Name the axis, and mark where the size of the images changes if it does so in all runs alike."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    changes = [_size_changes(run) for run in runs]
    for epoch, size in changes[0] if all(each == changes[0] for each in changes) else ():
        axes.axvline(epoch - 0.5, color=GREY, linestyle=":", linewidth=1)
        axes.annotate(
            f"{size:.0f} px", (epoch - 0.5, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
            textcoords="offset points", fontsize=7, color=GREY, ha="center",
        )  # fmt: skip


def _size_changes(run: TrainingRun) -> list[tuple[float, float]]:
    """Return the epochs with images of another size than the epoch before, and the size."""
    sizes = [(row["epoch"], row["size_px"]) for row in run.rows if "size_px" in row]
    return [(epoch, size) for (_, before), (epoch, size) in pairwise(sizes) if size != before]


def _label_looks(axes: Axes, series: LookSeries) -> None:
    mark = " [SIMULATED]" if series.simulated else ""
    kind = "predictivity" if not series.formula else f"predictivity ({series.formula})"
    axes.set_xlabel("validation top-1 (%)")
    axes.set_ylabel(f"{drawable(kind)}{mark}\n{drawable(series.label)}")


def _legend(figure: Figure, runs: Sequence[TrainingRun], styles: Mapping[str, dict[str, Any]]) -> None:
    from matplotlib.lines import Line2D

    seeds = {model: [run.seed for run in runs if run.model == model] for model in styles}
    labels = []
    for model, found in seeds.items():
        known = sorted(str(seed) for seed in found if seed is not None)
        labels.append(f"{model} (seeds {', '.join(known)})" if len(known) > 1 else model)
    handles = [Line2D([], [], markersize=5, linewidth=1.4, **style) for style in styles.values()]
    figure.legend(handles, list(map(drawable, labels)), loc="outside right upper", frameon=False, fontsize=8)


def _caption(runs: Sequence[TrainingRun], series: Sequence[LookSeries]) -> str:
    recipes = sorted({str(run.record["recipe"].get("name")) for run in runs if run.record.get("recipe")})
    data = sorted({str(run.record["data"].get("name")) for run in runs if run.record.get("data")})
    said = ["Seeds of a model share colour, marker and line; later ones are paler."]
    said += [f"Recipe: {listed(recipes)}."] if recipes else []
    said += [f"Images: {listed(data)}."] if data else []
    unfinished = [run.label for run in runs if not run.complete and run.record]
    said += [f"Not ended: {listed(unfinished)}."] if unfinished else []
    for each in series:
        kind = "SIMULATED responses" if each.simulated else "real recordings"
        if not each.dataset:
            said.append(f"{each.label}: {kind}, noise-corrected predictivity as its benchmark has it.")
            continue
        window = f"{each.window_ms[0]}-{each.window_ms[1]} ms" if each.window_ms else "its window"
        said.append(
            f"{each.label}: {each.region} of {each.dataset} ({kind}), {each.n_stimuli} stimuli, formula "
            f"'{each.formula}', mean over {window}, splits: {each.n_splits}, halvings: {each.n_halvings}."
        )
    if series:
        said.append("Epochs are joined in their order; a hollow mark is the network before training.")
    return " ".join(said)


def _draw_model(axes: Axes, row: ModelRow, cost: float, style: Mapping[str, Any]) -> None:
    values = [100 * value for value in row.top1]
    colour = style["color"]
    axes.plot([cost] * len(values), values, color=colour, linewidth=1, marker=".", markersize=4, zorder=2)
    axes.plot(cost, 100 * row.mean_top1, color=colour, marker=style["marker"], markersize=7.5, zorder=3)


def _plain_ticks(axes: Axes) -> None:
    """Write ticks of a logarithmic axis as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low > 8 else (1, 1.5, 2, 3, 4, 5, 6, 8)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _short(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _short(value: float) -> str:
    if value >= 1e6:
        return f"{value / 1e6:g} M"
    return f"{value / 1e3:g} k" if value >= 1e4 else f"{value:g}"
