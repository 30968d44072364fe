"""Names of what a network without dynamics of its own does in time; `neurofit.models.static` defines them."""

from __future__ import annotations

from typing import Literal

StaticMode = Literal["constant", "once", "uniform", "graded"]

STATIC_MODES: dict[StaticMode, str] = {
    "constant": "the image's features at every step, also after it is gone",
    "once": "the image's features for as many steps as it is on, zero after",
    "uniform": "the layers of a sequence one after the other, in runs of equal length",
    "graded": "the layers of a sequence one after the other, in runs proportional to their depth",
}
"""Each mode in words, as records have it."""

SEQUENCE_MODES: tuple[StaticMode, ...] = ("uniform", "graded")
"""Modes that lay out sequences of layers."""

OWN = "own"
ChosenMode = Literal["own", "constant", "once", "uniform", "graded"]
"""What a benchmark or a user chooses: a static mode, or what the subject does by itself."""

ALL = "all"
"""Name of the sequence of all nodes, in the modes that lay out sequences, where the user names none."""
