"""Keys, scopes, rates and origins, as a client meets them on a real server."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import openai
import pytest

from qwen3vl import Engine
from qwen3vl.errors import InputError
from qwen3vl.server import Services, access, create_app
from qwen3vl.server.access import check_exposure, make_key, needed_scope
from qwen3vl.settings import ServerSettings, Settings
from support.server import MODELS, serving

HELLO: dict[str, Any] = {"messages": [{"role": "user", "content": "Read the text."}], "max_tokens": 1}


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Engine.load(MODELS / "moe", device="cpu", memory="1GiB") as engine:
        yield engine


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_REMEMBERED_SECONDS", 0.0)


@contextmanager
def server(engine: Engine, **settings: Any) -> Iterator[tuple[str, Services]]:
    services = Services.single(engine, Settings(server=ServerSettings(**settings)))
    with serving(create_app(services)) as url:
        yield url, services
    services.models._slot = None  # the engine is shared with the other tests
    services.close()


def key(services: Services, *scopes: str, rate: int | None = None) -> str:
    return make_key(services.store.keys, name="test", scopes=scopes, rate=rate)[1]


def get(url: str, secret: str = "", method: str = "GET", **more: Any) -> httpx.Response:
    headers = {**({"Authorization": f"Bearer {secret}"} if secret else {}), **more.pop("headers", {})}
    return httpx.request(method, url, headers=headers, timeout=60, **more)


def test_open_until_the_first_key(engine: Engine) -> None:
    with server(engine) as (url, services):
        assert get(f"{url}/v1/models").status_code == 200
        assert get(f"{url}/v1/models", "whatever").status_code == 200  # OpenAI's client always sends one
        made, secret = make_key(services.store.keys, name="first", scopes=["chat"], rate=None)
        for given in ("", "whatever", "qk-", secret + "x", secret.upper()):
            refused = get(f"{url}/v1/models", given)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            assert refused.json()["error"]["code"] == "invalid_api_key"
        assert get(f"{url}/v1/models", secret).status_code == 200
        assert get(f"{url}/health").status_code == 200
        services.store.keys.revoke(made.id)
        assert get(f"{url}/v1/models", secret).status_code == 401
        assert get(f"{url}/v1/models").status_code == 401  # revoking the last key does not open the house
        assert secret not in str(services.store.keys.list())


def test_required_from_the_beginning(engine: Engine) -> None:
    with server(engine, require_keys=True) as (url, services):
        assert get(f"{url}/v1/models").status_code == 401
        assert get(f"{url}/v1/models", key(services, "chat")).status_code == 200


def test_scopes(engine: Engine) -> None:
    with server(engine) as (url, services):
        chat, files, models, admin = (key(services, scope) for scope in ("chat", "files", "models", "admin"))
        routes = {
            ("POST", "/v1/chat/completions"): chat,
            ("POST", "/v1/completions"): chat,
            ("GET", "/v1/tasks"): chat,
            ("GET", "/v1/conversations"): chat,
            ("GET", "/"): chat,
            ("GET", "/v1/files"): files,
            ("DELETE", "/v1/files/file-1"): files,
            ("POST", "/v1/models/nobody/load"): models,
            ("POST", "/v1/models/nobody/unload"): models,
        }
        for (method, path), allowed in routes.items():
            for secret in (chat, files, models):
                status = get(url + path, secret, method).status_code
                assert (status == 403) == (secret != allowed), (method, path)
            assert get(url + path, admin, method).status_code not in (401, 403)
        for secret in (chat, files, models, admin):
            assert get(f"{url}/v1/models", secret).status_code == 200
            assert get(f"{url}/v1/usage", secret).status_code == 200
        with pytest.raises(InputError, match="chat, models, files, admin"):
            key(services, "chats")
        with pytest.raises(InputError):
            key(services)


def test_no_way_of_writing_a_path_goes_round_its_scope() -> None:
    assert needed_scope("POST", "/v1/models/a/b/load") == "models"
    assert needed_scope("GET", "/v1/models") is None
    assert needed_scope("POST", "/v1/usage/") == "chat"  # no such route; closed is the default
    assert needed_scope("GET", "/openapi.json") is None
    assert needed_scope("GET", "/gradio_api/anything") == "chat"


def test_the_official_client_meets_its_own_errors(engine: Engine) -> None:
    with server(engine) as (url, services):
        files = key(services, "files")
        wrong, right = (
            openai.OpenAI(base_url=f"{url}/v1", api_key=secret, max_retries=0) for secret in ("wrong", files)
        )
        with wrong, pytest.raises(openai.AuthenticationError):
            wrong.models.list()
        with right, pytest.raises(openai.PermissionDeniedError):
            right.chat.completions.create(model="moe", messages=HELLO["messages"])


def test_browsers_are_asked_in_their_own_way(engine: Engine) -> None:
    """HTTP's Basic form, the key as the password, whoever the user is."""
    with server(engine) as (url, services):
        secret = key(services, "chat")
        asked = get(url)
        assert asked.status_code == 401
        assert asked.headers["www-authenticate"].startswith("Basic ")
        assert httpx.get(f"{url}/v1/models", auth=("anyone", secret)).status_code == 200
        assert httpx.get(f"{url}/v1/models", auth=("anyone", "wrong")).status_code == 401
        for broken in ("Basic !!", "Basic " + base64.b64encode(b"\xff\xff").decode(), "Basic", "Digest x", "Bearer"):
            assert get(f"{url}/v1/models", headers={"Authorization": broken}).status_code == 401


