"""Every mode and fault of an image file: the picture as a person sees it, or the reason why there is none."""

import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image
from toy_images import encoded, noisy

from neurofit.errors import DataFileError
from neurofit.training import image_decoding
from neurofit.training.image_decoding import Part, check_header, check_image, shown


def at_centre(content: bytes) -> list[int]:
    return shown(content, 4)[:, 2, 2].tolist()


def near(found, wanted, tolerance=2):
    return np.abs(np.array(found) - np.array(wanted)).max() <= tolerance


def flat(mode: str, colour, size=(8, 8)) -> Image.Image:
    return Image.new(mode, size, colour)


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        (encoded(flat("L", 90)), (90, 90, 90)),
        (encoded(flat("1", 1)), (255, 255, 255)),
        (encoded(flat("RGB", (10, 200, 60)).quantize(4)), (10, 200, 60)),
        (encoded(flat("CMYK", (0, 255, 255, 0)), "JPEG", quality=95), (255, 0, 0)),
        (encoded(flat("RGBA", (255, 0, 0, 0))), (255, 255, 255)),
        (encoded(flat("RGBA", (255, 0, 0, 128))), (255, 127, 127)),
        (encoded(flat("LA", (0, 0))), (255, 255, 255)),
        (encoded(flat("RGBA", (0, 0, 255, 128)), "WEBP", lossless=True), (127, 127, 255)),
        (encoded(flat("RGB", (10, 200, 60)), "BMP"), (10, 200, 60)),
        (encoded(flat("RGB", (10, 200, 60)), "TIFF"), (10, 200, 60)),
        (encoded(flat("RGB", (10, 200, 60)), "PPM"), (10, 200, 60)),
        (encoded(flat("L", 90), transparency=90), (255, 255, 255)),
    ],
    ids=["grey", "bit", "palette", "cmyk", "clear", "half", "grey-clear", "webp", "bmp", "tiff", "ppm", "trns"],
)
def test_modes_become_the_colours_that_are_seen(content, colour):
    assert near(at_centre(content), colour)


def test_a_transparent_palette_is_in_front_of_white():
    picture = flat("P", 0)
    picture.putpalette([255, 0, 0, 0, 255, 0])
    assert at_centre(encoded(picture, "GIF", transparency=0)) == [255, 255, 255]
    assert at_centre(encoded(picture, "GIF")) == [255, 0, 0]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_and_not_clipped(kind):
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    found = shown(encoded(Image.fromarray(ramp), kind), 8)
    assert np.array_equal(found[0], np.round(ramp / 257).astype(np.uint8))
    assert np.array_equal(found[0], found[2])


def test_16_bit_colour_keeps_its_high_bytes():
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = (b"\0" + struct.pack(">3H", 0x2000, 0x8000, 0xF000) * 4) * 4
    header = struct.pack(">IIBBBBB", 4, 4, 16, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    assert at_centre(b"\x89PNG\r\n\x1a\n" + body) == [0x20, 0x80, 0xF0]


def test_an_animation_shows_its_first_frame():
    frames = [flat("RGB", (200, 0, 0)), flat("RGB", (0, 200, 0))]
    for kind, options in (("GIF", {}), ("PNG", {}), ("WEBP", {"lossless": True})):
        content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
        assert Image.open(io.BytesIO(content)).n_frames == 2
        assert near(at_centre(content), (200, 0, 0)), kind


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_turns_the_picture_upright(orientation):
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8, :8] = 200, 0, 0
    upright[:8, 8:] = 0, 200, 0
    upright[8:, :8] = 0, 0, 200
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # of PIL's Transpose: how a camera would have stored it
    stored = Image.fromarray(upright)
    if orientation in undo:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(stored, "PNG", exif=exif.tobytes())
    assert np.array_equal(shown(content, 16).transpose(1, 2, 0), upright)
    # the part that is cut out is that of the upright picture
    assert shown(content, 8, Part(0.5, 0, 0.5, 0.5)).reshape(3, -1).T.tolist() == [[0, 200, 0]] * 64


