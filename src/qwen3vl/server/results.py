"""`POST /v1/results/export`: a task's result as one of the files that can be made of it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from qwen3vl.server.bodies import errors
from qwen3vl.server.downloads import EXPORTED, result_file
from qwen3vl.tasks.results import TaskResult


class ResultExport(BaseModel):
    model_config = ConfigDict(extra="forbid")

    result: TaskResult = Field(description="as a task has answered it")
    format: str = Field("markdown", description="markdown, json, and whatever else there is something for: csv, srt")
    name: Annotated[str, Field(pattern=r"^[^/\\\x00-\x1f]{1,100}$")] = Field(
        "answer", description="what the file is called, without its ending"
    )


def results_router() -> APIRouter:
    router = APIRouter(tags=["tasks"])

    @router.post("/v1/results/export", response_class=Response, responses={200: EXPORTED, **errors()})
    def exported(body: ResultExport) -> Response:
        """A result as a file. Nothing is kept."""
        return result_file(body.result, body.format, body.name)

    return router
