"""What all splits and refits of a PLS share: centred statistics of features and targets, and their down-dating.

Letters: n images, m of them for training, p features, r shared features (p, or at most n - 1), B target sets of q
neuroids. Statistics are in units of a power of two near the largest spread, so that neither tiny nor huge inputs
leave the range of floating point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from neurofit.kernel.arrays import Array, Precision, eps, like, namespace, precision_of, to_numpy
from neurofit.kernel.centring import CONSTANT, Location, check_matrix, check_precision, check_targets
from neurofit.kernel.isometric import isometric_features

Rows = npt.NDArray[np.intp]
Form = Literal["primal", "dual"]
FORMS: tuple[Form, ...] = ("primal", "dual")

#: Share of its global sum of squares that a training set must keep for down-dating to be safe: of all features
#: together, and of a single neuroid or scaled feature.
SAFE_FEATURES, SAFE_COLUMNS = 1e-3, 1e-6
#: Neuroids and components that the choice of form assumes (the field's usual sizes; the choice is not sensitive).
NOMINAL_NEUROIDS, NOMINAL_COMPONENTS = 100, 25


@dataclass(frozen=True)
class SharedSource:
    """A feature matrix, prepared once for any number of splits and target sets. Build it with `of`.

    `features` stand for the centred X: they are X itself ("primal", p small), or n - 1 or fewer features with the
    same inner products between images ("dual", from the pivoted Cholesky factor of the n x n Gram; p costs nothing
    afterwards). PLS sees inner products only, so both give the same predictions.

    Attributes
    ----------
    values : array (n, p)
        X as given (not copied; it must not change while the source is in use).
    scale : bool
        Divide features and targets by their training standard deviations.
    form : str
        "dual" or "primal".
    location : Location
        Global means of the features, and the power of two by which centred features were divided.
    features : array (n, r)
        Centred shared features, in the precision of the computation; r is 0 where nothing can be shared (scaled
        features in the dual form: standard deviations belong to a split).
    covariance : array (r, r)
        features' features.
    pivots : ndarray of int (r,)
        Images whose features span all others (dual), otherwise empty.
    """

    values: Array
    scale: bool
    form: Form
    location: Location
    features: Array
    covariance: Array
    pivots: Rows

    @classmethod
    def of(
        cls, X: Any, scale: bool = False, form: Form | None = None, precision: Precision = "float64"
    ) -> SharedSource:
        """Centre X and form what the splits share.

        Parameters
        ----------
        X : array or torch tensor (n, p)
            Features of n images, any real dtype; everything is computed where it lies.
        scale : bool, default False
            Standardise inside each training set (scikit-learn's `PLSRegression(scale=True)`).
        form : {"dual", "primal"}, optional
            By default the one with the lower `predicted_cost`.
        precision : {"float64", "float32"}
            Of the computation; means, and the Gram matrix of the dual form, are always summed in float64.

        Raises
        ------
        MappingError
            If X is not a finite, real n x p matrix.
        """
        X = check_matrix(X, "features", ("image", "feature"))
        xp = namespace(X)
        dtype = getattr(xp, check_precision(precision))
        location = Location.of(X, "features")
        n, p = X.shape
        chosen: Form = min(FORMS, key=lambda name: predicted_cost(n, p, name)) if form is None else form
        pivots = np.empty(0, np.intp)
        if chosen == "primal":
            features = location.centred(X)
        elif scale:
            features = like(np.empty((n, 0)), X)
        else:
            isometric, pivots = isometric_features(to_numpy(_gram(X, location)), overwrite=True)
            features = like(isometric, X)
        features -= xp.mean(features, axis=0)  # the sums must vanish to rounding of the *centred* values
        features = xp.astype(features, dtype, copy=False)
        return cls(X, scale, chosen, location, features, features.T @ features, pivots)

    @property
    def precision(self) -> Precision:
        """Precision of the computation."""
        return precision_of(self.features)

    @property
    def shares(self) -> bool:
        """Whether splits share anything."""
        return self.form == "primal" or not self.scale

    def with_targets(self, Y: Any) -> SharedTargets:
        """Prepare target sets (B, n, q) once for all splits; see `SharedTargets.of`."""
        return SharedTargets.of(self, Y)

    def in_features(self, rotations: Array) -> Array:
        """Turn rotations of the shared features (B, k, r) into rotations of X (B, p, k)."""
        n_sets, k, r = rotations.shape
        if self.form == "primal":
            return rotations.swapaxes(1, 2) / self.location.unit
        if r == 0:
            return like(np.zeros((n_sets, self.values.shape[1], k)), rotations)
        # F = X Q with orthonormal Q = X1' L1^-T, where X1 and L1 are the rows of X and F at the pivots.
        factor, flat = to_numpy(self.features)[self.pivots], to_numpy(rotations).reshape(n_sets * k, r)
        weights = like(solve_triangular(factor, flat.T, trans="T", lower=True), rotations)
        blocks = [block[self.pivots].T @ weights for block in self.location.column_blocks(self.values, weights.dtype)]
        joined = namespace(weights).concat(blocks).reshape(-1, n_sets, k)
        return namespace(joined).permute_dims(joined, (1, 0, 2)) / self.location.unit


@dataclass(frozen=True)
class SharedTargets:
    """Target sets of one source, with the sums that all splits share. Build it with `SharedSource.with_targets`.

    Attributes
    ----------
    source : SharedSource
        What they were prepared for.
    values : array (B, n, q)
        Y as given (not copied; it must not change while in use).
    locations : list of B Location
        Global means, and the powers of two by which centred targets were divided.
    shift : array (B, q)
        What is left of the mean after centring, in units of the location: the mean of a large offset is itself
        rounded.
    squares : array (B, q)
        Sums of squares.
    """

    source: SharedSource
    values: Array
    locations: list[Location]
    shift: Array
    squares: Array

    @classmethod
    def of(cls, source: SharedSource, Y: Any) -> SharedTargets:
        """Centre Y.

        Parameters
        ----------
        source : SharedSource
        Y : array (B, n, q)
            B target sets for the same images, of the kind of the source's features; any real dtype.

        Raises
        ------
        MappingError
            If Y is not finite, or not of the source's n images.
        """
        Y = check_targets(Y, source.values.shape[0])
        return cls._joined(source, Y, [_located(Y[b], b)._replace(centred=None) for b in range(Y.shape[0])])

    @classmethod
    def with_values(cls, source: SharedSource, Y: Array, out: Array, places: Rows) -> SharedTargets:
        """Centre Y (B, n, q) and write the centred rows to the given places of `out` (B, rows, q)."""
        parts = []
        for b in range(Y.shape[0]):
            part = _located(Y[b], b)
            out[b, places] = namespace(out).astype(part.centred, out.dtype, copy=False)
            parts.append(part._replace(centred=None))
        return cls._joined(source, Y, parts)

    @classmethod
    def _joined(cls, source: SharedSource, Y: Array, parts: list[_Located]) -> SharedTargets:
        xp = namespace(Y)
        shift, squares = (xp.stack([getattr(part, name) for part in parts]) for name in ("shift", "squares"))
        return cls(source, Y, [part.location for part in parts], shift, squares)

    @cached_property
    def cross(self) -> Array:
        """Y' features (B, q, r) over all images."""
        sets = (self.centred(range(b, b + 1))[0] for b in range(self.values.shape[0]))
        return namespace(self.values).stack([y.T @ self.source.features for y in sets])

    @property
    def mean(self) -> Array:
        """Global means (B, q), up to `shift`."""
        return namespace(self.values).stack([location.mean for location in self.locations])

    @property
    def unit(self) -> Array:
        """Units (B,)."""
        return like([location.unit for location in self.locations], self.squares)

    def centred(self, members: range, rows: Rows | None = None) -> Array:
        """Return globally centred targets (b, rows, q) of some sets, in their units and the source's precision."""
        parts = []
        for b in members:
            values = self.locations[b].centred(self.values[b] if rows is None else self.values[b, rows])
            values -= self.shift[b]
            parts.append(values)
        xp = namespace(self.values)
        return xp.astype(xp.stack(parts), self.source.features.dtype, copy=False)

    def in_units_of_y(self, means: Array, members: range) -> Array:
        """Turn means (b, q) of centred targets into means of Y, in float64."""
        part = slice(members.start, members.stop)
        return self.mean[part] + (means + self.shift[part]) * self.unit[part, None]


class _Located(NamedTuple):
    """One target set, centred: values (n, q), what was left of the mean, sums of squares."""

    location: Location
    centred: Array
    shift: Array
    squares: Array


def _located(values: Array, member: int) -> _Located:
    """Centre targets (n, q), twice where it matters, since the mean of a large offset is itself rounded."""
    xp = namespace(values)
    location = Location.of(values, "targets", member)
    centred = location.centred(values)
    shift = xp.mean(centred, axis=0)
    if float(xp.max(xp.abs(shift))) > CONSTANT:
        centred -= shift
    else:
        shift = xp.zeros_like(shift)
    return _Located(location, centred, shift, xp.einsum("nq,nq->q", centred, centred))


@dataclass(frozen=True)
class TrainingFeatures:
    """Statistics of the features over one training set, and what down-dating needs for the targets.

    Attributes
    ----------
    source : SharedSource
    train, left_out : ndarray of int (m,), (n - m,)
        Rows inside and outside of the training set.
    left_out_features : array (n - m, r)
    mean : array (r,)
        Training mean of the shared features.
    deviation : array (r,) or None
        Training standard deviations by which features are divided; None without scaling.
    covariance : array (r, r)
        Centred sums of products, of scaled features where the source is scaled.
    is_safe : bool
        False where the left-out images hold nearly all of the variance, of all features or (scaled) of one: the
        difference is then rounding.
    """

    source: SharedSource
    train: Rows
    left_out: Rows
    left_out_features: Array
    mean: Array
    deviation: Array | None
    covariance: Array
    is_safe: bool

    @classmethod
    def of(cls, source: SharedSource, train: Rows, left_out_features: Array = None) -> TrainingFeatures:
        """Subtract the images outside of `train` (distinct rows) from the totals; their features may be given."""
        m = len(train)
        outside = np.ones(source.features.shape[0], bool)
        outside[train] = False
        left_out = np.flatnonzero(outside)
        xp = namespace(source.features)
        features = source.features[left_out] if left_out_features is None else left_out_features
        mean = -xp.sum(features, axis=0) / m
        covariance = source.covariance - features.T @ features
        covariance -= m * mean[:, None] * mean
        kept, total = xp.einsum("ii->i", covariance), xp.einsum("ii->i", source.covariance)
        safe = bool(xp.sum(kept) >= _margin(SAFE_FEATURES, source.features) * xp.sum(total))
        deviation = None
        if source.scale:
            varies = total > 0
            safe = safe and bool(xp.all(kept[varies] >= _margin(SAFE_COLUMNS, source.features) * total[varies]))
            deviation = xp.sqrt(xp.where(varies & (kept > 0), kept, xp.ones_like(kept)) / max(m - 1, 1))
            covariance /= deviation[:, None] * deviation
        return cls(source, train, left_out, features, mean, deviation, covariance, safe)

    def standardised(self, features: Array) -> Array:
        """Centre (and scale) shared features (rows, r) as the training set's were."""
        centred = features - self.mean
        return centred if self.deviation is None else centred / self.deviation

    def targets(self, targets: SharedTargets, members: range) -> tuple[Array, Array]:
        """Training means (b, q) and centred cross-products with the features (b, q, r) of some target sets.

        Targets are not scaled, features are where the source is.
        """
        left_out = targets.centred(members, self.left_out)
        total = targets.cross[members.start : members.stop]
        means, cross, _ = self.cross(targets, members, left_out, total)
        return means, cross

    def cross(
        self, targets: SharedTargets, members: range, left_out: Array, total: Array, removed: Array | None = None
    ) -> tuple[Array, Array, Array]:
        """Down-date cross-products.

        Parameters
        ----------
        targets : SharedTargets
        members : range
            b of the target sets.
        left_out : array (b, n - m, q)
            Centred targets of the left-out images.
        total : array (b, q, r)
            Cross-products of all images.
        removed : array (b, q, r), optional
            Those of the left-out images plus the product of the training means, m mean_y mean_x', where they are
            known; overwritten.

        Returns
        -------
        means : array (b, q)
            Training means of the centred targets.
        cross : array (b, q, r)
        squares : array (b, q)
            Centred sums of squares over the training set.
        """
        m = len(self.train)
        xp = namespace(total)
        means = -xp.sum(left_out, axis=1) / m
        if removed is None:
            removed = left_out.swapaxes(1, 2) @ self.left_out_features
            removed += (m * means)[:, :, None] * self.mean
        cross = xp.subtract(total, removed, out=removed)
        all_squares = targets.squares[members.start : members.stop]
        squares = all_squares - xp.einsum("bnq,bnq->bq", left_out, left_out) - m * means**2
        doubtful = to_numpy(squares < _margin(SAFE_COLUMNS, total) * all_squares)
        for i in np.flatnonzero(doubtful.any(axis=1)).tolist():
            neuroids = np.flatnonzero(doubtful[i])
            means[i, neuroids], cross[i, neuroids], squares[i, neuroids] = self._directly(targets, members[i], neuroids)
        if self.deviation is not None:
            cross /= self.deviation
        return means, cross, xp.astype(squares, total.dtype, copy=False)

    def _directly(self, targets: SharedTargets, member: int, neuroids: Rows) -> tuple[Array, Array, Array]:
        """Mean, cross-product, squares of neuroids that hardly vary in training: from the rows, not by difference."""
        xp = namespace(targets.values)
        location = targets.locations[member]
        values = location.centred(targets.values[member, self.train])[:, neuroids] - targets.shift[member, neuroids]
        magnitude = xp.abs(location.mean[neuroids]) / location.unit + xp.max(xp.abs(values), axis=0)
        means = xp.mean(values, axis=0)
        values -= means
        flat = xp.max(values, axis=0) - xp.min(values, axis=0) <= CONSTANT * magnitude
        values[:, flat] = 0.0
        dtype = self.mean.dtype
        features = self.source.features[self.train] - self.mean
        cross = xp.astype(values, dtype, copy=False).T @ features
        squares = xp.einsum("nq,nq->q", values, values)
        return xp.astype(means, dtype, copy=False), cross, squares


def _margin(share: float, values: Array) -> float:
    """Return the share below which a difference is not trusted: larger where the precision is lower."""
    return share if precision_of(values) == "float64" else max(share, 1e4 * eps(values))


def predicted_cost(n: int, p: int, form: Form) -> float:
    """Multiplications per target set of one fit on n images of p features, where the source serves many fits.

    Per component one product with the r x r covariance and two with the q x r cross-products; before that the
    cross-products and their q x q Gram. The dual has r = n - 1, and p does not matter.
    """
    r = p if form == "primal" else n - 1
    q, k = NOMINAL_NEUROIDS, NOMINAL_COMPONENTS
    return float(k * (r * r + 2 * q * r) + n * q * r + q * q * r)


def _gram(values: Array, location: Location) -> Array:
    """Gram matrix (n, n) of the centred features, accumulated in float64 over blocks of columns."""
    gram = like(np.zeros((len(values), len(values))), values)
    for block in location.column_blocks(values):
        block -= namespace(block).mean(block, axis=0)
        gram += block @ block.T
    return gram
