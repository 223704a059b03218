"""The reference library's processor of a model folder, on its Pillow backend, which needs no torchvision."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from transformers import AutoTokenizer, Qwen3VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor

TEMPORAL_PATCH_SIZE, MERGE_SIZE = 2, 2


class _Processor(Qwen3VLProcessor):
    def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> None:
        """Without torchvision the library does not recognise its own video processor."""


def load_processor(folder: Path) -> Qwen3VLProcessor:
    make: Any = _Processor
    processor: Qwen3VLProcessor = make(
        Qwen2VLImageProcessorPil.from_pretrained(folder),
        AutoTokenizer.from_pretrained(folder),
        Qwen3VLVideoProcessor.from_pretrained(folder),
        chat_template=(folder / "chat_template.jinja").read_text(encoding="utf-8"),
    )
    return processor


def video_text(processor: Qwen3VLProcessor, indices: list[int], fps: float, rows: int, columns: int) -> str:
    """What the reference writes for a video of these frames, each of a grid of `rows` x `columns` patches, without the
    outer start and end marks: the layout that the checkpoints learned."""
    inputs = {
        "video_grid_thw": np.array([[-(-len(indices) // TEMPORAL_PATCH_SIZE), rows, columns]]),
        "video_metadata": [SimpleNamespace(fps=fps, frames_indices=list(indices))],
    }
    return str(processor.replace_video_token(inputs, 0))
