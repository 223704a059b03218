"""Videos against the frames they were made of, and the sampling against the reference processor's."""

from __future__ import annotations

import random
import resource
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import PIL.Image
import pytest
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

from qwen3vl.errors import MediaError
from qwen3vl.media.types import MediaLimits, Pixels, Video, VideoSampling
from qwen3vl.media.video import decode_video, sample_indices
from support.media_files import clip, gif, noise, rotated, video

EVERY_FRAME = VideoSampling(fps=1000.0)


@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_every_frame_is_exact(container: str) -> None:
    frames = clip(9)
    result = decode_video(video(frames, fps=Fraction(30000, 1001), container=container), EVERY_FRAME)
    assert result.frame_indices == list(range(9))
    assert result.source_frames == 9
    assert result.source_fps == pytest.approx(30000 / 1001, rel=2e-3 if container == "webm" else 1e-9)
    for got, expected in zip(result.frames, frames, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("container", ["mp4", "webm"])
def test_sampled_frames_are_those_of_their_indices(container: str) -> None:
    frames = clip(47)
    result = decode_video(video(frames, fps=10, container=container))
    assert result.source_fps == 10
    assert result.frame_indices == sample_indices(47, 10, VideoSampling())
    assert len(result.frames) == 9  # int(47 / 10 * 2)
    for index, got in zip(result.frame_indices, result.frames, strict=True):
        np.testing.assert_array_equal(got, frames[index])


def test_a_path_is_read_like_its_bytes(tmp_path: Path) -> None:
    data = video(clip(5))
    path = tmp_path / "clip.mp4"
    path.write_bytes(data)
    np.testing.assert_array_equal(decode_video(path).frames, decode_video(data).frames)


@pytest.mark.parametrize("rate", [0.5, 1, 2, 2.5, 29.97, 240])
@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 31, 100, 4096, 100_000])
@pytest.mark.parametrize("source_fps", [1.0, 10.0, 23.976, 30000 / 1001, 60.0])
def test_indices_equal_the_oracle(frames: int, source_fps: float, rate: float) -> None:
    reference: Any = Qwen3VLVideoProcessor
    oracle = SimpleNamespace(fps=2, num_frames=None, min_frames=4, max_frames=768)
    metadata = SimpleNamespace(total_num_frames=frames, fps=source_fps)
    expected = reference.sample_frames(oracle, metadata, fps=rate).tolist()
    assert sample_indices(frames, source_fps, VideoSampling(fps=rate)) == expected
    assert len(set(expected)) == len(expected)


def test_an_animated_gif_is_a_video() -> None:
    frames = [np.full((30, 40, 3), (40 * i, 255 - 40 * i, 7), np.uint8) for i in range(6)]
    result = decode_video(gif(frames, 250), EVERY_FRAME)
    assert (result.source_fps, result.source_frames) == (4.0, 6)
    for got, expected in zip(result.frames, frames, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_transparent_gif_shows_white() -> None:
    frames = []
    for column in range(2):
        frame = PIL.Image.new("P", (4, 2), 0)
        frame.putpalette([1, 2, 3, 200, 0, 0])
        frame.putpixel((column, 0), 1)
        frames.append(frame)
    file = BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:], duration=100, transparency=0, disposal=2)
    result = decode_video(file.getvalue(), EVERY_FRAME)
    assert result.frames[1][0].tolist() == [[255] * 3, [200, 0, 0], [255] * 3, [255] * 3]


def test_a_gif_of_one_frame_is_a_video_of_one_frame() -> None:
    result = decode_video(gif(clip(1)))
    assert (result.frame_indices, result.source_frames) == ([0], 1)


