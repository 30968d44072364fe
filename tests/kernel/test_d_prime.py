"""Image-level d' from class scores."""

import numpy as np
import pytest
from scipy.stats import norm

from neurofit.kernel.d_prime import CLIP, image_d_prime, pairwise_hits


def by_the_book(scores, truth):
    """Probabilities by softmax, then loops over images and distractors (specification of the papers, 7.1)."""
    p = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
    n, n_objects = p.shape
    false_alarms = [[] for _ in range(n_objects)]
    hits = []
    for i in range(n):
        own = p[i, truth[i]]
        others = [k for k in range(n_objects) if k != truth[i]]
        hits.append(np.mean([own / (own + p[i, k]) for k in others]))
        for k in others:
            false_alarms[k].append(p[i, k] / (p[i, k] + own))
    rates = np.array([np.mean(f) if f else np.nan for f in false_alarms])
    return norm.ppf(hits) - norm.ppf(rates[truth])


def test_equals_the_definition():
    rng = np.random.default_rng(0)
    scores, truth = rng.standard_normal((60, 5)), rng.integers(0, 5, 60)
    np.testing.assert_allclose(image_d_prime(scores, truth), by_the_book(scores, truth), rtol=1e-12)


def test_guessing_has_no_d_prime():
    truth = np.arange(12) % 3
    np.testing.assert_allclose(image_d_prime(np.zeros((12, 3)), truth), 0, atol=1e-15)


def test_what_is_common_to_all_objects_says_nothing():
    rng = np.random.default_rng(1)
    scores, truth = rng.standard_normal((30, 4)), rng.integers(0, 4, 30)
    shifted = scores + rng.standard_normal((30, 1)) * 10
    np.testing.assert_allclose(image_d_prime(shifted, truth), image_d_prime(scores, truth), atol=1e-9)


def test_certainty_is_clipped_and_signed():
    truth = np.arange(8) % 2
    certain = np.where(np.eye(2)[truth] > 0, 500.0, -500.0)
    np.testing.assert_array_equal(image_d_prime(certain, truth), CLIP)
    np.testing.assert_array_equal(image_d_prime(-certain, truth), -CLIP)


def test_hits_of_two_objects_sum_to_one_over_the_two_choices():
    scores = np.array([[0.3, -1.2, 2.0]])
    forth = pairwise_hits(scores, [0])[0, 2]
    back = pairwise_hits(scores, [2])[0, 0]
    assert forth + back == pytest.approx(1)
    assert np.isnan(pairwise_hits(scores, [0])[0, 0])


def test_an_object_without_others_has_no_false_alarms():
    assert np.isnan(image_d_prime(np.zeros((3, 2)), [1, 1, 1])).all()
