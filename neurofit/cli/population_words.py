"""What `neurofit score` says of metrics that compare whole populations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from neurofit.cli import options as opt

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from neurofit.cli.output import Output
    from neurofit.report.record import RunRecord
    from neurofit.scoring.benchmark import Benchmark


def say_population_score(
    output: Output, score: xr.Dataset, benchmark: Benchmark, table: pd.DataFrame, record: RunRecord
) -> None:
    """Say what was scored, the table per time bin, and the headline."""
    _say_what(output, score.attrs, benchmark, score.sizes["time_bin"])
    _say_table(output, table)
    _say_headline(output, record)


def _say_what(output: Output, attrs: Any, benchmark: Benchmark, n_bins: int) -> None:
    kind = "SIMULATED responses (neurofit's own ventral stream)" if attrs["simulated"] else "real recordings"
    known = int(attrs.get("n_stimuli_known", attrs["n_stimuli"]))
    images = f"{attrs['n_stimuli']} images"
    if known > attrs["n_stimuli"]:
        images += f" drawn at random of {known} (max_stimuli of [metric])"
    output.say(
        f"benchmark {benchmark.name}, version {benchmark.version}: {kind}, {images}, "
        f"{attrs['repetitions_min']}-{attrs['repetitions_max']} repetitions used, {attrs['n_neuroids']} neuroids, "
        f"{n_bins} time bins"
    )
    splits = f"{attrs['n_splits']} splits" if attrs["n_splits"] else "nothing is fitted, no splits"
    output.say(
        f"metric {attrs['metric']}: {attrs['measure']}; {splits}; {attrs['n_halvings']} halvings; features: "
        f"{attrs['source_units']} units, {attrs['n_source_neuroids']} columns, reduction: "
        f"{attrs.get('source_reduction', 'none')}"
    )
    output.say(f"time course of {attrs['subject']}: {attrs['source_time_course']}")
    corrected = f"noise-corrected by '{attrs['formula']}': {attrs['formula_text']}"
    output.say(corrected if attrs["formula"] != "raw" else "no noise correction")
    output.say()


def _say_table(output: Output, table: pd.DataFrame) -> None:
    decoding = "accuracy_source" in table
    accuracies = "   accuracy  of neurons" if decoding else ""
    output.say(f"   time bin        raw  reliability  corrected   95% interval    images{accuracies}")
    for row in table.to_dict("records"):
        raw, reliability, corrected, low, high = (
            opt.number(row[name]) for name in ("raw", "internal_consistency", "corrected", "low", "high")
        )
        line = (
            f"{row['time_bin_start']:>4} -{row['time_bin_end']:>4} ms  {raw}     {reliability}      {corrected}   "
            f"[{low}, {high}]  {row['counted']:>6}"
        )
        if decoding:
            line += f"     {opt.number(row['accuracy_source'])}      {opt.number(row['accuracy_target'])}"
        output.say(f"{line}{'  source silent' if row['silent'] else ''}")
    output.say()


def _say_headline(output: Output, record: RunRecord) -> None:
    result: Any = record.score
    value, low, high, raw = (opt.number(result[name]).strip() for name in ("value", "low", "high", "raw"))
    output.say(
        f"score{' on SIMULATED data' if record.simulated else ''}: {value} [{low}, {high}] by '{result['formula']}' "
        f"(raw {raw}), mean of {result['bins']} bins in {result['window_start_ms']}-{result['window_end_ms']} ms "
        f"({result['bins_excluded']} excluded), {result['stimuli_counted']} images; interval: bootstrap over images"
    )
