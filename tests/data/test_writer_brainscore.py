from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurofit.assembly.build import make_assembly
from neurofit.data.readers.brainscore import ALIASES, read_brainscore
from neurofit.data.writers.brainscore import write_brainscore
from neurofit.errors import AssemblyError, OutputError


def open_as_brainscore_does(path, stimulus_set=None):
    """Brain-Score's way to an assembly (brainio's loaders and `DataAssembly`), in own words.

    All flat coordinates of a dimension become levels of its MultiIndex; a NeuroidAssembly is on presentation, neuroid
    and perhaps time_bin. Columns of the stimulus set are then joined by stimulus_id, and the index is built again.
    """
    with xr.open_dataarray(path) as opened:  # fails unless there is one variable
        assembly = gathered(opened.load())
    if stimulus_set is not None:
        flat = assembly.reset_index(list(assembly.indexes))
        on_presentation = {str(n): c.values for n, c in flat.coords.items() if c.dims == ("presentation",)}
        known = pd.DataFrame(on_presentation)
        new = stimulus_set.columns.difference(known.columns.difference(["stimulus_id"]))
        joined = known.merge(stimulus_set[new], on="stimulus_id", how="left")
        for column in stimulus_set.columns:
            flat[column] = ("presentation", joined[column])
        assembly = gathered(flat)
    assert set(assembly.dims) in ({"presentation", "neuroid"}, {"presentation", "neuroid", "time_bin"})
    return assembly


def gathered(array):
    levels = {dim: [str(n) for n, c in array.coords.items() if c.dims == (dim,)] for dim in array.dims}
    return array.set_index({dim: names for dim, names in levels.items() if names}, append=True)


@pytest.fixture
def recording(make_recording):
    return make_recording(
        n=6,
        bins=((70, 90), (80, 100)),
        neuroid_coords={"depth": np.linspace(0, 1, 5)},
        attrs={"simulated": 1, "x": 0.5},
    )


def test_it_opens_in_brain_score(recording, tmp_path):
    opened = open_as_brainscore_does(write_brainscore(recording, tmp_path / "assy.nc"))
    assert opened.dims == ("presentation", "neuroid", "time_bin")
    assert set(opened.indexes["presentation"].names) == {"stimulus_id", "image_id", "repetition", "object_name"}
    assert set(opened.indexes["neuroid"].names) == {"neuroid_id", "animal", "subject", "region", "depth"}
    assert set(opened.indexes["time_bin"].names) == {"time_bin_start", "time_bin_end"}
    np.testing.assert_array_equal(opened.values, recording.values)
    # what their benchmarks do with it: select a region, average repetitions by stimulus, take a bin
    it = opened.sel(region="IT").sel(time_bin=(70, 90))
    mean = it.groupby("image_id").mean("presentation")
    assert mean.sizes["image_id"] == 6
    assert (opened["animal"] == "animal").all()


def test_a_stimulus_set_of_theirs_is_joined(recording, tmp_path):
    stimuli = pd.DataFrame({"stimulus_id": [f"s{i:03d}" for i in range(6)], "size": range(6), "object_name": "theirs"})
    opened = open_as_brainscore_does(write_brainscore(recording, tmp_path / "assy.nc"), stimuli)
    assert [f"s{size:03d}" for size in opened["size"].values] == opened["stimulus_id"].values.tolist()


def test_reading_gives_the_same(recording, tmp_path):
    xr.testing.assert_identical(read_brainscore(write_brainscore(recording, tmp_path / "assy.nc")), recording)


TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=5)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=10, deadline=None)
@given(st.data())
def test_any_assembly_comes_back(tmp_path, data):
    n, q = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    given_ = make_assembly(
        np.array(data.draw(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=n * q,
                                    max_size=n * q)), np.float32).reshape(n, q, 1),
        stimulus_id=data.draw(st.lists(TEXT, min_size=n, max_size=n)),
        repetition=range(n),
        neuroid_id=data.draw(st.lists(TEXT, min_size=q, max_size=q, unique=True)),
        subject=data.draw(st.lists(TEXT, min_size=q, max_size=q)),
        region=data.draw(TEXT),
        time_bins=[(70, 170)],
        presentation_coords={"trial": np.arange(n), "kept": np.arange(n) % 2 == 0, "word": [f"w{i}" for i in range(n)]},
        attrs={"note": data.draw(TEXT), "number": data.draw(st.integers(-(2**31), 2**31))},
    )  # fmt: skip
    xr.testing.assert_identical(read_brainscore(write_brainscore(given_, tmp_path / "assy.nc")), given_)


def test_an_image_id_of_ones_own_is_kept(recording, tmp_path):
    own = recording.assign_coords(image_id=("presentation", [f"i{i}" for i in range(recording.sizes["presentation"])]))
    path = write_brainscore(own, tmp_path / "assy.nc")
    xr.testing.assert_identical(read_brainscore(path), own)
    assert open_as_brainscore_does(path)["image_id"].values[1] == "i1"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a.assign_attrs(x=[1, 2]), "attributes in netCDF are text or single numbers - 'x' is \\[1, 2\\]"),
        (lambda a: a.assign_attrs({ALIASES: "x"}), "'neurofit_aliases' is 'x'"),
        (lambda a: a.assign_coords(place=3), "'place' is int64 on \\(\\)"),
        (lambda a: a.assign_coords(neuroid=range(5)), "'neuroid' is int64 on"),
    ],
)
def test_refusals(recording, tmp_path, change, words):
    with pytest.raises(AssemblyError, match=words):
        write_brainscore(change(recording), tmp_path / "assy.nc")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there(recording, tmp_path):
    with pytest.raises(OutputError, match="files can be written where they were asked to go"):
        write_brainscore(recording, tmp_path / "absent" / "assy.nc")


def test_files_of_brain_score_are_written_again_and_stay_the_same(shared, tmp_path):
    path = shared("data", "brainscore_format_samples", "identifier=resnet18,stimuli_identifier=objectome-240.nc")
    given = {"subject": "resnet18", "time_bin": (70, 170)}
    theirs = read_brainscore(path, **given).isel(presentation=range(200))
    again = write_brainscore(theirs, tmp_path / "again.nc")
    xr.testing.assert_identical(read_brainscore(again), theirs)
    assert open_as_brainscore_does(again).sizes["neuroid"] == 512
