"""Where media may come from, and where not."""

from __future__ import annotations

import base64
import os
import tracemalloc
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from qwen3vl.errors import MediaError
from qwen3vl.media.source import read_source
from qwen3vl.media.types import Image, MediaLimits
from support.media_files import clip, data_url, encode, noise, video

PIXELS = noise(20, 30)
PNG = encode(PIXELS, "PNG")


def test_bytes_and_data_urls() -> None:
    for source in (
        PNG,
        bytearray(PNG),
        memoryview(PNG),
        data_url(PNG, "image/png"),
        data_url(PNG, "image/png;name=a.png"),
        "DATA:;BASE64," + base64.b64encode(PNG).decode(),
    ):
        assert read_source(source, allow_files=False) == PNG


def test_pictures_that_are_already_open() -> None:
    for source in (PIL.Image.open(BytesIO(PNG)), Image(PIXELS)):
        picture = read_source(source, allow_files=False)
        assert isinstance(picture, Image)
        np.testing.assert_array_equal(picture.pixels, PIXELS)


def test_files_where_they_are_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a b.png"
    path.write_bytes(PNG)
    for source in (path, str(path), path.as_uri(), f"file://localhost{path.as_uri()[len('file://') :]}"):
        assert read_source(source, allow_files=True) == PNG
        with pytest.raises(MediaError, match="local files may not be named here"):
            read_source(source, allow_files=False)


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/a.png", "https://example.com/a.png", "HTTP://169.254.169.254/"])
@pytest.mark.parametrize("allow_files", [True, False])
def test_urls_are_never_fetched(url: str, allow_files: bool) -> None:
    with pytest.raises(MediaError, match=r"fetching URLs is not allowed.*data URL"):
        read_source(url, allow_files=allow_files)


@pytest.mark.parametrize("scheme", ["ftp://host/a.png", "gopher://x", "javascript:1", "", "iVBORw0KGgo="])
def test_other_strings_are_no_files_for_a_server(scheme: str) -> None:
    with pytest.raises(MediaError, match="data URL"):
        read_source(scheme, allow_files=False)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("data:image/png;base64", "must look like"),
        ("data:image/png," + base64.b64encode(PNG).decode(), "must look like"),
        ("data:image/png;base64,", "empty"),
        ("data:image/png;base64,iVBO Rw0K", "not valid base64"),
        ("data:image/png;base64,iVBORw0=AAAA", "not valid base64"),
        ("data:image/png;base64,iVBORw0-_w==", "not valid base64"),
        ("data:image/png;base64,iVBORé", "not valid base64"),
        (data_url(b"hello", "image/png"), "no known format"),
        (data_url(video(clip(2)), "image/png"), "label says image/png, but the bytes are MP4"),
    ],
)
def test_bad_data_urls(url: str, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        read_source(url, allow_files=True)


def test_length_is_checked_before_decoding_and_reading(tmp_path: Path) -> None:
    limits = MediaLimits(max_bytes=1000)
    url = "data:image/png;base64," + "A" * 8_000_000
    sparse = tmp_path / "large.png"
    with sparse.open("wb") as file:
        file.truncate(1 << 40)
    tracemalloc.start()
    for source in (url, sparse, bytes(2000)):
        with pytest.raises(MediaError, match="at most 1,000 are allowed"):
            read_source(source, allow_files=True, limits=limits)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 9_000_000  # one copy of the URL's payload as text, and nothing of the decoded bytes or the file


def test_only_plain_files_are_read(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for source in (pipe, tmp_path, tmp_path / "missing.png", "/dev/zero", "a\0b"):
        with pytest.raises(MediaError, match=r"is not an existing, plain file|cannot be read"):
            read_source(source, allow_files=True)
    with pytest.raises(MediaError, match="the host 'elsewhere'"):
        read_source("file://elsewhere/a.png", allow_files=True)


def test_other_types_are_named() -> None:
    with pytest.raises(MediaError, match="of type int"):
        read_source(3, allow_files=True)
