"""A session as JSON, for the API and the page: everything but the pictures, which have routes of their own."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from qwen3vl.browser.session import Notice
from qwen3vl.server.agent.acting import in_words
from qwen3vl.server.agent.record import Proposal
from qwen3vl.server.agent.session import AgentSession, State
from qwen3vl.server.bodies import Metrics, UsageBody
from qwen3vl.server.wire import usage_object
from qwen3vl.tasks.results import Step


class NoticeView(BaseModel):
    """Something that the page tried and was not let."""

    kind: Literal["blocked", "popup", "download", "dialog", "file", "error"]
    what: str
    reason: str


class ElementView(BaseModel):
    tag: str
    kind: str
    text: str
    href: str
    traits: list[str]


class ProposalView(BaseModel):
    """The step that waits for a word. `problem`: why it can only be changed or skipped."""

    step: Step | None
    words: str
    element: ElementView | None
    cautions: list[str]
    problem: str
    text: str
    thinking: str
    usage: UsageBody | None
    metrics: Metrics | None


class TakenView(BaseModel):
    number: int
    url: str
    title: str
    step: Step
    words: str
    by: Literal["model", "person"]
    outcome: Literal["done", "skipped", "failed", "changed"]
    answer: str
    cautions: list[str]
    note: str
    notices: list[NoticeView]
    seconds: float


class AutoView(BaseModel):
    steps_left: int
    min_confidence: float


class SessionView(BaseModel):
    """One agent. `pause`: why it does not go on by itself: cautions, `steps` for their bound, `halted`, or
    an error."""

    id: str
    object: Literal["agent.session"] = "agent.session"
    created: int
    state: State
    busy: bool
    goal: str
    platform: Literal["web", "phone"]
    model: str | None
    allow_hosts: list[str]
    url: str
    title: str
    width: int
    height: int
    proposal: ProposalView | None
    auto: AutoView | None
    pause: list[str]
    result: str
    error: str
    notices: list[NoticeView]
    steps: list[TakenView]


class SessionList(BaseModel):
    object: Literal["list"] = "list"
    data: list[SessionView]


def session_view(session: AgentSession) -> SessionView:
    view, auto = session.view, session.auto
    assert view is not None, "a session begins with a look"
    return SessionView(
        id=session.id,
        created=int(session.created),
        state=session.state,
        busy=session.busy,
        goal=session.goal,
        platform=session.start.platform,
        model=session.start.model,
        allow_hosts=list(session.start.rules.hosts),
        url=view.url,
        title=view.title,
        width=view.width,
        height=view.height,
        proposal=None if session.proposal is None else _proposal(session.proposal),
        auto=None if auto is None else AutoView(steps_left=auto.steps_left, min_confidence=auto.min_confidence),
        pause=list(session.pause),
        result=session.result,
        error=session.error,
        notices=[_notice(notice) for notice in session.notices],
        steps=[TakenView.model_validate(taken.as_dict()) for taken in session.steps],
    )


def _proposal(proposal: Proposal) -> ProposalView:
    element, usage = proposal.element, proposal.usage
    return ProposalView(
        step=proposal.step,
        words="" if proposal.step is None else in_words(proposal.step),
        element=None
        if element is None
        else ElementView(
            tag=element.tag,
            kind=element.kind,
            text=element.text,
            href=element.href,
            traits=sorted(element.traits),
        ),
        cautions=list(proposal.cautions),
        problem=proposal.problem,
        text=proposal.text,
        thinking=proposal.thinking,
        **({"usage": None, "metrics": None} if usage is None else usage_object(usage)),
    )


def _notice(notice: Notice) -> NoticeView:
    return NoticeView(kind=notice.kind, what=notice.what, reason=notice.reason)
