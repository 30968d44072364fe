"""What is searched: networks with reciprocal gated cells, drawn from a space that a TOML file describes.

Every size and switch of the cell (`neurofit.models.reciprocal_gated`), which stages have one, the long-range feedback
edges, the number of steps, and the learning rate and weight decay may be fixed or searched. That these were searched is
in the authors' code and in the figure of 2018 (specification 3.2); their ranges and priors were not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

from neurofit.errors import UnknownNameError
from neurofit.files.toml_schema import Rule, read_toml
from neurofit.models.feedback import FeedbackConfig
from neurofit.models.network import NetworkConfig
from neurofit.models.nodes import NodeConfig
from neurofit.models.presentation import Presentation
from neurofit.models.readout import ReadoutKind
from neurofit.models.reciprocal_gated import GateConfig, PathConfig, ReciprocalGatedConfig
from neurofit.training.recipe import Recipe
from neurofit.training.search_values import (
    Activation,
    Activations,
    Entries,
    Entry,
    Nonlinearities,
    Nonlinearity,
    Real,
    Switch,
    Trial,
    Whole,
    drawn,
)

SPACES = Path(__file__).parent / "searches"

_POSITIVE = Rule("above 0", lambda value: value > 0)


@dataclass(frozen=True)
class StageSpace:
    """One stage, conv1 and so on in their order.

    Parameters
    ----------
    channels : int
    kernel, stride : int
    pool : bool
        Whether a max-pool of stride 2 follows.
    cell : bool
        Whether it has a reciprocal gated cell.
    """

    channels: Annotated[int, _POSITIVE] | Whole
    kernel: Annotated[int, _POSITIVE] | Whole = 3
    stride: Annotated[int, _POSITIVE] = 1
    pool: bool = True
    cell: bool | Switch = False


@dataclass(frozen=True)
class PathSpace:
    """A convolution inside the cell; see `PathConfig`."""

    kernel: Annotated[int, _POSITIVE] | Whole = 3
    separable: bool | Switch = False
    bias: bool | Switch = False


@dataclass(frozen=True)
class GateSpace(PathSpace):
    """A factor of the cell's equations; see `GateConfig`.

    Parameters
    ----------
    multiplier : float, optional
        Minus the offset by default, as in the searched cell and in the hand-designed one.
    """

    nonlinearity: Nonlinearity | Nonlinearities = "sigmoid"
    offset: float | Real = 1.0
    multiplier: float | Real | None = None
    constant: float | Real = 0.0


@dataclass(frozen=True)
class PathsSpace:
    """Which connections the cell has besides its four gates; names as in `neurofit.models.reciprocal_gated.PATHS`."""

    input_to_cell: bool | Switch = True
    residual_to_out_gate: bool | Switch = False
    residual_to_cell_gate: bool | Switch = False
    residual_to_out_tau: bool | Switch = False
    residual_to_cell_tau: bool | Switch = False
    input_to_out_gate: bool | Switch = False
    input_to_cell_gate: bool | Switch = False
    input_to_out_tau: bool | Switch = False
    input_to_cell_tau: bool | Switch = False
    input_to_out: bool | Switch = False
    residual_to_cell: bool | Switch = False
    cell_to_out: bool | Switch = False
    residual_to_out: bool | Switch = False


@dataclass(frozen=True)
class CellSpace:
    """The cell; see `ReciprocalGatedConfig`.

    Parameters
    ----------
    per_stage : bool
        Whether every stage draws a cell of its own; otherwise all have the same, as in the released network.
    """

    cell_channels: Annotated[int, _POSITIVE] | Whole = 64
    tau: GateSpace = field(default_factory=GateSpace)
    gate: GateSpace = field(default_factory=GateSpace)
    into_cell: PathSpace = field(default_factory=PathSpace)
    into_out: PathSpace = field(default_factory=PathSpace)
    paths: PathsSpace = field(default_factory=PathsSpace)
    cell_activation: Activation | Activations = "elu"
    out_activation: Activation | Activations = "elu"
    layer_norm: bool | Switch = False
    init_scale: float | Real = 1.0
    per_stage: bool = False


@dataclass(frozen=True)
class EdgeSpace:
    """Long-range feedback from one stage to one that is not after it.

    Parameters
    ----------
    source, target : str
    present : bool
        By default with the probability `p_edge` of all edges.
    """

    source: str
    target: str
    present: bool | Switch | None = None


@dataclass(frozen=True)
class FeedbackSpace:
    """Long-range feedback; how it enters is one for all edges, see `FeedbackConfig`."""

    edges: tuple[EdgeSpace, ...] = ()
    p_edge: Annotated[float, Rule("between 0 and 1", lambda p: 0 < p < 1)] = 0.5
    kernel: Annotated[int, _POSITIVE] | Whole = 1
    separable: bool | Switch = False
    entry: Entry | Entries = "out"
    activation: Activation | Activations = "identity"


@dataclass(frozen=True)
class SearchSpace:
    """Networks to be searched.

    Parameters
    ----------
    name : str
    input_px : int
    classes : int
        The first ones of the data, in alphabetical order, where these have more.
    stages : tuple of StageSpace
    cell : CellSpace
    feedback : FeedbackSpace
    readout : str
        See `neurofit.models.readout.Readout`.
    steps : int
        For which a network is unrolled, with the image on throughout.
    learning_rate, weight_decay : float, optional
        The recipe's by default.
    images_per_class : int
        To train on; 0 is all.
    source : str
        Where the ranges are from.
    """

    name: str
    input_px: Annotated[int, _POSITIVE]
    classes: Annotated[int, Rule("at least 2", lambda count: count >= 2)]
    stages: tuple[StageSpace, ...]
    cell: CellSpace = field(default_factory=CellSpace)
    feedback: FeedbackSpace = field(default_factory=FeedbackSpace)
    readout: ReadoutKind = "average"
    steps: Annotated[int, _POSITIVE] | Whole = 17
    learning_rate: float | Real | None = None
    weight_decay: float | Real | None = None
    images_per_class: Annotated[int, Rule("at least 0", lambda count: count >= 0)] = 0
    source: str = ""

    def cross_problems(self) -> Iterator[str]:
        """Yield what is wrong between keys."""
        if not self.stages:
            yield "stages has none"
        names = [stage_name(i) for i in range(len(self.stages))]
        ends = [(edge.source, edge.target) for edge in self.feedback.edges]
        for source, target in ends:
            unknown = {source, target} - set(names)
            if unknown:
                yield f"feedback names {', '.join(sorted(unknown))}, which is not of {', '.join(names)}"
            elif names.index(source) < names.index(target):
                yield f"feedback from {source} to {target} leads forward"
        if len(set(ends)) < len(ends):
            yield "feedback names an edge twice"


@dataclass(frozen=True)
class Candidate:
    """A network that was drawn from a space, and what its training takes of it.

    Parameters
    ----------
    network : NetworkConfig
    presentation : Presentation
    learning_rate, weight_decay : float or None
        None is the recipe's.
    """

    network: NetworkConfig
    presentation: Presentation
    learning_rate: float | None = None
    weight_decay: float | None = None

    def recipe(self, recipe: Recipe) -> Recipe:
        """Return a recipe with the learning rate and weight decay that were drawn."""
        names = ("learning_rate", "weight_decay")
        drawn_ones = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return replace(recipe, optimiser=replace(recipe.optimiser, **drawn_ones))


def sample(trial: Trial, space: SearchSpace) -> Candidate:
    """Draw a network.

    Every searched value is drawn in every trial, also those of an absent cell or edge: so all trials have the same
    parameters, which is what samplers of their joint distribution ask for.

    Parameters
    ----------
    trial : optuna.Trial
        Or anything with its `suggest_categorical`, `suggest_float` and `suggest_int`.
    space : SearchSpace

    Raises
    ------
    ConfigurationError
        If what was drawn is no network, since nothing enters a cell. That feedback leads into a cell that is not there
        is found when the network is built.
    """
    shared = None if space.cell.per_stage else _draw_cell(trial, space.cell, "cell")
    form = _draw_feedback(trial, space.feedback)
    nodes = []
    for i, stage in enumerate(space.stages):
        name = stage_name(i)
        cell = shared or _draw_cell(trial, space.cell, f"{name}.cell")
        present = drawn(stage.cell, trial, f"{name}.cell")
        nodes.append(
            NodeConfig(
                name,
                drawn(stage.channels, trial, f"{name}.channels"),
                drawn(stage.kernel, trial, f"{name}.kernel"),
                stage.stride,
                cell=_built(cell) if present else None,
                pool=stage.pool,
                # ELU grows everywhere: where no cell needs it before the pool, after it is the same for less work
                activation="before" if present else "after",
                feedback=form,
            )
        )
    network = NetworkConfig(
        tuple(nodes), space.input_px, space.classes, space.readout, _draw_edges(trial, space.feedback)
    )
    steps = drawn(space.steps, trial, "steps")
    rate, decay = (drawn(getattr(space, name), trial, name) for name in ("learning_rate", "weight_decay"))
    return Candidate(network, Presentation(steps), rate, decay)


def stage_name(index: int) -> str:
    """Return the name of a stage, from its place."""
    return f"conv{index + 1}"


def load_space(name: str) -> SearchSpace:
    """Return a space by its name in the package, or by the path of its TOML file.

    Raises
    ------
    UnknownNameError
        If it is neither.
    DataFileError, ConfigurationError
        If the file cannot be read, or has wrong keys or values.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = SPACES / f"{name}.toml"
        if not path.is_file():
            raise UnknownNameError("search space", name, space_names())
    return read_toml(path, SearchSpace, what="search space")


