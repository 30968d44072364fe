"""NumPy and torch arrays through one namespace, so that the kernel is written once.

torch is never imported here: an array that comes from torch brings its namespace with it (array-api-compat).
"""

from __future__ import annotations

from typing import Any, Literal

import array_api_compat
import numpy as np
import numpy.typing as npt
from scipy.linalg import blas

#: A NumPy array or a torch tensor; all arrays of one fit are of one kind, on one device.
Array = Any
Precision = Literal["float64", "float32"]
PRECISIONS: tuple[Precision, ...] = ("float64", "float32")
#: From version 2 on NumPy is its own array-API namespace, without wrappers that cost time in small calls.
_NUMPY_IS_STANDARD = np.lib.NumpyVersion(np.__version__) >= "2.1.0"


def as_array(values: Any) -> Array:
    """Return torch tensors as they are and everything else as a NumPy array."""
    return values.detach() if array_api_compat.is_torch_array(values) else np.asarray(values)


def namespace(*values: Array) -> Any:
    """Return the array namespace of values that are all of one kind.

    Raises
    ------
    TypeError
        If NumPy arrays and torch tensors are mixed.
    """
    if all(type(value) is np.ndarray for value in values):
        return np if _NUMPY_IS_STANDARD else array_api_compat.array_namespace(*values)
    return array_api_compat.array_namespace(*values)


def like(values: npt.ArrayLike, other: Array, dtype: Any = None) -> Array:
    """Return values as an array of the other's kind, on its device."""
    xp = namespace(other)
    return xp.asarray(values, dtype=dtype, device=array_api_compat.device(other))


def to_numpy(values: Array) -> npt.NDArray[Any]:
    """Return values as a NumPy array in this machine's memory."""
    return np.asarray(values.detach().cpu() if array_api_compat.is_torch_array(values) else values)


def precision_of(values: Array) -> Precision:
    """Return 'float32' or 'float64'."""
    return "float32" if values.dtype == namespace(values).float32 else "float64"


def eps(values: Array) -> float:
    """Return the machine epsilon of the values' precision."""
    return float(np.finfo(precision_of(values)).eps)


def at_least(values: Array, bound: float) -> Array:
    """Return the larger of each value and a bound (the namespace's `clip` takes five times as long)."""
    return np.maximum(values, bound) if isinstance(values, np.ndarray) else values.clamp_min(bound)


def subtract_products(total: Array, left: Array, right: Array) -> None:
    """Subtract left' right from C-contiguous matrices in place.

    Parameters
    ----------
    total : array (B, q, q)
    left, right : array (B, i, q)
    """
    if not isinstance(total, np.ndarray):
        total -= left.swapaxes(1, 2) @ right
        return
    gemm = blas.sgemm if total.dtype == np.float32 else blas.dgemm
    for b in range(len(total)):
        # in place: a temporary of B q x q matrices costs more than the product
        gemm(-1.0, right[b].T, left[b].T, 1.0, total[b].T, trans_b=True, overwrite_c=True)
