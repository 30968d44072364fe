import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import pearsonr, trim_mean

from neurofit.kernel.paired import (
    against_zero,
    draw_counts,
    draw_images,
    draw_neuroids,
    holm,
    rank_biserial,
    trimmed_mean,
    weighted_pearson,
)


def test_images_that_count_twice_are_images_that_are_there_twice():
    rng = np.random.default_rng(0)
    predictions, responses = rng.standard_normal((30, 4)) + 50, rng.standard_normal((30, 4))
    counts = draw_counts(30, 5, 0)
    assert (counts.sum(1) == 30).all()
    found = weighted_pearson(predictions, responses, counts)
    for drawn, row in zip(counts, found, strict=True):
        rows = np.repeat(np.arange(30), drawn.astype(int))
        expected = [pearsonr(predictions[rows, j], responses[rows, j]).statistic for j in range(4)]
        np.testing.assert_allclose(row, expected, atol=1e-12)


def test_constant_predictions_have_no_correlation():
    responses = np.random.default_rng(0).standard_normal((10, 2))
    assert np.isnan(weighted_pearson(np.full((10, 2), 3.7), responses, np.ones((1, 10)))).all()


def test_trimmed_mean_is_scipys_and_leaves_nan_out():
    values = np.random.default_rng(0).standard_cauchy((23, 3))
    np.testing.assert_allclose(trimmed_mean(values), trim_mean(values, 0.2, axis=0))
    holes = np.vstack([values, np.full((4, 3), np.nan)])
    np.testing.assert_allclose(trimmed_mean(holes), trimmed_mean(values))
    assert np.isnan(trimmed_mean(np.full((4, 1), np.nan))).all()


def test_rank_biserial_is_the_difference_of_rank_sums():
    assert rank_biserial([1.0, 2.0, 3.0]) == 1
    assert rank_biserial([-1.0, 2.0, 3.0]) == pytest.approx((5 - 1) / 6)
    assert rank_biserial([0.0, np.nan, -2.0]) == -1
    assert np.isnan(rank_biserial([0.0, np.nan]))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p):
    corrected = holm(p)
    assert (corrected >= np.array(p)).all()
    assert (corrected <= np.minimum(np.array(p) * len(p), 1) + 1e-15).all()
    assert corrected.min() == pytest.approx(min(1, min(p) * len(p)))
    assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()


def test_holm_does_not_count_what_was_not_tested():
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])


def test_jackknife_of_means_has_their_standard_error():
    # for a mean, the delete-a-group jackknife estimates the variance of the mean without bias
    rng, errors = np.random.default_rng(0), []
    for _ in range(300):
        images = rng.standard_normal(200)
        groups = images.reshape(10, 20)
        without = np.array([np.delete(groups, k, axis=0).mean() for k in range(10)])
        errors.append(draw_images(without[:, None], 400, 1).std() ** 2)
    # Student's tails with 9 degrees of freedom widen the variance by 9 / 7
    assert np.mean(errors) == pytest.approx(9 / 7 / 200, rel=0.1)


def test_neuroids_are_drawn_with_their_standard_error():
    differences = np.random.default_rng(0).standard_normal((400, 1))
    spread = draw_neuroids(differences, 1500, 0).std()
    resampled = [trim_mean(np.random.default_rng(s).standard_normal(400), 0.2) for s in range(1500)]
    assert spread == pytest.approx(np.std(resampled), rel=0.12)


def test_tests_have_their_level_and_the_correction_counts_the_bins():
    rng = np.random.default_rng(0)
    wrong = {"p": [], "p_corrected": []}
    for _ in range(400):
        tested = against_zero(rng.standard_normal(10), rng.standard_normal((500, 10)))
        wrong["p"].append((tested.p < 0.05).any())
        wrong["p_corrected"].append((tested.p_corrected < 0.05).any())
    assert np.mean(wrong["p"]) == pytest.approx(1 - 0.95**10, abs=0.06)  # uncorrected: .40
    assert np.mean(wrong["p_corrected"]) < 0.08  # .05 and three standard errors


def test_what_cannot_vary_is_not_tested():
    deviations = np.random.default_rng(0).standard_normal((500, 3)) * [1.0, 0.0, 1.0]
    tested = against_zero(np.array([5.0, 0.0, np.nan]), deviations)
    assert tested.p_corrected[0] < 0.01
    assert np.isnan(tested.p_corrected[1:]).all()
    assert np.isnan(tested.low[1:]).all()
    assert tested.low[0] == pytest.approx(5 - 1.96, abs=0.3)
