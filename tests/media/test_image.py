"""Pictures against Pillow's own decoding, and hostile files against their errors and the memory they cost."""

from __future__ import annotations

import random
import resource
import struct
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import ImageOps

from qwen3vl.errors import MediaError
from qwen3vl.media.image import decode_image, from_pil, resize
from qwen3vl.media.types import MediaLimits
from support.media_files import encode, noise, png_bomb

PIXELS = noise(37, 53)


@pytest.mark.parametrize(
    ("format_", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("JPEG", {"quality": 80}),
        ("JPEG", {"quality": 80, "progressive": True}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"quality": 70}),
        ("GIF", {}),
    ],
)
def test_every_format_gives_the_pixels_of_pillow(format_: str, options: dict[str, Any]) -> None:
    data = encode(PIXELS, format_, **options)
    expected = np.asarray(PIL.Image.open(BytesIO(data)).convert("RGB"))
    picture = decode_image(data)
    assert (picture.width, picture.height) == (53, 37)
    np.testing.assert_array_equal(picture.pixels, expected)
    if format_ in ("PNG", "BMP") or "lossless" in options:
        np.testing.assert_array_equal(picture.pixels, PIXELS)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied(orientation: int, format_: str) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    data = encode(PIXELS, format_, exif=exif.tobytes())
    expected = ImageOps.exif_transpose(PIL.Image.open(BytesIO(data))).convert("RGB")
    np.testing.assert_array_equal(decode_image(data).pixels, np.asarray(expected))
    assert (expected.size == (37, 53)) == (orientation >= 5)


def test_transparency_is_flattened_on_white() -> None:
    alpha = np.tile(np.arange(53, dtype=np.uint8) * 4, (37, 1))
    rgba = PIL.Image.fromarray(np.dstack([PIXELS, alpha]))
    weight = alpha[..., None] / 255
    expected = PIXELS * weight + 255 * (1 - weight)
    for format_ in ("PNG", "WEBP"):
        data = encode(np.asarray(rgba), format_, lossless=True, exact=True)
        assert np.abs(decode_image(data).pixels - expected).max() <= 1
    gray = PIL.Image.fromarray(PIXELS[..., 0]).convert("LA")
    gray.putalpha(PIL.Image.fromarray(alpha))
    expected = PIXELS[..., :1] * weight + 255 * (1 - weight)
    assert np.abs(from_pil(gray).pixels - expected).max() <= 1


@pytest.mark.parametrize("format_", ["PNG", "GIF"])
def test_a_transparent_palette_entry_becomes_white(format_: str) -> None:
    palette = PIL.Image.new("P", (4, 2), 0)
    palette.putpalette([10, 20, 30, 200, 0, 0])
    palette.putpixel((3, 1), 1)
    file = BytesIO()
    palette.save(file, format_, transparency=0)
    pixels = decode_image(file.getvalue()).pixels
    assert pixels[0, 0].tolist() == [255, 255, 255]
    assert pixels[1, 3].tolist() == [200, 0, 0]


