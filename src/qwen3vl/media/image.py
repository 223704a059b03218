"""Pictures: bytes to upright RGB pixels, and the one way in which pixels are resized. Pillow does the decoding."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import PIL.Image
from PIL import ExifTags, ImageOps

from qwen3vl.errors import MediaError
from qwen3vl.media.sniff import check_kind
from qwen3vl.media.types import DEFAULT_LIMITS, Image, MediaLimits, Pixels

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # Pillow's other decoders stay out of reach


def decode_image(data: bytes, limits: MediaLimits = DEFAULT_LIMITS) -> Image:
    """Decodes a PNG, JPEG, WebP, GIF (its first frame) or BMP.

    Raises `MediaError` when the file is empty, truncated, of another format, or larger than `limits`, and does so from
    the header, before pixels are decoded.
    """
    limits.check_bytes(len(data))
    found = check_kind(data, "image")
    # Pillow's decoders raise a dozen unrelated types on broken files: struct.error, SyntaxError, zlib.error, ...
    try:
        picture = PIL.Image.open(BytesIO(data), formats=_FORMATS)
    except Exception as error:
        raise MediaError(f"the {found.name} file cannot be read: {error}") from error
    with picture:
        return from_pil(picture, limits)


def from_pil(picture: PIL.Image.Image, limits: MediaLimits = DEFAULT_LIMITS) -> Image:
    """Takes over a Pillow picture, opened or drawn; it is left as it was. Raises `MediaError` like `decode_image`."""
    limits.check_size(picture.width, picture.height)
    try:
        return Image(_rgb(_upright(picture)))
    except Exception as error:
        raise MediaError(f"the picture is damaged or cut off: {error}") from error


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Bicubic on uint8, as the checkpoints were trained; the same array if it already has the size."""
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(PIL.Image.fromarray(pixels).resize((width, height), PIL.Image.Resampling.BICUBIC))


def _upright(picture: PIL.Image.Image) -> PIL.Image.Image:
    # exif_transpose copies even when there is nothing to turn, so ask first.
    if picture.getexif().get(ExifTags.Base.Orientation, 1) == 1:
        return picture
    return ImageOps.exif_transpose(picture)


def _rgb(picture: PIL.Image.Image) -> Pixels:
    if picture.mode.startswith("I;16"):
        return _deep_gray(picture)
    if picture.has_transparency_data:
        layer = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", layer.size, "white")
        picture = PIL.Image.alpha_composite(white, layer)
    return np.array(picture.convert("RGB"))


def _deep_gray(picture: PIL.Image.Image) -> Pixels:
    """16-bit gray to 8 bits by its upper byte, as Pillow reads 16-bit colour; Pillow's own conversion clips at 255."""
    deep = np.asarray(picture)
    gray = (deep >> 8).astype(np.uint8)
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        gray[deep == transparent] = 255
    return np.repeat(gray[..., None], 3, axis=2)
