"""API keys by their hash, and the usage ledger with its sums."""

from __future__ import annotations

import pytest

from qwen3vl.errors import InputError
from qwen3vl.store import Store
from qwen3vl.store.records import UsageRow


def test_keys(store: Store) -> None:
    key = store.keys.add("h" * 64, name="laptop", scopes=["models", "chat", "chat"], rate=60)
    other = store.keys.add("i" * 64, name="phone", scopes=[])
    assert (key.scopes, key.rate, key.revoked) == (("chat", "models"), 60, None)
    assert store.keys.find("h" * 64) == key
    assert store.keys.find("H" * 64) is None
    assert store.keys.list() == [key, other]
    revoked = store.keys.revoke(key.id)
    assert revoked is not None
    assert revoked.revoked is not None
    assert store.keys.revoke(key.id) == revoked == store.keys.find("h" * 64)
    assert store.keys.revoke("nobody") is None
    with pytest.raises(InputError, match="already"):
        store.keys.add("h" * 64, name="twice", scopes=[])


def usage(key: str | None, model: str, created: float, tokens: int, energy: float | None = None) -> UsageRow:
    return UsageRow(
        key=key,
        endpoint="/v1/chat/completions",
        model=model,
        task="chat",
        mode="full",
        status="ok",
        prompt_tokens=tokens,
        completion_tokens=2 * tokens,
        total_seconds=0.5,
        energy_joules=energy,
        created=created,
    )


def test_the_ledger(store: Store) -> None:
    rows = [usage("a", "m1", 10, 1), usage("a", "m2", 20, 10, energy=3.0), usage(None, "m1", 30, 100, energy=4.0)]
    for row in rows:
        store.ledger.add(row)
    assert store.ledger.rows() == rows[::-1]
    assert store.ledger.rows(limit=1) == rows[2:]
    assert store.ledger.rows(key="a") == [rows[1], rows[0]]
    assert store.ledger.rows(since=20, until=30) == [rows[1]]
    m1, m2 = store.ledger.totals()
    assert (m1.group, m1.requests, m1.prompt_tokens, m1.completion_tokens) == ("m1", 2, 101, 202)
    assert (m1.total_seconds, m1.energy_joules, m2.energy_joules) == (1.0, 4.0, 3.0)
    assert store.ledger.totals(since=10, until=15)[0].energy_joules is None
    nobody, a = store.ledger.totals("key")
    assert (nobody.group, nobody.requests, a.group, a.requests) == ("", 1, "a", 2)
    assert [total.requests for total in store.ledger.totals("status", key="a", since=15)] == [1]
    assert store.ledger.totals(since=99) == []


def test_the_ledger_knows_when(store: Store) -> None:
    store.ledger.add(usage("a", "model \x00", created=0, tokens=1))
    [row] = store.ledger.rows(since=1_700_000_000)
    assert row.model == "model \ufffd"
