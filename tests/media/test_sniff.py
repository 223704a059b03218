"""Formats told by their bytes, held against files that other programs wrote."""

from __future__ import annotations

import pytest

from qwen3vl.errors import MediaError
from qwen3vl.media.sniff import MediaKind, check_kind, check_label, file_format, media_kind
from support.media_files import clip, encode, gif, noise, pdf, video

FILES = {
    "PNG": encode(noise(8, 8), "PNG"),
    "JPEG": encode(noise(8, 8), "JPEG"),
    "WebP": encode(noise(8, 8), "WEBP"),
    "BMP": encode(noise(8, 8), "BMP"),
    "GIF": gif(clip(2)),
    "MP4": video(clip(2)),
    "WebM": video(clip(2), container="webm"),
    "PDF": pdf((100, 100)),
}
KINDS = {"MP4": "video", "WebM": "video", "PDF": "pdf"}


@pytest.mark.parametrize("name", FILES)
def test_formats_and_kinds(name: str) -> None:
    assert file_format(FILES[name]).name == name
    assert media_kind(FILES[name]) == KINDS.get(name, "image")


@pytest.mark.parametrize(
    ("kind", "fitting"),
    [("image", {"PNG", "JPEG", "WebP", "BMP", "GIF"}), ("video", {"GIF", "MP4", "WebM"}), ("pdf", {"PDF"})],
)
def test_only_a_gif_is_two_things(kind: MediaKind, fitting: set[str]) -> None:
    for name in fitting:
        assert check_kind(FILES[name], kind).name == name
    for name in FILES.keys() - fitting:
        with pytest.raises(MediaError, match=f"the bytes are {name}"):
            check_kind(FILES[name], kind)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("PNG", "image/png"),
        ("PNG", "IMAGE/JPEG"),
        ("GIF", "image/gif"),
        ("GIF", "video/mp4"),
        ("PDF", "application/pdf"),
        ("MP4", "application/octet-stream"),
        ("WebM", ""),
    ],
)
def test_labels_of_the_right_kind_pass(name: str, label: str) -> None:
    check_label(FILES[name], label)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("MP4", "image/png"),
        ("PNG", "video/mp4"),
        ("PDF", "image/png"),
        ("JPEG", "application/pdf"),
        ("PNG", "text/html"),
    ],
)
def test_a_wrong_label_is_an_error_that_says_both(name: str, label: str) -> None:
    with pytest.raises(MediaError, match=f"label says {label}, but the bytes are {name}"):
        check_label(FILES[name], label)
