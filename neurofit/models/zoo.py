"""Every network that can be named, in one table.

The bundled pair `rgc` and `ff` was trained by `neurofit train` on 17,000 natural images (100 classes of ImageNet at
64 px); their weights lie beside this module. The networks of `neurofit.models.released` have weights that their authors
published, which `neurofit models fetch` brings. Those called `..._matched` were trained alike by the recipe of that
name. All others start from seeded random weights, and say so. A network that is not in the table is named by its file
(`neurofit.models.architecture_file`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from neurofit.errors import UnknownNameError
from neurofit.models.architecture_file import architecture_hash, names_file, read_architecture
from neurofit.models.architectures import imagenet128, intermediate, intermediate_rgc, shallow
from neurofit.models.controls import INTERMEDIATE_DEEPER, INTERMEDIATE_WIDER, SHALLOW_DEEPER, SHALLOW_WIDER
from neurofit.models.entry import (
    INTERMEDIATE_LAYERS,
    PUBLISHED_INTERMEDIATE,
    PUBLISHED_SHALLOW,
    PUBLISHED_SOURCE,
    SHALLOW_LAYERS,
    ZooEntry,
    layers_by_region,
)
from neurofit.models.gated_cells import LSTMConfig
from neurofit.models.network import READOUT, ConvRNN
from neurofit.models.pixels import Pixels
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import IMAGENET_INTERMEDIATE, IMAGENET_SHALLOW, Presentation
from neurofit.models.reciprocal_gated import ReciprocalGatedConfig
from neurofit.models.released import RELEASED, WIDTHS
from neurofit.models.released_store import released_weights_path
from neurofit.models.small import (
    SMALL_CELLS,
    SMALL_DEEPER,
    SMALL_FF,
    SMALL_RGC,
    SMALL_RGC_FEEDBACK,
    SMALL_WIDER,
)
from neurofit.models.weights import load_weights, weights_hash

PRETRAINED = Path(__file__).parent / "pretrained"


@dataclass(frozen=True)
class LoadedModel:
    """A network with its weights, ready to be wrapped.

    Parameters
    ----------
    name : str
    entry : ZooEntry
    network : torch.nn.Module
    layers : tuple of str
    details : mapping
        What a record says of it: weights, their hash, accuracy, seed.
    """

    name: str
    entry: ZooEntry
    network: nn.Module
    layers: tuple[str, ...]
    details: Mapping[str, object]


AT_32, AT_64, AT_128, AT_224 = Preprocessing(32), Preprocessing(64), Preprocessing(128), Preprocessing(224)
PIXEL_LAYERS = dict.fromkeys(SHALLOW_LAYERS, "pixels")

T10, T12, T16, T17 = Presentation(10), Presentation(12), IMAGENET_SHALLOW, IMAGENET_INTERMEDIATE


def _released(name: str) -> ZooEntry:
    """Return the entry of a released network."""
    model = RELEASED[name]
    cell, depth, *rest = name.split("_")
    return ZooEntry(
        " ".join(["released:", depth, "network with", cell, "cells", *rest]),
        model.network, AT_224, SHALLOW_LAYERS if depth == "shallow" else INTERMEDIATE_LAYERS, model.presentation,
        released=name, top1=model.top1, top5=model.top5, licence="MIT",
        published_layers=PUBLISHED_SHALLOW if depth == "shallow" else PUBLISHED_INTERMEDIATE,
    )  # fmt: skip


ZOO: dict[str, ZooEntry] = {
    "rgc": ZooEntry(
        "reciprocal gated cells in conv3-5, 64 px, trained on 100 classes of natural images",
        SMALL_RGC, AT_64, presentation=T10, weights="rgc.safetensors",
    ),
    "ff": ZooEntry(
        "feed-forward control of rgc: the same stages without cells, trained alike",
        SMALL_FF, AT_64, presentation=T10, weights="ff.safetensors",
    ),
    "rgc_untrained": ZooEntry("rgc with seeded random weights", SMALL_RGC, AT_64, presentation=T10),
    "rgc_feedback_untrained": ZooEntry(
        "rgc with long-range feedback 5-3, 4-3 and 5-4; random weights", SMALL_RGC_FEEDBACK, AT_64, presentation=T10
    ),
    "ff_untrained": ZooEntry("ff with seeded random weights", SMALL_FF, AT_64, presentation=T10),
    **{
        f"{cell}_untrained": ZooEntry(f"rgc with {cell} cells; random weights", config, AT_64, presentation=T10)
        for cell, config in SMALL_CELLS.items()
    },
    "ff_wider_untrained": ZooEntry(
        "ff, wider to as many parameters as rgc; random weights", SMALL_WIDER, AT_64, presentation=T10
    ),
    "ff_deeper_untrained": ZooEntry(
        "ff, deeper to as many parameters as rgc; random weights",
        SMALL_DEEPER, AT_64, layers_by_region("conv6", "conv10", "conv19"), Presentation(24),
    ),
    **{name: _released(name) for name in RELEASED},
    "ff_shallow": ZooEntry(
        "feed-forward version of rgc_shallow; random weights", shallow(), AT_224, presentation=T16
    ),
    "ff_shallow_wider": ZooEntry(
        "ff_shallow, wider to as many parameters as rgc_shallow; random weights",
        shallow(None, SHALLOW_WIDER), AT_224, presentation=T16,
    ),
    "ff_shallow_deeper": ZooEntry(
        "ff_shallow, deeper to as many parameters as rgc_shallow; random weights",
        shallow(None, SHALLOW_DEEPER), AT_224, layers_by_region("conv7", "conv11", "conv19"), Presentation(30, on=12),
    ),
    "ff_intermediate": ZooEntry(
        "feed-forward version of the intermediate residual networks; random weights",
        intermediate(), AT_224, INTERMEDIATE_LAYERS, T17,
    ),
    "ff_intermediate_wider": ZooEntry(
        "feed-forward part of rgc_intermediate, wider to as many parameters; random weights",
        intermediate_rgc(None, stages=INTERMEDIATE_WIDER), AT_224, INTERMEDIATE_LAYERS, T17,
    ),
    "ff_intermediate_deeper": ZooEntry(
        "feed-forward part of rgc_intermediate, deeper to as many parameters; random weights",
        intermediate_rgc(None, stages=INTERMEDIATE_DEEPER), AT_224, layers_by_region("conv11", "conv15", "conv20"),
        Presentation(27, on=12),
    ),
    "rgc_intermediate_t12": ZooEntry(
        "rgc_intermediate minimally unrolled, 12 steps; random weights",
        intermediate_rgc(), AT_224, INTERMEDIATE_LAYERS, T12,
    ),
    "rgc_shallow_128": ZooEntry(
        "example of 2018 with reciprocal gated cells, 128 px, batch norm; random weights",
        imagenet128([ReciprocalGatedConfig(n, paths=("input_to_cell",), init_scale=None) for n in WIDTHS]), AT_128,
    ),
    "lstm_shallow_128": ZooEntry(
        "example of 2018 with LSTM cells, 128 px, batch norm; random weights",
        imagenet128([LSTMConfig(n) for n in WIDTHS]), AT_128,
    ),
    "ff_shallow_128": ZooEntry(
        "feed-forward version of the examples of 2018, 128 px, batch norm; random weights", imagenet128(), AT_128
    ),
    "pixels": ZooEntry("the image itself at 32 px, while it is shown", None, AT_32, PIXEL_LAYERS),
}  # fmt: skip


# Trained alike by the recipe 'matched', each from the network of the same name without weights.
MATCHED = (
    "ff", "ff_wider", "ff_deeper", "timedecay", "simplernn", "gru", "lstm", "ugrnn", "intersectionrnn", "rgc",
    "rgc_feedback",
)  # fmt: skip
_WITHOUT_WEIGHTS = re.compile(r" with seeded random weights|; random weights")


def _matched(name: str) -> ZooEntry:
    """Return the entry of a network trained by the recipe 'matched'."""
    untrained = ZOO[f"{name}_untrained"]
    summary = _WITHOUT_WEIGHTS.sub("", untrained.summary) + "; trained by the recipe matched"
    return replace(untrained, summary=summary, weights=f"{name}_matched.safetensors")


ZOO |= {f"{name}_matched": _matched(name) for name in MATCHED}


def zoo_entry(name: str) -> ZooEntry:
    """Return the entry of that name, or of that file.

    Parameters
    ----------
    name : str
        Of the table, or the path of an architecture file, which ends in '.toml' (see
        `neurofit.models.architecture_file`).

    Raises
    ------
    UnknownNameError
        With the nearest names.
    DataFileError, ConfigurationError
        If the file cannot be read, or is wrong.
    """
    if names_file(name):
        return read_architecture(name)
    if name not in ZOO:
        raise UnknownNameError("model", name, ZOO)
    return ZOO[name]


def model_name(name: str) -> str:
    """Return what a model is called in records: the name of the table, or the file's without its folder and suffix."""
    return Path(name).stem if names_file(name) else name


