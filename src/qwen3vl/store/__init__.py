"""What outlives the process: conversations with their media, uploaded files, API keys and the usage ledger.

SQLite by default, PostgreSQL by URL. Plain, synchronous and thread-safe; knows nothing of engines or HTTP.
"""

from qwen3vl.store.database import Store

__all__ = ["Store"]
