"""Scores whose answer is known: by construction, by symmetry, or from other programs."""

import json

import numpy as np
import pytest
import xarray as xr

from neurofit.assembly.build import average_repetitions, make_assembly
from neurofit.errors import AlignmentError, AssemblyError, MappingError, ReliabilityError
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import BrainScoreSplit, StimulusShuffleSplit
from neurofit.scoring.benchmark import AggregationSpec
from neurofit.scoring.ceiling import internal_consistency
from neurofit.scoring.predictivity import predictivity
from neurofit.scoring.summary import headline, summarise

BINS = ((0, 10), (10, 20), (20, 30))
WINDOW = AggregationSpec(window_ms=(0, 30), n_resamples=50)


@pytest.fixture
def latents():
    return np.random.default_rng(5).standard_normal((120, 6))


@pytest.fixture
def recording(make_recording, latents):
    return make_recording(latents=latents, q=8, bins=BINS, noise=2.0, repetitions=(6, 10))


def features(latents, bins=BINS, ids=None):
    """Latents as the activations of a model without dynamics."""
    values = np.repeat(latents[:, :, None], len(bins), axis=2)
    return make_assembly(
        values,
        stimulus_id=[f"s{i:03d}" for i in range(len(latents))] if ids is None else ids,
        neuroid_id=[f"u{j}" for j in range(latents.shape[1])],
        subject="model",
        layer="latents",
        time_bins=list(bins),
    )


def score(source, target, **options):
    options = {"mapping": PLSMapping(4), "splitter": StimulusShuffleSplit(4), "n_halvings": 4} | options
    return predictivity(source, target, **options)


def test_the_generating_features_reach_the_ceiling(latents, recording):
    result = score(features(latents), recording, mapping=PLSMapping(6), formula="neural")
    assert headline(result, WINDOW).value == pytest.approx(1, abs=0.06)
    table = summarise(result, WINDOW)
    np.testing.assert_allclose(table["raw"], table["ceiling_of_r"], atol=0.06)


def test_permuted_stimuli_predict_nothing(latents, recording):
    shuffled = np.random.default_rng(0).permutation(latents)
    result = score(features(shuffled), recording)
    assert abs(headline(result, WINDOW).raw) < 0.12
    assert abs(result.predictivity.values.mean()) < 0.05


def test_a_recording_predicts_itself(recording):
    mean = average_repetitions(recording)
    result = score(mean, recording, mapping=PLSMapping(8), formula="raw")
    np.testing.assert_allclose(result.predictivity.values, 1, atol=1e-6)


def test_the_fixed_mapping_of_one_bin_is_the_per_bin_mapping(latents, recording):
    one = recording.isel(time_bin=[1])
    source = features(latents, [BINS[1]])
    xr.testing.assert_allclose(score(source, one), score(source, one, temporal="fixed").assign_attrs({}), rtol=1e-9)


def test_one_fixed_mapping_shares_weights_over_bins(make_recording, latents):
    """With the same weights in every bin and few stimuli, sharing them predicts better."""
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((6, 5))
    drive = latents[:40, :, None] * np.linspace(0.5, 1.5, 3)
    target = make_assembly(
        np.einsum("ndt,dq->nqt", drive, weights) + 3 * rng.standard_normal((40, 5, 3)),
        stimulus_id=[f"s{i:03d}" for i in range(40)],
        neuroid_id=list("abcde"),
        subject="m",
        region="IT",
        time_bins=list(BINS),
    )
    source = features(latents[:40]).copy(data=drive)
    options = {"formula": "raw", "splitter": StimulusShuffleSplit(10)}
    shared = score(source, target, temporal="fixed", **options).predictivity.mean()
    separate = score(source, target, **options).predictivity.mean()
    assert shared > separate + 0.03


def test_a_source_that_goes_silent_scores_zero_there(latents, recording):
    source = features(latents).copy()
    source.values[:, :, 2] = 0.7
    for temporal in ("per-bin", "fixed"):
        result = score(source, recording, temporal=temporal)
        assert result.silent.values.tolist() == [False, False, True]
        assert (result.predictivity.values[:, :, 2] == 0).all()
        assert (result.predictivity_corrected.values[:, :, 2] == 0).all()
        assert summarise(result, WINDOW)["raw"].iloc[0] > 0.3


def test_an_unreliable_neuroid_is_nan_and_counted(latents, recording):
    noisy = recording.copy()
    noisy.values[:, 3] = np.random.default_rng(1).standard_normal(noisy.values[:, 3].shape)
    result = score(features(latents), noisy, threshold=0.5)
    assert np.isnan(result.predictivity_corrected.values[:, 3]).all()
    assert np.isfinite(result.predictivity.values[:, 3]).all()
    table = summarise(result, WINDOW)
    assert (table["excluded"] == 1).all()
    assert (table["counted"] == 7).all()
    assert (headline(result, WINDOW).neuroids_counted, headline(result, WINDOW).neuroids_excluded) == (7, 1)
    assert (result.terms_excluded.values[3] > 4).all()


