"""What is told of a run before it runs, and that it is fitted into its memory."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from neurofit.data.stimuli import StimulusSet
from neurofit.errors import ConfigurationError
from neurofit.kernel import routes
from neurofit.kernel.routes import Demand, plan_features
from neurofit.models.preprocessing import Preprocessing
from neurofit.scoring import plan as planning
from neurofit.scoring.benchmark import (
    Benchmark,
    CorrectionSpec,
    MappingSpec,
    SplitSpec,
    TimeBinSpec,
    ViewingSpec,
)
from neurofit.scoring.plan import plan_run, runs_of
from neurofit.scoring.plan_memory import Sizes, aligning_bytes, mapping_bytes, recording_bytes
from neurofit.scoring.plan_time import Speed, activation_seconds, mapping_seconds
from neurofit.scoring.run import Target, run
from neurofit.subjects.features import FeatureOptions
from neurofit.subjects.model_subject import ModelSubject
from neurofit.subjects.pass_cost import PassTime, pass_memory, pass_time
from neurofit.subjects.viewing import Viewing

GIB = 2**30
PASSES: list[int] = []
SIZES = Sizes(
    stimuli=640, shown=640, presentations=7000, neuroids=168, n_bins=26, n_splits=10, n_halvings=3, held_out=160,
    components=25, stacked=False, refits=True, runs=(1,) * 26, recording_bytes=2**27, contiguous=False,
)  # fmt: skip


class Net(torch.nn.Module):
    """Colour means that leak, spread over many units; every call is counted."""

    def __init__(self, units=300):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.mix = torch.nn.Parameter(torch.randn(3, units, generator=generator))

    def forward(self, frames, layers):
        PASSES.append(len(frames[0]))
        state, states = torch.zeros(len(frames[0]), 3), []
        for frame in frames:
            state = 0.5 * state + frame.mean((2, 3))
            states.append(torch.relu(state @ self.mix))
        return {"units": torch.stack(states, dim=1)}


class Images:
    def __getitem__(self, row):
        return np.full((8, 8, 3), np.random.default_rng(row).integers(0, 256, 3), np.uint8)


@pytest.fixture
def benchmark():
    return Benchmark(
        "few", "few", 1, "nowhere", "IT", "a test", TimeBinSpec(0, 40, 10), ViewingSpec(20, 40),
        mapping=MappingSpec(n_components=3), splits=SplitSpec(n_splits=2), correction=CorrectionSpec(n_halvings=2),
    )  # fmt: skip


@pytest.fixture
def target(make_recording):
    stimuli = StimulusSet("few", pd.DataFrame({"stimulus_id": [f"s{k:03d}" for k in range(40)]}), Images())
    return Target(make_recording(bins=[(t, t + 10) for t in range(0, 40, 10)]), stimuli, 0.0)


@pytest.fixture(autouse=True)
def forget_passes():
    PASSES.clear()


def subject_of(units=300, **options):
    return ModelSubject(
        Net(units), name="net", layers=["units"], preprocessing=Preprocessing(16), **{"batch": 8, **options}
    )


def planned(benchmark, target, limit=2**40, subject=None, **options):
    return plan_run(benchmark, subject or subject_of(), "units", target, limit_bytes=limit, **options)


def test_a_plan_tells_what_the_run_then_has(benchmark, target):
    plan = planned(benchmark, target, n_jobs=2).plan
    assert PASSES == [1, 2]
    score = run(benchmark, subject_of(), layer="units", target=target, n_jobs=1)
    sizes = plan.sizes
    assert (sizes.stimuli, sizes.neuroids, sizes.n_bins) == (score.attrs["n_stimuli"], 5, 4)
    assert (sizes.n_splits, sizes.n_halvings, sizes.refits) == (2, 2, True)
    assert plan.features.sentence() == score.attrs["source_features"]
    assert (plan.batch, plan.passes, plan.threads, plan.store) == (8, 5, 2, "none")
    assert [stage.name for stage in plan.stages] == ["activations", "alignment", "mapping", "consistency"]
    assert plan.peak_bytes >= plan.resident_bytes > 0
    assert plan.seconds is None and plan.changes == ()


def test_without_refits_there_is_no_such_stage(benchmark, target):
    plan = planned(benchmark.varied(formula="raw"), target).plan
    assert [stage.name for stage in plan.stages] == ["activations", "alignment", "mapping"]
    assert plan.sizes.n_halvings == 0


def test_time_is_estimated_where_that_is_asked_for(benchmark, target):
    plan = planned(benchmark, target, timed=True).plan
    assert plan.seconds == sum(stage.seconds for stage in plan.stages if stage.seconds is not None)
    assert plan.seconds > 0 and plan.estimate.startswith("estimated from 8 images at ")
    assert PASSES == [1, 2, 8, 8]


@pytest.fixture
def of_sizes(monkeypatch):
    """Let the process be small, so that what is planned decides."""
    monkeypatch.setattr(planning, "resident_bytes", lambda: (0, 0))
    monkeypatch.setattr(planning, "LIBRARIES_BYTES", 0)


def test_one_thread_is_tried_before_anything_else(benchmark, target, of_sizes, monkeypatch):
    monkeypatch.setattr(planning, "aligning_bytes", lambda *_: 0)
    monkeypatch.setattr(planning, "recording_bytes", lambda *_, **__: 0)
    both, one = (planned(benchmark, target, n_jobs=jobs).plan.peak_bytes for jobs in (2, 1))
    assert one < both
    found = planned(benchmark, target, (one + both) // 2, n_jobs=2)
    assert found.plan.changes == ("one thread maps",)
    assert (found.plan.threads, found.subject.batch) == (1, 8)


def test_a_smaller_batch_is_taken_where_that_is_enough(benchmark, target, of_sizes, monkeypatch):
    monkeypatch.setattr(planning, "aligning_bytes", lambda *_: 0)
    monkeypatch.setattr(planning, "mapping_bytes", lambda *_: 0)
    wide = subject_of(4000)
    plan = planned(benchmark, target, subject=wide, n_jobs=1).plan
    assert plan.largest.name == "activations"
    found = planned(benchmark, target, plan.peak_bytes - 1, wide, n_jobs=1)
    assert found.plan.changes == ("4 images a pass, not 8",)
    assert (found.subject.batch, wide.batch, found.plan.passes) == (4, 8, 10)
    assert found.plan.peak_bytes < plan.peak_bytes


def test_a_wide_layer_is_kept_otherwise_where_that_is_needed(benchmark, target, of_sizes, monkeypatch):
    wide = subject_of(4000, max_features=4096)
    raw = planned(benchmark, target, subject=wide).plan
    assert raw.features.route == "raw"
    monkeypatch.setattr(planning, "recording_bytes", lambda *_, **__: 0)
    found = planned(benchmark, target, raw.stages[1].memory_bytes - 1, wide)
    assert found.plan.features.route == "dual"
    assert "features are dual" in found.plan.changes
    score = run(benchmark, found.subject, layer="units", target=found.target, n_jobs=1)
    assert score.attrs["source_route"] == "dual"


def test_what_does_not_fit_is_refused_in_one_sentence(benchmark, target):
    with pytest.raises(ConfigurationError, match="a run fits the memory that it may have") as refused:
        planned(benchmark, target, 2**27)
    assert "libraries, network and recording" in refused.value.found
    assert "no smaller batch and no other features" in refused.value.found


def test_what_was_chosen_is_not_changed(benchmark, target, of_sizes):
    wide = subject_of(4000, features=FeatureOptions("raw"))
    least = min(planned(benchmark, target, subject=subject_of(4000, batch=1, features=FeatureOptions("raw")), n_jobs=1)
                .plan.stages, key=lambda stage: stage.memory_bytes)  # fmt: skip
    with pytest.raises(ConfigurationError, match="a run fits the memory"):
        planned(benchmark, target, least.memory_bytes // 2, wide)


def test_features_that_fit_in_no_way_are_refused_as_ever(benchmark, target):
    subject = subject_of(features=FeatureOptions("raw", 1000))
    with pytest.raises(ConfigurationError, match="'raw' features of 300 units: it needs"):
        planned(benchmark, target, subject=subject)


def test_what_the_store_has_is_not_computed(benchmark, target, tmp_path):
    keeping = subject_of(features=FeatureOptions(store=tmp_path))
    first = planned(benchmark, target, subject=keeping).plan
    assert first.store == "does not have the features, and keeps them"
    run(benchmark, keeping, layer="units", target=target, n_jobs=1)
    PASSES.clear()
    second = planned(benchmark, target, subject=keeping, timed=True).plan
    assert not PASSES
    assert (second.passes, second.store) == (0, "has the features")
    assert second.stages[0].what == "read from the store, the network is not run"
    assert "GFLOP/s" in second.estimate and "images" not in second.estimate


def test_runs_of_equal_bins_share_their_fits():
    a, b = np.zeros((1, 4)), np.ones((1, 4))
    assert runs_of([a, a.copy(), b, b, b, a]) == (2, 3, 1)


def test_tensors_of_a_pass_are_counted():
    class Known(torch.nn.Module):
        def forward(self, frames, layers):
            kept = [frame.mean((2, 3)) @ torch.zeros(3, 2**18) for frame in frames]  # 2**20 bytes an image and step
            passing = kept[0] * 2
            del passing
            return {"known": torch.stack(kept, 1)}

    subject = ModelSubject(Known(), name="known", layers=["known"], preprocessing=Preprocessing(8))
    found = pass_memory(subject, ["known"], Viewing(20, 40))
    assert found.output_bytes == 4 * 2**20
    # four blocks of a step and the stacked ones, or these and what checks that they are finite; little besides
    assert 8 * 2**20 <= found.image_bytes <= 11 * 2**20
    assert found.fixed_bytes <= 4 * 2**20
    assert found.peak(10, 2) == found.fixed_bytes + 10 * (found.image_bytes + found.output_bytes)


def test_a_few_images_are_timed(target):
    found = pass_time(subject_of(), target.stimuli, ["units"], Viewing(20, 40))
    assert found.images == 8 and found.image_s > 0 and found.network_s > 0
    assert PASSES == [8, 8]


def feature_plan(p, route, n=640, bins=26):
    return plan_features(Demand(n, p, bins, "per-bin", 10**9), route, memory_bytes=2**60)


def test_memory_grows_with_what_grows():
    raw, wide = feature_plan(500, "raw"), feature_plan(3000, "raw")
    assert aligning_bytes(wide, SIZES) > aligning_bytes(raw, SIZES)
    assert mapping_bytes(wide, SIZES, 2) > mapping_bytes(raw, SIZES, 2) > mapping_bytes(raw, SIZES, 1)
    from dataclasses import replace

    assert mapping_bytes(raw, replace(SIZES, n_halvings=10), 1) > mapping_bytes(raw, SIZES, 1)
    assert mapping_bytes(raw, replace(SIZES, stacked=True), 1) > mapping_bytes(raw, SIZES, 1)
    assert mapping_bytes(raw, replace(SIZES, runs=(10, 16)), 1) > mapping_bytes(raw, SIZES, 1)
    dual = feature_plan(100_000, "dual")
    assert recording_bytes(dual, SIZES, None, 32) < recording_bytes(dual, SIZES, _passes(), 32)
    assert recording_bytes(dual, SIZES, _passes(), 32) < recording_bytes(dual, SIZES, _passes(), 320)


def _passes():
    from neurofit.subjects.pass_cost import PassMemory

    return PassMemory(2**20, 2**24, 2**23, {})


def test_time_grows_with_what_grows():
    speed, plan = Speed(PassTime(0.01, 0.1, 8), 4e10), feature_plan(500, "raw")
    assert activation_seconds(speed, plan, 640, 26, True) > activation_seconds(speed, plan, 640, 26, False) > 70
    assert activation_seconds(Speed(None, 4e10), plan, 640, 26, True) < 1
    once, refits = mapping_seconds(speed, plan, SIZES, 1)
    assert refits > once > mapping_seconds(speed, plan, SIZES, 2)[0]


def test_predictions_are_within_a_quarter_of_what_arrays_take(monkeypatch, benchmark, target):
    """The sums for alignment and mapping against what NumPy allocates, where a problem is large enough to see it."""
    import tracemalloc

    from neurofit.assembly.build import make_assembly
    from neurofit.mapping.estimators import PLSMapping
    from neurofit.mapping.splitters import StimulusShuffleSplit
    from neurofit.scoring.predictivity import predictivity

    monkeypatch.setattr(routes, "KEPT_BYTES", 0)
    rng = np.random.default_rng(0)
    n, q, p, bins = 100, 40, 600, 6
    edges = [(10 * t, 10 * t + 10) for t in range(bins)]
    ids = [f"s{k:03d}" for k in range(n)]
    source = make_assembly(
        rng.standard_normal((n, p, bins)).astype(np.float32), stimulus_id=ids, subject="net", layer="units",
        neuroid_id=[f"u{k}" for k in range(p)], time_bins=edges,
    )  # fmt: skip
    recording = make_assembly(
        rng.standard_normal((6 * n, q, bins)).astype(np.float32), stimulus_id=np.repeat(ids, 6), subject="animal",
        repetition=np.tile(np.arange(6), n), region="IT", neuroid_id=[f"n{k}" for k in range(q)], time_bins=edges,
    )  # fmt: skip
    sizes = Sizes(
        stimuli=n, shown=n, presentations=6 * n, neuroids=q, n_bins=bins, n_splits=3, n_halvings=3, held_out=25,
        components=5, stacked=False, refits=True, runs=(1,) * bins, recording_bytes=recording.nbytes, contiguous=True,
    )  # fmt: skip
    plan = feature_plan(p, "raw", n, bins)
    predicted = max(aligning_bytes(plan, sizes), mapping_bytes(plan, sizes, 1)) - source.nbytes
    tracemalloc.start()
    splitter = StimulusShuffleSplit(n_splits=3)
    predictivity(source, recording, mapping=PLSMapping(5), splitter=splitter, n_halvings=3, n_jobs=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.75 < predicted / peak < 1.25
