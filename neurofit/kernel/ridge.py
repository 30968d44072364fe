"""Ridge regression with a penalty of its own for every neuroid, chosen by exact leave-one-out.

One eigendecomposition per training set serves all penalties, target sets and neuroids: with the training features
F = U L^(1/2) V', the residuals of penalty a are U a/(L+a) U'y plus what F cannot reach, and the leave-one-out
residual of an image is its residual over one minus its leverage (Allen 1974, Technometrics 16:125; "PRESS"). This is
leave-one-out itself, not generalised cross-validation, which replaces the leverages by their mean. Test images are
never looked at.

Everything is float64. The spectrum comes from the r x r covariance or the m x m
Gram matrix of the training features, whichever is smaller; relative to the largest eigenvalue l, penalties a count
with an error of about 1e-16 l / a, and directions below r 1e-16 l not at all.

Letters: n images, m of them for training, p features, r shared features, q neuroids, B target sets, A penalties.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurofit.errors import MappingError
from neurofit.kernel.arrays import Array, as_array, like, namespace
from neurofit.kernel.centring import CONSTANT, check_matrix, check_targets
from neurofit.kernel.gram import Form, Rows, SharedSource, SharedTargets, TrainingFeatures
from neurofit.kernel.pls import as_rows, prepared, safe_training

#: Penalties relative to the total variance of the training features, which makes them the ratio of noise to signal
#: variance that is expected if all weights are alike. One a decade. Our choice: .1 to 1e5 on a few thousand
#: standardised features, the grid in use with DeepJuice (Conwell et al. 2024, Nature Communications 15:9383), is 1e-5
#: to 1e1 or so here. Spectra of network layers are steep, so that we go on to 1e5, beyond the number of images, where
#: all directions are shrunk alike and r does not change any more.
DEFAULT_ALPHAS = tuple(10.0**exponent for exponent in range(-5, 6))
#: Residuals of this size are worked on at a time.
CHUNK_BYTES = 2**25
#: Decompositions of training sets are kept up to this size, otherwise made anew.
KEPT_BYTES = 2**30
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class RidgeFit:
    """A ridge regression of one target set (or of B, then with a leading axis B where it says ...).

    Predictions are (x - x_mean) @ coefficients + y_mean.

    Attributes
    ----------
    coefficients : array (..., p, q)
    x_mean : array (p,)
    y_mean : array (..., q)
    alphas : array (..., q)
        The penalty chosen for each neuroid, as it stands in the grid.
    """

    coefficients: Array
    x_mean: Array
    y_mean: Array
    alphas: Array


def fit_ridge(X: Any, Y: Any, alphas: npt.ArrayLike | None = None, *, relative: bool = True) -> RidgeFit:
    """Fit ridge regression to all images.

    Parameters
    ----------
    X : array or torch tensor (n, p)
    Y : array or torch tensor (n, q) or (B, n, q)
    alphas, relative
        See `predict_held_out`.

    Returns
    -------
    RidgeFit

    Raises
    ------
    MappingError
        If X or Y is not finite, shapes do not fit, or a penalty is not above 0.
    """
    grid = check_alphas(alphas)
    X, Y = check_matrix(X, "features", ("image", "feature")), as_array(Y)
    batch = check_targets(Y[None] if Y.ndim == 2 else Y, X.shape[0])
    _check_images(X.shape[0])
    source = SharedSource.of(X)
    targets = source.with_targets(batch)
    spectrum = _Spectrum.of(TrainingFeatures.of(source, np.arange(X.shape[0])))
    parts = []
    for members in _chunks(targets, len(X)):
        weights, means, chosen = _fit(spectrum, targets, members, grid, relative)
        unit = targets.unit[members.start : members.stop, None, None]
        rotations = (spectrum.directions @ weights).swapaxes(1, 2)  # (b, q, r)
        parts.append((source.in_features(rotations) * unit, means, chosen))
    xp = namespace(X)
    coefficients, means, chosen = (xp.concat(part) for part in zip(*parts, strict=True))
    # of the shared features, whose mean is zero up to rounding: their origin is the mean of X
    fit = RidgeFit(coefficients, source.location.mean, means, chosen)
    return fit if Y.ndim == 3 else RidgeFit(coefficients[0], fit.x_mean, means[0], chosen[0])


def predict_ridge(fit: RidgeFit, X: Any) -> Array:
    """Predict (..., n_test, q) from features (n_test, p)."""
    X = check_matrix(X, "features", ("image", "feature"))
    if X.shape[1] != len(fit.x_mean):
        raise MappingError(
            "features are those of the fit",
            f"there are {X.shape[1]} features, fitted were {len(fit.x_mean)}",
            "give the same features in the same order",
        )
    xp = namespace(X, fit.coefficients)
    return (xp.astype(X, xp.float64, copy=False) - fit.x_mean) @ fit.coefficients + fit.y_mean[..., None, :]


class RidgeSource:
    """Features for any number of splits and target sets, with the eigendecomposition of each training set made once.

    Parameters
    ----------
    X : array or torch tensor (n, p)
    form : {"dual", "primal"}, optional
        See `SharedSource.of`.
    """

    def __init__(self, X: Any, form: Form | None = None) -> None:
        self.shared = SharedSource.of(X, form=form)
        self._spectra: dict[bytes, _Spectrum] = {}
        self._room = KEPT_BYTES

    def with_targets(self, Y: Any) -> SharedTargets:
        """Prepare target sets (B, n, q) once for all splits."""
        return self.shared.with_targets(Y)

    def spectrum(self, train: Rows) -> _Spectrum | None:
        """Return the decomposition of a training set; None where it shares nothing with others."""
        key = train.tobytes()
        found = self._spectra.get(key)
        if found is None:
            training = safe_training(self.shared, train)
            if training is None:
                return None
            found = _Spectrum.of(training)
            size = 8 * (found.left.size + found.directions.size)
            if size <= self._room:
                self._room -= size
                self._spectra[key] = found
        return found


def predict_held_out(
    source: RidgeSource,
    Y: Any,
    train: npt.ArrayLike,
    test: npt.ArrayLike,
    alphas: npt.ArrayLike | None = None,
    *,
    relative: bool = True,
) -> tuple[Array, Array]:
    """Fit B target sets on the training images and predict the test images.

    Parameters
    ----------
    source : RidgeSource
        The features of all n images.
    Y : array (B, n, q) or SharedTargets
        With several splits, prepare it once: `source.with_targets(Y)`.
    train, test : array of int, or of bool (n,)
        Rows to fit on and to predict.
    alphas : sequence of float, optional
        Penalties to choose from, `DEFAULT_ALPHAS` by default; of equally good ones the first is chosen.
    relative : bool, default True
        Whether penalties are multiplied by the total variance of the training features (the mean over images of the
        squared distance from the mean), so that units and number of features do not matter. If not, they are
        scikit-learn's: |y - Xw|^2 + alpha |w|^2.

    Returns
    -------
    predictions : array (B, n_test, q)
    alphas : array (B, q)
        The penalty chosen for each neuroid, as it stands in the grid.

    Raises
    ------
    MappingError
        If Y is not finite, shapes or rows do not fit, or a penalty is not above 0.
    """
    grid, shared = check_alphas(alphas), source.shared
    train_rows, test_rows = as_rows(train, "train", shared), as_rows(test, "test", shared)
    _check_images(len(train_rows))
    targets = prepared(shared, Y)
    spectrum = source.spectrum(train_rows)
    if spectrum is None:  # repeated rows, or nearly all variance left out: nothing can be shared
        fit = fit_ridge(shared.values[train_rows], targets.values[:, train_rows], grid, relative=relative)
        return predict_ridge(fit, shared.values[test_rows]), fit.alphas
    scores = (shared.features[test_rows] - spectrum.mean) @ spectrum.directions
    parts = []
    for members in _chunks(targets, len(train_rows)):
        weights, means, chosen = _fit(spectrum, targets, members, grid, relative)
        unit = targets.unit[members.start : members.stop, None, None]
        parts.append((scores @ weights * unit + means[:, None, :], chosen))
    predictions, chosen = (namespace(scores).concat(part) for part in zip(*parts, strict=True))
    return predictions, chosen


def check_alphas(alphas: npt.ArrayLike | None) -> npt.NDArray[np.float64]:
    """Return the penalties (A,), or raise unless all are above 0 and finite."""
    grid = np.asarray(DEFAULT_ALPHAS if alphas is None else alphas, np.float64)
    if grid.ndim != 1 or not len(grid) or not ((grid > 0) & np.isfinite(grid)).all():
        raise MappingError(
            "the penalties of a ridge regression are a list of finite numbers above 0",
            f"alphas is {np.array2string(grid, threshold=6, edgeitems=2)}",
            "give alphas=[1.0], say, or leave them out",
        )
    return grid


@dataclass(frozen=True)
class _Spectrum:
    """Eigendecomposition of a training set's features F (m, r), k of its directions being above rounding.

    Attributes
    ----------
    rows : ndarray of int (m,)
    mean : array (r,)
        Training mean of the shared features.
    left : array (m, k)
        U, orthonormal: what the training images are in each direction.
    values : array (k,)
        L, variances times m.
    directions : array (r, k)
        V, orthonormal.
    unreached : array (m,)
        Part of each image that no direction reaches, squared: 1 - 1/m - sum of U^2.
    is_complete : bool
        Whether the directions reach every image exactly (as many as images, less the mean).
    unit : float
        By which the features were divided.
    """

    rows: Rows
    mean: Array
    left: Array
    values: Array
    directions: Array
    unreached: Array
    is_complete: bool
    unit: float

    @classmethod
    def of(cls, training: TrainingFeatures) -> _Spectrum:
        features = training.source.features[training.train]
        xp = namespace(features)
        mean = xp.mean(features, axis=0)
        features = features - mean
        m, r = features.shape
        primal = r < m
        products = training.covariance if primal else features @ features.T
        values, vectors = xp.linalg.eigh(products)
        kept = values > max(m, r) * EPS * xp.max(values) if len(values) else values > 0
        values, vectors = values[kept], vectors[:, kept]
        roots = xp.sqrt(values)
        if primal:
            left, directions = features @ vectors / roots, vectors
        else:
            left, directions = vectors, features.T @ vectors / roots
        is_complete = len(values) == m - 1
        unreached = xp.clip(1.0 - 1.0 / m - xp.sum(left * left, axis=1), 0.0, 1.0)
        if is_complete:
            unreached = xp.zeros_like(unreached)
        return cls(
            training.train, mean, left, values, directions, unreached, is_complete, training.source.location.unit
        )

    def penalties(self, grid: npt.NDArray[np.float64], relative: bool) -> list[float]:
        """Return the penalties of the grid in units of the squared features."""
        with np.errstate(over="ignore"):
            units = grid * (float(self.values.sum()) / len(self.rows)) if relative else grid / self.unit / self.unit
        return np.clip(units, 1e-300, 1e300).tolist()  # beyond, all or nothing is shrunk


def _fit(
    spectrum: _Spectrum, targets: SharedTargets, members: range, grid: npt.NDArray[np.float64], relative: bool
) -> tuple[Array, Array, Array]:
    """Choose penalties and fit some target sets.

    Returns
    -------
    weights : array (b, k, q)
        Of the test images' scores, in the units of the centred targets.
    means : array (b, q)
        Training means in the units of Y.
    chosen : array (b, q)
        Penalties as they stand in the grid.
    """
    values, means = _training_targets(targets, members, spectrum.rows)
    xp = namespace(values)
    n_sets, m, q = values.shape
    flat = xp.permute_dims(values, (1, 0, 2)).reshape(m, n_sets * q)
    along = spectrum.left.T @ flat  # (k, b q)
    unreached = xp.zeros_like(flat) if spectrum.is_complete else flat - spectrum.left @ along
    squared, tiny = spectrum.left * spectrum.left, float(np.finfo(np.float64).tiny)
    penalties = spectrum.penalties(grid, relative)
    errors = []
    for penalty in penalties if len(penalties) > 1 else ():
        shrunk = penalty / (spectrum.values + penalty)
        residuals = spectrum.left @ (shrunk[:, None] * along)
        residuals += unreached
        residuals /= xp.clip(spectrum.unreached + squared @ shrunk, tiny, None)[:, None]
        errors.append(xp.einsum("mj,mj->j", residuals, residuals))
    best = xp.argmin(xp.stack(errors), axis=0) if errors else xp.zeros(flat.shape[1], dtype=xp.int64)
    best = like(best, flat)
    penalty = xp.take(like(penalties, flat, xp.float64), best)
    along *= xp.sqrt(spectrum.values)[:, None]
    along /= spectrum.values[:, None] + penalty
    weights = xp.permute_dims(along.reshape(-1, n_sets, q), (1, 0, 2))
    chosen = xp.take(like(grid, flat), best).reshape(n_sets, q)
    return weights, targets.in_units_of_y(means, members), chosen


def _training_targets(targets: SharedTargets, members: range, rows: Rows) -> tuple[Array, Array]:
    """Targets (b, m, q) centred over the training images, and their means (b, q), in the targets' units."""
    values = targets.centred(members, rows)
    xp = namespace(values)
    means = xp.mean(values, axis=1)
    unit = targets.unit[members.start : members.stop, None]
    level = xp.abs(targets.mean[members.start : members.stop]) / unit + xp.max(xp.abs(values), axis=1)
    constant = xp.max(values, axis=1) - xp.min(values, axis=1) <= CONSTANT * level
    values = values - means[:, None]
    return xp.where(constant[:, None], xp.zeros_like(values), values), means


def _chunks(targets: SharedTargets, m: int) -> Iterator[range]:
    """Target sets, as many at a time as their residuals allow."""
    n_sets, _, q = targets.values.shape
    size = max(1, CHUNK_BYTES // (8 * m * q))
    return (range(start, min(start + size, n_sets)) for start in range(0, n_sets, size))


def _check_images(m: int) -> None:
    if m < 2:
        raise MappingError("a ridge regression is trained on at least 2 images", f"there is {m}", "train on more")
