"""The steady response of a feed-forward network of the zoo: what each layer returns while one image stays on.

Without memory and feedback a layer's output depends on its input alone, so that the unroll repeats it from the layer's
first step on; it is what a plain pass from layer to layer returns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

from torch import Tensor, nn

from neurofit.errors import listed
from neurofit.models.network import READOUT, ConvRNN
from neurofit.models.pixels import Pixels
from neurofit.models.unroll import SteppedNode


class SteadyResponse(nn.Module):
    """Reads the steady response; a `neurofit.models.static.Reader`.

    Parameters
    ----------
    network : ConvRNN or Pixels
        Without dynamics of its own; see `own_dynamics`.
    """

    def __init__(self, network: ConvRNN | Pixels) -> None:
        super().__init__()
        self.network = network
        self.first_steps = network.config.first_steps() if isinstance(network, ConvRNN) else {"pixels": 0}
        """The first step at which the unroll of each layer has seen the first frame."""

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from input to output."""
        return tuple(self.first_steps)

    @property
    def nodes(self) -> Mapping[str, str]:
        """Where each layer is read: at the node of its name."""
        return {layer: layer for layer in self.layers}

    @property
    def stages(self) -> tuple[str, ...]:
        """The layers without the readout."""
        return tuple(layer for layer in self.layers if layer != READOUT)

    def forward(self, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Return the steady response (B, ...) of layers to images (B, 3, H, W), from input to output."""
        asked = [layer for layer in self.layers if layer in layers]
        steps = 1 + max(self.first_steps[layer] for layer in asked)
        if isinstance(self.network, Pixels):
            return dict.fromkeys(asked, images)
        shown = self.network([images] * steps, asked, [steps - 1])
        return {layer: shown[layer][:, 0] for layer in asked}


def own_dynamics(network: object) -> str | None:
    """Return what gives a network a time course that is more than its input's, in words; None where nothing does.

    A network that is neither a `ConvRNN` nor `Pixels` says itself what it does at each step: nothing is known of it.
    """
    if isinstance(network, Pixels):
        return None
    if not isinstance(network, ConvRNN):
        return "its network returns the activations of every step"
    if network.config.feedback:
        return f"it has feedback from {listed(f'{source} to {target}' for source, target in network.config.feedback)}"
    nodes = cast(Mapping[str, SteppedNode], network.nodes)
    memory = [name for name, node in nodes.items() if node.stateful()]
    return f"it has cells with memory in {listed(memory)}" if memory else None


__all__ = ["SteadyResponse", "own_dynamics"]
