"""`/v1/agent/sessions`: agents on real pages, for programs and for the page of this server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt
from starlette.requests import ClientDisconnect

from qwen3vl.server.access import current_caller
from qwen3vl.server.agent.session import AgentSession
from qwen3vl.server.agent.sessions import AgentSessions
from qwen3vl.server.agent.start import Goal, Start
from qwen3vl.server.agent.views import SessionList, SessionView, session_view
from qwen3vl.server.answering import unless_disconnected
from qwen3vl.server.bodies import errors
from qwen3vl.server.errors import ApiError
from qwen3vl.server.places import about
from qwen3vl.server.wire import server_sent_event
from qwen3vl.tasks.actions import ActionKind
from qwen3vl.tasks.results import BoxMark, PointMark, Step

SessionId = Annotated[str, Path(pattern="^agent_[0-9a-f]{32}$")]
Number = Annotated[int, Path(ge=1, le=100_000)]
Pixel = Annotated[float, Field(ge=0, le=4096)]

_PNG = {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}}
_EVENTS: dict[str, Any] = {"content": {"text/event-stream": {}}}
_FILE: dict[str, Any] = {"content": {"application/json": {}, "text/markdown": {}}}
# A picture shows whatever is on a page, and is another one a moment later.
_PICTURE_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepBody(_Body):
    """A step of a person's own, in pixels of the window."""

    action: ActionKind
    target: tuple[Pixel, Pixel] | tuple[Pixel, Pixel, Pixel, Pixel] | None = Field(
        None, description="a point x, y or a box x1, y1, x2, y2"
    )
    label: str = Field("", max_length=300, description="what the target is called")
    end: tuple[Pixel, Pixel] | None = Field(None, description="where a drag ends")
    text: str = Field("", max_length=5000, description="to type; keys such as ctrl+a; a button: back, home, enter")
    direction: Literal["up", "down", "left", "right"] | None = None
    amount: Annotated[float, Field(ge=0, le=20_000)] | None = Field(None, description="pixels, or seconds")

    def step(self, size: tuple[int, int]) -> Step:
        width, height = size

        def relative(*values: float) -> tuple[float, ...]:
            return tuple(value * 1000 / (height if number % 2 else width) for number, value in enumerate(values))

        target: BoxMark | PointMark | None = None
        if self.target is not None and len(self.target) == 4:
            target = BoxMark(label=self.label, pixels=self.target, relative=relative(*self.target))  # type: ignore[arg-type]
        elif self.target is not None:
            target = PointMark(label=self.label, pixels=self.target, relative=relative(*self.target))  # type: ignore[arg-type]
        end = None if self.end is None else PointMark(pixels=self.end, relative=relative(*self.end))  # type: ignore[arg-type]
        return Step(
            action=self.action,
            target=target,
            end=end,
            text=self.text,
            direction=self.direction,
            amount=self.amount,
        )


class ActBody(_Body):
    step: StepBody | None = Field(None, description="instead of the proposed one")


class SkipBody(_Body):
    note: str = Field("", max_length=500, description="why; the model is told")


class RunBody(_Body):
    steps: Annotated[StrictInt, Field(ge=1, le=100)] = 10
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.7


class GoalBody(_Body):
    goal: Goal


class Deleted(BaseModel):
    id: str
    object: Literal["agent.session.deleted"] = "agent.session.deleted"
    deleted: StrictBool = True


