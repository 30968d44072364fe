"""`neurofit store`, and the options that keep features."""

import json
import subprocess
import sys

import numpy as np
import pytest

PIXELS = ("score", "--benchmark", "bench.toml", "--data", "data", "--model", "pixels", "--layer", "pixels", "--json")
PASSING = ("cost", "seconds", "date", "written", "duration", "created", "time_utc")


@pytest.fixture(autouse=True)
def no_store_of_the_user(monkeypatch):
    monkeypatch.delenv("NEUROFIT_STORE", raising=False)


def lasting(document):
    """What is the same in every run."""
    if isinstance(document, dict):
        return {k: lasting(v) for k, v in document.items() if not any(word in k for word in PASSING)}
    return [lasting(each) for each in document] if isinstance(document, list) else document


def test_a_score_from_the_store_is_the_score(folder, neurofit, monkeypatch):
    plain = neurofit(*PIXELS)[1]
    _, first, said = neurofit(*PIXELS, "--store", "kept")
    assert "features as kept" not in said
    monkeypatch.setattr("neurofit.models.pixels.Pixels.forward", lambda *_: pytest.fail("the network was run"))
    monkeypatch.setattr("neurofit.report.record.described", _described_without_a_pass)
    code, second, said = neurofit(*PIXELS, "--store", "kept")
    assert code == 0 and "store: pixels: features as kept (" in said
    plain, first, second = (lasting(json.loads(text)) for text in (plain, first, second))
    assert first["score"] == second["score"] == plain["score"]
    assert lasting(first) == lasting(plain)
    assert {**second, "subject": None} == {**plain, "subject": None}


def _described_without_a_pass(subject, benchmark, result):
    return subject.describe()


def test_the_environment_names_a_store_and_an_option_does_without(folder, neurofit, monkeypatch):
    monkeypatch.setenv("NEUROFIT_STORE", "kept")
    assert neurofit(*PIXELS, "--no-store")[0] == 0
    assert not (folder / "kept").exists()
    assert neurofit(*PIXELS)[0] == 0
    code, out, _ = neurofit("store", "list", "--json")
    (entry,) = json.loads(out)
    assert code == 0 and entry["state"] == "finished"
    assert (entry["about"]["model"], entry["about"]["images"]) == ("pixels", 40)
    assert entry["key"]["preprocessing"]["size_px"] == 32


def test_layers_and_compare_keep_features_too(folder, neurofit):
    common = ("--benchmark", "bench.toml", "--data", "data", "--store", "kept")
    code, _, err = neurofit("layers", "--model", "nets/mine.py:static", "--inner-splits", "1", *common)
    assert code == 0, err
    said = neurofit("layers", "--model", "nets/mine.py:static", "--inner-splits", "1", *common)[1]
    assert said.count("the network is not run") == 2
    models = ("nets/mine.py:static@pool", "nets/mine.py:static@conv")
    code, _, err = neurofit("compare", *models, "--image-groups", "5", *common)
    assert code == 0, err
    entries = json.loads(neurofit("store", "list", "--store", "kept", "--json")[1])
    assert {entry["about"]["layer"] for entry in entries} == {"conv", "pool"}


def test_a_store_is_listed_shown_verified_and_pruned(folder, neurofit):
    neurofit(*PIXELS, "--store", "kept")
    where = ("--store", "kept")
    code, out, _ = neurofit("store", "list", *where)
    name = out.split()[0]
    assert code == 0 and "finished" in out and "pixels pixels, 40 images of colours, raw" in out
    code, out, _ = neurofit("store", "show", name, *where)
    assert code == 0 and '"pixels_sha256"' in out
    assert neurofit("store", "verify", *where)[0] == 0
    chunk = next((folder / "kept").rglob("batch-00001.*"))
    chunk.write_bytes(chunk.read_bytes()[:-1])
    code, out, _ = neurofit("store", "verify", *where, "--json")
    assert code == 2
    assert json.loads(out)["entries"][0]["problems"] == [f"{chunk.name} is not as it was written"]
    code, out, _ = neurofit("store", "prune", "--model", "pixels", *where)
    assert code == 0 and "1 entries" in out and "would go (add --yes)" in out
    assert chunk.exists()
    code, out, _ = neurofit("store", "prune", "--model", "pixels", "--yes", *where, "--json")
    assert (code, json.loads(out)["removed"], len(json.loads(out)["entries"])) == (0, True, 1)
    assert "0 entries" in neurofit("store", "list", *where)[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prune"], "what may go from a store is chosen"),
        (["prune", "--to-size", "much"], "'much' is none"),
        (["show", "ff"], "0 of "),
        (["list", "--store", "bench.toml"], "a store is a folder"),
    ],
)
def test_what_cannot_be_is_told(folder, neurofit, monkeypatch, arguments, message):
    monkeypatch.setenv("NEUROFIT_STORE", "kept")
    code, _, err = neurofit("store", *arguments)
    assert code == 2 and message in err


KILLED = """
import os, signal, sys
left = int(sys.argv.pop(1))

def hook(event, arguments):
    global left
    if event in ("open", "os.rename", "os.remove", "os.mkdir") and "kept" in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(hook)
from neurofit.cli.main import main
main()
"""


@pytest.mark.slow
def test_a_score_that_is_killed_again_and_again_ends_as_if_it_had_not_been(folder):
    """Ten kills at random moments of what happens in the store, one run after the other on what was left."""
    words = [*PIXELS, "--batch", "3", "--features", "dual"]

    def run(left, *more):
        command = [sys.executable, "-c", KILLED, str(left), *words, *more]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)

    plain = run(0, "--no-store")
    assert plain.returncode == 0, plain.stderr
    moments = np.random.default_rng(0).integers(5, 60, 10)
    codes = [run(moment, "--store", "kept").returncode for moment in moments]
    assert set(codes) <= {-9, 0} and codes.count(-9) >= 3
    last = run(0, "--store", "kept")
    assert last.returncode == 0, last.stderr
    assert lasting(json.loads(last.stdout)) == lasting(json.loads(plain.stdout))
    assert not [path for path in (folder / "kept").rglob("*") if path.suffix == ".tmp"]
    assert run(0).returncode == 0
    verified = subprocess.run(
        [sys.executable, "-m", "neurofit", "store", "verify", "--store", "kept"], cwd=folder, check=False
    )
    assert verified.returncode == 0
