"""What a network returned: whether it is what was promised, and as arrays."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import torch
from torch import Tensor

from neurofit.errors import ModelContractError, listed


def unit_arrays(outputs: Mapping[str, Tensor], layers: Collection[str]) -> dict[str, np.ndarray]:
    """Return activations as arrays (B, T, units), float32.

    Steps that are one (a tensor expanded over them) stay one: T times the same memory, not to be written to.
    """
    arrays = {}
    for layer in layers:
        steps = _distinct_steps(outputs[layer]).flatten(2).float().cpu().numpy()
        shape = (len(steps), outputs[layer].shape[1], steps.shape[2])
        arrays[layer] = steps if steps.shape == shape else np.broadcast_to(steps, shape)
    return arrays


def _distinct_steps(activations: Tensor) -> Tensor:
    """Return activations (B, T, ...), of one step (B, 1, ...) where all steps are the same memory."""
    return activations[:, :1] if activations.stride(1) == 0 else activations


def check_outputs(outputs: object, layers: Collection[str], batch: int, steps: int, name: str) -> None:
    """Check what a network returned.

    Parameters
    ----------
    outputs : object
        Should be a mapping from layer to finite floating-point tensor (batch, steps, ...).
    layers : collection of str
        What was asked for.
    batch, steps : int
    name : str
        Of the model.

    Raises
    ------
    ModelContractError
        Naming the broken promise.
    """
    if not isinstance(outputs, Mapping):
        raise ModelContractError(
            "a network returns a mapping from layer to activations",
            f"{name} returned {type(outputs).__name__}",
            "return {'layer': tensor (batch, steps, ...)}",
        )
    for layer in layers:
        if layer not in outputs:
            raise ModelContractError(
                "a network returns every layer that it is asked for",
                f"{name} returned {listed(outputs)} without '{layer}'",
                "add it, or name the layers as the network does",
            )
        value = outputs[layer]
        fits = isinstance(value, Tensor) and value.ndim >= 3 and tuple(value.shape[:2]) == (batch, steps)
        if not fits or not value.numel():
            shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise ModelContractError(
                f"activations are tensors (batch {batch}, steps {steps}, ...)",
                f"'{layer}' of {name} is {shape}",
                "stack the steps on axis 1: torch.stack(outputs, dim=1)",
            )
        seen = _distinct_steps(value)
        if not value.is_floating_point() or not bool(torch.isfinite(seen).all()):
            raise ModelContractError(
                "activations are finite floating-point numbers",
                f"'{layer}' of {name} is {value.dtype} with {int((~torch.isfinite(seen)).sum())} values not finite",
                "check the weights and the preprocessing",
            )
