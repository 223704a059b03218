"""A conversation: the question as it stands, the answer as it comes, with whatever it locates or would do drawn."""

from __future__ import annotations

from collections.abc import Sequence

from qwen3vl.tasks.base import Language, Task, TaskParams, TaskRequest, param, words
from qwen3vl.tasks.code import parse_code
from qwen3vl.tasks.kinds.shared import marks_in, steps_in
from qwen3vl.tasks.results import CodeBlock, MediaInfo, TaskResult


class ChatParams(TaskParams):
    question: str = param(
        ..., ("Message", "What you want to know or have done."), ("消息", "想问的问题或想做的事。"), min_length=1
    )
    system: str = param("", ("System prompt", "How the model should behave."), ("系统提示", "希望模型如何表现。"))


class Chat(Task[ChatParams]):
    name = "chat"
    titles = words("Chat", "对话")
    summaries = words(
        "Ask anything about pictures, videos and documents, or without any.", "就图片、视频和文档提问，也可以只聊文字。"
    )
    accepts = frozenset({"text", "image", "video", "document"})
    text_param = "question"
    params = ChatParams

    def _ask(self, params: ChatParams, media: Sequence[MediaInfo], language: Language) -> TaskRequest:
        return TaskRequest(params.system or None, params.question)

    def _read(self, answer: str, whole: bool, params: ChatParams, media: Sequence[MediaInfo]) -> TaskResult:
        blocks = [block for block in parse_code(answer) if block.language not in ("", "json") and block.closed]
        code = [CodeBlock(language=b.language, source=b.source, closed=b.closed) for b in blocks]
        marks = marks_in(answer, media) if media else []
        steps = steps_in(answer, media) if media and media[-1].kind == "image" else []
        return TaskResult(text=answer, marks=list(marks), actions=steps, code=code)
