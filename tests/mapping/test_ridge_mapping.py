from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurofit.errors import MappingError
from neurofit.kernel.correlation import pearson
from neurofit.mapping.estimators import RidgeMapping
from neurofit.mapping.splitters import StimulusShuffleSplit

GRID = (0.1, 1.0, 10.0, 100.0, 1000.0)


def data(seed=0, n=60, p=90, q=5):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * 0.9 ** np.arange(p) + 3
    return X, X @ rng.standard_normal((p, q)) * 0.7 ** np.arange(q) + 0.8 * rng.standard_normal((n, q))


@parametrize_with_checks([RidgeMapping(), RidgeMapping(GRID, relative_alphas=False)])
def test_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("p", [20, 90])
def test_equals_scikit_learn(p):
    X, Y = data(p=p)
    mapping = RidgeMapping(GRID, relative_alphas=False).fit(X, Y)
    reference = RidgeCV(GRID, alpha_per_target=True).fit(X, Y)
    np.testing.assert_allclose(mapping.predict(X), reference.predict(X), rtol=0, atol=1e-9)
    np.testing.assert_allclose(mapping.coef_, reference.coef_, rtol=0, atol=1e-9)
    np.testing.assert_allclose(mapping.intercept_, reference.intercept_, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(mapping.alphas_, reference.alpha_)
    assert mapping.score(X, Y) == pytest.approx(reference.score(X, Y))


def test_defaults():
    assert repr(RidgeMapping()) == "RidgeMapping()"
    assert RidgeMapping().get_params() == {"alphas": None, "relative_alphas": True}


def test_one_neuroid_may_be_one_dimensional():
    X, Y = data()
    assert RidgeMapping().fit(X, Y[:, 0]).predict(X).shape == (60,)


def test_held_out_predictions_are_those_of_a_fit():
    X, Y = data()
    mapping = RidgeMapping()
    source = mapping.prepare(X)
    for train, test in StimulusShuffleSplit(3).split(X):
        found, alphas = mapping.predict_held_out(source, np.stack([Y, -Y]), train, test)
        fit = clone(mapping).fit(X[train], Y[train])
        expected = fit.predict(X[test])
        np.testing.assert_allclose(found, [expected, -expected], rtol=0, atol=1e-9)
        np.testing.assert_array_equal(alphas, [fit.alphas_] * 2)


def test_held_out_correlations_are_those_of_predictions():
    X, Y = data()
    splits = list(StimulusShuffleSplit(3).split(X))
    fits = RidgeMapping().held_out(X, splits, n_groups=3)
    found = fits.correlate(Y[None])
    halves = fits.correlate_halves(Y[None] + 1, Y[None] ** 2)
    assert found.r.shape == (3, 1, 3, 5)
    assert found.kept.shape == (3, 1, 5)
    for s, (train, test) in enumerate(splits):
        test = np.sort(test)
        predicted = RidgeMapping().fit(X[train], Y[train]).predict(X[test])
        squared = RidgeMapping().fit(X[train], Y[train] ** 2).predict(X[test])
        for g, rows in enumerate(np.split(np.arange(15), 3)):
            np.testing.assert_allclose(found.r[s, 0, g], pearson(predicted[rows], Y[test[rows]]), atol=1e-9)
            np.testing.assert_allclose(halves.mapping[s, 0, g], pearson(predicted[rows], squared[rows]), atol=1e-9)


def test_works_in_scikit_learn():
    X, Y = data()
    predictions = cross_val_predict(RidgeMapping(), X, Y, cv=5)
    assert np.corrcoef(predictions[:, 0], Y[:, 0])[0, 1] > 0.8


def test_impossible_penalties():
    X, Y = data()
    with pytest.raises(MappingError, match="finite numbers above 0"):
        RidgeMapping([1.0, 0.0]).fit(X, Y)
