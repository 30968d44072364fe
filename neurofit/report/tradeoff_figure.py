"""Figure of a trade-off: value against cost on a logarithmic axis, with the front of what nothing else beats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurofit.report.labels import label_points
from neurofit.report.plain_text import drawable
from neurofit.report.style import BLUE, GREY, ORANGE, add_caption, plain_axes
from neurofit.report.tradeoff import COSTS, Tradeoff

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_tradeoff(tradeoff: Tradeoff) -> Figure:
    """Draw a trade-off.

    Parameters
    ----------
    tradeoff : Tradeoff
        From `tradeoff_of_records` or `published_tradeoff`.

    Returns
    -------
    matplotlib Figure
        Points with intervals where there are some; those on the front dark, with a step line through them, others
        paler; every point named.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.6, 5.2), layout="constrained")
    FigureCanvasAgg(figure)  # measures the labels
    axes = figure.subplots()
    axes.set_xscale("log")
    costs = np.array([point.cost for point in tradeoff.points])
    values = np.array([point.value for point in tradeoff.points])
    front = np.array(tradeoff.front)
    axes.set_xlim(costs.min() / 1.6, costs.max() * 1.9)  # before points, which may all lie at one cost
    for on_front, colour, marker, alpha in ((False, GREY, "o", 0.6), (True, BLUE, "D", 1.0)):
        own = front == on_front
        spread = np.array([[p.value - p.low, p.high - p.value] for p in tradeoff.points])[own].T
        if np.isfinite(spread).any():
            axes.errorbar(
                costs[own], values[own], np.nan_to_num(np.maximum(spread, 0)), color=colour, alpha=0.6 * alpha,
                linestyle="none", capsize=2, linewidth=0.9,
            )  # fmt: skip
        named = "on the Pareto front" if on_front else "dominated"
        axes.plot(costs[own], values[own], marker=marker, color=colour, alpha=alpha, linestyle="none", label=named)
    corners = _draw_front(axes, costs[front], values[front])
    axes.set_xlabel(COSTS[tradeoff.x])
    label = drawable(tradeoff.label)
    axes.set_ylabel(label)
    kind = " [SIMULATED data]" if tradeoff.simulated else ""
    axes.set_title(f"{label} against {tradeoff.x}{kind}", loc="left", fontsize=10)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.04 * (high - low), high + 0.16 * (high - low))
    axes.legend(frameon=False, fontsize=8, loc="upper left", ncols=2)
    plain_axes(axes)
    left_out = f" Left out: {', '.join(tradeoff.left_out)}." if tradeoff.left_out else ""
    add_caption(
        figure,
        f"{tradeoff.data} The line is the Pareto front of the point estimates: the best that can be had at a cost or "
        f"less.{left_out}",
    )
    figure.canvas.draw()  # the layout decides where points lie
    label_points(
        axes,
        [point.name for point in tradeoff.points],
        np.column_stack([costs, values]),
        [(point.low, point.high) for point in tradeoff.points],
        first=tradeoff.front,
        line=corners,
    )
    return figure


def _draw_front(axes: Axes, costs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Draw the best value to be had up to each cost, and on to the right end; return the line's corners."""
    order = np.argsort(costs)
    x = np.append(np.repeat(costs[order], 2)[1:], axes.get_xlim()[1])
    y = np.repeat(values[order], 2)
    axes.plot(x, y, color=ORANGE, linewidth=1.2, zorder=1)
    return np.column_stack([x, y])
