"""The reference library's greedy answer to one of our prompts: transformers, float32, on one device.

It is fed our token ids, because the reference's processor writes videos in another way than the checkpoints learned;
its own positions, vision tower, attention and cache do the rest. That our ids and patches are right is tested beside
`prompt/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModelForImageTextToText, PreTrainedModel

from qwen3vl.prompt.types import Prompt


@dataclass(frozen=True)
class Greedy:
    token_ids: list[int]
    logits: torch.Tensor  # [new tokens, vocabulary]


class Oracle:
    def __init__(self, folder: Path, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.model: PreTrainedModel = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype).eval()
        self.model.to(device)
        self.model.generation_config.eos_token_id = None
        self.device = device
        self.image_id, self.video_id = self.model.config.image_token_id, self.model.config.video_token_id

    def set_experts(self, count: int) -> None:
        """Lets each token use `count` experts, as `num_experts_per_tok` in the config would."""
        for layer in self.model.model.language_model.layers:
            if hasattr(layer.mlp, "gate"):
                layer.mlp.gate.top_k = count

    def greedy(self, prompt: Prompt, new_tokens: int, clips: tuple[int, ...] = (), guess: Sequence[int] = ()) -> Greedy:
        """`clips`: for each video of the prompt, how many of its visuals belong to it.

        `guess`: what the answer may be. If each of its tokens is the likeliest behind those before, it is the greedy
        answer, which one pass shows; if not, the answer is written token by token.
        """
        if len(guess) == new_tokens:
            logits = self.forced(prompt, list(guess), clips)
            if logits.argmax(-1).tolist() == list(guess):
                return Greedy(list(guess), logits)
        ids = torch.tensor([prompt.token_ids], device=self.device)
        out = self.model.generate(
            **self._inputs(ids, prompt, clips),
            max_new_tokens=new_tokens,
            do_sample=False,
            repetition_penalty=1.0,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_logits=True,
        )
        logits = torch.cat(out.logits).float().cpu()
        return Greedy(out.sequences[0, ids.shape[1] :].tolist(), logits)

    @torch.no_grad()
    def forced(self, prompt: Prompt, answer: list[int], clips: tuple[int, ...] = ()) -> torch.Tensor:
        """The logits from which each token of a given answer would be chosen, [len(answer), vocabulary]."""
        ids = torch.tensor([prompt.token_ids + answer], device=self.device)
        out = self.model(**self._inputs(ids, prompt, clips))
        logits: torch.Tensor = out.logits[0, len(prompt) - 1 : -1].float().cpu()
        return logits

    def _inputs(self, ids: torch.Tensor, prompt: Prompt, clips: tuple[int, ...]) -> dict[str, torch.Tensor]:
        types = (ids == self.image_id).int() + 2 * (ids == self.video_id).int()
        images = [v for v in prompt.visuals if prompt.token_ids[v.start] == self.image_id]
        frames = [v for v in prompt.visuals if prompt.token_ids[v.start] == self.video_id]
        assert sum(clips) == len(frames)
        inputs: dict[str, torch.Tensor] = {}
        if images:
            inputs["pixel_values"] = torch.cat([v.patches for v in images]).float() / 127.5 - 1
            inputs["image_grid_thw"] = torch.tensor([[1, v.grid_h, v.grid_w] for v in images])
        if frames:
            inputs["pixel_values_videos"] = torch.cat([v.patches for v in frames]).float() / 127.5 - 1
            firsts = [frames[sum(clips[:i])] for i in range(len(clips))]
            inputs["video_grid_thw"] = torch.tensor(
                [[count, v.grid_h, v.grid_w] for count, v in zip(clips, firsts, strict=True)]
            )
        self.model.model.rope_deltas = None  # it would remember the last prompt's
        return {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "mm_token_type_ids": types,
            **{name: tensor.to(self.device) for name, tensor in inputs.items()},
        }
