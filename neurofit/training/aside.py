"""What is computed between epochs and leaves no trace in the run: by one process, while the others wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import torch
from torch import distributed, nn

from neurofit.errors import ConfigurationError, NeurofitError
from neurofit.training.datasets import ImageSource

if TYPE_CHECKING:
    from neurofit.training.learner import Trainable, Viewing

Result = TypeVar("Result")

PATIENCE = timedelta(days=7)
"""How long processes wait for the one that computes. NCCL's own 10 minutes end a run whose aside is longer."""
TESTED_AT_ONCE = 250


class OneProcess:
    """Computes in the first process of a run and gives all of them the result; in a run of one it just computes."""

    def __init__(self) -> None:
        self._group: Any = None

    def __call__(self, compute: Callable[[], Result]) -> Result:
        """Return ``compute()``; every process of the run has to call this alike.

        Raises
        ------
        NeurofitError
            What `compute` raised, in all processes. Any other error ends the first one, and the others with it.
        """
        if not (distributed.is_available() and distributed.is_initialized()) or distributed.get_world_size() == 1:
            return compute()
        if self._group is None:
            self._group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        answer: list[Any] = [None]
        if distributed.get_rank() == 0:
            try:
                answer = [compute()]
            except NeurofitError as error:
                answer = [error]
        distributed.broadcast_object_list(answer, src=0, group=self._group)
        if isinstance(answer[0], NeurofitError):
            raise answer[0]
        return answer[0]


@contextmanager
def undisturbed(network: nn.Module, device: str | None = None) -> Iterator[nn.Module]:
    """Yield a copy of a network, and put back torch's generators and threads afterwards.

    The copy is in evaluation mode and has no gradients; the network itself is not touched. Generators are seeded alike
    each time, so that a network that draws when it answers gives the same answer again.

    Parameters
    ----------
    network : torch.nn.Module
    device : str, optional
        Of the copy; by default where the network is.

    Raises
    ------
    ConfigurationError
        If the network cannot be copied.
    """
    try:
        copy = deepcopy(network)
    except (RuntimeError, TypeError) as error:
        raise ConfigurationError(
            "a network that is looked at while it is trained can be copied",
            f"{type(network).__name__} cannot: {error}",
            "keep tensors that are computed out of its attributes, or train it without looks",
        ) from error
    copy = copy.eval() if device is None else copy.to(device).eval()
    place, threads = device_of(copy), torch.get_num_threads()
    with torch.random.fork_rng([place] if place.type == "cuda" else []):
        torch.manual_seed(0)
        try:
            yield copy
        finally:
            torch.set_num_threads(threads)


def device_of(network: nn.Module) -> torch.device:
    """Return where a network's first parameter is; the CPU of one without any."""
    first = next(network.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def accuracy_before(
    network: nn.Module, source: ImageSource, viewing: Viewing, device: str | None = None
) -> dict[str, float]:
    """Return top1 and top5 of a network on all images of a source, in float32, without touching the network."""
    with undisturbed(network, device) as copy, torch.inference_mode():
        hits = torch.zeros(2, dtype=torch.float64)
        place, rows = device_of(copy), torch.arange(len(source)).split(TESTED_AT_ONCE)
        for images, labels in source.batches(list(rows), None, viewing.preprocessing.size_px):
            scores = cast("Trainable", copy).decide(viewing.frames(images.to(place))).cpu()
            best = scores.topk(min(5, scores.shape[1])).indices == labels[:, None]
            hits += torch.stack([best[:, 0].sum(), best.any(1).sum()])
    top1, top5 = (hits / len(source)).tolist()
    return {"top1": top1, "top5": top5}
