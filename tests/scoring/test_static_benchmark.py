"""A benchmark's static mode: read, varied, applied, and named in every output."""

import numpy as np
import pandas as pd
import pytest
import torch

from neurofit.data.stimuli import StimulusSet
from neurofit.errors import ConfigurationError
from neurofit.files.manifest import load_manifest
from neurofit.files.toml_schema import parse_table
from neurofit.models.preprocessing import Preprocessing
from neurofit.models.static_modes import OWN, STATIC_MODES
from neurofit.report.figures import plot_time_course
from neurofit.report.record import make_record
from neurofit.scoring.benchmark import Benchmark, StaticSpec, load_benchmark
from neurofit.scoring.run import Target, record_layers, run
from neurofit.scoring.storage import load_score, save_score
from neurofit.scoring.time_course import as_benchmarked
from neurofit.subjects.library import committed_layer, load_subject
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.static import static_subject
from neurofit.subjects.subject import RecordedSubject

TABLE = {
    "name": "colours",
    "title": "responses to colours",
    "version": 1,
    "dataset": "sim-ventral",
    "region": "IT",
    "source": "a test",
    "time_bins": {"start_ms": 0, "end_ms": 260, "width_ms": 20},
    "mapping": {"n_components": 3},
    "splits": {"n_splits": 2},
    "correction": {"n_halvings": 1},
}


def benchmark_of(**tables):
    return parse_table(TABLE | tables, Benchmark, source="bench.toml", what="benchmark")


@pytest.fixture(scope="module")
def colours():
    return np.random.default_rng(3).integers(30, 226, (30, 3))


@pytest.fixture
def target(make_recording, colours):
    table = pd.DataFrame({"stimulus_id": [f"s{i:03d}" for i in range(30)]})
    images = [np.broadcast_to(c.astype(np.uint8), (16, 16, 3)) for c in colours]
    bins = [(t, t + 20) for t in range(0, 260, 20)]
    recording = make_recording(latents=(colours - colours.mean(0)) / 50, bins=bins, repetitions=(4, 4))
    return Target(recording, StimulusSet("colours", table, images), 0.0)


def ff():
    return load_subject("ff_untrained", max_features=20_000)


def test_a_table_names_the_mode_and_absent_is_the_subjects_own():
    assert benchmark_of().static == StaticSpec() == StaticSpec(OWN)
    chosen = benchmark_of(static={"mode": "graded", "latency_ms": 70, "layers": ["conv4", "conv5"]}).static
    assert chosen == StaticSpec("graded", 70, ("conv4", "conv5"))
    for mode in STATIC_MODES:
        assert benchmark_of(static={"mode": mode}).static.mode == mode


@pytest.mark.parametrize(
    ("static", "message"),
    [
        ({"mode": "twice"}, "static.mode is 'twice', which is not one of 'own', 'constant'"),
        ({"mode": "once", "latency_ms": -10}, "static.latency_ms is -10, which is not 0 or more"),
        ({"mode": "once", "latency_ms": 260}, "static.latency_ms is 260, and the viewing ends at 260 ms"),
        ({"latency_ms": 70}, "static.latency_ms is not for mode 'own'"),
        ({"mode": "once", "layers": ["conv5"]}, "layers is for the modes 'uniform' and 'graded', not for 'once'"),
        ({"mod": "once"}, "static.mod is not a known key .the nearest is mode"),
    ],
)
def test_an_impossible_table_is_told(static, message):
    with pytest.raises(ConfigurationError, match=message):
        benchmark_of(static=static)


def test_a_varied_mode_changes_the_name_and_another_mode_begins_with_its_defaults():
    plain = benchmark_of()
    assert plain.varied(static_mode="own") is plain
    graded = plain.varied(static_mode="graded", static_latency_ms=50, static_layers=("conv5",))
    assert graded.name == "colours (varied)"
    assert graded.static == StaticSpec("graded", 50, ("conv5",))
    shipped = benchmark_of(static={"mode": "graded", "latency_ms": 50, "layers": ["conv5"]})
    assert shipped.varied(static_mode="graded") is shipped
    assert shipped.varied(static_latency_ms=60).static == StaticSpec("graded", 60, ("conv5",))
    assert shipped.varied(static_mode="once").static == StaticSpec("once")
    assert shipped.varied(static_mode="own").static == StaticSpec()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"static_latency_ms": 70}, "latency_ms is not for mode 'own'"),
        ({"static_mode": "once", "static_layers": ("conv5",)}, "layers is for the modes"),
        ({"static_mode": "once", "static_latency_ms": 300}, "is 300, and the viewing ends at 260 ms"),
    ],
)
def test_options_that_do_not_belong_together_are_told(options, message):
    with pytest.raises(ConfigurationError, match=message):
        benchmark_of().varied(**options)


def test_a_benchmark_without_a_mode_leaves_every_subject_as_it_is():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3))
    for one in (static_subject(network, ["0"], name="x", preprocessing=Preprocessing(16), mode="once"), ff()):
        assert as_benchmarked(one, benchmark_of()) is one


