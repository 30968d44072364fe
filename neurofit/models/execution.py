"""How a network is computed: precision, memory layout, compilation. The defaults are plain float32.

What each option gains, and by how much it changes activations, is measured by `benchmarks/speed/execution.py`
(docs/speed.md): none of them pays on every machine, so none is on by default.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from neurofit.errors import ConfigurationError
from neurofit.models.network import ConvRNN

if TYPE_CHECKING:
    from collections.abc import Iterator

NetworkPrecision = Literal["float32", "bfloat16", "float16"]
#: Variants of a node's functions that are compiled at most: with and without state, one image and a batch, and so on.
VARIANTS_PER_NODE = 8


@dataclass(frozen=True)
class Execution:
    """How a network is computed.

    Parameters
    ----------
    precision : {'float32', 'bfloat16', 'float16'}
        Of convolutions and matrix products (`torch.autocast`); weights stay in float32. 'float16' needs an accelerator.
    channels_last : bool
        Keep maps with their channels next to each other in memory.
    compiled : bool
        Compile the nodes of a ConvRNN (`torch.compile`); the first batches of each size then take minutes.

    Raises
    ------
    ConfigurationError
        If there is no such precision.
    """

    precision: NetworkPrecision = "float32"
    channels_last: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.precision not in get_args(NetworkPrecision):
            raise ConfigurationError(
                f"a network computes in {', '.join(get_args(NetworkPrecision))}",
                f"precision is {self.precision!r}",
                "choose one of these",
            )

    def prepared(self, network: nn.Module, device: torch.device) -> nn.Module:
        """Return the network, in evaluation mode and on the device, ready to be run so.

        Raises
        ------
        ConfigurationError
            If the device has no such precision, or the network cannot be compiled node by node.
        """
        if self.precision == "float16" and device.type == "cpu":
            raise ConfigurationError(
                "float16 needs an accelerator", "the device is the CPU", "choose bfloat16, or another device"
            )
        network = network.to(device).eval()
        if self.channels_last:
            network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self.compiled:
            _compile_nodes(network)
        return network

    def frame(self, frame: Tensor) -> Tensor:
        """Return a frame (B, 3, H, W) in the layout."""
        return frame.contiguous(memory_format=torch.channels_last) if self.channels_last else frame

    @contextmanager
    def running(self, device: torch.device) -> Iterator[None]:
        """Run networks without gradients, in the precision."""
        with ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self.precision != "float32":
                stack.enter_context(torch.autocast(device.type, getattr(torch, self.precision)))
            yield

    def described(self) -> dict[str, object]:
        """Return what a record says of it: what differs from the defaults."""
        said: dict[str, object] = {} if self.precision == "float32" else {"network_precision": self.precision}
        return said | {name: True for name in ("channels_last", "compiled") if getattr(self, name)}


def _compile_nodes(network: nn.Module) -> None:
    """Compile drive and step of every node; the unroll itself, which decides what runs at all, stays Python."""
    if not isinstance(network, ConvRNN):
        raise ConfigurationError(
            "networks are compiled node by node",
            f"{type(network).__name__} is not made of neurofit's nodes",
            "compile your own network with torch.compile before you wrap it",
        )
    config = torch._dynamo.config
    config.recompile_limit = max(config.recompile_limit, VARIANTS_PER_NODE * len(network.nodes))
    for node in network.nodes.values():
        for name in ("drive", "step"):
            # a plain attribute: nn.Module would register nothing for it, and state_dict stays as it was
            object.__setattr__(node, name, torch.compile(getattr(node, name), dynamic=False))
