import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurofit.kernel.isometric import isometric_features


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 30), p=st.integers(1, 40), seed=st.integers(0, 999), order=st.sampled_from("CF"))
def test_inner_products_are_kept_with_as_few_features_as_there_are_ranks(n, p, seed, order):
    X = np.random.default_rng(seed).standard_normal((n, p))
    gram = np.array(X @ X.T, order=order)
    before = gram.copy()
    features, pivots = isometric_features(gram)
    assert features.shape == (n, min(n, p))
    np.testing.assert_allclose(features @ features.T, before, atol=1e-9 * np.abs(before).max())
    np.testing.assert_array_equal(np.triu(features[pivots], 1), 0)
    np.testing.assert_array_equal(gram, before)
    again, _ = isometric_features(gram, overwrite=True)
    np.testing.assert_array_equal(again, features)


def test_nothing_varies():
    features, pivots = isometric_features(np.zeros((4, 4)))
    assert features.shape == (4, 0)
    assert pivots.shape == (0,)


def test_directions_below_the_tolerance_are_left_out():
    X = np.diag([1.0, 1e-3, 1e-6])
    assert isometric_features(X @ X.T, 1e-7)[0].shape == (3, 2)
    assert isometric_features(X @ X.T)[0].shape == (3, 3)


@pytest.mark.parametrize("order", "CF")
def test_one_triangle_is_read(order):
    X = np.random.default_rng(1).standard_normal((5, 9))
    half = np.array(np.tril(X @ X.T) if order == "F" else np.triu(X @ X.T), order=order)
    features, _ = isometric_features(half)
    np.testing.assert_allclose(features @ features.T, X @ X.T, atol=1e-12)
