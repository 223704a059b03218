"""Drafts: tokens that a sequence may have next, to be checked all at once in the step that would have made one.

What is drafted never changes an answer. Each row of a draft is sampled as if the sequence had come there token by
token - with its own place among the seed's numbers, its own penalties and grammar - and the tokens stand up to the
first that was drafted wrong. For a draft that is one token and no distribution this is the rule of Leviathan et al.
(2023): it stands with the probability that the model gives it, and otherwise the token comes from the rest.

Here is decided how much is drafted. How likely guesses are to be right is counted as answers grow, whether they are
drafted or not; what a step costs with so many rows more is measured as steps are made. Both are only looked at in steps
in which everybody decodes.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from qwen3vl.engine.costs import StepCosts
from qwen3vl.engine.lookup import KINDS, Guess, Memory, guesses, keys_before
from qwen3vl.engine.runner import Runner
from qwen3vl.engine.sampler import sample
from qwen3vl.engine.scheduler import Chunk, Scheduler, in_order
from qwen3vl.engine.sequence import Sequence
from qwen3vl.experts.modes import mode_counts

MOST = 8  # tokens of one draft
_MOST_FAST = 4  # tokens that fewer experts draft
_LEAST_LIKELIHOOD = 0.05  # that a guess and all before it are right
_MARGIN = 1.02  # times the speed without a draft, or it is not worth it
_PROBE = 64  # steps without the draft that could have been, until the cost is looked at again
_PLAIN = 256  # steps with a draft, until the cost without one is looked at again
_FIRST_FAST, _LAST_FAST = 32, 4096  # steps between two looks at drafts by fewer experts, where they do not pay

_OWN_ENTRIES = 2**15  # of a sequence's memory, some 8,000 tokens
_SHARED_ENTRIES = 2**17  # of the memory that all answers share
_PROMPT_TOKENS = 4096  # of a prompt, its last, that are remembered
_LEARNED_A_STEP = 128  # tokens of one sequence, so that a long prompt is no long pause
_FAST = KINDS  # the kind of guesses that fewer experts make
_PRIOR = 8.0  # guesses that what is known of all sequences counts for in one
_FADE = 512  # guesses after which those before count half


@dataclass
class Rates:
    """How often guesses of each kind were right."""

    right: list[float] = field(default_factory=lambda: [1.0] * (KINDS + 1))
    made: list[float] = field(default_factory=lambda: [2.0] * (KINDS + 1))

    def note(self, kind: int, right: bool) -> None:
        self.right[kind] += right
        self.made[kind] += 1
        if self.made[kind] >= _FADE:
            self.right[kind] /= 2
            self.made[kind] /= 2


class _Follower:
    """What is known of one sequence: what followed what in it, and how guesses about it fared."""

    def __init__(self, sequence: Sequence, rates: Rates) -> None:
        self.memory = Memory(_OWN_ENTRIES)
        self.learned = max(sequence.num_prompt - _PROMPT_TOKENS, 0)  # tokens, or passed over
        self.guesses: list[Guess] = []  # about the tokens from `guessed_at` on
        self.guessed_at = 0
        self._everybody = rates
        self._tried: dict[int, list[int]] = {}  # kind -> right, made

    def likelihood(self, kind: int) -> float:
        right, made = self._tried.get(kind, (0, 0))
        everywhere = self._everybody.right[kind] / self._everybody.made[kind]
        return (right + _PRIOR * everywhere) / (made + _PRIOR)

    def judge(self, token_ids: list[int]) -> None:
        """Counts the guesses that can be told right or wrong by now."""
        for guess, token_id in zip(self.guesses, token_ids[self.guessed_at :], strict=False):
            right = guess.token_id == token_id
            tried = self._tried.setdefault(guess.kind, [0, 0])
            tried[0] += right
            tried[1] += 1
            self._everybody.note(guess.kind, right)
            if not right:
                break
        self.guesses = []

    def expect(self, guesses: list[Guess], token_ids: list[int]) -> None:
        self.guesses, self.guessed_at = guesses, len(token_ids)


class Speculation:
    """Puts drafts behind the chunks of a step where they make it faster."""

    def __init__(self, scheduler: Scheduler, runner: Runner, *, remember_answers: bool) -> None:
        """With `remember_answers` an answer is drafted from what the engine has said to others, too."""
        self.scheduler, self.runner = scheduler, runner
        self.costs, self.fast_costs = StepCosts(), StepCosts()
        # On a CPU the thread's own time, which other work on the machine does not disturb; it is one of those that
        # compute. A GPU is waited for.
        self._clock = time.thread_time if runner.device.type == "cpu" else time.perf_counter
        moe = runner.model.config.text.moe
        self.fast_experts = mode_counts(moe.num_experts_per_tok)["fast"] if moe else None
        self._rates = Rates()
        self._answers = Memory(_SHARED_ENTRIES)  # of all sequences
        self._remember_answers = remember_answers
        self._followers: dict[Sequence, _Follower] = {}
        self._timed: tuple[int, int, float] | None = None  # sequences, rows added, since when: of the step in progress
        self._without = self._with = self._until_fast = 0  # steps since
        self._fast_pause = _FIRST_FAST

    def plan(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks of a step, with drafts. May run the model, for drafts by fewer experts."""
        self._timed = None
        if not all(chunk.decodes for chunk in chunks):
            return chunks
        followers = [self._follow(chunk.sequence) for chunk in chunks]
        most = [min(_left(chunk.sequence), MOST) for chunk in chunks]
        guessed = [self._guess(*each) for each in zip(chunks, followers, most, strict=True)]
        lengths, speed = self._choose([likelihoods for _, likelihoods in guessed])
        if (count := self._fast_length(chunks, followers, min(most), speed)) > 0:
            drafts = self._draft_fast(chunks, count)
            lengths = [_allowed(chunk.sequence, draft) for chunk, draft in zip(chunks, drafts, strict=True)]
        else:
            drafts = [draft for draft, _ in guessed]
        planned = []
        for chunk, follower, draft, length in zip(chunks, followers, drafts, lengths, strict=True):
            follower.expect(draft, chunk.sequence.token_ids)
            room = self.scheduler.reserve(chunk, length) if length else 0
            planned.append(chunk.with_draft(_token_ids(draft[:room])))
        self._timed = len(chunks), sum(len(chunk.draft) for chunk in planned), self._clock()
        return in_order(planned)

    def note_step(self) -> None:
        """The step that was planned last has been run and sampled."""
        if self._timed is not None:
            sequences, added, since = self._timed
            self.costs.note(sequences, added, self._clock() - since)

    def forget(self, sequence: Sequence) -> None:
        """The sequence has ended. What its answer was stays, for others."""
        follower = self._followers.pop(sequence, None)
        if follower is not None and self._remember_answers:
            token_ids = sequence.token_ids
            for place in range(max(follower.learned, sequence.num_prompt), len(token_ids)):
                self._answers.learn(keys_before(token_ids, place), token_ids[place])

    def _follow(self, sequence: Sequence) -> _Follower:
        follower = self._followers.get(sequence)
        if follower is None:
            follower = self._followers[sequence] = _Follower(sequence, self._rates)
        follower.judge(sequence.token_ids)
        token_ids = sequence.token_ids
        end = min(follower.learned + _LEARNED_A_STEP, len(token_ids))
        for place in range(follower.learned, end):
            keys = keys_before(token_ids, place)
            follower.memory.learn(keys, token_ids[place])
            if self._remember_answers and place >= sequence.num_prompt:
                self._answers.learn(keys, token_ids[place])
        follower.learned = end
        return follower

    def _guess(self, chunk: Chunk, follower: _Follower, most: int) -> tuple[list[Guess], list[float]]:
        """Guesses, and how likely it is that each and all before it are right. The first is there however unlikely, so
        that it can be counted.
        """
        draft: list[Guess] = []
        likelihoods: list[float] = []
        likelihood = 1.0
        for guess in guesses(follower.memory, self._answers, chunk.sequence.token_ids):
            likelihood *= follower.likelihood(guess.kind)
            if len(draft) == most or (draft and likelihood < _LEAST_LIKELIHOOD):
                break
            draft.append(guess)
            likelihoods.append(likelihood)
        allowed = _allowed(chunk.sequence, draft)
        return draft[:allowed], likelihoods[:allowed]

    def _choose(self, likelihoods: list[list[float]]) -> tuple[list[int], float]:
        """How many tokens to draft for each sequence so that most come a second, and how many that would be; none
        where that is not known yet.
        """
        sequences = len(likelihoods)
        nothing = [0] * sequences
        plain = self.costs.seconds(sequences, 0)
        if plain is None:
            return nothing, 0.0
        room = min(self.scheduler.max_running, self.scheduler.step_tokens) - sequences
        ranked = sorted(((each, number) for number, of in enumerate(likelihoods) for each in of), reverse=True)[:room]
        best, speed, expected = 0, sequences / plain * _MARGIN, float(sequences)
        for added, (likelihood, _) in enumerate(ranked, 1):
            seconds = self.costs.seconds(sequences, added)
            assert seconds is not None
            expected += likelihood
            if expected / seconds > speed:
                best, speed = added, expected / seconds
        best = self._look_again(best, len(ranked))
        lengths = Counter(number for _, number in ranked[:best])
        return [lengths[number] for number in range(sequences)], speed

    def _look_again(self, best: int, possible: int) -> int:
        """Now and then the other way round: what was once too dear may be cheap by now."""
        if best:
            self._without, self._with = 0, self._with + 1
        elif possible:
            self._without += 1
        if self._with >= _PLAIN:
            self._with = 0
            return 0
        if self._without >= _PROBE:
            self._without = 0
            return possible
        return best

    def _fast_length(self, chunks: list[Chunk], followers: list[_Follower], most: int, speed: float) -> int:
        """How many tokens fewer experts should draft; 0: none, because something else is faster than `speed` tokens a
        second that would give.
        """
        fewer, sequences = self.fast_experts, len(chunks)
        room = (min(self.scheduler.max_running, self.scheduler.step_tokens) - sequences) // sequences
        most = min(most, room, _MOST_FAST)
        if fewer is None or most < 1 or any(chunk.sequence.request.active_experts <= fewer for chunk in chunks):
            return 0
        self._until_fast += 1
        one = self.fast_costs.seconds(sequences, 0)
        best = 0
        if one is not None and speed:
            for count in range(1, most + 1):
                seconds = self.costs.seconds(sequences, count * sequences)
                assert seconds is not None
                right = sum(sum(each.likelihood(_FAST) ** n for n in range(count + 1)) for each in followers)
                if right / (seconds + count * one) > speed:
                    best, speed = count, right / (seconds + count * one)
        if best == 0 and self._until_fast >= self._fast_pause:
            self._fast_pause = min(2 * self._fast_pause, _LAST_FAST)
            best = min(most, 2)
        if best:
            self._until_fast = 0
        return best

    def _draft_fast(self, chunks: list[Chunk], count: int) -> list[list[Guess]]:
        """Drafts by the same weights with fewer experts, `count` tokens at most. Their keys and values lie where the
        check of the draft will write its own, for each of the tokens.
        """
        drafts: list[list[Guess]] = [[] for _ in chunks]
        count = min(self.scheduler.reserve(chunk, count) for chunk in chunks)
        for _ in range(count):
            since = self._clock()
            ahead = [
                Chunk(chunk.sequence, chunk.start + len(draft), 1, _token_ids(draft), self.fast_experts)
                for chunk, draft in zip(chunks, drafts, strict=True)
            ]
            states = [each.sequence.sampling.ahead(each.draft) for each in ahead]
            tokens = sample(self.runner.run(ahead), states, [None] * len(ahead))
            self.fast_costs.note(len(chunks), 0, self._clock() - since)
            for draft, token in zip(drafts, tokens, strict=True):
                if token is None:
                    return drafts
                draft.append(Guess(token.token_id, _FAST))
        return drafts


def _token_ids(guesses: list[Guess]) -> tuple[int, ...]:
    return tuple(guess.token_id for guess in guesses)


def _allowed(sequence: Sequence, draft: list[Guess]) -> int:
    """How much of the draft the sequence's grammar does not refuse."""
    if not draft or sequence.constraint is None:
        return len(draft)
    return sequence.constraint.accepts(_token_ids(draft))


def _left(sequence: Sequence) -> int:
    """Tokens that the answer may have beyond the next one."""
    return sequence.max_tokens - sequence.num_generated - 1
