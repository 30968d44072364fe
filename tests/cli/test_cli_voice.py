"""What commands say, and do not say: quiet, colour, errors, readers that are gone."""

import errno
import json
import os
import subprocess
import sys

import pytest
import typer

from neurofit.cli import failures
from neurofit.cli import main as root
from neurofit.cli.output import Output, is_coloured, paint, size_in_bytes
from neurofit.errors import ConfigurationError


class Terminal:
    def __init__(self, is_terminal=True):
        self.is_terminal = is_terminal

    def isatty(self):
        return self.is_terminal


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "NEUROFIT_QUIET", "NEUROFIT_DEBUG", "TQDM_DISABLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "platform", "linux")


@pytest.fixture
def raising(monkeypatch, neurofit):
    """Return a function that runs a command that ends by an error: exit code, standard output, standard error."""

    def run(error, *options):
        def fail():
            raise error

        own = typer.Typer(cls=root.Root, pretty_exceptions_enable=False)
        own.callback()(root._root)
        own.command("fail")(fail)
        monkeypatch.setattr(root, "app", own)
        return neurofit("fail", *options)

    return run


def test_colour_is_for_terminals_that_want_it(monkeypatch):
    assert is_coloured(Terminal())
    assert not is_coloured(Terminal(False))
    monkeypatch.setenv("NO_COLOR", "1")
    assert not is_coloured(Terminal())
    assert paint("error", "error", Terminal()) == "error"
    monkeypatch.setenv("NO_COLOR", "")
    assert paint("error", "error", Terminal()) == "\x1b[1;31merror\x1b[0m"
    monkeypatch.setenv("TERM", "dumb")
    assert not is_coloured(Terminal())
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert is_coloured(Terminal(False))


def test_simulated_data_are_marked_with_and_without_colour(capsys, monkeypatch):
    Output().say("score on SIMULATED data: 0.5")
    assert capsys.readouterr().out == "score on SIMULATED data: 0.5\n"
    monkeypatch.setenv("FORCE_COLOR", "1")
    Output().say("score on SIMULATED data: 0.5")
    assert capsys.readouterr().out == "score on \x1b[1;33mSIMULATED\x1b[0m data: 0.5\n"


def test_quiet_leaves_results_and_warnings(capsys, monkeypatch):
    for output in (Output(quiet=True), Output(as_json=True, quiet=True)):
        output.say("result")
        output.note("remark")
        output.warn("mind")
        output.emit({"a": 1})
        printed, told = capsys.readouterr()
        assert told == "warning: mind\n"
        assert printed == ('{\n  "a": 1\n}\n' if output.as_json else "result\n")
    monkeypatch.setenv("NEUROFIT_QUIET", "1")
    assert Output().quiet
    monkeypatch.setenv("NEUROFIT_QUIET", "0")
    assert not Output().quiet


def test_bars_are_for_terminals(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert Output().progress
    assert not Output(quiet=True).progress
    monkeypatch.setattr(sys, "stderr", Terminal(False))
    assert not Output().progress


@pytest.mark.parametrize("words", [["-q", "models", "export", "ff"], ["models", "export", "ff", "--quiet"]])
def test_quiet_may_stand_anywhere(words, neurofit, tmp_path):
    assert neurofit("models", "export", "ff", str(tmp_path / "a.toml"))[2].startswith("it names no weights")
    code, printed, told = neurofit(*words, str(tmp_path / "b.toml"))
    assert (code, told) == (0, "")
    assert "b.toml" in printed
    assert "NEUROFIT_QUIET" not in os.environ


def test_what_comes_behind_two_hyphens_is_no_option(neurofit):
    code, _, told = neurofit("data", "info", "--", "--debug")
    assert code == 2
    assert "'--debug' is not known" in told
    assert "Traceback" in told  # main cannot know yet what the words mean, and shows more rather than less


def test_a_broken_promise_is_a_sentence(raising):
    error = ConfigurationError("a is b", "c", "do d")
    assert raising(error) == (2, "", "neurofit: a is b - c - do d\n")
    code, _, told = raising(error, "--debug")
    assert code == 2
    assert "Traceback" in told
    assert told.endswith("neurofit: a is b - c - do d\n")


def test_a_defect_is_a_sentence_that_says_how_to_report_it(raising, monkeypatch):
    code, printed, told = raising(ZeroDivisionError("division\nby zero"))
    assert (code, printed) == (70, "")
    assert told.count("\n") == 1
    assert "defect of neurofit" in told
    assert "ZeroDivisionError: division by zero" in told
    assert "--debug" in told
    assert "Traceback" not in told
    monkeypatch.setenv("NEUROFIT_DEBUG", "1")
    assert "Traceback" in raising(ZeroDivisionError())[2]


def test_the_place_of_a_defect_is_named():
    with pytest.raises(TypeError) as caught:
        size_in_bytes(8)
    assert "(files/sizes.py, line " in failures.in_words(caught.value)[0]


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (MemoryError("Unable to allocate 8 GiB"), "Unable to allocate 8 GiB"),
        (type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory"), "CUDA out of memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "smaller --batch"),
        (RuntimeError("can't start new thread"), "the work fits into memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "the work fits into memory"),
        (OSError(errno.ENOSPC, "No space left on device", "out/a.nc"), "out/a.nc: No space left on device - free some"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), "x: Permission denied"),
    ],
)
def test_a_machine_that_gives_out_is_no_defect(error, part, raising):
    code, _, told = raising(error)
    assert code == 2
    assert part in told
    assert "defect" not in told
    assert told.count("\n") == 1


def test_a_file_that_neurofit_did_not_expect_to_miss_is_a_defect(raising):
    assert raising(FileNotFoundError(errno.ENOENT, "No such file or directory", "x"))[0] == 70


def test_an_interrupted_command_says_so(raising):
    assert raising(KeyboardInterrupt()) == (130, "", "neurofit: interrupted\n")
    assert "Traceback" in raising(KeyboardInterrupt(), "--debug")[2]


def test_nobody_reads(monkeypatch, raising):
    silenced = []
    monkeypatch.setattr(root, "silence_streams", lambda: silenced.append(True))
    assert raising(BrokenPipeError(errno.EPIPE, "Broken pipe")) == (141, "", "")
    assert silenced == [True]


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise there")
@pytest.mark.parametrize("words", [["data", "list"], ["data", "list", "--json", "-q"], ["--help"]])
def test_a_pipe_that_is_closed_ends_the_command_quietly(words):
    process = subprocess.Popen(
        [sys.executable, "-m", "neurofit", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.close()  # before anything is written
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait() in (1, 141)  # 1 is rich's, of help


def test_an_error_with_json_leaves_standard_output_empty(neurofit):
    code, printed, told = neurofit("data", "info", "nobody", "--json")
    assert (code, printed) == (2, "")
    assert told.startswith("neurofit: a dataset is named as in its table")


def test_one_document_is_printed(neurofit):
    code, printed, told = neurofit("data", "list", "--json", "-q")
    assert (code, told) == (0, "")
    assert isinstance(json.loads(printed), list)


def test_words_of_others_are_kept_off_the_document(capsys):
    output = Output(as_json=True)
    with output.of_others():
        sys.stdout.write("somebody else's\n")
    assert tuple(capsys.readouterr()) == ("", "somebody else's\n")
