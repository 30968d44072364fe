"""The noise ceiling and the inter-animal consistency from the command line."""

import hashlib
import json

import numpy as np
import pytest

from neurofit.data.readers.plain import write_hdf5
from neurofit.report.record import load_record
from neurofit.scoring.storage import load_score

CEILING = ("ceiling", "--benchmark", "bench.toml", "--data", "data")


@pytest.fixture
def two_animals(folder, make_recording):
    """The small benchmark with responses of two animals, six and five neuroids."""
    latents = np.random.default_rng(0).standard_normal((40, 3))
    bins = [(t, t + 50) for t in range(0, 200, 50)]
    recording = make_recording(latents=latents, q=11, bins=bins, repetitions=(6, 6))
    path = folder / "data" / "colours" / "responses.h5"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    write_hdf5(recording.assign_coords(subject=("neuroid", ["bert"] * 6 + ["lupo"] * 5)), path)
    manifest = folder / "colours.toml"
    manifest.write_text(manifest.read_text().replace(before, hashlib.sha256(path.read_bytes()).hexdigest()))
    return folder


def test_two_animals_predict_each_other(two_animals, neurofit):
    code, out, err = neurofit(*CEILING, "--json")
    assert code == 0, err
    record = json.loads(out)
    assert next(iter(record)) == "simulated"
    assert record["simulated"] is False
    assert record["subject"]["kind"] == "animals"
    assert [(row["source"], row["target"]) for row in record["pairs"]] == [("lupo", "bert"), ("bert", "lupo")]
    assert all(0.2 < row["raw"] < row["corrected"] for row in record["pairs"])
    assert len(record["time_bins"]) == 4
    assert record["score"]["splits_hash"]
    assert "as many components" not in err
    assert load_record(record["written"]["record"])["pairs"] == record["pairs"]
    score = load_score(record["written"]["score"])
    assert score.attrs["animals"] == "bert, lupo"
    assert (two_animals / record["written"]["figure"]).read_bytes()[:4] == b"\x89PNG"


def test_what_is_said(two_animals, neurofit):
    code, out, err = neurofit(*CEILING, "--components", "200", "--formula", "both")
    assert code == 0, err
    assert "animals: bert, lupo" in out
    assert "as many components as source neuroids: 5 to predict bert, 6 to predict lupo" in out
    assert "mapping consistency: of mappings between halves of both animals' trials" in out
    assert "lupo              bert                 5 to 6      40" in out
    assert "SIMULATED" not in out


def test_one_animal_has_a_noise_ceiling_only(folder, neurofit):
    code, out, err = neurofit(*CEILING, "--json")
    assert code == 0, err
    assert "no inter-animal consistency: all neuroids are of one animal, 'animal'" in err
    record = json.loads(out)
    row = record["time_bins"][1]
    assert row["raw"] is None
    assert 0.3 < row["internal_consistency"] < row["ceiling_of_r"] < 1
    assert record["pairs"] == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "neither --region nor --benchmark was given"),
        (("--region", "V9"), "'V9' is not known"),
        ((*CEILING[1:], "--formula", "bot"), "use 'both'"),
    ],
)
def test_bad_input_is_one_sentence(two_animals, neurofit, options, said):
    code, _, err = neurofit("ceiling", *options)
    assert code == 2
    assert said in err
    assert err.count("\n") == 1
