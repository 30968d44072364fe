"""Memory and time of a training step by how gradients go back: ``python benchmarks/speed/training_memory.py``.

A step is one batch forwards and back: the unroll to the scores of the last step, the image on throughout, as
`ConvRNN.decide` makes it. Memory is the most that live tensors take, besides weights, gradients of weights and images:
counted, storage by storage, while the step runs on tensors without content (PyTorch's meta device), which needs no
memory and gives the same figure on every machine. ``--resident`` also measures it: a process for each way runs the
step, and the kernel's high-water mark is compared with the memory before (Linux; glibc is told by
MALLOC_MMAP_THRESHOLD_ to give tensors of 64 KiB and more back at once, so that what is freed does not count).

Times are CPU-seconds of one thread; all ways take turns in one process, and a ratio is the median of the rounds'
ratios to `all kept`. Gradients are compared on the way.

`segments of S steps` is what was weighed against a segment for every step of every node: S steps of the whole network
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
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

import torch
from measuring import peak_above
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.checkpoint import checkpoint

from neurofit.models.bptt import WHOLE, Backward
from neurofit.models.cells import TimeDecay
from neurofit.models.network import READOUT, ConvRNN, NetworkConfig, build_nodes
from neurofit.models.unroll import Wiring, needed_steps, unroll
from neurofit.models.zoo import zoo_entry

KEPT, SEGMENTS = "all kept", "segments of S steps"
WAYS: dict[str, Backward | None] = {
    KEPT: WHOLE,
    "checkpointed": Backward(checkpoint=True),
    SEGMENTS: None,
    "truncated, K = 4": Backward(truncate=4),
    "truncated, checkpointed": Backward(truncate=4, checkpoint=True),
}
JOBS = {"rgc_untrained": 64, "rgc_shallow": 8, "rgc_intermediate": 8}
"""Networks, and images a batch, of 64 px and 224 px."""


class Step:
    """One training step of a network.

    Parameters
    ----------
    model : str
    batch, steps : int
    empty : bool
        Whether tensors have no content.
    """

    def __init__(self, model: str, batch: int, steps: int, empty: bool = False) -> None:
        config = zoo_entry(model).network
        if config is None:
            raise SystemExit(f"{model} has no network to train")
        self.nodes = empty_nodes(config) if empty else ConvRNN(config, seed=0).nodes
        self.nodes.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.wiring, self.steps = config.wiring(), steps
        generator = None if empty else torch.Generator().manual_seed(0)
        shape, device = (batch, 3, config.input_px, config.input_px), "meta" if empty else "cpu"
        image = torch.randn(shape, generator=generator, device=device)
        self.image = image.contiguous(memory_format=torch.channels_last)
        self.labels = torch.arange(batch, device=device) % config.classes
        for parameter in self.parameters():
            parameter.grad = torch.zeros_like(parameter)

    def parameters(self) -> list[nn.Parameter]:
        """Return the parameters that are trained."""
        return [parameter for parameter in self.nodes.parameters() if parameter.requires_grad]

    def run(self, way: str, images: int | None = None) -> list[Tensor]:
        """Pass some images, or all, forwards and back; return the gradients."""
        for parameter in self.parameters():
            cast(Tensor, parameter.grad).zero_()
        frames, backward = [self.image[:images]] * self.steps, WAYS[way]
        if backward is None:
            scores = in_segments(self.nodes, frames, self.wiring)
        else:
            nodes = cast(Any, self.nodes)
            scores = unroll(nodes, frames, [READOUT], [self.steps - 1], self.wiring, backward=backward)[READOUT][:, 0]
        F.cross_entropy(scores, self.labels[:images]).backward()
        return [cast(Tensor, parameter.grad) for parameter in self.parameters()]


def empty_nodes(config: NetworkConfig) -> nn.ModuleDict:
    """Return nodes whose parameters have no content, but for decays that stay at 0 (see `neurofit.models.cost`)."""
    with torch.device("meta"):
        nodes = build_nodes(config)
    for module in nodes.modules():
        if isinstance(module, TimeDecay) and not module.memory_decay.requires_grad:
            zero = torch.zeros(())
            fixed = isinstance(module.memory_decay, nn.Parameter)
            module.memory_decay = nn.Parameter(zero, requires_grad=False) if fixed else zero
    return nodes


def in_segments(nodes: nn.ModuleDict, frames: list[Tensor], wiring: Wiring) -> Tensor:
    """Return the last scores; states are kept every S steps, and drives stand as in the unroll."""
    steps, length = len(frames), max(2, round(math.sqrt(len(frames))))
    segment = _Segment(nodes, frames, wiring)
    carried: tuple[dict[str, Any], ...] = (segment.silence(), {}, {})
    for first in range(0, steps, length):
        carried = checkpoint(segment, first, min(first + length, steps), *carried, use_reentrant=False)
    return carried[0][READOUT]


class _Segment:
    """Some steps of a network, from what is carried over to what is carried on."""

    def __init__(self, nodes: nn.ModuleDict, frames: list[Tensor], wiring: Wiring) -> None:
        self.nodes: dict[str, Any] = dict(nodes.items())
        self.frames, self.wiring = frames, wiring
        self.kernels = {name: node.kernels() for name, node in self.nodes.items()}
        self.stateful = {name: node.stateful() for name, node in self.nodes.items()}
        self.needed = needed_steps(self.stateful, [READOUT], [len(frames) - 1], wiring)

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
                    inputs = (source, *(outputs[other] for other in self.wiring.feedback.get(name, ())))
                    driven_by, drive = drives.get(name, ((), None))
                    same = len(driven_by) == len(inputs) and all(map(lambda a, b: a is b, driven_by, inputs))
                    if not same:
                        drive = node.drive(inputs[0], inputs[1:], self.kernels[name])
                    if not same or self.stateful[name]:
                        now[name], state = node.step(drive, states.get(name))
                        states |= {name: state} if self.stateful[name] else {}
                    drives[name] = (inputs, drive)
                source = outputs[name]
            outputs |= now
        return outputs, states, drives


class LiveBytes(TorchDispatchMode):
    """Counts what live tensors take, and the most that they took.

    Parameters
    ----------
    before : iterable of Tensor
        Tensors that do not count.
    """

    def __init__(self, before: Iterable[Tensor]) -> None:
        super().__init__()
        self.now = self.most = 0
        self._before = [tensor.untyped_storage() for tensor in before]  # held, so that no address is used again
        self._seen: dict[int, Any] = {storage._cdata: storage for storage in self._before}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for each in tree_flatten(made)[0]:
            if isinstance(each, Tensor):
                self._count(each.untyped_storage())
        return made

    def _count(self, storage: Any) -> None:
        address, size = storage._cdata, storage.nbytes()
        if address in self._seen:
            return

        def freed(_: object) -> None:
            self.now -= size
            del self._seen[address]

        self._seen[address] = weakref.ref(storage, freed)
        self.now += size
        self.most = max(self.most, self.now)


def counted(model: str, batch: int, steps: int, way: str) -> int:
    """Return the bytes of live tensors that a step adds at most."""
    step = Step(model, batch, steps, empty=True)
    gradients = [cast(Tensor, parameter.grad) for parameter in step.parameters()]
    with LiveBytes([*step.nodes.parameters(), *gradients, step.image, step.labels]) as live:
        step.run(way)
    return live.most


def resident(model: str, batch: int, steps: int, way: str) -> int:
    """Return the bytes that a step adds to a process at most, measured in a new one."""
    job = [sys.executable, __file__, "--one", json.dumps([model, batch, steps, way])]
    surroundings = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    return int(subprocess.run(job, env=surroundings, capture_output=True, text=True, check=True).stdout)


def resident_here(model: str, batch: int, steps: int, way: str) -> int:
    """Return the bytes that a step adds to this process, after one with a single image."""
    step = Step(model, batch, steps)
    step.run(way, images=1)
    return peak_above(lambda: step.run(way))[1]


def times(model: str, batch: int, steps: int, rounds: int) -> dict[str, list[float]]:
    """Return CPU-seconds of each way and round; those that are to have the same gradients have to."""
    step = Step(model, batch, steps)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(rounds):
        expected: list[Tensor] = []
        for way, backward in WAYS.items():
            found[way].append(cpu_seconds(lambda way=way: step.run(way)))  # type: ignore[misc]
            gradients = [cast(Tensor, parameter.grad).clone() for parameter in step.parameters()]
            expected = expected or gradients
            if backward is None or not backward.truncate:
                _compare(way, gradients, expected)
    return found


def cpu_seconds(run: Callable[[], object]) -> float:
    """Return the CPU-seconds of a run."""
    start = time.process_time()
    run()
    return time.process_time() - start


def _compare(way: str, found: list[Tensor], expected: list[Tensor]) -> None:
    """Stop where gradients differ: by a bit, or of segments, which add them up in another order, by rounding."""
    for one, other in zip(found, expected, strict=True):
        if not (torch.allclose(one, other, rtol=1e-3, atol=1e-5) if way == SEGMENTS else torch.equal(one, other)):
            raise SystemExit(f"{way}: gradients differ by up to {float((one - other).abs().max()):.1e}")


def measure(job: tuple[str, int, int], options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each way."""
    added = {way: counted(*job, way) for way in WAYS}
    held = {way: resident(*job, way) for way in WAYS} if options.resident else {}
    seconds = times(*job, options.rounds) if options.rounds else {}
    rows = []
    for way in WAYS:
        ratios = [own / whole for own, whole in zip(seconds.get(way, []), seconds.get(KEPT, []), strict=True)]
        rows.append(
            {
                **dict(zip(("model", "images", "steps"), job, strict=True)),
                "way": way,
                "added": added[way],
                "part": added[way] / added[KEPT],
                "resident": held.get(way),
                "time": statistics.median(ratios) if ratios else None,
            }
        )
    return rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="Memory and time of a training step by how gradients go back.")
    parser.add_argument("--models", nargs="+", default=["rgc_untrained", "rgc_shallow"], choices=list(JOBS))
    parser.add_argument("--steps", nargs="+", type=int, default=[10, 16, 26])
    parser.add_argument("--batch", type=int, help="images, instead of those of the table of jobs")
    parser.add_argument("--rounds", type=int, default=0, help="of the times; none by default, as they take minutes")
    parser.add_argument("--resident", action="store_true", help="also measure processes")
    parser.add_argument("--json", type=Path, help="also write the table there")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.one is not None:
        print(resident_here(*options.one))
        return
    rows = []
    print("| network | images | steps | way | MiB | of all kept | resident MiB | CPU time |")
    print("|---|---|---|---|---|---|---|---|")
    for model in options.models:
        for steps in options.steps:
            for row in measure((model, options.batch or JOBS[model], steps), options):
                rows.append(row)
                held = "" if row["resident"] is None else f"{row['resident'] / 2**20:.0f}"
                ratio = "" if row["time"] is None else f"{row['time']:.2f}"
                print(
                    f"| `{model}` | {row['images']} | {steps} | {row['way']} | {row['added'] / 2**20:.0f} "
                    f"| {row['part']:.0%} | {held} | {ratio} |",
                    flush=True,
                )
    if options.json is not None:
        options.json.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
