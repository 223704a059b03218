"""`/v1/files`: pictures, videos and documents that are sent once and named by id in any number of requests.

Bytes are kept once by their hash; a file belongs to the key that sent it. Only what the model can be shown is taken.
"""

from __future__ import annotations

from pathlib import Path
from typing import IO, Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Query, UploadFile
from fastapi.responses import FileResponse

from qwen3vl.errors import StoreError
from qwen3vl.media.sniff import HEAD_BYTES, FileFormat, file_format
from qwen3vl.server.access import current_caller
from qwen3vl.server.bodies import Deleted, FileBody, FileList, errors
from qwen3vl.server.contents import keep
from qwen3vl.server.downloads import file_headers
from qwen3vl.server.errors import ApiError
from qwen3vl.server.places import about
from qwen3vl.server.services import Services
from qwen3vl.store.records import StoredFile

Purpose = Literal["user_data", "vision", "assistants"]


def files_router(services: Services) -> APIRouter:
    router = APIRouter(prefix="/v1/files", tags=["files"])
    store, limits = services.store, services.settings.server

    def stored(file_id: str) -> StoredFile:
        found = store.files.get(file_id, current_caller().owner)
        if found is None:
            raise ApiError(404, f"there is no file {file_id!r}", param="file_id", code="file_not_found")
        return found

    @router.post("", response_model=FileBody, responses=errors())
    def upload(file: Annotated[UploadFile, File()], purpose: Annotated[Purpose, Form()]) -> dict[str, Any]:
        """Keeps a picture, video or PDF."""
        size = _size(file.file)
        if size > limits.max_file:
            raise ApiError(413, f"the file has {size:,} bytes; {int(limits.max_file):,} are allowed", param="file")
        with about("file"):
            format_ = file_format(file.file.read(HEAD_BYTES))
        owner = current_caller().owner
        if sum(each.size for each in store.files.list(owner)) + size > limits.max_files:
            message = f"all files together may have {int(limits.max_files):,} bytes; delete some first"
            raise ApiError(413, message, param="file", code="storage_full")
        file.file.seek(0)
        name = _name(file, format_)
        with about("file"):
            media = keep(store, file.file.read(), name=name)
        return _body(store.files.add(media.sha256, name=name, purpose=purpose, owner=owner))

    @router.get("", response_model=FileList, responses=errors())
    def list_files(purpose: Annotated[Purpose | None, Query()] = None) -> dict[str, Any]:
        """This key's files, the newest first."""
        data = [_body(each) for each in store.files.list(current_caller().owner, purpose)]
        ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
        return {"object": "list", "data": data, "has_more": False, **ends}

    @router.get("/{file_id}", response_model=FileBody, responses=errors(404))
    def file_by_id(file_id: str) -> dict[str, Any]:
        return _body(stored(file_id))

    @router.delete("/{file_id}", response_model=Deleted, responses=errors(404))
    def delete(file_id: str) -> dict[str, Any]:
        """Forgets a file. Its bytes go within the hour unless something else here refers to them."""
        found = stored(file_id)
        return {"id": found.id, "object": "file", "deleted": store.files.delete(found.id, found.owner)}

    @router.get(
        "/{file_id}/content",
        response_class=FileResponse,
        responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string"}}}}, **errors(404)},
    )
    def content(file_id: str) -> FileResponse:
        """The bytes as they came. Always as a download: what was uploaded is never shown as a page of this server."""
        found = stored(file_id)
        path = store.media.path(found.sha256)
        if not path.is_file():
            raise StoreError(f"the bytes of {found.id} are not in the store any more")
        return FileResponse(
            path,
            media_type="application/octet-stream",
            headers=file_headers(found.name),
        )

    return router


def _size(file: IO[bytes]) -> int:
    size = file.seek(0, 2)
    file.seek(0)
    return size


def _name(file: UploadFile, format_: FileFormat) -> str:
    """The last part of what the client calls it, for the eye only."""
    name = Path((file.filename or "").replace("\\", "/")).name.replace("\0", "")
    return name[:255] or f"file.{format_.name.lower()}"


def _body(file: StoredFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size,
        "created_at": int(file.created),
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
    }
