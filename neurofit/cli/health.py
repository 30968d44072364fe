"""``neurofit health``: predictivity against the number of components and of training stimuli."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from neurofit.cli import options as opt
from neurofit.cli.examples import examples
from neurofit.cli.output import Output

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    import xarray as xr

    from neurofit.scoring.benchmark import Benchmark
    from neurofit.scoring.health_summary import ComponentDiagnosis, LearningDiagnosis

EXAMPLES = examples(
    ("are there enough images, and how many components", "neurofit health --model rgc --region IT"),
    ("the learning curve alone, at sizes of one's choice",
     "neurofit health --model ff --benchmark cowley2023-v4-201016 \\\n    --curves learning --sizes 60,120,240,450"),
)  # fmt: skip


def health(
    model: opt.Model,
    region: opt.Region = None,
    benchmark: opt.BenchmarkName = None,
    layer: opt.Layer = None,
    curves: Annotated[
        Literal["both", "components", "learning"], typer.Option(help="Which curves; ridge has no components.")
    ] = "both",
    grid: Annotated[
        str | None, typer.Option(help="Numbers of components, such as 5,10,25; 1 to 50 and the benchmark's by default.")
    ] = None,
    sizes: Annotated[
        str | None, typer.Option(help="Training stimuli, such as 60,120,240,480; seven sizes by default.")
    ] = None,
    every_bin: Annotated[
        bool, typer.Option("--every-bin", help="Learning curves of all bins, not of the headline's alone.")
    ] = False,
    mapping: opt.TemporalMapping = None,
    static_mode: opt.StaticMode = None,
    static_latency_ms: opt.StaticLatency = None,
    static_layers: opt.StaticLayers = None,
    regression: opt.Regression = None,
    components: opt.Components = None,
    splits: opt.Splits = None,
    halvings: opt.Halvings = None,
    formula: opt.FormulaName = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the random order of training stimuli.")] = 0,
    resamples: Annotated[int, typer.Option(min=1, help="Bootstrap resamples of each interval.")] = 500,
    device: opt.Device = None,
    batch: opt.Batch = None,
    data: opt.Data = None,
    out: opt.Out = Path("neurofit-out"),
    as_json: opt.AsJson = False,
) -> None:
    """Diagnose a regression: components, overfitting, and what more training stimuli would bring."""
    output = Output(as_json)
    opt.check_formula(formula)
    chosen = opt.benchmark_named(benchmark, region).varied(
        region=region,
        regression=regression,
        temporal=mapping,
        n_components=components,
        n_splits=splits,
        formula=formula,
        n_halvings=halvings,
        static_mode=static_mode,
        static_latency_ms=static_latency_ms,
        static_layers=opt.layer_names(static_layers),
    )
    opt.check_predictivity(chosen, "health")
    wanted = _wanted(curves, chosen)
    numbers, steps = _numbers(grid, "--grid"), _numbers(sizes, "--sizes")
    from neurofit.files.manifest import load_manifest
    from neurofit.report.health_figure import plot_health
    from neurofit.report.health_record import NOTE, make_health_record
    from neurofit.report.record import save_record
    from neurofit.report.style import save_figure
    from neurofit.scoring.run import load_target, record_layers
    from neurofit.scoring.time_course import as_benchmarked
    from neurofit.subjects.library import committed_layer, load_subject
    from neurofit.subjects.user_code import running_user_code

    with output.of_others():
        subject = load_subject(model, device=device, batch=batch, announce=output.say)
    subject = as_benchmarked(subject, chosen, must=static_mode is not None)
    layer = layer or committed_layer(subject, chosen.region)
    opt.check_layer(layer, subject)
    folder = opt.writable(out)
    manifest = load_manifest(chosen.dataset)
    target = load_target(chosen, data)
    kind = "SIMULATED responses" if target.recording.attrs.get("simulated") else "real recordings"
    output.say(f"{subject.name}, layer {layer}, on {chosen.region} of {manifest.title} ({kind})")
    output.say(f"benchmark {chosen.name}, version {chosen.version}; {NOTE}")
    with output.of_others(), running_user_code(model):
        source = record_layers(chosen, subject, target, [layer], progress=output.progress)[layer]
    course = {name: source.attrs[name] for name in ("static_mode", "time_course")}
    output.say(f"mapping: {chosen.mapping.estimator()!r}, {chosen.mapping.temporal} in time")
    output.say(f"time course of {subject.name}: {course['time_course']}")
    found = _computed(wanted, source, target.recording, chosen, numbers, steps, seed, every_bin, output.progress)
    diagnoses = _diagnosed(output, found, chosen, resamples)
    record = make_health_record(found, diagnoses, chosen, manifest, {**subject.describe(), "layer": layer, **course})
    figure = plot_health(
        found.get("components"), found.get("learning"), diagnoses.get("components", {}), diagnoses.get("learning", {}),
        chosen.aggregation, f"{subject.name} ({layer})",
    )  # fmt: skip
    part = () if curves == "both" else (curves,)
    stem = opt.slug("health", subject.name, layer, chosen.region, chosen.stem(), *part)
    written = {
        "record": save_record(record, folder / f"{stem}.json"),
        "figure": save_figure(figure, folder / f"{stem}.png"),
    }
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({**record, "written": {k: str(v) for k, v in written.items()}})


def _numbers(text: str | None, option: str) -> list[int] | None:
    """Return the whole numbers of a list with commas.

    Raises
    ------
    ConfigurationError
        If something else stands there.
    """
    from neurofit.errors import ConfigurationError

    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise ConfigurationError(f"{option} is a list of whole numbers", f"got '{text}'", "write it as 10,25,50")
    return [int(part) for part in parts]


def _wanted(curves: str, benchmark: Benchmark) -> tuple[str, ...]:
    """Return the curves to compute: ridge has no components."""
    if curves != "both":
        return (curves,)
    return ("components", "learning") if benchmark.mapping.kind == "pls" else ("learning",)


def _computed(
    wanted: tuple[str, ...],
    source: xr.DataArray,
    target: xr.DataArray,
    benchmark: Benchmark,
    grid: list[int] | None,
    sizes: list[int] | None,
    seed: int,
    every_bin: bool,
    progress: bool,
) -> dict[str, xr.Dataset]:
    from neurofit.scoring.health import check_curves, component_curve, headline_bins, learning_curve

    check_curves(source, target, benchmark, grid, sizes, wanted)
    found = {}
    if "components" in wanted:
        found["components"] = component_curve(source, target, benchmark, grid=grid, progress=progress)
    if "learning" in wanted:
        one, two = (source, target) if every_bin else headline_bins(source, target, benchmark)
        found["learning"] = learning_curve(one, two, benchmark, sizes=sizes, random_state=seed, progress=progress)
    course = {f"source_{name}": source.attrs[name] for name in ("static_mode", "time_course")}
    return {name: curve.assign_attrs(course) for name, curve in found.items()}


def _diagnosed(output: Output, curves: Mapping[str, xr.Dataset], benchmark: Benchmark, resamples: int) -> Any:
    """Diagnose the curves, and say what was found."""
    from neurofit.scoring.health_summary import ceiling_in_window, diagnose_components, diagnose_learning, tabulate

    aggregation = benchmark.aggregation
    diagnoses: dict[str, Any] = {}
    if "components" in curves:
        curve = curves["components"]
        _say_table(output, tabulate(curve, aggregation), "components")
        number = benchmark.mapping.n_components or 0
        diagnoses["components"] = diagnose_components(curve, aggregation, number, resamples)
        for each in diagnoses["components"].values():
            output.say(_in_words(each))
        output.say()
    if "learning" in curves:
        curve = curves["learning"]
        _say_table(output, tabulate(curve, aggregation), "training stimuli")
        output.say(f"ceiling of r: {opt.number(ceiling_in_window(curve, aggregation)).strip()}")
        learning = diagnose_learning(curve, aggregation, resamples)
        for one in learning.values():
            _say_extrapolations(output, one)
        diagnoses["learning"] = learning
        output.say()
    return diagnoses


def _say_table(output: Output, table: pd.DataFrame, what: str) -> None:
    names = {"raw": "raw r", "corrected": "corrected", "of_ceiling": "r / ceiling", "training": "training r"}
    shown = {name: label for name, label in names.items() if name in table}
    output.say("  ".join([f"{what:>16}", *(f"{label:>11}" for label in shown.values())]))
    for row in table.to_dict("records"):
        first = int(next(iter(row.values())))
        output.say("  ".join([f"{first:>16}", *(f"{opt.number(row[name]):>11}" for name in shown)]))


def _in_words(found: ComponentDiagnosis) -> str:
    more = ", the largest of the grid: more may be better still" if found.best_is_largest else ""
    text = f"{found.quantity}: best on the held-out stimuli with {found.best} components ({found.best_value:.3f}){more}"
    if found.chosen_value == found.chosen_value:
        text += (
            f"; the benchmark's {found.chosen} reach {found.chosen_value:.3f}, "
            f"{found.gain:.3f} [{found.gain_low:.3f}, {found.gain_high:.3f}] less"
        )
    return f"{text}; within .01 of the best: {', '.join(map(str, found.plateau))}"


def _say_extrapolations(output: Output, found: LearningDiagnosis) -> None:
    name = {"raw": "raw r", "corrected": "corrected", "of_ceiling": "r / ceiling"}[found.quantity]
    if not found.projections:
        output.say(f"{name}: no fit, {'; '.join(found.reasons)}")
        return
    output.say(
        f"{name}: {found.limit:.3f} - {found.scale:.3g} m^-{found.exponent:.2f} (root mean square error "
        f"{found.residual:.4f})" + (f"; NOT SUPPORTED: {'; '.join(found.reasons)}" if found.reasons else "")
    )
    for each in found.projections:
        where = "in the limit" if each.factor == float("inf") else f"at {each.factor:g} times the stimuli"
        both = each.over_both
        verdict = "" if each.supported else "  not supported" + ("" if found.reasons else ": the interval is too wide")
        output.say(f"    {where:>24}: {each.value:.3f} [{both.low:.3f}, {both.high:.3f}]{verdict}")
