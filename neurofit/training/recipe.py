"""How networks are trained: a recipe is a TOML file, the same for every network that is to be compared.

What is shown (steps, image on, readout) belongs to the network (`neurofit.models.zoo.ZooEntry.presentation`), what it
runs on to the machine (`neurofit.training.engine.Engine`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from neurofit.errors import UnknownNameError
from neurofit.files.toml_schema import Rule, read_toml
from neurofit.training.augmentation import Augmentation

RECIPES = Path(__file__).parent / "recipes"

_POSITIVE = Rule("above 0", lambda value: value > 0)
_NOT_NEGATIVE = Rule("at least 0", lambda value: value >= 0)
_FRACTION = Rule("at least 0 and below 1", lambda value: 0 <= value < 1)


@dataclass(frozen=True)
class Optimiser:
    """What changes the weights.

    Parameters
    ----------
    kind : {'adamw', 'sgd'}
    learning_rate : float
        At its peak.
    momentum : float
        Of SGD.
    nesterov : bool
        Of SGD.
    weight_decay : float
        Of kernels; biases, gains, decays and other vectors have none. 1e-4 with SGD as in the released configurations
        (neuroailab/convrnns @ b76a44d, models/*.json); AdamW's is decoupled from the gradient, and so of another size.
    cell_weight_decay : float, optional
        Of kernels inside cells; as the others' by default. 2.034e-4 in rgc_intermediate (configs/median_rgcell_cfg.py).
    """

    kind: Literal["adamw", "sgd"] = "sgd"
    learning_rate: Annotated[float, _POSITIVE] = 0.01
    momentum: Annotated[float, _FRACTION] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, _NOT_NEGATIVE] = 1e-4
    cell_weight_decay: Annotated[float, _NOT_NEGATIVE] | None = None

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between keys."""
        if self.kind == "sgd" and self.nesterov and not self.momentum:
            yield "nesterov is true and momentum 0: Nesterov's method has a momentum"


@dataclass(frozen=True)
class Schedule:
    """How the learning rate changes over the run.

    Parameters
    ----------
    kind : {'cosine', 'step', 'constant'}
        From the peak to zero along half a cosine; divided after every `step_epochs`; or not at all.
    warm_up : float
        Fraction of the run in which the learning rate rises in proportion, before all else.
    step_epochs : int
    factor : float
        Of a step. 30 epochs and .1 in the authors' PyTorch port (neuroagents-lab/PyTorchTNN @ 50713d9).
    """

    kind: Literal["cosine", "step", "constant"] = "step"
    warm_up: Annotated[float, _FRACTION] = 0.0
    step_epochs: Annotated[int, _POSITIVE] = 30
    factor: Annotated[float, _POSITIVE] = 0.1


@dataclass(frozen=True)
class Gradient:
    """What is done to a gradient before it is used.

    Parameters
    ----------
    clip : {'norm', 'value', 'none'}
        Limit the norm of all gradients together, or each value.
    limit : float
        Norm 1 in the authors' PyTorch port (neuroagents-lab/PyTorchTNN @ 50713d9); values +-.324 in lstm_shallow's
        configuration (neuroailab/convrnns @ b76a44d, configs/lstm_shallow.npz).
    truncate : int
        Steps through which gradients flow back in time; 0 is all of them.
    """

    clip: Literal["norm", "value", "none"] = "norm"
    limit: Annotated[float, _POSITIVE] = 1.0
    truncate: Annotated[int, _NOT_NEGATIVE] = 0


@dataclass(frozen=True)
class Phase:
    """Consecutive epochs with images of one size.

    Parameters
    ----------
    epochs : int
    size_px : int, optional
        Side of the frames; the network's own by default. Smaller ones first save most of the work.
    """

    epochs: Annotated[int, _POSITIVE]
    size_px: Annotated[int, Rule("at least 8", lambda side: side >= 8)] | None = None


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Parameters
    ----------
    name : str
    batch : int
        Images an update, over all processes and parts of it.
    phases : tuple of Phase
    optimiser, schedule, gradient, augmentation
    label_smoothing : float
    average : float
        Decay per update of the exponential moving average of the weights that is evaluated and kept; 0 is none.
    source : str
        Where the settings are from.
    """

    name: str
    batch: Annotated[int, _POSITIVE]
    phases: tuple[Phase, ...]
    optimiser: Optimiser = field(default_factory=Optimiser)
    schedule: Schedule = field(default_factory=Schedule)
    gradient: Gradient = field(default_factory=Gradient)
    augmentation: Augmentation = field(default_factory=Augmentation)
    label_smoothing: Annotated[float, _FRACTION] = 0.0
    average: Annotated[float, _FRACTION] = 0.0
    source: str = ""

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between keys."""
        if not self.phases:
            yield "phases has none: a run has at least one"

    def size_px(self, epoch: int, own_px: int) -> int:
        """Return the side of the frames in an epoch, which counts from 0, of a network made for `own_px`."""
        for phase in self.phases:
            if epoch < phase.epochs:
                return phase.size_px or own_px
            epoch -= phase.epochs
        raise IndexError(epoch)

    def learning_rate(self, epoch: float) -> float:
        """Return the learning rate after so many epochs, which need not be whole."""
        progress, kind = epoch / self.epochs, self.schedule.kind
        peak, warm_up = self.optimiser.learning_rate, self.schedule.warm_up
        if progress < warm_up:
            return peak * progress / warm_up
        if kind == "cosine":
            return peak * 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))
        if kind == "step":
            return peak * self.schedule.factor ** int(epoch // self.schedule.step_epochs)
        return peak


def load_recipe(name: str) -> Recipe:
    """Return a recipe by its name in the package, or by the path of its TOML file.

    Raises
    ------
    UnknownNameError
        If it is neither.
    DataFileError, ConfigurationError
        If the file cannot be read, or has wrong keys or values.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = RECIPES / f"{name}.toml"
        if not path.is_file():
            raise UnknownNameError("recipe", name, recipe_names())
    return read_toml(path, Recipe, what="recipe")


def recipe_names() -> list[str]:
    """Return the names of the recipes in the package."""
    return sorted(path.stem for path in RECIPES.glob("*.toml"))
