"""Ridge regression from the command line, on the embedded simulated data."""

import json
import subprocess
import sys


def neurofit(*arguments, cwd):
    command = [sys.executable, "-m", "neurofit", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=300, check=False)


def test_a_score_by_ridge_says_so(tmp_path):
    quick = ("--splits", "2", "--halvings", "1", "--json")
    done = neurofit("score", "--model", "pixels", "--region", "V4", "--regression", "ridge", *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["benchmark"]["name"] == "sim-v4 (varied)"
    mapping = record["benchmark"]["mapping"]
    assert (mapping["kind"], mapping["n_components"], len(mapping["alphas"])) == ("ridge", None, 11)
    assert "mapping: RidgeMapping()" in done.stderr
    score = record["score"]
    assert 0.05 < score["raw"] < score["value"] < 1
    assert 1e-5 <= score["alpha_least"] <= score["alpha_median"] <= score["alpha_largest"] <= 1e5
    assert "components_least" not in score


def test_components_are_not_for_ridge(tmp_path):
    arguments = ("--model", "pixels", "--region", "V4", "--regression", "ridge", "--components", "5")
    done = neurofit("score", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "n_components is not for kind 'ridge'" in done.stderr
