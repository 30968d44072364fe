"""Object solution times from the command line."""

import hashlib
import json

import numpy as np
import pytest

from neurofit.data.readers.plain import read_hdf5, write_hdf5
from neurofit.subjects.model_subject import ModelSubject

OST = ("ost", "--benchmark", "bench.toml", "--data", "data", "--labels", "hue", "--splits", "3")


@pytest.fixture
def hues(folder):
    """The small benchmark of colours, whose recording names what is shown: the strongest of three channels."""
    path = folder / "data" / "colours" / "responses.h5"
    recording = read_hdf5(path)
    colours = np.random.default_rng(3).integers(30, 226, (40, 3)).argmax(1)
    names = np.array(["red", "green", "blue"])[colours]
    hue = [str(names[int(i[1:])]) for i in recording["stimulus_id"].values]
    path.unlink()
    write_hdf5(recording.assign_coords(hue=("presentation", hue)), path)
    manifest = folder / "colours.toml"
    lines = manifest.read_text().split("\n")
    at = next(i for i, line in enumerate(lines) if "responses.h5" in line)
    digest = next(i for i in range(at, len(lines)) if lines[i].startswith("sha256"))
    lines[digest] = f'sha256 = "{hashlib.sha256(path.read_bytes()).hexdigest()}"'
    manifest.write_text("\n".join(lines))
    return folder


def test_a_recording_alone(hues, neurofit):
    code, out, err = neurofit(*OST, "--json", "--ceiling", "1")
    assert code == 0, err
    record = json.loads(out)
    assert next(iter(record)) == "simulated"
    assert record["kind"] == "object solution times"
    assert record["model"] is record["comparison"] is None
    neural = record["neural"]
    assert (neural["labels"], neural["classifier"], neural["n_objects"], neural["n_splits"]) == ("hue", "svm", 3, 3)
    assert neural["n_solved"] > 0
    assert max(row["accuracy"] for row in neural["time_bins"]) > 0.5
    assert len(record["stimuli"]["neural_solution_time_ms"]) == 40
    assert record["consistency"]["n_both"][0] >= 0
    assert "tested images reach the reference" in err
    for path in record["written"].values():
        assert (hues / path).exists()


def test_a_static_model_has_no_times_and_says_why(hues, neurofit):
    code, out, err = neurofit(*OST, "--model", "pixels", "--layer", "pixels", "--classifier", "logistic", "--json")
    assert code == 0, err
    record = json.loads(out)
    assert record["comparison"]["spearman"] is None
    assert "no dynamics" in record["comparison"]["why_none"]
    assert record["model"]["percentile_50_ms"] is None
    assert record["comparison"]["fraction_solved"] > 0
    assert "no correlation of solution times: the model has no solution times: no dynamics" in err


def test_the_benchmarks_metric_does_not_change_what_is_decoded(hues, neurofit, monkeypatch):
    """RSA keeps patterns that are centred over units: the levels of colours, which are decoded here, would be gone."""
    bases = []
    record_many = ModelSubject.record_many

    def spy(self, *args, basis="units", **options):
        bases.append(basis)
        return record_many(self, *args, basis=basis, **options)

    monkeypatch.setattr(ModelSubject, "record_many", spy)
    bench = hues / "bench.toml"
    bench.write_text(bench.read_text() + '\nmetric = {kind = "rsa"}\n')
    command = ("ost", "--benchmark", "bench.toml", "--data", "data", "--labels", "hue", "--model", "pixels")
    code, _, err = neurofit(*command, "--layer", "pixels", "--reference", "0.5")
    assert code == 0, err
    assert bases == ["per-bin"]
    assert (hues / "neurofit-out" / "pixels-pixels-ost-IT-colours-svm-hue-at-0.5.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("--labels", "shape"),
            "every stimulus has one 'shape' to be decoded - the coordinates of the stimuli are hue",
        ),
        (("--layer", "conv5"), "a layer is a model's - --layer conv5 was given without --model"),
        (("--reference", "0"), "a reference is a d' above 0, that of a silent bin"),
        (("--reference", "9"), "at most 5, where d' is clipped - --reference is 9"),
    ],
)
def test_bad_options_are_explained(hues, neurofit, options, message):
    code, _, err = neurofit(*OST, *options)
    assert code == 2
    assert message in err
