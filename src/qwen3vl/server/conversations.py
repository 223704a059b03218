"""`/v1/conversations`: what people asked and were answered, kept, with branches; and `/v1/media`, what they showed.

An answer goes on when its client hangs up. Everything belongs to the key that made it, and media to
each that has sent them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import FileResponse, JSONResponse, Response, StreamingResponse

from qwen3vl.errors import InputError, StoreError
from qwen3vl.media.describe import MEDIA_TYPES
from qwen3vl.server.access import current_caller
from qwen3vl.server.answer_results import pictures_of, read_result
from qwen3vl.server.bodies import errors
from qwen3vl.server.contents import take_in
from qwen3vl.server.downloads import BYTES, EXPORTED, file_headers, result_file
from qwen3vl.server.errors import ApiError
from qwen3vl.server.places import renamed
from qwen3vl.server.services import Services
from qwen3vl.server.talks import (
    AnswerBody,
    AskRequest,
    ConversationBody,
    ConversationChanges,
    ConversationDeleted,
    ConversationList,
    ConversationRequest,
    ConversationTree,
    TurnBody,
    conversation_object,
    message_object,
)
from qwen3vl.server.task_questions import task_again, task_question, with_task
from qwen3vl.server.wire import server_sent_event
from qwen3vl.server.writing import LiveAnswer
from qwen3vl.store.conversations import MAX_PAGE, MAX_QUERY
from qwen3vl.store.export import ExportFormat, export
from qwen3vl.store.records import Conversation, Message, Part

ConversationId = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
MessageId = Annotated[int, Path(ge=1, le=2**31 - 1)]
Sha256 = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]

_EVENTS: dict[str, Any] = {"content": {"text/event-stream": {}}}
_EXPORTS: dict[str, Any] = {"content": {kind: {} for kind in ("text/markdown", "application/json", "text/html")}}


def conversations_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["conversations"])
    store, answers = services.store, services.answers

    async def own(conversation_id: str) -> Conversation:
        found = await asyncio.to_thread(store.conversations.get, conversation_id, current_caller().owner)
        if found is None:
            raise ApiError(404, f"there is no conversation {conversation_id!r}", code="conversation_not_found")
        return found

    async def member(conversation_id: str, message_id: int) -> Message:
        conversation = await own(conversation_id)
        found = await asyncio.to_thread(store.messages.get, message_id)
        if found is None or found.conversation != conversation.id:
            raise ApiError(404, f"message {message_id} is not one of this conversation", code="message_not_found")
        return found

    @router.get("/v1/conversations", response_model=ConversationList, responses=errors())
    async def conversations(
        query: Annotated[str, Query(max_length=MAX_QUERY)] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        after: Annotated[str | None, Query(pattern="^[0-9a-f]{32}$")] = None,
    ) -> dict[str, Any]:
        """This key's conversations, the one with the newest message first. `query`: words that must all occur, each in
        the title or in some message. `after`: the last conversation of the page before."""
        owner = current_caller().owner
        page = await asyncio.to_thread(store.conversations.list, owner, query=query, limit=limit, after=after)
        return {
            "object": "list",
            "data": [conversation_object(each) for each in page.items],
            "has_more": page.has_more,
            "last_id": page.items[-1].id if page.items else None,
        }

    @router.post("/v1/conversations", response_model=ConversationBody, responses=errors(404))
    async def create(body: ConversationRequest) -> dict[str, Any]:
        """A conversation without messages. What it says of model, system prompt and options its questions need not."""
        ask = body.ask()
        made = await asyncio.to_thread(
            store.conversations.create,
            current_caller().owner,
            title=body.title,
            model=ask.model,
            task=body.task_name,
            params=body.params(),
        )
        return conversation_object(made)

    @router.get("/v1/conversations/{conversation_id}", response_model=ConversationTree, responses=errors(404))
    async def conversation_by_id(conversation_id: ConversationId) -> dict[str, Any]:
        """With all its messages, a parent before its children. `active` is where the shown branch ends."""
        conversation = await own(conversation_id)
        messages = await asyncio.to_thread(store.messages.tree, conversation.id)
        return {**conversation_object(conversation), "messages": [message_object(message) for message in messages]}

    @router.patch("/v1/conversations/{conversation_id}", response_model=ConversationBody, responses=errors(404))
    async def change(conversation_id: ConversationId, body: ConversationChanges) -> dict[str, Any]:
        """Changes what is given. `active`: shows the branch that this message is on, down to its newest one."""
        conversation = await own(conversation_id)
        changes = body.changes(conversation)
        if body.active is not None:
            await asyncio.to_thread(store.conversations.activate, conversation.id, body.active)
        changed = await asyncio.to_thread(lambda: store.conversations.update(conversation.id, **changes))
        return conversation_object(changed or await own(conversation_id))

    @router.delete("/v1/conversations/{conversation_id}", response_model=ConversationDeleted, responses=errors(404))
    async def delete(conversation_id: ConversationId) -> dict[str, Any]:
        """Ends its answers and deletes it. Media that nothing else refers to go within two hours."""
        conversation = await own(conversation_id)
        deleted = await answers.delete(conversation.id)
        return {"id": conversation.id, "object": "conversation.deleted", "deleted": deleted}

    @router.post(
        "/v1/conversations/{conversation_id}/messages",
        response_model=None,
        responses={200: {"model": TurnBody, **_EVENTS}, **errors(404, 504)},
    )
    async def ask(conversation_id: ConversationId, body: AskRequest) -> Response:
        """Asks and answers. With `content`, a question under the answer `parent` (left out: the end of the shown
        branch; null: a new beginning). Without, one more answer to the question `parent`, of its own task.

        `task` and `params` make it a question of `GET /v1/tasks` about the media in `content`; the answer then has a
        typed `result`.

        With `stream`, events: `question`, `answer`, any number of `reading` (scanned pages that are
        read first) and `delta`, `done`, and at last `[DONE]`. The answer
        goes on when the client hangs up; `GET .../messages/{id}?stream=true` takes it up again.
        """
        conversation = await own(conversation_id)
        wanted = body.ask(conversation)
        task = body.task or conversation.task
        parent = body.parent if "parent" in body.model_fields_set else conversation.active
        if body.content is not None:
            parts = await take_in(body.content, services)
            places, of_task = _places(body.content, parts, of_task=task != "chat"), None
            if task != "chat":
                try:
                    of_task = await task_question(task, body.params, body.language, parts, services)
                except InputError as error:
                    raise renamed(error, AskRequest.model_fields, {"media": "content", "input": "content"}) from error
                parts = of_task.content
            elif body.params:
                raise ApiError(400, "a question without a task has no params", param="params")
            request = None if of_task is None else of_task.request
            wanted = replace(with_task(wanted, of_task), places=places)
            question, live = await answers.ask(conversation, parent, parts, wanted, request)
        else:
            if parent is None:
                raise ApiError(400, "without content, parent must name the question to answer", param="parent")
            question = await member(conversation.id, parent)
            live = await answers.answer(question, with_task(wanted, await task_again(question, services)))
        await live.begun()
        if body.stream:
            return _events(live, {"type": "question", "message": message_object(question)})
        return JSONResponse({"question": message_object(question), "answer": message_object(await live.ended())})

    @router.get(
        "/v1/conversations/{conversation_id}/messages/{message_id}",
        response_model=None,
        responses={200: {"model": AnswerBody, **_EVENTS}, **errors(404)},
    )
    async def message_by_id(
        conversation_id: ConversationId, message_id: MessageId, stream: Annotated[bool, Query()] = False
    ) -> Response:
        """A message as it is now. With `stream`, an answer from what there is of it to its end, as events."""
        message = await member(conversation_id, message_id)
        # Read anew where nobody writes it: it may have ended in the meantime, and would then never change.
        live = answers.live(message.id) or LiveAnswer(await member(conversation_id, message_id))
        return _events(live) if stream else JSONResponse(message_object(live.message))

    @router.post(
        "/v1/conversations/{conversation_id}/messages/{message_id}/stop",
        response_model=AnswerBody,
        responses=errors(404),
    )
    async def stop(conversation_id: ConversationId, message_id: MessageId) -> dict[str, Any]:
        """Ends an answer, which keeps what it has; one that has ended stays as it is."""
        message = await member(conversation_id, message_id)
        await answers.stop(message.id)
        return message_object(await member(conversation_id, message_id))

    @router.get(
        "/v1/conversations/{conversation_id}/messages/{message_id}/export",
        response_class=Response,
        responses={200: EXPORTED, **errors(404)},
    )
    async def result_exported(
        conversation_id: ConversationId, message_id: MessageId, format: Annotated[str, Query()] = "markdown"
    ) -> Response:
        """An answer's result as a file: `markdown`, `json`, and whatever else there is something for."""
        message = await member(conversation_id, message_id)
        if message.role != "assistant":
            raise ApiError(404, f"message {message_id} is a question; results are of answers", code="message_not_found")

        def made() -> Response:
            return result_file(read_result(message, pictures_of(store, message)), format, f"answer-{message.id}")

        return await asyncio.to_thread(made)

    @router.get(
        "/v1/conversations/{conversation_id}/export",
        response_class=Response,
        responses={200: _EXPORTS, **errors(404)},
    )
    async def exported(
        conversation_id: ConversationId, format: Annotated[ExportFormat, Query()] = "markdown"
    ) -> Response:
        """The conversation as a file: `markdown`, `json` (all branches), or `html` (one page, its pictures inside)."""
        found = await own(conversation_id)
        file = await asyncio.to_thread(lambda: export(store, found, format, as_json=message_object))
        return Response(file.data, media_type=file.media_type, headers=file_headers(file.name))

    @router.get("/v1/media/{sha256}", response_class=FileResponse, responses={200: BYTES, **errors(404)})
    async def media(sha256: Sha256) -> FileResponse:
        """The bytes of a picture, video or PDF, in ranges too. Anything else comes as a download of unknown type."""
        found = await asyncio.to_thread(store.media.get, sha256, current_caller().owner)
        if found is None:
            raise ApiError(404, f"there is no media {sha256!r}", param="sha256", code="media_not_found")
        path = store.media.path(sha256)
        if not path.is_file():
            raise StoreError(f"the bytes of {sha256} are not in the store any more")
        shown = found.media_type in MEDIA_TYPES
        headers = file_headers(found.name, "inline" if shown else "attachment")
        headers["Cache-Control"] = "private, max-age=31536000, immutable"  # other bytes have another name
        return FileResponse(path, media_type=found.media_type if shown else "application/octet-stream", headers=headers)

    return router


