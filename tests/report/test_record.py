import json

import numpy as np
import pytest

from neurofit.assembly.build import average_repetitions, make_assembly
from neurofit.errors import DataFileError, OutputError
from neurofit.files.manifest import load_manifest
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.report.figures import plot_time_course
from neurofit.report.record import environment, load_record, make_record
from neurofit.report.style import save_figure
from neurofit.scoring.benchmark import load_benchmark
from neurofit.scoring.predictivity import predictivity


@pytest.fixture
def score(make_recording):
    bins = [(t, t + 10) for t in range(70, 170, 10)]
    recording = make_recording(n=60, q=6, bins=bins)
    mean = average_repetitions(recording)
    source = make_assembly(
        mean.values[:, :4] + 0.1,
        stimulus_id=mean.stimulus_id.values,
        neuroid_id=list("abcd"),
        subject="model",
        layer="conv5",
        time_bins=bins,
    )
    result = predictivity(source, recording, mapping=PLSMapping(3), splitter=StimulusShuffleSplit(3), n_halvings=2)
    return result.assign_attrs(
        benchmark="sim-it", benchmark_version=1, dataset="sim-ventral", region="IT", subject="model",
        layer="conv5", on_ms=100, simulated=1, source_units=4, seconds_mapping=0.1,
    )  # fmt: skip


def test_a_record_says_what_was_run_and_survives_the_disk(tmp_path, score):
    benchmark = load_benchmark("sim-it")
    record = make_record(score, benchmark, load_manifest("sim-ventral"), {"kind": "model", "name": "model"})
    loaded = load_record(record.save(tmp_path / "r.json"))
    assert loaded == json.loads(json.dumps(record.as_dict()))
    assert loaded["simulated"] is True
    assert loaded["benchmark"]["mapping"]["n_components"] == 25
    assert loaded["score"]["formula"] == "both"
    assert len(loaded["time_bins"]) == 10
    assert loaded["subject"]["layer"] == "conv5"
    assert loaded["cost"]["peak_memory_mib"] > 10
    assert loaded["environment"]["versions"]["numpy"] == np.__version__
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


def test_weights_of_a_network_that_says_nothing_of_them_are_in_the_record(score):
    score = score.assign_attrs(weights_sha256="of the network")
    for told, expected in (({}, "of the network"), ({"weights_sha256": "its own"}, "its own")):
        record = make_record(score, load_benchmark("sim-it"), load_manifest("sim-ventral"), told)
        assert record.subject["weights_sha256"] == expected


def test_numbers_that_are_not_finite_are_null(tmp_path, score):
    score.predictivity_corrected.values[:, :, 0] = np.nan
    record = make_record(score, load_benchmark("sim-it"), load_manifest("sim-ventral"), {})
    assert load_record(record.save(tmp_path / "r.json"))["time_bins"][0]["corrected"] is None


def test_a_record_says_how_every_neuroid_was_predicted_and_what_data_these_are(score):
    score.predictivity_corrected.values[:, 2, 3] = np.nan
    record = make_record(score, load_benchmark("sim-it"), load_manifest("sim-ventral"), {})
    neuroids = record.as_dict()["neuroids"]
    assert neuroids["neuroid_id"] == score.neuroid_id.values.tolist()
    raw = score.predictivity.mean("split").transpose("neuroid", "time_bin").values
    np.testing.assert_allclose(neuroids["raw"], raw, atol=5.1e-5)
    assert neuroids["corrected"][2][3] is None and neuroids["corrected"][2][4] is not None
    assert set(record.score["hashes"]) == {
        "stimuli_hash", "neuroids_hash", "splits_hash", "halvings_hash", "responses_hash"
    }  # fmt: skip
    assert all(len(digits) == 16 for digits in record.score["hashes"].values())


def test_a_table_takes_a_line_per_neuroid(tmp_path, score):
    record = make_record(score, load_benchmark("sim-it"), load_manifest("sim-ventral"), {})
    lines = record.save(tmp_path / "r.json").read_text().splitlines()
    at = next(i for i, line in enumerate(lines) if line.strip() == '"raw": [')
    assert [line.count(",") for line in lines[at + 1 : at + 7]] == [10] * 5 + [9]


def test_broken_records_are_told(tmp_path):
    (tmp_path / "cut.json").write_text('{"record_version": 1, "sc')
    with pytest.raises(DataFileError, match=r"readable JSON file - .*cut\.json"):
        load_record(tmp_path / "cut.json")
    (tmp_path / "other.json").write_text("[1, 2]")
    with pytest.raises(DataFileError, match="names its version"):
        load_record(tmp_path / "other.json")


def test_an_unwritable_folder_leaves_nothing(tmp_path, score):
    (tmp_path / "file").write_text("")
    record = make_record(score, load_benchmark("sim-it"), load_manifest("sim-ventral"), {})
    with pytest.raises(OutputError, match="file"):
        record.save(tmp_path / "file" / "r.json")
    with pytest.raises(OutputError, match="file"):
        save_figure(plot_time_course(score), tmp_path / "file" / "f.png")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_figure_says_what_it_shows(tmp_path, score):
    figure = plot_time_course(score)
    top = figure.axes[0]
    assert "SIMULATED" in top.get_title(loc="left")
    labels = {text.get_text() for text in top.get_legend().get_texts()}
    assert labels == {"raw r", "noise-corrected (both)", "internal consistency", "ceiling of r"}
    drawn = next(line for line in top.lines if line.get_label() == "raw r").get_ydata()
    np.testing.assert_allclose(drawn, score.predictivity.mean("split").median("neuroid"))
    assert save_figure(figure, tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")


def test_the_environment_names_a_revision_or_none():
    revision = environment()["git_revision"]
    assert revision is None or len(revision.removesuffix("+changes")) == 40
