from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import cross_val_predict
from sklearn.utils.estimator_checks import parametrize_with_checks

from neurofit.errors import MappingError
from neurofit.mapping.estimators import PLSMapping
from neurofit.mapping.splitters import StimulusShuffleSplit


def data(seed=0, n=60, p=90, q=5):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * 0.9 ** np.arange(p) + 3
    return X, X @ rng.standard_normal((p, q)) * 0.7 ** np.arange(q) + 0.2 * rng.standard_normal((n, q))


# One component: the checks fit to as little as two images or one feature.
@parametrize_with_checks([PLSMapping(n_components=1), PLSMapping(n_components=1, scale=True)])
def test_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize("scale", [False, True])
def test_equals_scikit_learn(scale):
    X, Y = data()
    mapping = PLSMapping(4, scale=scale).fit(X, Y)
    reference = PLSRegression(4, scale=scale, tol=1e-20, max_iter=100_000).fit(X, Y)
    np.testing.assert_allclose(mapping.predict(X), reference.predict(X), rtol=0, atol=1e-8)
    np.testing.assert_allclose(mapping.coef_, reference.coef_, rtol=0, atol=1e-8 * np.abs(reference.coef_).max())
    np.testing.assert_allclose(X @ mapping.coef_.T + mapping.intercept_, mapping.predict(X), rtol=0, atol=1e-9)
    assert mapping.n_components_ == 4
    assert mapping.score(X, Y) == pytest.approx(reference.score(X, Y))


def test_defaults_are_the_papers():
    assert repr(PLSMapping()) == "PLSMapping()"
    assert PLSMapping().get_params() == {
        "n_components": 25, "scale": False, "precision": "float64", "device": "cpu",
    }  # fmt: skip


def test_one_neuroid_may_be_one_dimensional():
    X, Y = data()
    assert PLSMapping(3).fit(X, Y[:, 0]).predict(X).shape == (60,)


def test_held_out_predictions_are_those_of_a_fit():
    X, Y = data()
    mapping = PLSMapping(5, scale=True)
    source = mapping.prepare(X)
    for train, test in StimulusShuffleSplit(3).split(X):
        found, kept = mapping.predict_held_out(source, np.stack([Y, -Y]), train, test)
        expected = clone(mapping).fit(X[train], Y[train]).predict(X[test])
        np.testing.assert_allclose(found, [expected, -expected], rtol=0, atol=1e-9)
        np.testing.assert_array_equal(kept, 5)


def test_works_in_scikit_learn():
    X, Y = data()
    predictions = cross_val_predict(PLSMapping(8), X, Y, cv=5)
    assert np.corrcoef(predictions[:, 0], Y[:, 0])[0, 1] > 0.8


def test_too_many_components():
    X, Y = data(n=20)
    with pytest.raises(MappingError, match="n_components is 25 but 20 training images allow 19"):
        PLSMapping().fit(X, Y)