def _events(live: LiveAnswer, *before: dict[str, Any]) -> StreamingResponse:
    """What there is at once, then what comes. Whoever hangs up only stops to watch."""

    async def events() -> AsyncIterator[bytes]:
        for event in before:
            yield server_sent_event(event)
        shown = replace(live.message, text="", thinking="")
        yield server_sent_event({"type": "answer", "message": message_object(shown)})
        read = None
        async for message in live.watch():
            if live.pages_read is not None and live.pages_read != read:
                read = live.pages_read
                yield server_sent_event({"type": "reading", "pages": read[0], "of": read[1]})
            text, thinking = message.text[len(shown.text) :], message.thinking[len(shown.thinking) :]
            if text or thinking:
                yield server_sent_event({"type": "delta", "text": text, "thinking": thinking})
            shown = message
        yield server_sent_event({"type": "done", "message": message_object(shown)})
        yield server_sent_event("[DONE]")

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


def _places(content: str | list[dict[str, Any]], parts: list[Part], *, of_task: bool) -> dict[str, str]:
    """Of a question as it is asked, in `content`; a task puts the media first and its own words after them."""
    if isinstance(content, str):
        return {"content[0]": "params" if of_task else "content"}
    kept = [i for i, part in enumerate(parts) if "media" in part or not of_task]
    places = {
        f"content[{k}].{parts[i]['type']}": f"content[{i}].{'media' if 'media' in content[i] else content[i]['type']}"
        for k, i in enumerate(kept)
    }
    return {**places, f"content[{len(kept)}]": "params"} if of_task else places
