"""What happened in a session, step by step, and as files to keep. A password that was typed is in none of it."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from qwen3vl.browser.session import Element, Notice, Observation
from qwen3vl.engine.outputs import Usage
from qwen3vl.server.agent.acting import in_words
from qwen3vl.server.agent.caution import Caution
from qwen3vl.tasks.results import Step

Outcome = Literal["done", "skipped", "failed", "changed"]
"""`changed`: not taken, because what it was to touch was no longer what it had been when it was proposed."""

_HIDDEN = "••••••••"


@dataclass(frozen=True)
class Proposal:
    """A step that waits for a person's word."""

    step: Step | None  # None: the model's answer names none
    text: str  # the model's answer
    thinking: str = ""
    element: Element | None = None  # what the step would touch
    cautions: tuple[Caution, ...] = ()
    problem: str = ""  # why it cannot be taken as it is
    overlay: bytes | None = None  # PNG
    usage: Usage | None = None


@dataclass(frozen=True)
class Taken:
    """A step of the record: what was seen before it, what it was, and what came of it."""

    number: int  # from 1
    view: Observation  # before
    step: Step
    by: Literal["model", "person"]  # a step that a person changed is a person's
    outcome: Outcome
    answer: str = ""  # the model's own words
    cautions: tuple[Caution, ...] = ()
    note: str = ""
    notices: tuple[Notice, ...] = ()  # what the page tried after it
    overlay: bytes | None = None
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Without the pictures."""
        return {
            "number": self.number,
            "url": self.view.url,
            "title": self.view.title,
            "step": self.step.model_dump(),
            "words": in_words(self.step),
            "by": self.by,
            "outcome": self.outcome,
            "answer": self.answer,
            "cautions": list(self.cautions),
            "note": self.note,
            "notices": [asdict(notice) for notice in self.notices],
            "seconds": round(self.seconds, 3),
        }


def without_secret(step: Step, answer: str, element: Element | None) -> tuple[Step, str]:
    """A step and the answer it came from, for the record: what is typed into a password's field is not in them."""
    if step.action != "type" or element is None or "password" not in element.traits or not step.text:
        return step, answer
    told = step.model_copy(update={"text": _HIDDEN, "reason": step.reason.replace(step.text, _HIDDEN)})
    return told, answer.replace(json.dumps(step.text)[1:-1], _HIDDEN).replace(step.text, _HIDDEN)


@dataclass(frozen=True)
class Record:
    """All of a session."""

    goal: str
    start: str
    allow_hosts: tuple[str, ...]
    state: str
    result: str  # what the model said at the end
    steps: tuple[Taken, ...] = ()
    notices: tuple[Notice, ...] = field(default=())  # before the first step

    def json(self, *, pictures: bool) -> bytes:
        """`pictures`: with the screenshot before each step, as base64 PNG."""
        steps = []
        for taken in self.steps:
            shown = {"screenshot": base64.b64encode(taken.view.png).decode()} if pictures else {}
            steps.append({**taken.as_dict(), **shown})
        content = {
            "goal": self.goal,
            "start": self.start,
            "allow_hosts": list(self.allow_hosts),
            "state": self.state,
            "result": self.result,
            "notices": [asdict(notice) for notice in self.notices],
            "steps": steps,
        }
        return json.dumps(content, ensure_ascii=False, indent=1).encode()

    def markdown(self, *, pictures: bool) -> bytes:
        """`pictures`: each step's overlay, or the screenshot before it, as data URLs."""
        lines = [f"# {_line(self.goal)}", "", f"Start: {_code(self.start)}", f"State: {self.state}", ""]
        lines += [f"Result: {_line(self.result)}", ""] if self.result else []
        lines += _noticed(self.notices)
        for taken in self.steps:
            sure = "" if taken.step.confidence is None else f", confidence {taken.step.confidence:.2f}"
            lines += [f"## {taken.number}. {_line(in_words(taken.step))}", ""]
            lines += [f"{taken.outcome} (by the {taken.by}{sure}) on {_code(taken.view.url)}", ""]
            for words in (taken.step.reason, taken.note):
                lines += [_line(words), ""] if words else []
            if taken.cautions:
                lines += [f"Asked because: {', '.join(taken.cautions)}", ""]
            lines += _noticed(taken.notices)
            if pictures:
                picture = base64.b64encode(taken.overlay or taken.view.png).decode()
                lines += [f"![step {taken.number}](data:image/png;base64,{picture})", ""]
        return "\n".join(lines).encode()


def _noticed(notices: tuple[Notice, ...]) -> list[str]:
    lines = [f"- {notice.kind} {_code(notice.what)} {notice.reason}".rstrip() for notice in notices]
    return [*lines, ""] if lines else []


def _line(text: str) -> str:
    """Text of a page or a model as one line that Markdown does not interpret."""
    flat = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>#|!" else sign for sign in flat)


def _code(text: str) -> str:
    return "`" + " ".join(text.split()).replace("`", "%60") + "`"
