"""What each way of computing a network gains, and what it changes: ``python benchmarks/speed/execution.py``.

Every way runs the same unroll (`neurofit.models.unroll`) on the same images, in turn; times are medians, ratios are to
plain float32 in the same run. `differs` is the largest difference of a layer's activations in the layer's standard
deviations, `r` the lowest correlation of a layer and step with plain float32 over images and units.
"""

from __future__ import annotations

import argparse
import copy
import json
import statistics
import time
from pathlib import Path

import torch
from torch import Tensor

from neurofit.models.execution import Execution
from neurofit.models.network import ConvRNN
from neurofit.models.presentation import Presentation
from neurofit.models.zoo import zoo_entry

WAYS: dict[str, Execution | None] = {
    "float32": Execution(),
    "no_grad": None,  # instead of inference_mode
    "channels_last": Execution(channels_last=True),
    "bfloat16": Execution(precision="bfloat16"),
    "bfloat16, channels_last": Execution(precision="bfloat16", channels_last=True),
    "compiled": Execution(compiled=True),
    "compiled, channels_last": Execution(compiled=True, channels_last=True),
    "compiled, bfloat16, channels_last": Execution("bfloat16", True, True),
    "float16, channels_last": Execution("float16", True),
}


class Way:
    """A network prepared one way.

    Parameters
    ----------
    execution : Execution or None
        None is plain float32 under `torch.no_grad`.
    network : ConvRNN
    image : Tensor (B, 3, H, W)
    steps : int
    """

    def __init__(self, execution: Execution | None, network: ConvRNN, image: Tensor, steps: int) -> None:
        self.execution = execution
        self.device = image.device
        chosen = execution or Execution()
        self.network = chosen.prepared(copy.deepcopy(network), self.device)
        self.frames = Presentation(steps, min(10, steps)).frames(chosen.frame(image))
        self.seconds: list[float] = []

    def run(self) -> dict[str, Tensor]:
        """Show the images, and note how long it took."""
        context = torch.no_grad() if self.execution is None else self.execution.running(self.device)
        with context:
            began = time.perf_counter()
            found = dict(self.network(self.frames))
            if self.device.type == "cuda":
                torch.cuda.synchronize()
            self.seconds.append(time.perf_counter() - began)
        return found


def agreement(found: dict[str, Tensor], expected: dict[str, Tensor]) -> tuple[float, float]:
    """Return the largest difference in standard deviations, and the lowest correlation of a layer and step."""
    worst, lowest = 0.0, 1.0
    for layer, reference in expected.items():
        worst = max(worst, float((found[layer].float() - reference).abs().max() / reference.std()))
        one, two = (values.float().transpose(0, 1).flatten(1) for values in (found[layer], reference))
        one, two = one - one.mean(1, keepdim=True), two - two.mean(1, keepdim=True)
        varies = two.norm(dim=1) > 0
        r = (one * two).sum(1)[varies] / (one.norm(dim=1) * two.norm(dim=1))[varies]
        lowest = min(lowest, float(r.min()))
    return worst, lowest


def measure(name: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """Return a row for every way of computing a model."""
    entry = zoo_entry(name)
    if entry.network is None:
        raise SystemExit(f"{name} has no network to run")
    network = ConvRNN(entry.network, seed=0)
    size = entry.preprocessing.size_px
    image = torch.randn(options.batch, 3, size, size, generator=torch.Generator().manual_seed(0)).to(options.device)
    names = [way for way in WAYS if way in options.ways or not options.ways]
    if options.device == "cpu":
        names = [way for way in names if not way.startswith("float16")]
    ways = {way: Way(WAYS[way], network, image, options.steps) for way in dict.fromkeys(["float32", *names])}
    found = {way: agreement(ways[way].run(), ways["float32"].run()) for way in ways}  # also warms up
    first = {way: ways[way].seconds[0] for way in ways}
    for way in ways.values():
        way.seconds.clear()
    for _ in range(options.repeats):
        for way in ways.values():
            way.run()
    plain = statistics.median(ways["float32"].seconds)
    return [
        {
            "model": name, "way": way, "images_per_s": options.batch / statistics.median(ways[way].seconds),
            "ratio": plain / statistics.median(ways[way].seconds), "differs": found[way][0], "r": found[way][1],
            "first_s": first[way],
        }
        for way in ways
    ]  # fmt: skip


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description="What each way of computing a network gains, and what it changes.")
    parser.add_argument("--models", nargs="+", default=["rgc_shallow", "rgc_intermediate"], help="names of the zoo")
    parser.add_argument("--ways", nargs="+", default=[], choices=list(WAYS), help="all by default")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=26)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="also write the table there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"{'model':20} {'way':34} {'images/s':>8} {'ratio':>6} {'differs':>8} {'lowest r':>9} {'first run s':>11}")
    rows = []
    for name in options.models:
        for row in measure(name, options):
            rows.append(row)
            print(
                f"{row['model']:20} {row['way']:34} {row['images_per_s']:8.2f} {row['ratio']:6.2f} "
                f"{row['differs']:8.1e} {row['r']:9.6f} {row['first_s']:11.1f}",
                flush=True,
            )
    if options.json is not None:
        shown = {key: str(value) for key, value in vars(options).items()} | {"torch": torch.__version__}
        options.json.write_text(json.dumps({"options": shown, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
