"""Ridge regression against scikit-learn's, and against leave-one-out done image by image."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge, RidgeCV
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from neurofit.errors import MappingError
from neurofit.kernel import ridge
from neurofit.kernel.ridge import RidgeSource, check_alphas, fit_ridge, predict_held_out, predict_ridge

GRID = np.logspace(-2, 4, 7)


def data(seed, n, p, q=4, offset=0.0, decay=0.97):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * decay ** np.arange(p) + offset
    noise = rng.standard_normal((n, q)) * np.logspace(-1, 1.5, q)
    return X, (X - offset) @ rng.standard_normal((p, q)) + noise + offset


def leave_one_out_errors(X, Y, alphas):
    """Sum of squared errors (A, q) of every penalty, by refitting."""
    return np.array([np.sum((cross_val_predict(Ridge(a), X, Y, cv=LeaveOneOut()) - Y) ** 2, 0) for a in alphas])


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(12, 40),
    p=st.integers(1, 60),
    offset=st.sampled_from([0.0, -5.0, 1e4]),
    form=st.sampled_from(["primal", "dual", None]),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 10**6),
)
def test_equals_scikit_learns_leave_one_out(n, p, offset, form, dtype, seed):
    X, Y = (a.astype(dtype) for a in data(seed, n, p, offset=offset))
    rng = np.random.default_rng(seed)
    rows = rng.permutation(n)
    train, test = rows[n // 4 :], rows[: n // 4]
    reference = RidgeCV(GRID, alpha_per_target=True).fit(X[train].astype(float), Y[train].astype(float))
    expected = reference.predict(X[test].astype(float))
    source = RidgeSource(X, form)
    found, alphas = predict_held_out(source, np.stack([Y, -2 * Y]), train, test, GRID, relative=False)
    scale = np.abs(expected - Y[train].mean(0)).max()
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-8 * scale)
    np.testing.assert_allclose(found[1], -2 * expected, rtol=0, atol=2e-8 * scale)
    np.testing.assert_array_equal(alphas, [reference.alpha_] * 2)
    fit = fit_ridge(X[train], Y[train], GRID, relative=False)
    np.testing.assert_allclose(predict_ridge(fit, X[test]), expected, rtol=0, atol=1e-8 * scale)
    np.testing.assert_array_equal(fit.alphas, reference.alpha_)


@pytest.mark.parametrize(("n", "p"), [(30, 8), (30, 29), (30, 30), (30, 100)])
def test_the_choice_is_by_leaving_every_image_out(n, p):
    X, Y = data(1, n, p)
    fit = fit_ridge(X, Y, GRID, relative=False)
    np.testing.assert_array_equal(fit.alphas, GRID[leave_one_out_errors(X, Y, GRID).argmin(0)])
    assert len(set(fit.alphas)) > 1  # the neuroids differ


@pytest.mark.parametrize(("n", "p"), [(40, 10), (40, 90)])
def test_one_penalty_is_ridge_regression(n, p):
    X, Y = data(2, n, p)
    fit = fit_ridge(X, Y, [3.0], relative=False)
    reference = Ridge(3.0, tol=1e-14).fit(X, Y)
    np.testing.assert_allclose(fit.coefficients, reference.coef_.T, rtol=0, atol=1e-10)
    np.testing.assert_allclose(predict_ridge(fit, X), reference.predict(X), rtol=0, atol=1e-10)


@pytest.mark.parametrize("p", [5, 60])
def test_hardly_any_penalty_is_least_squares_and_a_huge_one_the_mean(p):
    X, Y = data(3, 40, p)
    least, mean = (predict_ridge(fit_ridge(X, Y, [alpha]), X) for alpha in (1e-12, 1e15))
    np.testing.assert_allclose(least, LinearRegression().fit(X, Y).predict(X), rtol=0, atol=1e-7)
    np.testing.assert_allclose(mean, np.tile(Y.mean(0), (40, 1)), rtol=0, atol=1e-9)


@pytest.mark.parametrize("p", [6, 80])
def test_units_and_copies_of_features_do_not_matter_to_relative_penalties(p):
    X, Y = data(4, 50, p)
    train, test = np.arange(40), np.arange(40, 50)
    expected, alphas = predict_held_out(RidgeSource(X), Y[None], train, test)
    for moved, factor in ((1e-150 * X, 1), (1e150 * X, 1), (np.hstack([X, X]), 1), (X, 1e-120), (X, 1e120)):
        found, same = predict_held_out(RidgeSource(moved), factor * Y[None], train, test)
        np.testing.assert_allclose(found / factor, expected, rtol=0, atol=1e-8)
        np.testing.assert_array_equal(same, alphas)
    spread = np.square(X - X.mean(0)).sum() / 50
    absolute = fit_ridge(X, Y, np.array(ridge.DEFAULT_ALPHAS) * spread, relative=False)
    np.testing.assert_allclose(fit_ridge(X, Y).coefficients, absolute.coefficients, rtol=0, atol=1e-10)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_absolute_penalties_of_extreme_units_shrink_all_or_nothing(scale):
    X, Y = data(5, 40, 5)
    found = predict_ridge(fit_ridge(scale * X, Y, [1.0, 2.0], relative=False), scale * X)
    expected = LinearRegression().fit(X, Y).predict(X) if scale > 1 else np.tile(Y.mean(0), (40, 1))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("form", ["primal", "dual"])
def test_constant_columns_and_low_rank(form):
    X, Y = data(6, 40, 6)
    X = np.hstack([X, X @ np.ones((6, 3)), np.full((40, 1), 0.1), np.full((40, 1), 1e9)])
    Y[:, 1] = 7.3
    train, test = np.arange(30), np.arange(30, 40)
    found, alphas = predict_held_out(RidgeSource(X, form), Y[None], train, test, GRID, relative=False)
    reference = RidgeCV(GRID, alpha_per_target=True).fit(X[train, :-1], Y[train])
    varying = [0, 2, 3]
    np.testing.assert_allclose(found[0][:, varying], reference.predict(X[test, :-1])[:, varying], rtol=0, atol=1e-8)
    np.testing.assert_array_equal(alphas[0, varying], reference.alpha_[varying])
    np.testing.assert_allclose(found[0][:, 1], 7.3, rtol=1e-14)
    assert np.ptp(found[0][:, 1]) == 0
    for nothing in (np.full((40, 3), 0.1), np.zeros((40, 60))):
        flat, _ = predict_held_out(RidgeSource(nothing, form), Y[None], train, test)
        np.testing.assert_allclose(flat[0], np.tile(Y[train].mean(0), (10, 1)), rtol=1e-14)


@pytest.mark.parametrize("p", [10, 100])
def test_test_responses_are_never_seen(p):
    X, Y = data(7, 60, p)
    train, test = np.arange(45), np.arange(45, 60)
    expected, alphas = predict_held_out(RidgeSource(X), Y[None], train, test)
    spoilt = Y.copy()
    spoilt[test] = 50 * np.random.default_rng(0).standard_normal((15, 4)) - 1000
    found, same = predict_held_out(RidgeSource(X), spoilt[None], train, test)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(same, alphas)


def test_test_features_choose_nothing():
    X, Y = data(8, 60, 100)
    train, test = np.arange(45), np.arange(45, 60)
    _, alphas = predict_held_out(RidgeSource(X), Y[None], train, test)
    moved = X.copy()
    moved[test] *= -3
    np.testing.assert_array_equal(predict_held_out(RidgeSource(moved), Y[None], train, test)[1], alphas)


@pytest.mark.parametrize("p", [10, 100])
def test_rows_that_share_nothing_are_fitted_alone(p):
    X, Y = data(9, 40, p)
    X[35:] *= 1e6  # nearly all variance is left out
    lopsided, repeated = np.arange(35), np.r_[np.arange(35), 3, 4]
    for train in (lopsided, repeated):
        source = RidgeSource(X)
        assert source.spectrum(train) is None
        found, alphas = predict_held_out(source, Y[None], train, np.arange(30, 35), GRID, relative=False)
        reference = RidgeCV(GRID, alpha_per_target=True).fit(X[train], Y[train])
        np.testing.assert_allclose(found[0], reference.predict(X[30:35]), rtol=0, atol=1e-8)
        np.testing.assert_array_equal(alphas[0], reference.alpha_)


def test_each_training_set_is_decomposed_once(monkeypatch):
    X, Y = data(10, 40, 8)
    calls = []
    original = np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda a: calls.append(a.shape) or original(a))
    source = RidgeSource(X)
    targets = source.with_targets(np.stack([Y, Y**2]))
    for _ in range(3):
        for split in (np.arange(30), np.arange(10, 40)):
            predict_held_out(source, targets, split, [0])
    assert calls == [(8, 8), (8, 8)]
    monkeypatch.setattr(ridge, "KEPT_BYTES", 0)
    forgetful = RidgeSource(X)
    for _ in range(2):
        predict_held_out(forgetful, Y[None], np.arange(30), [0])
    assert len(calls) == 4


def test_target_sets_come_in_parts(monkeypatch):
    X, Y = data(11, 40, 12)
    sets = np.stack([Y, -Y, Y**2])
    expected = predict_held_out(RidgeSource(X), sets, np.arange(30), np.arange(30, 40))
    monkeypatch.setattr(ridge, "CHUNK_BYTES", 1)
    found = predict_held_out(RidgeSource(X), sets, np.arange(30), np.arange(30, 40))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)
    fits = fit_ridge(X, sets)
    for b in range(3):
        np.testing.assert_allclose(fits.coefficients[b], fit_ridge(X, sets[b]).coefficients, rtol=0, atol=1e-12)


@pytest.mark.parametrize("alphas", [[], [0.0], [1.0, -1.0], [np.inf], [[1.0]], [np.nan]])
def test_penalties_are_positive(alphas):
    with pytest.raises(MappingError, match="finite numbers above 0 - alphas is"):
        check_alphas(alphas)


def test_bad_input_is_told():
    X, Y = data(12, 20, 5)
    source = RidgeSource(X)
    with pytest.raises(MappingError, match="at least 2 images - there is 1"):
        predict_held_out(source, Y[None], [0], [1])
    with pytest.raises(MappingError, match="targets are finite - 1 neuroids of target set 0 are not: columns 2"):
        predict_held_out(source, np.where(np.arange(4) == 2, np.nan, Y)[None], np.arange(15), [16])
    with pytest.raises(MappingError, match="belong to another one"):
        predict_held_out(source, RidgeSource(X).with_targets(Y[None]), np.arange(15), [16])
    with pytest.raises(MappingError, match="there are 4 features, fitted were 5"):
        predict_ridge(fit_ridge(X, Y), X[:, :4])
