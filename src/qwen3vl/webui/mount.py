"""Puts the page on the server's application, and keeps the browser from asking any other host for anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen3vl.webui.page import build_page, head, theme
from qwen3vl.webui.routes import page_router, read_texts

if TYPE_CHECKING:
    from qwen3vl.server import Services

# Gradio writes scripts and styles into its page and compiles templates, hence the two "unsafe-"; this is about hosts.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "frame-ancestors 'self'",
        "frame-src 'none'",  # a preview is a document of ours without an address, and may not go to one
    )
)


def mount_page(app: FastAPI, services: Services) -> None:
    """Mounts the page at "/" of `app`, behind the routes already there."""
    app.include_router(page_router(services))
    gr.mount_gradio_app(
        app,
        build_page(read_texts("en")["title"]),
        path="/",
        theme=theme(),
        head=head(),
        footer_links=[],
        ssr_mode=False,
        show_error=False,
        enable_monitoring=False,
    )
    app.add_middleware(_SamePlaceOnly)


class _SamePlaceOnly:
    """Adds the content security policy to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_policy(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
            await send(message)

        await self._app(scope, receive, send_with_policy if scope["type"] == "http" else send)
