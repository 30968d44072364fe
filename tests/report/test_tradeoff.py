"""Trade-offs from records: comparable ones only, fronts and names that can be read."""

import copy
import json

import numpy as np
import pytest

from neurofit.errors import ConfigurationError, DataFileError
from neurofit.report.published import published_tradeoff
from neurofit.report.record import save_record
from neurofit.report.tradeoff import Point, make_tradeoff, tradeoff_of_records
from neurofit.report.tradeoff_figure import plot_tradeoff
from neurofit.report.tradeoff_record import make_tradeoff_record

RECORD = {
    "record_version": 1,
    "simulated": False,
    "benchmark": {"name": "toy", "version": 1, "region": "IT", "dataset": "toy", "mapping": {"n_components": 25}},
    "subject": {"name": "a", "layer": "conv", "kind": "model", "parameters": 1000, "network_units": 50, "macs": 7e6},
    "score": {"value": 0.5, "low": 0.4, "high": 0.6, "formula": "both", "formula_text": "r / ...", "n_stimuli": 9,
              "n_neuroids": 4},
    "dataset": {"name": "toy", "files": [{"digest": "sha256:1"}]},
}  # fmt: skip


def write(folder, name, value=0.5, **subject):
    record = copy.deepcopy(RECORD)
    record["subject"] |= {"name": name} | subject
    record["score"] |= {"value": value, "low": value - 0.05, "high": value + 0.05}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(record))
    return path


def change(path, *keys, to):
    record = json.loads(path.read_text())
    place = record
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = to
    path.write_text(json.dumps(record))


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "small", 0.3, parameters=100, macs=9e9)
    write(tmp_path, "middle", 0.25, parameters=1000)
    write(tmp_path, "large", 0.6, parameters=10000, macs=2e6)
    return tmp_path


def test_records_are_read_and_nothing_else(folder):
    (folder / "other.json").write_text('{"record_version": 1, "kind": "health"}')
    (folder / "broken.json").write_text("{")
    found = tradeoff_of_records([folder], "parameters")
    assert [point.name for point in found.points] == ["small, conv", "middle, conv", "large, conv"]
    assert found.front == (True, False, True)
    assert (found.points[0].low, found.points[0].high) == (0.25, 0.35)
    assert len(found.inputs) == 3 and all(len(each["sha256"]) == 64 for each in found.inputs)
    assert [text.split("/")[-1] for text in found.left_out] == [
        "broken.json (no record)",
        "other.json (no record of a run)",
    ]
    assert not found.simulated and "real recordings" in found.data and "'both'" in found.data
    by_macs = tradeoff_of_records(sorted(folder.glob("[slm]*.json")), "macs")
    assert dict(zip([p.name for p in by_macs.points], by_macs.front, strict=True))["large, conv"]
    assert sum(by_macs.front) == 1


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (("benchmark", "name"), "sim", "benchmark.name"),
        (("benchmark", "version"), 2, "benchmark.version"),
        (("benchmark", "mapping"), {"n_components": 10}, "benchmark.mapping"),
        (("score", "formula"), "raw", "formula"),
        (("dataset", "files"), [{"digest": "sha256:2"}], "dataset files"),
        (("simulated",), True, "simulated"),
    ],
)
def test_what_does_not_compare_is_refused_with_the_reason(folder, keys, value, named):
    change(folder / "large.json", *keys, to=value)
    with pytest.raises(ConfigurationError, match="within one benchmark, formula and dataset") as caught:
        tradeoff_of_records([folder], "parameters")
    assert f"large.json has {named} " in str(caught.value)
    assert "middle.json and" not in str(caught.value)


def test_records_that_lack_something_are_named(folder):
    change(folder / "small.json", "subject", "macs", to=None)
    with pytest.raises(DataFileError, match=r"costs in macs - .*small\.json does not"):
        tradeoff_of_records([folder], "macs")
    change(folder / "small.json", "score", "value", to=None)
    with pytest.raises(DataFileError, match=r"score of .*small\.json is not defined"):
        tradeoff_of_records([folder], "parameters")
    (folder / "x").mkdir()
    with pytest.raises(ConfigurationError, match="there is a record to read"):
        tradeoff_of_records([folder / "x"], "parameters")
    with pytest.raises(ConfigurationError, match="two networks or more"):
        tradeoff_of_records([folder / "large.json"], "parameters")
    (folder / "health.json").write_text('{"record_version": 1, "kind": "health"}')
    with pytest.raises(DataFileError, match="a record of something else"):
        tradeoff_of_records([folder / "health.json"], "parameters")


def test_what_costs_nothing_is_left_out_and_said(folder, tmp_path):
    write(folder, "pixels", 0.2, parameters=0)
    found = tradeoff_of_records([folder], "parameters")
    assert found.left_out == ("pixels, conv (0 parameters)",)
    path = save_record(make_tradeoff_record(found), tmp_path / "out.json")
    document = json.loads(path.read_text())
    assert next(iter(document)) == "simulated"
    assert [point["on_front"] for point in document["points"]] == [True, False, True]


def test_published_accuracies_have_the_front_of_the_papers():
    found = published_tradeoff("parameters")
    front = [point.name for point, on in zip(found.points, found.front, strict=True) if on]
    assert front == ["timedecay_shallow", "simplernn_shallow", "rgc_intermediate", "ResNet-34"]
    assert len(found.points) == 21 and all(point.source for point in found.points)
    assert not found.simulated


def labels_of(figure):
    figure.canvas.draw()
    axes = figure.axes[0]
    return [text for text in axes.texts if text.get_text()], axes


@pytest.mark.parametrize("seed", range(3))
def test_every_point_is_named_and_names_do_not_overlap(seed):
    rng = np.random.default_rng(seed)
    points = [
        Point(f"network_{i}, conv{i}", 10 ** rng.uniform(4, 8), v := rng.uniform(0.2, 0.6), v - 0.03, v + 0.03)
        for i in range(14)
    ]
    found = make_tradeoff(points, "macs", "predictivity", simulated=True, data="Data.", label="predictivity (both)")
    texts, axes = labels_of(plot_tradeoff(found))
    assert sorted(text.get_text() for text in texts) == sorted(point.name for point in points)
    boxes = [text.get_window_extent() for text in texts]
    overlapping = [(i, j) for i in range(14) for j in range(i) if boxes[i].overlaps(boxes[j])]
    assert overlapping == []
    assert axes.get_xscale() == "log" and "SIMULATED" in axes.get_title(loc="left")
