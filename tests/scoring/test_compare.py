"""Comparisons of two subjects: what is there is found, what is not comparable is refused."""

import numpy as np
import pytest
import xarray as xr

from neurofit.assembly.build import average_repetitions, make_assembly
from neurofit.data.simulated_pairs import SimulatedPair
from neurofit.errors import AlignmentError, ConfigurationError, UnknownNameError
from neurofit.kernel.correlation import pearson
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit
from neurofit.report.comparison_figure import plot_comparison
from neurofit.scoring.compare import compare
from neurofit.scoring.predictivity import predictivity
from neurofit.scoring.storage import load_score, save_score
from neurofit.scoring.windows import bins_in_windows, default_windows

BINS = [(70, 110), (110, 150), (200, 240)]
OPTIONS = {"mapping": PLSMapping(4), "splitter": StimulusShuffleSplit(4), "n_halvings": 2, "image_groups": 8}


@pytest.fixture(scope="module")
def world():
    """A recording, a good model, and one that lacks half of the latents in the last bin."""
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((120, 6))
    weights = rng.standard_normal((6, 20, 3))
    index = np.repeat(np.arange(120), 4)
    values = np.einsum("nd,dqt->nqt", latents, weights)[index] + 2 * rng.standard_normal((480, 20, 3))
    ids = [f"s{i:03d}" for i in range(120)]
    recording = make_assembly(
        values.astype(np.float32), stimulus_id=[ids[i] for i in index], repetition=np.tile(range(4), 120).tolist(),
        neuroid_id=[f"n{j}" for j in range(20)], subject="animal", region="IT", time_bins=BINS,
    )  # fmt: skip

    def model(seed, lacks=0):
        noise = 0.5 * np.random.default_rng(seed).standard_normal((120, 6, 3))
        features = latents[:, :, None] + noise
        features[:, : lacks or 0, 2] = noise[:, : lacks or 0, 2]
        return make_assembly(
            features.astype(np.float32), stimulus_id=ids, neuroid_id=[f"u{j}" for j in range(6)], subject="model",
            layer="l", time_bins=BINS,
        )  # fmt: skip

    return recording, model


def scored(world, source, name, **options):
    score = predictivity(source, world[0], **(OPTIONS | options))
    return score.assign_attrs(subject=name, layer="l", region="IT")


@pytest.fixture(scope="module")
def scores(world):
    return [scored(world, world[1](1), "whole"), scored(world, world[1](2, lacks=3), "lesioned")]


def test_a_difference_is_found_in_the_bin_where_it_was_put(scores):
    found = compare(*scores)
    assert found.bins["significant"].tolist() == [False, False, True]
    late = found.bins.iloc[2]
    assert late["difference"] > 0.1
    assert late["low"] < late["difference"] < late["high"]
    assert late["effect_size"] > 0.8
    assert found.windows["window"].tolist() == ["early", "late", "whole"]
    assert found.windows["significant"].tolist()[1]


def test_sides_are_exchangeable(scores):
    there, back = compare(*scores), compare(*reversed(scores))
    np.testing.assert_allclose(there.bins["difference"], -back.bins["difference"])
    np.testing.assert_allclose(there.bins["p_wilcoxon"], back.bins["p_wilcoxon"])
    np.testing.assert_allclose(there.bins["low"], -back.bins["high"], atol=0.02)
    assert (there.first, there.second) == ("whole (l)", "lesioned (l)") == (back.second, back.first)


def test_a_subject_does_not_differ_from_itself(scores):
    found = compare(scores[0], scores[0])
    assert (found.bins["difference"] == 0).all()
    assert found.bins[["p", "p_corrected", "p_wilcoxon"]].isna().all(axis=None)
    assert not found.bins["significant"].any()


def test_groups_are_left_out_of_training_and_test_alike(world):
    recording, model = world
    score = scored(world, model(1), "a", formula="raw", splitter=StimulusShuffleSplit(2))
    ids = np.sort(model(1)["stimulus_id"].values)
    group = np.array_split(np.random.default_rng(0).permutation(120), 8)[0]
    X, Y = (average_repetitions(a).sortby("stimulus_id").values for a in (model(1), recording))
    values = []
    for train, test in StimulusShuffleSplit(2).split(ids[:, None], None, ids):
        train, test = np.setdiff1d(train, group), np.setdiff1d(test, group)
        fitted = [PLSMapping(4).fit(X[train, :, t], Y[train, :, t]).predict(X[test, :, t]) for t in range(3)]
        values.append(np.stack([pearson(fitted[t], Y[test, :, t], axis=0) for t in range(3)], -1))
    np.testing.assert_allclose(score["without_group"].values[0], np.mean(values, 0), atol=1e-4)


def test_leaving_out_corrects_as_the_score_does(world):
    for formula in ("both", "neural", "both-squared"):
        score = scored(world, world[1](1), "a", formula=formula)
        own = score["predictivity_corrected"].mean("split").values
        assert np.abs(score["without_group"].mean("image_group").values - own).mean() < 0.03


