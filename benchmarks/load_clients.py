"""Clients that ask a server all at once: each answer is held against the same question's answer asked alone.

Knows HTTP and the API, and nothing of the process that serves.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from PIL import Image

from qwen3vl.drawn import draw

CHAT = "/v1/chat/completions"
DECIDED = 1e-3  # nats between the two likeliest tokens; at less, the order of float additions may decide
_FAMILIES = ("chat", "shapes", "chat", "text", "chat", "documents", "chat", "web")
_MODES = ("full", "fast", "balanced")
_KINDS = {"whole": 4, "streamed": 4, "cut whole": 1, "cut streamed": 2, "bad": 1}
_BROKEN_PICTURE = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\nbut no more").decode()


@dataclass(frozen=True)
class Answer:
    text: str
    finish_reason: str
    tokens: int


@dataclass(frozen=True)
class Question:
    body: dict[str, Any]
    answer: Answer  # asked alone


@dataclass
class Tally:
    """What became of all requests."""

    ended: Counter[str] = field(default_factory=Counter)
    tokens: int = 0
    wrong: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    first: list[float] = field(
        default_factory=list
    )  # seconds to the first event of a stream, earlier tries not counted

    @property
    def good(self) -> bool:
        return not self.wrong and not self.lost


class Unexpected(Exception):
    """The server said something that no request of ours should hear."""


def bodies(seed: int, count: int, max_tokens: int) -> list[dict[str, Any]]:
    """Greedy questions, half of them with a picture, in all modes."""
    rng, made = random.Random(f"load {seed}"), []
    for number in range(count):
        sample = draw(rng, _FAMILIES[number % len(_FAMILIES)], split="held_out", turns=1)
        content: list[dict[str, Any]] = [{"type": "text", "text": sample.turns[0].question}]
        if sample.frames:
            buffer = io.BytesIO()
            Image.fromarray(sample.frames[0]).save(buffer, "PNG")
            url = f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
            content.insert(0, {"type": "image_url", "image_url": {"url": url}})
        made.append(
            {
                "messages": [{"role": "user", "content": content}],
                "max_tokens": rng.randint(max_tokens // 8, max_tokens),
                "temperature": 0,
                "mode": _MODES[number % len(_MODES)],
            }
        )
    return made


async def asked_alone(url: str, wanted: Sequence[dict[str, Any]]) -> list[Question]:
    """The questions whose greedy answers hang on no near-tie, with their answers, one after the other."""
    questions = []
    async with httpx.AsyncClient(base_url=url, timeout=120) as client:
        for body in wanted:
            reply = (await client.post(CHAT, json={**body, "logprobs": True, "top_logprobs": 2})).raise_for_status()
            told = reply.json()
            tokens = told["choices"][0]["logprobs"]["content"]
            if all(
                top[0]["logprob"] - top[1]["logprob"] > DECIDED for top in (each["top_logprobs"] for each in tokens)
            ):
                questions.append(Question(body, _answer(told)))
    return questions


async def crowd(
    url: str,
    questions: Sequence[Question],
    *,
    clients: int,
    more: Callable[[int], bool],
    seed: int,
    patience: float = 3.0,
) -> Tally:
    """So many clients at once. Each sends a request while `more`, which is told how many it has sent, says so, and ends
    what it has begun. Those that hang up do so within `patience` seconds.
    """
    tally = Tally()
    randoms = [random.Random(f"client {seed} {number}") for number in range(clients)]
    await asyncio.gather(*(_Client(url, questions, rng, tally, patience).run(more) for rng in randoms))
    return tally


class _Client:
    def __init__(
        self, url: str, questions: Sequence[Question], rng: random.Random, tally: Tally, patience: float
    ) -> None:
        self._url, self._questions, self._rng, self._tally = url, questions, rng, tally
        self._patience = patience

    async def run(self, more: Callable[[int], bool]) -> None:
        async with httpx.AsyncClient(base_url=self._url, timeout=120) as client:
            sent = 0
            while more(sent):
                sent += 1
                (kind,) = self._rng.choices(list(_KINDS), list(_KINDS.values()))
                try:
                    end = await (self._refused(client) if kind == "bad" else self._asked(client, kind))
                except Unexpected as unexpected:
                    self._tally.wrong.append(f"{kind}: {unexpected}")
                except httpx.HTTPError as error:
                    self._tally.lost.append(f"{kind}: {error!r}")
                else:
                    self._tally.ended[end] += 1

    async def _asked(self, client: httpx.AsyncClient, kind: str) -> str:
        question, ask = self._rng.choice(self._questions), _streamed if kind.endswith("streamed") else _whole
        cut = self._rng.uniform(0, self._patience) if kind.startswith("cut") else None
        while True:
            try:
                async with asyncio.timeout(cut):
                    found = await ask(client, question.body, self._tally.first)
            except TimeoutError:
                return "cut by the client"
            if isinstance(found, Answer):
                break
            await self._come_again(found)
        if found != question.answer:
            raise Unexpected(f"{question.answer} alone, {found} among others, mode {question.body['mode']}")
        self._tally.tokens += found.tokens
        return "answered"

    async def _come_again(self, seconds: float) -> None:
        self._tally.ended["429, tried again"] += 1
        await asyncio.sleep(seconds)

    async def _refused(self, client: httpx.AsyncClient) -> str:
        body = self._rng.choice(self._questions).body
        picture = [{"type": "image_url", "image_url": {"url": _BROKEN_PICTURE}}]
        status, broken = self._rng.choice(
            [
                (400, {**body, "temprature": 1}),
                (400, {**body, "mode": "turbo"}),
                (400, {**body, "max_tokens": 10**6}),
                (400, {**body, "messages": [{"role": "user", "content": picture}]}),
                (404, {**body, "model": "nobody"}),
            ]
        )
        while (reply := await client.post(CHAT, json=broken)).status_code == 429:
            await self._come_again(_later(reply))
        if reply.status_code != status or not reply.json()["error"]["message"]:
            raise Unexpected(f"{reply.status_code} instead of {status}: {reply.text[:200]}")
        return "refused as bad"


async def _whole(client: httpx.AsyncClient, body: dict[str, Any], first: list[float]) -> Answer | float:
    """The answer, or the seconds after which to come again."""
    reply = await client.post(CHAT, json=body)
    return _answer(reply.json()) if reply.status_code == 200 else _later(reply)


async def _streamed(client: httpx.AsyncClient, body: dict[str, Any], first: list[float]) -> Answer | float:
    body = {**body, "stream": True, "stream_options": {"include_usage": True}}
    started, first_seen, text, reason, usage, done = time.monotonic(), 0.0, "", "", None, False
    async with client.stream("POST", CHAT, json=body) as reply:
        if reply.status_code != 200:
            await reply.aread()
            return _later(reply)
        async for line in reply.aiter_lines():
            if not line.startswith("data: "):
                continue
            first_seen = first_seen or time.monotonic()
            if line == "data: [DONE]":
                done = True
                continue
            event = json.loads(line[6:])
            if "error" in event:
                raise Unexpected(f"in a stream: {event['error']}")
            usage = event["usage"] or usage
            for choice in event["choices"]:
                text += choice["delta"].get("content", "")
                reason = choice["finish_reason"] or reason
    if not done or usage is None:
        raise Unexpected(f"a stream without an end, after {text!r}")
    first.append(first_seen - started)
    return Answer(text, reason, usage["completion_tokens"])


def _answer(told: dict[str, Any]) -> Answer:
    (choice,) = told["choices"]
    return Answer(choice["message"]["content"], choice["finish_reason"], told["usage"]["completion_tokens"])


def _later(reply: httpx.Response) -> float:
    if reply.status_code == 429 and reply.headers.get("retry-after", "").isdigit():
        return float(reply.headers["retry-after"])
    raise Unexpected(f"status {reply.status_code}: {reply.text[:200]}")
