"""From pixels to what a network sees.

Released ConvRNNs and the bundled ones share the ImageNet statistics (neuroailab/convrnns @ b76a44d, run_model.py);
the blank screen after the image is 0.5 in the *normalised* space, as those networks were trained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from neurofit.errors import ConfigurationError, UnknownNameError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
BLANK = 0.5

Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos"]

_RESAMPLING: dict[Interpolation, Image.Resampling] = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


@dataclass(frozen=True)
class Preprocessing:
    """How an image becomes a frame.

    Parameters
    ----------
    size_px : int
        Side of the square frame; images are resized to it (antialiased), whatever their shape.
    mean, std : tuple of three float
        Channel statistics in units of [0, 1]; ImageNet's by default.
    blank : float
        Value of the screen without an image, after normalisation.
    interpolation : str
        'bilinear' by default, or 'nearest', 'bicubic' or 'lanczos'.
    resize_px : int, optional
        To this the shorter side of an image is resized, and the centre of `size_px` is cut out, as torchvision and timm
        do for most of their networks. The frame then shows size_px / resize_px of a square image's width.

    Raises
    ------
    UnknownNameError
        If the interpolation is not known.
    ConfigurationError
        If `resize_px` is smaller than the frame.
    """

    size_px: int
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    blank: float = BLANK
    interpolation: Interpolation = "bilinear"
    resize_px: int | None = None

    def __post_init__(self) -> None:
        if self.interpolation not in _RESAMPLING:
            raise UnknownNameError("interpolation", self.interpolation, _RESAMPLING)
        if self.resize_px is not None and self.resize_px < self.size_px:
            raise ConfigurationError(
                "a frame is cut out of a resized image that is not smaller",
                f"resize_px is {self.resize_px} and size_px {self.size_px}",
                "choose resize_px >= size_px, or None for the whole image",
            )

    def __call__(self, images: list[np.ndarray]) -> Tensor:
        """Return frames (B, 3, size_px, size_px), float32, of B images (H, W, 3), uint8."""
        resized = [np.asarray(self._resized(image)) for image in images]
        return self.normalise(torch.from_numpy(np.stack(resized).transpose(0, 3, 1, 2).copy()))

    def normalise(self, images: Tensor) -> Tensor:
        """Return float32 frames of uint8 images (B, 3, H, W)."""
        mean = torch.tensor(self.mean, device=images.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=images.device).view(1, 3, 1, 1)
        return (images.float() / 255 - mean) / std

    def blank_frame(self) -> Tensor:
        """Return the empty screen (1, 3, size_px, size_px)."""
        return torch.full((1, 3, self.size_px, self.size_px), self.blank)

    def _resized(self, image: np.ndarray) -> Image.Image:
        picture = Image.fromarray(image).convert("RGB")
        width, height = (self.size_px, self.size_px) if self.resize_px is None else _sides(picture, self.resize_px)
        if picture.size != (width, height):
            picture = picture.resize((width, height), _RESAMPLING[self.interpolation])
        if picture.size == (self.size_px, self.size_px):
            return picture
        # half pixels go to the even side, as torchvision rounds them
        left, top = round((width - self.size_px) / 2), round((height - self.size_px) / 2)
        return picture.crop((left, top, left + self.size_px, top + self.size_px))


def _sides(picture: Image.Image, shorter: int) -> tuple[int, int]:
    """Return width and height after resizing the shorter side; the longer one is rounded down, as torchvision does."""
    width, height = picture.size
    if width <= height:
        return shorter, int(shorter * height / width)
    return int(shorter * width / height), shorter
