"""Features at named nodes of a network that is not ours: what its submodules return while it sees an image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial

import torch
from torch import Tensor, nn

from neurofit.errors import ModelContractError, UnknownNameError, listed, nearest_names

Nodes = Mapping[str, str] | Sequence[str]
"""Layer name -> dotted name of the submodule, or the submodules' names alone, which then name the layers too."""


class NodeFeatures(nn.Module):
    """Reads what submodules of a network return.

    Hooks are on the network only while it runs, and are taken off however that ends. A feature is a copy, so that what
    follows it in place (a ReLU, say) does not change it. After a node has been seen to be reached once in a call, the
    network is left as soon as the last node that was asked for is reached.

    Parameters
    ----------
    network : torch.nn.Module
        Called with one tensor of images (B, 3, H, W); what it returns is ignored.
    nodes : mapping from layer to str, or sequence of str
        Dotted names as in ``network.named_modules()``, from input to output.

    Raises
    ------
    UnknownNameError
        If a submodule is not the network's.
    """

    def __init__(self, network: nn.Module, nodes: Nodes) -> None:
        super().__init__()
        self.network = network
        self.nodes = dict(nodes) if isinstance(nodes, Mapping) else {name: name for name in nodes}
        submodules = {name: part for name, part in network.named_modules(remove_duplicate=False) if name}
        for node in self.nodes.values():
            if node not in submodules:
                # hundreds of names help nobody: the nearest, or those at the top
                known = nearest_names(node, list(submodules)) or [name for name in submodules if "." not in name]
                raise UnknownNameError(f"submodule of {type(network).__name__}", node, known)
        self._proven: set[str] = set()

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, from input to output."""
        return tuple(self.nodes)

    def forward(self, images: Tensor, layers: Collection[str]) -> dict[str, Tensor]:
        """Return features of images.

        Parameters
        ----------
        images : tensor (B, 3, H, W)
        layers : collection of str

        Returns
        -------
        dict from layer to tensor (B, ...)
            In the order in which the nodes were reached.

        Raises
        ------
        UnknownNameError
            If a layer is not among the nodes.
        ModelContractError
            If a node is not reached, is reached more than once, or returns something else than one tensor whose first
            axis is the images.
        """
        for layer in layers:
            if layer not in self.nodes:
                raise UnknownNameError("layer", layer, self.nodes)
        taken: dict[str, object] = {}
        calls: Counter[str] = Counter()
        leave = set(layers) <= self._proven
        with ExitStack() as hooks:
            for layer in dict.fromkeys(layers):
                hook = partial(_take, layer, taken, calls, len(set(layers)) if leave else None)
                hooks.enter_context(self.network.get_submodule(self.nodes[layer]).register_forward_hook(hook))
            with suppress(_AllReached):
                self.network(images)
        features = {layer: self._checked(layer, value, calls[layer], len(images)) for layer, value in taken.items()}
        missing = [layer for layer in layers if layer not in features]
        if missing:
            raise ModelContractError(
                "a node is reached when the network sees an image",
                f"{type(self.network).__name__} never calls {self._named(missing)}",
                "name a submodule that the network calls itself",
            )
        self._proven |= set(layers)
        return features

    def _checked(self, layer: str, value: object, calls: int, batch: int) -> Tensor:
        if calls > 1:
            raise ModelContractError(
                "a node is reached once in a call, so that its features are of one moment",
                f"{self._named([layer])} is reached {calls} times",
                "name the block around it, or give a recurrent network as such (RepeatedNetwork)",
            )
        if not isinstance(value, Tensor) or value.ndim < 2 or len(value) != batch:
            found = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
            raise ModelContractError(
                f"a node returns one tensor (images {batch}, ...)",
                f"{self._named([layer])} returns {found}",
                "name another submodule, or wrap it in one that returns such a tensor",
            )
        return value

    def _named(self, layers: Sequence[str]) -> str:
        return listed(f"'{self.nodes[layer]}'" for layer in layers)


class _AllReached(Exception):  # noqa: N818 - it is no error
    """Nothing that follows was asked for."""


def _take(
    layer: str,
    taken: dict[str, object],
    calls: Counter[str],
    enough: int | None,
    module: nn.Module,
    arguments: object,
    output: object,
) -> None:
    """Keep a submodule's output; leave the network when there is enough."""
    calls[layer] += 1
    taken[layer] = output.clone(memory_format=torch.contiguous_format) if isinstance(output, Tensor) else output
    if len(taken) == enough:
        raise _AllReached
