from __future__ import annotations

import sys
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurofit.assembly.build import make_assembly
from neurofit.data.contents import contents_of
from neurofit.data.readers.nwb import NwbOptions, read_nwb
from neurofit.data.writers.nwb import write_nwb
from neurofit.errors import AssemblyError, DataFileError, MissingExtraError, OutputError, UnknownNameError

pynwb = pytest.importorskip("pynwb")

BINS = [(0, 100), (100, 200)]
SHOWN = [(1.0, "a"), (2.0, "b"), (3.0, "a")]
SPIKES = [[1.0, 1.05, 1.1, 2.199999], [3.2, 0.5], []]


def laboratory(subject="m", region="electrodes", **about):
    """Return a file as laboratories write it: spike times, electrodes, trials."""
    file = pynwb.NWBFile(
        session_description="s", identifier="i", session_start_time=datetime(2024, 1, 1, tzinfo=UTC),
        subject=None if subject is None else pynwb.file.Subject(subject_id=subject), **about,
    )  # fmt: skip
    group = file.create_electrode_group("array", "d", "V4", file.create_device("d"))
    for location in ("V4", "IT"):
        file.add_electrode(location=location, group=group)
    if region == "units":
        file.add_unit_column("brain_area", "where")
    file.add_unit_column("depth", "um")
    for i, times in enumerate(SPIKES):
        of_electrodes = {"electrodes": [1, 0] if i == 2 else [0]} if region == "electrodes" else {}
        of_units = {"brain_area": "V2"} if region == "units" else {}
        file.add_unit(spike_times=sorted(times), depth=10.0 * i, **of_electrodes, **of_units)
    return file


def with_trials(file, shown=SHOWN, column="stimulus_name"):
    file.add_trial_column(column, "what")
    for start, name in shown:
        file.add_trial(start_time=start, stop_time=start + 0.3, **{column: name})
    return file


@pytest.fixture
def save(tmp_path):
    def write(file, name="session.nwb"):
        with pynwb.NWBHDF5IO(tmp_path / name, "w") as io:
            io.write(file)
        return tmp_path / name

    return write


@pytest.fixture
def recording(make_recording):
    return make_recording(n=6, bins=((70, 90), (80, 100)), neuroid_coords={"depth": np.linspace(0, 1, 5)})


def test_spikes_trials_and_electrodes(save):
    found = read_nwb(save(with_trials(laboratory())), BINS)
    assert found.dims == ("presentation", "neuroid", "time_bin")
    assert found.values.tolist() == [[[2, 1], [0, 0], [0, 0]], [[0, 1], [0, 0], [0, 0]], [[0, 0], [0, 0], [0, 0]]]
    assert found.stimulus_id.values.tolist() == ["a", "b", "a"]
    assert found.repetition.values.tolist() == [0, 0, 1]
    assert found.region.values.tolist() == ["V4", "V4", "IT"]  # the third's first electrode
    assert found.subject.values.tolist() == ["m"] * 3
    assert found.neuroid_id.values.tolist() == ["0", "1", "2"]
    assert found.depth.values.tolist() == [0, 10, 20]
    assert found.start_time.values.tolist() == [1, 2, 3]
    assert found.attrs == {"spikes": 6, "spikes_outside": 2}  # 2.199999 s is in the bin, 3.2 s is not


def test_columns_and_tables_by_name(save):
    file = with_trials(laboratory(region="units"), column="picture")
    table = pynwb.epoch.TimeIntervals(name="flashes", description="d")
    table.add_column("image_id", "what")
    table.add_column("on", "s")
    table.add_interval(start_time=0.0, stop_time=1.0, image_id=7, on=1.0)
    file.add_time_intervals(table)
    path = save(file)
    flashed = read_nwb(path, BINS, NwbOptions(onset_column="on"))  # the only table with a usual column
    assert (flashed.stimulus_id.values.tolist(), flashed.region.values.tolist()) == (["7"], ["V2"] * 3)
    assert flashed.values[0, 0].tolist() == [2, 1]
    assert read_nwb(path, BINS, NwbOptions(stimulus_column="picture")).sizes["presentation"] == 3
    with pytest.raises(UnknownNameError, match="'pictures' is not known - use 'picture'"):
        read_nwb(path, BINS, NwbOptions(table="trials", stimulus_column="pictures"))
    with pytest.raises(UnknownNameError, match="'trial' is not known - use 'trials'"):
        read_nwb(path, BINS, NwbOptions(table="trial"))
    with pytest.raises(DataFileError, match=r"'trials' has a column of stimuli: .*name the column of stimuli"):
        read_nwb(path, BINS, NwbOptions(table="trials"))
    with pytest.raises(UnknownNameError, match="column of units or electrodes"):
        read_nwb(path, BINS, NwbOptions(region_column="aera"))
    assert read_nwb(path, BINS, NwbOptions(region="IT", subject="x")).subject.values.tolist() == ["x"] * 3
    held = contents_of(path)
    assert held["stimulus_columns"][0] == "flashes: image_id" and "trials: picture" in held["stimulus_columns"]
    assert held["region_columns"] == ["units: brain_area", "electrodes: location"]


