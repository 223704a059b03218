"""The OpenAI-compatible HTTP server."""

from qwen3vl.server.app import create_app

__all__ = ["create_app"]
