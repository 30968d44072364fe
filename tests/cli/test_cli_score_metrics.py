"""RSA and decoding from the command line."""

import json

import pytest

SCORE = ("score", "--benchmark", "bench.toml", "--data", "data", "--model", "pixels", "--layer", "pixels")


def test_rsa_says_what_it_is(folder, neurofit):
    code, out, err = neurofit(*SCORE, "--metric", "rsa", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert record["benchmark"]["name"] == "colours (varied)"
    assert record["benchmark"]["metric"]["kind"] == "rsa"
    score = record["score"]
    assert (score["metric"], score["formula"], score["n_splits"]) == ("rsa", "neural-rdm", 0)
    assert 0.05 < score["raw"] < score["value"] < 1
    assert score["low"] <= score["value"] <= score["high"]
    assert "nothing is fitted, no splits" in err
    assert "Spearman's rho between RDMs (1 - Pearson's r over units)" in err
    assert (folder / record["written"]["figure"]).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--components", "5"), "has no components '5'"),
        (("--mapping", "fixed"), "has no mapping 'fixed'"),
        (("--formula", "both"), "has no formula 'both'"),
    ],
)
def test_options_of_mappings_are_not_for_rsa(folder, neurofit, options, found):
    code, _, err = neurofit(*SCORE, "--metric", "rsa", *options)
    assert code == 2
    assert f"'rsa' fits no mapping to the neuroids, and {found} - leave it out" in err
    assert not (folder / "neurofit-out").exists()


def test_decoding_says_what_it_is(folder, neurofit):
    code, out, err = neurofit(*SCORE, "--metric", "decoding", "--json")
    assert code == 0, err
    record = json.loads(out)
    score = record["score"]
    assert (score["metric"], score["n_objects"], score["chance"]) == ("decoding", 4, 0.25)
    assert all(0 <= row["accuracy_source"] <= 1 for row in record["time_bins"])
    assert "metric decoding: Spearman's rho between image-level d' of both populations; 2 splits" in err
    assert "accuracy  of neurons" in err