def test_rows_without_a_stimulus_or_an_onset_are_left_out_and_counted(save):
    shown = [*SHOWN, (float("nan"), "a"), (4.0, "")]
    assert read_nwb(save(with_trials(laboratory(), shown)), BINS).attrs["presentations_left_out"] == 2


def test_what_is_missing_is_said(save):
    path = save(laboratory(subject=None, region="none"))
    with pytest.raises(DataFileError, match="one table says when which stimulus was shown.*file has no tables"):
        read_nwb(path, BINS)
    path = save(with_trials(laboratory(subject=None, region="units")))
    with pytest.raises(DataFileError, match="tells its subject - .* - give subject"):
        read_nwb(path, BINS)
    with pytest.raises(DataFileError, match="time bins that are asked for - .*none are"):
        read_nwb(path)


def test_a_series_of_rates_is_averaged_in_bins(save):
    file = with_trials(laboratory())
    rates = np.arange(100 * 3, dtype=float).reshape(100, 3)
    module = file.create_processing_module("ecephys", "d")
    module.add(pynwb.TimeSeries(name="rates", data=rates, unit="Hz", starting_time=0.0, rate=20.0, conversion=2.0))
    path = save(file)
    found = read_nwb(path, [(0, 100), (50, 200)], NwbOptions(series="ecephys/rates"))
    np.testing.assert_array_equal(found.values[0, :, 0], 2 * rates[20:22].mean(0))  # samples at 1.00 and 1.05 s
    np.testing.assert_array_equal(found.values[1, :, 1], 2 * rates[41:44].mean(0))
    assert found.region.values.tolist() == ["V4", "V4", "IT"]
    with pytest.raises(DataFileError, match="3 of 3 have none in 'rates'"):
        read_nwb(path, [(1, 2)], NwbOptions(series="ecephys/rates"))
    with pytest.raises(UnknownNameError, match="use 'ecephys/rates'"):
        read_nwb(path, BINS, NwbOptions(series="ecephys/rate"))


def test_images_shown_by_index(save):
    file = laboratory()
    images = [pynwb.image.GrayscaleImage(name=name, data=np.zeros((2, 2))) for name in ("x", "y")]
    order = pynwb.base.ImageReferences(name="order_of_images", data=images)
    both = pynwb.base.Images(name="pictures", images=images, description="d", order_of_images=order)
    file.add_stimulus_template(both)
    index = pynwb.image.IndexSeries(
        name="shown", data=np.array([1, 0, 1], np.uint32), unit="N/A", timestamps=[1.0, 2.0, 3.0], indexed_images=both
    )
    file.add_stimulus(index)
    found = read_nwb(save(file), BINS)
    assert found.stimulus_id.values.tolist() == ["y", "x", "y"]
    assert found.values[0, 0].tolist() == [2, 1]


def test_sessions_of_the_same_units_follow_on_each_other(save):
    paths = [save(with_trials(laboratory()), f"{day}.nwb") for day in ("mon", "tue")]
    for path in paths:
        with h5py.File(path, "r+") as file:
            file["units"].create_dataset("neuroid_id", data=["x", "y", "z"])
            file["units/neuroid_id"].attrs.update(dict(file["units/depth"].attrs))
            file["units/neuroid_id"].attrs["object_id"] = f"{path.stem}"
            file["units"].attrs["colnames"] = [*file["units"].attrs["colnames"], "neuroid_id"]
    joined = read_nwb(paths, BINS)
    assert joined.sizes == {"presentation": 6, "neuroid": 3, "time_bin": 2}
    assert joined.session.values.tolist() == ["mon"] * 3 + ["tue"] * 3
    assert joined.repetition.values.tolist() == [0, 0, 1, 2, 1, 3]


