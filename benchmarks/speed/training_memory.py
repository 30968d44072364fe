"""Memory and time of a training step by how gradients go back: ``python benchmarks/speed/training_memory.py``.

A step is one batch forwards and back (`ConvRNN.decide`, cross-entropy of the last step, the image on throughout).
Memory: every way runs in a process of its own, which holds the weights and their gradients and has run one image
through already; the figure is the most that a step adds, by the kernel's high-water mark (Linux), and glibc is told to
give tensors of 64 KiB and more back at once (MALLOC_MMAP_THRESHOLD_), so that what is freed does not count. Time: all
ways take turns in one process on one thread; ratios of CPU-seconds are the median of the rounds' ratios to `all kept`.

`segments of S steps` is what was weighed against a segment for every step of every node: the whole network's S steps
are one segment, S being the root of the number of steps.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from measuring import peak_above
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from neurofit.models.bptt import WHOLE, Backward
from neurofit.models.network import READOUT, ConvRNN
from neurofit.models.unroll import needed_steps
from neurofit.models.zoo import zoo_entry

KEPT, SEGMENTS = "all kept", "segments of S steps"
WAYS: dict[str, Backward | None] = {
    KEPT: WHOLE,
    "checkpointed": Backward(checkpoint=True),
    SEGMENTS: None,
    "truncated, K = 4": Backward(truncate=4),
    "truncated, checkpointed": Backward(truncate=4, checkpoint=True),
}
JOBS = {"rgc_untrained": 64, "rgc_shallow": 4}
"""Networks, and images a batch: 64 px and 224 px."""


class Step:
    """One training step of a network.

    Parameters
    ----------
    model : str
    batch, steps : int
    """

    def __init__(self, model: str, batch: int, steps: int) -> None:
        torch.manual_seed(0)
        config = zoo_entry(model).network
        if config is None:
            raise SystemExit(f"{model} has no network to train")
        self.network = ConvRNN(config, seed=0).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        image = torch.randn(batch, 3, config.input_px, config.input_px)
        self.image, self.steps = image.contiguous(memory_format=torch.channels_last), steps
        self.labels = torch.arange(batch) % config.classes
        for parameter in self.network.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def run(self, way: str, images: int | None = None) -> dict[str, Tensor]:
        """Pass some images, or all, forwards and back; return the gradients."""
        self.network.zero_grad(set_to_none=False)
        frames, backward = [self.image[:images]] * self.steps, WAYS[way]
        scores = self._in_segments(frames) if backward is None else self.network.decide(frames, backward)
        F.cross_entropy(scores, self.labels[:images]).backward()
        return {name: p.grad for name, p in self.network.named_parameters() if p.grad is not None}

    def _in_segments(self, frames: list[Tensor]) -> Tensor:
        """Return the last scores; states are kept every S steps, drives stand as in the unroll."""
        length = max(2, round(math.sqrt(self.steps)))
        segment = _Segment(self.network, frames)
        carried: tuple[Any, ...] = (segment.silence(), {}, {})
        for first in range(0, self.steps, length):
            carried = checkpoint(segment, first, min(first + length, self.steps), *carried, use_reentrant=False)
        return carried[0][READOUT]


class _Segment:
    """Some steps of a network without long-range feedback, from what is carried over to what is carried on."""

    def __init__(self, network: ConvRNN, frames: list[Tensor]) -> None:
        self.nodes: dict[str, Any] = dict(network.nodes.items())
        self.frames, self.kernels = frames, {name: node.kernels() for name, node in self.nodes.items()}
        self.stateful = {name: node.stateful() for name, node in self.nodes.items()}
        self.needed = needed_steps(self.stateful, [READOUT], [len(frames) - 1], network.config.wiring())

    def silence(self) -> dict[str, Tensor]:
        """Return the zeros of before the first step."""
        shape, zeros = tuple(self.frames[0].shape[1:]), {}
        for name, node in self.nodes.items():
            shape = node.output_shape(shape)
            zeros[name] = self.frames[0].new_zeros(1, *shape)
        return zeros

    def __call__(self, first: int, end: int, *carried: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        outputs, states, drives = map(dict, carried)
        for t in range(first, end):
            now, source = {}, self.frames[t]
            for name, node in self.nodes.items():
                if t in self.needed[name]:
                    driven_by, drive = drives.get(name, (None, None))
                    if driven_by is not source:
                        drive = node.drive(source, (), self.kernels[name])
                    if driven_by is not source or self.stateful[name]:
                        now[name], state = node.step(drive, states.get(name))
                        states |= {name: state} if self.stateful[name] else {}
                    drives[name] = (source, drive)
                source = outputs[name]
            outputs |= now
        return outputs, states, drives


def memory(model: str, batch: int, steps: int, way: str) -> int:
    """Return the bytes that a step adds, measured in a new process."""
    job = [sys.executable, __file__, "--one", json.dumps([model, batch, steps, way])]
    surroundings = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    return int(subprocess.run(job, env=surroundings, capture_output=True, text=True, check=True).stdout)


def measured_here(model: str, batch: int, steps: int, way: str) -> int:
    """Return the bytes that a step adds to this process."""
    step = Step(model, batch, steps)
    step.run(way, images=1)
    return peak_above(lambda: step.run(way))[1]


def times(model: str, batch: int, steps: int, rounds: int) -> dict[str, list[float]]:
    """Return CPU-seconds of each way and round; gradients are compared once."""
    step = Step(model, batch, steps)
    expected = {name: gradient.clone() for name, gradient in step.run(KEPT).items()}
    for way, backward in WAYS.items():
        if backward is None or (backward.checkpoint and not backward.truncate):
            _compare(way, step.run(way), expected, exactly=backward is not None)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        for way in WAYS:
            found[way].append(cpu_seconds(lambda way=way: step.run(way)))  # type: ignore[misc]
    return found


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU-seconds of a run."""
    start = time.process_time()
    run()
    return time.process_time() - start


