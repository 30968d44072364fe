from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from mat_v73 import save_v73
from typer.testing import CliRunner

from neurofit.assembly.storage import load_assembly, save_assembly
from neurofit.cli.convert import parse_bins
from neurofit.cli.data import app
from neurofit.data.formats import FORMATS, format_for_writing, read_recording, recognise
from neurofit.data.readers.brainscore import read_brainscore
from neurofit.data.readers.plain import write_hdf5
from neurofit.data.writers.brainscore import write_brainscore
from neurofit.errors import AssemblyError, ConfigurationError, DataFileError, NeurofitError, UnknownNameError


@pytest.fixture
def run():
    def invoke(*arguments):
        result = CliRunner().invoke(app, [str(one) for one in arguments])
        if isinstance(result.exception, NeurofitError):
            raise result.exception
        assert result.exit_code == 0, (result.output, result.exception)
        return result

    return invoke


@pytest.fixture
def recording(make_recording):
    return make_recording(n=6, bins=((70, 90), (80, 100)), attrs={"simulated": 1})


@pytest.mark.parametrize("name", [name for name, one in FORMATS.items() if one.write])
def test_into_every_format_and_back(run, recording, tmp_path, name):
    if name == "nwb":
        pytest.importorskip("pynwb")
    given = write_hdf5(recording, tmp_path / "in.h5")
    out = tmp_path / f"out{FORMATS[name].suffixes[0]}"
    said = run("convert", given, out, "--to", name).stdout
    assert f"{out} ({name}, " in said
    assert f"{recording.sizes['presentation']} of 6 stimuli" in said and "5 (IT 5)" in said
    assert recognise(out) == name
    xr.testing.assert_identical(read_recording([out]), recording)
    back = tmp_path / "back.nc"
    document = json.loads(run("convert", out, back, "--to", "neurofit", "--json").stdout)
    xr.testing.assert_identical(load_assembly(back), recording)
    assert (document["from"], document["recording"]["stimuli"]) == (name, 6)
    assert document["recording"]["time_span_ms"] == [70, 100]
    assert "presentations:" in run("inspect", out).stdout
    assert json.loads(run("inspect", out, "--json").stdout)["format"] == name


def test_rasters_of_matlab(run, tmp_path):
    spikes = (np.random.default_rng(0).random((4, 40)) < 0.3).astype(float)
    folder = tmp_path / "rasters"
    folder.mkdir()
    site = {"alignment_event_time": np.array([[1.0]]), "monkey": "m"}
    labels = {"stimulus_ID": ["a", "b", "a", "b"]}
    tree = {"raster_data": spikes, "raster_labels": labels, "raster_site_info": site}
    save_v73(folder / "n0.mat", tree)
    said = run("inspect", folder).stdout
    assert "could name stimuli: stimulus_ID" in said and "time span ms:   [0, 40]" in said
    run("convert", folder, tmp_path / "out.nc", "--bins", "0:40:20", "--region", "IT")
    found = read_brainscore(tmp_path / "out.nc")
    assert found.values.sum() == spikes.sum()
    assert found.sizes == {"presentation": 4, "neuroid": 1, "time_bin": 2}


def test_an_incomplete_file_is_described_and_completed(run, recording, tmp_path):
    path = tmp_path / "in.nc"
    lacking = recording.isel(time_bin=0).drop_vars(["region", "time_bin_start", "time_bin_end"])
    lacking.to_dataset(name="data").to_netcdf(path, engine="h5netcdf")
    said = run("inspect", path).stdout
    assert "not complete: a recording tells its region" in said and "data set:       stimulus_id" in said
    with pytest.raises(DataFileError, match="a recording tells its region"):
        run("convert", path, tmp_path / "out.h5")
    run("convert", path, tmp_path / "out.h5", "--region", "IT", "--bins", "70:90")
    assert read_recording([tmp_path / "out.h5"]).time_bin_end.values.tolist() == [90]


