"""Refuses query and form fields that a route does not have, as bodies refuse theirs."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import Request
from fastapi.params import Form
from fastapi.routing import APIRoute

from qwen3vl.errors import InputError
from qwen3vl.server.faults import unknown_field


async def only_known_names(request: Request) -> None:
    """A dependency of every route of the API. Raises `InputError`."""
    route = request.scope.get("route")
    if not isinstance(route, APIRoute) or not route.include_in_schema:
        return
    if request.query_params:
        _check(request.query_params, [field.alias for field in route.dependant.query_params])
    form = [field.alias for field in route.dependant.body_params if isinstance(field.field_info, Form)]
    if form:
        _check(await request.form(), form)  # read already, so this is what there is


def _check(given: Iterable[str], known: list[str]) -> None:
    for name in given:
        if name not in known:
            raise InputError(unknown_field(name, known), param=name)
