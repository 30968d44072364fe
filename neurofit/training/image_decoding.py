"""From the bytes of an image file to what is shown of it: an upright RGB picture, a part of it, a square of pixels.

Whatever is in the file, the picture is what a person sees who opens it: turned as its EXIF orientation says, 16-bit
grey scaled and not clipped, what is transparent in front of white, the first frame of an animation. ICC profiles are
not applied, as is usual for ImageNet.
"""

from __future__ import annotations

import io
import math
import struct
import warnings
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from neurofit.errors import DataFileError

View = Literal["whole", "centre"]
"""What a network is shown of an image that is not cropped at random, see `shown`."""

MAX_PIXELS = 89_478_485
"""Of one image; Pillow warns of decompression bombs above it. The largest of ImageNet has 61 million."""

#: looked for by content, whatever a file is called; other readers of Pillow start programs (EPS) or are rarely fuzzed
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")

_ORIENTATION = 0x0112  # EXIF 2.3, table 4
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_FIRST_ON_ITS_SIDE = 5

#: a JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves so many pixels for each that is shown (as Pillow's thumbnails)
_SPARE = 2

#: neuroailab/convrnns @ b76a44d, run_model.py: the short side is 256 and the central 224 are shown
_CENTRE = 224 / 256


class Part(NamedTuple):
    """A part of one image, as fractions of its width and height; one entry of `Crops`."""

    left: float = 0.0
    top: float = 0.0
    width: float = 1.0
    height: float = 1.0
    mirrored: bool = False


WHOLE = Part()


def check_header(content: bytes) -> None:
    """Check that a file begins as an image of a possible size.

    Raises
    ------
    DataFileError
        If it does not.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _opened(content).close()


def check_image(content: bytes) -> None:
    """Check that all of an image can be decoded; of a JPEG all is read, but an eighth as many pixels a side are made.

    Raises
    ------
    DataFileError
        If it cannot.
    """
    _decoded(content, (1, 1))


def shown(
    content: bytes,
    size_px: int,
    part: Part | None = None,
    view: View = "whole",
    resampling: Image.Resampling = Image.Resampling.BILINEAR,
) -> np.ndarray:
    """Return what is shown of an image.

    Parameters
    ----------
    content : bytes
        Of the file.
    size_px : int
    part : Part, optional
        Cut out of the picture.
    view : {'whole', 'centre'}
        Without a part: the whole picture, squashed to a square, or its central square of 224/256 of the short side
        (neuroailab/convrnns @ b76a44d, run_model.py).
    resampling : PIL.Image.Resampling
        Antialiased; bilinear by default.

    Returns
    -------
    array (3, size_px, size_px), uint8

    Raises
    ------
    DataFileError
        If the image cannot be decoded; its `found` is the reason.
    """
    fraction = min(part.width, part.height) if part is not None else _CENTRE if view == "centre" else 1.0
    picture = _decoded(content, (math.ceil(_SPARE * size_px / fraction),) * 2)
    box = _box(picture.size, part, view)
    if box != (0, 0, *picture.size) or picture.size != (size_px, size_px):
        picture = picture.resize((size_px, size_px), resampling, box=box)
    if part is not None and part.mirrored:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(picture).transpose(2, 0, 1)


def _box(size: tuple[int, int], part: Part | None, view: View) -> tuple[float, float, float, float]:
    """Return (left, top, right, bottom) in pixels of what is shown."""
    width, height = size
    if part is not None:
        right, bottom = min(part.left + part.width, 1.0), min(part.top + part.height, 1.0)
        return part.left * width, part.top * height, right * width, bottom * height
    if view == "centre":
        side = max(int(min(size) * _CENTRE), 1)
        left, top = (width - side) // 2, (height - side) // 2
        return left, top, left + side, top + side
    return 0, 0, width, height


def _decoded(content: bytes, least: tuple[int, int]) -> Image.Image:
    """Return the upright RGB picture, of at least `least` (width, height) if the file has as many."""
    with warnings.catch_warnings():
        # Pillow warns of odd metadata; pixels that cannot be had raise
        warnings.simplefilter("ignore")
        with _opened(content) as image:
            orientation = _orientation(image)
            image.draft(None, least)
            try:
                picture = _rgb(image)
            except MemoryError:
                raise
            except Exception as error:  # damaged files make Pillow raise nearly anything; each is a reason to give
                raise _unreadable(error) from error
    return picture.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else picture


def _opened(content: bytes) -> Image.Image:
    """Return the image with nothing but its header read."""
    if not content:
        raise _undecodable("it is empty")
    try:
        image = Image.open(io.BytesIO(content), formats=_FORMATS)
    except Image.DecompressionBombError as error:
        raise _undecodable(f"it declares more than {2 * MAX_PIXELS} pixels, as decompression bombs do") from error
    except Image.UnidentifiedImageError as error:
        raise _undecodable(f"it is no image of a known format ({', '.join(_FORMATS)})") from error
    except MemoryError:
        raise
    except Exception as error:  # as in _decoded
        raise _unreadable(error) from error
    width, height = image.size
    if width * height > MAX_PIXELS:
        image.close()
        raise _undecodable(f"it declares {width} x {height} pixels, as decompression bombs do (limit {MAX_PIXELS})")
    return image


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error):
        return 1  # unreadable metadata say nothing about how the picture is held


def _rgb(image: Image.Image) -> Image.Image:
    """Return the pixels of any mode as RGB."""
    image.load()
    if image.mode.startswith("I;16"):
        return _from_16_bits(np.asarray(image))
    if image.mode == "I":  # 16-bit PNG and PGM in some versions of Pillow
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise _undecodable(f"its grey values are {values.min()} to {values.max()}, and not of 8 or 16 bits")
        return _from_16_bits(values)
    if image.mode == "F":
        raise _undecodable("its pixels are floating-point numbers without a known range")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        picture = image.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.round(values / 257).astype(np.uint8)).convert("RGB")


def _undecodable(reason: str) -> DataFileError:
    return DataFileError("every training image can be decoded", reason, "remove or mend it")


def _unreadable(error: Exception) -> DataFileError:
    if isinstance(error, DataFileError):
        return error
    return _undecodable(str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}")
