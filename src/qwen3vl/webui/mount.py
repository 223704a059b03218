"""Puts the page on the server's application, and keeps the browser from asking any other host for anything."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qwen3vl.webui.page import SAMPLES, build_page
from qwen3vl.webui.texts import ENGLISH, Texts

if TYPE_CHECKING:
    from qwen3vl.engine.engine import Engine

_HERE = Path(__file__).parent

# Gradio writes scripts and styles into its page and compiles templates, hence the two "unsafe-"; this is about hosts.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:",
        "object-src 'none'",
        "base-uri 'self'",
        "frame-ancestors 'self'",
    )
)


def mount_page(app: FastAPI, engine: Engine, *, max_body: int = 128 * 2**20, texts: Texts = ENGLISH) -> None:
    """Mounts the page at "/" of `app`, behind the routes already there. `max_body`: bytes of one uploaded file."""
    theme = gr.themes.Soft(
        primary_hue="indigo",
        neutral_hue="slate",
        radius_size="lg",
        font=["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "sans-serif"],
        font_mono=["ui-monospace", "SFMono-Regular", "Consolas", "DejaVu Sans Mono", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        block_title_background_fill="transparent",
        block_title_background_fill_dark="transparent",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        block_title_padding="0",
        block_border_width="1px",
        block_shadow="none",
        button_primary_shadow="none",
        button_secondary_shadow="none",
        checkbox_label_shadow="none",
    )
    gr.mount_gradio_app(
        app,
        build_page(engine, texts),
        path="/",
        theme=theme,
        css_paths=[_HERE / "page.css"],
        head=f"<script>{(_HERE / 'page.js').read_text(encoding='utf-8')}</script>",
        allowed_paths=[str(SAMPLES)],
        footer_links=[],
        max_file_size=max_body,
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
