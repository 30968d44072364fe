"""Layer commitments: the right layer, chosen in training stimuli alone, kept in a file and followed by a score."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from neurofit.assembly.build import make_assembly
from neurofit.assembly.time_bins import rebin
from neurofit.data.stimuli import StimulusSet
from neurofit.errors import AlignmentError, ConfigurationError, DataFileError, MappingError, UnknownNameError
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.scoring.benchmark import (
    AggregationSpec,
    Benchmark,
    CorrectionSpec,
    MappingSpec,
    SplitSpec,
    TimeBinSpec,
    ViewingSpec,
)
from neurofit.scoring.commitment import load_commitment
from neurofit.scoring.committed import run_committed, score_layers
from neurofit.scoring.predictivity import predictivity
from neurofit.scoring.run import Target, run
from neurofit.scoring.selection import commit_layers, posed, record_for_selection, window_of

BINS = ((0, 10), (10, 20), (20, 30), (30, 40))
N, Q = 80, 6
BENCHMARK = Benchmark(
    name="bench",
    title="a test",
    version=3,
    dataset="made",
    region="IT",
    source="a test",
    time_bins=TimeBinSpec(0, 40, 10),
    viewing=ViewingSpec(20, 40),
    mapping=MappingSpec(n_components=3),
    splits=SplitSpec(n_splits=4),
    correction=CorrectionSpec(n_halvings=2),
    aggregation=AggregationSpec(window_ms=(10, 40), n_resamples=20),
)


class Layered:
    """A model whose layers are given features in every bin, silent in the first."""

    name = "layered"

    def __init__(self, features, weights="w" * 16):
        self.features, self.weights, self.asked = features, weights, []

    @property
    def layers(self):
        return tuple(self.features)

    def record_many(self, stimuli, *, layers, time_bins, viewing, basis="units", progress=False):
        self.asked.append((tuple(layers), tuple(time_bins), basis))
        recorded = {}
        for layer in layers:
            values = self.features[layer]
            values = np.repeat(values[:, :, None], len(BINS), 2) if values.ndim == 2 else values
            values = values * (np.arange(len(BINS)) > 0)
            whole = make_assembly(
                values, stimulus_id=stimuli.ids, neuroid_id=[f"{layer}{k}" for k in range(values.shape[1])],
                subject=self.name, layer=layer, time_bins=BINS,
            )  # fmt: skip
            recorded[layer] = rebin(whole, time_bins)
        return recorded

    def describe(self):
        return {"kind": "model", "name": self.name, "weights_sha256": self.weights}


@pytest.fixture
def latents():
    return np.random.default_rng(5).standard_normal((3, N, 5))


@pytest.fixture
def subject(latents):
    return Layered(dict(zip(("one", "two", "three"), latents, strict=True)))


def target_of(signal, noise=0.5, repetitions=6, dataset="made", seed=0, prefix="s"):
    """A recording of signals (n, q, T) with noise of its own in every showing."""
    n, q, T = signal.shape
    rng = np.random.default_rng(seed)
    values = np.tile(signal, (repetitions, 1, 1)) + noise * rng.standard_normal((repetitions * n, q, T))
    recording = make_assembly(
        values.astype(np.float32),
        stimulus_id=[f"{prefix}{i:03d}" for i in range(n)] * repetitions,
        repetition=np.repeat(range(repetitions), n).tolist(),
        neuroid_id=[f"n{j}" for j in range(q)],
        subject="animal", region="IT", time_bins=BINS, attrs={"dataset": dataset},
    )  # fmt: skip
    table = pd.DataFrame({"stimulus_id": [f"{prefix}{i:03d}" for i in range(n)]})
    return Target(recording, StimulusSet("made", table, []), 0.0)


def driven_by(features, seed=1, q=Q):
    """Responses (n, q, T) that are linear in features, the same in every bin but the silent first."""
    weights = np.random.default_rng(seed).standard_normal((features.shape[1], q))
    return (features @ weights)[:, :, None] * np.array([0.0, 1, 1, 1])


@pytest.fixture
def target(latents):
    return target_of(driven_by(latents[1]))


def test_the_layer_that_drives_the_responses_is_committed(subject, target):
    commitment = commit_layers(BENCHMARK, subject, target=target)
    assert commitment.layer == "two"
    assert commitment.split_layers == ("two",) * 4
    assert commitment.units == commitment.choices == commitment.overall == ()
    one, two, three = commitment.table
    assert two.low <= two.r <= two.high
    assert two.r > 0.85 > 0.3 > abs(one.r)
    assert (one.fraction, two.fraction, three.fraction) == (0, 1, 0)
    assert len(two.r_by_split) == len(two.fraction_by_split) == 4


def test_every_neuroid_has_its_own_layer(subject, latents):
    mixed = driven_by(latents[0])
    mixed[:, 4:] = driven_by(latents[2])[:, 4:]
    commitment = commit_layers(BENCHMARK, subject, target=target_of(mixed), per="neuroid")
    expected = ("one",) * 4 + ("three",) * 2
    assert commitment.overall == expected
    assert commitment.choices == (expected,) * 4
    assert [row.fraction for row in commitment.table] == pytest.approx([4 / 6, 0, 2 / 6])
    assert commitment.units == tuple(f"n{j}" for j in range(6))
    assert commitment.layer == "one"  # of most neuroids


def test_every_bin_has_its_own_layer(subject, latents):
    signal = driven_by(latents[0])
    signal[:, :, 3] = driven_by(latents[2])[:, :, 3]
    commitment = commit_layers(BENCHMARK, subject, target=target_of(signal), per="bin")
    assert commitment.units == ("0-10", "10-20", "20-30", "30-40")
    # in the first bin all layers are silent: the first of them stands for all
    assert commitment.overall == ("one", "one", "one", "three")


def spoilt(target, rows, by):
    """The recording with other responses to the stimuli at these rows, in every repetition."""
    recording = target.recording.copy(deep=True)
    shown = np.isin(recording.stimulus_id.values, [f"s{i:03d}" for i in rows])
    recording.values[shown] = np.tile(by[rows], (shown.sum() // len(rows), 1, 1))
    return Target(recording, target.stimuli, 0.0)


@pytest.mark.parametrize("per", ["region", "bin", "neuroid"])
def test_responses_to_a_splits_test_stimuli_do_not_move_its_choice(subject, latents, per):
    """They are replaced by strong responses that another layer drives: a choice that saw them would move."""
    weak = target_of(driven_by(latents[1]), noise=6.0)
    before = commit_layers(BENCHMARK, subject, target=weak, per=per)
    splits = posed(BENCHMARK, *[weak.recording] * 2).splits
    assert len(splits) == 4
    for s, (_, test) in enumerate(splits):
        after = commit_layers(BENCHMARK, subject, target=spoilt(weak, test, 50 * driven_by(latents[0])), per=per)
        assert after.split_layers[s] == before.split_layers[s]
        assert after.choices[s : s + 1] == before.choices[s : s + 1]
        for old, new in zip(before.table, after.table, strict=True):
            assert new.r_by_split[s] == old.r_by_split[s]
            assert new.fraction_by_split[s] == old.fraction_by_split[s]
        # whoever trains on them is moved, so that the lines above can fail
        others = [t for t in range(4) if t != s]
        assert [after.split_layers[t] for t in others] == ["one"] * 3


def test_all_layers_and_the_window_come_from_one_pass(subject, target):
    score_layers(BENCHMARK, subject, target=target)
    layers, bins, basis = subject.asked.pop()
    assert not subject.asked
    assert layers == ("one", "two", "three")
    assert bins == ((0, 10), (10, 20), (10, 40), (20, 30), (30, 40))
    assert basis == "per-bin"


def test_a_mapping_that_is_fixed_in_time_averages_what_it_recorded(subject, target):
    fixed = replace(BENCHMARK, mapping=replace(BENCHMARK.mapping, temporal="fixed"))
    assert commit_layers(fixed, subject, target=target).layer == "two"
    assert subject.asked[0][1:] == (BINS, "shared")


def test_a_window_that_is_a_bin_is_recorded_once(subject, target):
    single = replace(BENCHMARK, aggregation=replace(BENCHMARK.aggregation, window_ms=(15, 35)))
    assert window_of(single) == (20, 30)
    commit_layers(single, subject, target=target)
    assert subject.asked[0][1] == BINS
    empty = replace(BENCHMARK, aggregation=replace(BENCHMARK.aggregation, window_ms=(15, 18)))
    with pytest.raises(ConfigurationError, match="the window is 15-18 ms, the bins span 0-40 ms"):
        window_of(empty)


def test_the_committed_score_is_each_splits_layer(subject, latents):
    """With noise that makes layers differ between splits, terms are those of the layer that each split chose."""
    blend = 0.5 * driven_by(latents[0]) + 0.5 * driven_by(latents[1], seed=3)
    result = score_layers(BENCHMARK, subject, target=target_of(blend, noise=6.0), formula="both")
    chosen = result.commitment.split_layers
    assert len(set(chosen)) > 1, "the case should have splits that disagree"
    for s, layer in enumerate(chosen):
        np.testing.assert_array_equal(
            result.committed.predictivity.values[s], result.scores[layer].predictivity.values[s]
        )
    attrs = result.committed.attrs
    assert attrs["commitment_nested"] == 1
    assert all(layer in attrs["layer"] and layer in attrs["commitment_use"] for layer in chosen)
    assert result.committed.silent.values.tolist() == [True, False, False, False]


def test_a_score_that_follows_one_layer_is_that_layers_score(subject, target):
    commitment = commit_layers(BENCHMARK, subject, target=target)
    followed = run_committed(BENCHMARK, subject, commitment, target=target)
    alone = run(BENCHMARK, subject, layer="two", target=target)
    xr.testing.assert_allclose(followed.drop_attrs(), alone.drop_attrs())
    timed = {name for name in alone.attrs if name.startswith("seconds_")}
    assert {k: v for k, v in alone.attrs.items() if k not in timed}.items() <= followed.attrs.items()


@pytest.mark.parametrize("per", ["region", "bin", "neuroid"])
@pytest.mark.parametrize("formula", ["raw", "both", "brain-score"])
def test_a_score_by_file_is_the_score_of_the_comparison(subject, latents, tmp_path, per, formula):
    mixed = 0.5 * driven_by(latents[0]) + 0.5 * driven_by(latents[1], seed=3)
    target = target_of(mixed, noise=6.0)
    result = score_layers(BENCHMARK, subject, target=target, per=per, formula=formula)
    commitment = load_commitment(result.commitment.save(tmp_path / "c.json"))
    assert commitment == result.commitment
    again = run_committed(BENCHMARK.varied(formula=formula), subject, commitment, target=target)
    xr.testing.assert_allclose(again.drop_attrs(), result.committed.drop_attrs(), rtol=1e-6)
    assert again.attrs["commitment_use"] == result.committed.attrs["commitment_use"]


def test_a_layer_that_is_silent_in_a_bin_predicts_nothing_there(subject, latents):
    """Where one neuroid's layer is silent and another's is not, r and its correction are 0 for the first alone."""
    late = np.repeat(latents[0][:, :, None], 4, 2)
    late[:, :, 1] = 1.0
    subject = Layered({"one": late, "two": latents[1]})
    signal = driven_by(latents[0])
    signal[:, 3:] = driven_by(latents[1])[:, 3:]
    result = score_layers(BENCHMARK, subject, target=target_of(signal), per="neuroid", formula="both")
    assert result.commitment.overall == ("one",) * 3 + ("two",) * 3
    assert result.committed.silent.values.tolist() == [True, False, False, False]
    for name in ("predictivity", "predictivity_corrected"):
        values = result.committed[name].values[:, :, 1]
        assert (values[:, :3] == 0).all(), name
        assert (values[:, 3:] > 0.5).all(), name


def test_fewer_of_the_same_splits_are_still_nested(subject, target):
    commitment = commit_layers(BENCHMARK, subject, target=target)
    score = run_committed(BENCHMARK.varied(n_splits=2), subject, commitment, target=target)
    assert score.attrs["commitment_nested"] == 1


def test_stimuli_that_a_commitment_has_seen_are_not_tested_on(subject, target):
    commitment = commit_layers(BENCHMARK, subject, target=target)
    with pytest.raises(AlignmentError, match="without the stimuli that it is tested on - .* with other splits"):
        run_committed(BENCHMARK.varied(n_splits=5), subject, commitment, target=target)
    renamed = Target(target.recording.assign_attrs(dataset="elsewhere"), target.stimuli, 0.0)
    with pytest.raises(AlignmentError, match="without the stimuli"):  # other recording, the same stimuli
        run_committed(BENCHMARK.varied(n_splits=5), subject, commitment, target=renamed)
    assert len(subject.asked) == 1  # told before anything was recorded


@pytest.mark.parametrize(
    ("per", "used", "told"), [("region", ["two"], "per region"), ("neuroid", ["two"], "its neuroids are others")]
)
def test_on_other_stimuli_the_overall_choice_is_used_and_told(subject, target, latents, per, used, told):
    commitment = commit_layers(BENCHMARK, subject, target=target, per=per)
    elsewhere = target_of(driven_by(latents[1], seed=9), dataset="elsewhere", prefix="t", seed=3)
    score = run_committed(BENCHMARK, subject, commitment, target=elsewhere)
    assert score.attrs["commitment_nested"] == 0
    assert score.attrs["layer"].split(", ") == used
    assert "the overall choice, made on other stimuli (bench)" in score.attrs["commitment_use"]
    assert told in score.attrs["commitment_use"]


def test_a_choice_per_bin_holds_for_the_same_bins_of_other_stimuli(subject, latents):
    signal = driven_by(latents[0])
    signal[:, :, 3] = driven_by(latents[2])[:, :, 3]
    commitment = commit_layers(BENCHMARK, subject, target=target_of(signal), per="bin")
    elsewhere = target_of(signal, dataset="elsewhere", prefix="t", seed=3)
    score = run_committed(BENCHMARK, subject, commitment, target=elsewhere)
    assert score.attrs["layer"] == "one, three"
    assert (score.predictivity.mean("split").median("neuroid").values[1:] > 0.8).all()
    coarse = replace(BENCHMARK, time_bins=TimeBinSpec(0, 40, 20))
    wider = Target(rebin(elsewhere.recording, coarse.time_bins.bins()), elsewhere.stimuli, 0.0)
    score = run_committed(coarse, subject, commitment, target=wider)
    assert score.attrs["layer"] == "one"
    assert "its bins are others than these" in score.attrs["commitment_use"]


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        ({"weights": "v" * 16}, ConfigurationError, r"it is of layered \(weights wwwwwwww\), and this is .*vvvvvvvv"),
        ({"name": "other"}, ConfigurationError, "this is other .*neurofit layers --model other"),
        ({"without": "three"}, ConfigurationError, "layered has no three"),
        ({"region": "V4"}, ConfigurationError, "it is of IT, and this is V4"),
    ],
)
def test_what_a_commitment_is_not_for_is_told(subject, target, spoil, error, message):
    commitment = commit_layers(BENCHMARK, subject, target=target)
    other = Layered({k: v for k, v in subject.features.items() if k != spoil.get("without")})
    other.name, other.weights = spoil.get("name", other.name), spoil.get("weights", other.weights)
    with pytest.raises(error, match=message):
        run_committed(BENCHMARK.varied(region=spoil.get("region")), other, commitment, target=target)


def test_networks_without_a_stated_hash_are_told_apart_by_their_weights(target, latents):
    import torch

    from neurofit.scoring.commitment import weights_of

    class Net(Layered):
        network = torch.nn.Linear(2, 2)

        def describe(self):
            return {"kind": "model", "name": self.name}

    subject = Net({"one": latents[0]})
    before = weights_of(subject)
    assert len(before) == 64
    with torch.no_grad():
        subject.network.weight += 1
    assert weights_of(subject) != before


def test_a_layer_with_too_few_units_is_named(latents, target):
    subject = Layered({"wide": latents[0], "narrow": latents[1][:, :2]})
    with pytest.raises(MappingError, match="'narrow' of layered has 2, the mapping 3 - name the others with --layer"):
        commit_layers(BENCHMARK, subject, target=target)
    assert commit_layers(BENCHMARK, subject, target=target, layers=["wide"]).layers == ("wide",)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: d.update(layer="four"), ConfigurationError, "four is chosen and not in the table"),
        (lambda d: d.pop("model"), ConfigurationError, "model is missing"),
        (lambda d: d.update(split_layers=["one"]), ConfigurationError, "split_layers has 1 entries for 4 splits"),
        (lambda d: d.update(per="bin"), ConfigurationError, "units has 0 entries per 'bin'"),
        (lambda d: d.update(commitment_version=2), ConfigurationError, "commitment_version is 2, which is not 1"),
        (lambda d: d.update(choices=[["one"]], units=["a"], per="bin"), ConfigurationError, "choices and overall"),
    ],
)
def test_a_file_that_is_wrong_is_told(subject, target, tmp_path, change, error, message):
    path = commit_layers(BENCHMARK, subject, target=target).save(tmp_path / "c.json")
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(error, match=message):
        load_commitment(path)


def test_what_is_no_commitment_is_told(tmp_path):
    (tmp_path / "a.json").write_text('{"layer": ')
    (tmp_path / "b.json").write_text("[1]")
    for name in ("a.json", "b.json", "nowhere.json"):
        with pytest.raises(DataFileError, match="a commitment is a .*JSON"):
            load_commitment(tmp_path / name)


def test_the_choice_is_the_one_of_inner_scores(subject, target, latents):
    """The table's r is what predictivity finds on the training stimuli alone, split by the inner splitter."""
    commitment = commit_layers(BENCHMARK, subject, target=target, n_inner=2)
    train, _ = posed(BENCHMARK, *[target.recording] * 2).splits[1]
    ids = [f"s{i:03d}" for i in sorted(train)]
    averaged = rebin(target.recording, [(10, 40)])
    part = averaged.isel(presentation=np.isin(averaged.stimulus_id.values, ids))
    source = make_assembly(
        latents[1][:, :, None], stimulus_id=target.stimuli.ids, neuroid_id=list("abcde"), subject="m", layer="two",
        time_bins=[(10, 40)],
    )  # fmt: skip
    score = predictivity(
        source, part, mapping=PLSMapping(3), splitter=StimulusShuffleSplit(2, random_state=2), formula="raw"
    )
    expected = score.predictivity.mean("split").median("neuroid").item()
    assert commitment.table[1].r_by_split[1] == pytest.approx(expected, abs=1e-9)


