"""What Hugging Face and ModelScope say about a model: which files it has, their sizes and hashes, and where they lie.

Knows the two hubs' interfaces, and turns their failures into sentences. Downloads no model file.
"""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast, get_args

import httpx
from huggingface_hub import HfApi, constants, get_token, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from qwen3vl import __version__
from qwen3vl.errors import DownloadError

Source = Literal["huggingface", "modelscope"]

# Read when it is used: a person behind a mirror sets it, as HF_ENDPOINT for the other hub.
MODELSCOPE_ENDPOINT_VARIABLE, MODELSCOPE_ENDPOINT = "MODELSCOPE_ENDPOINT", "https://www.modelscope.cn"
_USER_AGENT = {"user-agent": f"qwen3vl/{__version__}"}
_TIMEOUT_SECONDS = 30.0
_NEEDED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.*",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "model-*-of-*.safetensors",
)


def known_source(name: str) -> Source:
    """Raises `DownloadError` for a hub that is not known."""
    for source in get_args(Source):
        if name == source:
            return cast(Source, source)
    raise DownloadError(f"models come from 'huggingface' or 'modelscope', not from {name!r}")


class HubUnreachableError(DownloadError):
    """The hub did not answer: no network, or offline mode."""


@dataclass(frozen=True)
class RemoteFile:
    """A file of a model. `digest` is "sha256:..." of the content, or "git:..." of it as a git blob."""

    name: str
    size: int
    digest: str
    url: str


@dataclass(frozen=True)
class Listing:
    """The files of a model that a run needs, and what fetching them takes."""

    files: list[RemoteFile]
    headers: Mapping[str, str] = field(repr=False)  # may hold a login
    commit: str | None = None  # of Hugging Face


def list_files(repo_id: str, source: Source, revision: str | None) -> Listing:
    """Asks the hub for the files of `repo_id`; without a revision, those of its main branch.

    Raises `HubUnreachableError` when the hub does not answer, `DownloadError` when it answers that there is no such
    model or revision, that the model is closed to this user, or when the model is no safetensors checkpoint.
    """
    list_all = _huggingface if source == "huggingface" else _modelscope
    try:
        listing = list_all(repo_id, revision)
    except (httpx.TransportError, OfflineModeIsEnabled) as error:
        raise HubUnreachableError(f"{source} cannot be reached for {repo_id}: {error}") from error
    names = {file.name for file in listing.files}
    if "config.json" not in names or not any(name.endswith(".safetensors") for name in names):
        raise DownloadError(f"{repo_id} on {source} has no config.json with safetensors files, so it cannot be run")
    return listing


def _huggingface(repo_id: str, revision: str | None) -> Listing:
    endpoint = constants.ENDPOINT
    try:
        info = HfApi(endpoint, user_agent=_USER_AGENT["user-agent"]).model_info(
            repo_id, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
    except GatedRepoError as error:
        page = f"{endpoint}/{repo_id}"
        raise DownloadError(
            f"{repo_id} is gated: ask for access at {page}, then log in with `hf auth login`"
        ) from error
    except RepositoryNotFoundError as error:
        raise DownloadError(
            f"Hugging Face has no model {repo_id}, or it is private and you are not logged in"
        ) from error
    except RevisionNotFoundError as error:
        raise DownloadError(f"{repo_id} has no revision {revision!r} on Hugging Face") from error
    except (HfHubHTTPError, HFValidationError) as error:
        raise DownloadError(f"Hugging Face does not list {repo_id}: {error}") from error
    files = []
    for entry in info.siblings or []:
        if not _is_needed(entry.rfilename):
            continue
        digest = f"sha256:{entry.lfs.sha256}" if entry.lfs else f"git:{entry.blob_id}"
        if entry.size is None or digest == "git:None":
            raise DownloadError(f"Hugging Face publishes no size and hash of {entry.rfilename} in {repo_id}")
        # The commit, not the branch: a push in the middle of a download must not mix two versions.
        url = hf_hub_url(repo_id, entry.rfilename, revision=info.sha, endpoint=endpoint)
        files.append(RemoteFile(entry.rfilename, entry.size, digest, url))
    token = get_token()
    login = {"authorization": f"Bearer {token}"} if token else {}
    return Listing(files, _USER_AGENT | login, info.sha)


def _modelscope(repo_id: str, revision: str | None) -> Listing:
    endpoint = os.environ.get(MODELSCOPE_ENDPOINT_VARIABLE, MODELSCOPE_ENDPOINT).rstrip("/")
    base = f"{endpoint}/api/v1/models/{repo_id}/repo"
    branch = revision or "master"
    query = {"Revision": branch, "Recursive": "false"}
    answer = httpx.get(
        f"{base}/files", params=query, headers=_USER_AGENT, timeout=_TIMEOUT_SECONDS, follow_redirects=True
    )
    try:
        body = answer.json()
        if answer.status_code != httpx.codes.OK or body["Code"] != httpx.codes.OK:
            reason = body.get("Message") or f"HTTP {answer.status_code}"
            raise DownloadError(f"ModelScope has no model {repo_id} at revision {branch!r}: {reason}")
        blobs = [entry for entry in body["Data"]["Files"] if entry["Type"] == "blob" and _is_needed(entry["Path"])]
        files = [
            RemoteFile(
                entry["Path"],
                int(entry["Size"]),
                f"sha256:{entry['Sha256']}",
                # The file's own revision, for the same reason as above.
                str(httpx.URL(base, params={"Revision": entry["Revision"], "FilePath": entry["Path"]})),
            )
            for entry in blobs
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DownloadError(f"ModelScope does not list {repo_id} (HTTP {answer.status_code}): {error!r}") from error
    return Listing(files, _USER_AGENT)


def _is_needed(name: str) -> bool:
    """Files of sub-folders are other formats of the same model."""
    return "/" not in name and any(fnmatch.fnmatchcase(name, pattern) for pattern in _NEEDED)
