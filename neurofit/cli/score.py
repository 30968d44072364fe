"""``neurofit score``: one model, one region, one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from neurofit.cli.output import Output, size_in_bytes

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from neurofit.models.execution import Execution
    from neurofit.report.record import RunRecord
    from neurofit.scoring.benchmark import Benchmark
    from neurofit.subjects.features import FeatureOptions
    from neurofit.subjects.model_subject import ModelSubject

EXAMPLES = (
    "Examples: neurofit score --model rgc --region IT   |   "
    "neurofit score --model ff --benchmark cowley2023-v4-201016 --json"
)

# The embedded, simulated default for each region.
DEFAULT_BENCHMARKS = {"V4": "sim-v4", "IT": "sim-it", "pIT": "sim-it", "aIT": "sim-it"}


def score(
    model: Annotated[
        str, typer.Option(help="Model of the zoo, such as rgc, or your own: package.module:factory, file.py:factory.")
    ],
    region: Annotated[str | None, typer.Option(help="V4, IT, pIT, aIT ...; the benchmark's own by default.")] = None,
    benchmark: Annotated[
        str | None,
        typer.Option(help="Benchmark by name or TOML file; the embedded simulated one of the region by default."),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Layer of the model; the one committed to the region by default.")
    ] = None,
    mapping: Annotated[
        Literal["per-bin", "fixed"] | None, typer.Option(help="One mapping per time bin, or one for all.")
    ] = None,
    regression: Annotated[
        Literal["pls", "ridge"] | None, typer.Option(help="Partial least squares, or ridge with a penalty per neuroid.")
    ] = None,
    components: Annotated[int | None, typer.Option(min=1, help="PLS components.")] = None,
    splits: Annotated[int | None, typer.Option(min=1, help="Train/test splits.")] = None,
    halvings: Annotated[int | None, typer.Option(min=1, help="Halvings of the repetitions.")] = None,
    formula: Annotated[str | None, typer.Option(help="Noise correction: both, neural, both-squared, raw ...")] = None,
    device: Annotated[
        str | None, typer.Option(help="cpu, cuda, mps or auto; cpu by default, or as your own model has it.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Images per forward pass; 32 by default, or as your own model has it.")
    ] = None,
    precision: Annotated[
        Literal["float32", "bfloat16", "float16"], typer.Option(help="Of the network; lower ones need a device for it.")
    ] = "float32",
    channels_last: Annotated[bool, typer.Option("--channels-last", help="Channels next to each other.")] = False,
    compiled: Annotated[bool, typer.Option("--compile", help="Compile the network; slow to start.")] = False,
    mapping_device: Annotated[str, typer.Option(help="Where PLS is computed: cpu, or cuda.")] = "cpu",
    features: Annotated[
        Literal["auto", "raw", "dual", "projected"],
        typer.Option(
            help="Wide layers: exact by inner products (dual), projected, or as they are (raw); auto: what fits."
        ),
    ] = "auto",
    memory: Annotated[str, typer.Option(help="What features may use at most, such as 8GiB or 500MB.")] = "8GiB",
    scratch: Annotated[
        Path | None, typer.Option(help="Folder for temporary files of wide layers; the system's by default.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Folder of fetched datasets; the user's data folder by default.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for record, score and figure.")] = Path("neurofit-out"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as one JSON document.")] = False,
) -> None:
    """Score a model against a region's responses, time bin by time bin."""
    output = Output(as_json)
    _check_formula(formula)
    chosen = _benchmark(benchmark, region).varied(
        region=region,
        regression=regression,
        temporal=mapping,
        n_components=components,
        n_splits=splits,
        formula=formula,
        n_halvings=halvings,
    )
    from neurofit.files.manifest import load_manifest
    from neurofit.report.figures import plot_time_course, save_figure
    from neurofit.report.record import make_record
    from neurofit.scoring.run import run
    from neurofit.scoring.summary import summarise
    from neurofit.subjects.library import committed_layer, load_subject
    from neurofit.subjects.model_subject import choose_device
    from neurofit.subjects.user_code import running_user_code

    place = str(choose_device(mapping_device))
    with output.of_others():
        subject = load_subject(
            model,
            device=device,
            batch=batch,
            features=_features(features, memory, scratch),
            announce=output.say,
            execution=_execution(precision, channels_last, compiled),
        )
    layer = layer or committed_layer(subject, chosen.region)
    _check_layer(layer, subject)
    folder = _writable(out)
    manifest = load_manifest(chosen.dataset)
    output.say(f"{subject.name}, layer {layer}, on {chosen.region} of {manifest.title}")
    with output.of_others(), running_user_code(model):
        result = run(chosen, subject, layer=layer, data=data, mapping_device=place, progress=True)
    table = summarise(result, chosen.aggregation)
    record = make_record(result, chosen, manifest, subject.describe())
    _say_what(output, result, chosen)
    _say_table(output, table)
    _say_headline(output, record)
    stem = f"{_slug(subject.name)}-{_slug(layer)}-{_slug(chosen.region)}-{_slug(chosen.name)}"
    written = {
        "record": record.save(folder / f"{stem}.json"),
        "figure": save_figure(plot_time_course(result, chosen.aggregation), folder / f"{stem}.png"),
    }
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({**record.as_dict(), "written": {k: str(v) for k, v in written.items()}})