def _compare(way: str, found: dict[str, Tensor], expected: dict[str, Tensor], exactly: bool) -> None:
    for name, gradient in found.items():
        same = torch.equal if exactly else lambda a, b: torch.allclose(a, b, rtol=1e-3, atol=1e-6)
        if not same(gradient, expected[name]):
            raise SystemExit(f"{way}: the gradient of {name} differs from that with all kept")


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Memory and time of a training step by how gradients go back.")
    parser.add_argument("--models", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--steps", nargs="+", type=int, default=[10, 16, 26])
    parser.add_argument("--rounds", type=int, default=3, help="of the times; 0 measures memory alone")
    parser.add_argument("--json", type=Path, help="also write the table there")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one is not None:
        print(measured_here(*options.one))
        return
    rows = []
    print("| network | images | steps | way | added MiB | of all kept | CPU time |\n|---|---|---|---|---|---|---|")
    for model in options.models:
        for steps in options.steps:
            job = (model, JOBS[model], steps)
            added = {way: memory(*job, way) for way in WAYS}
            seconds = times(*job, options.rounds) if options.rounds else {}
            for way in WAYS:
                pairs = zip(seconds.get(way, []), seconds.get(KEPT, []), strict=True)
                ratio = statistics.median([own / whole for own, whole in pairs] or [math.nan])
                row = {"model": model, "images": JOBS[model], "steps": steps, "way": way, "added": added[way]}
                rows.append(row | {"part": added[way] / added[KEPT], "time": ratio})
                print(
                    f"| `{model}` | {JOBS[model]} | {steps} | {way} | {added[way] / 2**20:.0f} | "
                    f"{added[way] / added[KEPT]:.0%} | {ratio:.2f} |",
                    flush=True,
                )
    if options.json is not None:
        options.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
