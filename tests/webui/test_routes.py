"""The page's own routes: what they refuse, and that nobody sees what is somebody else's."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from qwen3vl.server.access import make_key
from qwen3vl.webui import assets
from support import drawing
from support.pages import Site, page_site, png


@pytest.fixture
def client(site: Site) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=site.url) as client:
        yield client


@pytest.mark.parametrize(
    "path",
    [
        *("static/../routes.py", "static/%2e%2e%2froutes.py", "static/app.py", "panels/__init__.py"),
        *("static/nothing.js", "samples/page.png"),
    ],
)
def test_only_modules_and_styles_are_served(client: httpx.Client, path: str) -> None:
    assert client.get(f"/page/assets/{assets.version()}/{path}").status_code in (400, 404)
    assert client.get("/page/samples/%2e%2e%2froutes.py").status_code in (400, 404)


def test_modules_are_kept_until_they_change(
    client: httpx.Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page names them all, by an address that another content does not have."""
    document = client.get("/").text
    named = re.findall(r'page/assets/[^"\\]+', document)
    assert {Path(each).name for each in named} >= {"app.js", "frame.css", *assets.names("panels", ".js")}
    for address in named:
        answer = client.get(f"/{address}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["cache-control"]
    other = f"/{named[0].replace(assets.version(), '0' * 16)}"
    assert client.get(other).status_code == 404
    shutil.copytree(assets.FOLDERS["static"], tmp_path / "static")
    monkeypatch.setitem(assets.FOLDERS, "static", tmp_path / "static")
    assert assets.version.__wrapped__() == assets.version()
    with (tmp_path / "static" / "app.js").open("a") as script:
        script.write(" ")
    assert assets.version.__wrapped__() != assets.version()


def test_everything_carries_the_policy(client: httpx.Client) -> None:
    for path in ("/", "/page/setup", f"/{assets.address('static', 'app.js')}", "/page/nothing/here"):
        assert "default-src 'self'" in client.get(path).headers["content-security-policy"]


def test_files_are_described_and_refused(client: httpx.Client) -> None:
    picture = png("a.png", drawing.shapes().image)["buffer"]
    found = client.post("/page/files", params={"name": "a.png"}, content=picture).json()
    assert (found["type"], found["width"], found["height"], found["name"]) == ("image", 384, 256, "a.png")
    assert client.get(f"/v1/media/{found['media']}").content == picture
    for content in (b"", b"nothing known", picture[:200]):
        answer = client.post("/page/files", content=content)
        assert answer.status_code == 400
        assert answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/page/costs", {"files": [{"type": "image", "media": "../../etc/passwd"}]}),
        ("POST", "/page/costs", {"files": [], "max_pixels": -1}),
        ("POST", "/page/costs", {"files": [], "more": 1}),
        ("POST", "/page/answers/1/compare", {"html": "x"}),
        ("GET", "/page/answers/999999", None),
        ("GET", "/page/answers/999999/live", None),
        ("GET", "/page/conversations/nothing", None),
        ("GET", f"/page/media/{'0' * 64}/pages/1", None),
        ("GET", "/page/media/x/pages/1", None),
    ],
)
def test_what_is_wrong_is_refused_in_words(client: httpx.Client, method: str, path: str, body: object) -> None:
    answer = client.request(method, path, json=body)
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]


def test_unknown_media_cost_an_error_and_not_the_others_theirs(client: httpx.Client) -> None:
    picture = client.post("/page/files", content=png("a.png", drawing.shapes().image)["buffer"]).json()["media"]
    files = [{"type": "image", "media": "0" * 64}, {"type": "image", "media": picture}]
    missing, known = client.post("/page/costs", json={"files": files}).json()
    assert "error" in missing
    assert known["tokens"] == 96


def test_answers_belong_to_the_key_that_asked() -> None:
    with page_site() as site, httpx.Client(base_url=site.url) as client:
        store = site.services.store
        (mine, secret), (_, other) = (make_key(store.keys, name=n, scopes=["chat"], rate=None) for n in ("one", "two"))
        conversation = store.conversations.create(mine.id)
        question = store.messages.add_question(conversation.id, None, [{"type": "text", "text": "Mine?"}])
        answer = store.messages.add_answer(conversation.id, question.id, {})
        store.messages.finish(answer.id, "done", "Yours.")
        paths = [f"/page/answers/{answer.id}{rest}" for rest in ("", "/live")]
        paths.append(f"/v1/conversations/{conversation.id}/messages/{answer.id}/export?format=json")
        paths.append(f"/page/conversations/{conversation.id}")
        for key, status in ((secret, 200), (other, 404)):
            headers = {"Authorization": f"Bearer {key}"}
            assert [client.get(path, headers=headers).status_code for path in paths] == [status] * 4
        assert client.get(paths[0]).status_code == 401
