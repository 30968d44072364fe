"""`neurofit health` and `neurofit tradeoff` as a shell runs them."""

import json

import pytest

BENCH = ("--benchmark", "bench.toml", "--data", "data")
PIXELS = ("--model", "pixels", "--layer", "pixels")
MINE = ("--model", "nets/mine.py:static", "--layer", "conv")
HEALTH = ("health", *BENCH, *MINE, "--resamples", "20")


def test_both_curves_their_record_and_figure(folder, neurofit):
    code, out, err = neurofit(*HEALTH, "--grid", "1,2,3,8", "--sizes", "5,8,12,20,30", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert next(iter(document)) == "simulated" and document["kind"] == "health of a regression"
    assert "no score" in document["note"]
    assert [row["n_components"] for row in document["components"]["table"]] == [1, 2, 3, 8]
    assert document["components"]["diagnoses"]["raw"]["chosen"] == 3
    learning = document["learning"]
    assert [row["n_training"] for row in learning["table"]] == [5, 8, 12, 20, 30]
    assert learning["time_bins"] == [[50, 100], [100, 150]]  # of the headline
    assert [each["factor"] for each in learning["diagnoses"]["raw"]["projections"]] == [2.0, 10.0, "infinity"]
    for path in document["written"].values():
        assert (folder / path).stat().st_size > 1000
    assert "best on the held-out stimuli with" in err and "no score" in err


def test_a_static_mode_of_the_benchmark_or_of_an_option(folder, neurofit):
    """In 'uniform' what is diagnosed is the sequence, and its name is known before anything is loaded."""
    bench = folder / "bench.toml"
    bench.write_text(bench.read_text() + '\nstatic = {mode = "uniform", layers = ["conv", "pool"]}\n')
    command = ("health", *BENCH, *MINE[:2], "--curves", "components", "--grid", "2,3", "--resamples", "20", "--json")
    code, out, err = neurofit(*command, "--mapping", "fixed")
    assert code == 0, err
    record = json.loads(out)
    assert (record["subject"]["layer"], record["subject"]["static_mode"]) == ("conv+pool", "uniform")
    assert "fixed in time" in err and "time course of mine: uniform: " in err
    code, out, err = neurofit(*command, "--static-mode", "once", "--static-latency-ms", "50", "--layer", "conv")
    assert code == 0, err
    assert json.loads(out)["subject"]["time_course"].endswith("conv 50-150 ms")


def test_ridge_has_a_learning_curve_alone(folder, neurofit):
    code, out, err = neurofit(*HEALTH, "--regression", "ridge", "--sizes", "5,8,12,30", "--every-bin")
    assert code == 0, err
    assert (
        "training stimuli" in out and "components" not in out.split("raw r", 1)[0].split("version 1;")[1].split("\n")[1]
    )
    assert "NOT SUPPORTED: 4 sizes are few for three parameters" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--grid", "1,x"], "--grid is a list of whole numbers - got '1,x'"),
        (["--grid", "5,3"], "got 5, 3"),
        (["--sizes", "1,2,3,4"], "two more than the components"),
        (["--sizes", "10,20,300"], "training stimuli of a split"),
        (["--sizes", "10,20,30"], "four sizes or more - got 3"),
        (["--regression", "ridge", "--curves", "components"], "components are those of a PLS"),
        (["--layer", "cone"], "'cone' is not known"),
    ],
)
def test_what_cannot_be_is_refused(folder, neurofit, arguments, message):
    code, _, err = neurofit(*HEALTH, *arguments)
    assert code == 2
    assert message in err
    assert err.count("neurofit: ") == 1


def test_a_trade_off_of_scores(folder, neurofit):
    for model in (PIXELS, MINE):
        code, _, err = neurofit("score", *BENCH, *model, "--out", "scores")
        assert code == 0, err
    subject = json.loads((folder / "scores" / "mine-conv-IT-colours.json").read_text())["subject"]
    assert (subject["network_units"], subject["macs"]) == (8 * 7 * 7 + 8 * 3 * 3, 8 * 7 * 7 * 75)
    code, out, err = neurofit("tradeoff", "scores", "--x", "units", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert [point["name"] for point in document["points"]] == ["mine, conv", "pixels, pixels"]
    assert all((folder / path).stat().st_size > 1000 for path in document["written"].values())
    code, _, err = neurofit("tradeoff", "scores")  # pixels have no parameters
    assert code == 2 and "with 0 parameters" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "none was given"),
        (["missing.json"], "a record is a readable JSON file"),
        (["--y", "top1", "some.json"], "--y top1 takes no records"),
    ],
)
def test_trade_offs_that_cannot_be_are_refused(folder, neurofit, arguments, message):
    code, _, err = neurofit("tradeoff", *arguments)
    assert code == 2
    assert message in err


def test_models_show_says_what_a_network_costs(neurofit):
    code, out, _ = neurofit("models", "show", "ff", "--json")
    assert code == 0
    assert json.loads(out)["network_units"] == 11236
    assert "G multiply-accumulates an image" in neurofit("models", "show", "ff")[1]
    assert "multiply-accumulates" not in neurofit("models", "show", "pixels")[1]
