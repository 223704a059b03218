"""One agent at work: a page, a goal, the step that waits for a person's word, and the record of those before it.

One thing happens at a time. What a person asks for while another thing goes on is refused, but for stopping, which ends
everything at once, the browser included. Belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from qwen3vl.browser.session import BrowserSession, Notice, Observation
from qwen3vl.errors import BrowserError, InputError
from qwen3vl.server.agent import acting
from qwen3vl.server.agent.asking import Answer, Question, UseModel, ask
from qwen3vl.server.agent.caution import Caution, cautions
from qwen3vl.server.agent.journal import Journal
from qwen3vl.server.agent.overlay import overlay_html
from qwen3vl.server.agent.record import Outcome, Proposal, Record, Taken, without_secret
from qwen3vl.server.agent.start import Start
from qwen3vl.server.errors import ApiError, describe
from qwen3vl.tasks.results import Step

State = Literal["ready", "proposing", "proposed", "acting", "done", "stopped", "failed"]
OPEN: frozenset[State] = frozenset(("ready", "proposed", "done"))

T = TypeVar("T")


@dataclass
class Auto:
    """A run without a person: so many steps more, none of which the model was less sure of."""

    steps_left: int
    min_confidence: float
    halted: bool = False


class AgentSession:
    """Made and opened by `AgentSessions`."""

    def __init__(self, id: str, owner: str, start: Start, use_model: UseModel, *, max_steps: int) -> None:
        self.id, self.owner, self.start, self.goal = id, owner, start, start.goal
        self.created = time.time()
        self._used = time.monotonic()
        self.state: State = "ready"
        self.view: Observation | None = None  # the page as last seen
        self.proposal: Proposal | None = None
        self._journal = Journal()
        self.notices: list[Notice] = []  # before the first step
        self.auto: Auto | None = None
        self.pause: tuple[Caution | str, ...] = ()  # why a run came to its end
        self.result = ""  # what the model said at the end
        self.error = ""
        self._question = Question(
            start.platform, start.form, start.strict, start.language, start.model, start.options()
        )
        self._use_model, self._max_steps = use_model, max_steps
        self._browser: BrowserSession | None = None
        self._stack = contextlib.AsyncExitStack()
        self._task: asyncio.Task[Any] | None = None
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Starts the browser. Raises `InputError` and `BrowserError`, and leaves none behind."""
        try:
            self._browser = await self._stack.enter_async_context(self.start.open_browser())
            self.view = await self._browser.observe()
        except BaseException:
            await self._stack.aclose()
            raise
        self.notices = self._browser.take_notices()

    @property
    def steps(self) -> list[Taken]:
        """What was done and refused, oldest first."""
        return self._journal.steps

    @property
    def busy(self) -> bool:
        return self._task is not None

    @property
    def idle_seconds(self) -> float:
        """Since anybody asked anything of it."""
        return 0.0 if self.busy else time.monotonic() - self._used

    def touch(self) -> None:
        """Somebody is there."""
        self._used = time.monotonic()

    async def look(self) -> None:
        """Looks at the page again; a proposal for the old picture goes."""
        await self._do(self._look())

    async def propose(self) -> None:
        """Asks the model for the next step, for the page as it is now."""
        self._check_room()
        await self._do(self._propose())

    async def act(self, step: Step | None = None) -> None:
        """Takes the proposed step, or `step` of a person's own. Raises `InputError` for one that cannot be taken."""
        self._check_room()
        if step is None and (self.proposal is None or self.proposal.step is None):
            raise ApiError(409, "there is no proposed step to take", code="no_proposal")
        if step is None and self.proposal is not None and self.proposal.problem:
            raise InputError(self.proposal.problem)
        if step is not None:
            acting.check(step, self._open_browser().size)
        await self._do(self._act(step))

    async def skip(self, note: str = "") -> None:
        """Drops the proposed step. The model is told, with what `note` says."""
        proposal = self.proposal
        if self.busy or proposal is None:
            raise ApiError(409, "there is no proposed step to skip", code="no_proposal")
        if proposal.step is not None:
            self._record(proposal.step, "skipped", note=note)
        self._set("ready")

    def run(self, steps: int, min_confidence: float) -> None:
        """Proposes and acts by itself, in the background, until it is done, something calls for caution, or `steps`
        were taken."""
        self._check_room()
        self._check_free()
        self.auto = Auto(steps, min_confidence)
        self._task = asyncio.get_running_loop().create_task(self._run(self.auto))

    def halt(self) -> None:
        """Ends a run after the step that it is at."""
        if self.auto is not None:
            self.auto.halted = True

    def set_goal(self, goal: str) -> None:
        """Another goal for the same page. The record goes on."""
        self._check_free()
        self.goal = goal
        self._set("ready")

    async def stop(self) -> None:
        """Ends whatever goes on, and the browser. The record stays. May be called twice."""
        if self.state not in ("stopped", "failed"):
            self._set("stopped")
        await self._close()

    async def watch(self) -> AsyncIterator[AgentSession]:
        """Itself, now and after each change, until it is closed."""
        while True:
            changed = self._changed
            yield self
            if self.state in ("stopped", "failed"):
                return
            await changed.wait()

    def record(self) -> Record:
        return Record(
            self.goal,
            self.start.url or "a document",
            self.start.rules.hosts,
            self.state,
            self.result,
            tuple(self.steps),
            tuple(self.notices),
        )

    # What follows is the work itself.

    async def _look(self) -> None:
        self.view = await self._open_browser().observe()
        self._set("ready")

    async def _propose(self) -> None:
        browser = self._open_browser()
        self._set("proposing")
        self.view = view = await browser.observe()
        self._notify()
        answer = await ask(self._use_model, self._question, view, self.goal, self._journal.for_model())
        self.proposal = await self._proposal(browser, view, answer)
        self._set("proposed")

    async def _proposal(self, browser: BrowserSession, view: Observation, answer: Answer) -> Proposal:
        step = answer.step
        if step is None:
            return Proposal(None, answer.text, answer.thinking, problem="the answer names no step", usage=answer.usage)
        problem, element, found = "", None, []
        try:
            acting.check(step, browser.size)
            element = await acting.element_for(browser, step)
            found = cautions(step, element, self.start.rules)
        except InputError as error:
            problem = str(error)
        if self._journal.repeats(view, step):
            found.append("repeats")
        shown, _ = without_secret(step, answer.text, element)
        overlay = await browser.draw(overlay_html(view, shown))
        return Proposal(step, answer.text, answer.thinking, element, tuple(found), problem, overlay, answer.usage)

    async def _act(self, own: Step | None) -> None:
        browser, proposal = self._open_browser(), self.proposal
        step = own if own is not None or proposal is None else proposal.step
        assert step is not None, "act has seen to it"
        self._set("acting", keep_proposal=True)
        if step.action in acting.ENDINGS:
            self.result = step.text
            self._record(step, "done", own=own is not None)
            self._set("done")
            return
        started = time.monotonic()
        element = await acting.element_for(browser, step)
        expected = proposal.element if own is None and proposal is not None else element
        outcome, note = await _carry_out(browser, step, unchanged=element == expected)
        before, self.view = self.view, await browser.observe()
        seconds = time.monotonic() - started
        self._record(step, outcome, own=own is not None, element=element, note=note, view=before, seconds=seconds)
        self._set("ready")

    async def _run(self, auto: Auto) -> None:
        try:
            while True:
                if self.state != "proposed":
                    await self._propose()
                assert self.proposal is not None, "it was just made"
                pause = self._reasons_to_pause(self.proposal, auto)
                if pause:
                    self.pause = pause
                    return
                await self._act(None)
                if self.state == "done":
                    return
                if self.steps[-1].outcome == "changed":
                    self.pause = ("changed",)
                    return
                auto.steps_left -= 1
                if auto.halted:
                    self.pause = ("halted",)
                    return
        except BrowserError as error:
            await self._fail(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.pause = (str(describe(error)[1]["error"]["message"]),)
            self._set("ready")
        finally:
            self.auto = self._task = None
            self._notify()

    def _reasons_to_pause(self, proposal: Proposal, auto: Auto) -> tuple[Caution | str, ...]:
        step = proposal.step
        if step is None or proposal.problem:
            return (proposal.problem,)
        if step.action in acting.ENDINGS:
            return ()
        if auto.steps_left <= 0 or len(self.steps) >= self._max_steps:
            return ("steps",)
        unsure = step.confidence is None or step.confidence < auto.min_confidence
        return (*proposal.cautions, *(("unsure",) if unsure else ()))

    def _record(self, step: Step, outcome: Outcome, *, view: Observation | None = None, **more: Any) -> None:
        view = view or self.view
        assert view is not None, "a session begins with a look"
        notices = self._browser.take_notices() if self._browser is not None else []
        self._journal.add(view, step, outcome, proposal=self.proposal, notices=tuple(notices), **more)

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            self._check_free()
        except ApiError:
            work.close()
            raise
        before = self.state
        self._task = task = asyncio.get_running_loop().create_task(work)
        try:
            await task
        except BrowserError as error:
            await self._fail(error)
        except asyncio.CancelledError:
            if self.state == "stopped" and not _cancelling():
                raise ApiError(409, "the session was stopped", code="agent_closed") from None
            self._back_to(before)
            raise
        except Exception:
            self._back_to(before)
            raise
        finally:
            if self._task is task:
                self._task = None
            self._notify()

    def _back_to(self, state: State) -> None:
        if self.state not in ("stopped", "failed"):
            self._set(state if state == "done" else "ready")

    async def _fail(self, error: BrowserError) -> None:
        if self.state != "stopped":
            self.error = str(error)
            self._set("failed")
        await self._close()

    async def _close(self) -> None:
        task = self._task
        if task is not None and task is not asyncio.current_task() and not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._browser = None
        await self._stack.aclose()
        self._notify()

    def _open_browser(self) -> BrowserSession:
        if self._browser is None:
            raise ApiError(409, "the session is closed", code="agent_closed")
        return self._browser

    def _check_free(self) -> None:
        self._open_browser()
        if self.busy:
            raise ApiError(409, "the agent is at work; wait for it, or stop it", code="agent_busy")

    def _check_room(self) -> None:
        if len(self.steps) >= self._max_steps:
            raise ApiError(409, f"a session has {self._max_steps} steps at most", code="too_many_steps")

    def _set(self, state: State, *, keep_proposal: bool = False) -> None:
        self.state = state
        self.touch()
        if state not in ("proposed", "stopped", "failed") and not keep_proposal:
            self.proposal = None
        if state not in ("proposed", "ready"):
            self.pause = ()
        self._notify()

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


async def _carry_out(browser: BrowserSession, step: Step, *, unchanged: bool) -> tuple[Outcome, str]:
    """What a person has confirmed must still be what is there."""
    if not unchanged:
        return "changed", "what stood there has changed since"
    try:
        await acting.act(browser, step)
    except InputError as error:
        return "failed", str(error)
    return "done", ""


def _cancelling() -> bool:
    """Whether the task that waits here was itself cancelled, rather than the one it waits for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
