"""OpenVINO GenAI, which reads GGUF files of dense text models: `pip install openvino-genai gguf`."""

from __future__ import annotations

import importlib.metadata
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import openvino_genai

from benchmarks.cpu import gguf_file
from benchmarks.cpu.protocol import Job, Loaded, Timing, serve, stopwatch
from benchmarks.cpu.shapes import Weights

_WARM_STEPS = 2
_CACHE_ITEMSIZE = 1  # its default on a CPU: keys and values of 8 bits


class OpenVino:
    def load(self, job: Job) -> Loaded:
        if job.bits == 16:
            raise ValueError("OpenVINO GenAI reads no bfloat16 GGUF")
        config, kinds = job.shape.config, gguf_file.FORMATS[job.bits]
        path = Path(job.folder) / f"{job.shape.model}-{config.text.num_layers}-layers-{kinds.matrices.name}-qwen3.gguf"
        if not path.exists():
            gguf_file.write(config, job.bits, path, text_only=True)
        self.pipeline = openvino_genai.LLMPipeline(str(path), "CPU", INFERENCE_NUM_THREADS=job.threads)
        self.vocabulary = config.text.vocab_size
        self.rng = np.random.default_rng(0)
        sizes = {tensor.name: tensor.nbytes for tensor in gguf_file.tensors(config, job.bits)}
        return Loaded(
            label=f"OpenVINO {kinds.matrices.name}",
            versions={"openvino-genai": importlib.metadata.version("openvino-genai")},
            weights=Weights.of_sizes(sizes, config, _CACHE_ITEMSIZE),
        )

    def prefill(self, tokens: int) -> Timing:
        with stopwatch() as timing:
            self._generate(1, tokens, 1)
        return timing

    def decode(self, sequences: int, context: int, tokens: int) -> Timing:
        """By the moments at which the pipeline itself says that a token of each sequence was there."""
        new = 1 + _WARM_STEPS + tokens
        with stopwatch() as whole:
            result = self._generate(sequences, max(context, 1), new)
        moments = result.perf_metrics.raw_metrics.m_new_token_times  # milliseconds
        if len(moments) != new:
            raise RuntimeError(f"{new} steps were asked for, {len(moments)} were noted")
        seconds = (moments[-1] - moments[_WARM_STEPS]) / 1e3
        return replace(whole, seconds=seconds)

    def _generate(self, sequences: int, prompt: int, new: int) -> openvino_genai.EncodedResults:
        ids = self.rng.integers(0, self.vocabulary - 1, (sequences, prompt))
        inputs = openvino_genai.TokenizedInputs(openvino.Tensor(ids), openvino.Tensor(np.ones_like(ids)))
        return self.pipeline.generate(inputs, max_new_tokens=new, ignore_eos=True, do_sample=False)


if __name__ == "__main__":
    serve(OpenVino)