def test_a_layer_that_is_soon_silent_wins_by_averaged_responses_and_not_by_bins(latents):
    """Its average over the window still tells the stimuli apart, although it says nothing in most bins."""
    brief = np.repeat(latents[0][:, :, None], 4, 2)
    brief[:, :, 2:] = 0
    noisy = np.concatenate([latents[0] + 0.7 * latents[1], np.zeros((N, 1))], 1)
    subject, target = Layered({"brief": brief, "noisy": noisy}), target_of(driven_by(latents[0]))
    assert commit_layers(BENCHMARK, subject, target=target).layer == "brief"
    by_scores = score_layers(BENCHMARK, subject, target=target, average="scores")
    assert by_scores.commitment.layer == "noisy"
    assert by_scores.commitment.average == "scores"
    held_out = {layer: float(score.predictivity[:, :, 1:].mean()) for layer, score in by_scores.scores.items()}
    assert held_out["noisy"] > held_out["brief"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"per": "neuroids"}, UnknownNameError, "'neuroids' is not known - use 'neuroid'"),
        ({"average": "score"}, UnknownNameError, "'score' is not known - use 'scores'"),
        ({"n_inner": 0}, ConfigurationError, "n_inner is 0"),
    ],
)
def test_ways_to_choose_that_do_not_exist_are_refused(subject, target, options, error, message):
    with pytest.raises(error, match=message):
        commit_layers(BENCHMARK, subject, target=target, **options)