def test_sessions_of_other_units_stand_side_by_side(save, make_recording):
    first, second = make_recording(n=5, q=2, seed=0), make_recording(n=4, q=3, seed=1)
    paths = [write_nwb(one, save(laboratory(), name)) for one, name in ((first, "a.nwb"), (second, "b.nwb"))]
    joined = read_nwb(paths)
    assert joined.sizes["neuroid"] == 5 and joined.sizes["presentation"] == 4 * 3
    assert joined.neuroid_id.values.tolist() == ["a/n0", "a/n1", "b/n0", "b/n1", "b/n2"]
    assert joined.attrs["stimuli_left_out"] == 1
    expected = first.where((first.stimulus_id == "s002") & (first.repetition == 1), drop=True).values
    row = (joined.stimulus_id.values == "s002") & (joined.repetition.values == 1)
    np.testing.assert_array_equal(joined.values[row][:, :2], expected)
    assert joined.object_name.values.tolist()[:4] == ["o0", "o0", "o0", "o1"]


def test_a_recording_comes_back_and_is_valid(recording, tmp_path):
    path = write_nwb(recording.assign_attrs(simulated=1, x=0.1, word="é"), tmp_path / "out.nwb")
    assert pynwb.validate(path=str(path)) == []
    xr.testing.assert_identical(read_nwb(path), recording.assign_attrs(simulated=1, x=0.1, word="é"))
    with pytest.raises(DataFileError, match="binned already"):
        read_nwb(path, BINS)
    assert contents_of(path)["recording"]["neuroids"] == 5


def test_spikes_once_read_keep_their_times(save, tmp_path):
    found = read_nwb(save(with_trials(laboratory())), BINS)
    path = write_nwb(found, tmp_path / "out.nwb")
    assert pynwb.validate(path=str(path)) == []
    xr.testing.assert_identical(read_nwb(path), found)
    with pynwb.NWBHDF5IO(path, "r") as io:
        assert io.read().intervals["presentations"]["start_time"][:].tolist() == [1, 2, 3]


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5, deadline=None)
@given(st.data())
def test_any_assembly_comes_back(tmp_path, data):
    n, q = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    given_ = make_assembly(
        np.random.default_rng(0).standard_normal((n, q, 1)).astype(data.draw(st.sampled_from(["f4", "f8"]))),
        stimulus_id=data.draw(st.lists(TEXT, min_size=n, max_size=n)),
        repetition=range(n),
        neuroid_id=data.draw(st.lists(TEXT, min_size=q, max_size=q, unique=True)),
        subject=data.draw(st.lists(TEXT, min_size=q, max_size=q)),
        region=data.draw(TEXT),
        time_bins=[(70, 170)],
        presentation_coords={"trial": np.arange(n), "kept": np.arange(n) % 2 == 0},
        attrs={"note": data.draw(TEXT), "number": data.draw(st.integers() | st.floats(allow_nan=False))},
    )
    xr.testing.assert_identical(read_nwb(write_nwb(given_, tmp_path / "any.nwb")), given_)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.assign_coords(start_time=("presentation", np.arange(a.sizes["presentation"]))), "go together"),
        (lambda a: a.assign_coords(spike_times=("neuroid", range(5))), "'spike_times' is int64"),
        (lambda a: a.assign_coords(id=("time_bin", [0, 1])), "not called as one of NWB's own - 'id' is int64"),
        (lambda a: a.assign_attrs(x=[1]), r"attributes are text or single numbers - 'x' is \[1\]"),
        (lambda a: a.assign_coords(place=3), "'place' has 0"),
    ],
)
def test_what_has_no_place_is_refused(recording, tmp_path, change, words):
    with pytest.raises(AssemblyError, match=words):
        write_nwb(change(recording), tmp_path / "out.nwb")
    assert not list(tmp_path.iterdir())


