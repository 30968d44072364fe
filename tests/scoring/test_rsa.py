"""Representational similarity over time: known truths, noise, and what may be kept of wide layers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import neurofit as nf
from neurofit.assembly.build import average_repetitions, make_assembly
from neurofit.errors import ConfigurationError, MappingError, ReliabilityError, UnknownNameError
from neurofit.files.manifest import load_manifest
from neurofit.scoring.metrics import MetricSpec
from neurofit.scoring.rsa import rsa, with_equal_repetitions
from neurofit.scoring.run import Target, score_source
from neurofit.subjects.features import FeatureOptions

BINS = ((70, 80), (80, 90), (90, 100))


def as_source(values, mean, bins=BINS):
    return make_assembly(
        np.asarray(values, np.float32),
        stimulus_id=mean.stimulus_id.values,
        neuroid_id=[f"u{i}" for i in range(values.shape[1])],
        subject="model",
        layer="conv5",
        time_bins=list(bins),
    )


@pytest.fixture
def recording(make_recording):
    return make_recording(n=50, q=30, bins=BINS, repetitions=(4, 7), noise=3.0)


@pytest.fixture
def truth(make_recording):
    """The same neuroids without noise."""
    return average_repetitions(make_recording(n=50, q=30, bins=BINS, repetitions=(4, 7), noise=0.0))


@pytest.mark.parametrize("distance", ["correlation", "euclidean"])
def test_the_truth_reaches_its_ceiling(recording, truth, distance):
    score = rsa(truth, recording, distance=distance, n_halvings=5, n_resamples=50)
    assert (score.value < 0.98).all()
    np.testing.assert_allclose(score.corrected, 1, atol=0.08)
    table = nf.summarise(score)
    assert (table["low"] <= table["corrected"]).all()
    assert (table["corrected"] <= table["high"]).all()
    assert (table["high"] - table["low"] < 0.3).all()


def test_permuted_stimuli_have_nothing_alike(recording, truth):
    order = np.random.default_rng(0).permutation(50)
    score = rsa(as_source(truth.values[order], truth), recording, n_halvings=2, n_resamples=50)
    assert (np.abs(score.value) < 0.12).all()


@pytest.mark.parametrize("comparison", ["spearman", "kendall", "pearson"])
def test_a_recording_is_like_itself(recording, comparison):
    score = rsa(recording, recording, comparison=comparison, formula="raw", n_resamples=10)
    np.testing.assert_allclose(score.value, 1)
    assert score.consistency.isnull().all()
    np.testing.assert_allclose(score.corrected, score.value)


def test_a_silent_bin_is_0_and_an_unreliable_one_nan(recording, truth):
    values = truth.values.copy()
    values[:, :, 0] = 0.25
    noise = recording.copy()
    noise.values[:, :, 1] = np.random.default_rng(1).standard_normal(noise.values.shape[:2])
    score = rsa(as_source(values, truth), noise, n_halvings=3, n_resamples=20)
    assert score.silent.values.tolist() == [True, False, False]
    assert (score.value.values[0], score.corrected.values[0]) == (0, 0)
    assert (score.resampled.values[:, 0] == 0).all()
    assert np.isnan(score.corrected.values[1])
    result = nf.headline(score)
    assert (result.bins, result.bins_excluded) == (2, 1)


def test_unequal_numbers_of_showings_are_no_reliability():
    rng = np.random.default_rng(0)
    counts = rng.integers(4, 16, 150)
    index = np.repeat(np.arange(150), counts)
    noise = make_assembly(
        rng.standard_normal((len(index), 40, 1)),
        stimulus_id=[f"s{i:03d}" for i in index],
        repetition=np.concatenate([np.arange(c) for c in counts]),
        neuroid_id=[f"n{j}" for j in range(40)],
        subject="animal",
        region="IT",
        time_bins=[(70, 80)],
    )
    source = average_repetitions(noise)
    options = {"distance": "euclidean", "n_halvings": 3, "n_resamples": 2}
    assert abs(rsa(source, noise, **options).consistency.item()) < 0.1
    assert rsa(source, noise, **options, repetitions="all").consistency.item() > 0.5  # of nothing at all


def test_equal_repetitions_are_even_and_the_same_each_time(recording):
    cut = with_equal_repetitions(recording)
    assert np.unique(cut.stimulus_id, return_counts=True)[1].tolist() == [4] * 50
    assert cut.identical(with_equal_repetitions(recording))


def test_a_random_subset_of_many_stimuli_is_told(recording, truth):
    score = rsa(truth, recording, max_stimuli=20, n_halvings=2, n_resamples=5)
    assert (score.attrs["n_stimuli"], score.attrs["n_stimuli_known"]) == (20, 50)
    again = rsa(truth, recording, max_stimuli=20, n_halvings=2, n_resamples=5)
    assert score.identical(again)
    other = rsa(truth, recording, max_stimuli=20, sample_state=1, n_halvings=2, n_resamples=5)
    assert other.attrs["stimuli_hash"] != score.attrs["stimuli_hash"]


def test_order_of_presentations_and_units_is_nothing(recording, truth):
    rng = np.random.default_rng(2)
    turned = truth.isel(presentation=rng.permutation(50), neuroid=rng.permutation(30))
    a, b = (rsa(s, recording, formula="raw", n_resamples=5) for s in (truth, turned))
    np.testing.assert_allclose(a.value, b.value, atol=1e-6)


class Wide(torch.nn.Module):
    """600 units with a common part, silent in the first step."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 6, 5, stride=3)

    def forward(self, frames, layers):
        states = [torch.relu(self.conv(frame)) + 1 for frame in frames]
        return {"conv": torch.stack([torch.full_like(states[0], 0.5), *states[:-1]], dim=1)}


