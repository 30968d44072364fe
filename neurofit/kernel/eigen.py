"""Dominant eigenvectors of a batch of symmetric matrices that change a little from call to call.

PLS asks for the dominant eigenvector of a cross-product matrix G once per component, and each component changes G
by a matrix of rank two only. LAPACK starts every time from nothing; `DominantEigenvectors` starts from the leading
eigenvectors of the previous component, which needs about a third of the time.
"""

from __future__ import annotations

import math

import numpy as np

from neurofit.kernel.arrays import Array, Precision, at_least, like, namespace, precision_of

#: Relative residual |G c - lambda c| / lambda at which c is accepted. PLS is exact for the c that it gets, so that
#: predictions err by about as much as c deviates from the eigenvector, or less.
TOLERANCES: dict[Precision, float] = {"float64": 5e-10, "float32": 1e-5}
#: Up to this size LAPACK's full decomposition is faster than the iteration.
DIRECT_SIZE = 24
#: Vectors that are followed from one call to the next.
BLOCK = 8
#: Relative residual below which only the first vector is filtered: the others are then good enough to start from.
LEADING_ONLY = 1e-5
#: A filter in single precision can reduce a residual by this much before its own rounding shows.
REDUCTION_PER_ROUND = 1e5
#: Margin on the reduction that is aimed at: one degree more is cheaper than one round more.
MARGIN = 4.0
#: Highest degree of a filter, and how far it may lift the first vector above the last before directions are lost.
MAX_DEGREE, MAX_LIFT = 16, 1e8
#: Rounds after which members that have not converged go to LAPACK (two or three are usual).
MAX_ROUNDS = 10
#: Rows that are this close to dependent are orthonormalised by Householder's QR instead of Cholesky's.
DEPENDENT = 1e-3
#: Eigenvalues below this are zero to single precision.
FLOOR = 1e-30


class DominantEigenvectors:
    """Follow the dominant eigenvectors of B positive semi-definite matrices through small changes.

    With eigenvalues l1 > l2 a vector is off by at most `TOLERANCES` * l1 / (l1 - l2).

    Block subspace iteration with a Chebyshev filter and Rayleigh-Ritz in float64. The filter polynomial is applied to
    the Ritz residuals only, in float32: p(G) v = p(theta) v + g(G) r with g the divided difference of p, so its
    rounding is relative to the residual and the result is as accurate as the float64 residual test says. The first
    round of a call filters the whole block (the others are the next calls' start), later rounds the first vector.

    Parameters
    ----------
    size : int
        q, rows of each matrix.

    Attributes
    ----------
    n_fallbacks : int
        How many members were handed to LAPACK because the iteration did not converge.
    """

    def __init__(self, size: int) -> None:
        self.n_fallbacks = 0
        self._direct = size <= DIRECT_SIZE
        # Any fixed start without structure will do: it decides the rounding of the result, never the result.
        self._random = np.random.default_rng(0)
        self._block: Array | None = None
        self._edge: Array = 0.0
        self._single: Array = None

    def solve(self, G: Array, hint: Array | None = None) -> Array:
        """Return unit dominant eigenvectors.

        Parameters
        ----------
        G : array (B, q, q)
            Positive semi-definite matrices; a zero matrix gets any unit vector.
        hint : array (B, q), optional
            A direction into which the change since the previous call has turned the eigenvectors.

        Returns
        -------
        array (B, q)
        """
        xp = namespace(G)
        if self._direct:
            return xp.linalg.eigh(G)[1][:, :, -1]
        tolerance = TOLERANCES[precision_of(G)]
        self._copy(G)
        block, residuals, values = _rayleigh_ritz(G, self._start(G, hint))
        last = math.inf
        for _ in range(MAX_ROUNDS):
            error = _norms(residuals[:, 0]) / at_least(values[:, 0], FLOOR)
            missing = error > tolerance
            worst = float(xp.max(error))
            if worst <= tolerance:
                break
            lift = 2.0 * MARGIN * xp.clip(error / tolerance, 1.0, REDUCTION_PER_ROUND)
            goal = xp.where(missing, xp.log(lift), xp.zeros_like(lift))
            edge = xp.maximum(values[:, -1], self._edge + xp.zeros_like(values[:, -1]))
            if worst < min(LEADING_ONLY, 0.1 * last):
                self._filter(block[:, :1], residuals[:, :1], values[:, :1], edge, goal)
                residuals[:, :1], values[:, :1] = _residuals(G, block[:, :1])
            else:
                self._filter(block, residuals, values, edge, goal)
                block, residuals, values = _rayleigh_ritz(G, block)
            last = worst
        else:
            for member in [b for b in range(G.shape[0]) if bool(missing[b])]:
                block[member] = xp.flip(xp.linalg.eigh(G[member])[1][:, -BLOCK:].T, axis=0)
                self.n_fallbacks += 1
        self._block, self._edge = block, values[:, -1]
        return block[:, 0]

    def _copy(self, G: Array) -> None:
        """Keep G in single precision; it is not copied where it is so already."""
        xp = namespace(G)
        if G.dtype == xp.float32:
            self._single = G
        elif self._single is None:
            self._single = xp.astype(G, xp.float32)
        else:
            self._single[...] = G

    def _start(self, G: Array, hint: Array | None) -> Array:
        """Rows (B, BLOCK, q) to start from: the leading vectors so far, the hint, and one random direction.

        The random row keeps a direction from staying unseen for ever when G has exact structure (zeros).
        """
        size = G.shape[1]
        if self._block is None or hint is None:
            return _orthonormal(like(self._random.standard_normal((BLOCK, size)), G, G.dtype) @ G)
        xp = namespace(G)
        block = xp.empty_like(self._block)
        block[:, :-2] = self._block[:, : BLOCK - 2]
        block[:, -2] = hint
        block[:, -1] = like(self._random.standard_normal(size), G, G.dtype)
        kept, new = block[:, :-2], block[:, -2:]
        for _ in range(2):
            new /= at_least(_norms(new), FLOOR)[:, :, None]
            new -= (new @ kept.swapaxes(1, 2)) @ kept
        return block

    def _filter(self, block: Array, residuals: Array, values: Array, edge: Array, goal: Array) -> None:
        """Replace Ritz vectors v (B, i, q) by p(G) v, up to length, computed as p(theta) v + g(G) r.

        p(x) = T_d(2 x / edge - 1) is small on [0, edge] and grows above. Its degree d is the lowest that lifts the
        first Ritz value of every member to its `goal`, a logarithm; where that is easy, a higher edge keeps the lift
        below MAX_LIFT. Chebyshev's recurrence for p gives one for g(G) r.
        """
        xp = namespace(block)
        first, edge = at_least(values[:, 0], FLOOR), at_least(edge, FLOOR)
        growth = xp.acosh(at_least(2.0 * first / edge - 1.0, 1.0 + 1e-6))
        degree = min(max(math.ceil(float(xp.max(goal / growth))), 2), MAX_DEGREE)
        edge = xp.maximum(edge, first * (2.0 / (1.0 + math.cosh(math.log(2.0 * MAX_LIFT) / degree))))
        cosines = at_least(2.0 * values / edge[:, None] - 1.0, -1.0)
        lift = [xp.ones_like(cosines), cosines]
        for _ in range(2, degree + 1):
            lift.append(2.0 * cosines * lift[-1] - lift[-2])
        step = xp.astype(4.0 / edge, xp.float32)[:, None, None]
        source = xp.astype(residuals, xp.float32) * step
        current = 0.5 * source
        previous, following, term = xp.zeros_like(source), xp.empty_like(source), xp.empty_like(source)
        for j in range(1, degree):
            xp.matmul(current, self._single, out=following)
            following *= step
            previous += current
            previous += current
            following -= previous
            following += xp.multiply(source, xp.astype(lift[j], xp.float32)[..., None], out=term)
            previous, current, following = current, following, previous
        size = at_least(xp.abs(lift[degree]), 1.0)[..., None]
        block *= lift[degree][..., None] / size
        block += current / size
        block /= _norms(block)[:, :, None]


