from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.io
from mat_v73 import save_v73

from neurofit.data.readers.raster_files import raster_files, read_raster, read_rasters
from neurofit.data.readers.zhang_desimone import rda_frame, read_zhang_desimone
from neurofit.errors import AssemblyError, DataFileError

STIMULI = ["car", "face", "car", "face", "face"]


def spikes(seed=0, trials=5, ms=60):
    return (np.random.default_rng(seed).random((trials, ms)) < 0.2).astype(np.uint8)


def variables(raster, *, stimuli=tuple(STIMULI), aligned=21.0, site=None, **labels):
    about = {"monkey": "bp", "brain_area": "IT", "session_ID": np.array([[7.0]])} if site is None else site
    aligned = {} if aligned is None else {"alignment_event_time": np.array([[aligned]])}
    return {
        "raster_data": np.asarray(raster, float),
        "raster_labels": {"stimulus_ID": list(stimuli)} | labels,
        "raster_site_info": about | aligned,
    }


def save_v5(path, tree):
    def cells(value):
        if isinstance(value, dict):
            return {name: cells(one) for name, one in value.items()}
        return np.array(value, object)[None] if isinstance(value, list) else value

    scipy.io.savemat(path, {name: cells(value) for name, value in tree.items()}, do_compression=True)
    return path


@pytest.fixture(params=[save_v5, save_v73], ids=["v5", "v7.3"])
def save(request, tmp_path):
    return lambda name, *args, **given: request.param(tmp_path / f"{name}.mat", variables(*args, **given))


def test_a_raster_of_matlab(save):
    raster = read_raster(save("n0", spikes()))
    np.testing.assert_array_equal(raster.spikes, spikes())
    assert raster.first_ms == -20  # column 21 is the first from onset
    assert raster.labels["stimulus_ID"].tolist() == STIMULI
    assert raster.site == {"monkey": "bp", "brain_area": "IT", "session_ID": "7"}


def test_neurons_become_a_pseudo_population(save):
    paths = [save(f"n{i}", spikes(i)) for i in range(2)]
    recording = read_rasters(paths, time_bins=[(-20, 0), (0, 40), (10, 20)][:2])
    assert recording.shape == (4, 2, 2)
    assert recording.stimulus_id.values.tolist() == ["car", "car", "face", "face"]
    assert recording.neuroid_id.values.tolist() == ["n0", "n1"]
    assert (recording.region.values.tolist(), recording.subject.values.tolist()) == (["IT", "IT"], ["bp", "bp"])
    assert recording.session_ID.values.tolist() == ["7", "7"]
    cars = spikes(1)[[0, 2]]
    expected = np.stack([cars[:, :20].sum(1), cars[:, 20:].sum(1)], 1)
    np.testing.assert_array_equal(recording.values[:2, 1], expected)


def test_bins_may_overlap_and_are_10_ms_unless_asked(save):
    path = save("n0", spikes())
    assert read_rasters([path]).sizes["time_bin"] == 6
    recording = read_rasters([path], time_bins=[(0, 20), (0, 40), (20, 40)])
    np.testing.assert_array_equal(recording.values[..., 0] + recording.values[..., 2], recording.values[..., 1])
    with pytest.raises(AssemblyError, match=r"covers \[0, 50\) ms - it covers \[-20, 40\)"):
        read_rasters([path], time_bins=[(0, 50)])


def test_stimuli_of_several_labels(save):
    path = save("n0", spikes(), position=["left", "left", "right", "left", "right"])
    recording = read_rasters([path], stimulus=["stimulus_ID", "position"])
    assert recording.stimulus_id.values.tolist() == ["car/left", "car/right", "face/left", "face/right"]
    assert recording.position.values.tolist() == ["left", "right", "left", "right"]
    assert "position" not in read_rasters([path]).coords  # one stimulus, two positions
    with pytest.raises(AssemblyError, match="n0 has no 'postion' but position, stimulus_ID - use 'position'"):
        read_rasters([path], stimulus=["postion"])


def test_what_a_file_does_not_say_is_asked_for(save):
    path = save("n0", spikes(), aligned=None, site={"unit": "A"})
    with pytest.raises(AssemblyError, match="n0 does not - give first_ms"):
        read_rasters([path])
    with pytest.raises(AssemblyError, match="names its subject .*- n0 does not - give subject"):
        read_rasters([path], first_ms=0)
    with pytest.raises(AssemblyError, match="names its region .*- n0 does not - give region"):
        read_rasters([path], first_ms=0, subject="m")
    recording = read_rasters([path], first_ms=0, subject="m", region="V4")
    assert (recording.region.item(), recording.unit.item(), recording.time_bin_start.values[0]) == ("V4", "A", 0)
    with pytest.raises(AssemblyError, match="says -20 ms and 0 is given - leave out first_ms"):
        read_rasters([save("n1", spikes())], first_ms=0)


