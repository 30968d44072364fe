"""Features scaled inside the training images, and the two classifiers."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from neurofit.errors import UnknownNameError
from neurofit.kernel.linear_decoder import decode_images, scaled_features

TRAIN, TEST = np.arange(45), np.arange(45, 60)


def population(p=8, n_objects=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(60) % n_objects
    return rng.standard_normal((n_objects, p))[labels] + rng.standard_normal((60, p)) * 2 + 5, labels


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_equals_scikit_learn_on_z_scored_neuroids(classifier):
    X, labels = population()
    features = scaled_features(X, TRAIN, "units")
    ours = decode_images(features, labels, TRAIN, TEST, classifier, 1.0, 0)
    # a penalty of 1 on features of mean squared norm 1 is one of 1 / p on z-scored ones, without intercept penalty
    z = StandardScaler().fit(X[TRAIN])
    if classifier == "logistic":
        theirs = make_pipeline(z, LogisticRegression(C=1 / 8, max_iter=5000, tol=1e-8)).fit(X[TRAIN], labels[TRAIN])
        np.testing.assert_allclose(ours.scores, theirs.decision_function(X[TEST]), atol=2e-3)
    else:
        scaled = z.transform(X) / np.sqrt(8)
        theirs = LinearSVC(dual=True, max_iter=100_000, tol=1e-9, random_state=1).fit(scaled[TRAIN], labels[TRAIN])
        np.testing.assert_allclose(ours.scores, theirs.decision_function(scaled[TEST]), atol=2e-3)
    assert ours.converged


@pytest.mark.parametrize("scaling", ["units", "global"])
def test_mean_squared_norm_is_one_over_training_images(scaling):
    X, _ = population(p=200)
    for width in (8, 200):
        features = scaled_features(X[:, :width], TRAIN, scaling)
        assert (features[TRAIN] ** 2).sum(1).mean() == pytest.approx(1)
        assert features.shape[1] <= 60


@pytest.mark.parametrize("scaling", ["units", "global"])
def test_wide_features_keep_inner_products(scaling):
    X, _ = population(p=200)
    known = X[TRAIN]
    wide = X - known.mean(0)
    wide = wide / known.std(0) if scaling == "units" else wide
    wide /= np.sqrt((wide[TRAIN] ** 2).sum(1).mean())
    few = scaled_features(X, TRAIN, scaling)
    np.testing.assert_allclose(few @ few.T, wide @ wide.T, atol=1e-12)


def test_test_images_do_not_change_what_is_learnt():
    X, labels = population()
    moved = X.copy()
    moved[TEST[1:]] += 100
    before, after = (
        decode_images(scaled_features(values, TRAIN, "units"), labels, TRAIN, TEST[:1], "svm", 1.0, 0).scores
        for values in (X, moved)
    )
    np.testing.assert_array_equal(before, after)


def test_constant_neuroids_are_left_out():
    X, _ = population()
    X[:, 2] = 7.0
    X[TEST, 3], X[TRAIN, 3] = 9.0, 8.0  # varies over test images alone
    assert scaled_features(X, TRAIN, "units").shape == (60, 6)
    assert scaled_features(np.ones((60, 4)), TRAIN, "units").shape == (60, 0)


@pytest.mark.parametrize("classifier", ["svm", "logistic"])
def test_two_objects_have_two_columns(classifier):
    X, labels = population(n_objects=2)
    scores = decode_images(scaled_features(X, TRAIN, "units"), labels, TRAIN, TEST, classifier, 1.0, 0).scores
    assert scores.shape == (15, 2)
    assert (scores.argmax(1) == labels[TEST]).mean() > 0.6


def test_an_unknown_classifier_is_named():
    X, labels = population()
    with pytest.raises(UnknownNameError, match="'forest' is not known"):
        decode_images(X, labels, TRAIN, TEST, "forest", 1.0, 0)
