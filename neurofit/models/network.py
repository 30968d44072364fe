"""Convolutional recurrent networks: a chain of nodes with long-range feedback, read out by a last one."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.models.bptt import WHOLE, Backward
from neurofit.models.decoders import LAST_STEP, Decoder, DecoderConfig, build_decoder
from neurofit.models.feedback import Edge
from neurofit.models.layers import initialise
from neurofit.models.nodes import Node, NodeConfig
from neurofit.models.readout import Readout, ReadoutKind
from neurofit.models.unroll import Keep, Shape, SteppedNode, Wiring, output_of, state_of, unroll

READOUT = "logits"


@dataclass(frozen=True)
class NetworkConfig:
    """A network: its nodes in order, then the readout.

    Parameters
    ----------
    nodes : tuple of NodeConfig
    input_px : int
        Side of the input images.
    classes : int
        Outputs of the readout; 1,000 in the released networks.
    readout : str
        See `neurofit.models.readout.Readout`.
    feedback : tuple of (source, target)
        Long-range feedback, from any node to one that is not after it.
    unroll : str
        'biological': one layer per step. 'deep': a full forward sweep per step.
    decoder : DecoderConfig
        How the scores over time become one answer.

    Raises
    ------
    UnknownNameError, ConfigurationError
        If a feedback edge names no node, or leads forward.
    """

    nodes: tuple[NodeConfig, ...]
    input_px: int
    classes: int = 1000
    readout: ReadoutKind = "conv"
    feedback: tuple[Edge, ...] = ()
    unroll: Literal["biological", "deep"] = "biological"
    decoder: DecoderConfig = LAST_STEP

    def __post_init__(self) -> None:
        names = [node.name for node in self.nodes]
        for edge in self.feedback:
            for end in edge:
                if end not in names:
                    raise UnknownNameError("node at the end of a feedback edge", end, names)
            if names.index(edge[0]) < names.index(edge[1]):
                raise ConfigurationError(
                    "feedback leads to a node that is not after its source", f"{edge[0]} to {edge[1]}", "turn it round"
                )

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, in order; the last is the readout."""
        return (*(node.name for node in self.nodes), READOUT)

    def wiring(self) -> Wiring:
        """Return how the nodes are connected; feedback of several sources in the order of the network."""
        sources = {
            target: tuple(name for name in self.layers if (name, target) in self.feedback)
            for target in self.layers
            if any(edge[1] == target for edge in self.feedback)
        }
        return Wiring(sources, delay=1 if self.unroll == "biological" else 0)

    def first_steps(self) -> dict[str, int]:
        """Return the first step at which each layer has seen the first frame.

        The authors' table of first features is one step later throughout, and drops the first that is valid.
        """
        return {name: i * self.wiring().delay for i, name in enumerate(self.layers)}

    def decoded_steps(self, steps: int) -> range:
        """Return the steps that a decoder sees of an unroll.

        As in the authors' code from 6 (shallow) or 11 (intermediate), one after the first valid one, to the last
        (models/model_func.py); in a shorter unroll the last step alone.
        """
        return range(min(len(self.layers) * self.wiring().delay, steps - 1), steps)