def test_an_older_file_stays_when_writing_fails(recording, tmp_path, monkeypatch):
    path = write_nwb(recording, tmp_path / "out.nwb")
    before = path.read_bytes()

    def fail(*_args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("neurofit.files.atomic.os.fsync", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        write_nwb(recording, path)
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 1


def test_without_pynwb_the_extra_is_named(recording, tmp_path, monkeypatch):
    path = write_nwb(recording, tmp_path / "out.nwb")
    monkeypatch.setitem(sys.modules, "pynwb", None)
    for call in (lambda: read_nwb(path), lambda: write_nwb(recording, path)):
        with pytest.raises(MissingExtraError, match=r'pip install "neurofit\[nwb\]"'):
            call()


@pytest.mark.parametrize("how", ["external link", "external storage", "virtual"])
def test_nothing_is_followed_out_of_the_file(save, tmp_path, how):
    path = save(with_trials(laboratory()))
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as other:
        other["spikes"] = np.ones(6)
    with h5py.File(path, "r+") as file:
        attrs = dict(file["units/spike_times"].attrs)
        del file["units/spike_times"]
        if how == "external link":
            file["units/spike_times"] = h5py.ExternalLink(str(secret), "/spikes")
        elif how == "virtual":
            layout = h5py.VirtualLayout((6,), "f8")
            layout[:] = h5py.VirtualSource(str(secret), "spikes", (6,))
            file["units"].create_virtual_dataset("spike_times", layout).attrs.update(attrs)
        else:
            file["units"].create_dataset("spike_times", (6,), "f8", external=[(str(secret), 0, 48)])
    with pytest.raises(DataFileError, match="holds all of its content itself - .*'/+units/spike_times' .*secret|"
                                            "has its content in another file"):  # fmt: skip
        read_nwb(path, BINS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda f: f["units/spike_times_index"].write_direct(np.array([4, 3, 6], np.uint8)),
            "gives every unit its part",
        ),
        (
            lambda f: f["units/spike_times_index"].write_direct(np.array([4, 6, 9], np.uint8)),
            "gives every unit its part",
        ),
        (lambda f: f.attrs.pop("nwb_version"), "states its version"),
        (lambda f: f.pop("session_start_time"), "keeps NWB's schema"),
        (lambda f: f["units/spike_times"].write_direct(np.full(6, np.nan)), "6 of 6|1 of|4 of 4 times are not numbers"),
        (lambda f: f["units/electrodes"].write_direct(np.full(4, 99)), "refer to the electrodes"),
    ],
)
def test_damaged_files_are_errors_of_ours(save, change, words):
    path = save(with_trials(laboratory()))
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataFileError, match=words):
        read_nwb(path, BINS)


def test_a_column_that_declares_much_and_stores_little_is_refused(save):
    path = save(with_trials(laboratory()))
    with h5py.File(path, "r+") as file:
        attrs = dict(file["units/spike_times"].attrs)
        del file["units/spike_times"]
        file["units"].create_dataset("spike_times", (2**40,), "f8", chunks=(2**16,)).attrs.update(attrs)
    with pytest.raises(DataFileError, match=r"stores 0 bytes and declares 8\d+"):
        read_nwb(path, BINS)


def test_real_presentations_of_a_free_viewing_session(shared):
    path = shared("data", "xiao2024_freeviewing", "Pa210201-main.nwb")
    held = contents_of(path)
    assert held["subject"] == "Pa" and held["units"] == 0
    shown = held["tables"]["stimulus/presentations"]
    assert (shown["rows"], shown["columns"]["image_name"]["distinct"]) == (2164, 802)
    with pytest.raises(DataFileError, match="it has no units and the series"):
        read_nwb(path, BINS)


def test_real_spikes_are_counted_as_in_the_raster(shared, tmp_path):
    """Spikes of a 1 ms raster, each at the very start of its millisecond, where every edge of a bin is hit."""
    pytest.importorskip("pyreadr")
    from neurofit.data.readers.raster_files import read_raster, read_rasters

    paths = sorted(shared("data", "zhang_desimone_7objects").glob("bp1001*.rda"))
    rasters = [read_raster(path) for path in paths]
    file = pynwb.NWBFile("s", "i", datetime(2024, 1, 1, tzinfo=UTC), subject=pynwb.file.Subject(subject_id="bp"))
    file.add_trial_column("stimulus_name", "what")
    stimuli = rasters[0].labels["stimulus_ID"]
    onsets = [round(1.7 * i + 0.1, 6) for i in range(len(stimuli))]
    for onset, stimulus in zip(onsets, stimuli, strict=True):
        file.add_trial(start_time=onset, stop_time=onset + 0.5, stimulus_name=str(stimulus))
    for raster in rasters:
        trial, ms = np.nonzero(raster.spikes)
        repeated = np.repeat(np.arange(len(trial)), raster.spikes[trial, ms])
        times = np.sort(np.array(onsets)[trial] + (ms + raster.first_ms) / 1000)[repeated]
        file.add_unit(spike_times=times)
    path = tmp_path / "session.nwb"
    with pynwb.NWBHDF5IO(path, "w") as io:
        io.write(file)
    bins = [(t, t + 20) for t in range(-500, 500, 20)]
    spikes = read_nwb(path, bins, NwbOptions(region="IT"))
    assert spikes.attrs["spikes_outside"] == 0
    assert spikes.values.sum() == sum(raster.spikes.sum() for raster in rasters)
    order = np.lexsort((spikes.repetition.values, spikes.stimulus_id.values))
    raster = read_rasters(paths, stimulus=["stimulus_ID"], time_bins=bins, subject="bp", region="IT")
    np.testing.assert_array_equal(spikes.values[order], raster.values)
    out = write_nwb(spikes, tmp_path / "binned.nwb")
    xr.testing.assert_identical(read_nwb(out), spikes)
    assert pynwb.validate(path=str(out)) == []
