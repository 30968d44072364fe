"""Correlations on held-out images against scikit-learn's algorithm, in both precisions, with NumPy and torch."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import KFold, ShuffleSplit

from neurofit.errors import MappingError
from neurofit.kernel import held_out
from neurofit.kernel.correlation import pearson
from neurofit.kernel.gram import SharedSource
from neurofit.kernel.held_out import HeldOutFits

#: What single precision, in which refits to half-trials are, may change in r: measured 5e-6 or less below, and 2e-5 or
#: less on 5,760 x 1,000 (docs/speed.md).
SINGLE = 5e-5


def problem(n, p, q, n_sets, seed, noise=2.0):
    """Features with a mean, and target sets whose cross-covariances have well-separated singular values."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * 0.9 ** np.arange(p) @ np.linalg.qr(rng.standard_normal((p, p)))[0] + 3
    weights = rng.standard_normal((n_sets, p, q)) * 0.8 ** np.arange(q)
    return X, X @ weights + noise * rng.standard_normal((n_sets, n, q)) * 0.8 ** np.arange(q) - 1


def partition(n, seed=0):
    return list(KFold(5, shuffle=True, random_state=seed).split(np.empty((n, 1))))


def random_splits(n, seed=0):
    return list(ShuffleSplit(4, test_size=0.25, random_state=seed).split(np.empty((n, 1))))


def reference(X, Y, splits, k, scale=False):
    """r (S, B, q) and predictions by scikit-learn, its singular vectors from LAPACK."""
    found = []
    for train, test in splits:
        rows = []
        for y in Y:
            model = PLSRegression(k, scale=scale)
            model.algorithm = "svd"
            rows.append(model.fit(X[train], y[train]).predict(X[test]).reshape(len(test), -1))
        found.append(np.stack(rows))
    r = [pearson(one, Y[:, test], axis=1) for one, (_, test) in zip(found, splits, strict=True)]
    return np.stack(r), found


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(25, 70), p=st.integers(3, 60), q=st.integers(1, 12), n_sets=st.integers(1, 4),
    seed=st.integers(0, 1000), scale=st.booleans(), data=st.data(),
)  # fmt: skip
def test_equals_scikit_learn_in_every_form_and_for_every_kind_of_split(n, p, q, n_sets, seed, scale, data):
    X, Y = problem(n, p, q, n_sets, seed)
    k = data.draw(st.integers(1, min(5, p)), "n_components")
    for splits in (partition(n, seed), random_splits(n, seed)):
        expected, _ = reference(X, Y, splits, k, scale)
        for form in ("primal", "dual"):
            found = HeldOutFits(SharedSource.of(X, scale, form), splits, k).correlate(Y)
            np.testing.assert_allclose(found.r[:, :, 0], expected, rtol=0, atol=1e-8)
            assert (found.kept == k).all()


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("splits", [partition, random_splits])
@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_both_precisions_of_both_kinds_of_array(kind, precision, splits, scale):
    X, Y = problem(120, 80, 40, 3, seed=1)
    expected, predictions = reference(X, Y, splits(120), 10, scale)
    fits = HeldOutFits(SharedSource.of(kind(X), scale, precision=precision), splits(120), 10)
    tolerance = 1e-8 if precision == "float64" else SINGLE
    found = fits.correlate(kind(Y))
    assert isinstance(found.r, np.ndarray) and found.r.dtype == np.float64
    np.testing.assert_allclose(found.r[:, :, 0], expected, rtol=0, atol=tolerance)
    halves = fits.correlate_halves(kind(Y[:2]), kind(Y[1:]))
    between = np.stack([pearson(one[:2], one[1:], axis=1) for one in predictions])
    np.testing.assert_allclose(halves.mapping[:, :, 0], between, rtol=0, atol=SINGLE)
    tested = np.stack([pearson(Y[:2, test], Y[1:, test], axis=1) for _, test in splits(120)])
    np.testing.assert_allclose(halves.responses[:, :, 0], tested, rtol=0, atol=tolerance)


