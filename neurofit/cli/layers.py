"""``neurofit layers``: which layer of a model matches a region, without looking at the stimuli that it is tested on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from neurofit.cli import options as opt
from neurofit.cli.examples import examples
from neurofit.cli.output import Output

if TYPE_CHECKING:
    from neurofit.scoring.commitment import Commitment

EXAMPLES = examples(
    ("which layer matches a region", "neurofit layers --model rgc --region IT"),
    ("one layer for each neuroid, on recorded V4",
     "neurofit layers --model ff --benchmark cowley2023-v4-201016 --per neuroid"),
)  # fmt: skip


def layers(
    model: opt.Model,
    region: opt.Region = None,
    benchmark: opt.BenchmarkName = None,
    per: Annotated[
        Literal["region", "bin", "neuroid"], typer.Option(help="One layer for the region, per bin, or per neuroid.")
    ] = "region",
    average: Annotated[
        Literal["responses", "scores"],
        typer.Option(help="What is averaged over the window: responses, before they are mapped, or the r of its bins."),
    ] = "responses",
    layer: Annotated[
        list[str] | None,
        typer.Option(
            help="A layer to compare; repeat it for several. All by default.", autocompletion=opt.names.layers
        ),
    ] = None,
    inner_splits: Annotated[
        int, typer.Option(min=1, help="Splits of each split's training stimuli, by which its layer is chosen.")
    ] = 3,
    mapping: opt.TemporalMapping = None,
    static_mode: opt.StaticMode = None,
    static_latency_ms: opt.StaticLatency = None,
    static_layers: opt.StaticLayers = None,
    regression: opt.Regression = None,
    components: opt.Components = None,
    splits: opt.Splits = None,
    halvings: opt.Halvings = None,
    formula: Annotated[
        str,
        typer.Option(
            help="Noise correction of what is shown; layers are always chosen by raw r.",
            autocompletion=opt.names.formulas,
            rich_help_panel=opt.VARIED,
        ),
    ] = "raw",
    device: opt.Device = None,
    batch: opt.Batch = None,
    mapping_device: opt.MappingDevice = "cpu",
    features: opt.Features = "auto",
    memory: opt.Memory = "8GiB",
    scratch: opt.Scratch = None,
    store: opt.Store = None,
    no_store: opt.NoStore = False,
    data: opt.Data = None,
    out: opt.Out = Path("neurofit-out"),
    as_json: opt.AsJson = False,
) -> None:
    """Compare all layers of a model with a region, and commit to one: chosen in the training stimuli of every split."""
    output = Output(as_json)
    opt.check_formula(formula)
    chosen = opt.benchmark_named(benchmark, region).varied(
        region=region,
        regression=regression,
        temporal=mapping,
        n_components=components,
        n_splits=splits,
        n_halvings=halvings,
        static_mode=static_mode,
        static_latency_ms=static_latency_ms,
        static_layers=opt.layer_names(static_layers),
    )
    opt.check_predictivity(chosen, "layers")
    from neurofit.files.manifest import load_manifest
    from neurofit.report.layers_figure import plot_layers
    from neurofit.report.layers_record import make_layers_record
    from neurofit.report.record import save_record
    from neurofit.report.style import save_figure
    from neurofit.scoring.committed import score_layers
    from neurofit.scoring.time_course import as_benchmarked
    from neurofit.subjects.library import load_subject
    from neurofit.subjects.model_subject import choose_device
    from neurofit.subjects.user_code import running_user_code

    place = str(choose_device(mapping_device))
    kept = opt.feature_options(features, memory, scratch, store, no_store)
    with output.of_others():
        subject = load_subject(model, device=device, batch=batch, features=kept, announce=output.say)
    subject = as_benchmarked(subject, chosen, must=static_mode is not None)
    for name in layer or ():
        opt.check_layer(name, subject)
    folder = opt.writable(out)
    manifest = load_manifest(chosen.dataset)
    kind = "SIMULATED responses" if manifest.simulated else "real recordings"
    output.say(
        f"{subject.name}, {len(layer or subject.layers)} layers, on {chosen.region} of {manifest.title} ({kind})"
    )
    with output.of_others(), running_user_code(model):
        result = score_layers(
            chosen, subject, per=per, average=average, layers=layer, n_inner=inner_splits, formula=formula, data=data,
            mapping_device=place, progress=output.progress,
        )  # fmt: skip
    told = result.committed.attrs
    output.say(f"mapping: {told['mapping']}, {told['temporal_mapping']} in time")
    output.say(f"time course of {subject.name}: {told['source_time_course']}")
    record = make_layers_record(result, chosen.varied(formula=formula), manifest, subject.describe())
    _say_table(output, result.commitment, record)
    _say_choice(output, result.commitment, record)
    kinds = [f"per-{per}"] * (per != "region") + ["by-scores"] * (average == "scores") + [formula] * (formula != "raw")
    stem = opt.slug(subject.name, "layers", chosen.region, chosen.stem(), *kinds)
    written = {
        "record": save_record(record, folder / f"{stem}.json"),
        "commitment": result.commitment.save(folder / f"{stem}.commitment.json"),
        "figure": save_figure(plot_layers(result, chosen.aggregation), folder / f"{stem}.png"),
    }
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({**record, "written": {k: str(v) for k, v in written.items()}})


def _say_table(output: Output, commitment: Commitment, record: dict[str, Any]) -> None:
    start, end = commitment.window_ms
    width = max(8, *(len(row.layer) for row in commitment.table))
    formula = record["score"]["formula"]
    output.say(f"{'layer':{width}}  r, {start}-{end} ms  95% interval      splits  neuroids  held out ({formula})")
    for row, told in zip(commitment.table, record["layers"], strict=True):
        r, low, high = (opt.number(value) for value in (row.r, row.low, row.high))
        held_out = opt.number(float("nan") if told["held_out"] is None else told["held_out"])
        splits = sum(layer == row.layer for layer in commitment.split_layers)
        output.say(
            f"{row.layer:{width}}  {r:>12}  [{low}, {high}]  {splits:>6}  {row.fraction:>8.0%}  {held_out:>8}"
            f"{'  <- committed' if row.layer == commitment.layer else ''}"
        )
    what = "of responses averaged over" if commitment.average == "responses" else "mean of the bins in"
    output.say(
        f"r: raw, {what} {start}-{end} ms, held out inside the training stimuli "
        f"({commitment.inner_splits}, for each of {len(commitment.split_layers)} splits), median over neuroids; "
        f"splits: how many choose the layer; neuroids: how many prefer it; held out: mean of the bins in the window on "
        "each split's test stimuli, which nothing was chosen by"
    )
    output.say()


def _say_choice(output: Output, commitment: Commitment, record: dict[str, Any]) -> None:
    if commitment.per == "bin":
        output.say("by bin: " + _runs(commitment.units, commitment.overall))
    result = record["score"]
    value, low, high = (float("nan") if result[name] is None else result[name] for name in ("value", "low", "high"))
    output.say(
        f"committed to {commitment.region}{' (SIMULATED)' if commitment.simulated else ''}: {commitment.layer}; "
        f"{record['commitment']['use']}"
    )
    if note := _silence(commitment, record):
        output.say(note)
    output.say(
        f"score by the commitment, by '{result['formula']}': {opt.number(value).strip()} [{opt.number(low).strip()}, "
        f"{opt.number(high).strip()}], mean of {result['bins']} bins in {result['window_start_ms']}-"
        f"{result['window_end_ms']} ms"
    )


def _silence(commitment: Commitment, record: dict[str, Any]) -> str:
    """Say where the region's layer is silent inside the window, which an average over time does not show."""
    start, end = commitment.window_ms
    bins = next(row["time_bins"] for row in record["layers"] if row["layer"] == commitment.layer)
    inside = [b["silent"] for b in bins if b["time_bin_start"] >= start and b["time_bin_end"] <= end]
    if not any(inside) or commitment.average == "scores":
        return ""
    return (
        f"note: {commitment.layer} is silent in {sum(inside)} of the {len(inside)} bins of {start}-{end} ms and "
        "predicts nothing there; --average scores chooses by the bins' own r"
    )


def _runs(units: tuple[str, ...], layers: tuple[str, ...]) -> str:
    """Write successive bins of the same layer as one."""
    runs: list[list[str]] = []
    for unit, layer in zip(units, layers, strict=True):
        start, end = unit.split("-")
        if runs and runs[-1][2] == layer and runs[-1][1] == start:
            runs[-1][1] = end
        else:
            runs.append([start, end, layer])
    return ", ".join(f"{start}-{end} ms {layer}" for start, end, layer in runs)
