"""Random crops and mirror images: which part of an image is shown in which epoch.

What an image is shown as is a function of (seed, epoch, image) alone, whatever batch, process or machine it is in: so a
run that is resumed, or shared out, shows the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor
from torch.nn import functional as F

from neurofit.files.toml_schema import Rule

_MOST_OBLONG = 4 / 3
_DRAWS = 5


@dataclass(frozen=True)
class Crops:
    """Parts of B images, as fractions of their width and height.

    Parameters
    ----------
    left, top, width, height : tensor (B,)
    mirrored : tensor (B,) of bool
    """

    left: Tensor
    top: Tensor
    width: Tensor
    height: Tensor
    mirrored: Tensor

    def __getitem__(self, rows: Tensor) -> Crops:
        """Return those of some images."""
        return self._each(lambda part: part[rows])

    def to(self, device: torch.device) -> Crops:
        """Return them on a device."""
        return self._each(lambda part: part.to(device))

    def _each(self, change: Callable[[Tensor], Tensor]) -> Crops:
        parts = (self.left, self.top, self.width, self.height, self.mirrored)
        return Crops(*(change(part) for part in parts))


@dataclass(frozen=True)
class Augmentation:
    """How training images vary.

    Parameters
    ----------
    least_crop : float
        Images are cropped at random to at least this part of their area, between 3 to 4 and 4 to 3, and enlarged back,
        as is usual for ImageNet with .08 (also in neuroagents-lab/PyTorchTNN @ 50713d9). Shapes are relative to the
        image's own. A side that would be longer than the image's is cut to it, so that crops of nearly all are smaller
        than this says: with 1, from .87 to all of the area.
    mirror : bool
        Whether half of them are mirrored left to right.
    """

    least_crop: Annotated[float, Rule("above 0 and at most 1", lambda part: 0 < part <= 1)] = 0.08
    mirror: bool = True

    def crops(self, seed: int, epoch: int, count: int) -> Crops:
        """Return what is shown of each of `count` images in an epoch."""
        generator = torch.Generator().manual_seed((1_000_003 * seed + epoch) % 2**63)
        size, shape, left, top, side = torch.rand(count, _DRAWS, generator=generator).T
        area = self.least_crop + (1 - self.least_crop) * size
        aspect = torch.exp(math.log(_MOST_OBLONG) * (2 * shape - 1))
        width, height = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
        return Crops(left * (1 - width), top * (1 - height), width, height, (side < 0.5) & self.mirror)


def cropped(images: Tensor, crops: Crops, size_px: int) -> Tensor:
    """Cut images (B, 3, H, W), float, and resize the parts to (B, 3, size_px, size_px), bilinearly."""
    crops = crops.to(images.device)
    theta = images.new_zeros(len(images), 2, 3)
    theta[:, 0, 0] = torch.where(crops.mirrored, -crops.width, crops.width)
    theta[:, 1, 1] = crops.height
    theta[:, 0, 2] = 2 * crops.left + crops.width - 1
    theta[:, 1, 2] = 2 * crops.top + crops.height - 1
    grid = F.affine_grid(theta, [len(images), 3, size_px, size_px], align_corners=False)
    return F.grid_sample(images, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def resized(images: Tensor, size_px: int) -> Tensor:
    """Resize whole images (B, 3, H, W), float, to (B, 3, size_px, size_px), bilinearly with antialiasing."""
    if tuple(images.shape[2:]) == (size_px, size_px):
        return images
    return F.interpolate(images, (size_px, size_px), mode="bilinear", antialias=True, align_corners=False)
