"""Figure of a regression's health: components, training stimuli with extrapolation, components by time bin."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr

from neurofit.assembly.schema import time_bins_of
from neurofit.errors import ConfigurationError
from neurofit.report.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    add_caption,
    data_sentence,
    formula_sentence,
    plain_axes,
)
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.health import COMPONENT_NUMBER, TRAINING_SIZE
from neurofit.scoring.health_summary import (
    CORRECTED,
    OF_CEILING,
    RAW,
    TRAINING,
    ComponentDiagnosis,
    LearningDiagnosis,
    ceiling_in_window,
    tabulate,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOOKS = {RAW: (BLUE, "o"), CORRECTED: (ORANGE, "s"), OF_CEILING: (GREEN, "^")}
LIMIT_AT = 22.0
"""Where the limit is drawn, in multiples of all training stimuli."""


def plot_health(
    components: xr.Dataset | None,
    learning: xr.Dataset | None,
    component_diagnoses: Mapping[str, ComponentDiagnosis],
    learning_diagnoses: Mapping[str, LearningDiagnosis],
    aggregation: AggregationSpec,
    name: str,
) -> Figure:
    """Draw one panel for each curve that is there, and one with the best number of components of every time bin.

    Parameters
    ----------
    components, learning : xarray.Dataset, optional
        From `component_curve` and `learning_curve`; one of them at least.
    component_diagnoses, learning_diagnoses : mapping
        From `diagnose_components` and `diagnose_learning`.
    aggregation : AggregationSpec
    name : str
        Of subject and layer, for the title.

    Returns
    -------
    matplotlib Figure
    """
    from matplotlib.figure import Figure

    by_bin = components is not None and components.sizes["time_bin"] > 1 and component_diagnoses
    panels = (components is not None) + (learning is not None) + bool(by_bin)
    figure = Figure(figsize=(3.9 * panels + 0.6, 4.2), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    plain_axes(*axes)
    captions = []
    if components is not None:
        captions.append(_components(axes.pop(0), components, component_diagnoses, aggregation))
    if learning is not None:
        captions.append(_learning(axes.pop(0), learning, learning_diagnoses, aggregation))
    if by_bin and components is not None:
        captions.append(_by_bin(axes.pop(0), components, component_diagnoses))
    curve = learning if learning is not None else components
    if curve is None:
        raise ConfigurationError("a figure of regression health has a curve", "neither was given", "give one of them")
    kind = "SIMULATED" if curve.attrs.get("simulated") else "real"
    title = f"{name} on {curve.attrs['region']} of {curve.attrs['dataset']} [{kind} data]"
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    window = "-".join(map(str, aggregation.window_ms))
    return add_caption(
        figure,
        f"{' '.join(captions)} Headlines: mean over the bins in {window} ms, medians over neuroids. "
        f"{formula_sentence(_for_caption(curve))} {data_sentence(curve.attrs)}",
    )


def _for_caption(curve: xr.Dataset) -> dict[str, object]:
    """Return attrs for the caption; the mapping of a component curve has a number of components for every slice."""
    attrs = dict(curve.attrs)
    return attrs | ({"mapping": "PLS"} if COMPONENT_NUMBER in curve.dims else {})


def _components(
    axes: Axes, curve: xr.Dataset, diagnoses: Mapping[str, ComponentDiagnosis], aggregation: AggregationSpec
) -> str:
    table = tabulate(curve, aggregation)
    numbers = table[COMPONENT_NUMBER].to_numpy()
    _training(axes, numbers, table)
    ceiling = ceiling_in_window(curve, aggregation)
    if np.isfinite(ceiling):
        axes.axhline(ceiling, color=GREY, linestyle=":", label="ceiling of r")
    for name, label in ((RAW, "raw r, held out"), (CORRECTED, f"noise-corrected ({curve.attrs['formula']})")):
        if name in table:
            colour, marker = LOOKS[name]
            axes.plot(numbers, table[name], color=colour, marker=marker, markersize=4, label=label)
        if name in diagnoses:
            best = diagnoses[name]
            axes.plot(best.best, best.best_value, marker="*", markersize=13, color=LOOKS[name][0], linestyle="none")
    if diagnoses:
        axes.axvline(next(iter(diagnoses.values())).chosen, color=INK, linewidth=0.8, label="the benchmark's number")
    axes.set_xscale("log")
    axes.set_xticks(numbers, [str(k) for k in numbers], fontsize=7)
    axes.minorticks_off()
    axes.set_xlabel("PLS components")
    axes.set_ylabel("predictivity (median over neuroids)")
    _framed(axes, table, ceiling)
    return "Components: stars mark the best on the held-out stimuli, which is a diagnosis and not to be reported."


def _training(axes: Axes, numbers: np.ndarray, table: pd.DataFrame) -> None:
    axes.plot(
        numbers, table[TRAINING], color=GREY, linestyle="--", marker="D", markersize=3, label="raw r, training stimuli"
    )


def _learning(
    axes: Axes, curve: xr.Dataset, diagnoses: Mapping[str, LearningDiagnosis], aggregation: AggregationSpec
) -> str:
    table = tabulate(curve, aggregation)
    sizes = table[TRAINING_SIZE].to_numpy(float)
    _training(axes, sizes, table)
    ceiling = ceiling_in_window(curve, aggregation)
    if np.isfinite(ceiling):
        axes.axhline(ceiling, color=GREY, linestyle=":", label="ceiling of r")
    labels = {
        RAW: "raw r, held out",
        CORRECTED: f"noise-corrected ({curve.attrs['formula']})",
        OF_CEILING: "raw r over its ceiling",
    }
    beyond = np.geomspace(sizes[0], sizes[-1] * 10, 100)
    for i, (name, label) in enumerate(labels.items()):
        if name not in table:
            continue
        colour, marker = LOOKS[name]
        axes.plot(sizes, table[name], color=colour, marker=marker, markersize=4, linestyle="none", label=label)
        if name not in diagnoses or not np.isfinite(diagnoses[name].limit):
            continue
        fit = diagnoses[name]
        within = beyond <= sizes[-1] * 1.05
        axes.plot(beyond[within], fit.at(beyond[within]), color=colour, linewidth=1.2)
        axes.plot(beyond[~within], fit.at(beyond[~within]), color=colour, linewidth=1.2, linestyle=(0, (4, 3)))
        for each in fit.projections:
            place = sizes[-1] * min(each.factor, LIMIT_AT) * (0.94, 1.0, 1.06)[i]
            bounds = np.array([[each.value - each.over_both.low], [each.over_both.high - each.value]])
            axes.errorbar(
                place, each.value, np.maximum(bounds, 0), color=colour, marker=marker, markersize=5, capsize=3,
                markerfacecolor=colour if each.supported else "white", alpha=1.0 if each.supported else 0.45,
            )  # fmt: skip
    axes.set_xscale("log")
    marks = [sizes[0], sizes[len(sizes) // 2], *(sizes[-1] * factor for factor in (1, 2, 10, LIMIT_AT))]
    names = [f"{m:.0f}" for m in marks[:3]] + ["2 x", "10 x", "limit"]
    axes.set_xticks(marks, names, fontsize=7)
    axes.minorticks_off()
    axes.set_xlabel("training stimuli")
    _framed(axes, table, ceiling)
    return (
        "Training stimuli: nested random subsets; lines are fits of limit - a m^-b, dashed beyond the data; marks "
        "there are their values at 2 and 10 times all stimuli and in the limit, with 95 % bootstrap intervals over "
        "neuroids and splits; pale and hollow ones are not supported by the data."
    )


def _by_bin(axes: Axes, curve: xr.Dataset, diagnoses: Mapping[str, ComponentDiagnosis]) -> str:
    centres = np.mean(time_bins_of(curve["predictivity"]), axis=1)
    for i, (name, found) in enumerate(diagnoses.items()):
        best = np.array(found.best_by_bin, float)
        best[best == 0] = np.nan
        silent = curve["silent"].isel({COMPONENT_NUMBER: 0}).values.astype(bool)
        best[silent] = np.nan
        colour, marker = LOOKS[name]
        shift = (-0.15, 0.15)[i] * (centres[1] - centres[0])
        low, high = np.array(found.plateau_by_bin, float).T
        as_good = np.maximum(np.array([best - low, high - best]), 0)
        axes.errorbar(
            centres + shift, best, as_good, color=colour, marker=marker, markersize=4, linestyle="none", elinewidth=0.9,
            label=f"best for {'raw r' if name == RAW else 'noise-corrected'}",
        )  # fmt: skip
    axes.axhline(next(iter(diagnoses.values())).chosen, color=INK, linewidth=0.8, label="the benchmark's number")
    axes.set_yscale("log")
    numbers = curve[COMPONENT_NUMBER].values
    axes.set_yticks(numbers, [str(k) for k in numbers], fontsize=7)
    axes.minorticks_off()
    axes.set_ylim(0.8 * numbers[0], 4.5 * numbers[-1])
    axes.set_xlabel("time from stimulus onset (ms)")
    axes.set_ylabel("best number of components")
    axes.legend(frameon=False, fontsize=7, loc="upper right")
    return (
        "Bins: the best of the grid on the held-out stimuli, with all that are within .01 of it, where the source is "
        "not silent."
    )


def _framed(axes: Axes, table: pd.DataFrame, ceiling: float) -> None:
    """Show 0 to 1 and all measured points, with room for the legend above; intervals beyond are cut."""
    shown = pd.concat([table[name] for name in (RAW, CORRECTED, OF_CEILING, TRAINING) if name in table])
    low = min(0.0, float(np.nanmin(shown)))
    high = max(1.0, float(np.nanmax(shown)), ceiling if np.isfinite(ceiling) else 0.0)
    axes.set_ylim(low, high + 0.4 * (high - low))
    axes.set_yticks([tick for tick in axes.get_yticks() if low <= tick <= high + 1e-9])
    axes.legend(frameon=False, fontsize=7, loc="upper left")