def test_unreadable_exif_says_nothing():
    plain = noisy()
    assert np.array_equal(shown(encoded(plain, exif=b"Exif\0\0nonsense"), 8), shown(encoded(plain), 8))


def test_parts_and_mirrors_are_those_of_the_picture():
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 64, 3))
    content = encoded(Image.fromarray(np.ascontiguousarray(ramp)))
    whole = shown(content, 64)
    assert np.array_equal(whole[0], ramp[..., 0])
    part = shown(content, 32, Part(0.25, 0.5, 0.5, 0.5))
    assert np.array_equal(part, whole[:, 32:, 16:48])
    assert np.array_equal(shown(content, 32, Part(0.25, 0.5, 0.5, 0.5, True)), part[:, :, ::-1])


def test_the_centre_is_224_256ths_of_the_short_side():
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[4:60, 20:76] = 255
    content = encoded(Image.fromarray(pixels))
    assert (shown(content, 56, view="centre") == 255).all()
    assert (shown(content, 58, view="centre").shape) == (3, 58, 58)
    assert shown(content, 56, view="whole").mean() < 200


def test_large_jpegs_are_decoded_smaller_but_look_the_same():
    smooth = noisy(size=(5, 4)).resize((640, 512), Image.Resampling.BICUBIC)
    content = encoded(smooth, "JPEG", quality=95)
    found = shown(content, 32).astype(int)
    exact = np.asarray(Image.open(io.BytesIO(content)).resize((32, 32), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.abs(found - exact).max() <= 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"not an image, by far", "no image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no image of a known format"),
        (encoded(noisy(), "JPEG")[:300], "Truncated"),
        (encoded(noisy(), "JPEG")[:-50], "truncated"),
        (encoded(noisy())[:200], "truncated|broken|cut"),
        (encoded(noisy(), "WEBP")[:100], "."),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "floating-point numbers"),
        (encoded(Image.fromarray(np.full((4, 4), 70000, np.int32)), "TIFF"), "70000, and not of 8 or 16 bits"),
    ],
    ids=["empty", "text", "postscript", "jpeg-header", "jpeg", "png", "webp", "float", "wide"],
)
def test_what_cannot_be_decoded_has_a_reason(content, reason):
    for decode in (check_image, lambda content: shown(content, 8)):
        with pytest.raises(DataFileError, match=f"every training image can be decoded - .*({reason})"):
            decode(content)


def test_a_header_alone_does_not_show_that_a_file_is_cut_short():
    content = encoded(noisy(size=(64, 64)), "JPEG")
    check_header(content[: len(content) // 2])
    with pytest.raises(DataFileError, match="truncated"):
        check_image(content[: len(content) // 2])
    with pytest.raises(DataFileError, match="empty"):
        check_header(b"")


def test_every_cut_of_a_file_is_shown_or_refused():
    for kind in ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
        content = encoded(noisy(size=(9, 7)), kind)
        for end in range(0, len(content), 7):
            try:
                assert shown(content[:end], 4).shape == (3, 4, 4)
            except DataFileError as error:
                assert error.found


def test_decompression_bombs_are_refused_by_their_header(monkeypatch):
    def declaring(width, height):
        content = bytearray(encoded(noisy()))
        content[16:24] = struct.pack(">II", width, height)
        content[29:33] = struct.pack(">I", zlib.crc32(bytes(content[12:29])))
        return bytes(content)

    for side in (10_000, 60_000):  # Pillow itself warns of the one and refuses the other
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(DataFileError, match="as decompression bombs do"):
                check_header(declaring(side, side))
            with pytest.raises(DataFileError, match="as decompression bombs do"):
                shown(declaring(side, side), 8)
    monkeypatch.setattr(image_decoding, "MAX_PIXELS", 100)
    with pytest.raises(DataFileError, match="24 x 20 pixels.*limit 100"):
        shown(encoded(noisy()), 8)
