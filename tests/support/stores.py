"""What tests put into a store."""

from __future__ import annotations

import hashlib

from qwen3vl.store import Store


def add_media(store: Store, data: bytes = b"a picture", name: str = "a.png") -> str:
    """Its hash."""
    media = store.media.add(data, kind="image", media_type="image/png", width=3, height=2, name=name)
    assert media.sha256 == hashlib.sha256(data).hexdigest()
    return media.sha256
