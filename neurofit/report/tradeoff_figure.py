"""Figure of a trade-off: value against cost on a logarithmic axis, with the front of what nothing else beats."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

from neurofit.report.style import BLUE, GREY, INK, ORANGE, add_caption, plain_axes
from neurofit.report.tradeoff import COSTS, Tradeoff

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.transforms import Bbox

LABEL_SIZE, GAP = 7.5, 5.0
#: Where a label may stand, in units of its distance (points): beside, above, below its point, then farther away.
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_DISTANCES = (GAP, 12.0, 22.0, 34.0, 48.0)


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
    for on_front, colour, marker, alpha in ((False, GREY, "o", 0.6), (True, BLUE, "D", 1.0)):
        own = front == on_front
        spread = np.array([[p.value - p.low, p.high - p.value] for p in tradeoff.points])[own].T
        if np.isfinite(spread).any():
            axes.errorbar(
                costs[own], values[own], np.nan_to_num(np.maximum(spread, 0)), color=colour, alpha=0.6 * alpha,
                linestyle="none", capsize=2, linewidth=0.9,
            )  # fmt: skip
        label = "on the Pareto front" if on_front else "dominated"
        axes.plot(costs[own], values[own], marker=marker, color=colour, alpha=alpha, linestyle="none", label=label)
    axes.set_xlim(costs.min() / 1.6, costs.max() * 1.9)
    corners = _draw_front(axes, costs[front], values[front])
    axes.set_xlabel(COSTS[tradeoff.x])
    axes.set_ylabel(tradeoff.label)
    kind = " [SIMULATED data]" if tradeoff.simulated else ""
    axes.set_title(f"{tradeoff.label} against {tradeoff.x}{kind}", loc="left", fontsize=10)
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
    _label(axes, tradeoff, corners)
    return figure


def _draw_front(axes: Axes, costs: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Draw the best value to be had up to each cost, and on to the right end; return the line's corners."""
    order = np.argsort(costs)
    x = np.append(np.repeat(costs[order], 2)[1:], axes.get_xlim()[1])
    y = np.repeat(values[order], 2)
    axes.plot(x, y, color=ORANGE, linewidth=1.2, zorder=1)
    return np.column_stack([x, y])


def _label(axes: Axes, tradeoff: Tradeoff, corners: np.ndarray) -> None:
    """Name the points where there is room, those on the front first; a thin line leads to names farther away."""
    from matplotlib.transforms import Bbox

    scale = axes.figure.dpi / 72
    points = axes.transData.transform([(p.cost, p.value) for p in tradeoff.points])
    taken = [Bbox.from_bounds(x - 4 * scale, y - 4 * scale, 8 * scale, 8 * scale) for x, y in points]
    for point in tradeoff.points:
        if np.isfinite([point.low, point.high]).all():
            (x, low), (_, high) = axes.transData.transform([(point.cost, point.low), (point.cost, point.high)])
            taken.append(Bbox.from_extents(x - 3 * scale, low, x + 3 * scale, high))
    for start, end in pairwise(axes.transData.transform(corners)):
        taken.append(Bbox([np.minimum(start, end) - scale, np.maximum(start, end) + scale]))
    legend = axes.get_legend()
    if legend is not None:
        taken.append(legend.get_window_extent())
    inside = axes.get_window_extent()
    for i in sorted(range(len(points)), key=lambda i: not tradeoff.front[i]):
        text = axes.annotate(
            tradeoff.points[i].name, points[i], xycoords="figure pixels", fontsize=LABEL_SIZE,
            color=INK if tradeoff.front[i] else GREY, annotation_clip=False,
        )  # fmt: skip
        extent = text.get_window_extent()
        place, distance = _place(points[i], 1.05 * extent.width, extent.height, taken, inside, scale)
        text.remove()
        # a leader begins at the side of the name that faces the point
        facing = tuple(np.clip((points[i] - place.min) / np.maximum(place.size, 1), 0, 1).tolist())
        leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3, "relpos": facing}
        axes.annotate(
            tradeoff.points[i].name,
            (tradeoff.points[i].cost, tradeoff.points[i].value),
            xytext=((place.x0 - points[i][0]) / scale, (place.y0 - points[i][1]) / scale),
            textcoords="offset points",
            fontsize=LABEL_SIZE,
            color=INK if tradeoff.front[i] else GREY,
            arrowprops=leader if distance > GAP else None,
        )
        taken.append(place)


def _place(
    point: np.ndarray, width: float, height: float, taken: Sequence[Bbox], inside: Bbox, scale: float
) -> tuple[Bbox, float]:
    """Return a box near a point that meets nothing, the last that was tried if none does, and how far away it is."""
    from matplotlib.transforms import Bbox

    box, distance = Bbox.unit(), GAP
    for distance, (across, up) in product(_DISTANCES, _DIRECTIONS):
        away = distance * scale
        x = point[0] + across * away - (0 if across > 0 else width if across < 0 else width / 2)
        y = point[1] + up * away - (0 if up > 0 else height if up < 0 else height / 2)
        box = Bbox.from_bounds(x, y, width, height)
        within = inside.x0 <= box.x0 and box.x1 <= inside.x1 and inside.y0 <= box.y0 and box.y1 <= inside.y1
        if within and not any(box.overlaps(other) for other in taken):
            break
    return box, distance
