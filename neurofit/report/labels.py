"""Names beside points, where there is room for them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product
from typing import TYPE_CHECKING

import numpy as np

from neurofit.report.plain_text import drawable
from neurofit.report.style import GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

LABEL_SIZE, GAP = 7.5, 5.0
#: Where a label may stand, in units of its distance (points): beside, above, below its point, then farther away.
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))
_DISTANCES = (GAP, 12.0, 22.0, 34.0, 48.0)


def label_points(
    axes: Axes,
    names: Sequence[str],
    points: np.ndarray,
    spans: Sequence[tuple[float, float]],
    *,
    first: Sequence[bool] = (),
    line: np.ndarray | None = None,
) -> None:
    """Name points so that no name covers a point, a span, a line, the legend or another name.

    Parameters
    ----------
    axes : matplotlib Axes
        Of a figure that was laid out (``figure.canvas.draw()``): only then is known where points lie.
    names : sequence of str
    points : array (n, 2)
        In data units.
    spans : sequence of (low, high)
        Vertical lines through the points, in data units; those that are not finite are none.
    first : sequence of bool, optional
        Points that are named first, in dark ink, and others in grey; by default all are dark.
    line : array (m, 2), optional
        Corners of a line, in data units.
    """
    from matplotlib.transforms import Bbox

    scale = axes.figure.dpi / 72
    pixels = axes.transData.transform(points)
    taken = [Bbox.from_bounds(x - 4 * scale, y - 4 * scale, 8 * scale, 8 * scale) for x, y in pixels]
    for (x, _), (low, high) in zip(points, spans, strict=True):
        if np.isfinite([low, high]).all():
            (x, low), (_, high) = axes.transData.transform([(x, low), (x, high)])
            taken.append(Bbox.from_extents(x - 3 * scale, low, x + 3 * scale, high))
    for start, end in pairwise(axes.transData.transform(line)) if line is not None else ():
        taken.append(Bbox([np.minimum(start, end) - scale, np.maximum(start, end) + scale]))
    legend = axes.get_legend()
    if legend is not None:
        taken.append(legend.get_window_extent())
    inside, dark = axes.get_window_extent(), list(first) or [True] * len(names)
    names = [drawable(name) for name in names]
    for i in sorted(range(len(names)), key=lambda i: not dark[i]):
        taken.append(_name(axes, names[i], points[i], pixels[i], INK if dark[i] else GREY, taken, inside, scale))


def _name(
    axes: Axes,
    name: str,
    point: np.ndarray,
    pixel: np.ndarray,
    colour: str,
    taken: Sequence[Bbox],
    inside: Bbox,
    scale: float,
) -> Bbox:
    """Write one name; a thin line leads to one that stands farther away. Return the place that it takes."""
    text = axes.annotate(
        name, (float(pixel[0]), float(pixel[1])), xycoords="figure pixels", fontsize=LABEL_SIZE, annotation_clip=False
    )
    extent = text.get_window_extent()
    place, distance = _place(pixel, 1.05 * extent.width, extent.height, taken, inside, scale)
    text.remove()
    # a leader begins at the side of the name that faces the point
    facing = tuple(np.clip((pixel - place.min) / np.maximum(place.size, 1), 0, 1).tolist())
    leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "shrinkA": 0, "shrinkB": 3, "relpos": facing}
    axes.annotate(
        name,
        (float(point[0]), float(point[1])),
        xytext=((place.x0 - pixel[0]) / scale, (place.y0 - pixel[1]) / scale),
        textcoords="offset points",
        fontsize=LABEL_SIZE,
        color=colour,
        arrowprops=leader if distance > GAP else None,
    )
    return place


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
