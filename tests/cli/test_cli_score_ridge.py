"""Ridge regression from the command line."""

import json

RIDGE = ("score", "--benchmark", "bench.toml", "--data", "data", "--model", "pixels", "--layer", "pixels")
RIDGE += ("--regression", "ridge")


def test_a_score_by_ridge_says_so(folder, neurofit):
    code, out, err = neurofit(*RIDGE, "--json")
    assert code == 0, err
    record = json.loads(out)
    assert record["benchmark"]["name"] == "colours (varied)"
    mapping = record["benchmark"]["mapping"]
    assert (mapping["kind"], mapping["n_components"], len(mapping["alphas"])) == ("ridge", None, 11)
    assert "mapping: RidgeMapping()" in err
    score = record["score"]
    assert 0.05 < score["raw"] < score["value"] < 1
    assert 1e-5 <= score["alpha_least"] <= score["alpha_median"] <= score["alpha_largest"] <= 1e5
    assert "components_least" not in score


def test_components_are_not_for_ridge(folder, neurofit):
    code, _, err = neurofit(*RIDGE, "--components", "5")
    assert code == 2
    assert "n_components is not for kind 'ridge'" in err
    assert not (folder / "neurofit-out").exists()