def space_names() -> list[str]:
    """Return the names of the spaces in the package."""
    return sorted(path.stem for path in SPACES.glob("*.toml"))


def as_table(value: Any) -> dict[str, Any]:
    """Return a space or recipe as plain values, without what it does not say, to be kept and compared."""
    return {key: item for key, item in _without_none(asdict(value)).items() if key != "source"}


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    return [_without_none(item) for item in value] if isinstance(value, tuple | list) else value


def _draw(table: Any, trial: Trial, prefix: str) -> dict[str, Any]:
    """Return this trial's value of every field."""
    return {f.name: drawn(getattr(table, f.name), trial, f"{prefix}.{f.name}") for f in fields(table)}


def _draw_cell(trial: Trial, space: CellSpace, prefix: str) -> dict[str, Any]:
    """Return the arguments of a cell's configuration; whether it is one is not asked here."""
    own = _draw(space, trial, prefix)
    own.pop("per_stage")
    gates = {}
    for name in ("tau", "gate"):
        values = _draw(own.pop(name), trial, f"{prefix}.{name}")
        values["multiplier"] = -values["offset"] if values["multiplier"] is None else values["multiplier"]
        gates[name] = GateConfig(**values)
    convs = {name: PathConfig(**_draw(own.pop(name), trial, f"{prefix}.{name}")) for name in ("into_cell", "into_out")}
    present = _draw(own.pop("paths"), trial, f"{prefix}.paths")
    return {**own, **gates, **convs, "paths": tuple(name for name, is_there in present.items() if is_there)}


def _built(cell: dict[str, Any]) -> ReciprocalGatedConfig:
    return ReciprocalGatedConfig(**cell)


def _draw_feedback(trial: Trial, space: FeedbackSpace) -> FeedbackConfig:
    names = [f.name for f in fields(FeedbackConfig)]
    return FeedbackConfig(**{name: drawn(getattr(space, name), trial, f"feedback.{name}") for name in names})


def _draw_edges(trial: Trial, space: FeedbackSpace) -> tuple[tuple[str, str], ...]:
    edges = []
    for edge in space.edges:
        present = Switch(probability=space.p_edge) if edge.present is None else edge.present
        if drawn(present, trial, f"feedback.{edge.source}-{edge.target}"):
            edges.append((edge.source, edge.target))
    return tuple(edges)
