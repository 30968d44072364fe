import numpy as np
import pytest
import torch
from PIL import Image

from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.models.preprocessing import Preprocessing

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1 / 255,) * 3}  # frames in units of bytes


def picture(width, height):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_by_default_the_whole_image_becomes_the_square():
    image = picture(30, 20)
    expected = np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BILINEAR))
    frame = Preprocessing(16, **PLAIN)([image])[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(frame, expected, atol=1e-3)


@pytest.mark.parametrize(("width", "height"), [(30, 20), (20, 31), (20, 20)])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
def test_a_centre_is_cut_out_of_the_resized_image(width, height, interpolation):
    image = picture(width, height)
    frame = Preprocessing(12, **PLAIN, interpolation=interpolation, resize_px=16)([image])[0]
    sides = (16 * width // min(width, height), 16 * height // min(width, height))
    resized = Image.fromarray(image).resize(sides, Image.Resampling[interpolation.upper()])
    left, top = round((sides[0] - 12) / 2), round((sides[1] - 12) / 2)
    expected = np.asarray(resized)[top : top + 12, left : left + 12]
    np.testing.assert_allclose(frame.permute(1, 2, 0).numpy(), expected, atol=1e-3)


def test_images_of_different_shapes_are_one_batch():
    frames = Preprocessing(8, resize_px=10)([picture(30, 20), picture(20, 30), picture(8, 8)])
    assert frames.shape == (3, 3, 8, 8)
    assert frames.dtype == torch.float32


def test_impossible_settings_are_told():
    with pytest.raises(UnknownNameError, match="'bicubik' is not known - use 'bicubic'"):
        Preprocessing(8, interpolation="bicubik")
    with pytest.raises(ConfigurationError, match="resize_px is 7 and size_px 8"):
        Preprocessing(8, resize_px=7)
