"""Few features with the inner products of many."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.intp]


def isometric_features(gram: Array, tolerance: float | None = None, *, overwrite: bool = False) -> tuple[Array, Rows]:
    """Return features with the given inner products, as many as their rank.

    What sees images through inner products only, as unscaled PLS and ridge regression do, cannot tell these features
    from those that the Gram matrix was made of, however many they were.

    Parameters
    ----------
    gram : ndarray (n, n)
        Symmetric and, up to rounding, positive semi-definite. One triangle is read: the lower of an array in Fortran
        order, the upper of any other.
    tolerance : float, optional
        Images whose squared distance from the span of the pivots so far is below this share of the largest squared
        norm are taken to lie in it; n times the machine epsilon by default (LAPACK's dpstrf).
    overwrite : bool
        Whether `gram` may be destroyed, which saves n x n numbers where it is in C or Fortran order.

    Returns
    -------
    features : ndarray (n, rank)
        The pivoted Cholesky factor, rows in the order of the images.
    pivots : ndarray of int (rank,)
        Images whose features span all others; their rows form a lower triangle.
    """
    n = len(gram)
    largest = float(gram.diagonal().max(initial=0.0))
    if largest <= 0.0:
        return np.empty((n, 0)), np.empty(0, np.intp)
    least = -1.0 if tolerance is None else tolerance * largest
    ordered = gram if gram.flags.f_contiguous else gram.T
    factor, pivots, rank, _ = lapack.dpstrf(ordered, tol=least, lower=1, overwrite_a=overwrite)
    for j in range(1, rank):
        factor[:j, j] = 0.0  # dpstrf leaves what it found above the diagonal
    features = np.empty((n, rank))
    features[pivots - 1] = factor[:, :rank]
    return features, (pivots[:rank] - 1).astype(np.intp)
