"""Saturating power laws y(m) = limit - scale m^-exponent, fitted to many short curves at once.

For a given exponent the other two are linear least squares, so that the fit is a search over the exponent alone
(variable projection: Golub & Pereyra 1973, SIAM J. Numer. Anal. 10:413-432): the best of a fine grid, then finer ones
around it. Nothing is started anywhere, and nothing fails to converge. Letters: D curves of M points.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from neurofit.errors import MappingError

Floats = npt.NDArray[np.float64]
#: Between which the exponent is sought: ordinary least squares on m images has 1 for large m; below .1 ten times the
#: images would close a fifth of the gap, and above 3 a curve is flat but for its first point.
EXPONENTS = (0.1, 3.0)
_COARSE, _FINE, _ROUNDS = 60, 9, 6


@dataclass(frozen=True)
class PowerLaw:
    """Fitted curves.

    Attributes
    ----------
    limit, scale, exponent : ndarray (D,)
        scale is at least 0; where it is 0 the curve does not grow, and limit is its mean.
    residual : ndarray (D,)
        Root of the mean squared difference of points and fit.
    """

    limit: Floats
    scale: Floats
    exponent: Floats
    residual: Floats

    def at(self, size: float) -> Floats:
        """Return the curves' values (D,) at a size; at infinity the limits."""
        return self.limit if np.isinf(size) else self.limit - self.scale * size**-self.exponent

    def at_bound(self) -> npt.NDArray[np.bool_]:
        """Return for which curves (D,) the exponent lies at an end of its range, and so was not found."""
        low, high = EXPONENTS
        return (self.exponent <= low * 1.01) | (self.exponent >= high / 1.01)


def fit_power_law(sizes: npt.ArrayLike, values: npt.ArrayLike) -> PowerLaw:
    """Fit power laws by least squares.

    Parameters
    ----------
    sizes : array (M,)
        Distinct and positive; 4 or more.
    values : array (D, M)

    Raises
    ------
    MappingError
        If there are fewer than four points, or sizes are not distinct and positive, or a value is not finite.
    """
    m, y = np.asarray(sizes, np.float64), np.atleast_2d(np.asarray(values, np.float64))
    if m.ndim != 1 or len(m) < 4 or len(np.unique(m)) < len(m) or m.min() <= 0 or y.shape[1:] != m.shape:
        raise MappingError(
            "a power law of three parameters is fitted to four or more distinct positive sizes",
            f"sizes are {np.array2string(m, threshold=8)} and values have the shape {y.shape}",
            "use more sizes",
        )
    if not np.isfinite(y).all():
        raise MappingError(
            "values of a curve are finite", f"{int((~np.isfinite(y)).sum())} of {y.size} are not", "leave these out"
        )
    unit = m.max()  # scales of huge exponents would leave the range of floating point
    grids = np.broadcast_to(np.geomspace(*EXPONENTS, _COARSE), (len(y), _COARSE))
    for _ in range(_ROUNDS):
        best = np.argmin(_projected(m / unit, y, grids)[0], axis=1)
        rows = np.arange(len(y))
        low, high = grids[rows, np.maximum(best - 1, 0)], grids[rows, np.minimum(best + 1, grids.shape[1] - 1)]
        exponent = grids[rows, best]
        grids = np.geomspace(low, high, _FINE, axis=1)
        grids[:, _FINE // 2] = exponent  # never lose the best
    squares, limit, scale = (each[:, 0] for each in _projected(m / unit, y, exponent[:, None]))
    return PowerLaw(limit, scale * unit**exponent, exponent, np.sqrt(squares / len(m)))


def _projected(m: Floats, y: Floats, exponents: Floats) -> tuple[Floats, Floats, Floats]:
    """Squared error, limit and scale (D, E) for exponents (D, E)."""
    x = m ** -exponents[:, :, None]
    x_mean, y_mean = x.mean(2), y.mean(1)[:, None]
    x_centred, y_centred = x - x_mean[:, :, None], y - y_mean
    slope = np.einsum("dem,dm->de", x_centred, y_centred) / np.einsum("dem,dem->de", x_centred, x_centred)
    scale = np.maximum(-slope, 0.0)
    limit = y_mean + scale * x_mean
    errors = y[:, None] - limit[:, :, None] + scale[:, :, None] * x
    return np.einsum("dem,dem->de", errors, errors), limit, scale