def test_permuting_neuroids_and_presentations_changes_only_their_order(latents, recording):
    source = features(latents)
    plain = score(source, recording, formula="raw")
    order, rows = [3, 1, 0, 2, 7, 6, 5, 4], np.random.default_rng(0).permutation(recording.sizes["presentation"])
    turned = score(source.isel(presentation=slice(None, None, -1)), recording.isel(neuroid=order), formula="raw")
    np.testing.assert_allclose(turned.predictivity.values, plain.predictivity.values[:, order], atol=1e-8)
    shuffled = score(source, recording.isel(presentation=rows), formula="raw")
    np.testing.assert_allclose(shuffled.predictivity.values, plain.predictivity.values, atol=1e-6)


def test_threads_change_nothing(latents, recording):
    xr.testing.assert_allclose(
        score(features(latents), recording, n_jobs=1), score(features(latents), recording, n_jobs=3), rtol=1e-8
    )


def test_no_stimulus_trains_and_tests(latents, recording):
    seen = []

    class Spy(StimulusShuffleSplit):
        def split(self, X, y=None, groups=None):
            for train, test in super().split(X, y, groups):
                seen.append(set(groups[train]) & set(groups[test]))
                yield train, test

    score(features(latents), recording, splitter=Spy(3), formula="raw")
    assert seen == [set()] * 3


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda s, t: (s, average_repetitions(t)), ReliabilityError, "'both' needs repetitions .* shown once"),
        (lambda s, t: (s.isel(time_bin=[0]), t), AlignmentError, "same time bins - the source has"),
        (lambda s, t: (s.isel(presentation=slice(60)), t), AlignmentError, "60 of 120 are unknown to it"),
        (
            lambda s, t: (s, t.where(t.neuroid_id != "n2", np.float32(3))),
            AssemblyError,
            "every neuroid responds differently to some stimuli - 1 have .* n2",
        ),
        (lambda s, t: (s.isel(neuroid=[0, 1]), t), MappingError, "4.*2|2.*4"),
        (lambda s, t: (s, t.where(t.neuroid_id != "n2")), AssemblyError, "finite - .* n2"),
    ],
)
def test_bad_input_is_told(latents, recording, spoil, error, message):
    source, target = spoil(features(latents), recording)
    with pytest.raises(error, match=message):
        score(source, target)


def test_fewer_stimuli_than_components_is_told(latents, recording):
    few = recording.where(recording.stimulus_id < "s005", drop=True)
    with pytest.raises(MappingError, match="components"):
        score(features(latents), few, mapping=PLSMapping(4), splitter=StimulusShuffleSplit(2, test_size=0.4))


def test_an_unknown_stratum_is_told(latents, recording):
    with pytest.raises(AlignmentError, match="the coordinate 'objects' to stratify"):
        score(features(latents), recording, stratify="objects")
    assert score(features(latents), recording, stratify="object_name").attrs["n_stimuli"] == 120


# what other programs give on the same arrays


@pytest.fixture
def peers(shared, load_script):
    return load_script(shared("golden", "peers_cases.py")), json.loads(shared("golden", "peers.json").read_text())


def brain_score_case(peers, case, bins=((70, 170),)):
    X, Y = (a if a.ndim == 3 else a[:, :, None] for a in case[:2])
    ids, objects = peers.presentation_ids(len(X))
    common = {"stimulus_id": ids, "time_bins": bins, "presentation_coords": {"object_name": objects}}
    source = make_assembly(X, neuroid_id=[f"f{i}" for i in range(X.shape[1])], subject="s", layer="l", **common)
    target = make_assembly(Y, neuroid_id=[f"n{i}" for i in range(Y.shape[1])], subject="t", region="IT", **common)
    return source, target


