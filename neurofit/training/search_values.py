"""Values of a search space: each is fixed, or a table that says what it may be and is drawn for every trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol, TypeVar

from neurofit.files.toml_schema import Rule

Value = TypeVar("Value")

Nonlinearity = Literal["sigmoid", "tanh"]
Activation = Literal["elu", "relu", "sigmoid", "tanh", "identity"]
Entry = Literal["out", "cell", "input"]

_PROBABILITY = Rule("between 0 and 1", lambda p: 0 < p < 1)


class Trial(Protocol):
    """The part of `optuna.Trial` that a space is sampled with."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number of the range."""

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> int:
        """Return a whole number of the range, ends included."""


class Searched(Protocol):
    """What may be drawn."""

    def draw(self, trial: Trial, name: str) -> Any:
        """Return this trial's value."""


@dataclass(frozen=True)
class Whole:
    """Whole numbers: some, or all between two.

    Parameters
    ----------
    choices : tuple of int
        Unordered, for the sampler.
    low, high : int
        Both included.
    step : int
    log : bool
        Whether their logarithm is drawn uniformly.
    """

    choices: tuple[int, ...] = ()
    low: int | None = None
    high: int | None = None
    step: Annotated[int, Rule("at least 1", lambda step: step >= 1)] = 1
    log: bool = False

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between keys."""
        yield from _range_problems(self)
        if self.log and self.step != 1:
            yield "step is of ranges that are not log"

    def draw(self, trial: Trial, name: str) -> int:
        """Return this trial's value."""
        if self.low is None or self.high is None:
            return trial.suggest_categorical(name, self.choices)
        return trial.suggest_int(name, self.low, self.high, step=self.step, log=self.log)


@dataclass(frozen=True)
class Real:
    """Numbers: some, or all between two.

    Parameters
    ----------
    choices : tuple of float
    low, high : float
    log : bool
        Whether their logarithm is drawn uniformly.
    """

    choices: tuple[float, ...] = ()
    low: float | None = None
    high: float | None = None
    log: bool = False

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between keys."""
        yield from _range_problems(self)

    def draw(self, trial: Trial, name: str) -> float:
        """Return this trial's value."""
        if self.low is None or self.high is None:
            return trial.suggest_categorical(name, self.choices)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


@dataclass(frozen=True)
class Switch:
    """Absent or present.

    Parameters
    ----------
    choices : tuple of bool
        Both, without any preference.
    probability : float
        Of its presence before anything is known: a number is drawn uniformly from 0 to 1, and it is present below this
        (`p_edge` of the authors' search, brain-score/candidate_models @ adf86cd, convrnn_base.py).
    """

    choices: tuple[bool, ...] = ()
    probability: Annotated[float, _PROBABILITY] | None = None

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between keys."""
        if bool(self.choices) == (self.probability is not None):
            yield "a switch has either choices or a probability"
        yield from _choice_problems(self.choices)

    def draw(self, trial: Trial, name: str) -> bool:
        """Return this trial's value."""
        if self.probability is None:
            return trial.suggest_categorical(name, self.choices)
        return trial.suggest_float(name, 0.0, 1.0) < self.probability


@dataclass(frozen=True)
class _Choices:
    """Some of a kind."""

    choices: tuple[Any, ...]

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between keys."""
        yield from _choice_problems(self.choices)
        if not self.choices:
            yield "choices has none"

    def draw(self, trial: Trial, name: str) -> Any:
        """Return this trial's value."""
        return trial.suggest_categorical(name, self.choices)


@dataclass(frozen=True)
class Nonlinearities(_Choices):
    """Some nonlinearities of a gate."""

    choices: tuple[Nonlinearity, ...]


@dataclass(frozen=True)
class Activations(_Choices):
    """Some activations."""

    choices: tuple[Activation, ...]


@dataclass(frozen=True)
class Entries(_Choices):
    """Some ways for feedback to enter a node."""

    choices: tuple[Entry, ...]


def drawn(value: Any, trial: Trial, name: str) -> Any:
    """Return a value that is fixed, or this trial's of one that is not."""
    return value.draw(trial, name) if hasattr(value, "draw") else value


def _range_problems(values: Whole | Real) -> Iterator[str]:
    if values.choices:
        if values.low is not None or values.high is not None:
            yield "either choices or low and high say what a value may be"
        yield from _choice_problems(values.choices)
        return
    if values.low is None or values.high is None:
        yield "low and high are both needed, or choices"
        return
    if values.low >= values.high:
        yield f"low is {values.low}, which is not below high, {values.high}"
    if values.log and values.low <= 0:
        yield f"low is {values.low}, which has no logarithm"


def _choice_problems(choices: tuple[Any, ...]) -> Iterator[str]:
    if len(set(choices)) < len(choices):
        yield f"choices {', '.join(map(str, choices))} names one twice"
