"""What a network costs: units, and multiply-accumulates while it is shown an image.

Multiply-accumulates (MACs) are those of convolutions and matrix products, counted by PyTorch's table as they are run
(`torch.utils.flop_counter`: two operations each); element-wise work, pooling and normalisation are not counted. They
are what one more image costs: the count for two images less that for one. So what a network runs once for all images,
such as its response to the blank before and after them (`models/unroll.py`), is no image's cost; a network that runs
every step anew pays for every step, and one that keeps what does not change, as ours do, for each change. The
feed-forward networks here thus cost one static pass, however long the image is on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from neurofit.models.cells import Drive, Kernels, State, TimeDecay
from neurofit.models.network import READOUT, NetworkConfig, build_nodes, layer_shapes
from neurofit.models.presentation import NEURAL, Presentation
from neurofit.models.unroll import Shape, SteppedNode, unroll
from neurofit.models.zoo import zoo_entry

Activations = Mapping[str, Tensor]


@dataclass(frozen=True)
class Cost:
    """What a network costs.

    Parameters
    ----------
    network_units : int
        Values in the outputs of all layers at one step; recurrent states besides the output are not counted.
    macs : int
        Multiply-accumulates for one more image over a whole presentation, all layers computed.
    macs_steps : int
        Steps of that presentation.
    macs_on : int
        Steps for which the image is on.
    """

    network_units: int
    macs: int
    macs_steps: int
    macs_on: int


def count_macs(run: Callable[[], object]) -> int:
    """Return the multiply-accumulates of what a function runs in torch."""
    # in inference mode composite operations, such as a convolution with its bias, would arrive whole
    with torch.inference_mode(False), torch.no_grad(), _Counting() as counter:
        run()
    return counter.operations // 2


class _Counting(TorchDispatchMode):
    """Adds up what PyTorch's own table says of each operation; its FlopCounterMode is ten times slower.

    That one also takes composite operations apart, which are none by the time that they arrive here.
    """

    operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        counted = flop_registry.get(func._overloadpacket)
        if counted is not None:
            self.operations += counted(*args, **(kwargs or {}), out_val=out)
        return out


def network_cost(
    network: Callable[[Sequence[Tensor], Collection[str]], Activations],
    frames_of: Callable[[int], Sequence[Tensor]],
    layers: Collection[str],
    on: int,
) -> Cost:
    """Return the cost of any network that keeps the contract of `check_model`, by running it on three images.

    Parameters
    ----------
    network : callable
        From T frames (B, 3, H, W) and layers to {layer: tensor (B, T, ...)}.
    frames_of : callable
        From a number of images to the frames that they are shown by.
    layers : collection of str
    on : int
        Steps for which the image is on.
    """
    one, two = frames_of(1), frames_of(2)
    outputs: dict[str, Tensor] = {}
    single = count_macs(lambda: outputs.update(network(one, layers)))
    units = sum(math.prod(outputs[layer].shape[2:]) for layer in layers)
    return Cost(units, count_macs(lambda: network(two, layers)) - single, len(one), on)


def configured_cost(
    config: NetworkConfig,
    presentation: Presentation,
    layers: Collection[str] | None = None,
    steps: Collection[int] | None = None,
) -> Cost:
    """Return the cost of one of our networks; nothing is computed, and no weights are made.

    Parameters
    ----------
    config : NetworkConfig
    presentation : Presentation
    layers : collection of str, optional
        What is asked for: all layers by default.
    steps : collection of int, optional
        At which steps; all by default.
    """
    asked = config.layers if layers is None else layers
    wanted = range(presentation.steps) if steps is None else sorted(steps)
    nodes = {name: _Counted(cast(SteppedNode, node)) for name, node in _without_weights(config).items()}
    totals = []
    for images in (1, 2):
        frames = presentation.frames(torch.empty(images, 3, config.input_px, config.input_px, device="meta"))
        unroll(nodes, frames, asked, wanted, config.wiring())
        totals.append(sum(node.macs for node in nodes.values()))
    macs = totals[1] - 2 * totals[0]  # the second total has the first run in it
    units = sum(math.prod(shape) for shape in layer_shapes(config).values())
    on = presentation.steps if presentation.on is None else presentation.on
    return Cost(units, macs, presentation.steps, on)


def describe_zoo_cost(name: str) -> dict[str, int]:
    """Return the cost of a network of the zoo in the comparison with recordings, for a record; empty for the pixels."""
    config = zoo_entry(name).network
    return {} if config is None else asdict(configured_cost(config, NEURAL))


def deciding_cost(config: NetworkConfig, presentation: Presentation) -> Cost:
    """Return the cost of an answer: the readout at the steps that the network's decoder may look at."""
    return configured_cost(config, presentation, [READOUT], config.decoded_steps(presentation.steps))


class _Counted:
    """A node without weights that is run once for every combination of shapes, and counts how often it is asked.

    Parameters
    ----------
    node : SteppedNode
    """

    def __init__(self, node: SteppedNode) -> None:
        self.node, self.macs = node, 0
        self._seen: dict[object, tuple[Any, int]] = {}

    def stateful(self) -> bool:
        return self.node.stateful()

    def kernels(self) -> Kernels:
        return self.node.kernels()

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.node.output_shape(input_shape)

    def drive(self, node_input: Tensor, feedback: Sequence[Tensor] = (), kernels: Kernels = None) -> Drive:
        key = ("drive", tuple(each.shape for each in (node_input, *feedback)))
        return self._once(key, lambda: self.node.drive(node_input, feedback, kernels))

    def step(self, drive: Drive, state: State | None) -> tuple[Tensor, State]:
        # a drive is one of those that are kept here, so that its identity says what it is
        key = ("step", id(drive), None if state is None else tuple(part.shape for part in state))
        output, new = self._once(key, lambda: self.node.step(drive, state))
        return output.detach(), new  # every step's output is another tensor, as the unroll has to see

    def _once(self, key: object, run: Callable[[], Any]) -> Any:
        if key not in self._seen:
            found: list[Any] = []
            macs = count_macs(lambda: found.append(run()))
            self._seen[key] = found[0], macs
        result, macs = self._seen[key]
        self.macs += macs
        return result


def _without_weights(config: NetworkConfig) -> nn.ModuleDict:
    """Return a network's nodes, their parameters without values but for decays that stay at 0."""
    with torch.device("meta"):
        nodes = build_nodes(config)
    for module in nodes.modules():
        if isinstance(module, TimeDecay) and not module.memory_decay.requires_grad:
            # whether a decay is 0 decides what runs at all
            zero = torch.zeros(())  # a scalar mixes with tensors of any device
            fixed = isinstance(module.memory_decay, nn.Parameter)
            module.memory_decay = nn.Parameter(zero, requires_grad=False) if fixed else zero
    return nodes