def agent_router(agents: AgentSessions) -> APIRouter:
    router = APIRouter(prefix="/v1/agent/sessions", tags=["agent"])

    def own(session_id: str) -> AgentSession:
        caller = current_caller()
        return agents.get(session_id, caller.owner, admin=caller.is_admin)

    async def then_view(request: Request, session: AgentSession, work: Coroutine[Any, Any, None]) -> SessionView:
        """A client that hangs up ends what it asked for."""
        try:
            await unless_disconnected(request, work)
        except ClientDisconnect:
            raise ApiError(499, "the client hung up") from None
        return session_view(session)

    @router.post("", status_code=201, response_model=SessionView, responses=errors(429, 503))
    async def start(body: Start) -> SessionView:
        """Opens a page in a browser of its own. It can reach `allow_hosts` and the host of `url`, and nothing else."""
        with about("html" if body.url is None else "url"):
            return session_view(await agents.start(body, current_caller().owner))

    @router.get("", response_model=SessionList, responses=errors())
    async def sessions() -> SessionList:
        """This key's sessions, newest first."""
        caller = current_caller()
        return SessionList(data=[session_view(each) for each in agents.of(caller.owner, admin=caller.is_admin)])

    @router.get("/{session_id}", response_model=SessionView, responses=errors(404))
    async def session(session_id: SessionId) -> SessionView:
        return session_view(own(session_id))

    @router.delete("/{session_id}", response_model=Deleted, responses=errors(404))
    async def delete(session_id: SessionId) -> Deleted:
        """Stops it, and forgets what happened in it."""
        await agents.remove(own(session_id))
        return Deleted(id=session_id)

    @router.patch("/{session_id}", response_model=SessionView, responses=errors(404, 409))
    async def change(session_id: SessionId, body: GoalBody) -> SessionView:
        """Another goal, for the page as it is."""
        session = own(session_id)
        session.set_goal(body.goal)
        return session_view(session)

    @router.post("/{session_id}/look", response_model=SessionView, responses=errors(404, 409))
    async def look(request: Request, session_id: SessionId) -> SessionView:
        """A new picture of the page."""
        session = own(session_id)
        return await then_view(request, session, session.look())

    @router.post("/{session_id}/propose", response_model=SessionView, responses=errors(404, 409, 429, 503, 504))
    async def propose(request: Request, session_id: SessionId) -> SessionView:
        """Looks at the page and asks the model for the next step. Nothing is done yet."""
        session = own(session_id)
        return await then_view(request, session, session.propose())

    @router.post("/{session_id}/act", response_model=SessionView, responses=errors(404, 409))
    async def act(request: Request, session_id: SessionId, body: ActBody | None = None) -> SessionView:
        """Takes the proposed step, or the one of the body, and looks again."""
        session = own(session_id)
        step = None if body is None or body.step is None else body.step.step(session.start.size)
        with about("step"):
            return await then_view(request, session, session.act(step))

    @router.post("/{session_id}/skip", response_model=SessionView, responses=errors(404, 409))
    async def skip(session_id: SessionId, body: SkipBody | None = None) -> SessionView:
        """Drops the proposed step."""
        session = own(session_id)
        await session.skip("" if body is None else body.note)
        return session_view(session)

    @router.post("/{session_id}/run", status_code=202, response_model=SessionView, responses=errors(404, 409))
    async def run(session_id: SessionId, body: RunBody | None = None) -> SessionView:
        """Lets it run: it proposes and acts until it is done, or `pause` says why a person is asked."""
        session = own(session_id)
        body = body or RunBody()
        session.run(body.steps, body.min_confidence)
        return session_view(session)

    @router.post("/{session_id}/halt", response_model=SessionView, responses=errors(404))
    async def halt(session_id: SessionId) -> SessionView:
        """Ends a run after the step that it is at."""
        session = own(session_id)
        session.halt()
        return session_view(session)

    @router.post("/{session_id}/stop", response_model=SessionView, responses=errors(404))
    async def stop(session_id: SessionId) -> SessionView:
        """Ends everything at once, and the browser. What happened can still be exported."""
        session = own(session_id)
        await session.stop()
        return session_view(session)

    @router.get("/{session_id}/events", response_model=None, responses={200: _EVENTS, **errors(404)})
    async def events(session_id: SessionId) -> StreamingResponse:
        """The session now and after each change, as server-sent events, until it is closed."""
        session = own(session_id)

        async def stream() -> AsyncIterator[bytes]:
            async for each in session.watch():
                yield server_sent_event(session_view(each).model_dump(mode="json"))
            yield server_sent_event("[DONE]")

        return StreamingResponse(stream(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})

    @router.get("/{session_id}/screenshot", response_model=None, responses={200: _PNG, **errors(404)})
    async def screenshot(session_id: SessionId) -> Response:
        """The page as last seen."""
        view = own(session_id).view
        assert view is not None, "a session begins with a look"
        return _png(view.png)

    @router.get("/{session_id}/overlay", response_model=None, responses={200: _PNG, **errors(404)})
    async def overlay(session_id: SessionId) -> Response:
        """What the proposed step would do, drawn over the page."""
        proposal = own(session_id).proposal
        if proposal is None or proposal.overlay is None:
            raise ApiError(404, "there is no proposed step", code="no_proposal")
        return _png(proposal.overlay)

    @router.get("/{session_id}/steps/{number}/{picture}", response_model=None, responses={200: _PNG, **errors(404)})
    async def step_picture(
        session_id: SessionId, number: Number, picture: Literal["screenshot", "overlay"]
    ) -> Response:
        """The page before a step, or the same with what was then proposed."""
        steps = own(session_id).steps
        taken = steps[number - 1] if number <= len(steps) else None
        png = None if taken is None else taken.view.png if picture == "screenshot" else taken.overlay
        if png is None:
            raise ApiError(404, f"there is no {picture} of a step {number}", code="step_not_found")
        return _png(png)

    @router.get("/{session_id}/export", response_model=None, responses={200: _FILE, **errors(404)})
    async def export(
        session_id: SessionId,
        format: Annotated[Literal["json", "markdown"], Query()] = "json",
        pictures: Annotated[bool, Query()] = False,
    ) -> Response:
        """Everything that happened, as a file to keep."""
        record = own(session_id).record()
        as_json = format == "json"
        content = record.json(pictures=pictures) if as_json else record.markdown(pictures=pictures)
        name = f"agent.{'json' if as_json else 'md'}"
        return Response(
            content,
            media_type="application/json" if as_json else "text/markdown; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"},
        )

    return router


def _png(data: bytes) -> Response:
    return Response(data, media_type="image/png", headers=_PICTURE_HEADERS)
