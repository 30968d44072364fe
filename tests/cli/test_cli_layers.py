"""``neurofit layers`` and ``neurofit score --commitment`` as a shell calls them."""

import json

import pytest

LAYERS = ("layers", "--benchmark", "bench.toml", "--data", "data")
SCORE = ("score", "--benchmark", "bench.toml", "--data", "data")
MINE = ("--model", "nets/mine.py:static")


@pytest.fixture
def committed(folder, neurofit):
    code, out, err = neurofit(*LAYERS, *MINE, "--json")
    assert code == 0, err
    return json.loads(out), err


def test_a_model_is_compared_and_committed(committed, folder):
    record, err = committed
    assert list(record)[:2] == ["simulated", "kind"]
    assert record["kind"] == "layers"
    assert record["commitment"]["window_ms"] == [50, 150]
    assert [row["layer"] for row in record["commitment"]["table"]] == ["conv", "pool"]
    assert [len(row["time_bins"]) for row in record["layers"]] == [4, 4]
    assert record["layers"][0]["time_bins"][0]["silent"] is True
    assert record["score"]["formula"] == "raw"
    assert record["commitment"]["layer"] in ("conv", "pool")
    assert "<- committed" in err
    stem = "mine-layers-IT-colours"
    assert sorted(p.name for p in (folder / "neurofit-out").iterdir()) == [
        f"{stem}.commitment.json", f"{stem}.json", f"{stem}.png"
    ]  # fmt: skip
    kept = json.loads((folder / record["written"]["commitment"]).read_text())
    assert kept == {k: v for k, v in record["commitment"].items() if k != "use"}


def test_a_score_follows_the_file(committed, neurofit):
    record, _ = committed
    path = record["written"]["commitment"]
    code, out, err = neurofit(*SCORE, *MINE, "--commitment", path, "--formula", "raw", "--json")
    assert code == 0, err
    followed = json.loads(out)
    assert followed["score"]["value"] == pytest.approx(record["score"]["value"], abs=1e-6)
    assert followed["subject"]["commitment_nested"] == 1
    assert followed["subject"]["layer"] in ("conv", "pool", "conv, pool")
    assert "mine-committed-IT-colours" in followed["written"]["record"]
    assert "commitment: per region, each split's choice in its own training stimuli" in err


@pytest.mark.parametrize("per", ["bin", "neuroid"])
def test_choices_per_bin_and_per_neuroid(folder, neurofit, per):
    code, out, err = neurofit(*LAYERS, *MINE, "--per", per, "--inner-splits", "2", "--formula", "both")
    assert code == 0, err
    assert f"per {per}, each split's choice" in out
    assert ("by bin: 0-" in out) == (per == "bin")
    assert (folder / "neurofit-out" / f"mine-layers-IT-colours-per-{per}-both.commitment.json").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*LAYERS, *MINE, "--layer", "poll"], "'poll' is not known - use 'pool'"),
        ([*LAYERS, *MINE, "--formula", "bth"], "'bth' is not known - use 'both'"),
        ([*LAYERS, *MINE, "--components", "100"], "'pool' of mine has 72, the mapping 100"),
        (["layers", "--model", "rgc"], "neither --region nor --benchmark was given"),
        ([*SCORE, *MINE, "--commitment", "nowhere.json"], "nowhere.json"),
        ([*SCORE, *MINE, "--commitment", "bench.toml"], "a commitment is a readable JSON file"),
        ([*SCORE, *MINE, "--commitment", "C", "--layer", "pool"], "--layer pool and --commitment were given"),
        ([*SCORE, *MINE, "--commitment", "C", "--splits", "5"], "the commitment was made on colours with other splits"),
        (
            [*SCORE, "--model", "pixels", "--commitment", "C"],
            "and this is pixels - make one for this model",
        ),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(committed, neurofit, arguments, message):
    path = committed[0]["written"]["commitment"]
    code, _, err = neurofit(*[path if a == "C" else a for a in arguments])
    assert code == 2
    assert message in err
    assert err.count("neurofit: ") == 1
