"""The media of one request, read one at a time (decoded, resized, cut, let go) into the grids that its prompt needs.

Tokens are counted before a picture is cut and before a video is decoded to its end, so that a request which cannot fit
costs little more than its largest picture. Knows the order of media, but neither text nor token ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from qwen3vl.errors import ContextLengthError, MediaError
from qwen3vl.media.image import decode_image
from qwen3vl.media.pdf import PdfPages, render_pdf
from qwen3vl.media.sniff import check_kind, media_kind
from qwen3vl.media.source import read_source
from qwen3vl.media.types import Image, MediaLimits, Video, VideoSampling
from qwen3vl.media.video import decode_video
from qwen3vl.prompt.messages import MediaPart
from qwen3vl.prompt.patches import Grid, PatchConfig


@dataclass(frozen=True)
class Placed:
    """The grids that stand for one part of a message. For a video, `times` has the seconds of each grid."""

    grids: list[Grid]
    times: list[float] | None = None


@dataclass
class MediaReader:
    """Reads parts within one budget of tokens. `min_pixels` and `max_pixels` None: what the checkpoint says."""

    patches: PatchConfig
    max_tokens: int
    limits: MediaLimits
    allow_files: bool
    sampling: VideoSampling
    min_pixels: int | None
    max_pixels: int | None
    placed: list[Placed] = field(default_factory=list)  # one a picture, page or video, in order
    tokens: int = 0

    def read(self, part: MediaPart) -> list[str]:
        """Takes in one part; returns the template's names for what stands for it: a PDF is one "image" a page.

        Raises `MediaError` or `ContextLengthError` that names the part.
        """
        before = len(self.placed)
        try:
            self._read(part)
        except (MediaError, ContextLengthError) as error:
            raise type(error)(f"{part.where}: {error}") from error
        return ["image" if placed.times is None else "video" for placed in self.placed[before:]]

    def _read(self, part: MediaPart) -> None:
        if isinstance(part.source, Video):
            height, width = part.source.frames[0].shape[:2]
            self.limits.check_size(width, height)
            return self._place_video(part.source, *self._frame_size(len(part.source.frames), height, width))
        if isinstance(part.source, PdfPages):
            return self._place_pictures(part.source.render(self.limits))
        source = read_source(part.source, allow_files=self.allow_files, limits=self.limits)
        if isinstance(source, Image):
            return self._place_pictures([source])
        kind = media_kind(source) if part.kind == "file" else part.kind
        check_kind(source, kind)
        if kind == "image":
            return self._place_pictures([decode_image(source, self.limits)])
        if kind == "pdf":
            return self._place_pictures(render_pdf(source, self.limits))
        video = decode_video(source, self.sampling, self.limits, self._frame_size)
        return self._place_video(video, *video.frames[0].shape[:2])

    def _place_pictures(self, pictures: Iterable[Image]) -> None:
        for picture in pictures:
            self.limits.check_size(picture.width, picture.height)
            height, width = self.patches.picture_size(picture.height, picture.width, self.min_pixels, self.max_pixels)
            self.tokens = self._total_with(self.patches.tokens(height, width))
            self.placed.append(Placed([self.patches.cut([picture.pixels], height, width)]))

    def _place_video(self, video: Video, height: int, width: int) -> None:
        group = self.patches.temporal_patch_size
        grids, times = [], []
        for first in range(0, len(video.frames), group):
            grids.append(self.patches.cut(video.frames[first : first + group], height, width))
            indices = video.frame_indices[
                first : first + group
            ]  # a last one that is alone is repeated: its time is its own
            times.append((indices[0] / video.source_fps + indices[-1] / video.source_fps) / 2)
        self.tokens = self._total_with(self.patches.tokens(height, width) * len(grids))
        self.placed.append(Placed(grids, times))

    def _frame_size(self, frames: int, height: int, width: int) -> tuple[int, int]:
        size = self.patches.video_size(frames, height, width, self.min_pixels, self.max_pixels)
        groups = -(-frames // self.patches.temporal_patch_size)
        self._total_with(self.patches.tokens(*size) * groups)
        return size

    def _total_with(self, tokens: int) -> int:
        total = self.tokens + tokens
        if total > self.max_tokens:
            raise ContextLengthError(
                f"the pictures up to here need {total:,} tokens, and the model's context has {self.max_tokens:,}; "
                "send fewer, or set max_pixels"
            )
        return total
