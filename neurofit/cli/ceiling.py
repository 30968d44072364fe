"""``neurofit ceiling``: how well a recording can be predicted at all, and how well other animals predict it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurofit.cli import options as opt
from neurofit.cli.examples import examples
from neurofit.cli.output import Output

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from neurofit.scoring.benchmark import Benchmark

EXAMPLES = examples(
    ("what a perfect model, or another animal, could predict", "neurofit ceiling --region IT"),
    ("quicker, as JSON", "neurofit ceiling --benchmark sim-v4 --splits 3 --json"),
)  # fmt: skip


def ceiling(
    region: opt.Region = None,
    benchmark: opt.BenchmarkName = None,
    mapping: opt.TemporalMapping = None,
    regression: opt.Regression = None,
    components: opt.Components = None,
    splits: opt.Splits = None,
    halvings: opt.Halvings = None,
    formula: opt.FormulaName = None,
    data: opt.Data = None,
    out: opt.Out = Path("neurofit-out"),
    as_json: opt.AsJson = False,
) -> None:
    """Show the noise ceiling of a recording and how well its animals predict each other, time bin by time bin."""
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
    )
    opt.check_predictivity(chosen, "ceiling")
    from neurofit.files.manifest import load_manifest
    from neurofit.report.ceiling_figure import plot_ceilings
    from neurofit.report.ceiling_record import make_ceiling_record
    from neurofit.report.record import save_record
    from neurofit.report.style import save_figure
    from neurofit.scoring.animal_pairs import pair_table
    from neurofit.scoring.storage import save_score
    from neurofit.scoring.summary import summarise

    folder = opt.writable(out)
    manifest = load_manifest(chosen.dataset)
    output.say(f"ceilings of {chosen.region} of {manifest.title}")
    scores = _scores(chosen, data, output.progress)
    pooled = scores[0]
    table, pairs = summarise(pooled, chosen.aggregation), pair_table(scores, chosen.aggregation)
    record = make_ceiling_record(scores, chosen, manifest)
    _say_what(output, pooled, chosen)
    _say_table(output, table, predicted=not pairs.empty)
    _say_pairs(output, pairs, chosen)
    stem = opt.slug("ceiling", chosen.region, chosen.stem())
    written = {
        "record": save_record(record, folder / f"{stem}.json"),
        "score": save_score(pooled, folder / f"{stem}.nc"),
        "figure": save_figure(plot_ceilings(scores, chosen.aggregation), folder / f"{stem}.png"),
    }
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({**record, "written": {k: str(v) for k, v in written.items()}})


def _scores(benchmark: Benchmark, data: Path | None, progress: bool) -> list[xr.Dataset]:
    """Return the score from all other animals, and those from single ones where that is not the same."""
    from neurofit.scoring.animals import animals_of
    from neurofit.scoring.inter_animal import NO_SOURCE, POOLED, load_recording, run_inter_animal

    recording = load_recording(benchmark, data)
    names = [animal.name for animal in animals_of(recording)]
    sources = [NO_SOURCE] if len(names) == 1 else [POOLED]
    sources += names if len(names) > 2 else []
    return [run_inter_animal(benchmark, source=source, recording=recording, progress=progress) for source in sources]


def _say_what(output: Output, score: xr.Dataset, benchmark: Benchmark) -> None:
    from neurofit.scoring.formulas import formula_named
    from neurofit.scoring.inter_animal import NO_SOURCE

    attrs = score.attrs
    kind = "SIMULATED responses (neurofit's own ventral stream)" if attrs["simulated"] else "real recordings"
    output.say(
        f"benchmark {benchmark.name}, version {benchmark.version}: {kind}, {attrs['n_stimuli']} images, "
        f"{attrs['repetitions_min']}-{attrs['repetitions_max']} repetitions, {score.sizes['neuroid']} neuroids, "
        f"{score.sizes['time_bin']} time bins, animals: {attrs['animals']}"
    )
    output.say(f"{attrs['n_splits']} splits, {attrs['n_halvings']} halvings; consistencies are of held-out images")
    if attrs["source"] == NO_SOURCE:
        output.say(f"no inter-animal consistency: all neuroids are of one animal, '{attrs['animals']}'")
    else:
        formula = formula_named(str(attrs["formula"]))
        output.say(
            f"each animal is predicted from all others; mapping: {attrs['mapping']}, {attrs['temporal_mapping']}"
        )
        output.say(
            f"noise-corrected by '{formula.name}': {formula.text}" if formula.corrects else "no noise correction"
        )
        if formula.needs_mapping_consistency:
            output.say("mapping consistency: of mappings between halves of both animals' trials")
    output.say()


def _say_table(output: Output, table: pd.DataFrame, *, predicted: bool) -> None:
    output.say("                  noise ceiling  " + "             inter-animal" * predicted)
    heading = "       raw r   corrected   95% interval    counted  excluded"
    output.say("   time bin     consistency  of r" + heading * predicted)
    for row in table.to_dict("records"):
        consistency, ceiling_of_r, raw, corrected, low, high = (
            opt.number(row[name])
            for name in ("internal_consistency", "ceiling_of_r", "raw", "corrected", "low", "high")
        )
        rest = f"      {raw}     {corrected}   [{low}, {high}]  {row['counted']:>7}  {row['excluded']:>8}" * predicted
        bins = f"{row['time_bin_start']:>4} -{row['time_bin_end']:>4} ms"
        output.say(f"{bins}   {consistency}  {ceiling_of_r}{rest}")
    output.say()


def _say_pairs(output: Output, pairs: pd.DataFrame, benchmark: Benchmark) -> None:
    if pairs.empty:
        return
    start, end = benchmark.aggregation.window_ms
    output.say(f"medians over neuroids, mean of the bins in {start}-{end} ms")
    output.say("source            target            neuroids   images   raw r  corrected   95% interval    consistency")
    for row in pairs.to_dict("records"):
        raw, corrected, low, high, consistency = (
            opt.number(row[name]) for name in ("raw", "corrected", "low", "high", "consistency")
        )
        neuroids = f"{row['source_neuroids']} to {row['neuroids']}"
        images: Any = row["stimuli"]
        output.say(
            f"{row['source']:<16}  {row['target']:<16}  {neuroids:>9}  {images:>6}  {raw}     {corrected}   "
            f"[{low}, {high}]       {consistency}"
        )
    output.say()