def test_dynamics_stay_unless_the_mode_must_be():
    rgc, asked = load_subject("rgc_untrained"), benchmark_of(static={"mode": "once"})
    assert as_benchmarked(rgc, asked) is rgc
    with pytest.raises(ConfigurationError, match="'rgc_untrained': it has cells with memory in conv3, conv4, conv5"):
        as_benchmarked(rgc, asked, must=True)


def test_laying_out_twice_is_laying_out_once(target):
    asked = benchmark_of(static={"mode": "graded", "latency_ms": 60, "layers": ["conv4", "conv5"]})
    once = as_benchmarked(ff(), asked)
    twice = as_benchmarked(once, asked)
    assert (twice.layers, twice.region_layers, twice.details) == (once.layers, once.region_layers, once.details)
    recorded = [record_layers(asked, subject, target, ["conv4+conv5"])["conv4+conv5"] for subject in (once, twice)]
    np.testing.assert_array_equal(recorded[0].values, recorded[1].values)


EXPECTED = {
    "own": "own: feed-forward, one layer per step of 10 ms",
    "constant": "constant: the image's features at every step, also after it is gone; conv5 0-260 ms",
    "once": "once: the image's features for as many steps as it is on, zero after; conv5 40-140 ms",
    "uniform": "uniform: the layers of a sequence one after the other, in runs of equal length; "
    "conv1 70-110, conv2 110-150, conv3 150-180, conv4 180-220, conv5 220-260 ms",
    "graded": "graded: the layers of a sequence one after the other, in runs proportional to their depth; "
    "conv1 70-80, conv2 80-110, conv3 110-150, conv4 150-200, conv5 200-260 ms",
}


@pytest.mark.parametrize("mode", EXPECTED)
@pytest.mark.parametrize("temporal", ["per-bin", "fixed"])
def test_mode_and_mapping_are_named_in_every_output(target, tmp_path, mode, temporal):
    asked = benchmark_of(static={"mode": mode}, mapping={"n_components": 3, "temporal": temporal})
    subject = as_benchmarked(ff(), asked)
    score = run(asked, subject, layer=committed_layer(subject, "IT"), target=target, n_jobs=1)
    saved = load_score(save_score(score, tmp_path / "score.nc"))
    for attrs in (score.attrs, saved.attrs):
        assert attrs["temporal_mapping"] == temporal
        assert attrs["source_static_mode"] == mode
        assert attrs["source_time_course"] == EXPECTED[mode]
    record = make_record(score, asked, load_manifest("sim-ventral"), subject.describe()).as_dict()
    assert record["benchmark"]["static"]["mode"] == record["subject"]["static_mode"] == mode
    assert record["subject"]["time_course"] == EXPECTED[mode]
    assert record["benchmark"]["mapping"]["temporal"] == record["score"]["temporal_mapping"] == temporal
    caption = " ".join(plot_time_course(score).get_supxlabel().split())
    assert f"temporal mapping '{temporal}'" in caption
    assert f"Time course of the source: {EXPECTED[mode]}." in caption


def test_silent_bins_are_those_without_features(target):
    score = run(benchmark_of(static={"mode": "once"}), ff(), layer="conv5", target=target, n_jobs=1)
    assert [bool(silent) for silent in score.silent.values] == [True] * 2 + [False] * 5 + [True] * 6
    assert (score.predictivity.values[:, :, score.silent.values] == 0).all()
    constant = run(benchmark_of(static={"mode": "constant"}), ff(), layer="conv5", target=target, n_jobs=1)
    assert not constant.silent.values.any()
    both = ~score.silent.values
    np.testing.assert_allclose(constant.predictivity.values[..., both], score.predictivity.values[..., both], atol=1e-5)


def test_once_scores_as_the_unroll_does_per_bin(target):
    asked = [benchmark_of(static={"mode": mode}) for mode in ("own", "once")]
    unrolled, once = (run(benchmark, ff(), layer="conv4", target=target, n_jobs=1) for benchmark in asked)
    np.testing.assert_array_equal(unrolled.silent.values, once.silent.values)
    np.testing.assert_allclose(unrolled.predictivity.values, once.predictivity.values, atol=1e-5)


def test_a_subject_with_dynamics_says_so_in_its_scores(target):
    asked = benchmark_of(static={"mode": "once"})
    animal = RecordedSubject(target.recording)
    score = run(asked, animal, layer="IT", target=target, n_jobs=1)
    assert score.attrs["source_static_mode"] == "own"
    told = "own: it was recorded (the benchmark's static mode 'once' is for subjects without)"
    assert score.attrs["source_time_course"] == told


@pytest.mark.parametrize("name", ["sim-it", "sim-v4", "majajhong2015-it-pls", "cowley2023-v4-201016"])
def test_shipped_benchmarks_take_subjects_as_they_are_and_every_mode_by_option(name):
    shipped = load_benchmark(name)
    assert shipped.static.mode == OWN
    network = ff()
    for mode in STATIC_MODES:
        subject = as_benchmarked(network, shipped.varied(static_mode=mode), must=True)
        assert isinstance(subject, ModelSubject)
        assert subject.describe()["static_mode"] == mode
