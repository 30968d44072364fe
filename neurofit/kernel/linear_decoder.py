"""A linear classifier of one population's responses: features scaled inside the training images, one score per object.

Letters: n images, p neuroids, K objects.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC

from neurofit.errors import UnknownNameError
from neurofit.kernel.isometric import isometric_features

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]
Classifier = Literal["svm", "logistic"]
Scaling = Literal["units", "global"]

PENALTY = 1.0
"""C of features whose mean squared norm is 1: a C of 1 / p on z-scored features of p neuroids. Brain-Score's decoder
has 1e-3 on z-scored layers, of about 1,000 units mostly (a comment in its code, brain-score/vision @ 439fec6)."""
CONSTANT = 1e-6
"""A neuroid whose spread is within this part of its largest magnitude is constant, as activations are in float32."""
_MAX_ITERATIONS = {"svm": 20_000, "logistic": 1_000}


class Decoded(NamedTuple):
    """What a classifier says of test images.

    Parameters
    ----------
    scores : array (m, K)
        Log odds up to a constant of each image: the class scores of K one-versus-rest support vector machines, or the
        logits of a multinomial logistic regression.
    converged : bool
    """

    scores: Array
    converged: bool


def scaled_features(X: npt.NDArray[np.floating], train: Rows, scaling: Scaling) -> Array:
    """Return features centred on the training images and scaled so that their mean squared norm there is 1.

    Parameters
    ----------
    X : array (n, p)
    train : array of int
        Rows that may be learnt from; the others are transformed alike.
    scaling : {'units', 'global'}
        'units': z-scored, neuroid by neuroid, before; 'global': one scale for all.

    Returns
    -------
    array (n, at most min(n, p))
        Neuroids that are constant over the training images are left out. Where there are more neuroids than images,
        other features with the same inner products, which a linear classifier cannot tell from them.
    """
    known = X[train]
    spread, magnitude = np.ptp(known, axis=0), np.abs(known).max(0, initial=0.0)
    varying = spread > CONSTANT * magnitude
    values = X[:, varying].astype(np.float64)
    values -= values[train].mean(0)
    if scaling == "units":
        values /= values[train].std(0)
    norm = np.sqrt(np.einsum("np,np->", values[train], values[train]) / len(train))
    if norm > 0:
        values /= norm
    if values.shape[1] <= len(values):
        return values
    return isometric_features(values @ values.T, overwrite=True)[0]


def decode_images(
    features: Array, labels: Rows, train: Rows, test: Rows, classifier: Classifier, penalty: float, random_state: int
) -> Decoded:
    """Fit a classifier to the training images and return its scores of the test images.

    Parameters
    ----------
    features : array (n, d)
        See `scaled_features`.
    labels : array of int (n,)
        0 ... K - 1, each among the training images.
    train, test : arrays of int
    classifier : {'svm', 'logistic'}
        K linear support vector machines, one object against the rest (squared hinge loss, L2 penalty: liblinear), or
        multinomial logistic regression (L2; L-BFGS).
    penalty : float
        C.
    random_state : int
        Of the order in which liblinear visits images.

    Raises
    ------
    UnknownNameError
        If there is no such classifier.
    """
    n_objects = int(labels.max()) + 1
    most = _MAX_ITERATIONS.get(classifier, 0)
    if classifier == "svm":
        model = LinearSVC(C=penalty, dual="auto", max_iter=most, random_state=random_state)
    elif classifier == "logistic":
        model = LogisticRegression(C=penalty, max_iter=most)
    else:
        raise UnknownNameError("classifier", classifier, get_args(Classifier))
    model.fit(features[train], labels[train])
    scores = np.asarray(model.decision_function(features[test]), np.float64)
    if n_objects == 2:
        # one column says it for both: opposite scores of the machines, the log odds of the regression
        scores = np.stack([-scores if classifier == "svm" else np.zeros_like(scores), scores], 1)
    return Decoded(scores, bool(np.max(model.n_iter_) < most))


__all__ = ["PENALTY", "Classifier", "Decoded", "Scaling", "decode_images", "scaled_features"]