@pytest.mark.parametrize("temporal", ["per-bin", "fixed"])
def test_held_out_images_can_be_drawn_instead(world, temporal):
    both = [
        scored(world, world[1](seed, lacks), name, temporal=temporal, image_groups=0, keep_predictions=True)
        for seed, lacks, name in ((1, 0, "whole"), (2, 3, "lesioned"))
    ]
    found = compare(*both, images="bootstrap", n_draws=200)
    assert found.bins["significant"].iloc[2]
    assert found.attrs["images"] == "bootstrap"
    with pytest.raises(ConfigurationError, match="was made without 'without_group' - score again with image_groups=10"):
        compare(*both)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"splitter": StimulusShuffleSplit(4, random_state=3)}, "different splits"),
        ({"formula": "neural"}, "different formula"),
        ({"random_state": 4}, "different halvings of the repetitions"),
        ({"mapping": PLSMapping(3)}, "different mapping"),
        ({"temporal": "fixed"}, "different temporal mapping"),
        ({"image_groups": 6}, "different groups of images"),
    ],
)
def test_what_was_scored_otherwise_is_refused(world, scores, options, message):
    other = scored(world, world[1](2), "other", **options)
    with pytest.raises(AlignmentError, match=message):
        compare(scores[0], other)


def test_other_stimuli_bins_and_neuroids_are_refused(world, scores):
    recording, model = world
    fewer = recording.isel(presentation=recording["stimulus_id"].values != "s000")
    for target, source, message in (
        (fewer, model(1), "different stimuli"),
        (recording.isel(neuroid=slice(0, 15)), model(1), "different neuroids"),
        (recording.isel(time_bin=slice(0, 2)), model(1).isel(time_bin=slice(0, 2)), r"different time bins \(3 and 2\)"),
    ):
        other = predictivity(source, target, **OPTIONS).assign_attrs(subject="o", layer="l", region="IT")
        with pytest.raises(AlignmentError, match=message):
            compare(scores[0], other)


def test_bad_numbers_are_refused(world, scores):
    with pytest.raises(UnknownNameError, match="'booststrap' is not known - use 'bootstrap'"):
        compare(*scores, images="booststrap")
    with pytest.raises(ConfigurationError, match="level is 95"):
        compare(*scores, level=95)
    with pytest.raises(ConfigurationError, match="level is 0.999, n_draws 200"):  # no p could be below .001
        compare(*scores, level=0.999, n_draws=200)
    with pytest.raises(ConfigurationError, match="'x' is 90-80 ms"):
        compare(*scores, windows={"x": (90, 80)})
    with pytest.raises(ConfigurationError, match="there is none in after; the bins span 70-240 ms"):
        compare(*scores, windows={"early": (70, 150), "after": (240, 300)})
    with pytest.raises(ConfigurationError, match="at least 5 groups of at least 2 - 100 groups of 120"):
        scored(world, world[1](1), "a", image_groups=100)


def test_groups_that_leave_hardly_any_held_out_image_are_refused(world):
    recording, model = world
    few = [f"s{i:03d}" for i in range(12)]
    part = [a.isel(presentation=np.isin(a["stimulus_id"].values, few)) for a in (model(1), recording)]
    with pytest.raises(ConfigurationError, match="one of 12 images, 5 groups and 10 splits holds out [01] - choose"):
        predictivity(*part, mapping=PLSMapping(2), n_halvings=1, image_groups=5)


def test_saved_scores_compare_as_fresh_ones(scores, tmp_path):
    saved = [load_score(save_score(s, tmp_path / f"{i}.nc")) for i, s in enumerate(scores)]
    xr.testing.assert_identical(xr.Dataset(compare(*saved).bins), xr.Dataset(compare(*scores).bins))


def test_a_few_neuroids_are_compared_on_images_alone(world, scores):
    few = [
        predictivity(source, world[0].isel(neuroid=[3]), **OPTIONS).assign_attrs(subject=n, layer="l", region="IT")
        for source, n in ((world[1](1), "a"), (world[1](2), "b"))
    ]
    found = compare(*few).bins
    assert found["p_wilcoxon"].isna().all()
    assert found["p_corrected"].notna().all()


def test_a_bin_in_which_few_of_many_neuroids_are_reliable_is_not_tested(scores):
    # their luck of the draw is not known, and without it images alone would make them significant
    few = [score.copy(deep=True) for score in scores]
    few[0]["predictivity_corrected"][:, 5:, 2] = np.nan
    bins = compare(*few).bins
    assert bins["neuroids"].tolist() == [20, 20, 5]
    assert bins["p_corrected"].notna().tolist() == [True, True, False]
    assert bins[["low", "high", "p_wilcoxon"]].iloc[2].isna().all()
    assert np.isfinite(bins["difference"]).all()


