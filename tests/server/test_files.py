"""Uploaded files with the official client, and answers about them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from PIL import Image

from qwen3vl import Engine
from qwen3vl.server import Services, access, create_app
from qwen3vl.server.access import make_key
from qwen3vl.settings import ServerSettings, Settings
from support import drawing
from support.media_files import pdf
from support.server import MODELS, serving


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


SHAPES = png(drawing.shapes().image)
SHAPE_NAMES = ("red square", "blue circle", "green triangle", "orange diamond")


@pytest.fixture(scope="module")
def house() -> Iterator[tuple[str, Services]]:
    engine = Engine.load(MODELS / "moe", device="cpu", memory="1GiB")
    limits = ServerSettings(max_body=2_000_000, max_file=1_000_000, max_files=1_500_000)
    with Services.single(engine, Settings(server=limits)) as services, serving(create_app(services)) as url:
        yield url, services


@pytest.fixture
def client(house: tuple[str, Services]) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{house[0]}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client
        for file in client.files.list():
            client.files.delete(file.id)


def ask(client: openai.OpenAI, *files: str, text: str = "List all shapes from left to right.") -> str:
    parts: list[Any] = [{"type": "file", "file": {"file_id": file}} for file in files]
    messages: list[Any] = [{"role": "user", "content": [*parts, {"type": "text", "text": text}]}]
    return client.chat.completions.create(model="moe", messages=messages).choices[0].message.content or ""


def test_sent_once_and_asked_about(client: openai.OpenAI) -> None:
    file = client.files.create(file=("shapes.png", SHAPES), purpose="vision")
    assert (file.filename, file.bytes, file.purpose, file.object) == ("shapes.png", len(SHAPES), "vision", "file")
    assert all(name in ask(client, file.id) for name in SHAPE_NAMES)
    assert client.files.retrieve(file.id) == file
    assert client.files.content(file.id).read() == SHAPES
    other = client.files.create(file=("two.pdf", pdf((100, 100))), purpose="user_data")
    assert [each.id for each in client.files.list()] == [other.id, file.id]
    assert [each.id for each in client.files.list(purpose="vision")] == [file.id]
    assert client.files.delete(file.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(file.id)
    with pytest.raises(openai.BadRequestError, match="no file"):
        ask(client, file.id)


def test_a_file_beside_the_question_in_the_request_itself(client: openai.OpenAI) -> None:
    import base64

    data = f"data:image/png;base64,{base64.b64encode(SHAPES).decode()}"
    messages: list[Any] = [
        {
            "role": "user",
            "content": [
                {"type": "file", "file": {"file_data": data, "filename": "shapes.png"}},
                {"type": "text", "text": "List all shapes from left to right."},
            ],
        }
    ]
    answer = client.chat.completions.create(model="moe", messages=messages).choices[0].message.content
    assert answer is not None
    assert all(name in answer for name in SHAPE_NAMES)


def test_the_same_bytes_are_kept_once(client: openai.OpenAI, house: tuple[str, Services]) -> None:
    first, second = (client.files.create(file=(name, SHAPES), purpose="vision") for name in ("a.png", "b.png"))
    assert first.id != second.id
    path = house[1].store.media.path(hashlib.sha256(SHAPES).hexdigest())
    assert path.read_bytes() == SHAPES
    client.files.delete(first.id)
    assert client.files.content(second.id).read() == SHAPES


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("page.html", b"<html><script>alert(1)</script></html>", "no known format"),
        ("picture.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no known format"),
        ("empty.png", b"", "empty"),
        ("text.txt", b"hello", "no known format"),
    ],
)
def test_only_what_a_model_can_be_shown(client: openai.OpenAI, name: str, data: bytes, words: str) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        client.files.create(file=(name, data), purpose="vision")
    assert list(client.files.list()) == []


def test_limits_of_one_file_and_of_all(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.files.create(file=("big.png", SHAPES + b"\0" * 1_000_000), purpose="vision")
    assert caught.value.status_code == 413
    client.files.create(file=("a.png", SHAPES + b"\0" * 900_000), purpose="vision")
    with pytest.raises(openai.APIStatusError) as caught:
        client.files.create(file=("b.png", SHAPES + b"\1" * 900_000), purpose="vision")
    assert (caught.value.status_code, caught.value.code) == (413, "storage_full")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..\\x.png", "a\r\nX-Evil: 1.png", 'q".png', "é 图.png", "x" * 900]
)
def test_a_file_name_is_for_the_eye_only(house: tuple[str, Services], name: str) -> None:
    url = f"{house[0]}/v1/files"
    sent = httpx.post(url, files={"file": (name, SHAPES)}, data={"purpose": "vision"})
    assert sent.status_code == 200, sent.text
    file = sent.json()
    assert "/" not in file["filename"]
    assert "\\" not in file["filename"]
    content = httpx.get(f"{url}/{file['id']}/content")
    assert content.content == SHAPES
    assert content.headers["content-type"] == "application/octet-stream"
    assert content.headers["content-disposition"].startswith("attachment;")
    assert content.headers["x-content-type-options"] == "nosniff"
    assert "x-evil" not in content.headers
    assert httpx.delete(f"{url}/{file['id']}").json()["deleted"] is True


def test_bodies_that_are_no_upload(house: tuple[str, Services]) -> None:
    url = f"{house[0]}/v1/files"
    bodies: list[dict[str, Any]] = [
        {},
        {"json": {"file": "x"}},
        {"data": {"purpose": "vision"}},
        {"files": {"file": ("a.png", SHAPES)}},
        {"files": {"file": ("a.png", SHAPES)}, "data": {"purpose": "batch"}},
        {"content": b"--x\r\nbroken", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"x", "headers": {"Content-Type": "multipart/form-data"}},
    ]
    for body in bodies:
        refused = httpx.post(url, **body)
        assert refused.status_code == 400, (body, refused.text)
        assert refused.json()["error"]["message"]


def test_files_are_their_keys_own(house: tuple[str, Services], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(access, "_REMEMBERED_SECONDS", 0.0)
    url, services = house
    mine, theirs = (
        {"Authorization": f"Bearer {make_key(services.store.keys, name=name, scopes=['files', 'chat'], rate=None)[1]}"}
        for name in ("mine", "theirs")
    )
    try:
        sent = httpx.post(
            f"{url}/v1/files", files={"file": ("a.png", SHAPES)}, data={"purpose": "vision"}, headers=mine
        ).json()
        one = f"{url}/v1/files/{sent['id']}"
        assert httpx.get(one, headers=mine).status_code == 200
        assert httpx.get(one, headers=theirs).status_code == 404
        assert httpx.get(f"{one}/content", headers=theirs).status_code == 404
        assert httpx.delete(one, headers=theirs).status_code == 404
        assert httpx.get(f"{url}/v1/files", headers=theirs).json()["data"] == []
        parts = [{"type": "file", "file": {"file_id": sent["id"]}}, {"type": "text", "text": "What?"}]
        body = {"messages": [{"role": "user", "content": parts}], "max_tokens": 1}
        assert httpx.post(f"{url}/v1/chat/completions", json=body, headers=mine).status_code == 200
        assert httpx.post(f"{url}/v1/chat/completions", json=body, headers=theirs).status_code == 400
    finally:
        with services.store._database.writing() as session:
            from sqlalchemy import delete

            from qwen3vl.store.tables import KeyRow

            session.execute(delete(KeyRow))


def test_nothing_outside_of_the_store_can_be_named(client: openai.OpenAI, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(SHAPES)
    for name in (str(tmp_path / "secret.png"), "../../secret.png", "", "file-", "%2e%2e", "'; DROP TABLE files; --"):
        with pytest.raises(openai.BadRequestError, match="no file"):
            ask(client, name)
