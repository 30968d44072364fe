from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurofit.errors import ConfigurationError, DataFileError
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.brainscore_score import read_brainscore_score, write_brainscore_score
from neurofit.scoring.score import Terms, assemble_score
from neurofit.scoring.summary import headline

THEIR_ORDER = AggregationSpec(order="neuroids-then-splits", n_resamples=20)
PART = {"": "score", "raw": "raw_score", "ceiling": "ceiling_score"}


def open_as_brainscore_does(path, group=None):
    """Their `AssemblyLoader`: one array of one group."""
    with xr.open_dataarray(path, group=group) as opened:
        return opened.load()


def write_as_brainscore_does(path, arrays):
    """Their `write_netcdf(..., append=True, group=name)`."""
    for number, (group, array) in enumerate(arrays.items()):
        array.to_dataset(name="data").to_netcdf(path, mode="a" if number else "w", group=group or None)
    return path


@pytest.fixture
def score(make_recording):
    """Return a function that makes a score of random correlations by a formula."""

    def make(formula="brain-score-2019", bins=((70, 90), (90, 110))):
        rng = np.random.default_rng(0)
        recording = make_recording(n=4, bins=bins)
        S, H, T, q = 3, 2, len(bins), 5
        terms = Terms(
            raw=rng.uniform(0.1, 0.6, (S, T, q)),
            internal=rng.uniform(0.5, 0.9, (S, H, T, q)),
            mapping=rng.uniform(0.5, 0.9, (S, H, T, q)),
            silent=np.zeros(T, bool),
            components=np.full((S, T), 4),
            ceiling=rng.uniform(0.5, 0.9, (H, q, T)) if formula.startswith("brain") else None,
        )
        names = {"benchmark": "toy", "subject": "net", "layer": "conv4"}
        return assemble_score(terms, recording, {"formula": formula, "threshold": 0.0, **names})

    return make


@pytest.mark.parametrize("formula", ["brain-score", "brain-score-2019", "both", "neural", "raw"])
def test_brain_score_opens_every_part(score, tmp_path, formula):
    ours = score(formula)
    path = write_brainscore_score(ours, tmp_path / "score.nc", THEIR_ORDER)
    one = headline(ours, THEIR_ORDER)
    opened = open_as_brainscore_does(path)
    assert opened.item() == one.value  # what their leaderboard takes as the ceiled score
    assert opened.attrs["error"] == one.standard_error
    assert (opened.attrs["model_identifier"], opened.attrs["benchmark_identifier"]) == ("net", "toy")
    assert open_as_brainscore_does(path, "raw").item() == one.raw
    values = open_as_brainscore_does(path, "raw/raw")
    np.testing.assert_array_equal(values.transpose("split", "neuroid", "time_bin").values, ours.predictivity.values)
    assert values["neuroid_id"].values.tolist() == ours.neuroid_id.values.tolist()
    assert open_as_brainscore_does(path, "ceiling").item() == one.ceiling


@pytest.mark.parametrize("formula", ["brain-score", "brain-score-2019", "brain-score-2018"])
def test_ours_there_and_back(score, tmp_path, formula):
    ours = score(formula)
    again = read_brainscore_score(write_brainscore_score(ours, tmp_path / "score.nc", THEIR_ORDER))
    assert again.attrs["formula"] == formula
    assert (again.attrs["subject"], again.attrs["benchmark"]) == ("net", "toy")
    for name in ("predictivity", "ceiling_by_halving"):
        np.testing.assert_array_equal(again[name].values, ours[name].values)
    assert headline(again, THEIR_ORDER).value == headline(ours, THEIR_ORDER).value
    assert again.region.values.tolist() == ours.region.values.tolist()


def test_a_formula_by_neuroid_does_not_come_back_as_another(score, tmp_path):
    path = write_brainscore_score(score("both"), tmp_path / "score.nc")
    with pytest.raises(DataFileError, match=r"by a formula on aggregates - .*it is \d.*\(brain-score-2019\).*\.nc\)"):
        read_brainscore_score(path)


def of_reference(path, **coords):
    """Their own score of AlexNet or pixels as the arrays of a Score."""
    given = np.load(path, allow_pickle=False)
    arrays = {}
    for group, name in PART.items():
        error = {"": "score_error", "raw": "raw_error", "ceiling": "ceiling_error"}[group]
        arrays[group] = xr.DataArray(float(given[name]), attrs={"error": float(given[error])})
    for group, ids in (("raw", "neuroid_id"), ("ceiling", "ceiling_neuroid_id")):
        dims, neuroids = ("split", "neuroid"), {"neuroid_id": ("neuroid", given[ids])}
        arrays[f"{group}/raw"] = xr.DataArray(given[group], dims=dims, coords=neuroids | coords)
    return arrays, given


@pytest.mark.parametrize("model", ["alexnet", "pixels"])
def test_a_real_score_of_brain_score_is_the_same_number_here(shared, tmp_path, model):
    reference = shared("data", "brainscore_reference_scores", f"{model}_MajajHong2015public.IT-pls.npz")
    arrays, given = of_reference(reference)
    path = write_as_brainscore_does(tmp_path / "score.nc", arrays)
    with pytest.raises(DataFileError, match="give time_bin"):
        read_brainscore_score(path)
    score = read_brainscore_score(path, time_bin=(70, 170))
    assert score.attrs["formula"] == "brain-score-2019"
    one = headline(score, THEIR_ORDER)
    assert one.value == pytest.approx(float(given["score"]), abs=1e-7)
    assert one.raw == pytest.approx(float(given["raw_score"]), abs=1e-7)
    assert one.standard_error == pytest.approx(float(given["score_error"]), abs=1e-7)
    again = write_brainscore_score(score, tmp_path / "again.nc", THEIR_ORDER)
    assert open_as_brainscore_does(again).item() == pytest.approx(float(given["score"]), abs=1e-7)


def test_scores_of_older_days_have_center_and_error_on_a_dimension(shared, tmp_path):
    arrays, given = of_reference(
        shared("data", "brainscore_reference_scores", "pixels_MajajHong2015public.IT-pls.npz"),
        time_bin_start=70,
        time_bin_end=170,
    )
    both = [float(given["score"]), float(given["score_error"])]
    arrays[""] = xr.DataArray(both, dims="aggregation", coords={"aggregation": ["center", "error"]})
    score = read_brainscore_score(write_as_brainscore_does(tmp_path / "score.nc", arrays))
    assert score.time_bin_start.values.tolist() == [70]
    assert headline(score, THEIR_ORDER).value == pytest.approx(both[0], abs=1e-7)


def test_a_score_without_values_is_refused(tmp_path):
    path = write_as_brainscore_does(tmp_path / "score.nc", {"": xr.DataArray(0.5)})
    with pytest.raises(DataFileError, match="in the group raw/raw, values by split and neuroid"):
        read_brainscore_score(path)


def test_scores_of_populations_have_no_such_form(score, tmp_path, monkeypatch):
    monkeypatch.setattr("neurofit.scoring.brainscore_score.metric_of", lambda score: "rsa")
    with pytest.raises(ConfigurationError, match="this is a score of 'rsa'"):
        write_brainscore_score(score(), tmp_path / "score.nc")
    assert not list(tmp_path.iterdir())
