"""`neurofit models`: which models there are, what they consist of, and bringing their authors' weights here."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neurofit.cli import names
from neurofit.cli.examples import examples
from neurofit.cli.output import Output

if TYPE_CHECKING:
    from neurofit.models.description import LayerDescription, ModelDescription

app = typer.Typer(
    help="List, describe and fetch models.",
    no_args_is_help=True,
    epilog=examples(
        ("what there is", "neurofit models list"),
        ("weights that the authors released", "neurofit models fetch rgc_intermediate"),
    ),
)

_NOTHING = "-"

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Folder = Annotated[
    Path | None,
    typer.Option(help="Data folder; by default NEUROFIT_DATA or the user's cache folder.", show_default=False),
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from", help="Take the checkpoint from this folder, or its subfolder of the model's name; no download."
    ),
]
Discard = Annotated[
    bool, typer.Option("--discard-checkpoint", help="Remove the authors' files once the weights are converted.")
]


@app.command(
    "list",
    epilog=examples(
        ("the zoo, with parameters, weights and accuracy", "neurofit models list"),
        ("for a program", "neurofit models list --json"),
    ),
)
def list_(as_json: Json = False, folder: Folder = None) -> None:
    """List the models: parameters, where their weights come from, expected top-1 accuracy, licence."""
    from neurofit.models.description import describe_model
    from neurofit.models.zoo import ZOO

    output = Output(as_json)
    models = [describe_model(name, folder) for name in ZOO]
    header = ("name", "parameters", "weights", "top-1 %", "licence", "summary")
    rows = [(m.name, f"{m.parameters:,}", m.weights, _percent(m.top1), m.licence, m.summary) for m in models]
    for line in _table(header, rows, right={1, 3}):
        output.say(line)
    output.note("besides: sim_truth, SIMULATED ground truth: the stages of the simulated ventral stream (no network)")
    output.emit([_without_layers(model) for model in models])


@app.command(
    epilog=examples(
        ("layers, cells, feedback, operations", "neurofit models show rgc_intermediate"),
        ("of an architecture file", "neurofit models show mine.toml"),
    )
)
def show(
    name: Annotated[
        str,
        typer.Argument(
            help="Name in `neurofit models list`, or the path of an architecture file (.toml).",
            autocompletion=names.models,
        ),
    ],
    as_json: Json = False,
    folder: Folder = None,
) -> None:
    """Describe one model: layers with their shapes, cells, feedback and first valid step; its input; its weights."""
    from neurofit.models.cost import describe_zoo_cost
    from neurofit.models.description import describe_model

    output = Output(as_json)
    model = describe_model(name, folder)
    cost = describe_zoo_cost(name)
    for label, text in (_in_words(model) | _cost_in_words(cost)).items():
        if text:
            output.say(f"{label + ':':14} {text}")
    output.say()
    header = ("layer", "output", "cell", "feedback from", "parameters", "first step", "from ms")
    rows = [_layer_row(layer, model.step_ms) for layer in model.layers]
    for line in _table(header, rows, right={4, 5, 6}):
        output.say(line)
    output.emit(dataclasses.asdict(model) | cost)


@app.command(
    epilog=examples(
        ("a file to change", "neurofit models export rgc mine.toml"),
        ("of a network of the papers", "neurofit models export rgc_intermediate nets/deep.toml"),
    )
)
def export(
    name: Annotated[
        str,
        typer.Argument(
            help="Name in `neurofit models list`, or the path of an architecture file.", autocompletion=names.networks
        ),
    ],
    path: Annotated[Path, typer.Argument(help="TOML file to write; its name is the new model's.")],
    as_json: Json = False,
) -> None:
    """Write a model's architecture to a file, to be changed, trained and scored in its place; without its weights."""
    from neurofit.errors import OutputError
    from neurofit.models.architecture_file import architecture_hash, without_weights, write_architecture
    from neurofit.models.zoo import zoo_entry

    output = Output(as_json)
    entry = without_weights(zoo_entry(name))
    if path.exists():
        raise OutputError("an architecture is not written over another", f"{path} is there", "name another file")
    write_architecture(path, entry)
    output.say(f"architecture: {path}; use it as --model {path}")
    output.note("it names no weights: they are random until it is trained")
    output.emit({"model": name, "path": str(path), "architecture_sha256": architecture_hash(entry)})


