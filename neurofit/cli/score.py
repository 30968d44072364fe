"""``neurofit score``: one model, one region, one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neurofit.cli import options as opt
from neurofit.cli.examples import examples
from neurofit.cli.output import Output
from neurofit.cli.plan_words import say_changes, say_plan
from neurofit.cli.population_words import say_population_score

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from neurofit.report.record import RunRecord
    from neurofit.scoring.benchmark import Benchmark
    from neurofit.scoring.commitment import Commitment
    from neurofit.scoring.plan import Planned
    from neurofit.subjects.library import LoadedSubject

EXAMPLES = examples(
    ("the bundled recurrent network on the embedded, simulated IT", "neurofit score --model rgc --region IT"),
    ("on recorded V4, the record as JSON", "neurofit score --model ff --benchmark cowley2023-v4-201016 --json"),
    ("a network of your own, by the similarity of its responses",
     "neurofit score --model nets/mine.py:factory --layer conv --region V4 \\\n    --metric rsa"),
)  # fmt: skip


def score(
    model: opt.Model,
    region: opt.Region = None,
    benchmark: opt.BenchmarkName = None,
    layer: opt.Layer = None,
    commitment: Annotated[
        Path | None, typer.Option(help="File of `neurofit layers`: each split has the layer of its training stimuli.")
    ] = None,
    metric: opt.Metric = None,
    mapping: opt.TemporalMapping = None,
    static_mode: opt.StaticMode = None,
    static_latency_ms: opt.StaticLatency = None,
    static_layers: opt.StaticLayers = None,
    regression: opt.Regression = None,
    components: opt.Components = None,
    splits: opt.Splits = None,
    halvings: opt.Halvings = None,
    formula: opt.FormulaName = None,
    image_groups: opt.ImageGroups = None,
    predictions: opt.Predictions = False,
    device: opt.Device = None,
    batch: opt.Batch = None,
    precision: opt.Precision = "float32",
    channels_last: opt.ChannelsLast = False,
    compiled: opt.Compiled = False,
    mapping_device: opt.MappingDevice = "cpu",
    features: opt.Features = "auto",
    memory: opt.RunMemory = "8GiB",
    scratch: opt.Scratch = None,
    store: opt.Store = None,
    no_store: opt.NoStore = False,
    data: opt.Data = None,
    out: opt.Out = Path("neurofit-out"),
    plan: opt.Plan = False,
    as_json: opt.AsJson = False,
) -> None:
    """Score a model against a region's responses, time bin by time bin."""
    output = Output(as_json)
    opt.check_formula(formula)
    chosen = opt.benchmark_named(benchmark, region).varied(
        region=region, metric=metric, regression=regression, temporal=mapping, n_components=components, n_splits=splits,
        formula=formula, n_halvings=halvings, static_mode=static_mode, static_latency_ms=static_latency_ms,
        static_layers=opt.layer_names(static_layers),
    )  # fmt: skip
    from neurofit.files.manifest import load_manifest
    from neurofit.report.record import described, make_record
    from neurofit.scoring.committed import run_committed
    from neurofit.scoring.metrics import PREDICTIVITY
    from neurofit.scoring.run import run
    from neurofit.scoring.time_course import as_benchmarked
    from neurofit.subjects.library import committed_layer, load_subject
    from neurofit.subjects.model_subject import choose_device
    from neurofit.subjects.user_code import running_user_code

    place = str(choose_device(mapping_device))
    if place != "cpu" and chosen.metric.kind != PREDICTIVITY:
        chosen.metric.refuse(f"--mapping-device '{place}'")
    with output.of_others():
        subject = load_subject(
            model, device=device, batch=batch, announce=output.say,
            features=opt.feature_options(features, memory, scratch, store, no_store),
            execution=opt.execution(precision, channels_last, compiled),
        )  # fmt: skip
    subject = as_benchmarked(subject, chosen, must=static_mode is not None)
    following = None if commitment is None else _commitment(commitment, layer, chosen)
    if following is None:
        layer = layer or committed_layer(subject, chosen.region)
        opt.check_layer(layer, subject)
    if plan:
        with output.of_others(), running_user_code(model):
            planned = _planned(chosen, subject, layer, following, memory, data, place, timed=True)
        if planned is None:
            raise _unplannable(chosen, subject, following)
        say_plan(output, planned.plan)
        return
    folder = opt.writable(out)
    manifest = load_manifest(chosen.dataset)
    which = f"layer {layer}" if following is None else f"layers as in {commitment}"
    output.say(f"{subject.name}, {which}, on {chosen.region} of {manifest.title}")
    options: Any = {"data": data, "mapping_device": place, "progress": output.progress}
    extras = _extras(chosen, following, image_groups, predictions)
    with output.of_others(), running_user_code(model):
        planned = _planned(chosen, subject, layer, following, memory, data, place)
        if planned is not None:
            say_changes(output, planned.plan)
            subject = planned.subject
            options |= {"target": planned.target, "n_jobs": planned.plan.threads}
        if following is None:
            result = run(chosen, subject, layer=str(layer), **options, **extras)
        else:
            result = run_committed(chosen, subject, following, **options)
            output.say(f"commitment: {result.attrs['commitment_use']}")
        record = make_record(result, chosen, manifest, described(subject, chosen, result))
    _say(output, result, chosen, record)
    stem = opt.slug(subject.name, layer or "committed", chosen.region, chosen.stem())
    _write(output, folder / stem, result, record, chosen)


