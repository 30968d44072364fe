"""Optimisers, and what is done to gradients, as a recipe says."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from neurofit.training.recipe import Optimiser

CELL = "cell"
"""What the part of a node that remembers is called in the names of its parameters."""


def build_optimiser(network: nn.Module, settings: Optimiser) -> torch.optim.Optimizer:
    """Return the optimiser of a network's trained parameters.

    Parameters
    ----------
    network : torch.nn.Module
    settings : Optimiser

    Returns
    -------
    torch.optim.Optimizer
        Kernels, kernels of cells, and vectors (biases, gains, decays) in separate groups.
    """
    kernels: list[nn.Parameter] = []
    of_cells: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            group = vectors if parameter.ndim <= 1 else of_cells if CELL in name.split(".") else kernels
            group.append(parameter)
    decay = settings.weight_decay
    cell_decay = decay if settings.cell_weight_decay is None else settings.cell_weight_decay
    groups = [
        {"params": parameters, "weight_decay": weight_decay}
        for parameters, weight_decay in ((kernels, decay), (of_cells, cell_decay), (vectors, 0.0))
        if parameters
    ]
    if settings.kind == "adamw":
        return torch.optim.AdamW(groups, lr=settings.learning_rate)
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=settings.momentum, nesterov=settings.nesterov)


def set_learning_rate(optimiser: torch.optim.Optimizer, learning_rate: float) -> None:
    """Give all parameters a learning rate."""
    for group in optimiser.param_groups:
        group["lr"] = learning_rate


def trained(network: nn.Module) -> Iterator[Tensor]:
    """Yield the parameters that are trained."""
    return (parameter for parameter in network.parameters() if parameter.requires_grad)