def test_float32_responses_and_a_large_mean_cost_no_digits():
    X, Y = problem(100, 30, 20, 2, seed=2)
    expected, _ = reference(X, Y, partition(100), 5)
    fits = HeldOutFits(SharedSource.of(X + 1e4), partition(100), 5)
    np.testing.assert_allclose(fits.correlate(Y + 1e6).r[:, :, 0], expected, rtol=0, atol=1e-8)
    single = HeldOutFits(SharedSource.of(X + 1e4, precision="float32"), partition(100), 5)
    np.testing.assert_allclose(single.correlate(Y + 1e6).r[:, :, 0], expected, rtol=0, atol=SINGLE)


@pytest.mark.parametrize("factor", [1e-150, 1e-6, 1e6, 1e150])
def test_units_do_not_matter(factor):
    X, Y = problem(60, 20, 8, 1, seed=3)
    expected = HeldOutFits(SharedSource.of(X), partition(60), 4).correlate(Y).r
    for x, y in ((X * factor, Y), (X, Y * factor), (X * factor, Y / factor)):
        found = HeldOutFits(SharedSource.of(x), partition(60), 4).correlate(y).r
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def test_groups_are_correlated_on_their_own():
    """Samples are images x bins, fitted together; r is of each bin."""
    T, n = 3, 40
    X, Y = problem(T * n, 25, 6, 2, seed=4)
    Y += np.repeat(np.arange(T), n)[:, None] * 50  # bins differ in level, which r within a bin must not see
    over_images = random_splits(n)
    stacked = [tuple((np.arange(T)[:, None] * n + rows).ravel() for rows in split) for split in over_images]
    found = HeldOutFits(SharedSource.of(X), stacked, 5, n_groups=T)
    _, predictions = reference(X, Y, stacked, 5)
    r, halves = found.correlate(Y).r, found.correlate_halves(Y[:1], Y[1:])
    for s, (_, test) in enumerate(stacked):
        part = predictions[s].reshape(2, T, -1, 6)
        tested = Y[:, test].reshape(2, T, -1, 6)
        np.testing.assert_allclose(r[s], pearson(part, tested, axis=2), atol=1e-8)
        np.testing.assert_allclose(halves.mapping[s], pearson(part[:1], part[1:], axis=2), rtol=0, atol=SINGLE)
        np.testing.assert_allclose(halves.responses[s], pearson(tested[:1], tested[1:], axis=2), atol=1e-12)
    with pytest.raises(MappingError, match="equal runs"):
        HeldOutFits(SharedSource.of(X), [(np.arange(10, 100), np.arange(8))], 3, n_groups=3)


@pytest.mark.parametrize("splits", [partition, random_splits])
def test_parts_threads_and_recomputed_covariances_change_nothing(monkeypatch, splits):
    X, Y = problem(80, 30, 10, 7, seed=5)
    expected = HeldOutFits(SharedSource.of(X), splits(80), 4).correlate(Y)
    monkeypatch.setattr("neurofit.kernel.pls.CHUNK_BYTES", 2 * 10 * 30 * 8)
    monkeypatch.setattr(held_out, "KEPT_BYTES", 0)
    done: list[int] = []
    with ThreadPoolExecutor(3) as pool:
        fits = HeldOutFits(SharedSource.of(X), splits(80), 4, map_splits=pool.map, advance=done.append)
        found = fits.correlate(Y)
    np.testing.assert_allclose(found.r, expected.r, rtol=0, atol=1e-10)
    np.testing.assert_array_equal(found.kept, expected.kept)
    assert sum(done) == 7 * len(splits(80)) and len(done) > len(splits(80))


