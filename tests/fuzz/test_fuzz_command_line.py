"""Values of options that nobody means: an exit code of 2 and a sentence, never that of a defect."""

from __future__ import annotations

import sys

import pytest

from neurofit.cli.main import main

WORDS = (
    "",
    "..",
    "/dev/null",
    "x" * 300,
    "x" * 5000,
    "\n",
    "\u202e",
    "\udcff",
    "nan",
    "1" * 400,
    "{{}}",
    "file:///etc/passwd",
)
ALWAYS = ("leaderboard {}", "curves {}", "tradeoff {}", "models show {}", "data check {}")
NUMBERS = ("-1", "1e999", "nan", "1" * 400, "")
SIZES = ("store prune --store s --to-size {}", "store prune --store s --older-than {}")


def spoken(monkeypatch, capsys, words):
    """Run a command; return its exit code and what it says of its failure."""
    monkeypatch.setattr(sys, "argv", ["neurofit", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    return ended.value.code or 0, capsys.readouterr().err


@pytest.mark.parametrize("command", [*ALWAYS, "score --model {} --region IT", "store list --store {}"])  # fmt: skip
def test_names_that_name_nothing_are_told(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEUROFIT_DATA", str(tmp_path / "data"))
    for word in WORDS:
        if (word, command) in ((w, c) for w in ("", "..") for c in ("store list --store {}", "leaderboard {}")):
            continue  # folders that are there
        code, said = spoken(monkeypatch, capsys, [part.format(word) for part in command.split()])
        assert code in (0, 2), (word[:20], said)
        assert "Traceback" not in said and "defect" not in said
        if code == 2 and "neurofit: " in said:
            assert said.count(" - ") >= 2 and "\u202e" not in said and "\x1b]" not in said


@pytest.mark.parametrize("command", SIZES)
def test_numbers_that_count_nothing_are_told(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    for word in NUMBERS:
        code, said = spoken(monkeypatch, capsys, [part.format(word) for part in command.split()])
        assert code in (0, 2) and "Traceback" not in said, (word[:20], said)
