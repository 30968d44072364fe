"""What a pass of a network takes, found by showing it a few images: memory by counting tensors, time by the clock."""

from __future__ import annotations

import time
import weakref
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from neurofit.data.stimuli import StimulusSet
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.outputs import check_outputs, unit_arrays
from neurofit.subjects.viewing import MID_GREY, Viewing

TIMED_IMAGES = 8
"""Images that are shown to measure the time, after one pass to warm up."""

CHECK_COPIES = 1.5
"""Of what a network returned, while it is checked to be finite: magnitudes, and two truth values a number."""


@dataclass(frozen=True)
class PassMemory:
    """What the tensors of a pass occupy.

    Weights are not counted, nor what a library takes inside of one operation.

    Parameters
    ----------
    fixed_bytes, image_bytes : int
        At most at once, whatever the batch, and for every image of it.
    output_bytes : int
        Of the layers that were asked for, for every image; they stay until the next pass has ended.
    shown : mapping from layer to array (1, steps, units)
        Activations by a grey image.
    """

    fixed_bytes: int
    image_bytes: int
    output_bytes: int
    shown: Mapping[str, np.ndarray]

    def peak(self, batch: int, passes: int = 1) -> int:
        """Return the largest number of bytes alive at once in some passes of a batch."""
        return self.fixed_bytes + batch * (self.image_bytes + (self.output_bytes if passes > 1 else 0))


@dataclass(frozen=True)
class PassTime:
    """Seconds that an image takes: to be read or drawn, and to be seen by the network."""

    image_s: float
    network_s: float
    images: int


def pass_memory(subject: ModelSubject, layers: Collection[str], viewing: Viewing) -> PassMemory:
    """Count the tensors of passes of one and two grey images; off the CPU, those that come back to it.

    Parameters
    ----------
    subject : ModelSubject
    layers : collection of str
        That are asked for.
    viewing : Viewing
    """
    (one, output, shown), (two, _, _) = (_counted(subject, layers, viewing, images) for images in (1, 2))
    if subject.device.type != "cpu":  # the rest is on the device
        return PassMemory(0, output, output, shown)
    each = max(two - one, output + int(CHECK_COPIES * output))
    return PassMemory(max(one - each, 0), each, output, shown)


def pass_time(subject: ModelSubject, stimuli: StimulusSet, layers: Collection[str], viewing: Viewing) -> PassTime:
    """Show the first images twice, and take the time of the second pass.

    Parameters
    ----------
    subject, layers, viewing
        See `pass_memory`.
    stimuli : StimulusSet
    """
    count = min(TIMED_IMAGES, subject.batch, len(stimuli))
    began = time.perf_counter()
    images = [viewing.placed(stimuli.image(row), stimuli.size_deg) for row in range(count)]
    reading = time.perf_counter() - began
    shown = StimulusSet("a few images", stimuli.table.iloc[:count], images)
    seconds = 0.0
    for _ in range(2):
        began = time.perf_counter()
        for _batch in subject.stream(shown, layers, viewing):
            seconds = time.perf_counter() - began
    return PassTime(reading / count, seconds / count, count)


def _counted(
    subject: ModelSubject, layers: Collection[str], viewing: Viewing, images: int
) -> tuple[int, int, dict[str, np.ndarray]]:
    """Return the bytes of a pass, those of what it returned, and this."""
    grey = np.full((8, 8, 3), MID_GREY, np.uint8)
    with subject.execution.running(subject.device), _LiveBytes() as live:
        outputs = subject.network(subject.frames([grey] * images, viewing), layers)
    check_outputs(outputs, layers, images, viewing.steps(subject.step_ms)[1], subject.name)
    distinct = {storage._cdata: storage for storage in (outputs[layer].untyped_storage() for layer in layers)}
    output = sum(storage.nbytes() for storage in distinct.values())
    return live.peak, output, unit_arrays(outputs, layers)


class _LiveBytes(TorchDispatchMode):
    """Counts the bytes of the tensors that operations make, for as long as somebody holds them."""

    def __init__(self) -> None:
        super().__init__()
        self.peak = self._now = 0
        self._held: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._hold(leaf)
        return result

    def _hold(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        number, size = storage._cdata, storage.nbytes()
        if number in self._held:
            return
        self._held.add(number)
        self._now += size
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._release, number, size)

    def _release(self, number: int, size: int) -> None:
        self._held.discard(number)
        self._now -= size


__all__ = ["PassMemory", "PassTime", "pass_memory", "pass_time"]