class ConvRNN(nn.Module):
    """A convolutional recurrent network.

    Parameters
    ----------
    config : NetworkConfig
    seed : int or None
        Of the initial weights (see the configurations for their distributions; neuroailab/convrnns @ b76a44d,
        models/*.json). None leaves all parameters at zero, for weights that are loaded next.
    """

    def __init__(self, config: NetworkConfig, seed: int | None = 0) -> None:
        super().__init__()
        self.config = config
        with torch.device("meta"):  # PyTorch's own initial weights cost time, and draw from the global generator
            self.nodes = build_nodes(config)
            self.decoder: Decoder = build_decoder(config.decoder, config.classes)
        self.to_empty(device="cpu")
        self._initialise(seed)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of all layers, in order; the last is the readout."""
        return self.config.layers

    def forward(
        self,
        frames: Sequence[Tensor],
        layers: Collection[str] | None = None,
        steps: Collection[int] | None = None,
        backward: Backward = WHOLE,
    ) -> Mapping[str, Tensor]:
        """Show a sequence of frames and return activations over time.

        Parameters
        ----------
        frames : sequence of T tensors (B, 3, H, W)
            Frame t is what conv1 sees at step t. Repeating the same tensor object tells that nothing changed; a frame
            that is expanded over the batch is one for all images.
        layers : collection of str, optional
            Layers to return; all by default.
        steps : collection of int, optional
            Steps to return, in ascending order; all T by default.
        backward : Backward
            How gradients go back through time, see `neurofit.models.bptt`; what is returned is the same.

        Returns
        -------
        mapping from layer to tensor (B, steps, ...)

        Raises
        ------
        UnknownNameError
            If a layer is not in the network.
        ConfigurationError
            If a step is asked for that no frame is shown at.
        """
        return self._unrolled(frames, layers, steps, output_of, backward)

    def states(
        self, frames: Sequence[Tensor], layers: Collection[str] | None = None, steps: Collection[int] | None = None
    ) -> Mapping[str, Tensor]:
        """Return recurrent states instead of outputs, otherwise as `forward`; (c, h) concatenated along the channels.

        A layer without a cell has the state of one with decay 0: its convolution's output.
        """
        return self._unrolled(frames, layers, steps, state_of)

    def decide(self, frames: Sequence[Tensor], backward: Backward = WHOLE) -> Tensor:
        """Return the class scores (B, classes) that the network's decoder makes of its readout over time.

        Parameters
        ----------
        frames, backward
            See `forward`.
        """
        steps = self.decoder.steps(self.config.decoded_steps(len(frames)))
        return self.decoder(self.forward(frames, [READOUT], steps, backward)[READOUT])

    def _unrolled(
        self,
        frames: Sequence[Tensor],
        layers: Collection[str] | None,
        steps: Collection[int] | None,
        keep: Keep,
        backward: Backward = WHOLE,
    ) -> Mapping[str, Tensor]:
        asked = self.layers if layers is None else tuple(layers)
        for layer in asked:
            if layer not in self.nodes:
                raise UnknownNameError("layer", layer, self.layers)
        wanted = range(len(frames)) if steps is None else sorted(steps)
        if not wanted or not 0 <= wanted[0] <= wanted[-1] < len(frames):
            raise ConfigurationError(
                "steps that are asked for are among the frames", f"{list(wanted)} of {len(frames)}", "show more frames"
            )
        nodes = cast(Mapping[str, SteppedNode], self.nodes)
        return unroll(nodes, frames, asked, wanted, self.config.wiring(), keep, backward)

    def _initialise(self, seed: int | None) -> None:
        generator = torch.Generator().manual_seed(seed or 0)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.zero_()
            for module in self.modules():
                if seed is not None or has_buffers(module):
                    initialise(module, generator)


def has_buffers(module: nn.Module) -> bool:
    """Return whether a module has buffers of its own."""
    return next(module.buffers(recurse=False), None) is not None


def build_nodes(config: NetworkConfig) -> nn.ModuleDict:
    """Return the nodes of a network, the readout last."""
    nodes = nn.ModuleDict()
    feedback = config.wiring().feedback
    widths = {node.name: node.out_channels for node in config.nodes}
    channels, size = 3, config.input_px
    for node in config.nodes:
        nodes[node.name] = Node(channels, node, size, [widths[source] for source in feedback.get(node.name, ())])
        channels, size = widths[node.name], node.sizes(size)[1]
    nodes[READOUT] = Readout(channels, config.classes, config.readout, size)
    return nodes


def layer_shapes(config: NetworkConfig) -> dict[str, Shape]:
    """Return the shape (C, H, W) or (classes,) of every layer's output, without building the network's weights."""
    with torch.device("meta"):
        nodes = cast(Mapping[str, SteppedNode], build_nodes(config))
    shape: Shape = (3, config.input_px, config.input_px)
    return {name: (shape := node.output_shape(shape)) for name, node in nodes.items()}


__all__ = ["READOUT", "ConvRNN", "NetworkConfig", "NodeConfig", "build_nodes", "layer_shapes"]