def test_neurons_with_fewer_trials_decide_or_are_left_out(save):
    paths = [save("n0", spikes(0)), save("n1", spikes(1)[:4], stimuli=[*STIMULI[:3], "car"])]
    assert read_rasters(paths).sizes["presentation"] == 2
    fewer = read_rasters(paths, n_repetitions=2)
    assert (fewer.sizes["neuroid"], fewer.attrs["neuroids_left_out"]) == (1, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"raster_data": np.full((5, 60), 0.5)}, "'spikes per ms' are whole numbers"),
        ({"raster_data": np.full((5, 60), -1.0)}, "spikes counted from 0 - .*found -1 spikes"),
        ({"raster_data": "abc"}, "a raster has a matrix raster_data"),
        ({"raster_labels": ["car"]}, "a struct raster_labels"),
        ({"raster_labels": {"stimulus_ID": ["car"]}}, "'stimulus_ID' has a text or a number for each of 5 trials"),
    ],
)
def test_files_that_hold_no_raster(tmp_path, change, words):
    path = save_v73(tmp_path / "n0.mat", variables(spikes()) | change)
    with pytest.raises(DataFileError, match=words):
        read_raster(path)


def test_a_table_in_csv(tmp_path):
    frame = pd.DataFrame(spikes(), columns=[f"time.{t}_{t + 1}" for t in range(-20, 40)])
    frame.insert(0, "labels.stimulus", STIMULI)
    frame.insert(0, "site_info.brain_area", "IT")
    frame.to_csv(tmp_path / "n0.csv", index=False)
    raster = read_raster(tmp_path / "n0.csv")
    assert raster.first_ms == -20 and raster.site == {"brain_area": "IT"}
    np.testing.assert_array_equal(raster.spikes, spikes())
    assert read_rasters([tmp_path], subject="m").sizes == {"presentation": 4, "neuroid": 1, "time_bin": 6}


def test_folders_without_rasters_and_names_that_occur_twice(tmp_path):
    with pytest.raises(AssemblyError, match="of one neuron each .*- none in"):
        raster_files([tmp_path])
    with pytest.raises(AssemblyError, match="n0 occur twice"):
        raster_files([tmp_path / "n0.mat", tmp_path / "n0.csv"])


@pytest.mark.parametrize("save", [save_v5, save_v73], ids=["v5", "v7.3"])
def test_real_rasters_are_the_same_in_every_container(shared, tmp_path, save):
    pytest.importorskip("pyreadr")
    folder = shared("data", "zhang_desimone_7objects")
    paths = sorted(folder.glob("bp1001*.rda"))[:2]
    for path in paths:
        frame = rda_frame(path)
        times = [name for name in frame if name.startswith("time.")]
        tree = {
            "raster_data": frame[times].to_numpy(float),
            "raster_labels": {
                name: frame[f"labels.{name}"].astype(str).tolist() for name in ("stimulus_ID", "stimulus_position")
            },
            "raster_site_info": {"session_ID": np.array([[1001.0]]), "alignment_event_time": np.array([[501.0]])},
        }
        save(tmp_path / f"{path.stem}.mat", tree)
    given = {
        "stimulus": ["stimulus_ID", "stimulus_position"],
        "time_bins": [(t, t + 50) for t in range(-500, 500, 50)],
        "subject": "bp",
        "region": "IT",
    }
    of_matlab, of_r = read_rasters([tmp_path], **given), read_rasters(paths, **given)
    keep = ["stimulus_id", "repetition", "neuroid_id", "subject", "region", "time_bin_start", "time_bin_end"]
    assert of_matlab.sizes["presentation"] == 21 * 20
    np.testing.assert_array_equal(of_matlab.values, of_r.values)
    for name in keep:
        assert of_matlab[name].values.tolist() == of_r[name].values.tolist()
    own = read_zhang_desimone(paths, subject="bp", width_ms=50, n_repetitions=20)
    np.testing.assert_array_equal(own.values, of_matlab.values)
    assert own.stimulus_id.values.tolist() == of_matlab.stimulus_id.values.tolist()