def test_one_layer_in_two_static_modes_is_told_apart(scores):
    both = [
        score.assign_attrs(subject="ff", layer="l", source_static_mode=m)
        for score, m in zip(scores, ("once", "constant"), strict=True)
    ]
    found = compare(*both)
    assert (found.first, found.second) == ("ff (l), once", "ff (l), constant")
    caption = plot_comparison(both, [found])._supxlabel.get_text().replace("\n", " ")
    assert "Static modes: ff (l) 'once', ff (l) 'constant'." in caption


def test_a_caption_names_the_level_of_each_interval_and_what_was_drawn(world, scores):
    caption = plot_comparison(scores, [compare(*scores, level=0.9)])._supxlabel.get_text().replace("\n", " ")
    assert "bands 95 % bootstrap intervals" in caption
    assert "90 % intervals over neuroids and images" in caption
    few = [score.isel(neuroid=slice(0, 3)) for score in scores]
    assert "95 % intervals over images alone" in plot_comparison(few, [compare(*few)])._supxlabel.get_text().replace(
        "\n", " "
    )


def test_windows_of_regions_and_of_a_single_bin():
    assert default_windows("V4")["early"] == (70, 150)
    assert default_windows("IT")["late"] == (190, 260)
    assert list(bins_in_windows([(0, 100)], default_windows("V4"))) == ["all"]
    inside = bins_in_windows([(60, 80), (80, 100), (180, 200), (240, 260)], default_windows("IT"))
    assert {name: rows.tolist() for name, rows in inside.items()} == {"early": [1], "late": [3], "whole": [1, 2, 3]}


def test_a_simulated_model_with_too_few_features_is_refused():
    with pytest.raises(ConfigurationError, match="10 features of 16 latents"):
        SimulatedPair(n_views=2, n_early=10).simulate()


def pair_of_scores(recurrence, seed):
    recording, *models = SimulatedPair(recurrence, random_state=seed).simulate()
    return [
        predictivity(
            model, recording, mapping=PLSMapping(20), splitter=StimulusShuffleSplit(5), temporal="fixed", n_halvings=2,
            stratify="object_name", image_groups=10,
        ).assign_attrs(subject=str(model["subject"].values[0]), region="IT")
        for model in models
    ]  # fmt: skip


def test_recurrence_is_found_late_where_it_is_simulated_and_not_in_the_control():
    with_it, without = compare(*pair_of_scores(True, 1)), compare(*pair_of_scores(False, 1))
    late = with_it.windows.set_index("window").loc["late"]
    assert late["significant"]
    assert late["difference"] > 0.05
    significant = with_it.bins[with_it.bins["significant"]]
    assert (significant["time_bin_start"] >= 140).all()
    assert not without.bins["significant"].any()
    assert not without.windows["significant"].any()


@pytest.mark.slow
def test_two_hundred_pairs_without_a_difference_keep_the_nominal_level():
    # two draws of the same kind of model; a count of 200 at .05 is 10, and 19 or more has a probability of .005
    found = {"p_corrected": 0, "p_wilcoxon_corrected": 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        latents, weights = rng.standard_normal((100, 5)), rng.standard_normal((5, 24, 3))
        index = np.repeat(np.arange(100), 4)
        ids = [f"s{i:03d}" for i in range(100)]
        responses = np.einsum("nd,dqt->nqt", latents, weights)[index] + 2 * rng.standard_normal((400, 24, 3))
        recording = make_assembly(
            responses, stimulus_id=[ids[i] for i in index], repetition=np.tile(range(4), 100).tolist(),
            neuroid_id=[f"n{j}" for j in range(24)], subject="animal", region="IT", time_bins=BINS,
        )  # fmt: skip
        scores = []
        for name in "ab":
            rotation = np.linalg.qr(rng.standard_normal((8, 8)))[0][:5]  # random weights would make one model better
            features = latents @ rotation + 0.5 * rng.standard_normal((100, 8))
            source = make_assembly(
                np.repeat(features[:, :, None], 3, axis=2), stimulus_id=ids, neuroid_id=[f"u{j}" for j in range(8)],
                subject=name, layer="l", time_bins=BINS,
            )  # fmt: skip
            score = predictivity(source, recording, temporal="fixed", **(OPTIONS | {"image_groups": 10}))
            scores.append(score.assign_attrs(subject=name, layer="l", region="IT"))
        bins = compare(*scores, n_draws=1000).bins
        for name in found:
            found[name] += bool((bins[name] < 0.05).any())
    assert found["p_corrected"] < 19, found


def test_a_mapping_is_the_same_on_another_device(scores):
    elsewhere = scores[1].assign_attrs(mapping=scores[1].attrs["mapping"].replace(")", ", device='cuda')"))
    assert "device" in elsewhere.attrs["mapping"]
    assert compare(scores[0], elsewhere).bins.equals(compare(*scores).bins)
