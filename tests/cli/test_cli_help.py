"""Help: every command has examples, and every example is a line that the command takes."""

import os
import shlex
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from neurofit.cli.examples import WIDTH, examples
from neurofit.cli.main import EVERYWHERE, app
from neurofit.errors import NeurofitError


def walked(command, path=()):
    """Yield the words and the object of every command, groups too."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walked(inner, (*path, name))


COMMANDS = dict(walked(typer.main.get_command(app)))
LEAVES = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}


def example_lines(command):
    """Return the lines to type, those that go on joined."""
    heading, *lines = command.epilog.splitlines()
    assert heading == "Examples:"
    joined = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [line for line in joined if not line.startswith("#")]


def test_there_are_commands_to_look_at():
    assert {("score",), ("doctor",), ("data", "fetch"), ("search", "run"), ("models", "show")} <= set(LEAVES)


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_help_shows_two_examples_and_more_in_eighty_columns(path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert max(map(len, result.output.splitlines())) <= 80
    shown = [line.strip() for line in result.output.splitlines()]
    lines = example_lines(COMMANDS[path])
    assert len(lines) >= 2
    for line in COMMANDS[path].epilog.splitlines():  # none is broken, or run together with another
        assert line.strip() in shown


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_example_is_understood(path):
    own = 0
    for line in example_lines(COMMANDS[path]):
        name, *words = shlex.split(line.split(" > ")[0])
        assert name == "neurofit"
        command, said = COMMANDS[()], []
        while hasattr(command, "commands"):
            command, said = command.commands[words[0]], [*said, words.pop(0)]
        own += tuple(said)[: len(path)] == path  # what is done next may be shown too
        with command.make_context(" ".join(said), words) as context:  # raises a usage error
            assert context.params
    assert own >= 2


def test_the_options_of_all_commands_are_no_command_s_own():
    for path, command in COMMANDS.items():
        own = {name for p in command.params for name in (*p.opts, *p.secondary_opts)}
        assert own.isdisjoint(EVERYWHERE) or not path


def test_all_commands_that_answer_have_json():
    for path, command in LEAVES.items():
        assert any("--json" in p.opts for p in command.params), path


def test_wide_examples_are_refused():
    with pytest.raises(ValueError, match=f"at most {WIDTH} characters"):
        examples(("too long", "neurofit score " + "--model rgc " * 10))


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["scroe"], "score"),
        (["data", "lst"], "list"),
        (["score", "--modle", "rgc"], "--model"),
        (["doctor", "--dep"], "--deep"),
        (["score", "--model", "rgc", "--region", "IT", "--mapping", "fixd"], "fixed"),
    ],
)
def test_a_slip_of_the_finger_is_answered_with_what_was_meant(words, meant):
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 2
    assert meant in result.output


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["score", "--model", "rgc", "--region", "ITT"], "'IT'"),
        (["score", "--model", "rgc", "--benchmark", "sim-ti"], "'sim-it'"),
        (["score", "--model", "rgc", "--region", "IT", "--formula", "nueral"], "'neural'"),
        (["score", "--model", "rcg", "--region", "IT"], "'rgc'"),
        (["score", "--model", "rgc", "--region", "IT", "--layer", "conv44"], "'conv4'"),
        (["data", "info", "sim-ventrl"], "'sim-ventral'"),
        (["models", "show", "rgc_intermedate"], "'rgc_intermediate'"),
        (["search", "run", "prox", "--data", "x", "--out", "y"], "'proxy'"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_nearest(words, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, words)
    assert isinstance(result.exception, NeurofitError)
    assert meant in str(result.exception)


def test_help_that_goes_to_a_terminal_of_its_own_width_has_colour_only_there():
    environment = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "NO_COLOR", "COLUMNS")}
    plain, coloured = (
        subprocess.run(
            [sys.executable, "-m", "neurofit", *words, "data", "--help"],
            env=environment, capture_output=True, text=True, check=True,
        ).stdout
        for words in ([], ["--color"])
    )  # fmt: skip
    assert "\x1b[" not in plain
    assert "\x1b[" in coloured