@pytest.mark.parametrize("distance", ["correlation", "euclidean"])
def test_a_wide_layer_has_the_same_rdms_without_its_units(make_recording, distance):
    rng = np.random.default_rng(0)
    recording = make_recording(n=24, q=8, bins=((0, 10), (10, 20), (20, 30)))
    import pandas as pd

    images = list(rng.integers(0, 256, (24, 32, 32, 3), dtype=np.uint8))
    stimuli = nf.StimulusSet("noise", pd.DataFrame({"stimulus_id": np.unique(recording.stimulus_id)}), images)
    benchmark = nf.load_benchmark("sim-it")
    spec = MetricSpec("rsa", distance=distance)
    benchmark = replace(benchmark, metric=spec, aggregation=replace(benchmark.aggregation, n_resamples=5))
    values = {}
    for choice in ("raw", "dual"):
        subject = nf.ModelSubject(
            Wide(), name="wide", layers=["conv"], preprocessing=nf.Preprocessing(32), features=FeatureOptions(choice)
        )
        basis = spec.basis("per-bin")
        bins = [(0, 10), (10, 20), (20, 30)]
        source = subject.record(stimuli, layer="conv", time_bins=bins, viewing=nf.Viewing(20, 30), basis=basis)
        assert source.sizes["neuroid"] == {"raw": 600, "dual": 23}[choice]
        score = score_source(benchmark, source, Target(recording, stimuli, 0.0))
        values[choice] = score.value.values
        assert score.silent.values.tolist() == [True, False, False]
    np.testing.assert_allclose(values["raw"], values["dual"], atol=2e-4)
    assert (values["raw"][1:] != 0).all()
    if distance == "correlation":
        with pytest.raises(MappingError, match="Euclidean distances are of the units"):
            rsa(source, recording, distance="euclidean")
        with pytest.raises(MappingError, match="mapping sees the units"):
            nf.predictivity(source, recording)
    else:
        with pytest.raises(MappingError, match="needs the mean over a layer's units"):
            rsa(source, recording)


def test_a_score_goes_the_way_of_all_scores(tmp_path, recording, truth):
    benchmark = nf.load_benchmark("sim-it").varied(metric="rsa", n_halvings=2)
    assert benchmark.name == "sim-it (varied)"
    score = score_source(benchmark, truth, Target(recording, None, 0.0)).assign_attrs(
        subject="truth", layer="IT", source_time_course="its own"
    )
    assert score.attrs["metric"] == "rsa"
    again = nf.load_score(nf.save_score(score, tmp_path / "score.nc"))
    assert nf.headline(again) == nf.headline(score)
    assert nf.check_score(again) is again
    record = nf.make_record(score, benchmark, load_manifest("sim-ventral"), {"name": "truth"})
    loaded = nf.load_record(record.save(tmp_path / "r.json"))
    assert loaded == json.loads(json.dumps(record.as_dict()))
    assert loaded["score"]["metric"] == "rsa"
    assert loaded["score"]["formula_text"] == "r / sqrt(reliability of the neural RDM)"
    assert loaded["benchmark"]["metric"]["max_stimuli"] == 1000
    figure = nf.plot_time_course(score)
    assert "nothing is fitted" in figure._supxlabel.get_text()
    np.testing.assert_allclose(figure.axes[0].lines[2].get_ydata(), score.value)


def test_wrong_names_and_data_are_told(recording, truth):
    with pytest.raises(UnknownNameError, match="'crossnobis' is not known"):
        rsa(truth, recording, distance="crossnobis")
    with pytest.raises(UnknownNameError, match="'both' is not known - use one of neural-rdm, raw"):
        rsa(truth, recording, formula="both")
    with pytest.raises(ReliabilityError, match="formula 'neural-rdm' needs repetitions"):
        rsa(truth, average_repetitions(recording))


@pytest.mark.parametrize("option", [{"n_components": 5}, {"temporal": "fixed"}, {"n_splits": 2}, {"formula": "both"}])
def test_options_of_mappings_are_not_for_rsa(option):
    with pytest.raises(ConfigurationError, match="'rsa' fits no mapping"):
        nf.load_benchmark("sim-it").varied(metric="rsa", **option)


def test_a_benchmark_file_names_its_metric(tmp_path, repository):
    text = (repository / "benchmarks" / "sim-it.toml").read_text()
    path = tmp_path / "b.toml"
    path.write_text(text + '\n[metric]\nkind = "rsa"\ndistance = "euclidean"\n')
    metric = nf.load_benchmark(path).metric
    assert (metric.kind, metric.distance, metric.comparison) == ("rsa", "euclidean", "spearman")
    path.write_text(text + '\n[metric]\nkind = "rsa"\nclassifier = "svm"\n')
    with pytest.raises(ConfigurationError, match="classifier is not for kind 'rsa'"):
        nf.load_benchmark(path)
    neural = text.replace('formula = "both"', 'formula = "neural"')
    path.write_text(neural + '\n[metric]\nkind = "rsa"\n')
    with pytest.raises(ConfigurationError, match="correction.formula 'neural' is not for the metric 'rsa'"):
        nf.load_benchmark(path)
    path.write_text(neural)
    varied = nf.load_benchmark(path).varied(metric="rsa")
    assert varied.correction.formula == "both" and not list(varied.cross_problems())
    assert nf.load_benchmark(path).varied(metric="rsa", formula="raw").correction.formula == "raw"
