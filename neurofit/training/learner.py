"""One network on one engine: shown images, tested on images, changed by gradients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from neurofit.errors import ConfigurationError, NeurofitError
from neurofit.models.bptt import WHOLE, Backward
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.presentation import Presentation
from neurofit.training.datasets import ImageSource
from neurofit.training.engine import Engine
from neurofit.training.optimisation import build_optimiser, set_learning_rate, trained
from neurofit.training.recipe import Gradient, Recipe

TESTED_AT_ONCE = 250


class Trainable(Protocol):
    """A network that answers after a sequence of frames; `neurofit.models.network.ConvRNN` is one."""

    def decide(self, frames: list[Tensor], backward: Backward = WHOLE) -> Tensor:
        """Return class scores (B, classes) after T frames (B, 3, H, W)."""


@dataclass(frozen=True)
class Viewing:
    """What a network is shown of an image.

    Parameters
    ----------
    presentation : Presentation
    preprocessing : Preprocessing
        Normalisation and blank; its `size_px` is the size at which the network is tested.
    """

    presentation: Presentation
    preprocessing: Preprocessing

    def frames(self, images: Tensor) -> list[Tensor]:
        """Return the frames of images (B, 3, H, W) in units of 0 to 255."""
        frame = self.preprocessing.normalise(images).contiguous(memory_format=torch.channels_last)
        return self.presentation.frames(frame, self.preprocessing.blank)


class _Answer(nn.Module):
    """From images to class scores, as one module that several processes can share."""

    def __init__(self, network: nn.Module, viewing: Viewing, backward: Backward) -> None:
        super().__init__()
        self.network, self.viewing, self.backward_mode = network, viewing, backward

    def forward(self, images: Tensor) -> Tensor:
        return cast(Trainable, self.network).decide(self.viewing.frames(images), self.backward_mode)


class Learner:
    """A network that is trained.

    Parameters
    ----------
    network : torch.nn.Module
        Trained in place; see `Trainable`.
    viewing : Viewing
    recipe : Recipe
    engine : Engine
    """

    def __init__(self, network: nn.Module, viewing: Viewing, recipe: Recipe, engine: Engine) -> None:
        self.fabric = engine.start()
        self.viewing, self.recipe, self.engine = viewing, recipe, engine
        self.network = network.to(self.fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = build_optimiser(self.network, recipe.optimiser)
        self.average = (
            AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(recipe.average), use_buffers=True)
            if recipe.average
            else None
        )
        backward = Backward(recipe.gradient.truncate, engine.checkpoint)
        self.answer, self.optimiser = self.fabric.setup(_Answer(self.network, viewing, backward), optimiser)

    @property
    def tested(self) -> nn.Module:
        """The network that is tested and kept: the averaged one where the recipe averages."""
        return self.network if self.average is None else self.average.module

    def check_size(self, size_px: int) -> None:
        """Show one frame of another size than the network was made for.

        Raises
        ------
        ConfigurationError
            If the network cannot take it.
        """
        blank = torch.zeros(2, 3, size_px, size_px, device=self.fabric.device)
        self.network.eval()
        try:
            with torch.inference_mode(), self.fabric.autocast():
                cast(Trainable, self.network).decide(self.viewing.frames(blank))
        except NeurofitError:
            raise
        except Exception as error:  # the user's code may be in it
            raise ConfigurationError(
                "the frames of a recipe's phases are of sizes that the network takes",
                f"size_px {size_px} in recipe '{self.recipe.name}': {error}",
                f"choose another size; the network's own is {self.viewing.preprocessing.size_px}",
            ) from error

    def gradients(self, images: Tensor, labels: Tensor, learning_rate: float) -> tuple[Tensor, Tensor]:
        """Pass a batch forwards and back; return the loss of the batch over all processes, and the gradients' norm."""
        self.answer.train()
        set_learning_rate(self.optimiser, learning_rate)
        self.optimiser.zero_grad(set_to_none=True)
        count, processes = len(labels) * self.fabric.world_size, self.fabric.world_size
        total = torch.zeros((), device=self.fabric.device)
        parts = list(zip(images.chunk(self.engine.parts), labels.chunk(self.engine.parts), strict=True))
        for i, (shown, right) in enumerate(parts):
            with (
                self.fabric.no_backward_sync(self.answer, enabled=i + 1 < len(parts))
                if len(parts) > 1
                else nullcontext()
            ):
                scores = self.answer(self.fabric.to_device(shown)).float()
                loss = F.cross_entropy(
                    scores, self.fabric.to_device(right), reduction="sum", label_smoothing=self.recipe.label_smoothing
                )
                self.fabric.backward(loss * (processes / count))  # processes average their gradients
            total += loss.detach()
        if processes > 1:
            total = cast(Tensor, self.fabric.all_reduce(total, reduce_op="sum"))
        return total / count, self._clip(self.recipe.gradient)

    def step(self) -> None:
        """Change the weights by the gradients."""
        self.optimiser.step()
        if self.average is not None:
            self.average.update_parameters(self.network)

    def test(self, source: ImageSource) -> tuple[float, float]:
        """Return top-1 and top-5 accuracy."""
        network = self.tested
        network.eval()
        rows = torch.arange(len(source)).split(TESTED_AT_ONCE)
        hits = torch.zeros(2, dtype=torch.float64, device=self.fabric.device)
        with torch.inference_mode(), self.fabric.autocast():
            for images, labels in source.batches(
                rows[self.fabric.global_rank :: self.fabric.world_size], None, self.viewing.preprocessing.size_px
            ):
                scores = cast(Trainable, network).decide(self.viewing.frames(self.fabric.to_device(images)))
                best = scores.topk(min(5, scores.shape[1])).indices == self.fabric.to_device(labels)[:, None]
                hits += torch.stack([best[:, 0].sum(), best.any(1).sum()])
        if self.fabric.world_size > 1:
            hits = cast(Tensor, self.fabric.all_reduce(hits, reduce_op="sum"))
        top1, top5 = (hits / len(source)).tolist()
        return top1, top5

    def finite(self) -> bool:
        """Return whether all weights are."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in trained(self.network))

    def state(self) -> dict[str, Any]:
        """Return all that an update depends on and changes."""
        return {
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scale": self.fabric.strategy.precision.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.fabric.strategy.precision.load_state_dict(state["scale"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])

    def _clip(self, settings: Gradient) -> Tensor:
        """Limit the gradients; return their norm before."""
        if settings.clip == "norm":
            return cast(
                Tensor,
                self.fabric.clip_gradients(
                    self.answer, self.optimiser, max_norm=settings.limit, error_if_nonfinite=False
                ),
            )
        norm = nn.utils.get_total_norm([p.grad for p in trained(self.network) if p.grad is not None])
        if settings.clip == "value":
            self.fabric.clip_gradients(self.answer, self.optimiser, clip_val=settings.limit)
        return norm


def rows_of(rank: int, processes: int, batches: list[Tensor]) -> Iterator[Tensor]:
    """Yield a process's share of each batch."""
    return (rows[rank::processes] for rows in batches)
