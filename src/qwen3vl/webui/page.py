"""The page as Gradio serves it: one document with the theme's colours, in which `static/app.js` builds what a person
sees. What is shown comes from the public API and from `routes`; words are in `texts`, looks in `static/*.css`.

Gradio's own components redraw themselves whole; a conversation with branches, pictures whose marks answer the pointer,
and a video that keeps its place while an answer grows ask for finer hands, so these are modules of our own.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

from qwen3vl.webui import assets

_STYLES = ("frame", "talk", "composer", "results", "places", "agent", "videos")
_FONTS = ["ui-sans-serif", "system-ui", "Segoe UI", "Roboto", "Noto Sans", "Noto Sans CJK SC", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Consolas", "DejaVu Sans Mono", "monospace"]


def build_page(title: str) -> gr.Blocks:
    """The page as a Gradio application, to be mounted on a server."""
    blocks: gr.Blocks = gr.Blocks(title=title, analytics_enabled=False, fill_width=True)
    with blocks:
        gr.HTML(
            '<div id="app"></div>',
            elem_id="root",
            apply_default_css=False,
            container=False,
            js_on_load=None,
            padding=False,
        )
    return blocks


def theme() -> gr.themes.Base:
    return gr.themes.Soft(
        primary_hue="indigo", neutral_hue="slate", radius_size="lg", font=_FONTS, font_mono=_MONO
    ).set(body_background_fill="*neutral_50", body_background_fill_dark="*neutral_950")


def head() -> str:
    """What stands in the document's head: our modules and styles, and KaTeX, which Gradio brings along."""
    formulas, formula_style = _gradio_asset("auto-render-*.js"), _gradio_asset("katex-*.css")
    styles = [assets.address("static", f"{name}.css") for name in _STYLES]
    modules = [assets.address(folder, name) for folder in assets.FOLDERS for name in assets.names(folder, ".js")]
    links = [f'<link rel="stylesheet" href="{href}">' for href in (*styles, "page/code.css", f"assets/{formula_style}")]
    return "\n".join(
        (
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            *links,
            # Otherwise a browser would learn of each module from the one that imports it, one round after the other.
            *(f'<link rel="modulepreload" href="{href}">' for href in modules),
            f'<link id="katex-module" rel="modulepreload" href="assets/{formulas}">',
            f'<script type="module" src="{assets.address("static", "app.js")}"></script>',
        )
    )


def _gradio_asset(pattern: str) -> str:
    """The name of one of Gradio's own files, which changes with its version."""
    found = sorted((Path(gr.__file__).parent / "templates" / "frontend" / "assets").glob(pattern))
    if len(found) != 1:
        raise RuntimeError(f"this Gradio ({gr.__version__}) has {len(found)} files {pattern}, and the page needs one")
    return found[0].name
