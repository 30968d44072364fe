"""``neurofit ost``: when a population, and a model, have solved each image."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from neurofit.cli import options as opt
from neurofit.cli.examples import examples
from neurofit.cli.output import Output

if TYPE_CHECKING:
    import xarray as xr

    from neurofit.scoring.benchmark import Benchmark
    from neurofit.scoring.run import Target
    from neurofit.scoring.solution_comparison import SolutionTimeComparison
    from neurofit.subjects.library import LoadedSubject

EXAMPLES = examples(
    ("when IT itself has solved each image", "neurofit ost --region IT"),
    ("and whether a model solves them in the same order", "neurofit ost --model rgc --region IT --classifier logistic"),
    ("a recording of your own, with its objects' names",
     "neurofit ost --benchmark my-recording.toml --labels object_name \\\n    --reference 1.5"),
)  # fmt: skip


def ost(
    model: Annotated[
        str | None,
        typer.Option(
            help="Model to be compared; without one, the recording alone is decoded.", autocompletion=opt.names.models
        ),
    ] = None,
    region: opt.Region = None,
    benchmark: opt.BenchmarkName = None,
    layer: opt.Layer = None,
    labels: Annotated[
        str | None, typer.Option(help="What is decoded: category_name where the recording has it, or object_name ...")
    ] = None,
    classifier: Annotated[
        Literal["svm", "logistic"], typer.Option(help="Linear support vector machines, or logistic regression.")
    ] = "svm",
    reference: Annotated[
        float | None, typer.Option(help="d' that solves an image; by default the population's largest median d'.")
    ] = None,
    splits: opt.Splits = None,
    ceiling: Annotated[
        int, typer.Option(min=0, help="Halvings of the repetitions for the consistency of the population's times.")
    ] = 0,
    static_mode: opt.StaticMode = None,
    static_latency_ms: opt.StaticLatency = None,
    static_layers: opt.StaticLayers = None,
    device: opt.Device = None,
    batch: opt.Batch = None,
    features: opt.Features = "auto",
    memory: opt.Memory = "8GiB",
    scratch: opt.Scratch = None,
    data: opt.Data = None,
    out: opt.Out = Path("neurofit-out"),
    as_json: opt.AsJson = False,
) -> None:
    """Decode objects in every time bin, and say when each image is solved: by a recording, and by a model."""
    output = Output(as_json)
    chosen = opt.benchmark_named(benchmark, region).varied(
        region=region,
        n_splits=splits,
        static_mode=static_mode,
        static_latency_ms=static_latency_ms,
        static_layers=opt.layer_names(static_layers),
    )
    from neurofit.files.manifest import load_manifest
    from neurofit.report.ost_figure import plot_solution_times
    from neurofit.report.ost_record import make_ost_record
    from neurofit.report.record import save_record
    from neurofit.report.style import save_figure
    from neurofit.scoring.solution_comparison import compare_solution_times, solution_times_of_model
    from neurofit.scoring.solution_times import object_solution_times, solution_time_consistency

    _check(model, layer, reference)
    subject, layer = _subject(output, chosen, model, layer, device, batch, features, memory, scratch, static_mode)
    folder = opt.writable(out)
    manifest = load_manifest(chosen.dataset)
    cost = {}
    recording, target = _recording(chosen, data, with_stimuli=subject is not None)
    shared: dict[str, Any] = {"classifier": classifier, "labels": labels, "progress": output.progress}
    splitter = chosen.splits.splitter()
    began = time.perf_counter()
    neural = object_solution_times(recording, reference=reference, splitter=splitter, **shared)
    cost["seconds_neural"] = round(time.perf_counter() - began, 3)
    _say_what(output, neural, chosen)
    consistency = None
    if ceiling:
        consistency = solution_time_consistency(
            recording, n_halvings=ceiling, reference=reference, splitter=splitter, **shared
        )
    theirs, comparison, told = None, None, None
    if subject is not None and target is not None and model is not None:
        began = time.perf_counter()
        activations = _activations(output, chosen, subject, target, layer, model)
        theirs = solution_times_of_model(activations, neural, splitter=splitter, progress=output.progress)
        comparison = compare_solution_times(theirs, neural)
        told = {**subject.describe(), "layer": layer, **activations.attrs}
        cost["seconds_model"] = round(time.perf_counter() - began, 3)
    _say_table(output, neural, theirs)
    _say_times(output, neural, theirs, comparison, consistency)
    record = make_ost_record(
        neural, chosen, manifest, model=theirs, subject=told, comparison=comparison, consistency=consistency, cost=cost
    )
    who = (subject.name, str(layer)) if subject is not None else ()
    level = () if reference is None else (f"at-{reference:g}",)
    stem = opt.slug(*who, "ost", chosen.region, chosen.stem(), classifier, str(neural.attrs["labels"]), *level)
    names = (f"simulated {chosen.region}" if manifest.simulated else chosen.region, " ".join(who))
    figure = plot_solution_times(neural, theirs, names=names, on_ms=chosen.viewing.on_ms)
    written = {
        "record": save_record(record, folder / f"{stem}.json"),
        "figure": save_figure(figure, folder / f"{stem}.png"),
    }
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({**record, "written": {k: str(v) for k, v in written.items()}})


def _check(model: str | None, layer: str | None, reference: float | None) -> None:
    from neurofit.errors import ConfigurationError
    from neurofit.kernel.d_prime import CLIP

    if layer is not None and model is None:
        raise ConfigurationError("a layer is a model's", f"--layer {layer} was given without --model", "name the model")
    if reference is not None and not 0 < reference <= CLIP:
        raise ConfigurationError(
            f"a reference is a d' above 0, that of a silent bin, and at most {CLIP:g}, where d' is clipped",
            f"--reference is {reference:g}",
            "use 1.5, say",
        )


def _subject(
    output: Output,
    benchmark: Benchmark,
    model: str | None,
    layer: str | None,
    device: str | None,
    batch: int | None,
    features: Any,
    memory: str,
    scratch: Path | None,
    static_mode: str | None,
) -> tuple[LoadedSubject | None, str | None]:
    """Return the model, as the benchmark has it in time, and its layer."""
    if model is None:
        return None, None
    from neurofit.scoring.time_course import as_benchmarked
    from neurofit.subjects.library import committed_layer, load_subject

    kept = opt.feature_options(features, memory, scratch)
    with output.of_others():
        subject: Any = load_subject(model, device=device, batch=batch, features=kept, announce=output.say)
    subject = as_benchmarked(subject, benchmark, must=static_mode is not None)
    layer = layer or committed_layer(subject, benchmark.region)
    opt.check_layer(layer, subject)
    return subject, layer


def _recording(benchmark: Benchmark, data: Path | None, with_stimuli: bool) -> tuple[xr.DataArray, Target | None]:
    """Return the benchmark's recording and, where a model is to see them, the stimuli with it."""
    from neurofit.assembly.build import select_region
    from neurofit.assembly.time_bins import rebin
    from neurofit.data.datasets import load_dataset
    from neurofit.scoring.run import load_target

    if with_stimuli:
        target = load_target(benchmark, data)
        return target.recording, target
    recording = select_region(load_dataset(benchmark.dataset, data, benchmark.region), benchmark.region)
    return rebin(recording, benchmark.time_bins.bins()), None


