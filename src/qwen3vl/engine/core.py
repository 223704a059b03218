"""One step after another: schedule, run, sample, deliver. No threads here; whoever owns a core calls it from one
thread only.
"""

from __future__ import annotations

import logging
import math
import time

import torch

from qwen3vl.engine.energy import EnergyBook
from qwen3vl.engine.grammar import GrammarError
from qwen3vl.engine.masks import MaskWriter
from qwen3vl.engine.outputs import Delta, FinishReason, TokenLogprob, Usage
from qwen3vl.engine.runner import Runner
from qwen3vl.engine.sampler import SampledToken, SamplingState, sample
from qwen3vl.engine.scheduler import Chunk, Scheduler
from qwen3vl.engine.sequence import Request, Sequence
from qwen3vl.engine.speculation import Speculation
from qwen3vl.errors import InsufficientMemoryError, ModelOutputError, Qwen3VLError
from qwen3vl.prompt.tokenizer import Tokenizer
from qwen3vl.telemetry.energy import EnergyMeter
from qwen3vl.telemetry.histogram import Histogram

logger = logging.getLogger(__name__)

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0)


class EngineCore:
    def __init__(
        self,
        runner: Runner,
        scheduler: Scheduler,
        tokenizer: Tokenizer,
        eos_token_ids: frozenset[int],
        meter: EnergyMeter | None = None,
        speculation: Speculation | None = None,
    ) -> None:
        """Owns `meter`, which measures the devices of `runner`. Without `speculation` nothing is drafted."""
        self.runner = runner
        self.scheduler = scheduler
        self.tokenizer = tokenizer
        self.eos_token_ids = eos_token_ids
        self.requests: dict[int, Request] = {}
        self.speculation = speculation
        self.masks = MaskWriter()
        self.energy = EnergyBook(meter)
        self.num_steps = 0
        self.prompt_tokens = self.cached_tokens = self.generated_tokens = 0
        self.num_drafts = self.draft_tokens = self.accepted_tokens = 0
        self.queue_seconds = Histogram(_SECONDS)  # of requests, noted when they are admitted
        self.first_token_seconds = Histogram(_SECONDS)
        self.total_seconds = Histogram(_SECONDS)  # of requests that were finished

    @property
    def idle(self) -> bool:
        return not self.requests

    def add(self, request: Request) -> None:
        """Queues the first sequence; the others follow once its prompt is in the cache, and take it from there."""
        if self.idle:
            self.energy.skip()
        self.requests[request.id] = request
        self.scheduler.add(request.sequences[0])

    def cancel(self, request_id: int) -> None:
        """Drops a request and frees its blocks at once. Unknown and finished ones are ignored: they may just have
        ended.
        """
        request = self.requests.pop(request_id, None)
        if request is not None:
            for sequence in request.sequences:
                self._end(sequence)

    @torch.inference_mode()
    def step(self) -> None:
        self.energy.begin()
        chunks = self.scheduler.schedule()
        now = time.perf_counter()
        for chunk in chunks:
            self._note_admission(chunk.sequence, chunk.start, now)
        try:
            if self.speculation is not None:
                chunks = self.speculation.plan(chunks)
            rows = [chunk.rows for chunk in chunks]
            sampling = [chunk for chunk in chunks if chunk.rows and chunk.sequence.scores is None]
            masks = self.masks.begin((chunk.sequence, chunk.draft) for chunk in sampling)
            logits = self.runner.run(chunks)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.energy.skip()
            self.runner.free_unused()
            for chunk in chunks:
                self._fail(chunk.sequence.request, InsufficientMemoryError(f"memory ran out on this request: {error}"))
            return
        for chunk in chunks:
            self.scheduler.commit(chunk)
        self.energy.charge(chunks)
        if any(chunk.sequence.scores is not None for chunk in chunks):
            logits = self._take_scores(chunks, rows, logits)
        if sampling:
            states = [state for chunk in sampling for state in _states(chunk)]
            counts = [
                chunk.sequence.request.options.logprobs for chunk in sampling for _ in range(1 + len(chunk.draft))
            ]
            allowed, errors = masks.wait()
            tokens = sample(logits, states, counts, allowed)
            if self.speculation is not None:
                self.speculation.note_step()
            first = 0
            for chunk in sampling:
                last = first + 1 + len(chunk.draft)
                self._advance(chunk, [errors.get(row, tokens[row]) for row in range(first, last)])
                first = last
        self.num_steps += 1

    def _note_admission(self, sequence: Sequence, cached: int, now: float) -> None:
        request = sequence.request
        if request.admitted is None:
            request.admitted = now
            self.queue_seconds.observe(now - request.submitted)
            request.cached_tokens = cached
            self.prompt_tokens += len(request.prompt)
            self.cached_tokens += cached

    def _take_scores(self, chunks: list[Chunk], rows: list[range], logits: torch.Tensor) -> torch.Tensor:
        """Notes what the logits say of answers that are given. Returns the rows that are left, for sampling."""
        left = [logits[:0]]
        for chunk, wanted, part in zip(chunks, rows, torch.split(logits, [len(each) for each in rows]), strict=True):
            sequence = chunk.sequence
            if sequence.scores is None:
                left.append(part)
            elif wanted:
                targets = torch.tensor(sequence.token_ids[wanted.start + 1 : wanted.stop + 1], device=part.device)
                distributions = part.log_softmax(-1)
                logprobs = distributions.gather(-1, targets[:, None])[:, 0].tolist()
                sequence.scores += logprobs
                if sequence.distributions is not None:
                    sequence.distributions.append(distributions.cpu())
                if any(map(math.isnan, logprobs)):
                    self._fail(sequence.request, ModelOutputError("the model's output is not a number"))
                elif len(sequence.scores) == sequence.num_generated:
                    self._finish_scoring(sequence, sequence.scores)
        return torch.cat(left)

    def _finish_scoring(self, sequence: Sequence, scores: list[float]) -> None:
        request = sequence.request
        request.first_token = time.perf_counter()
        self._end(sequence)
        del self.requests[request.id]
        answer = sequence.token_ids[sequence.num_prompt :]
        logprobs = [self._logprob(SampledToken(*pair)) for pair in zip(answer, scores, strict=True)]
        self._emit(
            request,
            Delta(
                "",
                answer,
                logprobs=logprobs,
                finish_reason="stop",
                usage=self._usage(request),
                distributions=None if sequence.distributions is None else torch.cat(sequence.distributions),
            ),
        )

    def _advance(self, chunk: Chunk, results: list[SampledToken | GrammarError | None]) -> None:
        """Delivers what came of a chunk's rows: one token, and one more behind each token of the draft that was right.
        None: the row was not a number.
        """
        sequence, request, draft = chunk.sequence, chunk.sequence.request, chunk.draft
        self.num_drafts += bool(draft)
        self.draft_tokens += len(draft)
        request.draft_tokens += len(draft)
        for number, result in enumerate(results):
            if isinstance(result, GrammarError):
                self._fail(request, result)
            elif result is None:
                self._fail(request, ModelOutputError("the model's output is not a number"))
            elif not sequence.finished:  # its request may have failed a moment ago, with another of its answers
                right = number < len(draft) and draft[number] == result.token_id
                self.accepted_tokens += right
                request.accepted_tokens += right
                self._deliver(sequence, result)
                if right and not sequence.finished:
                    self.scheduler.accept(sequence)
                    continue
            return

    def _deliver(self, sequence: Sequence, token: SampledToken) -> None:
        """Appends the token, sends what can be read of it, and ends the sequence where it ends."""
        request = sequence.request
        if request.first_token is None:
            request.first_token = time.perf_counter()
            self.first_token_seconds.observe(request.first_token - request.submitted)
            for sibling in request.sequences[1:]:
                self.scheduler.add(sibling)
        sequence.token_ids.append(token.token_id)
        sequence.sampling.record(token.token_id)
        self.generated_tokens += 1
        if sequence.constraint is not None:
            try:
                sequence.constraint.take(token.token_id)
            except GrammarError as error:
                self._fail(request, error)
                return
        text = ""
        reason: FinishReason | None = None
        if token.token_id in self.eos_token_ids and not request.options.ignore_eos:
            reason = "stop"
        else:
            text = sequence.text.add(token.token_id)
            if sequence.text.stopped or (sequence.constraint is not None and sequence.constraint.finished):
                reason = "stop"
            elif sequence.loops is not None and sequence.loops.add(token.token_id):
                reason = "loop"
            elif sequence.num_generated >= sequence.max_tokens:
                reason = "length"
        self._send(sequence, token, text, reason)

    def _send(self, sequence: Sequence, token: SampledToken, text: str, reason: FinishReason | None) -> None:
        request = sequence.request
        usage = None
        if reason is not None:
            if not sequence.text.stopped:
                text += sequence.text.finish()
                reason = "stop" if sequence.text.stopped else reason
            self._end(sequence)
            if request.finished:
                del self.requests[request.id]
                usage = self._usage(request)
        logprobs = None if token.logprob is None else [self._logprob(token)]
        self._emit(request, Delta(text, [token.token_id], sequence.index, logprobs, reason, usage))

    def fail_all(self, error: Qwen3VLError) -> None:
        """Ends every request with `error`."""
        for request in list(self.requests.values()):
            self._fail(request, error)

    def close(self) -> None:
        """Frees the model. The core is of no use afterwards."""
        self.masks.close()
        self.energy.close()
        self.runner.release()

    def _fail(self, request: Request, error: Qwen3VLError) -> None:
        if request.id in self.requests:
            self.cancel(request.id)
            self._emit(request, error)

    def _usage(self, request: Request) -> Usage:
        """Of a request that has just been finished."""
        assert request.admitted is not None
        assert request.first_token is not None
        seconds = time.perf_counter() - request.submitted
        self.total_seconds.observe(seconds)
        return Usage(
            prompt_tokens=len(request.prompt),
            completion_tokens=sum(sequence.num_generated for sequence in request.sequences),
            cached_tokens=request.cached_tokens,
            visual_tokens=sum(visual.num_tokens for visual in request.prompt.visuals),
            active_experts=request.active_experts,
            queue_seconds=request.admitted - request.submitted,
            first_token_seconds=request.first_token - request.submitted,
            total_seconds=seconds,
            energy_joules=self.energy.of(request),
            draft_tokens=request.draft_tokens,
            accepted_tokens=request.accepted_tokens,
        )

    def _emit(self, request: Request, item: Delta | Qwen3VLError) -> None:
        """Hands an item to whoever asked. If their sink fails, theirs is the only request that ends."""
        try:
            request.sink(item)
        except Exception:
            logger.exception("the receiver of request %d failed; the request is dropped", request.id)
            self.cancel(request.id)

    def _end(self, sequence: Sequence) -> None:
        sequence.finished = True
        self.scheduler.finish(sequence)
        if self.speculation is not None:
            self.speculation.forget(sequence)

    def _logprob(self, token: SampledToken) -> TokenLogprob:
        assert token.logprob is not None
        name = self.tokenizer.token_text
        top = [(token_id, name(token_id), logprob) for token_id, logprob in token.top]
        return TokenLogprob(token.token_id, name(token.token_id), token.logprob, top)

    def check(self) -> None:
        """Asserts that all books agree; for tests, between steps."""
        self.scheduler.check()
        self.runner.features.check()
        alive = [
            sequence for request in self.requests.values() for sequence in request.sequences if not sequence.finished
        ]
        known = {id(sequence) for sequence in (*self.scheduler.running, *self.scheduler.waiting)}
        assert len(known) == len(self.scheduler.running) + len(self.scheduler.waiting), "a sequence is queued twice"
        assert known <= {id(sequence) for sequence in alive}, "a sequence is scheduled for no request"
        started = [s for s in alive if s.index == 0 or s.request.first_token is not None]
        assert known == {id(sequence) for sequence in started}, "a sequence was lost"


def _states(chunk: Chunk) -> list[SamplingState]:
    """What sampling goes by in each of a chunk's rows: behind each token of the draft, as if it stood."""
    state = chunk.sequence.sampling
    return [state, *(state.ahead(chunk.draft[:count]) for count in range(1, len(chunk.draft) + 1))]


def is_out_of_memory(error: Exception) -> bool:
    """Torch raises its own type on a GPU, and a plain RuntimeError where the CPU's allocator gives up."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
