"""Centring without losing digits: in units of a power of two near the spread, constant columns exactly zero.

Letters: n images, p features or neuroids in columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurofit.errors import MappingError, listed
from neurofit.kernel.arrays import PRECISIONS, Array, Precision, as_array, namespace, to_numpy

#: A column whose spread is within this of its magnitude is constant: the rest is the rounding of its values.
CONSTANT = 4 * float(np.finfo(np.float64).eps)
#: Largest block of centred features held at a time while the n x n Gram is accumulated.
BLOCK_BYTES = 2**26


@dataclass(frozen=True)
class Location:
    """Where the columns of a matrix lie, and how far they spread.

    Attributes
    ----------
    mean : array (p,)
        float64.
    unit : float
        Power of two by which centred values are divided, so that neither tiny nor huge ones leave the range of
        floating point.
    constant : array of bool (p,)
        Columns without variance.
    any_constant : bool
    """

    mean: Array
    unit: float
    constant: Array
    any_constant: bool

    @classmethod
    def of(cls, values: Array, what: str, member: int = 0) -> Location:
        """Find it for values (n, p); raise MappingError if anything is not finite."""
        xp = namespace(values)
        low = xp.astype(xp.min(values, axis=0), xp.float64)
        high = xp.astype(xp.max(values, axis=0), xp.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = xp.mean(xp.astype(values, xp.float64, copy=False), axis=0)
        if not bool(xp.all(xp.isfinite(mean))):
            _refuse(values, mean, what, member)
        spread = high / 2 - low / 2
        constant = spread <= CONSTANT * xp.maximum(xp.abs(low), xp.abs(high))
        any_constant = bool(xp.any(constant))
        varying = xp.where(constant, xp.zeros_like(spread), spread) if any_constant else spread
        return cls(mean, 2.0 ** math.frexp(float(xp.max(varying)))[1], constant, any_constant)

    def centred(self, values: Array, dtype: Any = None) -> Array:
        """Return (values - mean) / unit, computed in float64, exactly zero in constant columns."""
        xp = namespace(values)
        centred = xp.astype(values, xp.float64, copy=False) - self.mean
        centred *= 1.0 / self.unit
        if self.any_constant:
            centred[:, self.constant] = 0.0
        return centred if dtype is None else xp.astype(centred, dtype, copy=False)

    def column_blocks(self, values: Array, dtype: Any = None) -> Iterator[Array]:
        """Yield centred values in blocks of columns, none larger than BLOCK_BYTES."""
        width = max(1, BLOCK_BYTES // (8 * values.shape[0]))
        for start in range(0, values.shape[1], width):
            part = slice(start, start + width)
            here = Location(self.mean[part], self.unit, self.constant[part], self.any_constant)
            yield here.centred(values[:, part], dtype)


def standardise(values: Array, what: str, member: int = 0) -> tuple[Array, Array, Array]:
    """Centre columns and divide by their standard deviation (n - 1); a constant column becomes zero, its scale 1.

    Returns
    -------
    standardised : array (n, columns)
    mean, scale : array (columns,)
    """
    xp = namespace(values)
    location = Location.of(values, what, member)
    centred = location.centred(values)
    shift = xp.mean(centred, axis=0)
    centred -= shift
    deviation = xp.sqrt(xp.einsum("nq,nq->q", centred, centred) / max(centred.shape[0] - 1, 1))
    one = xp.ones_like(deviation)
    deviation = xp.where(location.constant, one, deviation)
    centred /= deviation
    scale = xp.where(location.constant, one, deviation * location.unit)
    return centred, location.mean + shift * location.unit, scale


def check_matrix(values: Any, what: str, axes: tuple[str, ...]) -> Array:
    """Return `values` as a real array with the named axes, none of them empty."""
    array = as_array(values)
    xp = namespace(array)
    if not (xp.isdtype(array.dtype, ("real floating", "integral", "bool"))):
        raise MappingError(f"{what} are real numbers", f"their dtype is {array.dtype}", "convert them to float")
    if array.ndim != len(axes) or 0 in array.shape:
        raise MappingError(
            f"{what} have the axes ({', '.join(axes)}), none of them empty",
            f"their shape is {tuple(array.shape)}",
            "reshape them",
        )
    return array


def check_targets(Y: Any, n: int) -> Array:
    """Return Y as (target set, image, neuroid) with n images."""
    array = check_matrix(Y, "targets", ("target set", "image", "neuroid"))
    if array.shape[1] != n:
        raise MappingError(
            "features and targets have one row per image",
            f"there are {n} rows of features and {array.shape[1]} rows of targets",
            "align them on stimulus_id first",
        )
    return array


def check_precision(name: str) -> Precision:
    """Return the name if it is 'float64' or 'float32'."""
    for precision in PRECISIONS:
        if name == precision:
            return precision
    raise MappingError("the kernel computes in 'float64' or 'float32'", f"got {name!r}", "choose one of them")


def _refuse(values: Array, mean: Array, what: str, member: int) -> None:
    """Raise for columns that are not finite."""
    columns = np.flatnonzero(~np.isfinite(to_numpy(mean)))
    bad = ~np.isfinite(to_numpy(values[:, int(columns[0])]))
    first = f"first at row {np.argmax(bad)}" if bad.any() else "their sum overflows"
    name = "features" if what == "features" else f"neuroids of target set {member}"
    raise MappingError(
        f"{what} are finite",
        f"{len(columns)} {name} are not: columns {listed(columns)} ({first})",
        "drop or repair them",
    )