def load_model(name: str, seed: int = 0, random_weights: bool = False) -> LoadedModel:
    """Build a network of the zoo, or of a file, and fill its weights.

    Parameters
    ----------
    name : str
        See `zoo_entry`.
    seed : int
        Of random weights.
    random_weights : bool
        Take random weights although the network has others.

    Raises
    ------
    UnknownNameError
        If there is no such network.
    DataFileError
        If its weights file is broken or missing, or its released weights were not fetched.
    ConfigurationError
        If a network's file is wrong.
    """
    entry = zoo_entry(name)
    details: dict[str, object] = {}
    if names_file(name):
        details = {"architecture": Path(name).name, "architecture_sha256": architecture_hash(entry)}
    if entry.network is None:
        return LoadedModel(model_name(name), entry, Pixels(), ("pixels",), details | {"weights": "none"})
    path = None if random_weights else _weights_path(name, entry)
    if path is None:
        network = ConvRNN(entry.network, seed)
        details |= {"weights": f"random, seed {seed}"}
    else:
        network = ConvRNN(entry.network, None)
        source = entry.weights or f"released: {entry.released}"
        details |= {"weights": source, **_published(entry), **load_weights(network, path)}
    details |= {"weights_sha256": weights_hash(network)}
    return LoadedModel(model_name(name), entry, network, network.layers, details)


def _published(entry: ZooEntry) -> dict[str, str]:
    """Return the accuracy that the authors of released weights published, as files of bundled weights have theirs."""
    if entry.released is None or entry.top1 is None:
        return {}
    return {"top1": f"{entry.top1 / 100:.4f}", "trained_on": f"ImageNet; accuracy as published, {PUBLISHED_SOURCE}"}


def weights_file(name: str, entry: ZooEntry) -> Path | None:
    """Return where a network's own weights are, in the package or beside its file; None where it has none."""
    if entry.weights is None:
        return None
    return (Path(name).parent if names_file(name) else PRETRAINED) / entry.weights


def _weights_path(name: str, entry: ZooEntry) -> Path | None:
    """Return the file of a network's weights; None where it has none."""
    return weights_file(name, entry) if entry.released is None else released_weights_path(entry.released)


__all__ = [
    "INTERMEDIATE_LAYERS", "MATCHED", "PRETRAINED", "PUBLISHED_SOURCE", "READOUT", "SHALLOW_LAYERS", "ZOO",
    "LoadedModel", "ZooEntry", "load_model", "model_name", "weights_file", "zoo_entry",
]  # fmt: skip
