"""Segments of long videos against the scenes that they were made of."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from qwen3vl.errors import MediaError
from qwen3vl.media import segments as module
from qwen3vl.media.segments import Segment, SegmentRule, decode_segment, find_segments
from qwen3vl.media.types import MediaLimits, VideoSampling
from support.films import COLOURS, film
from support.media_files import clip, video

RULE = SegmentRule(longest=8, shortest=2)


def test_segments_begin_with_scenes() -> None:
    found = find_segments(film([(0, 5), (1, 4), (2, 6), (3, 3)]), RULE)
    assert [segment.start for segment in found] == pytest.approx([0, 5, 9, 15])
    assert found[-1].end == pytest.approx(18)


def test_scenes_that_are_too_short_are_joined_and_too_long_ones_cut() -> None:
    found = find_segments(film([(0, 1), (1, 1), (2, 20), (3, 4)], gop=5), RULE)
    assert [segment.start for segment in found] == pytest.approx([0, 2, 10, 18, 22])
    assert all(segment.end - segment.start <= 8 + 1e-6 for segment in found)


@pytest.mark.parametrize("gop", [5, 250])
def test_nothing_is_left_out_and_nothing_twice(gop: int) -> None:
    found = find_segments(film([(0, 31)], gop=gop), RULE)
    assert found[0].start == 0
    assert found[-1].end == pytest.approx(31)
    assert all(a.end == b.start for a, b in itertools.pairwise(found))


@pytest.mark.parametrize("container", ["mp4", "webm"])
@pytest.mark.parametrize("begin", [0.0, 2.0])
def test_the_frames_of_a_segment_are_its_own(container: str, begin: float) -> None:
    """Also where the file's clock does not begin with 0."""
    data = film([(0, 5), (1, 4), (2, 6)], container=container, begin=begin)
    for colour, segment in ((0, Segment(0, 5)), (1, Segment(5, 9)), (2, Segment(9, 15))):
        found = decode_segment(data, segment, VideoSampling(fps=1, min_frames=2, max_frames=100))
        assert len(found.frames) == round(segment.end - segment.start)
        assert [index / found.source_fps for index in found.frame_indices] == pytest.approx(
            list(range(len(found.frames))), abs=0.01
        )
        for frame in found.frames:
            assert np.abs(frame[2:10].astype(int) - COLOURS[colour]).mean() < 12


def test_frames_between_two_key_frames_are_exact() -> None:
    frames = clip(40)
    found = decode_segment(video(frames, fps=10), Segment(2.3, 3.0), VideoSampling(fps=10, min_frames=1))
    assert [round(2.3 + index / 1000, 1) for index in found.frame_indices] == [2.3, 2.4, 2.5, 2.6, 2.7, 2.8, 2.9]
    for got, expected in zip(found.frames, frames[23:30], strict=True):
        np.testing.assert_array_equal(got, expected)


def test_a_still_picture_stands_for_the_segment_in_which_nothing_moves() -> None:
    frames = clip(3)
    data = video(frames, fps=1, times=[0, 1, 30])
    found = decode_segment(data, Segment(10, 20))
    assert found.frame_indices == [0]
    np.testing.assert_array_equal(found.frames[0], frames[1])


def test_only_what_is_needed_is_decoded_and_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    original = module._Clock.of

    def of(self: Any, frame: Any) -> float:
        seen.append(original(self, frame))
        return seen[-1]

    monkeypatch.setattr(module._Clock, "of", of)
    data = film([(0, 60), (1, 60)], gop=10)  # a key frame every two seconds
    find_segments(data, RULE)
    assert len(seen) <= 62
    seen.clear()
    found = decode_segment(data, Segment(90, 98), VideoSampling(fps=0.5), frame_size=lambda n, h, w: (24, 32))
    assert min(seen) >= 86
    assert max(seen) <= 98
    assert [frame.shape for frame in found.frames] == [(24, 32, 3)] * 4


def test_the_search_can_be_ended() -> None:
    class Stop(Exception):
        pass

    def progress(time: float) -> None:
        if time > 5:
            raise Stop

    with pytest.raises(Stop):
        find_segments(film([(0, 20)], gop=5), RULE, progress=progress)


def test_refusals() -> None:
    data = film([(0, 20)])
    with pytest.raises(MediaError, match="at most 10 seconds"):
        find_segments(data, RULE, MediaLimits(max_video_seconds=10))
    with pytest.raises(MediaError, match="cut off"):
        find_segments(data[: len(data) // 2], RULE)
    with pytest.raises(MediaError, match="more than 10"):
        decode_segment(data, Segment(0, 10), limits=MediaLimits(max_video_pixels=10))
