"""What all figures share: colours, captions, and how they are written."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofit.files.atomic import atomic_path, reporting_output_errors
from neurofit.report.plain_text import drawable
from neurofit.scoring.formulas import formula_named
from neurofit.vocabulary import SIMULATED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, GREY = "#1b1b1f", "#8a8a94"
BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00"
PALETTE = (BLUE, ORANGE, GREEN, PURPLE, SKY, AMBER)
"""Okabe and Ito's colours, which people of any colour vision tell apart."""
MARKERS = ("o", "s", "^", "D", "v", "P")
"""One for each colour of the palette, so that no figure needs colour alone."""

_CAPTION_COLUMNS_PER_INCH = 16.5
_CAPTION_SIZE = 7.5
_LONGEST_CAPTION = 6_000


def add_caption(figure: Figure, text: str) -> Figure:
    """Write a caption under a figure, which grows by the lines that it takes.

    A caption names units, formula and where the data come from: figures are passed on without their pages.
    """
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(drawable(text, _LONGEST_CAPTION), int(width * _CAPTION_COLUMNS_PER_INCH))
    figure.set_size_inches(width, height + 0.16 * len(lines))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=_CAPTION_SIZE, color=INK)
    return figure


def data_sentence(attrs: Mapping[str, Any]) -> str:
    """Return where a score's data come from: region, dataset, simulated or real, stimuli, benchmark."""
    kind = "SIMULATED responses" if attrs.get(SIMULATED) else "real recordings"
    place = f"{attrs['region']} of {attrs['dataset']} ({kind})" if "dataset" in attrs else kind
    benchmark = f", benchmark {attrs['benchmark']}" if "benchmark" in attrs else ""
    return f"Data: {place}, {attrs['n_stimuli']} stimuli{benchmark}."


def formula_sentence(attrs: Mapping[str, Any]) -> str:
    """Return what a score's numbers are: the noise correction in words, mapping and splits."""
    formula = formula_named(str(attrs["formula"]))
    what = f"noise-corrected by '{formula.name}': {formula.text}" if formula.corrects else "raw Pearson r"
    course = f" Time course of the source: {attrs['source_time_course']}." if "source_time_course" in attrs else ""
    mapping = f"{attrs['mapping']}, temporal mapping '{attrs['temporal_mapping']}', {attrs['n_splits']} splits"
    return f"Predictivity is {what}; {mapping}.{course}"


def plain_axes(*several: Axes) -> None:
    """Remove the frame where it says nothing."""
    for axes in several:
        axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG at 150 dots per inch.

    Raises
    ------
    OutputError
        If the folder cannot be written.
    """
    with reporting_output_errors(path), atomic_path(path) as part:
        figure.savefig(part, dpi=150, format="png")
    return path
