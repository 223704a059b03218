"""All agents of a server: who may have how many, and that no browser is left running."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass

from qwen3vl.server.agent.asking import UseModel
from qwen3vl.server.agent.session import AgentSession
from qwen3vl.server.agent.start import Start
from qwen3vl.server.errors import ApiError

_CHECK_SECONDS = 5.0


@dataclass(frozen=True)
class AgentLimits:
    """`private_hosts`: addresses that are not public (`localhost:3000`) which sessions may name all the same."""

    max_sessions: int = 4  # with a browser
    max_records: int = 32  # sessions that have ended and can still be exported
    max_steps: int = 60
    idle_seconds: float = 600.0  # after which a session that nobody asks anything is stopped
    page_seconds: float = 10.0  # that a page may take to answer
    private_hosts: tuple[str, ...] = ()


class AgentSessions:
    """Belongs to the event loop that calls it; `close` ends every browser."""

    def __init__(self, use_model: UseModel, limits: AgentLimits | None = None) -> None:
        self.limits = limits or AgentLimits()
        self._use_model = use_model
        self._sessions: dict[str, AgentSession] = {}
        self._starting = 0
        self._closed = False
        self._idle: asyncio.Task[None] | None = None

    async def start(self, request: Start, owner: str = "") -> AgentSession:
        """A browser at the page that `request` names. Raises `ApiError` 429 when there are too many, `InputError` for
        a page that is not allowed or cannot be opened, `BrowserError` without a browser."""
        limits = self.limits
        if self._closed:
            raise ApiError(503, "the server is shutting down")
        if limits.max_sessions == 0:
            raise ApiError(403, "this server runs no GUI agents", code="agents_off")
        if self._starting + len(self._open()) >= limits.max_sessions:
            message = f"{limits.max_sessions} agent sessions are open already; stop one first"
            raise ApiError(429, message, code="too_many_agents", retry_after=60)
        within = request.within(private_hosts=limits.private_hosts, timeout=limits.page_seconds)
        session = AgentSession(f"agent_{uuid.uuid4().hex}", owner, within, self._use_model, max_steps=limits.max_steps)
        self._starting += 1
        try:
            await session.open()
        finally:
            self._starting -= 1
        self._sessions[session.id] = session
        await self._stop_late(session)
        self._forget_oldest()
        if self._idle is None:
            self._idle = asyncio.get_running_loop().create_task(self._stop_idle())
        return session

    def get(self, id: str, owner: str = "", *, admin: bool = False) -> AgentSession:
        """Raises `ApiError` 404 for one that is not there, or somebody else's."""
        session = self._sessions.get(id)
        if session is None or not (admin or session.owner == owner):
            raise ApiError(404, f"there is no agent session {id!r}", code="agent_not_found")
        session.touch()
        return session

    def of(self, owner: str = "", *, admin: bool = False) -> list[AgentSession]:
        """Newest first."""
        return [each for each in reversed(self._sessions.values()) if admin or each.owner == owner]

    async def remove(self, session: AgentSession) -> None:
        """Stops it and forgets its record."""
        await session.stop()
        self._sessions.pop(session.id, None)

    async def close(self) -> None:
        """Ends every browser. May be called twice."""
        self._closed = True
        if self._idle is not None:
            self._idle.cancel()
            await asyncio.gather(self._idle, return_exceptions=True)
            self._idle = None
        await asyncio.gather(*(session.stop() for session in self._open()), return_exceptions=True)

    def _open(self) -> list[AgentSession]:
        return [session for session in self._sessions.values() if session.state not in ("stopped", "failed")]

    async def _stop_late(self, session: AgentSession) -> None:
        if self._closed:  # while it started
            await session.stop()

    def _forget_oldest(self) -> None:
        ended = [session for session in self._sessions.values() if session.state in ("stopped", "failed")]
        for session in ended[: max(0, len(ended) - self.limits.max_records)]:
            del self._sessions[session.id]

    async def _stop_idle(self) -> None:
        while True:
            await asyncio.sleep(min(_CHECK_SECONDS, self.limits.idle_seconds / 2))
            for session in self._open():
                if session.idle_seconds >= self.limits.idle_seconds:
                    await session.stop()
