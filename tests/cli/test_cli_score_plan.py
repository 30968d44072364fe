"""`neurofit score --plan`, and what `--memory` does to a run."""

import json

import pytest

PIXELS = ("score", "--benchmark", "bench.toml", "--data", "data", "--model", "pixels")


@pytest.fixture(autouse=True)
def no_store_of_the_user(monkeypatch):
    monkeypatch.delenv("NEUROFIT_STORE", raising=False)


def test_a_plan_is_said_and_nothing_is_computed(folder, neurofit):
    code, out, err = neurofit(*PIXELS, "--plan")
    assert code == 0, err
    assert out.startswith("plan: pixels, layer pixels, on colours (IT): 40 images, 160 presentations, 5 neuroids")
    assert "features: 3,072 units, as they are" in out and "store: none" in out
    assert "peak memory: about " in out and "of 8.0 GiB that it may have" in out
    assert "time: about " in out and "estimated from " in out
    assert not (folder / "neurofit-out").exists()


def test_a_plan_is_one_document(folder, neurofit):
    code, out, err = neurofit(*PIXELS, "--plan", "--json", "--features", "dual", "--batch", "7")
    assert code == 0, err
    plan = json.loads(out)
    assert (plan["features"]["route"], plan["batch"], plan["passes"]) == ("dual", 7, 6)
    assert plan["peak_bytes"] >= plan["resident_bytes"] + max(stage["memory_bytes"] for stage in plan["stages"])
    assert plan["seconds"] > 0
    assert plan["sizes"]["runs"] == [2, 2]  # while the picture is on, and while it is not


def test_a_run_that_does_not_fit_is_refused_before_it_starts(folder, neurofit):
    code, _, err = neurofit(*PIXELS, "--memory", "100MiB")
    assert code == 2
    assert "a run fits the memory that it may have - it needs " in err
    assert not list(folder.glob("neurofit-out/*"))


def test_a_run_is_fitted_into_its_memory_and_says_so(folder, neurofit, monkeypatch):
    from neurofit.scoring import plan

    monkeypatch.setattr(plan, "resident_bytes", lambda: (0, 0))
    monkeypatch.setattr(plan, "aligning_bytes", lambda *_: 0)
    monkeypatch.setattr(plan, "mapping_bytes", lambda *_: 0)
    recorded = {32: 2**40, 16: 2**20}
    monkeypatch.setattr(plan, "recording_bytes", lambda _, __, ___, batch, ____: recorded.get(batch, 2**10))
    code, out, err = neurofit(*PIXELS)
    assert code == 0, err
    assert "to fit 8.0 GiB: one thread maps; 16 images a pass, not 32" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "rsa"], "a plan is of the predictivity of one layer of a network - the metric is 'rsa'"),
        (["--model", "sim_truth", "--layer", "IT"], "the subject sim_truth"),
    ],
)
def test_what_has_no_plan_is_told(folder, neurofit, arguments, message):
    code, _, err = neurofit(*PIXELS, "--plan", *arguments)
    assert code == 2 and message in err
