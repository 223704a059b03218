"""llama.cpp through llama-cpp-python's low-level interface: its defaults for a CPU, one context for each measurement.

Install it from source, so that it is compiled for this machine:

    CMAKE_ARGS="-DGGML_NATIVE=ON" pip install --no-binary llama-cpp-python llama-cpp-python gguf
"""

from __future__ import annotations

import ctypes
import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import llama_cpp
import numpy as np

from benchmarks.cpu import gguf_file
from benchmarks.cpu.protocol import Job, Loaded, Timing, serve, stopwatch
from benchmarks.cpu.shapes import Weights

_WARM_STEPS = 2
_CACHE_ITEMSIZE = 2  # keys and values are float16


class LlamaCpp:
    def load(self, job: Job) -> Loaded:
        config = job.shape.config
        kinds = gguf_file.FORMATS[job.bits]
        path = Path(job.folder) / f"{job.shape.model}-{config.text.num_layers}-layers-{kinds.matrices.name}.gguf"
        if not path.exists():
            gguf_file.write(config, job.bits, path)
        llama_cpp.llama_backend_init()
        parameters = llama_cpp.llama_model_default_params()
        overrides = (llama_cpp.llama_model_kv_override * 2)()  # the second ends the list
        if config.text.moe is not None:
            overrides[0].tag = llama_cpp.LLAMA_KV_OVERRIDE_TYPE_INT
            overrides[0].key = b"qwen3vlmoe.expert_used_count"
            overrides[0].value.val_i64 = config.text.moe.num_experts_per_tok  # type: ignore[union-attr]
            parameters.kv_overrides = overrides
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), parameters)
        if not self.model:
            raise RuntimeError(f"llama.cpp cannot load {path}")
        self.threads = job.threads
        self.vocabulary = config.text.vocab_size
        self.rng = np.random.default_rng(0)
        sizes = {tensor.name: tensor.nbytes for tensor in gguf_file.tensors(config, job.bits)}
        return Loaded(
            label=f"llama.cpp {kinds.matrices.name}",
            versions={"llama-cpp-python": importlib.metadata.version("llama-cpp-python")},
            weights=Weights.of_sizes(sizes, config, _CACHE_ITEMSIZE),
        )

    def prefill(self, tokens: int) -> Timing:
        with self._context(1, tokens + _WARM_STEPS) as context:
            batch = _Batch(tokens)
            ids = self._prompt(tokens)
            context.run(batch, [(ids[:_WARM_STEPS], 0, 0)])
            context.clear()
            with stopwatch() as timing:
                context.run(batch, [(ids, 0, 0)])
                context.next_tokens(1)
            return timing

    def decode(self, sequences: int, context: int, tokens: int) -> Timing:
        start = max(context, 1)
        with self._context(sequences, start + _WARM_STEPS + tokens) as state:
            batch = _Batch(max(start, sequences))
            ids = []
            for sequence in range(sequences):
                state.run(batch, [(self._prompt(start), 0, sequence)])
                ids += state.next_tokens(1)
            position = start
            for _ in range(_WARM_STEPS):
                ids, position = state.step(batch, ids, position), position + 1
            with stopwatch() as timing:
                for _ in range(tokens):
                    ids, position = state.step(batch, ids, position), position + 1
            return timing

    def _prompt(self, tokens: int) -> list[int]:
        return [int(number) for number in self.rng.integers(0, self.vocabulary, tokens)]

    @contextmanager
    def _context(self, sequences: int, positions: int) -> Iterator[_Context]:
        parameters = llama_cpp.llama_context_default_params()
        parameters.n_ctx = sequences * -(-positions // 256) * 256
        parameters.n_batch = max(parameters.n_batch, positions)
        parameters.n_seq_max = sequences
        parameters.n_threads = parameters.n_threads_batch = self.threads
        handle = llama_cpp.llama_init_from_model(self.model, parameters)
        if not handle:
            raise RuntimeError(f"llama.cpp cannot make a context of {sequences} x {positions} positions")
        yield _Context(handle, self.vocabulary)
        llama_cpp.llama_free(handle)


class _Batch:
    """Room for the tokens of one call."""

    def __init__(self, tokens: int) -> None:
        self.struct = llama_cpp.llama_batch_init(tokens, 0, 1)

    def fill(self, pieces: list[tuple[list[int], int, int]]) -> None:
        """Pieces are token ids, the position of the first, and their sequence. Logits are made for the last of each."""
        struct, count = self.struct, 0
        for ids, position, sequence in pieces:
            for offset, token in enumerate(ids):
                struct.token[count] = token
                struct.pos[count] = position + offset
                struct.n_seq_id[count] = 1
                struct.seq_id[count][0] = sequence
                struct.logits[count] = offset == len(ids) - 1
                count += 1
        struct.n_tokens = count

    def __del__(self) -> None:
        llama_cpp.llama_batch_free(self.struct)


class _Context:
    def __init__(self, handle: ctypes.c_void_p, vocabulary: int) -> None:
        self.handle, self.vocabulary = handle, vocabulary

    def run(self, batch: _Batch, pieces: list[tuple[list[int], int, int]]) -> None:
        batch.fill(pieces)
        if status := llama_cpp.llama_decode(self.handle, batch.struct):
            raise RuntimeError(f"llama_decode says {status}")

    def next_tokens(self, count: int) -> list[int]:
        """The likeliest token of each of the last call's pieces."""
        address = llama_cpp.llama_get_logits(self.handle)
        logits = np.ctypeslib.as_array(address, (count, self.vocabulary))
        if not np.isfinite(logits[:, 0]).all():
            raise RuntimeError("the random weights gave logits that are no numbers")
        return [int(token) for token in logits.argmax(-1)]

    def step(self, batch: _Batch, ids: list[int], position: int) -> list[int]:
        self.run(batch, [([token], position, sequence) for sequence, token in enumerate(ids)])
        return self.next_tokens(len(ids))

    def clear(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.handle), True)


if __name__ == "__main__":
    serve(LlamaCpp)
