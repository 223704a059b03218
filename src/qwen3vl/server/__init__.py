"""The OpenAI-compatible HTTP server, and the services that it and the page are built on."""

from qwen3vl.server.app import create_app
from qwen3vl.server.services import Services

__all__ = ["Services", "create_app"]
