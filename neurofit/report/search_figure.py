"""Figures of searches: how the value went from trial to trial, and which parameters mattered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neurofit.report.style import GREY, MARKERS, PALETTE, add_caption, plain_axes
from neurofit.training.search_results import TrialRow
from neurofit.training.search_study import OBJECTIVES, StudySpec

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WINDOW = 20
"""Complete trials in the running mean."""
_MOST_BARS = 15


@dataclass(frozen=True)
class SearchHistory:
    """A study as it is drawn.

    Parameters
    ----------
    name : str
    spec : StudySpec
    rows : sequence of TrialRow
        In the order in which they were begun.
    """

    name: str
    spec: StudySpec
    rows: Sequence[TrialRow]

    def counted(self) -> list[TrialRow]:
        """Return the trials that used a part of the budget, in order."""
        return [row for row in self.rows if row.outcome in ("complete", "pruned", "failed")]


def running_mean(values: Sequence[float] | np.ndarray, window: int = WINDOW) -> np.ndarray:
    """Return the mean of each value and those before it, at most `window` in all."""
    sums = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - window, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def plot_search_history(studies: Sequence[SearchHistory]) -> Figure:
    """Plot the value of every trial, the best so far and the running mean, of one study or of several in one.

    As figure 3 of Nayebi et al. (2018) has it: sample number against accuracy after a short training.

    Parameters
    ----------
    studies : sequence of SearchHistory
        Of the same objectives.
    """
    from matplotlib.figure import Figure

    names = studies[0].spec.objectives
    figure = Figure(figsize=(7.6, 3.8 * len(names)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for index, (axes, name) in enumerate(zip(panels, names, strict=True)):
        objective = OBJECTIVES[name]
        for place, (study, colour, marker) in enumerate(zip(studies, _cycled(PALETTE), _cycled(MARKERS), strict=False)):
            width = max(3.0 - place, 1.2)  # lines that coincide are both seen
            _draw_study(axes, study, index, objective.direction == "maximize", colour, marker, width)
            _draw_others(axes, study, colour, place)
        axes.set_ylabel(objective.label)
        plain_axes(axes)
    for axes in panels:
        _leave_room(axes, len(studies))
    panels[0].legend(frameon=False, fontsize=7.5, ncols=max(len(studies), 1), loc="upper left", borderaxespad=0.2)
    panels[0].set_title(f"Search of {studies[0].spec.space.name}", loc="left", fontsize=10)
    panels[-1].set_xlabel("trial (finished ones, in the order in which they were begun)")
    return add_caption(figure, _caption(studies))


def plot_importances(importances: Mapping[str, float], study: SearchHistory) -> Figure:
    """Plot how much each parameter mattered for being among the best; the first 15.

    Parameters
    ----------
    importances : mapping
        From a parameter to its part of 1, largest first.
    study : SearchHistory
    """
    from matplotlib.figure import Figure

    shown = list(importances.items())[:_MOST_BARS]
    figure = Figure(figsize=(6.4, 1.2 + 0.24 * len(shown)), layout="constrained")
    axes = figure.subplots()
    axes.barh([name for name, _ in shown], [value for _, value in shown], color=PALETTE[0], height=0.65)
    axes.invert_yaxis()
    axes.tick_params(axis="y", labelsize=8)
    axes.set_xlabel("importance (all parameters sum to 1)")
    axes.set_title(f"What mattered in {study.name}", loc="left", fontsize=10)
    plain_axes(axes)
    complete = sum(bool(row.values) for row in study.rows)
    rest = f" The other {len(importances) - len(shown)} are not shown." if len(importances) > len(shown) else ""
    few = " So few trials leave it uncertain." if complete < 100 else ""
    caption = (
        f"PED-ANOVA: how much the distribution of each parameter among the best tenth of {complete} complete trials, "
        f"by {OBJECTIVES[study.spec.objectives[0]].label}, differs from that among all.{rest}{few}"
    )
    return add_caption(figure, caption)


def _draw_study(axes: Axes, study: SearchHistory, index: int, up: bool, colour: str, marker: str, width: float) -> None:
    counted = study.counted()
    places = np.array([i for i, row in enumerate(counted, start=1) if row.values])
    if not len(places):
        return
    values = np.array([row.values[index] for row in counted if row.values])
    best = np.maximum.accumulate(values) if up else np.minimum.accumulate(values)
    axes.plot(
        places, values, linestyle="none", marker=marker, markersize=3.8, color=colour, alpha=0.45,
        label=f"{study.name}: each trial",
    )  # fmt: skip
    axes.step(places, best, where="post", color=colour, linewidth=width, label="best so far")
    axes.plot(
        places, running_mean(values), color=colour, linewidth=1.4, linestyle="--", label=f"mean of the last {WINDOW}"
    )


def _draw_others(axes: Axes, study: SearchHistory, colour: str, place: int) -> None:
    """Mark trials without a value below the axis: a cross for failed, a bar for pruned."""
    for kind, marker in (("failed", "x"), ("pruned", "|")):
        places = [i for i, row in enumerate(study.counted(), start=1) if row.outcome == kind]
        if not places:
            continue
        axes.plot(
            places, [0.012 + 0.025 * place] * len(places), linestyle="none", marker=marker, markersize=4.5,
            color=colour, transform=axes.get_xaxis_transform(), clip_on=False,
        )  # fmt: skip


def _leave_room(axes: Axes, studies: int) -> None:
    """Leave room for the legend above, and below for a row of marks a study, under a line."""
    low, high = axes.get_ylim()
    axes.set_ylim(low - (0.03 + 0.04 * studies) * (high - low), high + 0.28 * (high - low))
    axes.axhline(low - 0.01 * (high - low), color=GREY, linewidth=0.5)


def _caption(studies: Sequence[SearchHistory]) -> str:
    spec = studies[0].spec
    parts = []
    for study in studies:
        kinds = [row.outcome for row in study.counted()]
        parts.append(
            f"{study.name} ({study.spec.sampler}, seed {study.spec.seed}): {kinds.count('complete')} complete, "
            f"{kinds.count('failed')} failed, {kinds.count('pruned')} pruned"
        )
    images = spec.data.get("images", "")
    return (
        f"Marks: values of single trials; full lines: the best so far; dashed: mean of the last {WINDOW} complete "
        f"ones. Crosses below: failed trials; bars: pruned ones. {'; '.join(parts)}. Each trial: "
        f"{spec.recipe.epochs} epochs of recipe '{spec.recipe.name}', {spec.space.classes} classes at "
        f"{spec.space.input_px} px"
        + (f", {images}." if images else ".")
        + (f" Predictivity: {spec.data['benchmark']}." if "benchmark" in spec.data else "")
    )


def _cycled(values: Sequence[str]) -> list[str]:
    return [*values] * 8
