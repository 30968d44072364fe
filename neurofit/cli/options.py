"""Options that several commands share, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from neurofit.cli import names
from neurofit.cli.output import size_in_bytes
from neurofit.files.stems import slug as slug

if TYPE_CHECKING:
    from neurofit.models.execution import Execution
    from neurofit.scoring.benchmark import Benchmark
    from neurofit.subjects.features import FeatureOptions
    from neurofit.subjects.library import LoadedSubject

# Panels of help: a command's own questions come first, in its first panel.
VARIED, COMPUTING, FILES = "Instead of what the benchmark says", "Computing", "Files and output"

Model = Annotated[
    str,
    typer.Option(
        help="Model of the zoo, such as rgc, or your own: file.toml, file.py:factory, package.mod:factory.",
        autocompletion=names.models,
    ),
]
Region = Annotated[
    str | None,
    typer.Option(help="V4, IT, pIT, aIT ...; the benchmark's own by default.", autocompletion=names.regions),
]
Layer = Annotated[
    str | None,
    typer.Option(help="Layer of the model; the one committed to the region by default.", autocompletion=names.layers),
]
BenchmarkName = Annotated[
    str | None,
    typer.Option(
        "--benchmark",
        help="Benchmark by name or TOML file; the embedded simulated one of the region by default.",
        autocompletion=names.benchmarks,
    ),
]
TemporalMapping = Annotated[
    Literal["per-bin", "fixed"] | None,
    typer.Option("--mapping", help="One mapping per time bin, or one for all.", rich_help_panel=VARIED),
]
StaticMode = Annotated[
    Literal["own", "constant", "once", "uniform", "graded"] | None,
    typer.Option(
        "--static-mode",
        metavar="MODE",
        help="What a network without dynamics does in time: own, constant, once, uniform or graded; the benchmark's "
        "by default.",
        rich_help_panel=VARIED,
    ),
]
StaticLatency = Annotated[
    int | None,
    typer.Option(
        "--static-latency-ms",
        min=0,
        metavar="MS",
        help="When its responses begin; the mode's own by default.",
        rich_help_panel=VARIED,
    ),
]
StaticLayers = Annotated[
    str | None,
    typer.Option(
        "--static-layers", help="Its layers in uniform and graded, such as conv4,conv5; all.", rich_help_panel=VARIED
    ),
]
Metric = Annotated[
    Literal["predictivity", "rsa", "decoding"] | None,
    typer.Option(
        metavar="METRIC",
        help="What is compared: predictions (predictivity), RDMs (rsa), or what is decoded (decoding); the "
        "benchmark's own by default.",
        rich_help_panel=VARIED,
    ),
]
Regression = Annotated[
    Literal["pls", "ridge"] | None,
    typer.Option(help="Partial least squares, or ridge with a penalty per neuroid.", rich_help_panel=VARIED),
]
Components = Annotated[int | None, typer.Option(min=1, metavar="N", help="PLS components.", rich_help_panel=VARIED)]
Splits = Annotated[int | None, typer.Option(min=1, metavar="N", help="Train/test splits.", rich_help_panel=VARIED)]
Halvings = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Halvings of the repetitions.", rich_help_panel=VARIED)
]
FormulaName = Annotated[
    str | None,
    typer.Option(
        "--formula",
        help="Noise correction: both, neural, both-squared, raw ...",
        autocompletion=names.formulas,
        rich_help_panel=VARIED,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="cpu, cuda, mps or auto; cpu by default, or as your own model has it.",
        autocompletion=names.devices,
        rich_help_panel=COMPUTING,
    ),
]
Batch = Annotated[
    int | None,
    typer.Option(
        min=1,
        metavar="N",
        help="Images per forward pass; 32 by default, or as your own model has it.",
        rich_help_panel=COMPUTING,
    ),
]
Precision = Annotated[
    Literal["float32", "bfloat16", "float16"],
    typer.Option(
        metavar="TYPE",
        help="Of the network: float32, bfloat16 or float16; lower ones need a device for it.",
        rich_help_panel=COMPUTING,
    ),
]
ChannelsLast = Annotated[
    bool, typer.Option("--channels-last", help="Channels next to each other.", rich_help_panel=COMPUTING)
]
Compiled = Annotated[
    bool, typer.Option("--compile", help="Compile the network; slow to start.", rich_help_panel=COMPUTING)
]
MappingDevice = Annotated[
    str,
    typer.Option(help="Where PLS is computed: cpu, or cuda.", autocompletion=names.devices, rich_help_panel=COMPUTING),
]
Features = Annotated[
    Literal["auto", "raw", "dual", "projected"],
    typer.Option(
        metavar="KIND",
        help="Wide layers: exact by inner products (dual), projected, or as they are (raw); auto: what fits.",
        rich_help_panel=COMPUTING,
    ),
]
Memory = Annotated[
    str, typer.Option(help="What features may use at most, such as 8GiB or 500MB.", rich_help_panel=COMPUTING)
]
RunMemory = Annotated[
    str,
    typer.Option(
        "--memory",
        help="What the run may use at most, such as 8GiB or 500MB: it is fitted into it, or refused.",
        rich_help_panel=COMPUTING,
    ),
]
Plan = Annotated[
    bool, typer.Option("--plan", help="Say what would be computed, its memory and about its time; compute nothing.")
]
Scratch = Annotated[
    Path | None,
    typer.Option(help="Folder for temporary files of wide layers; the system's by default.", rich_help_panel=COMPUTING),
]
Store = Annotated[
    str | None,
    typer.Option(
        help="Folder in which features are kept for the next time, or 'default'; by default NEUROFIT_STORE, if set.",
        show_default=False,
        rich_help_panel=COMPUTING,
    ),
]
NoStore = Annotated[
    bool, typer.Option("--no-store", help="Compute all features, and keep none.", rich_help_panel=COMPUTING)
]
ImageGroups = Annotated[
    int | None,
    typer.Option(
        "--image-groups",
        min=5,
        metavar="N",
        help="Also score without each of so many groups of images, to compare later.",
    ),
]
Predictions = Annotated[bool, typer.Option("--predictions", help="Keep held-out predictions in the score's file.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder of fetched datasets; the user's data folder by default.", rich_help_panel=FILES),
]
Out = Annotated[Path, typer.Option(help="Folder for record, score and figure.", rich_help_panel=FILES)]
AsJson = Annotated[bool, typer.Option("--json", help="Print the record as one JSON document.", rich_help_panel=FILES)]


def benchmark_named(name: str | None, region: str | None) -> Benchmark:
    """Return the benchmark of that name, or the embedded one of a region."""
    from neurofit.scoring import benchmark

    return benchmark.benchmark_named(name, region)


def check_predictivity(benchmark: Benchmark, command: str) -> None:
    """Raise if a command that is about predictivity got a benchmark with another metric."""
    from neurofit.errors import ConfigurationError
    from neurofit.scoring.metrics import PREDICTIVITY

    if benchmark.metric.kind != PREDICTIVITY:
        raise ConfigurationError(
            f"neurofit {command} is about predictivity",
            f"the metric of {benchmark.name} is '{benchmark.metric.kind}'",
            'take a benchmark with the metric "predictivity", or use neurofit score',
        )


def check_formula(formula: str | None) -> None:
    """Raise if there is no such formula."""
    from neurofit.scoring.formulas import formula_named

    if formula is not None:
        formula_named(formula)


def check_layer(layer: str, subject: LoadedSubject) -> None:
    """Raise if the subject has no such layer, before a benchmark's data are loaded."""
    from neurofit.errors import UnknownNameError

    if layer not in subject.layers:
        raise UnknownNameError("layer", layer, subject.layers)


