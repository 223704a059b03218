"""`GET /v1/usage`: what was asked for and what it took, summed from the ledger."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Query

from qwen3vl.server.access import current_caller
from qwen3vl.server.bodies import UsageReport, errors
from qwen3vl.server.services import Services
from qwen3vl.store.ledger import Grouping

Time = Annotated[float | None, Query(ge=0, le=4e9, description="seconds since 1970")]


def usage_router(services: Services) -> APIRouter:
    router = APIRouter(tags=["usage"])

    @router.get("/v1/usage", response_model=UsageReport, responses=errors())
    async def usage(by: Grouping = "model", since: Time = None, until: Time = None) -> dict[str, Any]:
        """Requests, tokens and seconds; of all keys for one with the scope `admin`, else of the key that asks."""
        caller = current_caller()
        key = None if caller.is_admin else caller.key
        totals = await services.books.read(lambda ledger: ledger.totals(by, key=key, since=since, until=until))
        return {"object": "usage", "by": by, "data": [asdict(total) for total in totals]}

    return router
