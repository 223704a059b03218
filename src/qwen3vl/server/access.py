"""Who calls, and what they may do: API keys with scopes, as a layer around the whole application.

While no key exists a server on a loopback address is open. A key comes as `Authorization: Bearer`, or as the password
of HTTP's Basic form, which browsers ask for by themselves. Two more things keep the pages of other sites out: the Host
must be an address or a name of this server (DNS rebinding needs a name), and what changes something must not come from
another origin.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import secrets
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from qwen3vl.errors import InputError
from qwen3vl.server.errors import ApiError, describe, headers_of
from qwen3vl.server.limits import RateLimiter
from qwen3vl.settings import ServerSettings

if TYPE_CHECKING:
    from qwen3vl.store.keys import Keys
    from qwen3vl.store.records import Key

SCOPES = ("chat", "models", "files", "admin")
"""`models` loads and unloads, `admin` may do everything."""

_PREFIX = "qk-"
_REMEMBERED_SECONDS = 2.0  # so long a key may live on after it was revoked
_PUBLIC = ("/health", "/ready")
_SAFE = ("GET", "HEAD", "OPTIONS")
_NO_SCOPE = ("/v1/usage", "/openapi.json", "/metrics")


@dataclass(frozen=True)
class Caller:
    """Who sent a request, and to where."""

    key: str | None = None  # the key's id; None where none is asked for
    scopes: frozenset[str] = frozenset(SCOPES)
    endpoint: str = ""

    @property
    def owner(self) -> str:
        """Of what this caller keeps here."""
        return self.key or ""

    @property
    def is_admin(self) -> bool:
        return "admin" in self.scopes


_caller: ContextVar[Caller] = ContextVar("caller")
_NOBODY = Caller()  # the program itself


def current_caller() -> Caller:
    """Of the request that is being answered; tasks that it started have it too."""
    return _caller.get(_NOBODY)


@contextmanager
def acting_as(caller: Caller) -> Iterator[None]:
    """For work that goes on without a request: what it asks for is this caller's."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def make_key(keys: Keys, *, name: str, scopes: Iterable[str], rate: int | None) -> tuple[Key, str]:
    """A new key, and its secret, which is nowhere else. Raises `InputError` for an unknown scope."""
    wanted = tuple(dict.fromkeys(scopes))
    if not wanted or not set(wanted) <= set(SCOPES):
        raise InputError(f"scopes are some of {', '.join(SCOPES)}, got {', '.join(wanted) or 'none'}")
    secret = _PREFIX + secrets.token_urlsafe(32)
    return keys.add(_hash(secret), name=name, scopes=wanted, rate=rate), secret