def layer_names(text: str | None) -> tuple[str, ...] | None:
    """Return the names in a list with commas."""
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def feature_options(
    choice: Any, memory: str, scratch: Path | None, store: str | None = None, no_store: bool = True
) -> FeatureOptions | None:
    """Return how features may be kept; None is as the model has it."""
    from neurofit.files.store import store_folder
    from neurofit.subjects.features import FeatureOptions

    chosen = FeatureOptions(choice, size_in_bytes(memory), scratch, None if no_store else store_folder(store))
    return None if chosen == FeatureOptions() else chosen


def execution(precision: Any, channels_last: bool, compiled: bool) -> Execution | None:
    """Return how a network is to be computed; None is as the model has it."""
    from neurofit.models.execution import Execution

    chosen = Execution(precision, channels_last, compiled)
    return None if chosen == Execution() else chosen


def writable(folder: Path) -> Path:
    """Return the output folder, made and tried before anything is computed."""
    import tempfile

    from neurofit.files.atomic import reporting_output_errors

    with reporting_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        # a file of its own for every process, and without a name where the system has that
        with tempfile.TemporaryFile(prefix=".neurofit-can-write-", dir=folder):
            pass
    return folder


def number(value: float) -> str:
    """Return a number of a table, six characters wide."""
    return "   nan" if value != value else f"{value:6.3f}"
