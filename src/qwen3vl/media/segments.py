"""A long video cut into segments, and the frames of one of them. Never holds more than the frames that are asked for.

Segments begin where the picture changes, as far as key frames tell: encoders set one at most cuts, and only key frames
are decoded to find them. A segment's frames are then found by seeking to the key frame before it.

Times are those that a player shows: presentation times from the file's own beginning. (`media.video` counts frames
instead, since a whole clip is what the checkpoints were trained on.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from qwen3vl.errors import MediaError
from qwen3vl.media.image import resize
from qwen3vl.media.types import DEFAULT_LIMITS, DEFAULT_SAMPLING, MediaLimits, Pixels, Video, VideoSampling
from qwen3vl.media.video import FrameSize, open_file, open_stream, upright

_THUMBNAIL = 32  # pixels a side
_TICKS = 1000  # a second; frames of a segment are placed in milliseconds
_EARLY = 5e-4  # seconds; times are rounded to ticks of the file's clock


@dataclass(frozen=True)
class Segment:
    """From `start` up to `end`, in seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class SegmentRule:
    """`change`: the mean difference of two key frames, from 0 to 1, that counts as another scene."""

    longest: float = 60.0  # seconds
    shortest: float = 10.0
    change: float = 0.12


@dataclass(frozen=True)
class _KeyFrame:
    time: float
    changed: bool


def find_segments(
    data: bytes | Path,
    rule: SegmentRule,
    limits: MediaLimits = DEFAULT_LIMITS,
    progress: Callable[[float], None] | None = None,
) -> list[Segment]:
    """Segments that follow each other from 0 to the video's end. None is longer than `rule.longest`; shorter than
    `rule.shortest` is at most the last.

    `progress` is told the time of each key frame, and may raise to end the search. Raises `MediaError` for a file that
    is empty, cut off, of another format, or larger than `limits`.
    """
    with open_file(data, limits) as (file, format_), open_stream(file, format_, limits) as (container, stream):
        keys: list[_KeyFrame] = []
        before: NDArray[np.float32] | None = None
        clock = _Clock(container, stream)
        for frame in _key_frames(container, stream, clock, limits):
            picture = _thumbnail(frame)
            time = clock.of(frame)
            keys.append(_KeyFrame(time, before is not None and float(np.abs(picture - before).mean()) >= rule.change))
            before = picture
            if progress is not None:
                progress(time)
        if not keys:
            raise MediaError(f"the {format_.name} file holds no video frames")
        return _split(keys, clock.end, rule)


def decode_segment(
    data: bytes | Path,
    segment: Segment,
    sampling: VideoSampling = DEFAULT_SAMPLING,
    limits: MediaLimits = DEFAULT_LIMITS,
    frame_size: FrameSize | None = None,
) -> Video:
    """Evenly spaced frames of the segment, turned upright, with their times from its beginning.

    `frame_size` is as in `decode_video`. Decodes from the key frame before the segment to the last frame wanted. Where
    nothing moves for longer than the segment lasts, the frame that is still shown then stands for it.

    Raises `MediaError` like `decode_video`.
    """
    seconds = segment.end - segment.start
    count = min(max(int(seconds * sampling.fps), sampling.min_frames), sampling.max_frames)
    targets = [segment.start + seconds * i / count for i in range(count)]
    frames: list[Pixels] = []
    ticks: list[int] = []
    shown: VideoFrame | None = None
    size = (0, 0)
    with open_file(data, limits) as (file, format_), open_stream(file, format_, limits) as (container, stream):
        clock = _Clock(container, stream)
        container.seek(clock.ticks(segment.start), stream=stream, backward=True)
        for frame in container.decode(stream):
            time = clock.of(frame)
            if time >= segment.end - _EARLY or not targets:
                break
            if time < targets[0] - _EARLY:
                shown = frame
                continue
            targets = [target for target in targets if target - _EARLY > time]
            pixels = upright(frame)
            if not frames:
                size = _size(count, pixels, limits, frame_size)
            frames.append(resize(pixels, *size))
            ticks.append(max(round((time - segment.start) * _TICKS), ticks[-1] + 1 if ticks else 0))
        if not frames:
            if shown is None:
                raise MediaError(f"the {format_.name} file holds no video frames at {segment.start:.2f} seconds")
            pixels = upright(shown)
            frames, ticks = [resize(pixels, *_size(1, pixels, limits, frame_size))], [0]
    return Video(frames, ticks, float(_TICKS), max(round(seconds * _TICKS), ticks[-1] + 1))


class _Clock:
    """Presentation times in seconds from the beginning of the file. `end`: of the last packet that it was shown."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        if stream.time_base is None:
            raise MediaError("the video does not say its clock")
        self._unit = float(stream.time_base)
        self._zero = (container.start_time or 0) / 1e6
        self.end = 0.0

    def of(self, frame: VideoFrame) -> float:
        if frame.pts is None:
            raise MediaError("a frame of the video does not say its time")
        return frame.pts * self._unit - self._zero

    def ticks(self, seconds: float) -> int:
        return round((seconds + self._zero) / self._unit)

    def pass_packet(self, pts: int, duration: int) -> None:
        self.end = max(self.end, (pts + duration) * self._unit - self._zero)


def _key_frames(
    container: InputContainer, stream: VideoStream, clock: _Clock, limits: MediaLimits
) -> Iterator[VideoFrame]:
    stream.codec_context.skip_frame = "NONKEY"
    for packet in container.demux(stream):
        if packet.pts is not None:
            clock.pass_packet(packet.pts, packet.duration or 0)
            if clock.end > limits.max_video_seconds:
                raise MediaError(f"the video is too long; at most {limits.max_video_seconds:,.0f} seconds are allowed")
        yield from packet.decode()


def _thumbnail(frame: VideoFrame) -> NDArray[np.float32]:
    small = frame.reformat(width=_THUMBNAIL, height=_THUMBNAIL, format="rgb24").to_ndarray()
    return np.divide(small, 255, dtype=np.float32)


def _split(keys: list[_KeyFrame], end: float, rule: SegmentRule) -> list[Segment]:
    segments: list[Segment] = []
    start = 0.0
    possible: float | None = None  # the last key frame at which the segment may end

    def cut(at: float) -> None:
        nonlocal start, possible
        segments.append(Segment(start, at))
        start, possible = at, None

    for key in [*keys, _KeyFrame(end, False)]:
        while key.time - start > rule.longest:
            cut(start + rule.longest if possible is None else possible)
        if key.time - start >= rule.shortest and key.time < end:
            if key.changed:
                cut(key.time)
            else:
                possible = key.time
    if end > start:
        cut(end)
    return segments


def _size(count: int, pixels: Pixels, limits: MediaLimits, frame_size: FrameSize | None) -> tuple[int, int]:
    height, width = pixels.shape[:2]
    if frame_size is not None:
        height, width = frame_size(count, height, width)
    if count * height * width > limits.max_video_pixels:
        raise MediaError(f"{count} frames of {width}x{height} are more than {limits.max_video_pixels:,} pixels")
    return height, width
