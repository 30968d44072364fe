import gc
import subprocess

import numpy as np
import pytest
import xarray as xr

from neurofit.assembly.build import average_repetitions
from neurofit.errors import AssemblyError, DataFileError, OutputError
from neurofit.kernel.correlation import pearson
from neurofit.mapping.estimators import PLSMapping, RidgeMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.predictivity import predictivity
from neurofit.scoring.storage import load_score, save_score
from neurofit.scoring.summary import headline, summarise

SPLITS = StimulusShuffleSplit(3, test_size=0.25)


@pytest.fixture
def pair(make_recording):
    latents = np.random.default_rng(1).standard_normal((60, 4))
    target = make_recording(60, latents=latents)
    return average_repetitions(make_recording(60, q=9, latents=latents, seed=5)), target


def scored(pair, **options):
    options = {"mapping": PLSMapping(3), "splitter": SPLITS, "n_halvings": 2, **options}
    return predictivity(*pair, **options)


@pytest.mark.parametrize("temporal", ["per-bin", "fixed"])
@pytest.mark.parametrize("mapping", [PLSMapping(3), RidgeMapping()], ids=["pls", "ridge"])
def test_kept_predictions_have_the_correlations_of_the_score(pair, temporal, mapping):
    score = scored(pair, mapping=mapping, temporal=temporal, keep_predictions=True)
    for split in range(3):
        responses = score["response"].values[score["held_out"].values[split]]
        r = pearson(score["prediction"].values[split], responses, axis=0)
        np.testing.assert_allclose(r, score["predictivity"].values[split], atol=1e-5)


def test_responses_lie_beside_their_stimuli(pair):
    score = scored(pair, keep_predictions=True)
    mean = average_repetitions(pair[1])
    order = np.argsort(mean["stimulus_id"].values)
    assert score["stimulus_id"].values.tolist() == mean["stimulus_id"].values[order].tolist()
    np.testing.assert_allclose(score["response"].values, mean.values[order], rtol=1e-6)


def test_a_score_comes_back_as_it_was(pair, tmp_path):
    score = scored(pair, keep_predictions=True)
    again = load_score(save_score(score, tmp_path / "score.nc"))
    xr.testing.assert_identical(score.drop_attrs(), again.drop_attrs())
    assert score.attrs == again.attrs
    assert summarise(score).equals(summarise(again))
    assert headline(score) == headline(again)


def test_a_full_disk_is_told_and_ends_nothing(pair, tmp_path):
    score, place = scored(pair, keep_predictions=True), tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with pytest.raises(OutputError, match="No space left on device"):
            save_score(score, place / "score.nc")
        gc.collect()  # a half-written file of the HDF5 library would end this process now
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", place], check=True)


def test_what_is_no_score_is_refused(tmp_path):
    (tmp_path / "a.nc").write_bytes(b"no netCDF")
    with pytest.raises(DataFileError, match="a score is a readable netCDF-4 file"):
        load_score(tmp_path / "a.nc")
    with pytest.raises(DataFileError, match="nowhere"):
        load_score(tmp_path / "nowhere.nc")
    with pytest.raises(AssemblyError, match="a score has all its variables"):
        save_score(xr.Dataset({"predictivity": ("split", [0.1])}), tmp_path / "b.nc")
    assert not (tmp_path / "b.nc").exists()


def test_fingerprints_tell_what_was_scored(pair, make_recording):
    first = scored(pair).attrs
    names = ("stimuli_hash", "neuroids_hash", "splits_hash", "halvings_hash", "responses_hash")
    assert all(len(first[name]) == 16 for name in names)
    other_source = (pair[0] * 2 + 1).assign_attrs(pair[0].attrs)
    assert {n: first[n] for n in names} == {n: scored((other_source, pair[1])).attrs[n] for n in names}
    resplit = scored(pair, splitter=StimulusShuffleSplit(3, test_size=0.25, random_state=1)).attrs
    assert [n for n in names if resplit[n] != first[n]] == ["splits_hash"]
    rehalved = scored(pair, random_state=1).attrs
    assert [n for n in names if rehalved[n] != first[n]] == ["halvings_hash"]
    noisier = make_recording(60, latents=np.random.default_rng(1).standard_normal((60, 4)), noise=2.0)
    assert [n for n in names if scored((pair[0], noisier)).attrs[n] != first[n]] == ["responses_hash"]
