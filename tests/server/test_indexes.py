"""`/v1/indexes` of a real server: videos described, searched, asked about; and what pauses, errors and ends leave."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from qwen3vl import Engine
from qwen3vl.media.types import Video
from qwen3vl.server import Services, create_app
from qwen3vl.server.access import make_key
from qwen3vl.server.tasks import TaskAnswer
from qwen3vl.settings import Settings
from qwen3vl.store import Store
from support.films import film
from support.media_files import encode, noise
from support.processes import server_afterwards, server_process
from support.scripted import Script
from support.server import MODELS, serving, wait_until

FILM = film([(0, 5), (1, 4), (2, 6), (3, 5)])
STARTS = [0, 5, 9, 15]
COLOURS = ["red", "green", "blue", "yellow"]
PART = {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{base64.b64encode(FILM).decode()}"}}
BODY = {"video": PART, "segment_seconds": 8, "fps": 1}


class Describer(Script):
    """Says which colour the frames that it is shown have."""

    def __init__(self) -> None:
        super().__init__([])
        self.fail_at: int | None = None
        self.looks = 0

    def astream(self, messages: Any, **options: Any) -> Any:
        content = messages[-1]["content"]
        clips = [part["video"] for part in content if part["type"] == "video"]
        self.asked.append({"messages": messages, **options})
        if len(clips) == 1 and "Describe" in content[-1]["text"]:
            if self.fail_at == self.looks:
                raise RuntimeError("the lights went out")
            self.looks += 1
            event = {"start": "00:01.00", "end": "00:99.00", "description": f"the {colour(clips[0])} card is shown"}
            self.pieces = [json.dumps({"summary": f"A {colour(clips[0])} scene.", "events": [event]})]
        elif clips:
            moment = {"clip": len(clips), "start": "00:02.00", "end": "00:03.00", "description": "it"}
            self.pieces = [json.dumps({"answer": colour(clips[-1]), "moments": [moment]})]
        else:
            numbers = [int(n) for n in re.findall(r"^(\d+)\. \[", content[-1]["text"], re.MULTILINE)]
            self.pieces = [
                json.dumps(
                    [
                        {"first": numbers[0], "title": "Warm", "summary": "w"},
                        {"first": 3, "title": "Cold", "summary": "c"},
                    ]
                )
            ]
        return super().astream(messages, **options)


def colour(video: Video) -> str:
    red, green, blue = (int(value) for value in video.frames[0][2, 2])
    return {(1, 0, 0): "red", (0, 1, 0): "green", (0, 0, 1): "blue", (1, 1, 0): "yellow"}[
        (red > 128, green > 128, blue > 128)  # type: ignore[index]
    ]


@pytest.fixture
def describer(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Describer:
    describer = Describer()
    describer.play(engine, monkeypatch)
    return describer


@pytest.fixture
def api(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"{url}/v1", timeout=60) as client:
        yield client
        for index in client.get("/indexes").json()["data"]:
            assert client.delete(f"/indexes/{index['id']}").status_code == 200


def begun(api: httpx.Client, **changes: Any) -> str:
    answer = api.post("/indexes", json={**BODY, **changes})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def at_end(api: httpx.Client, index: str, state: str = "done") -> dict[str, Any]:
    wait_until(lambda: api.get(f"/indexes/{index}").json()["state"] == state, seconds=60)
    whole: dict[str, Any] = api.get(f"/indexes/{index}").json()
    return whole


def test_each_scene_is_described_at_its_time(api: httpx.Client, describer: Describer) -> None:
    whole = at_end(api, begun(api))
    assert [segment["start"] for segment in whole["segments"]] == pytest.approx(STARTS)
    assert [segment["summary"] for segment in whole["segments"]] == [f"A {name} scene." for name in COLOURS]
    events = [event for segment in whole["segments"] for event in segment["events"]]
    assert [event["start"] for event in events] == pytest.approx([start + 1 for start in STARTS])
    assert [event["end"] for event in events] == pytest.approx([5, 9, 15, 20])  # inside their segments
    assert whole["progress"] == {"described": 4, "segments": 4, "searched": None}
    assert [(c["title"], c["start"], c["end"]) for c in whole["chapters"]] == [("Warm", 0, 9), ("Cold", 9, 20)]
    for asked in describer.asked[:4]:
        assert asked["grammar"] is not None
        clip = asked["messages"][0]["content"][0]["video"]
        assert clip.frame_indices[0] == 0, "times of a clip are its own"


def test_search_and_questions(api: httpx.Client, describer: Describer) -> None:
    index = begun(api)
    at_end(api, index)
    [hit] = api.get(f"/indexes/{index}/search", params={"query": "When is BLUE shown?", "limit": 1}).json()["data"]
    assert (hit["segment"], hit["start"], hit["text"]) == (2, pytest.approx(10), "the blue card is shown")
    body = {"question": "Where is yellow?", "clips": 1}
    answer = TaskAnswer.model_validate(api.post(f"/indexes/{index}/ask", json=body).json())
    assert answer.result.text == "yellow"
    assert [(event.start, event.end) for event in answer.result.events] == [(pytest.approx(17), pytest.approx(18))]
    shown = describer.asked[-1]["messages"][0]["content"]
    assert shown[0]["text"] == "Clip 1, 00:15 to 00:20 of the video: A yellow scene."
    streamed = api.post(f"/indexes/{index}/ask", json={**body, "stream": True}).text
    result = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: {")][-1]
    assert result["result"]["events"][0]["start"] == pytest.approx(17)


def test_exports(api: httpx.Client, describer: Describer) -> None:
    index = begun(api, video={"type": "file", "file": {"file_data": PART["video_url"]["url"], "filename": "ä b.mp4"}})  # type: ignore[index]
    at_end(api, index)
    srt = api.get(f"/indexes/{index}/export", params={"format": "srt"})
    assert "00:00:06,000 --> 00:00:09,000\nthe green card is shown" in srt.text
    assert srt.headers["content-disposition"] == "attachment; filename*=utf-8''%C3%A4%20b.srt"
    data = json.loads(api.get(f"/indexes/{index}/export", params={"format": "json"}).text)["data"]
    assert [segment["summary"] for segment in data["segments"]] == [f"A {name} scene." for name in COLOURS]
    assert "## 00:09 Cold" in api.get(f"/indexes/{index}/export").text


def test_a_pause_and_then_the_rest(api: httpx.Client, describer: Describer) -> None:
    describer.seconds = 0.3
    index = begun(api)
    wait_until(lambda: api.get(f"/indexes/{index}").json()["progress"]["described"] == 2, seconds=30)
    paused = api.post(f"/indexes/{index}/pause").json()
    assert (paused["state"], paused["progress"]["segments"]) == ("paused", 4)
    described, looks = paused["progress"]["described"], describer.looks
    assert api.get(f"/indexes/{index}/search", params={"query": "red"}).json()["data"]
    assert api.post(f"/indexes/{index}/pause").status_code == 409
    time.sleep(1)
    now = api.get(f"/indexes/{index}").json()
    assert (now["state"], now["progress"]["described"], describer.looks) == ("paused", described, looks)
    describer.seconds = 0
    assert api.post(f"/indexes/{index}/resume").json()["state"] == "working"
    at_end(api, index)
    assert describer.looks == looks + 4 - described, "what was described is not looked at again"
    assert api.post(f"/indexes/{index}/resume").status_code == 409


def test_deleting_ends_the_work(api: httpx.Client, describer: Describer, caplog: pytest.LogCaptureFixture) -> None:
    describer.seconds = 0.3
    index = begun(api)
    wait_until(lambda: api.get(f"/indexes/{index}").json()["progress"]["described"] == 1, seconds=30)
    assert api.delete(f"/indexes/{index}").json() == {"id": index, "object": "video_index", "deleted": True}
    looks = describer.looks
    time.sleep(1)
    assert (api.get(f"/indexes/{index}").status_code, api.get("/indexes").json()["data"]) == (404, [])
    assert describer.looks == looks
    assert [record for record in caplog.records if record.name.startswith("qwen3vl")] == []


def test_a_failure_says_so_and_loses_nothing(api: httpx.Client, describer: Describer) -> None:
    describer.fail_at = 2
    index = begun(api)
    failed = at_end(api, index, "failed")
    assert failed["error"]
    assert "lights" not in failed["error"]
    assert failed["progress"]["described"] == 2
    describer.fail_at = None
    assert begun(api) == index, "the same video and settings"
    assert at_end(api, index)["error"] == ""
    assert describer.looks == 4


def test_what_the_model_cannot_do_is_said_in_the_index(api: httpx.Client) -> None:
    assert "turbo" in at_end(api, begun(api, mode="turbo"), "failed")["error"]


def test_a_server_that_ended_goes_on(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    describer = Describer()
    describer.play(engine, monkeypatch)
    describer.seconds = 0.3
    url = f"sqlite:///{tmp_path}/store.db"
    index = ""
    for life in range(2):
        store = Store.open(url, tmp_path / "media")
        services = Services(Settings(), store)
        services.models.adopt(engine)
        with serving(create_app(services)) as base, httpx.Client(base_url=f"{base}/v1", timeout=60) as api:
            if life == 0:
                index = begun(api)
                wait_until(
                    lambda api=api, index=index: api.get(f"/indexes/{index}").json()["progress"]["described"] == 2
                )
                looks = describer.looks
            else:
                at_end(api, index)
                assert describer.looks <= looks + 3
        store.close()
    assert looks in (2, 3)


def test_what_was_described_outlives_a_killed_process(tmp_path: Path) -> None:
    with server_process(MODELS / "moe", tmp_path / "data") as (process, api):
        index = begun(api, max_tokens=80, max_pixels=4096)
        wait_until(lambda: api.get(f"/indexes/{index}").json()["progress"]["described"] >= 1, seconds=60)
        shown = api.get(f"/indexes/{index}").json()["segments"]
        process.kill()
        process.wait(timeout=30)
    with Store.open(f"sqlite:///{tmp_path}/data/store.db", tmp_path / "data" / "media") as store:
        [left] = store.indexes.working()
        kept = [segment.summary for segment in store.indexes.segments(left.id)]
    assert None in kept, "it was killed too late to show anything"
    assert all(summary in (None, now) for summary, now in zip([s["summary"] for s in shown], kept, strict=True))
    with server_afterwards(MODELS / "moe", tmp_path / "data") as api:
        whole = at_end(api, index)
    now = [segment["summary"] for segment in whole["segments"]]
    assert all(summary in (None, after) for summary, after in zip(kept, now, strict=True))
    assert None not in now


def test_an_uploaded_video_is_not_read_again(
    api: httpx.Client, describer: Describer, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploaded = api.post("/files", files={"file": ("talk.mp4", FILM)}, data={"purpose": "user_data"}).json()
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("read") if len(path.name) == 64 else read(path))
    index = begun(api, video={"type": "file", "file": {"file_id": uploaded["id"]}})
    assert at_end(api, index)["name"] == "talk.mp4"
    unknown = api.post("/indexes", json={"video": {"type": "file", "file": {"file_id": "file-0"}}})
    assert (unknown.status_code, unknown.json()["error"]["message"]) == (
        400,
        "video.file.file_id: there is no file 'file-0'",
    )


def test_the_real_model_makes_an_index(api: httpx.Client) -> None:
    """What it says of these colours means nothing, but the grammar makes it say something that can be kept."""
    index = begun(api, max_tokens=60, max_pixels=4096)
    whole = at_end(api, index)
    assert whole["progress"]["described"] == 4
    assert whole["chapters"][0]["start"] == 0
    assert whole["chapters"][-1]["end"] == pytest.approx(20)
    answer = api.post(f"/indexes/{index}/ask", json={"question": "What?", "clips": 2, "max_tokens": 40})
    assert answer.status_code == 200, answer.text
    usage = api.get("/usage", params={"by": "task"}).json()["data"]
    assert any(entry["group"] == "video_index" for entry in usage), usage


def test_a_browser_can_seek_in_the_video(api: httpx.Client, describer: Describer) -> None:
    media = api.get(f"/indexes/{begun(api)}").json()["media"]
    whole = api.get(f"/media/{media}")
    assert (whole.status_code, whole.headers["accept-ranges"], whole.content) == (200, "bytes", FILM)
    piece = api.get(f"/media/{media}", headers={"Range": "bytes=100-199"})
    assert (piece.status_code, piece.content) == (206, FILM[100:200])
    assert piece.headers["content-range"] == f"bytes 100-199/{len(FILM)}"
    assert api.get(f"/media/{media}", headers={"Range": f"bytes={len(FILM)}-"}).status_code == 416


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        (
            {
                "video": {
                    "type": "image_url",
                    "image_url": {
                        "url": "data:image/png;base64," + base64.b64encode(encode(noise(64, 64), "PNG")).decode()
                    },
                }
            },
            "must be a video",
        ),
        ({"video": {"type": "video", "media": "0" * 64}}, "no media"),
        ({"video": {"type": "text", "text": "x"}}, "must be a video"),
        ({"video": {}}, "video"),
        ({"segment_seconds": 1}, "segment_seconds"),
        ({"fbs": 1}, "fbs"),
    ],
)
def test_refusals(api: httpx.Client, changes: dict[str, Any], word: str) -> None:
    answer = api.post("/indexes", json={**BODY, **changes})
    assert answer.status_code == 400, answer.text
    assert word in answer.json()["error"]["message"]


def test_an_index_belongs_to_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine.load(MODELS / "moe", device="cpu", memory="1GiB")
    Describer().play(engine, monkeypatch)
    with Services.single(engine) as services:
        secrets = [make_key(services.store.keys, name=name, scopes=["chat"], rate=None)[1] for name in "ab"]
        with serving(create_app(services)) as base:
            mine, theirs = (
                httpx.Client(base_url=f"{base}/v1", headers={"Authorization": f"Bearer {secret}"}, timeout=60)
                for secret in secrets
            )
            with mine, theirs:
                index = begun(mine)
                at_end(mine, index)
                for path in ("", "/search?query=red", "/export"):
                    assert theirs.get(f"/indexes/{index}{path}").status_code == 404
                assert theirs.delete(f"/indexes/{index}").status_code == 404
                assert theirs.get("/indexes").json()["data"] == []
                assert begun(theirs) != index