def test_sixteen_bit_gray_keeps_its_shades() -> None:
    deep = np.arange(37 * 53, dtype=np.uint16).reshape(37, 53) * 33
    pixels = decode_image(encode(deep, "PNG")).pixels
    np.testing.assert_array_equal(pixels[..., 1], deep // 256)
    with_key = encode(deep, "PNG", transparency=int(deep[5, 5]))
    assert decode_image(with_key).pixels[5, 5].tolist() == [255, 255, 255]


def test_cmyk_jpeg_and_bilevel_png() -> None:
    file = BytesIO()
    PIL.Image.fromarray(PIXELS).convert("CMYK").save(file, "JPEG", quality=95)
    expected = np.asarray(PIL.Image.open(file).convert("RGB"))
    np.testing.assert_array_equal(decode_image(file.getvalue()).pixels, expected)
    bilevel = PIXELS[..., 0] > 127
    np.testing.assert_array_equal(decode_image(encode(bilevel, "PNG")).pixels[..., 2], bilevel * 255)


def test_an_animated_gif_is_its_first_frame() -> None:
    frames = [PIL.Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    assert decode_image(file.getvalue()).pixels[0, 0].tolist() == [255, 0, 0]


def test_a_pillow_picture_is_left_as_it_was() -> None:
    picture = PIL.Image.fromarray(PIXELS)
    picture.getexif()[0x0112] = 6
    taken = from_pil(picture)
    assert (taken.width, taken.height) == (37, 53)
    assert picture.size == (53, 37)
    taken.pixels[:] = 0
    np.testing.assert_array_equal(np.asarray(picture), PIXELS)


def test_resize_is_pillows_bicubic() -> None:
    expected = PIL.Image.fromarray(PIXELS).resize((64, 96), PIL.Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(resize(PIXELS, 96, 64), np.asarray(expected))
    assert resize(PIXELS, 37, 53) is PIXELS


def _webp_bomb() -> bytes:
    """A lossless WebP of a few bytes whose header claims the largest size there is."""
    data = bytearray(encode(np.zeros((8, 8, 3), np.uint8), "WEBP", lossless=True))
    place = data.index(b"VP8L") + 9
    (header,) = struct.unpack_from("<I", data, place)
    struct.pack_into("<I", data, place, header & ~0xFFFFFFF | 16382 | 16382 << 14)
    return bytes(data)


def _bmp_bomb() -> bytes:
    data = bytearray(encode(PIXELS, "BMP"))
    struct.pack_into("<ii", data, 18, 100_000, 100_000)
    return bytes(data)


def _gif_bomb() -> bytes:
    data = bytearray(encode(PIXELS, "GIF"))
    struct.pack_into("<HH", data, 6, 65_535, 65_535)
    return bytes(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: png_bomb(100_000, 100_000), "10000000000 pixels"),
        (lambda: png_bomb(12_000, 12_000), "144,000,000 pixels; at most 100,000,000"),
        (lambda: png_bomb(10_000, 1), "10000x1 is too long a strip"),
        (lambda: png_bomb(1, 201), "1x201 is too long a strip"),
        (_webp_bomb, "268402689 pixels"),
        (_bmp_bomb, "10000000000 pixels"),
        (_gif_bomb, "4294836225 pixels"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_and_strips_are_refused_without_spending_memory(make: Callable[[], bytes], message: str) -> None:
    data = make()
    assert len(data) < 10_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(MediaError, match=message):
        decode_image(data)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000  # KiB


def test_a_strip_of_just_200_to_1_is_read() -> None:
    assert decode_image(encode(noise(2, 400), "PNG")).width == 400


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
def test_truncated_files_are_refused(format_: str) -> None:
    data = encode(noise(64, 64), format_)
    for length in (12, 40, len(data) // 2, len(data) * 3 // 4):
        with pytest.raises(MediaError):
            decode_image(data[:length])


def test_damaged_files_raise_nothing_but_media_errors() -> None:
    rng = random.Random(0)
    files = [encode(PIXELS, format_) for format_ in ("PNG", "JPEG", "WEBP", "BMP", "GIF")]
    refused = 0
    for _ in range(400):
        damaged = bytearray(rng.choice(files))
        for _ in range(rng.randint(1, 12)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            decode_image(bytes(damaged))
        except MediaError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"hello, I am text", "no known format"),
        (b"%PDF-1.7 ...", "a picture is asked for, but the bytes are PDF"),
        (b"\0\0\0\x18ftypisom" + bytes(20), "a picture is asked for, but the bytes are MP4, a video"),
        (b"\0\0\0\x18ftypheic" + bytes(20), "no known format"),
        (b"II*\0" + bytes(100), "no known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "no known format"),
    ],
)
def test_other_files_are_named(data: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        decode_image(data)


def test_limits_are_the_callers() -> None:
    data = encode(PIXELS, "PNG")
    with pytest.raises(MediaError, match=r"at most 1,000 are allowed"):
        decode_image(data, MediaLimits(max_pixels=1000))
    with pytest.raises(MediaError, match=r"at most 10 are allowed"):
        decode_image(data, MediaLimits(max_bytes=10))
