"""Exact partial least squares (PLS2), with scikit-learn's semantics, from sufficient statistics.

PLSRegression of scikit-learn stops its power iterations early (tol 1e-6) and so differs from exact PLS by up to
1.5e-3 in the correlation of single neuroids; run to convergence (tol 1e-20) it agrees with this module to 1e-9.
Where eigenvalues of the cross-covariance coincide, components are defined up to rotation only, here and there.

Letters: n images, m of them for training, p features, q neuroids, k components, B target sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from neurofit.errors import MappingError
from neurofit.kernel.arrays import Array, Precision, as_array, namespace, to_numpy
from neurofit.kernel.centring import check_matrix, check_targets, standardise
from neurofit.kernel.components import Components, extract_components
from neurofit.kernel.gram import Rows, SharedSource, SharedTargets, TrainingFeatures

#: Cross-products of this size are worked on at a time, so that they stay near the processor.
CHUNK_BYTES = 2**25


@dataclass(frozen=True)
class PLSFit:
    """A fitted PLS2 regression, or one for each of B target sets (then with a leading axis B where it says ...).

    The prediction from x is ((x - x_mean) / x_scale) @ rotations @ y_loadings' * y_scale + y_mean, and every prefix
    of the components is the smaller model.

    Attributes
    ----------
    rotations : array (..., p, k)
        Scores of the training images are orthonormal; components beyond `kept` are zero.
    y_loadings : array (..., q, k)
    x_mean, x_scale : array (p,)
        Training mean, and training standard deviation (ones if scale=False).
    y_mean, y_scale : array (..., q)
    kept : array of int (...)
        Components kept: fewer than asked for where the rank was exhausted, 0 for a constant source.
    """

    rotations: Array
    y_loadings: Array
    x_mean: Array
    x_scale: Array
    y_mean: Array
    y_scale: Array
    kept: Array

    def coefficients(self, n_components: int | None = None) -> Array:
        """Return the linear map (..., p, q): predictions are (x - x_mean) @ coefficients + y_mean."""
        k = _prefix(self, n_components)
        product = self.rotations[..., :k] @ self.y_loadings[..., :k].swapaxes(-1, -2)
        return product / self.x_scale[:, None] * self.y_scale[..., None, :]


def fit_pls(X: Any, Y: Any, n_components: int, *, scale: bool = False, precision: Precision = "float64") -> PLSFit:
    """Fit PLS2 to all images.

    Parameters
    ----------
    X : array or torch tensor (n, p)
    Y : array or torch tensor (n, q) or (B, n, q)
        Targets, or B target sets that are fitted one by one but share the work on X; where X is.
    n_components : int
        k, at most min(n - 1, p).
    scale : bool, default False
        Divide X and Y by their standard deviations (the field's standard is False: spec/convrnn.md 6.1).
    precision : {"float64", "float32"}
        Of the computation.

    Returns
    -------
    PLSFit

    Raises
    ------
    MappingError
        If X or Y is not finite, shapes do not fit, or more components are asked for than the data allow.
    """
    X = check_matrix(X, "features", ("image", "feature"))
    Y = as_array(Y)
    batch = check_targets(Y[None] if Y.ndim == 2 else Y, X.shape[0])
    check_n_components(n_components, *X.shape)
    xp = namespace(X, batch)
    x_mean = x_scale = y_mean = y_scale = None
    if scale:
        X, x_mean, x_scale = standardise(X, "features")
        parts = [standardise(batch[b], "targets", b) for b in range(batch.shape[0])]
        batch, y_mean, y_scale = (xp.stack(part) for part in zip(*parts, strict=True))
    source = SharedSource.of(X, precision=precision)
    targets = source.with_targets(batch)
    training = TrainingFeatures.of(source, np.arange(X.shape[0]))
    means, components = _fit(training, targets, range(batch.shape[0]), n_components)
    loadings = components.loadings * targets.unit[:, None, None]
    fit = PLSFit(
        rotations=source.in_features(components.rotations),
        y_loadings=loadings.swapaxes(1, 2),
        x_mean=source.location.mean if x_mean is None else x_mean,
        x_scale=xp.ones_like(source.location.mean) if x_scale is None else x_scale,
        y_mean=means if y_mean is None else y_mean,
        y_scale=xp.ones_like(means) if y_scale is None else y_scale,
        kept=components.kept,
    )
    return fit if Y.ndim == 3 else _only(fit)


def predict_pls(fit: PLSFit, X: Any, n_components: int | None = None) -> Array:
    """Predict.

    Parameters
    ----------
    fit : PLSFit
    X : array or torch tensor (n_test, p)
    n_components : int, optional
        Use only the first so many components; all by default.

    Returns
    -------
    array (..., n_test, q)
    """
    X = check_matrix(X, "features", ("image", "feature"))
    if X.shape[1] != len(fit.x_mean):
        raise MappingError(
            "features are those of the fit",
            f"there are {X.shape[1]} features, fitted were {len(fit.x_mean)}",
            "give the same features in the same order",
        )
    k = _prefix(fit, n_components)
    xp = namespace(X, fit.rotations)
    standard = (xp.astype(X, xp.float64, copy=False) - fit.x_mean) / fit.x_scale
    scores = xp.astype(standard, fit.rotations.dtype, copy=False) @ fit.rotations[..., :k]
    return scores @ fit.y_loadings[..., :k].swapaxes(-1, -2) * fit.y_scale[..., None, :] + fit.y_mean[..., None, :]


def predict_held_out(
    source: SharedSource,
    Y: Any,
    train: npt.ArrayLike,
    test: npt.ArrayLike,
    n_components: int,
) -> tuple[Array, Array]:
    """Fit B target sets on the training images in one batch and predict the test images.

    Where correlations are wanted and not predictions, `kernel.held_out` is faster.

    Parameters
    ----------
    source : SharedSource
        The features of all n images.
    Y : array (B, n, q) or SharedTargets
        The trial mean and its half-trial means, say. With several splits, prepare it once: `source.with_targets(Y)`.
    train, test : array of int, or of bool (n,)
        Rows to fit on and to predict.
    n_components : int
        k, at most min(m - 1, p) for m training images.

    Returns
    -------
    predictions : array (B, n_test, q)
        float64. A neuroid that is constant over the training images is predicted by its mean, as are all neuroids
        where the source is constant over them.
    kept : array of int (B,)
        Components kept; fewer than `n_components` where the rank was exhausted.

    Raises
    ------
    MappingError
        If Y is not finite, shapes or rows do not fit, or more components are asked for than the data allow.
    """
    train_rows, test_rows = as_rows(train, "train", source), as_rows(test, "test", source)
    check_n_components(n_components, len(train_rows), source.values.shape[1])
    training = safe_training(source, train_rows)
    if training is None or source.scale:
        return predict_separately(source, Y, train_rows, test_rows, n_components)
    targets = prepared(source, Y)
    xp = namespace(targets.values)
    test_features = training.standardised(source.features[test_rows])
    predictions, kept = [], []
    n_sets, _, q = targets.values.shape
    for members in chunks(n_sets, q, test_features.shape[1], test_features.itemsize):
        means, components = _fit(training, targets, members, n_components)
        unit = targets.unit[members.start : members.stop, None, None]
        scores = test_features @ components.rotations.swapaxes(1, 2)
        predictions.append(scores @ (components.loadings * unit) + means[:, None, :])
        kept.append(components.kept)
    return xp.concat(predictions), xp.concat(kept)


def chunks(n_sets: int, q: int, r: int, itemsize: int, together: int = 1) -> list[range]:
    """Divide target sets so that cross-products (b, q, r) of a part, `together` times, stay near the processor."""
    n_chunks = -(-n_sets * together * q * r * itemsize // CHUNK_BYTES) or 1
    bounds = np.linspace(0, n_sets, min(n_chunks, n_sets) + 1).astype(int).tolist()
    return [range(*pair) for pair in pairwise(bounds)]


def safe_training(source: SharedSource, train: Rows, left_out_features: Array = None) -> TrainingFeatures | None:
    """Return the statistics of a training set, or None where they cannot be had by down-dating."""
    distinct = np.unique(train)
    if not source.shares or len(distinct) < len(train):
        return None
    training = TrainingFeatures.of(source, distinct, left_out_features)
    return training if training.is_safe else None


def check_n_components(n_components: int, m: int, p: int) -> None:
    """Raise unless 1 <= n_components <= min(m - 1, p) for m training images of p features."""
    if n_components < 1:
        raise MappingError("n_components is at least 1", f"n_components is {n_components}", "ask for 1 or more")
    for limit, reason in ((p, f"there are {p} features"), (m - 1, f"{m} training images allow {m - 1}")):
        if n_components > limit:
            raise MappingError(
                "PLS has at most min(training images - 1, features) components",
                f"n_components is {n_components} but {reason}",
                f"ask for at most {min(m - 1, p)}" if min(m - 1, p) > 0 else "train on at least 2 images",
            )


def _fit(
    training: TrainingFeatures, targets: SharedTargets, members: range, n_components: int
) -> tuple[Array, Components]:
    """Training means (b, q) in the units of Y, and components of some target sets."""
    means, cross = training.targets(targets, members)
    components = components_of(training, targets, members, cross, n_components)
    return targets.in_units_of_y(means, members), components


def components_of(
    training: TrainingFeatures,
    targets: SharedTargets,
    members: range,
    cross: Array,
    n_components: int,
    deviation: Array | None = None,
) -> Components:
    """Extract components from the cross-products (b, q, r) of a training set.

    Parameters
    ----------
    training, targets, members, cross, n_components
        See `TrainingFeatures.cross` and `extract_components`.
    deviation : array (b, q), optional
        By which targets were divided.
    """
    xp = namespace(cross)
    squares = targets.squares[members.start : members.stop]
    squares = squares if deviation is None else squares / deviation**2
    variances = xp.einsum("ii->i", training.source.covariance)
    variances = variances if training.deviation is None else variances / training.deviation**2
    return extract_components(
        xp.astype(training.covariance, cross.dtype, copy=False),
        cross,
        n_components,
        n=targets.values.shape[1],
        feature_norm=float(xp.sum(variances)) ** 0.5,
        target_norms=xp.astype(xp.sqrt(xp.sum(squares, axis=1)), cross.dtype, copy=False),
    )


def components_in_single(
    training: TrainingFeatures,
    targets: SharedTargets,
    members: range,
    cross: Array,
    n_components: int,
    deviation: Array | None = None,
) -> Components:
    """Extract components in single precision, or in the cross-products' own where that exhausts the rank too soon.

    For refits to half-trials, whose r only divides another and comes from random halves: it changes r by some 1e-5
    (docs/speed.md) and saves a third of the time. Arguments as of `components_of`.
    """
    xp = namespace(cross)
    single = xp.astype(cross, xp.float32, copy=False)
    found = components_of(training, targets, members, single, n_components, deviation)
    if cross.dtype == single.dtype:
        return found
    if bool(xp.any(found.kept < n_components)):
        return components_of(training, targets, members, cross, n_components, deviation)
    rotations, loadings = (xp.astype(values, cross.dtype) for values in (found.rotations, found.loadings))
    return Components(rotations, loadings, found.kept)


def predict_separately(source: SharedSource, Y: Any, train: Rows, test: Rows, n_components: int) -> tuple[Array, Array]:
    """Fit on the training rows alone, sharing nothing with other splits: scaled, repeated or lopsided rows."""
    values = Y.values if isinstance(Y, SharedTargets) else check_targets(Y, source.values.shape[0])
    if isinstance(Y, SharedTargets):
        prepared(source, Y)
    fit = fit_pls(source.values[train], values[:, train], n_components, scale=source.scale, precision=source.precision)
    return predict_pls(fit, source.values[test]), fit.kept


def prepared(source: SharedSource, Y: Any) -> SharedTargets:
    """Return targets prepared for this source."""
    if not isinstance(Y, SharedTargets):
        return source.with_targets(Y)
    if Y.source is not source:
        raise MappingError(
            "targets are used with the source that they were prepared for",
            f"they belong to another one, of {Y.source.values.shape[0]} images",
            "prepare them with this source's with_targets",
        )
    return Y


def as_rows(rows: npt.ArrayLike, name: str, source: SharedSource) -> Rows:
    """Return row numbers from row numbers or from a mask."""
    n, given = source.values.shape[0], to_numpy(as_array(rows))
    if given.dtype == bool and given.shape == (n,):
        given = np.flatnonzero(given)
    if given.ndim != 1 or given.dtype.kind not in "iu" or given.size == 0 or given.min() < 0 or given.max() >= n:
        raise MappingError(
            f"{name} is a non-empty list of rows 0 to {n - 1}, or a mask of {n} rows",
            f"{name} is {np.array2string(given, threshold=6, edgeitems=2)} of dtype {given.dtype}",
            "give the rows of the source",
        )
    return given.astype(np.intp)


def _prefix(fit: PLSFit, n_components: int | None) -> int:
    """How many components to use."""
    k = fit.rotations.shape[-1]
    if n_components is not None and not 1 <= n_components <= k:
        raise MappingError(f"a prefix has 1 to {k} components", f"n_components is {n_components}", "fit with more")
    return k if n_components is None else n_components


def _only(fit: PLSFit) -> PLSFit:
    """Drop the leading axis of a fit to a single target set."""
    return PLSFit(
        fit.rotations[0], fit.y_loadings[0], fit.x_mean, fit.x_scale, fit.y_mean[0], fit.y_scale[0], fit.kept[0]
    )
