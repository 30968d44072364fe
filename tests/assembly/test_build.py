import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from neurofit.assembly.align import align, select_stimuli
from neurofit.assembly.build import assembly_from_table, average_repetitions, make_assembly, select_region
from neurofit.assembly.storage import load_assembly, save_assembly
from neurofit.errors import AlignmentError, AssemblyError, DataFileError, OutputError, UnknownNameError


def test_averaging_takes_each_stimulus_own_repetitions(make_recording):
    recording = make_recording(repetitions=(1, 7))
    mean = average_repetitions(recording)
    for i, name in enumerate(mean.stimulus_id.values):
        own = recording.values[recording.stimulus_id.values == name]
        np.testing.assert_allclose(mean.values[i], own.mean(0), rtol=1e-5, atol=1e-6)
    assert list(mean.stimulus_id.values) == sorted(mean.stimulus_id.values)
    assert "repetition" not in mean.coords
    assert mean.object_name.values[5] == "o1"
    counts = np.unique(recording.stimulus_id, return_counts=True)[1]
    assert (mean.attrs["repetitions_min"], mean.attrs["repetitions_max"]) == (counts.min(), counts.max())


def test_averaging_drops_coordinates_that_vary_within_a_stimulus(make_recording):
    recording = make_recording()
    trial = recording.assign_coords(trial=("presentation", np.arange(recording.sizes["presentation"])))
    assert "trial" not in average_repetitions(trial).coords


def test_averaging_twice_changes_nothing(make_recording):
    mean = average_repetitions(make_recording())
    xr.testing.assert_equal(mean, average_repetitions(mean))


@given(seed=st.integers(0, 10**6))
def test_the_order_of_presentations_does_not_matter(make_recording_once, seed):
    order = np.random.default_rng(seed).permutation(make_recording_once.sizes["presentation"])
    shuffled = average_repetitions(make_recording_once.isel(presentation=order))
    xr.testing.assert_allclose(shuffled, average_repetitions(make_recording_once), rtol=1e-6)


@pytest.fixture(scope="module")
def make_recording_once():
    rng = np.random.default_rng(1)
    return make_assembly(
        rng.standard_normal((12, 3, 2)),
        stimulus_id=list("aaabbbccdddd"),
        repetition=[0, 1, 2, 0, 1, 2, 0, 1, 0, 1, 2, 3],
        neuroid_id=["x", "y", "z"],
        subject="m",
        region="V4",
        time_bins=[(0, 10), (10, 20)],
    )


def test_a_table_becomes_the_same_assembly(make_recording_once):
    long = make_recording_once.to_dataframe("response").reset_index(drop=True)
    built = assembly_from_table(long.sample(frac=1, random_state=0))
    xr.testing.assert_allclose(built, make_recording_once)


def test_an_incomplete_table_is_refused(make_recording_once):
    long = make_recording_once.to_dataframe("response").reset_index(drop=True)
    with pytest.raises(AssemblyError, match="one row for every presentation"):
        assembly_from_table(long.iloc[1:])
    with pytest.raises(AssemblyError, match="subject missing"):
        assembly_from_table(long.drop(columns="subject"))
    with pytest.raises(AssemblyError, match="one row for every presentation"):
        assembly_from_table(pd.concat([long, long.iloc[:1]]))


def test_lengths_must_fit():
    with pytest.raises(AssemblyError, match="'neuroid_id' has one value per neuroid - found 1 for 2"):
        make_assembly(
            np.zeros((1, 2, 1)), stimulus_id=["a"], neuroid_id=["x"], subject="m", region="V4", time_bins=[(0, 10)]
        )
    with pytest.raises(AssemblyError, match="add an axis for a single time bin"):
        make_assembly(np.zeros((1, 2)), stimulus_id=["a"], neuroid_id=["x"], subject="m", time_bins=[(0, 10)])


def test_regions_and_subregions_are_selected():
    assembly = make_assembly(
        np.zeros((1, 3, 1)),
        stimulus_id=["a"],
        neuroid_id=["x", "y", "z"],
        subject="m",
        region=["V4", "IT", "IT"],
        subregion=["V4", "pIT", "aIT"],
        time_bins=[(0, 10)],
    )
    assert list(select_region(assembly, "IT").neuroid_id.values) == ["y", "z"]
    assert list(select_region(assembly, "aIT").neuroid_id.values) == ["z"]
    with pytest.raises(UnknownNameError, match="'it' is not known - use 'IT'"):
        select_region(assembly, "it")


def test_alignment_orders_both_by_stimulus(make_recording):
    target = average_repetitions(make_recording(n=10))
    source = average_repetitions(make_recording(n=20, seed=1))
    one, two = align(source.isel(presentation=slice(None, None, -1)), target)
    assert list(one.stimulus_id.values) == list(two.stimulus_id.values) == sorted(target.stimulus_id.values)
    xr.testing.assert_equal(one, source.isel(presentation=slice(0, 10)))


def test_unknown_and_repeated_stimuli_are_refused(make_recording):
    recording = make_recording(n=10)
    mean = average_repetitions(recording)
    with pytest.raises(AlignmentError, match="the source has a response .* 10 of 20 are unknown to it: s010"):
        align(mean, average_repetitions(make_recording(n=20)))
    with pytest.raises(AlignmentError, match="the target has 10 stimuli more than once"):
        align(mean, recording)
    with pytest.raises(AlignmentError, match="unknown to it: nobody"):
        select_stimuli(mean, ["nobody"])


def test_netcdf_round_trip_is_identity(tmp_path, make_recording):
    recording = make_recording(attrs={"simulated": 1, "dataset": "ours"})
    loaded = load_assembly(save_assembly(recording, tmp_path / "a.nc"))
    xr.testing.assert_identical(loaded, recording)
    assert [p.name for p in tmp_path.iterdir()] == ["a.nc"]


def test_broken_files_are_told(tmp_path, make_recording):
    path = save_assembly(make_recording(), tmp_path / "a.nc")
    content = path.read_bytes()
    for cut in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:cut])
        with pytest.raises(DataFileError, match=r"(readable netCDF-4 file|sound heaps) - .*a\.nc"):
            load_assembly(path)
    with pytest.raises(DataFileError, match="readable netCDF-4"):
        load_assembly(tmp_path / "absent.nc")


def test_an_unwritable_folder_is_told_and_nothing_is_left(tmp_path, make_recording):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="choose another|give another"):
        save_assembly(make_recording(), tmp_path / "file" / "a.nc")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
