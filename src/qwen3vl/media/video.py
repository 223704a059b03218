"""Videos: bytes to sampled RGB frames with their true places in the source. PyAV (FFmpeg) does the decoding.

One pass decodes every frame, in order, and keeps only the sampled ones, so that memory holds no more than is asked for.
How many frames there are is first taken from the header; where decoding finds another number, the header lied (trimmed
recordings, hidden frames) and the frames are sampled once more from the true count.

A frame's time is its index over the average frame rate, also where the rate varies: that is how the checkpoints were
trained, and it needs no clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from qwen3vl.errors import MediaError
from qwen3vl.media.complete import check_complete
from qwen3vl.media.image import resize
from qwen3vl.media.sniff import GIF, HEAD_BYTES, MP4, WEBM, FileFormat, check_kind
from qwen3vl.media.types import DEFAULT_LIMITS, DEFAULT_SAMPLING, MediaLimits, Pixels, Video, VideoSampling

FrameSize = Callable[[int, int, int], tuple[int, int]]  # frames, height, width -> height, width

# Naming the demuxer keeps FFmpeg from taking a file for a playlist, which could name other files or addresses.
_DEMUXERS = {MP4: "mov", WEBM: "matroska", GIF: "gif"}


def decode_video(
    data: bytes | Path,
    sampling: VideoSampling = DEFAULT_SAMPLING,
    limits: MediaLimits = DEFAULT_LIMITS,
    frame_size: FrameSize | None = None,
) -> Video:
    """Decodes the sampled frames of an MP4 (or MOV), WebM or animated GIF, turned upright.

    `frame_size(frames, height, width)` says in which height and width to keep them; each frame is resized as it is
    decoded, so that a long video in full resolution is never held. Without it frames keep their size.

    Raises `MediaError` when the file is empty, cut off, of another format, or larger than `limits`.
    """
    with open_file(data, limits) as (file, format_):
        frames, fps = _header(file, format_, limits)
        for _ in range(2):
            rate = _rate(fps, frames, limits)
            indices = sample_indices(frames, rate, sampling)
            kept, decoded = _decode(
                file, format_, limits, indices, frame_size, max_frames=limits.max_video_seconds * rate
            )
            if decoded == frames:
                return Video(kept, indices, rate, frames)
            frames = decoded
        raise MediaError("the video is damaged: decoding it twice gave different numbers of frames")


@dataclass(frozen=True)
class VideoHeader:
    """What a video is, as far as its header and first frame tell. Width and height are those of an upright frame."""

    width: int
    height: int
    seconds: float
    frames: int


def read_header(data: bytes | Path, limits: MediaLimits = DEFAULT_LIMITS) -> VideoHeader:
    """Decodes the first frame only. Raises `MediaError` like `decode_video`, as far as that shows."""
    with open_file(data, limits) as (file, format_):
        frames, fps = _header(file, format_, limits)
        seconds = frames / _rate(fps, frames, limits)
        with open_stream(file, format_, limits) as (container, stream):
            for frame in container.decode(stream):
                height, width = upright(frame).shape[:2]
                return VideoHeader(width, height, seconds, frames)
        raise MediaError(f"the {format_.name} file holds no video frames")


def sample_indices(source_frames: int, source_fps: float, sampling: VideoSampling) -> list[int]:
    """Evenly spaced frames, the first and the last among them, at about `sampling.fps` a second."""
    wanted = int(source_frames / source_fps * sampling.fps)
    count = min(max(wanted, sampling.min_frames), sampling.max_frames, source_frames)
    return [int(i) for i in np.linspace(0, source_frames - 1, count).round()]


@contextmanager
def open_file(data: bytes | Path, limits: MediaLimits) -> Iterator[tuple[BinaryIO, FileFormat]]:
    """The file and its format, known to be a whole video file of an allowed length. Raises `MediaError`."""
    with data.open("rb") if isinstance(data, Path) else BytesIO(data) as file:
        size = file.seek(0, 2)
        limits.check_bytes(size)
        file.seek(0)
        format_ = check_kind(file.read(HEAD_BYTES), "video")
        check_complete(file, size, format_)
        yield file, format_


@contextmanager
def open_stream(
    file: BinaryIO, format_: FileFormat, limits: MediaLimits
) -> Iterator[tuple[InputContainer, VideoStream]]:
    """The first video in the file. Raises `MediaError`, also for what FFmpeg says while the block runs."""
    file.seek(0)
    try:
        # Titles in other encodings than UTF-8 are common, and nobody reads them here.
        with av.open(file, mode="r", format=_DEMUXERS[format_], metadata_errors="replace") as container:
            if not container.streams.video:
                raise MediaError(f"the {format_.name} file holds no video")
            stream = container.streams.video[0]
            if stream.codec_context is None:
                raise MediaError(f"the {format_.name} file holds a video in an unknown codec")
            limits.check_size(stream.codec_context.width, stream.codec_context.height)
            # A stream may grow after its header: then the decoder itself refuses to allocate.
            stream.codec_context.options = {"max_pixels": str(limits.max_pixels)}
            stream.thread_type = "AUTO"
            yield container, stream
    except av.FFmpegError as error:
        raise MediaError(f"the {format_.name} video cannot be decoded: {error.strerror}") from error


def _header(file: BinaryIO, format_: FileFormat, limits: MediaLimits) -> tuple[int, float | None]:
    """How many frames there should be, by the header or else by counting packets, and how many a second."""
    with open_stream(file, format_, limits) as (container, stream):
        fps = stream.average_rate or stream.guessed_rate
        frames = stream.frames or sum(1 for packet in container.demux(stream) if packet.size)
        return max(1, frames), float(fps) if fps else None


def _rate(fps: float | None, frames: int, limits: MediaLimits) -> float:
    if fps is None or fps <= 0:
        if frames == 1:  # a single frame stands at time 0 at any rate
            return 1.0
        raise MediaError("the video does not say its frame rate")
    if frames > limits.max_video_seconds * fps:
        raise MediaError(_too_long(frames / fps, limits))
    return fps


def _decode(
    file: BinaryIO,
    format_: FileFormat,
    limits: MediaLimits,
    indices: list[int],
    frame_size: FrameSize | None,
    max_frames: float,
) -> tuple[list[Pixels], int]:
    """The frames at `indices`, which start with 0, and how many the whole stream has."""
    wanted = set(indices)
    kept: list[Pixels] = []
    decoded = 0
    size = (0, 0)
    with open_stream(file, format_, limits) as (container, stream):
        for frame in container.decode(stream):
            if decoded >= max_frames:
                raise MediaError(_too_long(None, limits))
            if decoded in wanted:
                pixels = upright(frame)
                if not kept:
                    size = _kept_size(len(indices), pixels, limits, frame_size)
                kept.append(resize(pixels, *size))
            decoded += 1
    if not kept:
        raise MediaError(f"the {format_.name} file holds no video frames")
    return kept, decoded


def _kept_size(count: int, pixels: Pixels, limits: MediaLimits, frame_size: FrameSize | None) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    if frame_size is not None:
        height, width = frame_size(count, height, width)
    if count * height * width > limits.max_video_pixels:
        raise MediaError(
            f"{count} frames of {width}x{height} are {count * height * width:,} pixels; "
            f"at most {limits.max_video_pixels:,} are allowed: sample fewer frames or smaller ones"
        )
    return height, width


def upright(frame: VideoFrame) -> Pixels:
    """RGB, turned by the rotation that phones store beside the picture (in degrees, counterclockwise)."""
    pixels = frame.to_ndarray(format="rgb24")
    return np.ascontiguousarray(np.rot90(pixels, round(frame.rotation / 90)))


def _too_long(seconds: float | None, limits: MediaLimits) -> str:
    length = "is" if seconds is None else f"of {seconds:,.0f} seconds is"
    return f"the video {length} too long; at most {limits.max_video_seconds:,.0f} seconds are allowed"
