"""Arrays on a device of torch's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from neurofit.kernel.held_out import HeldOut, HeldOutFits, HeldOutHalves

if TYPE_CHECKING:
    import torch


class OnDevice:
    """Fits on a device, asked with NumPy arrays.

    Parameters
    ----------
    fits : HeldOutFits
        Of features on the device.
    device : str
    """

    def __init__(self, fits: HeldOutFits, device: str) -> None:
        self.fits, self.device = fits, device

    def correlate(self, Y: npt.NDArray[np.floating]) -> HeldOut:
        """Correlate predictions with responses Y (B, n, q) on the test images."""
        return self.fits.correlate(on_device(Y, self.device))

    def correlate_halves(self, first: npt.NDArray[np.floating], second: npt.NDArray[np.floating]) -> HeldOutHalves:
        """Correlate two halves of the trials (B, n, q) on the test images."""
        return self.fits.correlate_halves(on_device(first, self.device), on_device(second, self.device))


def on_device(values: npt.NDArray[np.floating], device: str) -> torch.Tensor:
    """Return a copy of an array as a torch tensor.

    Parameters
    ----------
    values : array (...)
    device : str
        Such as 'cuda'.
    """
    import torch

    return torch.tensor(np.ascontiguousarray(values), device=device)
