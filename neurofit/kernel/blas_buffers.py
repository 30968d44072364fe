"""Memory that linear algebra cannot do without, taken while its lack can still be told."""

from __future__ import annotations

import numpy as np
from scipy.linalg import blas

#: OpenBLAS takes 32 MiB a thread for NumPy and as much for SciPy (measured, x86-64); twice that has to be free.
NEEDED_BYTES = 2**27


def take_blas_buffers() -> None:
    """Let the OpenBLAS of NumPy and of SciPy take this thread's buffers, which they keep.

    Where memory is limited (ulimit -v, a scheduler's limit) OpenBLAS asks for its buffer again and again, for ever,
    inside the first product (seen in OpenBLAS 0.3.30). Whether there is room is therefore tried beforehand.

    Raises
    ------
    MemoryError
        If there is none.
    """
    np.empty(NEEDED_BYTES, np.uint8)
    square = np.ones((256, 256))
    blas.dsyrk(1.0, square @ square)
