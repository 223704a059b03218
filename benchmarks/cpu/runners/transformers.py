"""transformers in bfloat16: its own model and cache, called step by step."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForImageTextToText
from transformers.initialization import no_init_weights

from benchmarks.cpu.protocol import Job, Loaded, Timing, serve, stopwatch
from benchmarks.cpu.runners.weights import randomise
from benchmarks.cpu.shapes import Weights

_WARM_STEPS = 2


class Transformers:
    """bfloat16 whatever bits are asked for: on a CPU it has nothing smaller without further packages."""

    def load(self, job: Job) -> Loaded:
        torch.set_num_threads(job.threads)
        torch.set_grad_enabled(False)
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "config.json").write_text(json.dumps(job.shape.raw_config), encoding="utf-8")
            config = AutoConfig.from_pretrained(folder)
        with no_init_weights():
            self.model = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16).eval()  # type: ignore[no-untyped-call]
        self.model.tie_weights()
        randomise(self.model)
        self.vocabulary = job.shape.config.text.vocab_size
        return Loaded(
            label="transformers BF16",
            versions={"transformers": transformers.__version__, "torch": torch.__version__},
            weights=Weights.of_sizes(
                {name: value.nbytes for name, value in self.model.named_parameters()},
                job.shape.config,
                torch.bfloat16.itemsize,
            ),
        )

    def prefill(self, tokens: int) -> Timing:
        ids = self._prompt(1, tokens)
        with stopwatch() as timing:
            self._next(ids, None)
        return timing

    def decode(self, sequences: int, context: int, tokens: int) -> Timing:
        ids, cache = self._next(self._prompt(sequences, max(context, 1)), None)
        for _ in range(_WARM_STEPS):
            ids, cache = self._next(ids, cache)
        with stopwatch() as timing:
            for _ in range(tokens):
                ids, cache = self._next(ids, cache)
        return timing

    def _prompt(self, sequences: int, tokens: int) -> torch.Tensor:
        return torch.randint(0, self.vocabulary, (sequences, tokens))

    def _next(
        self, ids: torch.Tensor, cache: transformers.Cache | None
    ) -> tuple[torch.Tensor, transformers.Cache | None]:
        out = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return out.logits[:, -1].argmax(-1, keepdim=True), out.past_key_values


if __name__ == "__main__":
    serve(Transformers)
