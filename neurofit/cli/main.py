"""The command `neurofit`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

import neurofit
from neurofit.cli import ceiling, compare, curves, data, health, layers, models, ost, score, search, tradeoff, train
from neurofit.errors import NeurofitError

OK, BAD_INPUT, INTERRUPTED = 0, 2, 130

app = typer.Typer(
    help="Score convolutional recurrent networks against primate V4 and IT, bin by bin.",
    epilog="Example: neurofit score --model rgc --region IT",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("score", epilog=score.EXAMPLES)(score.score)
app.command("ost", epilog=ost.EXAMPLES)(ost.ost)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("curves", epilog=curves.EXAMPLES)(curves.curves)
app.command("ceiling", epilog=ceiling.EXAMPLES)(ceiling.ceiling)
app.command("layers", epilog=layers.EXAMPLES)(layers.layers)
app.command("health", epilog=health.EXAMPLES)(health.health)
app.command("tradeoff", epilog=tradeoff.EXAMPLES)(tradeoff.tradeoff)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(search.app, name="search")


def _version(asked: bool) -> None:
    if asked:
        print(f"neurofit {neurofit.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Take the options that hold for all commands."""


def main() -> None:
    """Run the command line: 0 done, 2 bad usage or bad data with a one-sentence reason, 130 interrupted."""
    try:
        app(standalone_mode=True)
    except NeurofitError as error:
        print(f"neurofit: {error}", file=sys.stderr)
        sys.exit(BAD_INPUT)
    except KeyboardInterrupt:
        print("neurofit: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
