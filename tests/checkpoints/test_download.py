"""Downloads from a stand-in hub that speaks the protocols of Hugging Face and ModelScope, and fails on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, hf_hub_download

from qwen3vl.checkpoints import fetch
from qwen3vl.checkpoints.download import download
from qwen3vl.checkpoints.hubs import HubUnreachableError, Source
from qwen3vl.checkpoints.locate import locate
from qwen3vl.errors import DownloadError
from support.hub import COMMIT, REPO, Hub, serve

SOURCES: tuple[Source, ...] = ("huggingface", "modelscope")
SHARD = "model-00001-of-00001.safetensors"
NEEDED = {
    "config.json": b'{"model_type": "qwen3_vl"}',
    "generation_config.json": b"{}",
    "tokenizer.json": b"t" * 2_000,
    "chat_template.jinja": b"{{ messages }}",
    "model.safetensors.index.json": b"{}",
    SHARD: bytes(range(256)) * 4_000,
}
NOT_NEEDED = {
    "README.md": b"words",
    "model.bin": b"pickle",
    "onnx/model.safetensors": b"another format",
    "model-int4/model-00001-of-00002.safetensors": b"another precision",
}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with serve(NEEDED | NOT_NEEDED) as hub:
        # What HF_ENDPOINT sets, which the client reads once, when it is imported.
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, hub.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "other"))
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", hub.url)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(fetch, "_PAUSES_SECONDS", (0.0, 0.0, 0.0, 0.0))
        yield hub


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".download")}


@pytest.mark.parametrize("source", SOURCES)
def test_brings_what_a_run_needs_and_nothing_else(hub: Hub, source: Source) -> None:
    seen: list[tuple[int, int]] = []
    folder = download(REPO, source=source, progress=lambda done, total: seen.append((done, total)))
    assert contents(folder) == NEEDED
    total = sum(len(content) for content in NEEDED.values())
    assert seen[-1] == (total, total)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


@pytest.mark.parametrize("source", SOURCES)
def test_a_second_call_fetches_nothing(hub: Hub, source: Source) -> None:
    first = download(REPO, source=source)
    hub.requests.clear()
    assert download(REPO, source=source) == first
    assert hub.requests == []


@pytest.mark.parametrize("source", SOURCES)
def test_a_cut_connection_is_resumed(hub: Hub, source: Source) -> None:
    hub.cut_after[SHARD] = [300_000]
    assert contents(download(REPO, source=source)) == NEEDED
    assert hub.sent(SHARD) == [None, "bytes=300000-"]


def test_a_broken_download_is_kept_and_the_next_call_goes_on(hub: Hub) -> None:
    hub.cut_after[SHARD] = [200_000, 0, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match=r"broke off after 200000 of 1024000 bytes"):
        download(REPO)
    hub.requests.clear()
    seen: list[int] = []
    assert contents(download(REPO, progress=lambda done, _: seen.append(done))) == NEEDED
    assert hub.requests == [(SHARD, "bytes=200000-")]
    assert seen[0] > 200_000


def test_a_server_without_ranges_starts_again(hub: Hub) -> None:
    hub.cut_after[SHARD] = [200_000]
    hub.ignores_ranges = True
    assert contents(download(REPO)) == NEEDED


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ["config.json", SHARD])
def test_a_wrong_byte_is_an_error_and_the_file_goes(hub: Hub, source: Source, name: str, tmp_path: Path) -> None:
    hub.corrupt.add(name)
    with pytest.raises(DownloadError, match=f"{name} arrived damaged"):
        download(REPO, source=source)
    assert not [path for path in (tmp_path / "cache").rglob(f"{name}*")]
    assert contents(download(REPO, source=source)) == NEEDED


@pytest.mark.parametrize("shown", [len(NEEDED[SHARD]) - 10, len(NEEDED[SHARD]) + 10])
def test_a_file_of_another_size_than_published_is_an_error(hub: Hub, shown: int) -> None:
    hub.shown_size[SHARD] = shown
    with pytest.raises(DownloadError, match="arrived damaged"):
        download(REPO)


def test_a_new_version_replaces_the_files_that_changed(hub: Hub) -> None:
    download(REPO)
    hub.files["config.json"] = b'{"model_type": "qwen3_vl", "changed": true}'
    del hub.files["chat_template.jinja"]
    hub.requests.clear()
    files = contents(download(REPO))
    assert files["config.json"] == hub.files["config.json"]
    assert "chat_template.jinja" not in files
    assert hub.requests == [("config.json", None)]


@pytest.mark.parametrize("source", SOURCES)
def test_what_is_here_needs_no_network(hub: Hub, source: Source, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = download(REPO, source=source)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    assert download(REPO, source=source) == folder
    (folder / SHARD).unlink()
    with pytest.raises(HubUnreachableError, match="cannot be reached"):
        download(REPO, source=source)


def test_half_a_model_does_not_count_as_here(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.cut_after[SHARD] = [0, 0, 0, 0, 0]
    with pytest.raises(DownloadError, match="broke off"):
        download(REPO)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(HubUnreachableError):
        download(REPO)


@pytest.mark.parametrize(
    ("repo", "options", "message"),
    [
        ("Qwen/No-Such-Model", {}, "Hugging Face has no model Qwen/No-Such-Model"),
        (
            "Qwen/No-Such-Model",
            {"source": "modelscope"},
            "ModelScope has no model Qwen/No-Such-Model .* record not found",
        ),
        (REPO, {"revision": "missing"}, "has no revision 'missing'"),
        (REPO, {"revision": "missing", "source": "modelscope"}, "no revision missing"),
        (REPO, {"source": "elsewhere"}, "'huggingface' or 'modelscope', not from 'elsewhere'"),
        ("just-a-name", {}, "is not a hub id"),
        ("../..", {}, "is not a hub id"),
    ],
)
def test_says_what_is_wrong(hub: Hub, repo: str, options: dict[str, str], message: str) -> None:
    with pytest.raises(DownloadError, match=message):
        download(repo, **options)  # type: ignore[arg-type]


def test_a_gated_model_says_how_to_get_in(hub: Hub) -> None:
    hub.gated = True
    with pytest.raises(DownloadError, match=r"gated: ask for access at .*, then log in with `hf auth login`"):
        download(REPO)


def test_a_model_without_safetensors_is_refused_before_anything_is_fetched(hub: Hub) -> None:
    del hub.files[SHARD]
    with pytest.raises(DownloadError, match=r"has no config\.json with safetensors files"):
        download(REPO)
    assert hub.requests == []


def test_a_full_disk_is_seen_before_anything_is_fetched(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1_000))
    with pytest.raises(DownloadError, match=r"needs 0\.0 GB more"):
        download(REPO)
    assert hub.requests == []


def test_uses_what_the_hubs_own_client_has_downloaded(hub: Hub) -> None:
    """Also shows that the stand-in's addresses and headers are those that this client understands."""
    theirs = {Path(hf_hub_download(REPO, name, revision=COMMIT)).parent for name in NEEDED}
    hub.requests.clear()
    assert {download(REPO)} == theirs
    assert hub.requests == []
    (theirs.pop() / SHARD).unlink()
    assert contents(download(REPO)) == NEEDED


def test_locate_downloads_a_hub_id(hub: Hub) -> None:
    assert contents(locate(REPO, source="modelscope")) == NEEDED
