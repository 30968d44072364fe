"""What the models of the zoo are: for `neurofit models list` and `show`. No weights are made or loaded."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from neurofit.errors import DataFileError
from neurofit.models.architecture_file import names_file
from neurofit.models.cells import TimeDecayConfig
from neurofit.models.decoders import build_decoder
from neurofit.models.network import NetworkConfig, build_nodes
from neurofit.models.nodes import NodeConfig
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.models.released_store import stored_weights
from neurofit.models.zoo import ZooEntry, model_name, weights_file, zoo_entry

WeightsState = Literal["bundled", "released", "fetched", "file", "missing", "random", "none"]


@dataclass(frozen=True)
class LayerDescription:
    """One layer of a network.

    Parameters
    ----------
    name : str
    shape : tuple of int
        Of its output: (channels, height, width), or (classes,).
    cell : str or None
        Kind of its recurrent cell.
    feedback_from : tuple of str
        Later layers whose output reaches it.
    parameters : int
    first_step : int
        First step, from 0, at which the layer has seen the first frame.
    """

    name: str
    shape: tuple[int, ...]
    cell: str | None
    feedback_from: tuple[str, ...]
    parameters: int
    first_step: int


@dataclass(frozen=True)
class ModelDescription:
    """One model of the zoo.

    Parameters
    ----------
    name, summary : str
    parameters : int
        Of all layers and the decoder.
    weights : str
        'bundled' with neurofit, 'released' by the authors and not here yet, 'fetched', in a 'file' beside that of the
        architecture, 'missing' there, 'random', or 'none'.
    weights_details : mapping from str to str
        What the file of weights says of them.
    released : str or None
        Name of the released network whose weights it has.
    top1, top5 : float or None
        Expected accuracy in percent: on ImageNet's validation images as published, or as measured for bundled weights.
    licence : str
        Of the weights.
    step_ms : int
    unroll : str or None
        'biological' or 'deep'.
    presentation : Presentation or None
        With which it was trained.
    decoder : str or None
    preprocessing : Preprocessing
    region_layers : mapping from region to layer
        Which layer is compared with which region where the user names none.
    published_layers : mapping from region to tuple of layers
        All that its authors compare with a region; see `zoo.PUBLISHED_SOURCE`.
    layers : tuple of LayerDescription
    """

    name: str
    summary: str
    parameters: int
    weights: WeightsState
    weights_details: Mapping[str, str]
    released: str | None
    top1: float | None
    top5: float | None
    licence: str
    step_ms: int
    unroll: str | None
    presentation: Presentation | None
    decoder: str | None
    preprocessing: Preprocessing
    region_layers: Mapping[str, str]
    published_layers: Mapping[str, tuple[str, ...]]
    layers: tuple[LayerDescription, ...]


def describe_model(name: str, folder: Path | str | None = None) -> ModelDescription:
    """Return what a model of the zoo is, or one that is named by its file.

    Parameters
    ----------
    name : str
        See `neurofit.models.zoo.zoo_entry`.
    folder : Path or str, optional
        Data folder in which to look for fetched weights; default `neurofit.files.fetch.data_folder`.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    DataFileError, ConfigurationError
        If an architecture file cannot be read, or is wrong.
    """
    entry = zoo_entry(name)
    details = _weights_details(name, entry)
    return ModelDescription(
        name=model_name(name),
        summary=entry.summary,
        parameters=0 if entry.network is None else count_parameters(entry.network),
        weights=_weights_state(name, entry, folder),
        weights_details=details,
        released=entry.released,
        top1=_percent(details.get("top1")) if entry.top1 is None else entry.top1,
        top5=_percent(details.get("top5")) if entry.top5 is None else entry.top5,
        licence=entry.licence,
        step_ms=entry.step_ms,
        unroll=None if entry.network is None else entry.network.unroll,
        presentation=entry.presentation,
        decoder=entry.decoder,
        preprocessing=entry.preprocessing,
        region_layers=entry.region_layers,
        published_layers=entry.published_layers,
        layers=_describe_layers(entry),
    )


def count_parameters(config: NetworkConfig) -> int:
    """Return the number of a network's parameters, its decoder's included."""
    with torch.device("meta"):
        return _count(build_nodes(config)) + _count(build_decoder(config.decoder, config.classes))


def _describe_layers(entry: ZooEntry) -> tuple[LayerDescription, ...]:
    shapes, first_steps = entry.layer_shapes(), entry.first_steps()
    if entry.network is None:
        return tuple(LayerDescription(name, shape, None, (), 0, first_steps[name]) for name, shape in shapes.items())
    with torch.device("meta"):
        nodes = build_nodes(entry.network)
    feedback = entry.network.wiring().feedback
    cells = {node.name: _cell_of(node) for node in entry.network.nodes}
    return tuple(
        LayerDescription(
            name, shape, cells.get(name), tuple(feedback.get(name, ())), _count(nodes[name]), first_steps[name]
        )
        for name, shape in shapes.items()
    )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _cell_of(node: NodeConfig) -> str | None:
    """Return what a node's cell is called; a decay that stays at 0 is no memory."""
    if node.cell is None or (isinstance(node.cell, TimeDecayConfig) and node.cell.decay != "trained"):
        return None
    return type(node.cell).__name__.removesuffix("Config")


def _weights_state(name: str, entry: ZooEntry, folder: Path | str | None) -> WeightsState:
    if entry.released is not None:
        with suppress(DataFileError):
            stored_weights(entry.released, folder)
            return "fetched"
        return "released"
    if entry.network is None:
        return "none"
    path = weights_file(name, entry)
    if path is None:
        return "random"
    if names_file(name):
        return "file" if path.is_file() else "missing"
    return "bundled"


def _weights_details(name: str, entry: ZooEntry) -> dict[str, str]:
    """Return what a file says of its weights; what is wrong with one is told when it is loaded."""
    path = weights_file(name, entry)
    if path is not None:
        with suppress(OSError, SafetensorError), safe_open(str(path), framework="pt") as file:
            return dict(file.metadata() or {})
    return {}


def _percent(fraction: str | None) -> float | None:
    with suppress(ValueError):  # a user's file may say anything there
        return None if fraction is None else 100 * float(fraction)
    return None
