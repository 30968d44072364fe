"""Every network that can be named, in one table.

The bundled pair `rgc` and `ff` was trained by `neurofit train` on 17,000 natural images (100 classes of ImageNet at
64 px); their weights lie beside this module. The networks of `neurofit.models.released` have weights that their authors
published, which `neurofit models fetch` brings. All others start from seeded random weights, and say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import nn

from neurofit.errors import UnknownNameError
from neurofit.models.architectures import imagenet128, intermediate, intermediate_rgc, shallow
from neurofit.models.controls import INTERMEDIATE_DEEPER, INTERMEDIATE_WIDER, SHALLOW_DEEPER, SHALLOW_WIDER
from neurofit.models.gated_cells import LSTMConfig
from neurofit.models.network import READOUT, ConvRNN, NetworkConfig, layer_shapes
from neurofit.models.pixels import Pixels
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import IMAGENET_INTERMEDIATE, IMAGENET_SHALLOW, Presentation
from neurofit.models.reciprocal_gated import ReciprocalGatedConfig
from neurofit.models.released import RELEASED, WIDTHS
from neurofit.models.released_store import released_weights_path
from neurofit.models.small import SMALL_CELLS, SMALL_DEEPER, SMALL_FF, SMALL_RGC, SMALL_WIDER
from neurofit.models.unroll import Shape
from neurofit.models.weights import load_weights, weights_hash

PRETRAINED = Path(__file__).parent / "pretrained"


def _regions(v4: str, pit: str, it: str) -> dict[str, str]:
    """Return which layer is compared with which region; IT as a whole gets the last convolutional layer."""
    return {"V4": v4, "pIT": pit, "cIT": it, "aIT": it, "IT": it}


# As the released code's README assigns them (neuroailab/convrnns @ b76a44d). It names two layers a region of the
# intermediate networks: conv5 and conv6 for V4, conv7 and conv8 for pIT, conv9 and conv10 for cIT and aIT; we take the
# later of each, which ends a stage or is the last.
SHALLOW_LAYERS = _regions("conv3", "conv4", "conv5")
INTERMEDIATE_LAYERS = _regions("conv6", "conv8", "conv10")
# Both layers a region, as that README has them. Its shallow networks' conv6 is no node of theirs and is left out.
PUBLISHED_SOURCE = "README of neuroailab/convrnns @ b76a44d"
PUBLISHED_SHALLOW: Mapping[str, tuple[str, ...]] = {
    "V4": ("conv3",), "pIT": ("conv4",), "cIT": ("conv5",), "aIT": ("conv5",)
}  # fmt: skip
PUBLISHED_INTERMEDIATE: Mapping[str, tuple[str, ...]] = {
    "V4": ("conv5", "conv6"), "pIT": ("conv7", "conv8"), "cIT": ("conv9", "conv10"), "aIT": ("conv9", "conv10")
}  # fmt: skip


@dataclass(frozen=True)
class ZooEntry:
    """A network that can be named.

    Parameters
    ----------
    summary : str
        One line for tables.
    network : NetworkConfig or None
        None is the pixel baseline.
    preprocessing : Preprocessing
    region_layers : mapping from region to layer
        Which layer is compared with which region where the user names none.
    published_layers : mapping from region to tuple of layers
        All that its authors compare with a region (`PUBLISHED_SOURCE`); empty for other networks.
    presentation : Presentation or None
        With which it was trained, or would be, and is read out by the network's decoder.
    weights : str or None
        File in the package.
    released : str or None
        Name of the released network whose published weights it has, once fetched. Neither is seeded random weights.
    top1, top5 : float or None
        Published ImageNet validation accuracy in percent.
    step_ms : int
        10 in the papers.
    licence : str
        Of the weights.
    """

    summary: str
    network: NetworkConfig | None
    preprocessing: Preprocessing
    region_layers: Mapping[str, str] = field(default_factory=lambda: SHALLOW_LAYERS)
    presentation: Presentation | None = None
    weights: str | None = None
    released: str | None = None
    top1: float | None = None
    top5: float | None = None
    step_ms: int = 10
    licence: str = "BSD-3-Clause"
    published_layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def decoder(self) -> str | None:
        """Kind of the network's decoder."""
        return None if self.network is None else self.network.decoder.kind

    def first_steps(self) -> dict[str, int]:
        """Return the first step at which each layer has seen the first frame."""
        return {"pixels": 0} if self.network is None else self.network.first_steps()

    def layer_shapes(self) -> dict[str, Shape]:
        """Return the shape of each layer's output, (C, H, W) or (classes,); no weights are made."""
        size = self.preprocessing.size_px
        return {"pixels": (3, size, size)} if self.network is None else layer_shapes(self.network)


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
        SMALL_DEEPER, AT_64, _regions("conv6", "conv10", "conv19"), Presentation(24),
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
        shallow(None, SHALLOW_DEEPER), AT_224, _regions("conv7", "conv11", "conv19"), Presentation(30, on=12),
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
        intermediate_rgc(None, stages=INTERMEDIATE_DEEPER), AT_224, _regions("conv11", "conv15", "conv20"),
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


def zoo_entry(name: str) -> ZooEntry:
    """Return the entry of that name.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    """
    if name not in ZOO:
        raise UnknownNameError("model", name, ZOO)
    return ZOO[name]


def load_model(name: str, seed: int = 0, random_weights: bool = False) -> LoadedModel:
    """Build a network of the zoo and fill its weights.

    Parameters
    ----------
    name : str
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
    """
    entry = zoo_entry(name)
    if entry.network is None:
        return LoadedModel(name, entry, Pixels(), ("pixels",), {"weights": "none"})
    path = None if random_weights else _weights_path(entry)
    if path is None:
        network = ConvRNN(entry.network, seed)
        details: dict[str, object] = {"weights": f"random, seed {seed}"}
    else:
        network = ConvRNN(entry.network, None)
        details = {"weights": entry.weights or f"released: {entry.released}", **load_weights(network, path)}
    return LoadedModel(name, entry, network, network.layers, details | {"weights_sha256": weights_hash(network)})


def _weights_path(entry: ZooEntry) -> Path | None:
    """Return the file of a network's weights; None where it has none."""
    if entry.released is not None:
        return released_weights_path(entry.released)
    return None if entry.weights is None else PRETRAINED / entry.weights


__all__ = ["READOUT", "ZOO", "LoadedModel", "ZooEntry", "load_model", "zoo_entry"]