def test_what_does_not_vary_has_no_correlation():
    X, Y = problem(60, 20, 5, 1, seed=6)
    splits = partition(60)
    train, test = splits[0]
    Y[:, :, 1] = 7.0  # constant everywhere
    Y[:, test, 2] = 0.1  # constant over the test images of one split
    Y[:, train, 3] = 1 / 3  # constant over its training images: predicted by the mean, and flat in all other tests
    r = HeldOutFits(SharedSource.of(X), splits, 4).correlate(Y).r[:, 0, 0]
    assert np.isnan(r[:, 1]).all()
    assert np.isnan(r[0, [2, 3]]).all() and np.isnan(r[:, 3]).all() and np.isfinite(r[1:, 2]).all()
    assert np.isfinite(r[:, [0, 4]]).all()
    silent = HeldOutFits(SharedSource.of(np.ones((60, 20))), splits, 4).correlate(Y)
    assert np.isnan(silent.r).all() and (silent.kept == 0).all()


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("splits", [partition, random_splits])
def test_rank_deficient_features_keep_fewer_components(splits, precision):
    rng = np.random.default_rng(7)
    X = np.repeat(rng.standard_normal((60, 3)), 5, axis=1)
    Y = (X @ rng.standard_normal((15, 30)) + rng.standard_normal((60, 30)))[None]
    found = HeldOutFits(SharedSource.of(X, precision=precision), splits(60), 10).correlate(Y)
    assert (found.kept == 3).all()
    expected = HeldOutFits(SharedSource.of(X), splits(60), 3).correlate(Y).r
    np.testing.assert_allclose(found.r, expected, rtol=0, atol=1e-9 if precision == "float64" else SINGLE)


def test_an_outlier_that_holds_all_the_variance_is_fitted_without_down_dating():
    X, Y = problem(50, 20, 6, 2, seed=8)
    X[0] *= 1e9
    Y[:, 0] *= 1e9
    splits = partition(50)
    expected, _ = reference(X, Y, splits, 4)
    found = HeldOutFits(SharedSource.of(X), splits, 4).correlate(Y).r[:, :, 0]
    held_out_outlier = [s for s, (_, test) in enumerate(splits) if 0 in test]
    np.testing.assert_allclose(found[held_out_outlier], expected[held_out_outlier], rtol=0, atol=1e-6)


def test_test_responses_do_not_reach_the_fit():
    """Permuting the test responses of one split permutes its correlations' right side, and no prediction."""
    X, Y = problem(50, 20, 6, 1, seed=9)
    train, test = random_splits(50)[0]
    split = [(train, test)]
    fits = HeldOutFits(SharedSource.of(X), split, 4)
    before = fits.correlate_halves(Y, Y[:, :, ::-1].copy()).mapping
    changed = Y.copy()
    changed[:, test] = np.random.default_rng(0).standard_normal((1, len(test), 6)) * 100
    after = fits.correlate_halves(changed, changed[:, :, ::-1].copy()).mapping
    np.testing.assert_allclose(after, before, rtol=0, atol=1e-9)


def test_the_limits_of_down_dating_overlapping_and_repeated_rows():
    X, Y = problem(50, 10, 6, 2, seed=10)
    train = np.r_[np.arange(30), np.arange(5)]  # five images twice
    test = np.array([44, 31, 49, 37, 40, 31])  # not in order, one twice
    splits = [(train, test), (np.arange(25, 50), np.arange(0, 30))]
    expected, _ = reference(X, Y, splits, 3)
    found = HeldOutFits(SharedSource.of(X), splits, 3).correlate(Y).r[:, :, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_bad_arguments_are_named():
    X, Y = problem(20, 10, 3, 1, seed=11)
    source = SharedSource.of(X)
    with pytest.raises(MappingError, match="a split to fit to"):
        HeldOutFits(source, [], 3)
    with pytest.raises(MappingError, match="ask for at most 9"):
        HeldOutFits(source, [(np.arange(10), np.arange(10, 20))], 10)
    with pytest.raises(MappingError, match="one row per image"):
        HeldOutFits(source, partition(20), 3).correlate(Y[:, :19])
    with pytest.raises(MappingError, match="neuroids of target set 0"):
        HeldOutFits(source, partition(20), 3).correlate(np.where(np.arange(3) == 1, np.nan, Y))
    with pytest.raises(MappingError, match="same target sets and neuroids"):
        HeldOutFits(source, partition(20), 3).correlate_halves(Y, Y[:, :, :2])
    with pytest.raises(MappingError, match="'float64' or 'float32'"):
        SharedSource.of(X, precision="float16")
