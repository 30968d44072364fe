"""``neurofit train``: make the weights of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from neurofit.cli import names
from neurofit.cli.examples import examples
from neurofit.cli.looks import (
    LookBenchmark,
    LookData,
    LookEvery,
    LookHalvings,
    LookLayer,
    LookSplits,
    begin_run,
    end_run,
    make_looks,
)
from neurofit.cli.output import Output, size_in_bytes

if TYPE_CHECKING:
    from neurofit.models.trainable import TrainableModel
    from neurofit.scoring.early_look import EarlyLook
    from neurofit.training.datasets import Task
    from neurofit.training.engine import Engine
    from neurofit.training.recipe import Recipe

EXAMPLES = examples(
    ("a network with gated cells; the same command goes on after a break",
     "neurofit train --model gru_untrained --data tiny-imagenet-100.tar \\\n    --recipe matched --out runs/gru"),
    ("and what it predicts", "neurofit score --model runs/gru/gru_untrained.toml --region IT"),
    ("with a look at the simulated IT after every epoch",
     "neurofit train --model rgc --data images/ --out runs/rgc --epochs 2 \\\n    --look-every 1"),
)  # fmt: skip

Model = Annotated[
    str,
    typer.Option(
        help="Network to train from its initial weights: of the zoo, an architecture file (.toml), or your own "
        "(package.module:factory, file.py:factory).",
        autocompletion=names.networks,
    ),
]
Data = Annotated[Path, typer.Option(help="Folder or .tar with train/CLASS/ and val/CLASS/ images, or as ImageNet's.")]
Out = Annotated[Path, typer.Option(help="Folder of the run; the same command resumes it.")]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="Recipe by name (long, matched, port) or TOML file; see docs/training.md.",
        autocompletion=names.recipes,
    ),
]
Epochs = Annotated[
    int | None, typer.Option(min=1, help="So many, at the network's own size, instead of the recipe's phases.")
]
Steps = Annotated[int | None, typer.Option(min=1, help="Unrolled steps; the network's own by default.")]
On = Annotated[int | None, typer.Option(min=1, help="Steps for which the image is on; the network's own by default.")]
Seed = Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Of initial weights, order and crops.")]
Device = Annotated[Literal["auto", "cpu", "cuda", "mps"], typer.Option(help="Where to train; torchrun for several.")]
Precision = Annotated[
    Literal["float32", "bfloat16", "float16"], typer.Option(help="Of convolutions; weights stay in float32.")
]
Parts = Annotated[int, typer.Option(min=1, help="Pass a batch in so many parts and add their gradients.")]
Checkpoint = Annotated[
    bool, typer.Option("--checkpoint-activations", help="Compute activations twice instead of keeping them.")
]
Images = Annotated[
    Literal["memory", "files"],
    typer.Option(help="Keep decoded squares in memory, or cut every crop from the original files."),
]
Workers = Annotated[int, typer.Option(min=0, help="Processes that decode images; they change no result.")]
Holdout = Annotated[
    float | None, typer.Option(help="Part of each class to test on, where there are no validation images.")
]
HoldoutSeed = Annotated[int, typer.Option(help="Which images these are; the same for every training seed.")]
Check = Annotated[
    Literal["decode", "header"],
    typer.Option(help="Decode every file before the run, or read its beginning only: a bad one may then end the run."),
]
View = Annotated[
    Literal["whole", "centre"],
    typer.Option(help="What is shown of a validation image: all of it, squashed, or its centre (224/256)."),
]
AllowSkipped = Annotated[
    float, typer.Option(help="Part of the images that may be unusable; they are counted and named.")
]
Memory = Annotated[str, typer.Option("--image-memory", help="What images in memory may take.")]
Threads = Annotated[int | None, typer.Option(min=1, help="CPU threads; all by default.")]


def train(
    model: Model,
    data: Data,
    out: Out,
    recipe: RecipeName = "long",
    epochs: Epochs = None,
    steps: Steps = None,
    on: On = None,
    seed: Seed = 0,
    device: Device = "auto",
    precision: Precision = "float32",
    parts: Parts = 1,
    checkpoint: Checkpoint = False,
    images: Images = "memory",
    workers: Workers = 0,
    holdout: Holdout = None,
    holdout_seed: HoldoutSeed = 0,
    check: Check = "decode",
    view: View = "whole",
    allow_skipped: AllowSkipped = 0.01,
    memory: Memory = "8GiB",
    threads: Threads = None,
    look_benchmark: LookBenchmark = None,
    look_every: LookEvery = None,
    look_layer: LookLayer = None,
    look_splits: LookSplits = None,
    look_halvings: LookHalvings = None,
    look_data: LookData = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the history as one JSON document.")] = False,
) -> None:
    """Train a network to recognise images, back-propagating through its steps.

    The state is saved as often as that costs little; the same command goes on from there, to the same weights. At the
    end OUT has the weights with their measured accuracy and, of neurofit's own networks, the architecture file that
    `--model` of every command takes.
    """
    import torch

    from neurofit.training.datasets import open_task
    from neurofit.training.engine import Engine, is_first_process

    output, first = Output(as_json), is_first_process()
    engine = Engine(device, precision, parts, checkpoint)
    plan = _recipe(recipe, epochs)
    network = _trainable(model, None, seed, steps, on)
    if threads is not None:
        torch.set_num_threads(threads)
    task = open_task(
        data, network.preprocessing.size_px, images=images, holdout=holdout, holdout_seed=holdout_seed, view=view,
        allow_skipped=allow_skipped, verify=check, workers=workers, memory_bytes=size_in_bytes(memory),
        remembered=out / "unusable-images.json",
    )  # fmt: skip
    if network.classes != len(task.classes):
        network = _trainable(model, len(task.classes), seed, steps, on)
    for remark in task.remarks if first else []:
        output.warn(remark)
    looks = make_looks(
        network, plan, benchmarks=look_benchmark, every=look_every, layers=look_layer, splits=look_splits,
        halvings=look_halvings, data=look_data, threads=threads, say=output.note,
    )  # fmt: skip
    command = f"neurofit train --model {model} --data {data.name} --recipe {recipe} --seed {seed}" + _as_options(
        {"epochs": epochs, "steps": steps, "on": on, "holdout": holdout, "holdout-seed": holdout_seed},
        {"images": images, "view": view, "precision": precision},
    )
    job = _Job(model, network, task, plan, engine, out, seed, data.name, looks, threads, command)
    job.run(output, first)


@dataclass(frozen=True)
class _Job:
    """A run that the options ask for."""

    name: str
    network: TrainableModel
    task: Task
    recipe: Recipe
    engine: Engine
    out: Path
    seed: int
    data: str
    looks: list[EarlyLook]
    threads: int | None
    command: str

    def run(self, output: Output, first: bool) -> None:
        """Train; the first process speaks and writes for all."""
        from neurofit.subjects.user_code import running_user_code
        from neurofit.training.learner import Viewing
        from neurofit.training.train import train as run

        viewing = Viewing(self.network.presentation, self.network.preprocessing)
        record = {}
        if first:
            output.say(_in_words(self.network, self.task, self.recipe))
            record = begin_run(
                self.network, self.task, self.recipe, viewing, self.engine, self.out, seed=self.seed, data=self.data,
                looks=self.looks, threads=self.threads, command=self.command, note=output.note,
            )  # fmt: skip
        try:
            with running_user_code(self.name):
                rows = run(
                    self.network.network, self.task, self.recipe, self.out, viewing=viewing, seed=self.seed,
                    engine=self.engine, after_epoch=self.looks, report=output.note, progress=output.progress,
                )  # fmt: skip
        except KeyboardInterrupt:
            output.warn(f"interrupted; the state is kept in {self.out}, and the same command goes on")
            raise
        if first:
            _finish(self.network, self.task, self.recipe, rows, self.out, self.command, self.seed, record, output)


def _as_options(given: Mapping[str, object], chosen: Mapping[str, str]) -> str:
    """Return, as they are typed, the options that decide weights and accuracy and are not as usual."""
    usual = {"images": "memory", "view": "whole", "precision": "float32"}
    unusual = {**{k: v for k, v in given.items() if v}, **{k: v for k, v in chosen.items() if v != usual[k]}}
    return "".join(f" --{name} {value}" for name, value in unusual.items())


def _finish(
    network: TrainableModel,
    task: Task,
    recipe: Recipe,
    rows: list[dict[str, float]],
    out: Path,
    command: str,
    seed: int,
    record: dict[str, Any],
    output: Output,
) -> None:
    """Write weights and record, and say what came out."""
    from neurofit.models.weights import state_hash
    from neurofit.models.zoo import load_model

    details = {
        "top1": f"{rows[-1]['top1']:.4f}",
        "top5": f"{rows[-1]['top5']:.4f}",
        "trained_on": f"{len(task.training)} images, {len(task.classes)} classes, {network.preprocessing.size_px} px",
        "recipe": recipe.name,
        "seed": str(seed),
        "command": command,
    }
    files = {name: str(path) for name, path in network.save(out, details).items()}
    # of what a score of the file will say: weights are rounded to half precision there
    loaded = load_model(files["architecture"]).details["weights_sha256"] if "architecture" in files else None
    end_run(record, rows, out, files=files, weights_sha256=str(loaded or state_hash(network.network)))
    output.say(
        f"validation top-1 {rows[-1]['top1']:.3f}, top-5 {rows[-1]['top5']:.3f}; "
        + "; ".join(f"{name}: {path}" for name, path in files.items())
    )
    output.emit({"model": network.name, "epochs": rows, **files, **details, "remarks": task.remarks})


def _recipe(name: str, epochs: int | None) -> Recipe:
    from neurofit.training.recipe import Phase, load_recipe

    recipe = load_recipe(name)
    return recipe if epochs is None else replace(recipe, phases=(Phase(epochs),))


def _trainable(name: str, classes: int | None, seed: int, steps: int | None, on: int | None) -> TrainableModel:
    """Return the network with what it is shown: its own presentation, or one of other steps."""
    import torch

    from neurofit.models.architecture_file import check_entry
    from neurofit.models.presentation import Presentation
    from neurofit.subjects.trainable import load_trainable

    torch.manual_seed(seed)  # from which a user's own module draws its weights
    network = load_trainable(name, classes, seed)
    if steps is None and on is None:
        return network
    own = network.presentation
    shown = Presentation(steps or own.steps, on if on is not None else own.on)
    if network.entry is not None:  # else its file could not be written in the end
        check_entry(replace(network.entry, presentation=shown))
    return replace(network, presentation=shown)


def _in_words(model: TrainableModel, task: Task, recipe: Recipe) -> str:
    parameters = sum(parameter.numel() for parameter in model.network.parameters() if parameter.requires_grad)
    return (
        f"{model.name}: {parameters:,} trained parameters, {model.presentation.steps} steps; "
        f"{len(task.training):,} training and {len(task.validation):,} validation images of "
        f"{len(task.classes)} classes; recipe '{recipe.name}', {recipe.epochs} epochs"
    )
