"""Messages to a `Prompt`: the one place where text, pictures and positions come together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qwen3vl.checkpoints.config import ModelConfig
from qwen3vl.errors import CheckpointError, ContextLengthError, InputError
from qwen3vl.media.types import DEFAULT_LIMITS, MediaLimits
from qwen3vl.prompt.messages import Message, check_tools, parse_messages
from qwen3vl.prompt.patches import PatchConfig
from qwen3vl.prompt.positions import mrope_positions
from qwen3vl.prompt.reader import MediaReader, Placed
from qwen3vl.prompt.template import ChatTemplate
from qwen3vl.prompt.tokenizer import Tokenizer
from qwen3vl.prompt.types import Prompt, Visual

_LETTERS_A_TOKEN = 8  # more than usual, so that most prompts are encoded once
_CUT_TOKENS = 64


class PromptBuilder:
    """Builds prompts for one checkpoint. Holds no state between calls, so threads may share it."""

    def __init__(self, config: ModelConfig, tokenizer: Tokenizer, template: ChatTemplate, patches: PatchConfig) -> None:
        """Raises `CheckpointError` if the tokenizer does not know the picture tokens that `config` names."""
        self.config = config
        self.tokenizer = tokenizer
        self.template = template
        self.patches = patches
        for id_ in (config.image_token_id, *_video_ids(config)):
            if id_ not in tokenizer.control_ids:
                raise CheckpointError(
                    f"config.json uses token {id_} for pictures, but it is no special token of tokenizer.json"
                )
        self._video_mark = "".join(map(tokenizer.token_text, _video_ids(config)))

    @classmethod
    def from_folder(cls, folder: Path, config: ModelConfig) -> PromptBuilder:
        """Reads the tokenizer, chat template and processor files of a checkpoint. Raises `CheckpointError`."""
        tokenizer, template = Tokenizer.from_folder(folder), ChatTemplate.from_folder(folder)
        return cls(config, tokenizer, template, PatchConfig.from_folder(folder, config.vision))

    def build(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        fps: float | None = None,
        allow_files: bool = False,
        limits: MediaLimits = DEFAULT_LIMITS,
    ) -> Prompt:
        """Renders `messages` with the chat template, ready for the assistant's turn.

        `min_pixels` and `max_pixels` bound every picture, page and frame after resizing, `fps` is the rate at which
        videos are sampled; None means what the checkpoint says. `allow_files` lets media be paths of this machine.

        Raises `InputError` (`MediaError`, `ContextLengthError`) that names the message and the part.
        """
        parsed = parse_messages(messages, self.tokenizer.find_control_token)
        check_tools(tools, self.tokenizer.find_control_token)
        self.patches.check_bounds(min_pixels, max_pixels, limits.max_pixels)
        sampling = self.patches.sampling
        if fps is not None:
            if not (math.isfinite(fps) and fps > 0):
                raise InputError(f"fps must be a number above 0, got {fps!r}")
            sampling = replace(sampling, fps=fps)
        reader = MediaReader(
            self.patches, self.config.text.max_positions, limits, allow_files, sampling, min_pixels, max_pixels
        )
        for_template = [_for_template(message, reader) for message in parsed]
        return self._assemble(self.template.render(for_template, tools=tools), reader.placed)

    def build_text(self, text: str) -> Prompt:
        """A prompt of plain text, to be continued as it stands: no template, and control tokens are the caller's own.

        Raises `InputError` if it is empty or names the pad of a picture or video, which only media may bring.
        """
        ids = self._encode(text)
        if not ids:
            raise InputError("the text is empty; a prompt needs at least one token")
        if self.config.image_token_id in ids or self.config.video_token_id in ids:
            raise InputError("plain text may not hold image or video pads; pass media in messages")
        return Prompt(ids, *mrope_positions(len(ids), [], self.config.vision.merge_size), visuals=[])

    def image_tokens(
        self, width: int, height: int, *, min_pixels: int | None = None, max_pixels: int | None = None
    ) -> int:
        """How many visual tokens a picture of this size in pixels costs. Decodes and allocates nothing."""
        return self.patches.tokens(*self.patches.picture_size(height, width, min_pixels, max_pixels))

    def _encode(self, text: str) -> list[int]:
        """The ids of a prompt's text. What is far too long is refused after a look at its beginning, since encoding
        takes seconds a megabyte. Raises `ContextLengthError`.
        """
        most, size = self.config.text.max_positions, _LETTERS_A_TOKEN * self.config.text.max_positions
        while len(text) > size:
            # The cut may make a few tokens more of what stands there.
            if len(self.tokenizer.encode(text[:size])) > most + _CUT_TOKENS:
                raise ContextLengthError(
                    f"a text of {len(text):,} letters needs more than the {most:,} tokens of the model's context"
                )
            size *= 2
        return self.tokenizer.encode(text)

    def _assemble(self, text: str, placed: Sequence[Placed]) -> Prompt:
        """Encodes the whole text once, with one pad a grid; then each pad becomes as many as its grid has tokens. That
        gives the ids of a text with all pads written out, without a text of a million characters."""
        times = [entry.times for entry in placed if entry.times is not None]
        pieces = text.split(self._video_mark)
        _check_all_shown("videos", len(pieces) - 1, len(times))
        for i, seconds in enumerate(times):
            pieces[i] += "".join(f"<{time:.1f} seconds>{self._video_mark}" for time in seconds)
        ids = self._encode("".join(pieces))

        image_id, video_id = self.config.image_token_id, self.config.video_token_id
        places = [i for i, id_ in enumerate(ids) if id_ in (image_id, video_id)]
        grids = [(image_id if entry.times is None else video_id, grid) for entry in placed for grid in entry.grids]
        _check_all_shown("pictures", len(places), len(grids))
        token_ids: list[int] = []
        visuals: list[Visual] = []
        done = 0
        for place, (pad, grid) in zip(places, grids, strict=True):
            if ids[place] != pad:
                raise InputError("this checkpoint's chat template does not keep pictures and videos in their order")
            token_ids += ids[done:place]
            count = grid.rows * grid.columns // self.config.vision.merge_size**2
            visuals.append(Visual(grid.patches, grid.rows, grid.columns, len(token_ids), count, grid.key))
            token_ids += [pad] * count
            done = place + 1
        token_ids += ids[done:]
        position_ids, delta = mrope_positions(len(token_ids), visuals, self.config.vision.merge_size)
        return Prompt(token_ids, position_ids, delta, visuals)


def _video_ids(config: ModelConfig) -> tuple[int, int, int]:
    """What templates write where a video belongs, and what each of its grids is written as."""
    return config.vision_start_token_id, config.video_token_id, config.vision_end_token_id


def _for_template(message: Message, reader: MediaReader) -> dict[str, Any]:
    """The message as templates expect it, its media read on the way."""
    content: str | list[dict[str, str]]
    if isinstance(message.content, str):
        content = message.content
    else:
        content = []
        for part in message.content:
            if isinstance(part, str):
                content.append({"type": "text", "text": part})
            else:
                content += [{"type": kind} for kind in reader.read(part)]
    return {"role": message.role, "content": content, **message.extra}


def _check_all_shown(what: str, shown: int, sent: int) -> None:
    if shown != sent:
        raise InputError(f"the messages hold {sent} {what}, but this checkpoint's chat template shows {shown} of them")