def test_a_rate_is_a_keys_own(engine: Engine) -> None:
    with server(engine, rate="2/min") as (url, services):
        for _ in range(2):
            assert get(f"{url}/v1/models").status_code == 200
        refused = get(f"{url}/v1/models")
        assert (refused.status_code, refused.json()["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 1 <= int(refused.headers["retry-after"]) <= 30
        assert get(f"{url}/health").status_code == 200
        slow, free = key(services, "chat", rate=1), key(services, "chat")
        assert [get(f"{url}/v1/models", slow).status_code for _ in range(2)] == [200, 429]
        assert [get(f"{url}/v1/models", free).status_code for _ in range(4)] == [200] * 4


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1", "a b"]
)
def test_a_name_that_is_not_ours_is_refused(engine: Engine, host: str) -> None:
    """DNS rebinding: the browser believes that this server is evil.example."""
    with server(engine) as (url, _):
        for path in ("/v1/models", "/", "/health"):
            refused = get(url + path, headers={"Host": host})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "host_not_allowed")


def test_names_and_addresses_that_are_ours(engine: Engine) -> None:
    with server(engine, allowed_hosts=("Box.Example",)) as (url, _):
        for host in ("localhost", "127.0.0.1:7860", "[::1]:7860", "10.1.2.3", "box.example:443", "BOX.example"):
            assert get(f"{url}/v1/models", headers={"Host": host}).status_code == 200, host


def test_pages_of_other_origins_change_nothing(engine: Engine) -> None:
    with server(engine) as (url, _):
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "file://"):
            refused = get(f"{url}/v1/chat/completions", method="POST", json=HELLO, headers={"Origin": origin})
            assert (refused.status_code, refused.json()["error"]["code"]) == (403, "origin_not_allowed")
            assert "access-control-allow-origin" not in refused.headers
        own = get(f"{url}/v1/chat/completions", method="POST", json=HELLO, headers={"Origin": url})
        assert own.status_code == 200


def test_origins_that_are_allowed(engine: Engine) -> None:
    page = "https://page.example"
    ask = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    with server(engine, cors_origins=(page,), require_keys=True) as (url, services):
        preflight = get(f"{url}/v1/chat/completions", method="OPTIONS", headers=ask)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == page
        answer = get(f"{url}/v1/chat/completions", key(services, "chat"), "POST", json=HELLO, headers={"Origin": page})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == page
        other = get(f"{url}/v1/models", headers={"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in other.headers


def test_where_a_server_may_listen(engine: Engine) -> None:
    with server(engine) as (_, services):
        keys = services.store.keys
        for host in ("127.0.0.1", "::1", "localhost", "127.0.0.5"):
            check_exposure(ServerSettings(host=host), keys)
        for host in ("0.0.0.0", "::", "192.168.0.5", "box.example"):
            with pytest.raises(InputError, match="--insecure"):
                check_exposure(ServerSettings(host=host), keys)
            check_exposure(ServerSettings(host=host, insecure=True), keys)
        made, _ = make_key(keys, name="x", scopes=["chat"], rate=None)
        check_exposure(ServerSettings(host="0.0.0.0"), keys)
        keys.revoke(made.id)
        with pytest.raises(InputError):
            check_exposure(ServerSettings(host="0.0.0.0"), keys)