def test_other_metrics_have_no_commitment(subject, target):
    with pytest.raises(ConfigurationError, match="layers are committed by predictivity - the metric of .* is 'rsa'"):
        commit_layers(BENCHMARK.varied(metric="rsa"), subject, target=target)
    commitment = commit_layers(BENCHMARK, subject, target=target)
    with pytest.raises(ConfigurationError, match="is 'rsa'"):
        run_committed(BENCHMARK.varied(metric="rsa"), subject, commitment, target=target)


def test_the_window_of_a_wide_layer_has_the_inner_products_of_its_averaged_units():
    """Bins of features that only share inner products with the units cannot be averaged: the window is a bin."""
    from neurofit.subjects.features import FeatureOptions
    from neurofit.subjects.library import load_subject

    images = list(np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8))
    stimuli = StimulusSet("noise", pd.DataFrame({"stimulus_id": [f"s{i}" for i in range(12)]}), images)
    target = Target(xr.DataArray(), stimuli, 0.0)  # only its stimuli are looked at
    benchmark = replace(
        BENCHMARK, time_bins=TimeBinSpec(0, 60, 20), aggregation=AggregationSpec(window_ms=(20, 60)),
        viewing=ViewingSpec(40, 60),
    )  # fmt: skip
    recorded = {}
    for choice in ("dual", "raw"):
        subject = load_subject("rgc_untrained", features=FeatureOptions(choice))
        recorded[choice] = record_for_selection(benchmark, subject, target, ["conv3"])["conv3"]
    assert recorded["dual"].attrs["basis"] == "per-bin"
    averaged = recorded["raw"].isel(time_bin=[1, 3]).mean("time_bin").values
    window = rebin(recorded["dual"], [(20, 60)]).values[:, :, 0]
    grams = [(v - v.mean(0)) @ (v - v.mean(0)).T for v in (averaged, window)]
    np.testing.assert_allclose(grams[1], grams[0], atol=1e-4 * np.abs(grams[0]).max())


def test_ridge_keeps_the_penalties_of_the_layer_that_was_chosen(subject, latents):
    ridge = BENCHMARK.varied(regression="ridge")
    blend = 0.5 * driven_by(latents[0]) + 0.5 * driven_by(latents[1], seed=3)
    result = score_layers(ridge, subject, target=target_of(blend, noise=6.0))
    for s, layer in enumerate(result.commitment.split_layers):
        np.testing.assert_array_equal(result.committed.alpha.values[s], result.scores[layer].alpha.values[s])