def _activations(
    output: Output, benchmark: Benchmark, subject: LoadedSubject, target: Target, layer: str | None, model: str
) -> xr.DataArray:
    from dataclasses import replace

    from neurofit.scoring.metrics import MetricSpec
    from neurofit.scoring.run import record_layers
    from neurofit.subjects.user_code import running_user_code

    # whatever the benchmark compares: patterns that are kept for RSA have lost what is decoded
    decoded = replace(benchmark, metric=MetricSpec("decoding"))
    with output.of_others(), running_user_code(model):
        return record_layers(decoded, subject, target, [str(layer)], progress=output.progress)[str(layer)]


def _say_what(output: Output, neural: xr.Dataset, benchmark: Benchmark) -> None:
    attrs = neural.attrs
    kind = "SIMULATED responses (neurofit's own ventral stream)" if attrs["simulated"] else "real recordings"
    output.say(
        f"benchmark {benchmark.name}, version {benchmark.version}: {kind}, {attrs['n_stimuli']} images, "
        f"{attrs['n_neuroids']} neuroids, {neural.sizes['time_bin']} time bins"
    )
    output.say(
        f"decoded: {attrs['labels']}, {attrs['n_objects']} objects, by {attrs['classifier']} "
        f"(C = {attrs['penalty']:g}), {attrs['n_splits']} splits; {attrs['never_held_out']} images are never held out; "
        f"{attrs['fits_not_converged']} of {attrs['fits']} fits did not converge"
    )
    output.say(f"reference: {attrs['reference']}")
    output.say()