def _norms(rows: Array) -> Array:
    """Lengths (...) of rows (..., q)."""
    xp = namespace(rows)
    return xp.sqrt(xp.einsum("...q,...q->...", rows, rows))


def _residuals(G: Array, vectors: Array) -> tuple[Array, Array]:
    """G v - theta v (B, i, q) and Rayleigh quotients theta (B, i) of unit rows."""
    image = vectors @ G
    values = namespace(G).einsum("biq,biq->bi", vectors, image)
    return image - values[:, :, None] * vectors, values


def _rayleigh_ritz(G: Array, block: Array) -> tuple[Array, Array, Array]:
    """Best approximations to eigenvectors in the span of rows.

    Returns
    -------
    vectors, residuals : array (B, i, q)
        Ritz vectors v, largest value first, and G v - theta v.
    values : array (B, i)
    """
    xp = namespace(G)
    basis = _orthonormalising(block)
    if basis is None:
        block = _orthonormal(block)
    image = block @ G
    projected = block @ image.swapaxes(1, 2)
    if basis is not None:
        projected = basis @ projected @ basis.swapaxes(1, 2)
    values, rotation = xp.linalg.eigh(projected)
    rotation = xp.flip(rotation.swapaxes(1, 2), axis=1)
    rotation = rotation if basis is None else rotation @ basis
    values = xp.flip(values, axis=1)
    vectors = rotation @ block
    residuals = rotation @ image
    residuals -= values[:, :, None] * vectors
    return vectors, residuals, values


def _orthonormalising(block: Array) -> Array | None:
    """Return the inverse of Cholesky's factor of the rows' Gram matrix; None where they are dependent."""
    xp = namespace(block)
    try:
        factor = xp.linalg.cholesky(block @ block.swapaxes(1, 2))
    except (np.linalg.LinAlgError, RuntimeError):  # RuntimeError is torch's
        return None
    independent = bool(xp.min(xp.einsum("bii->bi", factor)) > DEPENDENT)
    return xp.linalg.inv(factor) if independent else None


def _orthonormal(block: Array) -> Array:
    """Orthonormalise rows (B, i, q): by Cholesky's factor of their Gram matrix, or by QR where they are dependent."""
    xp = namespace(block)
    basis = _orthonormalising(block)
    if basis is not None:
        return basis @ block
    return xp.asarray(xp.linalg.qr(block.swapaxes(1, 2))[0].swapaxes(1, 2), copy=True)
