"""Commands survive what is done to them: benchmarks/faults in a reduced form (docs/faults.md has the whole table)."""

import json
import subprocess
import sys

import pytest

NAMES = (
    *("kill-score", "kill-fetch", "kill-train", "kill-sweep", "worker-dask", "term-score", "int-train", "drop-fetch"),
    *("full-score", "full-fetch", "full-train", "full-sweep", "ro-score", "ro-store-score", "ro-train", "clock-score"),
    *("clock-train", "several-score", "several-fetch", "torn-score", "torn-fetch", "torn-train", "torn-sweep"),
    *("io-score", "io-train", "memory-score"),
)


@pytest.fixture
def disturbed(repository, tmp_path):
    """Return a function that runs the harness for one fault of one command and returns its row."""

    def run(name, n):
        words = [sys.executable, "benchmarks/faults/run.py", "--only", name, "--n", str(n), "--out", str(tmp_path)]
        ended = subprocess.run(words, cwd=repository, capture_output=True, text=True, check=False)
        assert (tmp_path / "table.json").exists(), ended.stderr
        (row,) = json.loads((tmp_path / "table.json").read_text())
        if any(outcome.startswith("not tried") for outcome in row["outcomes"]):
            pytest.skip(str(row["outcomes"]))
        return row

    return run


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_command_survives(disturbed, name):
    row = disturbed(name, 4)
    assert row["wrong"] == []
    assert row["survived"] == row["injected"] > 0
    assert row["leftovers"] == {}


@pytest.mark.slow
def test_a_kill_costs_the_batch_in_flight_and_no_more(disturbed):
    row = disturbed("kill-score", 6)
    assert set(row["again"]) <= {"0 batches", "1 batch"}


@pytest.mark.slow
def test_many_runs_in_one_process_do_not_grow(repository, tmp_path):
    words = [sys.executable, "benchmarks/faults/soak.py", "--runs", "100", "--models", "pixels", "--out", str(tmp_path)]
    ended = subprocess.run(words, cwd=repository, capture_output=True, text=True, check=False)
    found = json.loads((tmp_path / "soak.json").read_text())
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert found["runs"] == 100