def _planned(
    benchmark: Benchmark,
    subject: LoadedSubject,
    layer: str | None,
    following: Commitment | None,
    memory: str,
    data: Path | None,
    mapping_device: str,
    timed: bool = False,
) -> Planned | None:
    """Fit a score into its memory; None where that is not predicted: see `_unplannable`."""
    from neurofit.cli.output import size_in_bytes
    from neurofit.scoring.planned import fit_into_memory

    if layer is None or following is not None:
        return None
    return fit_into_memory(
        benchmark, subject, layer, limit_bytes=size_in_bytes(memory), data=data, mapping_device=mapping_device,
        timed=timed,
    )  # fmt: skip


def _unplannable(benchmark: Benchmark, subject: LoadedSubject, following: Commitment | None) -> Exception:
    from neurofit.errors import ConfigurationError

    found = f"the metric is '{benchmark.metric.kind}', the subject {subject.name}, perhaps compiled"
    return ConfigurationError(
        "a plan is of the predictivity of one layer of a network",
        found if following is None else "a commitment was given",
        "leave --plan out",
    )


def _extras(
    benchmark: Benchmark, following: Commitment | None, image_groups: int | None, predictions: bool
) -> dict[str, Any]:
    """Return what the score is to hold besides; predictivities of one layer alone can."""
    from neurofit.errors import ConfigurationError
    from neurofit.scoring.metrics import PREDICTIVITY

    extras = {"image_groups": image_groups or 0, "keep_predictions": predictions}
    if not any(extras.values()):
        return {}
    if following is not None or benchmark.metric.kind != PREDICTIVITY:
        raise ConfigurationError(
            "--image-groups and --predictions are for predictivity of one layer",
            f"the metric is '{benchmark.metric.kind}'" if following is None else "a commitment was given",
            "leave them out",
        )
    return extras


def _say(output: Output, score: xr.Dataset, benchmark: Benchmark, record: RunRecord) -> None:
    """Say what was scored, the table per time bin, and the headline."""
    from neurofit.scoring.metrics import PREDICTIVITY
    from neurofit.scoring.summary import summarise

    table = summarise(score, benchmark.aggregation)
    if benchmark.metric.kind != PREDICTIVITY:
        say_population_score(output, score, benchmark, table, record)
        return
    _say_what(output, score, benchmark)
    _say_table(output, table)
    _say_headline(output, record)


def _write(output: Output, stem: Path, score: xr.Dataset, record: RunRecord, benchmark: Benchmark) -> None:
    """Write record, score and figure, and say where they are."""
    from neurofit.report.figures import plot_time_course
    from neurofit.report.style import save_figure
    from neurofit.scoring.storage import save_score

    record_path, score_path, figure_path = (stem.with_name(f"{stem.name}.{kind}") for kind in ("json", "nc", "png"))
    written = {
        "record": record.save(record_path),
        "score": save_score(score, score_path),
        "figure": save_figure(plot_time_course(score, benchmark.aggregation), figure_path),
    }
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({**record.as_dict(), "written": {k: str(v) for k, v in written.items()}})


def _commitment(path: Path, layer: str | None, benchmark: Benchmark) -> Commitment:
    """Return the commitment of a file, which leaves no layer to be named and is of predictivity."""
    from neurofit.errors import ConfigurationError
    from neurofit.scoring.commitment import load_commitment
    from neurofit.scoring.metrics import PREDICTIVITY

    if layer is not None:
        raise ConfigurationError(
            "a score is of one layer or follows a commitment",
            f"--layer {layer} and --commitment were given",
            "drop one",
        )
    following = load_commitment(path)
    if benchmark.metric.kind != PREDICTIVITY:
        benchmark.metric.refuse("--commitment")
    return following


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
        f"mapping: {attrs['mapping']}, {attrs['temporal_mapping']} in time, {attrs['n_splits']} splits; "
        f"{attrs['n_halvings']} halvings; features: {features}"
    )
    output.say(f"time course of {attrs['subject']}: {attrs['source_time_course']}")
    formula = formula_named(str(attrs["formula"]))
    output.say(f"noise-corrected by '{formula.name}': {formula.text}" if formula.corrects else "no noise correction")
    output.say()


def _say_table(output: Output, table: pd.DataFrame) -> None:
    output.say("   time bin     raw r  consistency  corrected   95% interval    counted  excluded")
    for row in table.to_dict("records"):
        raw, consistency, corrected, low, high = (
            opt.number(row[name]) for name in ("raw", "internal_consistency", "corrected", "low", "high")
        )
        output.say(
            f"{row['time_bin_start']:>4} -{row['time_bin_end']:>4} ms  {raw}     {consistency}      {corrected}   "
            f"[{low}, {high}]  {row['counted']:>7}  {row['excluded']:>8}{'  source silent' if row['silent'] else ''}"
        )
    output.say()


def _say_headline(output: Output, record: RunRecord) -> None:
    result: Any = record.score
    value, low, high, raw = (opt.number(result[name]).strip() for name in ("value", "low", "high", "raw"))
    output.say(
        f"score{' on SIMULATED data' if record.simulated else ''}: {value} [{low}, {high}] by '{result['formula']}' "
        f"(raw r {raw}), mean of {result['bins']} bins in {result['window_start_ms']}-{result['window_end_ms']} ms, "
        f"median over {result['neuroids_counted']} neuroids ({result['neuroids_excluded']} excluded)"
    )
