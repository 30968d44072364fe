"""``neurofit compare``: does one model predict a region better than others?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from neurofit.cli import options as opt
from neurofit.cli.examples import examples
from neurofit.cli.output import Output

if TYPE_CHECKING:
    import xarray as xr

    from neurofit.scoring.benchmark import Benchmark
    from neurofit.scoring.compare import Comparison
    from neurofit.scoring.run import Target
    from neurofit.subjects.library import LoadedSubject

EXAMPLES = examples(
    ("recurrent against feed-forward, one mapping for all bins", "neurofit compare rgc ff --region IT --mapping fixed"),
    ("layers of one's choice, on recorded V4",
     "neurofit compare rgc@conv4 ff@conv4 pixels \\\n    --benchmark cowley2023-v4-201016"),
    ("scores that were saved before", "neurofit compare a.nc b.nc"),
)  # fmt: skip

Windows = Annotated[
    str | None, typer.Option(help="Such as early=70-150,late=150-260 in ms; those of the region by default.")
]


def compare(
    models: Annotated[
        list[str],
        typer.Argument(
            help="Two or more: of the zoo or your own, MODEL@LAYER, or saved scores (.nc); first against others.",
            autocompletion=opt.names.compared,
        ),
    ],
    region: opt.Region = None,
    benchmark: opt.BenchmarkName = None,
    mapping: opt.TemporalMapping = None,
    static_mode: opt.StaticMode = None,
    static_latency_ms: opt.StaticLatency = None,
    static_layers: opt.StaticLayers = None,
    regression: opt.Regression = None,
    components: opt.Components = None,
    splits: opt.Splits = None,
    halvings: opt.Halvings = None,
    formula: opt.FormulaName = None,
    windows: Windows = None,
    images: Annotated[
        Literal["refitted", "bootstrap"],
        typer.Option(
            help="How images might have been others: left out in groups and refitted, or held-out ones drawn."
        ),
    ] = "refitted",
    image_groups: Annotated[int, typer.Option(min=5, help="Groups of images that are left out in turn.")] = 10,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of intervals; 1 - level is that of tests.")] = 0.95,
    ceiling: Annotated[
        Path | None,
        typer.Option(help="Score of `neurofit ceiling` (.nc) to draw: how well animals predict each other."),
    ] = None,
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
    """Compare models on the same neuroids, images and splits, over time: the first against each of the others."""
    from neurofit.report.comparison_figure import plot_comparison
    from neurofit.report.comparison_record import comparison_record
    from neurofit.report.record import save_record
    from neurofit.report.style import save_figure
    from neurofit.scoring.compare import check_comparable
    from neurofit.scoring.compare import compare as compared
    from neurofit.scoring.run import load_target
    from neurofit.scoring.storage import load_score

    output = Output(as_json)
    opt.check_formula(formula)
    _check_names(models)
    spans = parse_windows(windows)
    folder = opt.writable(out)
    saved = {name: load_score(name) for name in models if is_file(name)}
    animals = None if ceiling is None else load_score(ceiling)
    if saved:
        check_comparable(list(saved.values()), images)  # before minutes are spent on scoring the others
    chosen: Benchmark | None = None
    if len(saved) < len(models):
        chosen = opt.benchmark_named(benchmark, region).varied(
            region=region, regression=regression, temporal=mapping, n_components=components, n_splits=splits,
            formula=formula, n_halvings=halvings, static_mode=static_mode, static_latency_ms=static_latency_ms,
            static_layers=opt.layer_names(static_layers),
        )  # fmt: skip
        opt.check_predictivity(chosen, "compare")
        draws = {"image_groups": image_groups} if images == "refitted" else {"keep_predictions": True}
        kept = opt.feature_options(features, memory, scratch, store, no_store)
        subjects = _loaded(models, chosen, output, device=device, batch=batch, features=kept, announce=output.note)
        saved |= _scored(subjects, chosen, load_target(chosen, data), output, folder, mapping_device, draws)
    scores = [saved[name] for name in models]
    check_comparable(scores, images)
    found = [compared(scores[0], other, windows=spans, images=images, level=level) for other in scores[1:]]
    _say(output, found)
    stem = _stem(scores, chosen)
    record = comparison_record(scores, found, chosen)
    aggregation = None if chosen is None else chosen.aggregation
    written = {
        "record": save_record(record, folder / f"{stem}.json"),
        "figure": save_figure(plot_comparison(scores, found, aggregation, animals), folder / f"{stem}.png"),
    }
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({**record, "written": {k: str(v) for k, v in written.items()}})


def _loaded(
    models: list[str], benchmark: Benchmark, output: Output, **options: Any
) -> dict[str, tuple[LoadedSubject, str]]:
    """Return subject and layer of each model that is no saved score; a misspelt name costs nothing."""
    from neurofit.scoring.time_course import as_benchmarked
    from neurofit.subjects.library import committed_layer, load_subject

    loaded = {}
    for name in models:
        if not is_file(name):
            model, _, layer = name.partition("@")
            with output.of_others():
                subject = as_benchmarked(load_subject(model, **options), benchmark)
            layer = layer or committed_layer(subject, benchmark.region)
            opt.check_layer(layer, subject)
            loaded[name] = subject, layer
    _check_told_apart([(subject.name, layer) for subject, layer in loaded.values()])
    return loaded


def _check_told_apart(names: list[tuple[str, str]]) -> None:
    """Raise if two models, of different files, go by one name: tables and files could not tell them apart."""
    from neurofit.errors import ConfigurationError

    twice = sorted({f"{name}, layer {layer}" for name, layer in names if names.count((name, layer)) > 1})
    if twice:
        raise ConfigurationError(
            "the models of a comparison have different names",
            f"two are called {'; '.join(twice)}",
            "give the file or the subject of one another name",
        )


def _scored(
    subjects: dict[str, tuple[LoadedSubject, str]],
    benchmark: Benchmark,
    target: Target,
    output: Output,
    folder: Path,
    mapping_device: str,
    draws: dict[str, Any],
) -> dict[str, xr.Dataset]:
    """Score the models; each score is written when it is done, and can be named in place of its model."""
    from neurofit.scoring.run import run
    from neurofit.scoring.storage import save_score
    from neurofit.subjects.model_subject import choose_device
    from neurofit.subjects.user_code import running_user_code

    place, done = str(choose_device(mapping_device)), {}
    kind = ["compared"] + ["predictions"] * ("keep_predictions" in draws)
    for name, (subject, layer) in subjects.items():
        output.say(f"{subject.name}, layer {layer}, on {benchmark.region} of {benchmark.dataset}")
        with output.of_others(), running_user_code(name.partition("@")[0]):
            score = run(
                benchmark, subject, layer=layer, target=target, mapping_device=place, progress=output.progress, **draws
            )
        path = folder / f"{opt.slug(subject.name, layer, benchmark.region, benchmark.stem(), *kind)}.nc"
        output.say(f"  score: {save_score(score, path)}")
        done[name] = score
    return done


def _stem(scores: list[xr.Dataset], benchmark: Benchmark | None) -> str:
    """Return what the files of a comparison are called; many models, by a part of their names and a hash of all."""
    import hashlib

    told = scores[0].attrs
    name = str(told.get("benchmark", "")) if benchmark is None else benchmark.stem()
    models = [f"{s.attrs.get('subject', 'unnamed')}-{s.attrs.get('layer', '')}" for s in scores]
    stem = opt.slug("compare", *models, *filter(None, (told.get("region"), name)))
    return stem if len(stem) <= 120 else f"{stem[:113]}-{hashlib.sha256(stem.encode()).hexdigest()[:6]}"


def parse_windows(text: str | None) -> dict[str, tuple[int, int]] | None:
    """Return windows in ms from 'name=start-end,...'."""
    import re

    from neurofit.errors import ConfigurationError

    if text is None:
        return None
    found = {}
    for part in text.split(","):
        match = re.fullmatch(r"\s*([A-Za-z][\w ]*)=(\d+)-(\d+)\s*", part)
        if match is None:
            raise ConfigurationError(
                "windows are written name=start-end, with commas", f"'{part}' is not", "write early=70-150,late=150-260"
            )
        if match[1] in found:
            raise ConfigurationError("windows have different names", f"'{match[1]}' is named twice", "rename one")
        found[match[1]] = (int(match[2]), int(match[3]))
    return found


def is_file(name: str) -> bool:
    """Tell whether a saved score is meant."""
    return name.endswith(".nc")


def _check_names(models: list[str]) -> None:
    from neurofit.errors import ConfigurationError

    if len(models) < 2:
        raise ConfigurationError("a comparison is of two models or more", f"got {', '.join(models)}", "name another")
    if len(set(models)) < len(models):
        twice = sorted({name for name in models if models.count(name) > 1})
        raise ConfigurationError(
            "the models of a comparison differ", f"{', '.join(twice)} is named twice", "name each once, or MODEL@LAYER"
        )


def _say(output: Output, comparisons: list[Comparison]) -> None:
    told = comparisons[0].attrs
    output.say()
    kind = "SIMULATED responses" if told.get("simulated") else "real recordings"
    place = f"{told['region']} of {told['dataset']}: " if "dataset" in told else ""
    output.say(f"{place}{kind}, {told['n_stimuli']} images")
    output.say(
        f"differences of {told['values']} predictivity by '{told['formula']}', {told['temporal_mapping']} mapping; "
        f"images: {told['images']}; p corrected for the number of bins, and of windows"
    )
    for comparison in comparisons:
        output.say()
        output.say(f"{comparison.first}  minus  {comparison.second}")
        output.say(
            "  window          ms         first second  difference  interval           p corrected  effect  neuroids  "
            "(Wilcoxon p)"
        )
        for row in comparison.windows.to_dict("records"):
            output.say(f"  {row['window']:<10} {row['time_bin_start']:>4}-{row['time_bin_end']:<4}  {_numbers(row)}")
        bins = comparison.bins
        where = [f"{r.time_bin_start}-{r.time_bin_end}" for r in bins[bins["significant"]].itertuples()]
        tested = int(bins["p_corrected"].notna().sum())
        output.say(
            f"  significant in {len(where)} of {tested} bins tested{': ' + ', '.join(where) + ' ms' if where else ''}"
        )
    output.say()


def _numbers(row: dict[Any, Any]) -> str:
    first, second, difference, low, high, p, effect = (
        opt.number(row[name]) for name in ("first", "second", "difference", "low", "high", "p_corrected", "effect_size")
    )
    star = "*" if row["significant"] else " "
    wilcoxon = row["p_wilcoxon_corrected"]
    told = "nan" if wilcoxon != wilcoxon else f"{wilcoxon:.2g}"
    return (
        f"{first} {second}  {difference}{star}    [{low}, {high}]  {p}       {effect}  {row['neuroids']:>6}    ({told})"
    )
