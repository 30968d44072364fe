"""Inter-animal consistency where the answer is known: by construction, by symmetry, or from `predictivity`."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

from neurofit.assembly.build import average_repetitions, make_assembly
from neurofit.assembly.time_bins import make_time_bins
from neurofit.data.simulated import SimulatedVentralStream
from neurofit.errors import AlignmentError, ConfigurationError, ReliabilityError, UnknownNameError
from neurofit.mapping.estimators import PLSMapping, RidgeMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.animal_pairs import pair_table
from neurofit.scoring.benchmark import AggregationSpec, load_benchmark
from neurofit.scoring.inter_animal import inter_animal_consistency, load_recording, noise_ceiling, run_inter_animal
from neurofit.scoring.metrics import MetricSpec
from neurofit.scoring.predictivity import predictivity
from neurofit.scoring.score import nan_mean
from neurofit.scoring.source_halves import HalvedTrials
from neurofit.scoring.storage import load_score, save_score
from neurofit.scoring.summary import headline, summarise

BINS = ((70, 80), (80, 90))
WINDOW = AggregationSpec(window_ms=(70, 90), n_resamples=20)
OPTIONS = {"mapping": PLSMapping(4), "splitter": StimulusShuffleSplit(3), "n_halvings": 3}


def recorded(sizes, noise, n=160, repetitions=8, seed=0, stimuli=None, latents=None):
    """Animals whose neuroids are linear in four latents: {'A': 20, 'B': 12} neuroids, {'A': 1.0, 'B': 0.0} noise."""
    rng = np.random.default_rng(seed)
    latents = np.random.default_rng(99).standard_normal((n, 4)) if latents is None else latents
    index = np.repeat(np.arange(n), repetitions)
    parts = []
    for name, q in sizes.items():
        signal = np.einsum("nd,dqt->nqt", latents, rng.standard_normal((4, q, len(BINS))))
        parts.append(signal[index] + noise[name] * rng.standard_normal((len(index), q, len(BINS))))
    names = np.array([f"s{i:03d}" for i in range(n)] if stimuli is None else stimuli)
    return make_assembly(
        np.concatenate(parts, axis=1),
        stimulus_id=names[index].tolist(),
        repetition=np.tile(np.arange(repetitions), n).tolist(),
        neuroid_id=[f"{name}{j}" for name, q in sizes.items() for j in range(q)],
        subject=[name for name, q in sizes.items() for _ in range(q)],
        region="IT",
        time_bins=list(BINS),
    )


@pytest.fixture(scope="module")
def two():
    return recorded({"A": 20, "B": 12}, {"A": 3.0, "B": 3.0})


@pytest.fixture(scope="module")
def found(two):
    return inter_animal_consistency(two, **OPTIONS)


def median(score, name="predictivity_corrected"):
    return float(np.nanmedian(nan_mean(score[name].values, 0)))


def of(recording, name):
    return recording.isel(neuroid=np.flatnonzero(recording["subject"].values == name))


def test_animals_that_share_all_latents_predict_each_other_up_to_noise():
    """With many source neuroids the noise of both sides is all that is missing: the corrected value is 1."""
    recording = recorded({"A": 24, "B": 24}, {"A": 5.0, "B": 5.0}, n=200)
    own = inter_animal_consistency(recording, **OPTIONS)
    assert median(own) == pytest.approx(1, abs=0.04)
    target = of(recording, "B")
    ignoring = predictivity(average_repetitions(of(recording, "A")), target, **OPTIONS)
    alone = inter_animal_consistency(recording, **OPTIONS, formula="neural")
    assert median(alone) < median(ignoring) < median(own) - 0.03


def test_a_noise_free_source_is_a_model():
    """Its halves are its means: the mapping consistency is that of `predictivity`, and the score about 1."""
    recording = recorded({"A": 20, "B": 12}, {"A": 0.0, "B": 3.0})
    score = inter_animal_consistency(recording, source="A", **OPTIONS)
    as_model = predictivity(average_repetitions(of(recording, "A")), of(recording, "B"), **OPTIONS)
    for name in ("predictivity", "internal_consistency", "mapping_consistency", "predictivity_corrected"):
        np.testing.assert_allclose(score[name], as_model[name], atol=1e-4, err_msg=name)
    assert median(score) == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("temporal", ["per-bin", "fixed"])
@pytest.mark.parametrize("mapping", [PLSMapping(4), RidgeMapping()], ids=["pls", "ridge"])
def test_numerator_and_recording_are_those_of_predictivity(two, mapping, temporal):
    options = OPTIONS | {"mapping": mapping, "temporal": temporal}
    score = of(inter_animal_consistency(two, **options), "B")
    as_model = predictivity(average_repetitions(of(two, "A")), of(two, "B"), **options)
    np.testing.assert_allclose(score["predictivity"], as_model["predictivity"], atol=1e-9)
    np.testing.assert_allclose(score["internal_consistency"], as_model["internal_consistency"], atol=1e-6)
    # the source's noise lowers the consistency of the mapping, which a model's does not
    assert score["mapping_consistency"].mean() < as_model["mapping_consistency"].mean() - 0.02


def test_the_two_temporal_mappings_agree_on_one_bin(two):
    one = two.isel(time_bin=[1])
    fixed, per_bin = (inter_animal_consistency(one, **OPTIONS, temporal=t) for t in ("fixed", "per-bin"))
    np.testing.assert_allclose(fixed["mapping_consistency"], per_bin["mapping_consistency"], atol=1e-9)
    np.testing.assert_allclose(fixed["predictivity"], per_bin["predictivity"], atol=1e-9)


def test_permuted_stimuli_predict_nothing(two):
    values = two.values.reshape(160, 8, 32, 2).copy()
    own = np.flatnonzero(two["subject"].values == "A")
    values[:, :, own] = np.random.default_rng(3).permutation(values[:, :, own])
    score = inter_animal_consistency(two.copy(data=values.reshape(two.shape)), **OPTIONS)
    assert abs(score["predictivity"].values.mean()) < 0.06
    # what is fitted to the training stimuli is reproducible, so that there is a correction: of nothing
    assert abs(median(score)) < 0.1


def test_no_trial_is_in_both_halves():
    rng = np.random.default_rng(0)
    stimulus, first = np.repeat(np.arange(5), 4), np.tile([True, True, False, False], 5)
    trials = rng.standard_normal((2, 20, 3))
    halves = HalvedTrials(trials, stimulus, [first]).means(0, [0, 1])
    changed = trials.copy()
    changed[:, ~first] += 1.0
    again = HalvedTrials(changed, stimulus, [first]).means(0, [0, 1])
    np.testing.assert_array_equal(halves[0], again[0])
    np.testing.assert_allclose(again[1] - halves[1], 1.0)
    np.testing.assert_allclose(halves[0, :5], trials[0, first].reshape(5, 2, 3).mean(1))


def test_several_animals_predict_alone_and_pooled():
    recording = recorded({"A": 6, "B": 5, "C": 7}, dict.fromkeys("ABC", 4.0))
    pooled = inter_animal_consistency(recording, **OPTIONS)
    assert pooled["source_animals"].values.tolist() == ["B+C"] * 6 + ["A+C"] * 5 + ["A+B"] * 7
    assert pooled["source_neuroids"].values.tolist() == [12] * 6 + [13] * 5 + [11] * 7
    single = inter_animal_consistency(recording, source="A", **OPTIONS)
    assert single["subject"].values.tolist() == ["B"] * 5 + ["C"] * 7
    assert single.attrs["source"] == "A"
    table = pair_table([pooled, single], WINDOW)
    assert table["source"].tolist() == ["B+C", "A+C", "A+B", "A", "A"]
    raw = table.set_index(["source", "target"])["raw"]
    assert raw["A+C", "B"] > raw["A", "B"]  # more neurons average more noise out
    target = headline(of(pooled, "B"), WINDOW)
    assert raw["A+C", "B"] == pytest.approx(target.raw)


def test_neuroids_stay_in_the_order_of_the_recording(two):
    order = np.random.default_rng(0).permutation(two.sizes["neuroid"])
    plain, mixed = (inter_animal_consistency(x, **OPTIONS) for x in (two, two.isel(neuroid=order)))
    assert mixed["neuroid_id"].values.tolist() == two["neuroid_id"].values[order].tolist()
    np.testing.assert_allclose(mixed["predictivity"], plain["predictivity"].isel(neuroid=order), atol=1e-9)


def test_fewer_source_neuroids_than_components(two):
    score = inter_animal_consistency(two, **OPTIONS | {"mapping": PLSMapping(15)})
    assert score["components"].values.max() == 12
    assert "as many components as source neuroids: 12 to predict A" in score.attrs["mapping"]
    exact = predictivity(average_repetitions(of(two, "B")), of(two, "A"), **OPTIONS | {"mapping": PLSMapping(12)})
    np.testing.assert_allclose(of(score, "A")["predictivity"], exact["predictivity"], atol=1e-9)


def test_recordings_are_compared_on_common_stimuli(two):
    latents = np.random.default_rng(99).standard_normal((160, 4))
    later = [f"s{i:03d}" for i in range(60, 160)]
    other = recorded({"C": 10}, {"C": 2.0}, n=100, seed=7, stimuli=later, latents=latents[60:])
    alien = recorded({"D": 3}, {"D": 1.0}, n=40, seed=8, stimuli=[f"x{i}" for i in range(40)], latents=latents[:40])
    score = inter_animal_consistency([of(two, "A"), other, alien], **OPTIONS)
    counts = dict(zip(score["subject"].values.tolist(), score["common_stimuli"].values.tolist(), strict=True))
    assert counts == {"A": 100, "C": 100, "D": 0}
    assert score.attrs["n_stimuli"] == 100
    assert "splits_hash" not in score.attrs  # animals of several recordings have no splits of a benchmark's
    assert median(of(score, "A")) == pytest.approx(1, abs=0.15)
    nobody = of(score, "D")
    assert nobody["source_animals"].values.tolist() == ["none"] * 3
    assert np.isnan(nobody["predictivity"].values).all()
    assert np.isnan(nobody["predictivity_corrected"].values).all()
    assert np.isfinite(nobody["internal_consistency"].values).all()
    assert (nobody["terms_excluded"].values == 9).all()
    assert np.isnan(pair_table([score], WINDOW).set_index("target")["raw"]["D"])


def test_one_recording_or_two_give_the_same_numerator(two, found):
    apart = inter_animal_consistency([of(two, "A"), of(two, "B")], **OPTIONS)
    np.testing.assert_allclose(apart["predictivity"], found["predictivity"], atol=1e-9)
    # halves are drawn anew for a source with presentations of its own: another estimate of the same consistency
    assert float(abs(apart["mapping_consistency"] - found["mapping_consistency"]).median()) < 0.06
    assert not np.allclose(apart["mapping_consistency"], found["mapping_consistency"], atol=1e-6)


def test_it_compares_with_a_model_s_score(two, found):
    model = average_repetitions(two).assign_coords(subject=("neuroid", ["model"] * 32))
    score = predictivity(model, two, **OPTIONS)
    hashes = [name for name in score.attrs if name.endswith("_hash")]
    assert len(hashes) == 5
    assert {name: found.attrs[name] for name in hashes} == {name: score.attrs[name] for name in hashes}
    assert set(score.data_vars) <= set(found.data_vars)
    assert summarise(found, WINDOW)["raw"].notna().all()


def test_a_score_comes_back_as_it_was(found, tmp_path):
    again = load_score(save_score(found, tmp_path / "score.nc"))
    xr.testing.assert_identical(found.drop_attrs(), again.drop_attrs())
    assert pair_table([again], WINDOW).equals(pair_table([found], WINDOW))


def test_formulas_on_aggregates_and_raw(two):
    score = inter_animal_consistency(two, **OPTIONS, formula="brain-score")
    assert score["ceiling_by_halving"].shape == (3, 32, 2)
    assert np.isfinite(headline(score, WINDOW).value)
    single = average_repetitions(two)
    raw = inter_animal_consistency(single, **OPTIONS, formula="raw")
    assert np.isnan(raw["internal_consistency"].values).all()
    assert raw["predictivity"].values.mean() > 0.3


def test_errors_name_what_was_found(two):
    with pytest.raises(AlignmentError, match="two animals or more - all 20 neuroids are of 'A' - add a recording"):
        inter_animal_consistency(of(two, "A"), **OPTIONS)
    with pytest.raises(UnknownNameError, match="'C' is not known"):
        inter_animal_consistency(two, source="C", **OPTIONS)
    with pytest.raises(AlignmentError, match="an animal is in one recording - 'A' is in number 0 and number 1"):
        inter_animal_consistency([two, of(two, "A")], **OPTIONS)
    with pytest.raises(AlignmentError, match="the list is empty"):
        inter_animal_consistency([], **OPTIONS)
    alien = of(two, "B").assign_coords(stimulus_id=("presentation", [f"x{s}" for s in two["stimulus_id"].values]))
    with pytest.raises(AlignmentError, match="no two of A, B have any"):
        inter_animal_consistency([of(two, "A"), alien], **OPTIONS)
    with pytest.raises(AlignmentError, match="all animals have the same time bins - those of 'C' differ"):
        inter_animal_consistency([of(two, "A"), of(two, "B"), recorded({"C": 2}, {"C": 1.0}).isel(time_bin=[0])])
    with pytest.raises(AlignmentError, match="source and target have the same time bins"):
        inter_animal_consistency([of(two, "A").isel(time_bin=[0]), of(two, "B")])
    with pytest.raises(ReliabilityError, match="needs repetitions of the stimuli"):
        inter_animal_consistency(average_repetitions(two), **OPTIONS)


def test_one_animal_has_a_noise_ceiling(two, found):
    alone = noise_ceiling(of(two, "A"), **{k: v for k, v in OPTIONS.items() if k != "mapping"})
    np.testing.assert_allclose(alone["internal_consistency"], of(found, "A")["internal_consistency"], atol=1e-6)
    assert np.isnan(alone["predictivity"].values).all()
    assert summarise(alone, WINDOW)["ceiling_of_r"].notna().all()
    assert alone.attrs["source"] == "none"


def test_the_simulated_default_is_close_to_its_truth():
    """The truth is 1 (latents are shared, mappings linear); 18 noisy neuroids for 16 latents stay below, 70 do not."""
    benchmark = load_benchmark("sim-v4").varied(n_splits=2)
    recording = SimulatedVentralStream(n_views=5).record("V4")
    bins = recording["time_bin_start"].values
    recording = recording.isel(time_bin=np.flatnonzero(bins == 110))
    score = run_inter_animal(benchmark, recording=recording)
    table = pair_table([score], AggregationSpec(window_ms=(110, 120), n_resamples=20)).set_index("source")
    assert table["corrected"]["sim-A"] == pytest.approx(1, abs=0.06)
    assert 0.85 < table["corrected"]["sim-B"] < 0.98
    assert (score.attrs["benchmark"], score.attrs["simulated"]) == ("sim-v4 (varied)", 1)
    alone = run_inter_animal(benchmark, source="none", recording=recording)
    np.testing.assert_allclose(alone["internal_consistency"], score["internal_consistency"], atol=1e-6)


def test_other_metrics_have_none(two):
    benchmark = replace(load_benchmark("sim-v4"), metric=MetricSpec("rsa"))
    with pytest.raises(ConfigurationError, match="'rsa' fits no mapping to the neuroids"):
        run_inter_animal(benchmark, recording=two)


def test_a_recording_is_loaded_in_the_benchmark_s_bins(monkeypatch):
    benchmark = load_benchmark("sim-v4")
    small = SimulatedVentralStream(n_views=1).record("V4")
    monkeypatch.setattr("neurofit.scoring.inter_animal.load_dataset", lambda *args: small)
    wide = replace(benchmark, time_bins=replace(benchmark.time_bins, width_ms=20))
    loaded = load_recording(wide)
    assert loaded["time_bin_end"].values.tolist() == [end for _, end in make_time_bins(0, 260, 20)]
