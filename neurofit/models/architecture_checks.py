"""Whether a network that somebody describes can be built, and run on a machine."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from math import prod
from typing import Any

import torch
from torch import nn

from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.models.decoders import build_decoder
from neurofit.models.layers import ACTIVATIONS
from neurofit.models.network import READOUT, NetworkConfig, build_nodes, layer_shapes
from neurofit.models.reciprocal_gated import ReciprocalGatedConfig

# Several times what any published network has; the largest released one has 85 million parameters.
MAX_NODES = 200
MAX_PARAMETERS = 1_000_000_000
MAX_UNITS = 100_000_000
"""Values in the outputs of all layers for one image at one step."""

# Smallest and largest value by the name of a setting, wherever it stands.
_RANGES: dict[str, tuple[int, int]] = {
    "channels": (1, 16_384),
    "cell_channels": (1, 16_384),
    "classes": (1, 100_000),
    "kernel": (1, 63),
    "pool_kernel": (1, 63),
    "stride": (1, 16),
    "input_px": (4, 2_048),
    "size_px": (4, 2_048),
    "resize_px": (4, 4_096),
    "steps": (0, 1_000),
    "on": (0, 1_000),
    "step_ms": (1, 1_000),
}
_NODE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def check_network(config: NetworkConfig) -> None:
    """Check that a network can be built, and is of a size that can be run; no weights are made.

    Parameters
    ----------
    config : NetworkConfig

    Raises
    ------
    ConfigurationError, UnknownNameError
        Naming the node, the setting and its value.
    """
    _check_chain(config)
    check_ranges(config, "network")
    _check_activations(config)
    with torch.device("meta"):
        modules = (build_nodes(config), build_decoder(config.decoder, config.classes))
    last = _last_side(config)
    if config.readout == "conv" and last < 2:
        raise ConfigurationError(
            "a 2 x 2 readout fits into the last map",
            f"the map of '{config.nodes[-1].name}' is {last} x {last}",
            "pool less, or take the readout 'average'",
        )
    parameters = sum(p.numel() for module in modules for p in module.parameters())
    units = sum(prod(shape) for shape in layer_shapes(config).values())
    for found, most, what in ((parameters, MAX_PARAMETERS, "parameters"), (units, MAX_UNITS, "units")):
        if found > most:
            raise ConfigurationError(
                f"a network has at most {most:,} {what}", f"this one has {found:,}", "take fewer channels, or pool more"
            )


def _last_side(config: NetworkConfig) -> int:
    """Return the side of the last node's map."""
    side = config.input_px
    for node in config.nodes:
        side = node.sizes(side)[1]
    return side


def check_ranges(config: Any, where: str) -> None:
    """Check the numbers of a configuration and of all that it holds.

    Parameters
    ----------
    config : dataclass
    where : str
        What it is called in messages.

    Raises
    ------
    ConfigurationError
        Naming the first setting that is out of its range.
    """
    for path, name, value in _settings(config, where):
        if name not in _RANGES or value is None:
            continue
        least, most = _RANGES[name]
        if not least <= value <= most:
            shown = value if abs(value) < 10**12 else "beyond a million million"
            raise ConfigurationError(
                f"{name} is between {least:,} and {most:,}", f"{path} is {shown}", "choose one within"
            )


def _settings(config: Any, where: str) -> Iterator[tuple[str, str, Any]]:
    """Yield (path, name, value) of every setting in a configuration."""
    for field in fields(config):
        value = getattr(config, field.name)
        path = f"{where}.{field.name}"
        items: Iterable[tuple[str, Any]] = [(path, value)]
        if isinstance(value, tuple):
            items = [(f"{path} #{number}", item) for number, item in enumerate(value, start=1)]
        for place, item in items:
            if is_dataclass(item):
                yield from _settings(item, place)
            else:
                yield place, field.name, item


def _check_chain(config: NetworkConfig) -> None:
    """Check names and number of nodes and edges."""
    if not 1 <= len(config.nodes) <= MAX_NODES:
        raise ConfigurationError(
            f"a network has 1 to {MAX_NODES} nodes", f"this one has {len(config.nodes)}", "take as many as that"
        )
    reserved = {READOUT, *dir(nn.ModuleDict())}
    for node in config.nodes:
        if not _NODE_NAME.fullmatch(node.name) or node.name in reserved:
            raise ConfigurationError(
                "a node's name is a letter, then up to 63 letters, digits and underscores, and none of torch's own",
                f"found {node.name[:80]!r}",
                "name it as 'conv1'",
            )
        cell = node.cell
        past = isinstance(cell, ReciprocalGatedConfig) and any(path.startswith("residual") for path in cell.paths)
        if node.stride > 1 and (node.block or past):
            raise ConfigurationError(
                "what passes a node's convolution by has the size of its map",
                f"'{node.name}' has stride {node.stride}, and a {'shortcut' if node.block else 'residual path'}",
                "take stride 1 and pool, or leave that out",
            )
    for what, items in (("node", [node.name for node in config.nodes]), ("feedback edge", config.feedback)):
        twice = [item for item, count in Counter(items).items() if count > 1]
        if twice:
            raise ConfigurationError(f"every {what} is there once", f"{twice[0]} is there twice", "leave one out")


def _check_activations(config: NetworkConfig) -> None:
    """Check what the schema knows as text alone, and scales that are no scales."""
    for path, name, value in _settings(config, "network"):
        is_choice = path.split(".")[-2].startswith("nodes #")  # a node's own says where its ELU is
        if name.endswith("activation") and not is_choice and value not in ACTIVATIONS:
            raise UnknownNameError(f"activation ({path})", value, ACTIVATIONS)
        if name == "init_scale" and value is not None and not 0 < value <= 1_000:
            raise ConfigurationError(
                "the scale of initial kernels is above 0 and at most 1,000", f"{path} is {value}", "choose another"
            )