def test_regions_and_bins_of_a_file_are_selected(run, recording, tmp_path):
    two = recording.assign_coords(region=("neuroid", ["IT", "V4", "IT", "V4", "V4"]))
    path = write_brainscore(two, tmp_path / "in.nc")
    run("convert", path, tmp_path / "out.npz", "--region", "V4", "--bins", "80:100")
    found = read_recording([tmp_path / "out.npz"])
    assert (found.sizes["neuroid"], found.sizes["time_bin"]) == (3, 1)
    with pytest.raises(UnknownNameError, match="'V5' is not known"):
        run("convert", path, tmp_path / "out.npz", "--region", "V5")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (["in.h5", "out.xyz"], ConfigurationError, "suffix of a file says its format.*'out.xyz' has none"),
        (["in.h5", "out.nc", "--to", "netcdf"], UnknownNameError, "'netcdf' is not known"),
        (["in.h5", "out.nc", "--to", "rasters"], UnknownNameError, "a format to write is named as in its table"),
        (["in.h5", "out.nc", "--from", "matlab"], UnknownNameError, "'matlab' is not known"),
        (["in.h5", "in.h5", "out.nc"], ConfigurationError, "'hdf5' is one file - 2 are given"),
        (["in.h5", "out.nc", "--table", "trials"], ConfigurationError, "format 'hdf5' is region - table is given"),
        (["in.h5", "out.nc", "--bins", "0-10"], ConfigurationError, "'0-10' is none of these"),
        (["in.h5", "out.nc", "--bins", "0:25:10"], AssemblyError, "fill their span exactly"),
        (["nothing.h5", "out.nc"], DataFileError, "a recording is a file - nothing.h5 does not exist"),
        (["cowley2023", "out.nc"], UnknownNameError, "a file or dataset is named as in its table"),
        (["cowley2023-v4-201016", "out.nc", "--subject", "m"], ConfigurationError, "'dataset' is time_bins, region"),
        (["text.txt", "out.nc"], DataFileError, "begins with b'spikes!!'"),
        (["broken.h5", "out.nc"], DataFileError, "can be read"),
    ],
)
def test_refusals_in_one_sentence_leave_nothing_behind(run, recording, tmp_path, monkeypatch, arguments, error, words):
    monkeypatch.chdir(tmp_path)
    path = write_hdf5(recording, tmp_path / "in.h5")
    (tmp_path / "text.txt").write_bytes(b"spikes!! and more")
    (tmp_path / "broken.h5").write_bytes(path.read_bytes()[:3000])
    before = sorted(tmp_path.iterdir())
    with pytest.raises(error, match=words) as raised:
        run("convert", *arguments)
    assert "\n" not in str(raised.value)
    assert sorted(tmp_path.iterdir()) == before


def test_bins():
    assert parse_bins("70:170") == [(70, 170)]
    assert parse_bins("-20:40:20") == [(-20, 0), (0, 20), (20, 40)]
    assert parse_bins("0:30:20:10") == [(0, 20), (10, 30)]


def test_formats_by_suffix(tmp_path):
    assert [format_for_writing(tmp_path / f"x{s}") for s in (".nc", ".nwb", ".h5", ".NPZ")] == [
        "brainscore", "nwb", "hdf5", "npz",
    ]  # fmt: skip


def test_a_score_becomes_one_of_brain_score_and_back(run, tmp_path, make_recording):
    from neurofit.scoring.score import Terms, assemble_score
    from neurofit.scoring.storage import load_score, save_score

    rng = np.random.default_rng(0)
    terms = Terms(
        raw=rng.uniform(0.1, 0.5, (3, 1, 5)), internal=np.full((3, 1, 1, 5), 0.8), mapping=np.full((3, 1, 1, 5), 0.8),
        silent=np.zeros(1, bool), components=np.ones((3, 1), int), ceiling=rng.uniform(0.6, 0.9, (2, 5, 1)),
    )  # fmt: skip
    score = assemble_score(
        terms, make_recording(bins=((70, 170),)), {"formula": "brain-score", "threshold": 0.0, "benchmark": "toy"}
    )
    path = save_score(score, tmp_path / "score.nc")
    said = run("convert", path, tmp_path / "theirs.nc").stdout
    assert "(brainscore-score, " in said and "brain-score" in said
    with xr.open_dataarray(tmp_path / "theirs.nc", group="raw/raw") as values:
        np.testing.assert_array_equal(values.values, score.predictivity.values)
    with pytest.raises(DataFileError, match="by a formula on aggregates"):
        run("convert", tmp_path / "theirs.nc", tmp_path / "back.nc")  # aggregated splits first, as a toy is
    with pytest.raises(ConfigurationError, match="region is given"):
        run("convert", path, tmp_path / "theirs.nc", "--region", "IT")
    assert load_score(path).attrs["formula"] == "brain-score"


@pytest.mark.parametrize("suffix", [".nc", ".nwb", ".h5", ".npz"])
def test_a_real_recording_goes_out_and_comes_back(run, shared, tmp_path, suffix):
    pytest.importorskip("pynwb")
    pytest.importorskip("pyreadr")
    folder = tmp_path / "rasters"
    folder.mkdir()
    for path in sorted(shared("data", "zhang_desimone_7objects").glob("bp1006*.rda")):
        (folder / path.name).symlink_to(path)
    where = ["--bins", "-500:500:50", "--subject", "bp", "--region", "IT"]
    labels = ["--stimulus-column", "stimulus_ID", "--stimulus-column", "stimulus_position"]
    out, again = tmp_path / f"out{suffix}", tmp_path / "again.h5"
    first = json.loads(run("convert", folder, out, *where, *labels, "--json").stdout)["recording"]
    second = json.loads(run("convert", out, again, "--json").stdout)["recording"]
    assert first == second
    assert (first["presentations"], first["neuroids"], first["time_bins"]) == (399, 7, 20)
    xr.testing.assert_identical(read_recording([again]), read_recording([out]))
    options = {"stimulus": ["stimulus_ID", "stimulus_position"], "subject": "bp", "region": "IT"}
    from neurofit.data.readers.raster_files import read_rasters

    xr.testing.assert_identical(
        read_recording([again]), read_rasters([folder], time_bins=parse_bins("-500:500:50"), **options)
    )


def test_neurofit_files_stay_readable_as_brain_scores(recording, tmp_path):
    path = save_assembly(recording, tmp_path / "a.nc")
    xr.testing.assert_identical(read_brainscore(path), recording)