def is_loopback(host: str) -> bool:
    """Whether an address to listen on is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def check_exposure(settings: ServerSettings, keys: Keys) -> None:
    """Raises `InputError` for a server that anybody in the network could use."""
    if is_loopback(settings.host) or settings.insecure or settings.require_keys:
        return
    if not any(key.revoked is None for key in keys.list()):
        raise InputError(
            f"a server on {settings.host} can be reached from other machines, and no key protects it; make one with "
            "`qwen3vl keys create`, or allow everybody with --insecure"
        )


class KeyRing:
    """The keys as the server asks for them, remembered for a moment."""

    def __init__(self, keys: Keys, *, always: bool) -> None:
        self._keys, self._always = keys, always
        self._found: dict[str, tuple[float, Key | None]] = {}
        self._any: tuple[float, bool] = (0.0, False)

    async def needed(self) -> bool:
        """Whether a request needs a key."""
        if self._always:
            return True
        now = time.monotonic()
        if now >= self._any[0]:
            keys = await asyncio.to_thread(self._keys.list)
            # A key that was revoked counts too: revoking the last must not open the house.
            self._any = (now + _REMEMBERED_SECONDS, bool(keys))
        return self._any[1]

    async def find(self, secret: str) -> Key | None:
        """The key with that secret unless it was revoked."""
        now, hashed = time.monotonic(), _hash(secret)
        until, key = self._found.get(hashed, (0.0, None))
        if now >= until:
            key = await asyncio.to_thread(self._keys.find, hashed)
            if len(self._found) > 1000:
                self._found.clear()
            self._found[hashed] = (now + _REMEMBERED_SECONDS, key)
        return key if key is not None and key.revoked is None else None


class Guard:
    """Lets through what may pass, and says who it is. Plain ASGI, so that bodies stream through."""

    def __init__(self, app: ASGIApp, keys: KeyRing, settings: ServerSettings, rate: int | None) -> None:
        self._app, self._keys, self._rate = app, keys, rate
        own = socket.gethostname().lower()
        self._names = {"localhost", own, f"{own}.local", *(name.lower() for name in settings.allowed_hosts)}
        self._origins = {origin.lower().rstrip("/") for origin in settings.cors_origins}
        self._limiter = RateLimiter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no WebSockets here
            await send({"type": "websocket.close", "code": 1008})
            return
        try:
            caller = await self._admit(scope)
        except ApiError as error:
            status, body = describe(error)
            await JSONResponse(body, status_code=status, headers=headers_of(error))(scope, receive, send)
            return
        with acting_as(caller):
            await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> Caller:
        headers, path, method = Headers(scope=scope), str(scope["path"]), str(scope["method"])
        self._check_host(headers.get("host", ""))
        if method not in _SAFE:
            self._check_origin(headers)
        if path in _PUBLIC:
            return Caller(endpoint=path)
        secret = _secret(headers.get("authorization", ""))
        key = await self._keys.find(secret) if secret else None
        address = (scope.get("client") or ("", 0))[0]
        if key is not None:
            caller, rate, name = Caller(key.id, frozenset(key.scopes), path), key.rate, f"key {key.id}"
        elif await self._keys.needed():
            form = "Bearer" if path.startswith("/v1/") else 'Basic realm="qwen3vl", charset="UTF-8"'
            said = "this key is not known, or was revoked" if secret else "this server asks for a key"
            message = f"{said}; send one as 'Authorization: Bearer ...'"
            raise ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": form})
        else:  # clients send some word where none is asked for
            caller, rate, name = Caller(endpoint=path), self._rate, f"address {address}"
        needed = needed_scope(method, path)
        if needed is not None and not {needed, "admin"} & caller.scopes:
            raise ApiError(403, f"this key lacks the scope {needed!r}", code="insufficient_scope")
        if rate is not None and path.startswith("/v1/"):
            self._limiter.take(name, rate)
        return caller

    def _check_host(self, host: str) -> None:
        name = ""
        try:
            name = urlsplit(f"//{host}").hostname or ""
            ipaddress.ip_address(name)
        except ValueError as error:
            if name not in self._names and "*" not in self._names:
                message = f"this server does not go by the name {name!r}; server.allowed_hosts says which it has"
                raise ApiError(403, message, code="host_not_allowed") from error

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        if origin is None or origin.lower() in self._origins or "*" in self._origins:
            return
        if urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            raise ApiError(403, "pages of other origins may not use this server", code="origin_not_allowed")


def needed_scope(method: str, path: str) -> str | None:
    """The scope that a route asks for; None: any key will do."""
    if path.startswith("/v1/models"):
        return None if method in _SAFE else "models"
    if path.startswith("/v1/files"):
        return "files"
    return None if path in _NO_SCOPE else "chat"


def _hash(secret: str) -> str:
    """Plain SHA-256 will do: the secrets are 256 random bits, so there is nothing to guess."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _secret(authorization: str) -> str:
    kind, _, value = authorization.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    if kind.lower() == "basic":
        try:
            return base64.b64decode(value, validate=True).decode().partition(":")[2]
        except ValueError:
            return ""
    return ""
