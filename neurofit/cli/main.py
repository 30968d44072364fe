"""The command `neurofit`."""

from __future__ import annotations

import os
import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import neurofit
from neurofit.cli import (
    ceiling,
    compare,
    curves,
    data,
    doctor,
    health,
    layers,
    leaderboard,
    models,
    ost,
    score,
    search,
    store,
    sweep,
    tradeoff,
    train,
)
from neurofit.cli.examples import examples
from neurofit.cli.failures import (
    DEBUG_VARIABLE,
    INTERRUPTED,
    NOBODY_READS,
    report,
    silence_streams,
    wants_traceback,
    write_any_name,
)
from neurofit.cli.output import QUIET_VARIABLE, is_quiet, paint

EVERYWHERE = ("--quiet", "-q", "--debug", "--color", "--no-color")
"""Options of all commands; they may stand before or behind a command's name."""


class Root(TyperGroup):
    """The command itself: finds the options of all commands wherever they stand, and ends without tracebacks."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the options of all commands first; what comes behind '--' is left alone."""
        end = args.index("--") if "--" in args else len(args)
        first = [word for word in args[:end] if word in EVERYWHERE]
        others = [word for word in args[:end] if word not in EVERYWHERE]
        return super().parse_args(ctx, first + others + args[end:])

    def invoke(self, ctx: Any) -> Any:
        """Run a command; one that is interrupted, or whose reader is gone, ends with a code and no more."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            if wants_traceback(sys.argv):
                traceback.print_exc()
            print(f"{paint('neurofit:', 'error', sys.stderr)} interrupted", file=sys.stderr)
            raise typer.Exit(INTERRUPTED) from None
        except BrokenPipeError:
            silence_streams()
            raise typer.Exit(NOBODY_READS) from None


app = typer.Typer(
    cls=Root,
    help="Score convolutional recurrent networks against primate V4 and IT, bin by bin.\n\n"
    "--quiet, --debug and --color may stand before or behind the name of a command.",
    epilog=examples(
        ("the bundled recurrent network on the embedded, simulated IT", "neurofit score --model rgc --region IT"),
        ("what else there is to score, and on what", "neurofit models list\nneurofit data list"),
        ("is everything here that it needs?", "neurofit doctor"),
    ),
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("score", epilog=score.EXAMPLES)(score.score)
app.command("ost", epilog=ost.EXAMPLES)(ost.ost)
app.command("compare", epilog=compare.EXAMPLES)(compare.compare)
app.command("sweep", epilog=sweep.EXAMPLES)(sweep.sweep)
app.command("train", epilog=train.EXAMPLES)(train.train)
app.command("curves", epilog=curves.EXAMPLES)(curves.curves)
app.command("ceiling", epilog=ceiling.EXAMPLES)(ceiling.ceiling)
app.command("layers", epilog=layers.EXAMPLES)(layers.layers)
app.command("health", epilog=health.EXAMPLES)(health.health)
app.command("tradeoff", epilog=tradeoff.EXAMPLES)(tradeoff.tradeoff)
app.command("leaderboard", epilog=leaderboard.EXAMPLES)(leaderboard.leaderboard)
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(search.app, name="search")
app.add_typer(store.app, name="store")
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)


def _version(asked: bool) -> None:
    if asked:
        print(f"neurofit {neurofit.__version__}")
        raise typer.Exit


def _colour(ctx: typer.Context, wanted: bool | None) -> bool | None:
    """Tell all that write what was asked for, in the words that other programs know."""
    if wanted is not None:
        _set(ctx, {"NO_COLOR": "" if wanted else "1", "FORCE_COLOR": "1" if wanted else ""})
    return wanted


@app.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Results, warnings and errors alone: no remarks, no bars.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, too.")] = False,
    colour: Annotated[
        bool | None,
        typer.Option(
            "--color/--no-color", callback=_colour, is_eager=True, help="By default on a terminal, without NO_COLOR."
        ),
    ] = None,
) -> None:
    """Take the options that hold for all commands, and stand before or behind a command's name."""
    changes = {QUIET_VARIABLE: "1"} if quiet else {}
    if debug:
        changes[DEBUG_VARIABLE] = "1"
    if quiet or is_quiet() or not sys.stderr.isatty():
        changes["TQDM_DISABLE"] = "1"  # of bars that no command knows of
    _set(ctx, changes)


def _set(ctx: typer.Context, changes: dict[str, str]) -> None:
    """Set variables of the environment, which reach worker processes, until the command ends."""
    before = {name: os.environ.get(name) for name in changes}

    def restore() -> None:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

    os.environ.update(changes)
    ctx.call_on_close(restore)


def main() -> None:
    """Run the command line.

    Exit codes: 0 done, 1 something that is needed is broken (`neurofit doctor`), 2 bad usage, bad data or a machine
    that gives out, with a one-sentence reason, 70 a defect of neurofit, 130 interrupted, 141 nobody reads on.
    """
    debug = wants_traceback(sys.argv[1:])
    write_any_name()
    try:
        app(standalone_mode=True, prog_name="neurofit")  # also as `python -m neurofit`
    except Exception as error:
        sys.exit(report(error, debug))
