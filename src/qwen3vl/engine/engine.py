"""The Python interface: load a model once, then generate from OpenAI-style messages, one by one, in batches or as
streams.

Decoding media and tokenising happen in the caller's thread, or in a small pool for asynchronous callers; the model
itself belongs to one thread (`EngineWorker`), and requests of all callers share its batch.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from qwen3vl.checkpoints.tensors import text_parameters, vision_parameters
from qwen3vl.engine import sequence as sequences
from qwen3vl.engine.build import EngineConfig, EngineParts, build_engine
from qwen3vl.engine.grammar import GrammarCompiler
from qwen3vl.engine.info import EngineInfo, EngineStats, EngineTelemetry
from qwen3vl.engine.loops import LoopDetector
from qwen3vl.engine.options import GenerationOptions
from qwen3vl.engine.outputs import Delta, Result, TokenLogprob
from qwen3vl.engine.sampler import SamplingParams, SamplingState
from qwen3vl.engine.streams import AsyncStream, Collector, Item, Stream, collect
from qwen3vl.engine.text import OutputText
from qwen3vl.engine.worker import EngineWorker, in_passing_thread
from qwen3vl.errors import ContextLengthError, EngineClosedError, InputError
from qwen3vl.experts.modes import Mode, active_experts
from qwen3vl.prompt.builder import PromptBuilder
from qwen3vl.prompt.types import Prompt

Messages = Sequence[Mapping[str, Any]]
_PREPARING_THREADS = 2


def _shut_down(worker: EngineWorker, pool: ThreadPoolExecutor) -> None:
    worker.close()
    pool.shutdown(wait=False)


class Engine:
    """A loaded model. Safe to use from many threads and from an event loop; `close` ends it."""

    def __init__(self, parts: EngineParts, name: str) -> None:
        self.prompt_builder: PromptBuilder = parts.builder
        self._core, self._config, self._defaults = parts.core, parts.config, parts.defaults
        self._grammars = GrammarCompiler(
            parts.builder.tokenizer, parts.config.text.vocab_size, parts.defaults.eos_token_ids
        )
        self._worker = EngineWorker(parts.core)
        self._pool = ThreadPoolExecutor(_PREPARING_THREADS, thread_name_prefix="qwen3vl-prepare")
        # Also when the last reference goes, or the interpreter, so that no thread is left computing.
        self._close = weakref.finalize(self, _shut_down, self._worker, self._pool)
        moe, runner = parts.config.text.moe, parts.core.runner
        self.info = EngineInfo(
            name=name,
            is_moe=moe is not None,
            num_experts=moe.num_experts if moe else 0,
            num_experts_per_tok=moe.num_experts_per_tok if moe else 1,
            max_context=parts.max_context,
            max_pixels=parts.max_pixels,
            device=str(runner.device),
            dtype=str(runner.dtype).removeprefix("torch."),
            quantization=parts.formats.quantization,
            kernels=parts.formats.kernels,
            kv_cache=str(parts.formats.cache).removeprefix("torch."),
            parameters=text_parameters(parts.config) + vision_parameters(parts.config),
            weight_bytes=parts.plan.weights,
            cache_token_bytes=parts.formats.cache_token_bytes(parts.config),
            memory_bytes=parts.plan.total,
            defaults=parts.defaults,
        )

    @classmethod
    def load(
        cls,
        model: str | Path = "tiny-moe",
        *,
        source: str = "huggingface",
        device: str = "auto",
        dtype: str = "auto",
        quantization: str | None = None,
        kv_cache: str = "auto",
        memory: int | str | None = None,
        max_context: int | None = None,
        speculation: str = "auto",
        config: EngineConfig | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Engine:
        """Loads a checkpoint: a folder, a hub id or a catalogue name.

        `source`: "huggingface" or "modelscope", for a model that is not here yet. `device`: "auto", "cpu", "cuda" or
        "cuda:N". `dtype`: "auto" (the checkpoint's on a GPU, float32 on a CPU), "float32", "bfloat16" or "float16".
        `quantization`: "int8" or "int4" packs the decoder's weights while they are loaded, for a CPU; None or "none"
        leaves them as they are. `kv_cache`: "auto" (bfloat16 beside packed weights, else `dtype`), a type as for
        `dtype`, or "int8". `memory`: the most that weights, cache and activations may take, in bytes or as "12GiB";
        None takes what the device has to spare. `max_context`: tokens of prompt and answer that one request may use.
        `speculation`: "auto" drafts tokens and checks several at a time where that is faster, which changes no answer;
        "off" never does. `progress(done, total)` is told about bytes. Raises
        `CheckpointError`, `DownloadError`, `InsufficientMemoryError` or, for an option that cannot be honoured,
        `InputError`.
        """
        parts = in_passing_thread(
            lambda: build_engine(
                model,
                source=source,
                device=device,
                dtype=dtype,
                quantization=quantization,
                kv_cache=kv_cache,
                memory=memory,
                max_context=max_context,
                speculation=speculation,
                config=config or EngineConfig(),
                progress=progress,
            )
        )
        return cls(parts, name=Path(model).resolve().name if Path(model).is_dir() else str(model))

    def generate(
        self, messages: Messages, *, tools: list[dict[str, Any]] | None = None, allow_files: bool = True, **options: Any
    ) -> Result:
        """Answers `messages` and waits for the end. `options` are the fields of `GenerationOptions`; files named in the
        messages are read unless `allow_files` is false. Raises `InputError` for what cannot be served.
        """
        checked = GenerationOptions.from_mapping(options)
        prompt = self.prepare(messages, checked, tools=tools, allow_files=allow_files)
        with self.stream_prompt(prompt, checked) as deltas:
            return collect(deltas, checked)

    def stream(
        self, messages: Messages, *, tools: list[dict[str, Any]] | None = None, allow_files: bool = True, **options: Any
    ) -> Stream:
        """Like `generate`, piece by piece. Closing the iterator cancels."""
        checked = GenerationOptions.from_mapping(options)
        prompt = self.prepare(messages, checked, tools=tools, allow_files=allow_files)
        return self.stream_prompt(prompt, checked)

    def generate_batch(self, batch: Sequence[Messages], options: Sequence[Mapping[str, Any]]) -> list[Result]:
        """Answers several conversations in one batch, each with its own options. If one cannot be served, none is."""
        if len(batch) != len(options):
            raise ValueError(f"{len(batch)} conversations need as many options, got {len(options)}")
        checked = [GenerationOptions.from_mapping(each) for each in options]
        prompts = [self.prepare(messages, each) for messages, each in zip(batch, checked, strict=True)]
        with ExitStack() as stack:
            streams = [
                stack.enter_context(self.stream_prompt(prompt, each))
                for prompt, each in zip(prompts, checked, strict=True)
            ]
            return [collect(stream, each) for stream, each in zip(streams, checked, strict=True)]

    def astream(
        self, messages: Messages, *, tools: list[dict[str, Any]] | None = None, allow_files: bool = True, **options: Any
    ) -> AsyncStream:
        """Like `stream`, for an event loop, which is not held up by decoding media. Errors come with the first
        delta.
        """
        checked = GenerationOptions.from_mapping(options)

        async def prepare() -> Callable[[Callable[[Item], None]], Callable[[], None]]:
            try:
                work = self._pool.submit(self.prepare, messages, checked, tools=tools, allow_files=allow_files)
            except RuntimeError as error:  # the pool takes no more
                raise EngineClosedError("the engine is closed") from error
            prompt = await asyncio.wrap_future(work)
            return lambda sink: self.submit(prompt, checked, sink)

        return AsyncStream(prepare)

    async def agenerate(
        self, messages: Messages, *, tools: list[dict[str, Any]] | None = None, allow_files: bool = True, **options: Any
    ) -> Result:
        """Like `generate`, for an event loop. Cancelling the task cancels the request."""
        collector = Collector(GenerationOptions.from_mapping(options))
        async for delta in self.astream(messages, tools=tools, allow_files=allow_files, **options):
            collector.add(delta)
        return collector.result()

    def score(
        self,
        messages: Messages,
        answer: str,
        *,
        mode: Mode = "full",
        tools: list[dict[str, Any]] | None = None,
        allow_files: bool = True,
        min_pixels: int | None = None,
        max_pixels: int | None = None,
        fps: float | None = None,
    ) -> list[TokenLogprob]:
        """How likely the model finds `answer`: the log-probability of each of its tokens, then of the token that ends
        the turn, each given those before it. Nothing is generated. Raises `InputError` for what cannot be served."""
        options = GenerationOptions(mode=mode, min_pixels=min_pixels, max_pixels=max_pixels, fps=fps)
        prompt = self.prepare(messages, options, tools=tools, allow_files=allow_files)
        with self.stream_score(prompt, answer, mode) as deltas:
            return next(deltas).logprobs or []

    def prepare(
        self,
        messages: Messages,
        options: GenerationOptions,
        *,
        tools: list[dict[str, Any]] | None = None,
        allow_files: bool = True,
    ) -> Prompt:
        """Messages to tokens, positions and patches, in the caller's thread. Raises `InputError`."""
        self.check(options)  # refused before a picture is decoded for nothing
        if options.grammar is not None:
            self._grammars.compile(options.grammar)
        return self.prompt_builder.build(
            messages,
            tools=tools,
            min_pixels=options.min_pixels,
            max_pixels=options.max_pixels,
            fps=options.fps,
            allow_files=allow_files,
        )

    def check(self, options: GenerationOptions) -> None:
        """Raises `InputError` for what this model cannot honour, whatever the question."""
        active_experts(options.mode, self._config)
        for name in ("min_pixels", "max_pixels"):
            if (asked := getattr(options, name) or 0) > self.info.max_pixels:
                raise InputError(f"{name} may be {self.info.max_pixels} at most here, got {asked}", param=name)

    def stream_prompt(self, prompt: Prompt, options: GenerationOptions) -> Stream:
        """Streams the answer to a prompt that is already prepared."""
        return Stream(lambda sink: self.submit(prompt, options, sink))

    def stream_score(self, prompt: Prompt, answer: str, mode: Mode = "full", *, distributions: bool = False) -> Stream:
        """Scores an answer to a prompt that is already prepared: a stream of one delta, with the `logprobs`, and with
        the `distributions` that they come from if these are wanted."""
        return Stream(lambda sink: self.submit_score(prompt, answer, mode, sink, distributions=distributions))

    def submit(
        self, prompt: Prompt, options: GenerationOptions, sink: Callable[[Delta | BaseException], None]
    ) -> Callable[[], None]:
        """Hands a prompt to the engine's thread, which calls `sink` for every delta. Returns a function that
        cancels.
        """
        request = self._request(prompt, options, sink)
        self._worker.submit(request)
        return lambda: self._worker.cancel(request.id)

    def submit_score(
        self,
        prompt: Prompt,
        answer: str,
        mode: Mode,
        sink: Callable[[Delta | BaseException], None],
        *,
        distributions: bool = False,
    ) -> Callable[[], None]:
        """Like `submit`, for an answer that is given: `sink` is called once, with its tokens' log-probabilities."""
        tokenizer = self.prompt_builder.tokenizer
        if token := tokenizer.find_control_token(answer):
            raise InputError(f"the answer holds the control token {token}, which text may not contain")
        answer_ids = [*tokenizer.encode(answer), self._defaults.eos_token_ids[0]]
        request = self._request(prompt, GenerationOptions(max_tokens=len(answer_ids), mode=mode), sink)
        request.sequences[0].token_ids += answer_ids
        request.sequences[0].scores = []
        request.sequences[0].distributions = [] if distributions else None
        self._worker.submit(request)
        return lambda: self._worker.cancel(request.id)

    def _request(
        self, prompt: Prompt, options: GenerationOptions, sink: Callable[[Delta | BaseException], None]
    ) -> sequences.Request:
        """A request with its sequences, if the model can honour the mode and the context is long enough."""
        experts = active_experts(options.mode, self._config)
        room = self.info.max_context - len(prompt)
        if room < (options.max_tokens or 1):
            asked = f" and {options.max_tokens} tokens of answer" if options.max_tokens else ""
            raise ContextLengthError(
                f"a prompt of {len(prompt)} tokens{asked} does not fit into {self.info.max_context} tokens of context"
            )
        request = sequences.Request(sequences.next_request_id(), prompt, options, experts, sink)
        params = SamplingParams.resolve(options, self._defaults)
        for index in range(options.n):
            seed = None if options.seed is None else options.seed + index
            request.sequences.append(
                sequences.Sequence(
                    request=request,
                    index=index,
                    max_tokens=options.max_tokens or room,
                    sampling=SamplingState(params, seed, prompt.token_ids),
                    text=OutputText(self.prompt_builder.tokenizer, options.stop),
                    token_ids=list(prompt.token_ids),
                    constraint=self._grammars.constraint(options.grammar, prompt.token_ids)
                    if options.grammar
                    else None,
                    loops=LoopDetector() if options.stop_loops else None,
                )
            )
        return request

    @property
    def healthy(self) -> bool:
        """False once the engine's thread has ended, by `close` or by a failure of the device."""
        return self._worker.healthy

    def stats(self) -> EngineStats:
        core, scheduler = self._core, self._core.scheduler
        return EngineStats(
            running=len(scheduler.running),
            waiting=len(scheduler.waiting),
            free_blocks=scheduler.pool.num_free,
            total_blocks=scheduler.pool.num_blocks,
            steps=core.num_steps,
            preemptions=scheduler.num_preemptions,
            prompt_tokens=core.prompt_tokens,
            cached_tokens=core.cached_tokens,
            generated_tokens=core.generated_tokens,
            feature_hits=core.runner.features.hits,
            feature_misses=core.runner.features.misses,
            spec_decode_num_drafts=core.num_drafts,
            spec_decode_num_draft_tokens=core.draft_tokens,
            spec_decode_num_accepted_tokens=core.accepted_tokens,
        )

    def telemetry(self) -> EngineTelemetry:
        core, info, meter = self._core, self.info, self._core.energy.meter
        waiting = core.scheduler.waiting
        try:
            waited = time.perf_counter() - waiting[0].request.submitted
        except IndexError:  # also where the engine's thread has taken it a moment ago
            waited = 0.0
        cache = core.scheduler.pool.num_blocks * core.scheduler.block_size * info.cache_token_bytes
        features = core.runner.features.num_bytes
        try:
            taken = None if meter is None else meter.joules()
        except OSError:  # the engine's thread finds out too
            taken = None
        return EngineTelemetry(
            queue_seconds=core.queue_seconds,
            first_token_seconds=core.first_token_seconds,
            total_seconds=core.total_seconds,
            oldest_waiting_seconds=waited,
            memory_bytes={"weights": info.weight_bytes, "kv_cache": cache, "image_cache": features},
            request_joules=None if taken is None else core.energy.joules,
            device_joules=taken,
        )

    def check_invariants(self) -> None:
        """Asserts, between two steps, that blocks, references, free list and queues agree. For tests and for the
        suspicious.
        """
        self._worker.call(self._core.check)

    def close(self) -> None:
        """Ends the engine and frees the model. Unfinished requests get an `EngineClosedError`. May be called twice."""
        self._close()

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