def test_variable_frame_rate_counts_by_the_average() -> None:
    """Six frames that last 1, 1, 1, 5, 1, 1 ticks of a tenth of a second: six frames a second on average."""
    frames = clip(6)
    result = decode_video(video(frames, fps=10, times=[0, 1, 2, 3, 8, 9]), EVERY_FRAME)
    assert result.source_fps == pytest.approx(6.0)
    for got, expected in zip(result.frames, frames, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("quarter_turns", [0, 1, 2, 3])
def test_rotation_is_applied(quarter_turns: int) -> None:
    frames = clip(4)
    result = decode_video(rotated(video(frames), quarter_turns))
    for got, expected in zip(result.frames, frames, strict=True):
        np.testing.assert_array_equal(got, np.rot90(expected, -quarter_turns))


def test_frames_are_kept_in_the_size_that_is_asked_for() -> None:
    frames = clip(8)
    asked = []

    def half(count: int, height: int, width: int) -> tuple[int, int]:
        asked.append((count, height, width))
        return height // 2, width // 2

    result = decode_video(rotated(video(frames), 1), VideoSampling(min_frames=4), frame_size=half)
    assert asked == [(4, 64, 48)]
    upright = PIL.Image.fromarray(np.rot90(frames[-1], -1))
    expected = upright.resize((24, 32), PIL.Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(result.frames[-1], np.asarray(expected))


def test_hidden_and_trimmed_frames_do_not_shift_the_indices() -> None:
    """The header counts samples, of which an edit list shows only some: a phone's trimmed recording."""
    frames = clip(40)
    trimmed = _trim(video(frames, fps=10), skip_ticks=20)
    with av.open(BytesIO(trimmed), "r") as container:
        stream = container.streams.video[0]
        assert stream.frames == 40
        shown = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(shown) == 20
    result = decode_video(trimmed, VideoSampling(fps=3))
    assert result.source_frames == 20
    assert result.frame_indices[-1] == 19
    for index, got in zip(result.frame_indices, result.frames, strict=True):
        np.testing.assert_array_equal(got, shown[index])


def _trim(mp4: bytes, skip_ticks: int) -> bytes:
    """Lets the edit list start the film later. Times in it are those of the track, found by its first entry."""
    data = bytearray(mp4)
    place = data.index(b"elst") + 4 + 4 + 4 + 4  # version and flags, number of entries, duration
    media_time = int.from_bytes(data[place : place + 4], "big")
    scale_place = data.index(b"mdhd") + 4 + 4 + 8
    scale = int.from_bytes(data[scale_place : scale_place + 4], "big")
    data[place : place + 4] = (media_time + skip_ticks * scale // 10).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("container", ["mp4", "webm", "gif"])
@pytest.mark.parametrize("part", [0.02, 0.3, 0.9])
def test_cut_off_videos_are_refused(container: str, part: float) -> None:
    frames = clip(20)
    data = gif(frames) if container == "gif" else video(frames, container=container)
    with pytest.raises(MediaError):
        decode_video(data[: int(len(data) * part)])


@pytest.mark.parametrize("container", ["mp4", "webm", "gif"])
def test_a_cut_off_video_is_told_from_its_container(container: str) -> None:
    """One byte is missing: nothing needs to be decoded to know it."""
    frames = clip(20)
    data = gif(frames) if container == "gif" else video(frames, container=container)
    with pytest.raises(MediaError, match=rf"cut off.*at least {len(data):,} bytes and has {len(data) - 1:,}"):
        decode_video(data[:-1])


def test_a_live_webm_without_a_length_is_read() -> None:
    """Browsers record so: the length of the segment is not known when its header is written."""
    frames = clip(12)
    data = bytearray(video(frames, container="webm"))
    place = data.index(b"\x18\x53\x80\x67") + 4
    assert data[place] == 0x01
    data[place : place + 8] = b"\x01" + b"\xff" * 7
    assert decode_video(bytes(data), EVERY_FRAME).source_frames == 12


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "a video is asked for, but the bytes are PNG, a picture"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "no known format"),
        (b"\x1aE\xdf\xa3" + bytes(200), "WebM"),
        (b"\0\0\0\x10ftypisom" + bytes(4), "MP4"),
    ],
)
def test_broken_and_other_files_are_named(data: bytes, message: str) -> None:
    with pytest.raises(MediaError, match=message):
        decode_video(data)


def test_damaged_videos_raise_nothing_but_media_errors() -> None:
    rng = random.Random(0)
    frames = clip(6, 32, 32)
    files = [video(frames), video(frames, container="webm"), gif(frames)]
    refused = 0
    for _ in range(600):
        damaged = bytearray(rng.choice(files))
        for _ in range(rng.choice([1, 3, 10])):
            damaged[rng.randrange(min(len(damaged), rng.choice([800, len(damaged)])))] = rng.randrange(256)
        try:
            decode_video(bytes(damaged))
        except MediaError:
            refused += 1
    assert refused > 100


def test_a_title_that_is_not_utf8_does_no_harm() -> None:
    data = video(clip(2))
    name = b"VideoHandler"
    assert name in data
    assert decode_video(data.replace(name, b"Vid\xe9oHandler", 1)).source_frames == 2


def test_an_unknown_codec_is_named() -> None:
    with pytest.raises(MediaError, match="unknown codec"):
        decode_video(video(clip(2)).replace(b"avc1", b"xxxx"))


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 4410), np.float32), format="fltp", layout="mono")
        sound.sample_rate = 44100
        output.mux(stream.encode(sound))
        output.mux(stream.encode())
    with pytest.raises(MediaError, match="holds no video"):
        decode_video(path)


def test_limits_hold_before_decoding() -> None:
    data = video(clip(30), fps=10)
    with pytest.raises(MediaError, match="3 seconds is too long"):
        decode_video(data, limits=MediaLimits(max_video_seconds=2))
    with pytest.raises(MediaError, match="3,072 pixels; at most 3,000"):
        decode_video(data, limits=MediaLimits(max_pixels=3000))
    with pytest.raises(MediaError, match="6 frames of 64x48 are 18,432 pixels"):
        decode_video(data, limits=MediaLimits(max_video_pixels=18_000))


def test_memory_holds_the_kept_frames_and_not_the_video() -> None:
    """60 frames of 1280x720 are 165 MB; kept at a sixteenth of each side they are 1 MB."""
    still = noise(720, 1280)
    data = video([still] * 60, fps=10)
    decode_video(data, frame_size=lambda *_: (45, 80))  # FFmpeg's own buffers are there now
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = decode_video(data, EVERY_FRAME, frame_size=lambda *_: (45, 80))
    assert len(result.frames) == 60
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # KiB


@pytest.mark.parametrize(
    ("frames", "indices", "fps"),
    [
        ([], [], 1.0),
        (clip(2), [0], 1.0),
        (clip(2), [1, 0], 1.0),
        (clip(2), [0, 9], 1.0),
        (clip(2), [0, 1], 0.0),
        ([*clip(1), noise(9, 9)], [0, 1], 1.0),
    ],
)
def test_a_callers_own_video_is_checked(frames: list[Pixels], indices: list[int], fps: float) -> None:
    with pytest.raises(MediaError):
        Video(frames, indices, fps, 5)