@pytest.mark.parametrize("which", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_brain_scores_preset_reproduces_its_pls_score(peers, which):
    module, golden = peers
    arguments = [(640, 100, 168), (3200, 1000, 168)][which]
    source, target = brain_score_case(module, module.encoding_case(*arguments))
    result = predictivity(source, target, splitter=BrainScoreSplit(), formula="raw", stratify="object_name")
    order = AggregationSpec(order="neuroids-then-splits", n_resamples=20)
    expected = golden["pls"][which]
    assert headline(result, order).value == pytest.approx(expected["score"], abs=expected["tolerance"])
    assert headline(result, order).standard_error == pytest.approx(expected["error"], abs=expected["tolerance"])


def test_brain_scores_preset_reproduces_its_ceiling(peers):
    module, golden = peers
    values = module.repetition_case(200, 20, 11)
    recording = make_assembly(
        values.reshape(-1, 20)[:, :, None],
        stimulus_id=np.tile(module.presentation_ids(200)[0], 11),
        repetition=np.repeat(np.arange(11), 200),
        neuroid_id=[f"n{i}" for i in range(20)],
        subject="m",
        region="IT",
        time_bins=[(70, 170)],
    )
    halvings = internal_consistency(recording, 10, 1, scheme="by-repetition")
    medians = halvings.median("neuroid").values[:, 0]
    expected = golden["internal_consistency"][0]
    assert medians.mean() == pytest.approx(expected["ceiling"], abs=expected["tolerance"])
    assert medians.std() / np.sqrt(10) == pytest.approx(expected["error"], abs=expected["tolerance"])


@pytest.mark.parametrize("temporal", ["per-bin", "fixed"])
def test_both_temporal_mappings_equal_brain_scores(peers, temporal):
    module, golden = peers
    X, Y, starts = module.temporal_case(640, 100, 4)
    source, target = brain_score_case(module, (X, Y), [(int(s), int(s) + 10) for s in starts])
    result = predictivity(
        source, target, splitter=BrainScoreSplit(), formula="raw", stratify="object_name", temporal=temporal
    )
    table = summarise(result, AggregationSpec(order="neuroids-then-splits", n_resamples=20))
    expected = golden["temporal"]["per_bin" if temporal == "per-bin" else "fixed"]
    np.testing.assert_allclose(table["raw"], expected, atol=golden["temporal"]["tolerance"])


def test_brain_scores_formula_works_on_aggregates(latents, recording):
    from neurofit.scoring.formulas import correct

    order = AggregationSpec(order="neuroids-then-splits", window_ms=(0, 30), n_resamples=50)
    even = recording.where(recording.repetition < 6, drop=True)
    even = even.assign_coords(repetition=even.repetition.astype(int))
    result = score(features(latents), even, formula="brain-score")
    table = summarise(result, order)
    ceiling = result.ceiling_by_halving.median("neuroid").mean("halving")
    np.testing.assert_allclose(table["corrected"], correct("brain-score", table["raw"].to_numpy(), ceiling.values))
    assert (table["low"] <= table["corrected"]).all()
    assert (table["corrected"] <= table["high"]).all()


def test_bins_with_the_same_source_share_its_fits_and_score_as_on_their_own(latents, recording):
    source = features(latents)
    source.values[:, :, 2] += np.random.default_rng(3).standard_normal((120, 6))
    together = score(source, recording)
    for t in range(3):
        alone = score(source.isel(time_bin=[t]), recording.isel(time_bin=[t]))
        for name, rounding in {
            "predictivity": 1e-9, "internal_consistency": 1e-12, "mapping_consistency": 5e-5,
            "predictivity_corrected": 5e-5,
        }.items():  # fmt: skip
            np.testing.assert_allclose(together[name].isel(time_bin=[t]), alone[name], rtol=0, atol=rounding)


@pytest.mark.parametrize("temporal", ["per-bin", "fixed"])
def test_single_precision_changes_little(latents, recording, temporal):
    exact = score(features(latents), recording, temporal=temporal)
    single = score(features(latents), recording, temporal=temporal, mapping=PLSMapping(4, precision="float32"))
    np.testing.assert_allclose(single["predictivity"], exact["predictivity"], rtol=0, atol=5e-5)
    assert "float32" in single.attrs["mapping"]


@pytest.mark.parametrize(
    ("basis", "options", "message"),
    [
        ("per-bin", {"temporal": "fixed"}, "the same features in every bin"),
        ("per-bin", {"mapping": PLSMapping(4, scale=True)}, "sees the units themselves"),
        ("shared", {"mapping": PLSMapping(4, scale=True)}, "sees the units themselves"),
    ],
)
def test_features_of_another_basis_are_refused_where_they_would_be_wrong(latents, recording, basis, options, message):
    with pytest.raises(MappingError, match=message):
        score(features(latents).assign_attrs(basis=basis), recording, **options)


@pytest.mark.parametrize("simulated", [0, 1])
def test_a_score_says_whether_its_target_is_simulated(make_recording, simulated):
    recording = make_recording(n=40, q=4).assign_attrs(simulated=simulated)
    score = predictivity(
        average_repetitions(recording), recording, mapping=PLSMapping(2), splitter=StimulusShuffleSplit(2), n_halvings=1
    )
    assert score.attrs["simulated"] == simulated
