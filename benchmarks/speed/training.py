"""What the training loop costs and the unroll saves: ``python benchmarks/speed/training.py``.

Three loops make the same updates of the same network, with images in memory, crops, label smoothing, AdamW and clipping
as in the recipe `matched`: `neurofit.training.train.train`; a loop in plain PyTorch around the same `ConvRNN`; and that
loop around a plain unroll, which runs every node at every step on the whole batch (with the same joined kernels). They
take turns in one process. An update is timed from asking for its images to asking for the next ones, in CPU-seconds; a
ratio is the median over rounds and updates of ratios to the same update of the plain loop, the first of each round,
which is slower, left out. Weights are compared at the end of every round.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from neurofit.models.network import READOUT, ConvRNN
from neurofit.models.zoo import zoo_entry
from neurofit.training.augmentation import Crops
from neurofit.training.datasets import LabelledImages, Task
from neurofit.training.engine import Engine
from neurofit.training.learner import Viewing
from neurofit.training.recipe import Phase, Recipe, load_recipe
from neurofit.training.train import train

PLAIN = "plain PyTorch loop"
Decide = Callable[[ConvRNN, list[Tensor]], Tensor]


class Timed(LabelledImages):
    """Images that note when each batch is asked for, and which."""

    def batches(self, batches: Sequence[Tensor], crops: Crops | None, size_px: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images and labels; see `neurofit.training.datasets.ImageSource`."""
        asked: list[float] = [time.process_time()]
        object.__setattr__(self, "asked_last", (asked, batches, crops, size_px))
        for shown in super().batches(batches, crops, size_px):
            yield shown
            asked.append(time.process_time())


def seconds_of(images: Timed) -> list[float]:
    """Return the CPU-seconds of each update but the first."""
    asked = images.asked_last[0]  # type: ignore[attr-defined]
    return [end - start for start, end in pairwise(asked[1:])]


def plainly(network: ConvRNN, images: Timed, viewing: Viewing, recipe: Recipe, decide: Decide) -> None:
    """Make the updates that `train` made, of the batches that it asked for."""
    _, batches, crops, size_px = images.asked_last  # type: ignore[attr-defined]
    network.to(memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    vectors = [p for p in network.parameters() if p.requires_grad and p.ndim <= 1]
    kernels = [p for p in network.parameters() if p.requires_grad and p.ndim > 1]
    groups: list[dict[str, Any]] = [
        {"params": kernels, "weight_decay": recipe.optimiser.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, lr=recipe.optimiser.learning_rate)
    for i, (shown, labels) in enumerate(images.batches(batches, crops, size_px)):
        for group in optimiser.param_groups:
            group["lr"] = recipe.learning_rate(i / len(batches))
        optimiser.zero_grad(set_to_none=True)
        scores = decide(network, viewing.frames(shown))
        loss = F.cross_entropy(scores, labels, label_smoothing=recipe.label_smoothing)
        loss.backward()
        if recipe.gradient.clip == "value":
            nn.utils.clip_grad_value_(network.parameters(), recipe.gradient.limit)
        else:
            nn.utils.clip_grad_norm_(network.parameters(), recipe.gradient.limit)
        optimiser.step()


def decide_plainly(network: ConvRNN, frames: list[Tensor]) -> Tensor:
    """Return the last scores; every node runs at every step."""
    wiring = network.config.wiring()
    nodes: dict[str, Any] = dict(network.nodes.items())
    kernels = {name: node.kernels() for name, node in nodes.items()}
    shape: tuple[int, ...] = tuple(frames[0].shape[1:])
    before: dict[str, Tensor] = {}
    for name, node in nodes.items():
        shape = node.output_shape(shape)
        before[name] = frames[0].new_zeros(len(frames[0]), *shape)
    states = dict.fromkeys(nodes)
    for source in frames:
        now: dict[str, Tensor] = {}
        for name, node in nodes.items():
            feedback = tuple(before[other] for other in wiring.feedback.get(name, ()))
            now[name], states[name] = node.step(node.drive(source, feedback, kernels[name]), states[name])
            source = before[name] if wiring.delay else now[name]
        before = now
    return before[READOUT]


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="What the training loop costs and the unroll saves.")
    parser.add_argument("--model", default="rgc_untrained", help="of the zoo")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--updates", type=int, default=5, help="a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="also write the table there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    entry = zoo_entry(options.model)
    if entry.network is None or entry.presentation is None:
        raise SystemExit(f"{options.model} has no network to train, or nothing says what it is shown")
    config, viewing = entry.network, Viewing(entry.presentation, entry.preprocessing)
    recipe = replace(load_recipe("matched"), batch=options.batch, phases=(Phase(1),))
    count, generator = options.batch * options.updates, torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (count, 3, config.input_px, config.input_px), generator=generator, dtype=torch.uint8)
    labels = torch.arange(count) % config.classes
    classes = tuple(f"class {label}" for label in range(config.classes))
    images, few = Timed(pixels, labels, classes), LabelledImages(pixels[:1], labels[:1], classes)

    def with_neurofit(network: ConvRNN) -> None:
        task, engine = Task(images, few), Engine("cpu")
        train(network, task, recipe, None, viewing=viewing, engine=engine, progress=False)

    loops: dict[str, Callable[[ConvRNN], None]] = {
        "neurofit train": with_neurofit,
        PLAIN: lambda network: plainly(network, images, viewing, recipe, lambda net, frames: net.decide(frames)),
        "the same, plain unroll": lambda network: plainly(network, images, viewing, recipe, decide_plainly),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    differs = dict.fromkeys(loops, 0.0)
    for _ in range(options.rounds):
        weights: dict[str, dict[str, Tensor]] = {}
        for name, loop in loops.items():
            network = ConvRNN(config, seed=0)
            loop(network)
            seconds[name] += seconds_of(images)
            weights[name] = {key: value.detach().clone() for key, value in network.state_dict().items()}
        for name, own in weights.items():
            gap = max(float((own[key] - other).abs().max()) for key, other in weights[PLAIN].items())
            differs[name] = max(differs[name], gap)
    rows = []
    print("| loop | images per CPU-second | CPU time, ratio to the plain loop | weights differ by |\n|---|---|---|---|")
    for name, own in seconds.items():
        ratio = statistics.median(mine / other for mine, other in zip(own, seconds[PLAIN], strict=True))
        rows.append({"loop": name, "per_s": options.batch / statistics.median(own), "ratio": ratio})
        print(f"| {name} | {rows[-1]['per_s']:.1f} | {ratio:.3f} | {differs[name]:.0e} |")
    if options.json is not None:
        shown = {key: str(value) for key, value in vars(options).items()} | {"torch": torch.__version__}
        options.json.write_text(json.dumps({"options": shown, "rows": rows, "seconds": seconds}, indent=2) + "\n")


if __name__ == "__main__":
    main()