def _features(choice: Any, memory: str, scratch: Path | None) -> FeatureOptions | None:
    """Return how features may be kept; None is as the model has it."""
    from neurofit.subjects.features import FeatureOptions

    chosen = FeatureOptions(choice, size_in_bytes(memory), scratch)
    return None if chosen == FeatureOptions() else chosen


def _check_layer(layer: str, subject: ModelSubject) -> None:
    from neurofit.errors import UnknownNameError

    if layer not in subject.layers:  # a benchmark's data take a while to load
        raise UnknownNameError("layer", layer, subject.layers)


def _execution(precision: Any, channels_last: bool, compiled: bool) -> Execution | None:
    """Return how a network is to be computed; None is as the model has it."""
    from neurofit.models.execution import Execution

    chosen = Execution(precision, channels_last, compiled)
    return None if chosen == Execution() else chosen


def _benchmark(name: str | None, region: str | None) -> Benchmark:
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


def _check_formula(formula: str | None) -> None:
    from neurofit.scoring.formulas import formula_named

    if formula is not None:
        formula_named(formula)


def _writable(folder: Path) -> Path:
    """Return the output folder, made and tried before anything is computed."""
    from neurofit.files.atomic import atomic_write, reporting_output_errors

    probe = folder / ".neurofit-can-write"
    with reporting_output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(probe):
            pass
        probe.unlink()
    return folder


def _say_what(output: Output, score: xr.Dataset, benchmark: Benchmark) -> None:
    from neurofit.scoring.formulas import formula_named

    attrs = score.attrs
    kind = "SIMULATED responses (neurofit's own ventral stream)" if attrs["simulated"] else "real recordings"
    repetitions = f"{attrs['repetitions_min']}-{attrs['repetitions_max']} repetitions"
    features = f"{attrs['source_units']} units, {attrs['n_source_neuroids']} columns, reduction: "
    features += str(attrs.get("source_reduction", "none"))
    output.say(
        f"benchmark {benchmark.name}, version {benchmark.version}: {kind}, {attrs['n_stimuli']} images, {repetitions}, "
        f"{score.sizes['neuroid']} neuroids, {score.sizes['time_bin']} time bins"
    )
    output.say(
        f"mapping: {attrs['mapping']}, {attrs['temporal_mapping']}, {attrs['n_splits']} splits; "
        f"{attrs['n_halvings']} halvings; features: {features}"
    )
    formula = formula_named(str(attrs["formula"]))
    output.say(f"noise-corrected by '{formula.name}': {formula.text}" if formula.corrects else "no noise correction")
    output.say()


def _say_table(output: Output, table: pd.DataFrame) -> None:
    output.say("   time bin     raw r  consistency  corrected   95% interval    counted  excluded")
    for row in table.to_dict("records"):
        raw, consistency, corrected, low, high = (
            _number(row[name]) for name in ("raw", "internal_consistency", "corrected", "low", "high")
        )
        output.say(
            f"{row['time_bin_start']:>4} -{row['time_bin_end']:>4} ms  {raw}     {consistency}      {corrected}   "
            f"[{low}, {high}]  {row['counted']:>7}  {row['excluded']:>8}{'  source silent' if row['silent'] else ''}"
        )
    output.say()


def _say_headline(output: Output, record: RunRecord) -> None:
    result: Any = record.score
    value, low, high, raw = (_number(result[name]).strip() for name in ("value", "low", "high", "raw"))
    output.say(
        f"score{' on SIMULATED data' if record.simulated else ''}: {value} [{low}, {high}] by '{result['formula']}' "
        f"(raw r {raw}), mean of {result['bins']} bins in {result['window_start_ms']}-{result['window_end_ms']} ms, "
        f"median over {result['neuroids_counted']} neuroids ({result['neuroids_excluded']} excluded)"
    )


def _number(value: float) -> str:
    return "   nan" if value != value else f"{value:6.3f}"


def _slug(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text).strip("-")
