"""``neurofit tradeoff``: predictivity or accuracy against what a network costs, with the Pareto front."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from neurofit.cli import options as opt
from neurofit.cli.examples import examples
from neurofit.cli.output import Output

if TYPE_CHECKING:
    from neurofit.report.tradeoff import Tradeoff

EXAMPLES = examples(
    ("predictivity against operations, of all records in a folder", "neurofit tradeoff neurofit-out --x macs"),
    ("of two records", "neurofit tradeoff rgc.json ff.json"),
    ("published accuracies of the zoo against parameters", "neurofit tradeoff --y top1"),
)  # fmt: skip


def tradeoff(
    records: Annotated[
        list[Path] | None, typer.Argument(help="Records that `neurofit score` wrote, or folders of them.")
    ] = None,
    x: Annotated[
        Literal["parameters", "units", "macs"], typer.Option("--x", help="Cost; macs: multiply-accumulates per image.")
    ] = "parameters",
    y: Annotated[
        Literal["predictivity", "top1"],
        typer.Option("--y", help="Of the records; top1: published accuracies of the zoo, without records."),
    ] = "predictivity",
    out: opt.Out = Path("neurofit-out"),
    as_json: opt.AsJson = False,
) -> None:
    """Draw value against cost, and say which networks no other beats in both."""
    output = Output(as_json)
    from neurofit.report.record import save_record
    from neurofit.report.style import save_figure
    from neurofit.report.tradeoff_figure import plot_tradeoff
    from neurofit.report.tradeoff_record import make_tradeoff_record

    found = _found(records or [], x, y)
    folder = opt.writable(out)
    _say(output, found)
    record = make_tradeoff_record(found)
    stem = opt.slug("tradeoff", y, x)
    written = {
        "record": save_record(record, folder / f"{stem}.json"),
        "figure": save_figure(plot_tradeoff(found), folder / f"{stem}.png"),
    }
    for what, path in written.items():
        output.say(f"{what}: {path}")
    output.emit({**record, "written": {k: str(v) for k, v in written.items()}})


def _found(
    records: list[Path], x: Literal["parameters", "units", "macs"], y: Literal["predictivity", "top1"]
) -> Tradeoff:
    """Return the trade-off that was asked for."""
    from neurofit.errors import ConfigurationError

    if y == "top1":
        if records:
            raise ConfigurationError(
                "--y top1 takes no records",
                f"{len(records)} were given, which do not say on which images an accuracy was measured",
                "leave them out: the zoo's published accuracies are drawn",
            )
        from neurofit.report.published import published_tradeoff

        return published_tradeoff(x)
    if not records:
        raise ConfigurationError(
            "a trade-off of predictivity is of records", "none was given", "name records or a folder, or add --y top1"
        )
    from neurofit.report.tradeoff import tradeoff_of_records

    return tradeoff_of_records(records, x)


def _say(output: Output, found: Tradeoff) -> None:
    if found.simulated:
        output.say("SIMULATED data")
    output.say(found.data)
    width = max(len(point.name) for point in found.points)
    output.say(f"{'network':{width}}  {found.x:>16}  {found.y:>12}   95% interval")
    for point, on_front in zip(found.points, found.front, strict=True):
        has_interval = point.low == point.low
        interval = f"[{opt.number(point.low)}, {opt.number(point.high)}]" if has_interval else ""
        mark = "  front" if on_front else ""
        output.say(f"{point.name:{width}}  {point.cost:>16,.0f}  {point.value:>12.3f}   {interval:18}{mark}".rstrip())
    for name in found.left_out:
        output.say(f"left out: {name}")
