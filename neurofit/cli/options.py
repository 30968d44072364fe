"""Options that several commands share, and what they mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from neurofit.cli.output import size_in_bytes

if TYPE_CHECKING:
    from neurofit.models.execution import Execution
    from neurofit.scoring.benchmark import Benchmark
    from neurofit.subjects.features import FeatureOptions
    from neurofit.subjects.library import LoadedSubject

# The embedded, simulated default for each region.
DEFAULT_BENCHMARKS = {"V4": "sim-v4", "IT": "sim-it", "pIT": "sim-it", "aIT": "sim-it"}

Model = Annotated[
    str,
    typer.Option(help="Model of the zoo, such as rgc, or your own: file.toml, file.py:factory, package.mod:factory."),
]
Region = Annotated[str | None, typer.Option(help="V4, IT, pIT, aIT ...; the benchmark's own by default.")]
BenchmarkName = Annotated[
    str | None,
    typer.Option(
        "--benchmark", help="Benchmark by name or TOML file; the embedded simulated one of the region by default."
    ),
]
TemporalMapping = Annotated[
    Literal["per-bin", "fixed"] | None, typer.Option("--mapping", help="One mapping per time bin, or one for all.")
]
StaticMode = Annotated[
    Literal["own", "constant", "once", "uniform", "graded"] | None,
    typer.Option("--static-mode", help="What a network without dynamics does in time; the benchmark's by default."),
]
StaticLatency = Annotated[
    int | None, typer.Option("--static-latency-ms", min=0, help="When its responses begin; the mode's own by default.")
]
StaticLayers = Annotated[
    str | None, typer.Option("--static-layers", help="Its layers in uniform and graded, such as conv4,conv5; all.")
]
Metric = Annotated[
    Literal["predictivity", "rsa", "decoding"] | None,
    typer.Option(help="What is compared: predictions, RDMs, or what is decoded; the benchmark's own by default."),
]
Regression = Annotated[
    Literal["pls", "ridge"] | None, typer.Option(help="Partial least squares, or ridge with a penalty per neuroid.")
]
Components = Annotated[int | None, typer.Option(min=1, help="PLS components.")]
Splits = Annotated[int | None, typer.Option(min=1, help="Train/test splits.")]
Halvings = Annotated[int | None, typer.Option(min=1, help="Halvings of the repetitions.")]
FormulaName = Annotated[
    str | None, typer.Option("--formula", help="Noise correction: both, neural, both-squared, raw ...")
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, mps or auto; cpu by default, or as your own model has it.")
]
Batch = Annotated[
    int | None, typer.Option(min=1, help="Images per forward pass; 32 by default, or as your own model has it.")
]
Precision = Annotated[
    Literal["float32", "bfloat16", "float16"], typer.Option(help="Of the network; lower ones need a device for it.")
]
ChannelsLast = Annotated[bool, typer.Option("--channels-last", help="Channels next to each other.")]
Compiled = Annotated[bool, typer.Option("--compile", help="Compile the network; slow to start.")]
MappingDevice = Annotated[str, typer.Option(help="Where PLS is computed: cpu, or cuda.")]
Features = Annotated[
    Literal["auto", "raw", "dual", "projected"],
    typer.Option(help="Wide layers: exact by inner products (dual), projected, or as they are (raw); auto: what fits."),
]
Memory = Annotated[str, typer.Option(help="What features may use at most, such as 8GiB or 500MB.")]
Scratch = Annotated[
    Path | None, typer.Option(help="Folder for temporary files of wide layers; the system's by default.")
]
ImageGroups = Annotated[
    int | None,
    typer.Option(
        "--image-groups", min=5, help="Also score without each of so many groups of images, to compare later."
    ),
]
Predictions = Annotated[bool, typer.Option("--predictions", help="Keep held-out predictions in the score's file.")]
Data = Annotated[Path | None, typer.Option(help="Folder of fetched datasets; the user's data folder by default.")]
Out = Annotated[Path, typer.Option(help="Folder for record, score and figure.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the record as one JSON document.")]


def benchmark_named(name: str | None, region: str | None) -> Benchmark:
    """Return the benchmark of that name, or the embedded one of a region."""
    from neurofit.errors import ConfigurationError, UnknownNameError
    from neurofit.scoring.benchmark import load_benchmark

    if name is not None:
        return load_benchmark(name)
    if region is None:
        raise ConfigurationError(
            "a score needs a region or a benchmark", "neither --region nor --benchmark was given", "add --region IT"
        )
    if region not in DEFAULT_BENCHMARKS:
        raise UnknownNameError("region with an embedded benchmark", region, DEFAULT_BENCHMARKS)
    return load_benchmark(DEFAULT_BENCHMARKS[region])


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


def feature_options(choice: Any, memory: str, scratch: Path | None) -> FeatureOptions | None:
    """Return how features may be kept; None is as the model has it."""
    from neurofit.subjects.features import FeatureOptions

    chosen = FeatureOptions(choice, size_in_bytes(memory), scratch)
    return None if chosen == FeatureOptions() else chosen


def execution(precision: Any, channels_last: bool, compiled: bool) -> Execution | None:
    """Return how a network is to be computed; None is as the model has it."""
    from neurofit.models.execution import Execution

    chosen = Execution(precision, channels_last, compiled)
    return None if chosen == Execution() else chosen


def writable(folder: Path) -> Path:
    """Return the output folder, made and tried before anything is computed."""
    from neurofit.files.atomic import atomic_write, reporting_output_errors

    probe = folder / ".neurofit-can-write"
    with reporting_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(probe):
            pass
        probe.unlink()
    return folder


def benchmark_stem(benchmark: Benchmark) -> str:
    """Return what files call a benchmark; a varied one by 6 hex digits too, since all variations share one name."""
    import hashlib
    import json
    from dataclasses import asdict

    from neurofit.files.json_text import plain_values

    name = benchmark.name.removesuffix(" (varied)")
    if name == benchmark.name:
        return name
    content = json.dumps(plain_values(asdict(benchmark)), sort_keys=True)
    return f"{name} varied {hashlib.sha256(content.encode()).hexdigest()[:6]}"


def slug(*texts: str) -> str:
    """Return a file's stem from some names."""
    return "-".join("".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip("-") for text in texts)


def number(value: float) -> str:
    """Return a number of a table, six characters wide."""
    return "   nan" if value != value else f"{value:6.3f}"
