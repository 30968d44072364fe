"""``neurofit compare`` from the command line."""

import json

import pytest

from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.predictivity import predictivity
from neurofit.scoring.storage import save_score

COMPARE = ("compare", "--benchmark", "bench.toml", "--data", "data", "--image-groups", "5")
MINE = "nets/mine.py:static@pool"


def test_models_are_compared_and_their_scores_can_be_named_afterwards(folder, neurofit):
    code, out, err = neurofit(*COMPARE, MINE, "nets/mine.py:static@conv", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert list(record)[:2] == ["simulated", "kind"]
    (comparison,) = record["comparisons"]
    assert (comparison["first"], comparison["second"]) == ("mine (pool)", "mine (conv)")
    assert {"difference", "low", "high", "p_corrected", "p_wilcoxon_corrected", "effect_size"} <= set(
        comparison["time_bins"][0]
    )
    written = sorted(p.name for p in (folder / "neurofit-out").iterdir())
    scores = [f"neurofit-out/{name}" for name in written if name.endswith(".nc")]
    assert len(scores) == 2
    code, out, _ = neurofit("compare", *scores)
    assert code == 0
    assert "real recordings" in out
    assert "interval" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([MINE], "a comparison is of two models or more"),
        ([MINE, MINE], "is named twice"),
        ([MINE, "nets/mine.py:static@poll"], "'poll' is not known - use 'pool'"),
        ([MINE, "nowhere.nc"], "a score is a readable netCDF-4 file - nowhere.nc"),
        ([MINE, "rgcc"], "'rgcc' is not known - use 'rgc'"),
        ([MINE, "nets/mine.py:static@conv", "--windows", "early:3"], "windows are written name=start-end"),
        ([MINE, "nets/mine.py:static@conv", "--windows", "a=0-9,a=9-20"], "'a' is named twice"),
        ([MINE, "nets/mine.py:static@conv", "--image-groups", "900"], "900 groups of"),
    ],
)
def test_bad_input_is_one_sentence(folder, neurofit, arguments, message):
    code, out, err = neurofit(*COMPARE, *arguments)
    assert code == 2, err
    assert message in err
    assert "Traceback" not in err
    assert not out or "score:" not in out


def test_scores_of_python_need_no_names_and_unfit_ones_are_found_before_others_are_made(
    folder, neurofit, make_recording, tmp_path
):
    recording, source = make_recording(q=8), make_recording(q=6, seed=1)
    options = {"mapping": PLSMapping(3), "splitter": StimulusShuffleSplit(2), "formula": "raw"}
    for name, groups in (("a", 5), ("b", 5), ("without", 0)):
        save_score(predictivity(source, recording, image_groups=groups, **options), tmp_path / f"{name}.nc")
    code, out, err = neurofit("compare", str(tmp_path / "a.nc"), str(tmp_path / "b.nc"))
    assert code == 0, err
    assert "unnamed  minus  unnamed" in out
    code, out, err = neurofit(*COMPARE, MINE, str(tmp_path / "without.nc"))
    assert code == 2
    assert "was made without 'without_group'" in err
    assert "score:" not in out