def _say_table(output: Output, neural: xr.Dataset, model: xr.Dataset | None) -> None:
    from neurofit.scoring.solution_times import table_of_bins

    tables = [table_of_bins(times) for times in (neural, model) if times is not None]
    columns = "accuracy +-s.e.m.    d'    solved"
    output.say(f"   time bin     {columns}" + ("" if model is None else f"   model: {columns}"))
    for rows in zip(*tables, strict=True):
        texts = [
            f"{opt.number(row['accuracy'])}   {opt.number(row['standard_error'])}  {opt.number(row['d_prime'])}  "
            f"{opt.number(row['solved'])}"
            for row in rows
        ]
        silent = "  model silent" if rows[-1]["silent"] and model is not None else ""
        output.say(
            f"{rows[0]['time_bin_start']:>4} -{rows[0]['time_bin_end']:>4} ms   {'          '.join(texts)}{silent}"
        )
    output.say("d': median over images; solved: part of the tested images whose d' has reached the reference by then")
    output.say()


def _say_times(
    output: Output,
    neural: xr.Dataset,
    model: xr.Dataset | None,
    comparison: SolutionTimeComparison | None,
    consistency: xr.Dataset | None,
) -> None:
    for name, times in (("population", neural), ("model", model)):
        if times is not None:
            output.say(f"{name}: {_solved(times)}")
    if consistency is not None:
        values = ", ".join(opt.number(v).strip() for v in consistency["consistency"].values)
        output.say(
            f"consistency of the population's times (halves of the repetitions, Spearman-Brown): {values} over "
            f"{', '.join(str(n) for n in consistency['n_both'].values)} images"
        )
    if comparison is None:
        return
    kind = " on SIMULATED data" if neural.attrs["simulated"] else ""
    part = opt.number(comparison.fraction_solved).strip()
    output.say(f"the model solves {part} of the {comparison.n_neural} images that the population solves{kind}")
    if comparison.why_none:
        output.say(f"no correlation of solution times: {comparison.why_none}")
        return
    rho, error, low, high = (
        opt.number(v).strip() for v in (comparison.spearman, comparison.standard_error, comparison.low, comparison.high)
    )
    output.say(
        f"Spearman of solution times{kind}: {rho} +- {error} (s.e.m. over {comparison.splits_counted} splits) "
        f"[{low}, {high}] (95 % bootstrap over images), {comparison.n_both} images; the model's times minus the "
        f"population's: {comparison.median_lag_ms:.0f} ms (median)"
    )


def _solved(times: xr.Dataset) -> str:
    """Write how many images are solved, and when."""
    from neurofit.report.ost_record import distribution

    attrs = times.attrs
    text = f"{attrs['n_solved']} of {attrs['n_tested']} tested images reach the reference"
    if attrs["why_none"]:
        return f"{text}; no solution times: {attrs['why_none']}"
    low, first, middle, third, high = distribution(times).values()
    return (
        f"{text}, half of these by {middle:.0f} ms (quartiles {first:.0f}, {third:.0f}; 5-95 %: {low:.0f}-{high:.0f})"
    )