@app.command(
    epilog=examples(
        ("download, verify and convert", "neurofit models fetch rgc_intermediate"),
        ("from a checkpoint that you have", "neurofit models fetch rgc_intermediate --from ~/Downloads/ckpts"),
    )
)
def fetch(
    name: Annotated[
        str,
        typer.Argument(
            help="Name of a model in `neurofit models list` that has released weights.", autocompletion=names.released
        ),
    ],
    from_: From = None,
    folder: Folder = None,
    discard_checkpoint: Discard = False,
    as_json: Json = False,
) -> None:
    """Bring a model's released weights to this machine: download, verify, convert, store.

    What is there and right is left alone. Nobody publishes checksums: what comes first is what has to come later.
    """
    from neurofit.models.conversion import fetch_released
    from neurofit.models.released_store import released_manifest

    output = Output(as_json)
    manifest = released_manifest(name)
    output.note(f"{manifest.title} - licence: {manifest.licence}" + (f" ({manifest.terms})" if manifest.terms else ""))
    fetched = fetch_released(name, folder, from_, discard_checkpoint, output.progress)
    for file in fetched.files:
        output.say(f"{file.status}: {file.path} ({file.size:,} bytes, {file.digest})")
    verb = "already there and verified" if fetched.status == "already there" else "converted"
    output.say(f"{verb}: {fetched.path} ({fetched.stored.size:,} bytes)")
    if fetched.stored.trusted_on_first_use:
        output.warn("nobody publishes checksums of these weights: they are what came on the first fetch")
    output.emit(
        {"status": fetched.status, "path": fetched.path, "trusted_on_first_use": fetched.stored.trusted_on_first_use}
        | dataclasses.asdict(fetched.stored)
    )


def _without_layers(model: ModelDescription) -> dict[str, object]:
    return {key: value for key, value in dataclasses.asdict(model).items() if key != "layers"}


def _in_words(model: ModelDescription) -> dict[str, str]:
    """Turn a description into lines for people."""
    picture, shown = model.preprocessing, model.presentation
    steps = [f"{model.step_ms} ms a step"]
    if model.unroll:
        steps.append(f"{model.unroll} unroll")
    if shown:
        steps.append(f"trained with {shown.steps} steps" + (f", the image on for {shown.on}" if shown.on else ""))
    return {
        "name": model.name,
        "summary": model.summary,
        "parameters": f"{model.parameters:,}",
        "weights": model.weights + _weights_remark(model),
        "licence": model.licence,
        "top-1": _accuracy(model),
        "time": "; ".join(steps),
        "decoder": model.decoder or "",
        "input": f"{picture.size_px} x {picture.size_px} px, minus {_numbers(picture.mean)}, divided by "
        f"{_numbers(picture.std)}; the screen without an image is {picture.blank} after that",
        "compared with": ", ".join(f"{region}: {layer}" for region, layer in model.region_layers.items()),
        "published": _published(model),
    }


def _cost_in_words(cost: Mapping[str, int]) -> dict[str, str]:
    """Say what a network costs."""
    if not cost:
        return {}
    on = f"the image on for {cost['macs_on']}"
    return {
        "units": f"{cost['network_units']:,} in all layers",
        "operations": f"{cost['macs'] / 1e9:.3g} G multiply-accumulates an image, {cost['macs_steps']} steps, {on}",
    }


def _published(model: ModelDescription) -> str:
    """Say what layers the authors compare with which region, and where they do."""
    from neurofit.models.zoo import PUBLISHED_SOURCE

    several = ", ".join(f"{region}: {' or '.join(layers)}" for region, layers in model.published_layers.items())
    return f"{several} ({PUBLISHED_SOURCE})" if several else ""


def _accuracy(model: ModelDescription) -> str:
    """Say what accuracy is to be expected, and who measured it."""
    if model.top1 is None:
        return ""
    source = "as measured when they were trained" if model.released is None else "ImageNet validation, as published"
    return f"{_percent(model.top1)} %, top-5 {_percent(model.top5)} % ({source})"


def _weights_remark(model: ModelDescription) -> str:
    """Say what else is known of the weights, or how to get them."""
    if model.weights == "released":
        return f" by the authors, not here yet: run `neurofit models fetch {model.released}`"
    if model.weights == "missing":
        return ": the file that the architecture names is not beside it"
    details = [f"{key.replace('_', ' ')} {value}" for key, value in model.weights_details.items() if "top" not in key]
    return f" ({'; '.join(details)})" if details else ""


def _layer_row(layer: LayerDescription, step_ms: int) -> tuple[str, ...]:
    return (
        layer.name,
        " x ".join(map(str, layer.shape)),
        layer.cell or _NOTHING,
        ", ".join(layer.feedback_from) or _NOTHING,
        f"{layer.parameters:,}",
        str(layer.first_step),
        str(layer.first_step * step_ms),
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], right: set[int]) -> list[str]:
    """Return lines with aligned columns, numbers to the right."""
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = []
    for row in (header, *rows):
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _percent(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.2f}"


def _numbers(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"
