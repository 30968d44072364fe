"""Recurrent networks that are called once per step with the state that they returned at the step before."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from torch import Tensor, nn

from neurofit.errors import ModelContractError, listed


class RepeatedNetwork(nn.Module):
    """Calls a network step by step, and keeps the contract of `neurofit.check_model`.

    Parameters
    ----------
    network : torch.nn.Module
        Called as ``outputs, state = network(frame, state)`` with a frame (B, 3, H, W) and whatever state it returned at
        the step before, None at the first. `outputs` maps each layer to its activations (B, ...) at this step, of the
        same shape at every step: zeros where nothing has arrived yet.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Sequence[Tensor], layers: Collection[str]) -> dict[str, Tensor]:
        """Return {layer: (B, T, ...)} for T frames (B, 3, H, W).

        Raises
        ------
        ModelContractError
            If a step returns something else than outputs and state, or a layer is missing or changes its shape.
        """
        state: object = None
        course: dict[str, Tensor] = {}
        for t, frame in enumerate(frames):
            outputs, state = self._step(t, frame, state)
            for layer in layers:
                value = self._output(t, outputs, layer, course)
                if layer not in course:
                    course[layer] = value.new_empty(len(value), len(frames), *value.shape[1:])
                course[layer][:, t] = value  # a copy: the network may go on to change its state in place
        return course

    def _step(self, t: int, frame: Tensor, state: object) -> tuple[Mapping[str, object], object]:
        answer = self.network(frame, state)
        if not isinstance(answer, tuple) or len(answer) != 2 or not isinstance(answer[0], Mapping):
            raise ModelContractError(
                "a network that is called step by step returns outputs and state",
                f"{type(self.network).__name__} returned {type(answer).__name__} at step {t}",
                "return ({'layer': tensor (batch, ...)}, state)",
            )
        return answer

    def _output(self, t: int, outputs: Mapping[str, object], layer: str, course: Mapping[str, Tensor]) -> Tensor:
        value = outputs.get(layer)
        if not isinstance(value, Tensor) or value.ndim < 1:
            found = type(value).__name__ if layer in outputs else f"only {listed(outputs) or 'nothing'}"
            raise ModelContractError(
                "every step returns a tensor (batch, ...) for each layer",
                f"step {t} returned {found} for '{layer}'",
                "return zeros where nothing has arrived yet",
            )
        if layer in course and value.shape != (before := course[layer][:, 0]).shape:
            raise ModelContractError(
                "a layer has the same shape at every step",
                f"'{layer}' is {tuple(value.shape)} at step {t} and was {tuple(before.shape)}",
                "return zeros of the full shape where nothing has arrived yet",
            )
        return value
