"""What pictures, videos and documents are said to be, against what they were made as."""

from __future__ import annotations

import pytest

from qwen3vl.errors import MediaError
from qwen3vl.media.describe import Description, describe
from qwen3vl.media.types import MediaLimits
from support import media_files
from support.media_files import clip, noise


@pytest.mark.parametrize(
    ("format_", "media_type"),
    [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp"), ("BMP", "image/bmp"), ("GIF", "image/gif")],
)
def test_pictures(format_: str, media_type: str) -> None:
    assert describe(media_files.encode(noise(30, 50), format_)) == Description("image", media_type, 50, 30)


def test_a_picture_that_stands_on_its_side() -> None:
    exif = media_files.PIL.Image.Exif()
    exif[0x0112] = 6
    assert describe(media_files.encode(noise(30, 50), "JPEG", exif=exif)) == Description("image", "image/jpeg", 30, 50)


@pytest.mark.parametrize(("container", "media_type"), [("mp4", "video/mp4"), ("webm", "video/webm")])
def test_videos(container: str, media_type: str) -> None:
    found = describe(media_files.video(clip(12), 4, container))
    assert (found.kind, found.media_type, found.width, found.height) == ("video", media_type, 64, 48)
    assert found.seconds == pytest.approx(3.0, abs=0.01)
    turned = describe(media_files.rotated(media_files.video(clip(4), 4), 1))
    assert (turned.width, turned.height) == (48, 64)


def test_a_gif_is_what_it_is_used_as() -> None:
    data = media_files.gif(clip(10), 100)
    assert describe(data).kind == "image"
    found = describe(data, "video")
    assert (found.kind, found.media_type, found.width, found.height) == ("video", "image/gif", 64, 48)
    assert found.seconds == pytest.approx(1.0, abs=0.01)


def test_documents() -> None:
    assert describe(media_files.pdf((200, 100), (50, 60))) == Description("pdf", "application/pdf", pages=2)


def test_what_is_refused() -> None:
    png = media_files.encode(noise(30, 50), "PNG")
    with pytest.raises(MediaError, match="damaged or cut off"):
        describe(png[: len(png) // 2])
    with pytest.raises(MediaError, match="a video is asked for"):
        describe(png, "video")
    with pytest.raises(MediaError, match="pixels"):
        describe(media_files.png_bomb(20_000, 20_000))
    with pytest.raises(MediaError, match="1 to 1 are allowed"):
        describe(media_files.pdf((200, 100), (50, 60)), limits=MediaLimits(max_pdf_pages=1))
    with pytest.raises(MediaError, match="too long"):
        describe(media_files.video(clip(12), 4), limits=MediaLimits(max_video_seconds=2))
    with pytest.raises(MediaError, match="no known format"):
        describe(b"<html></html>")
