"""Where a JSON value is not what a JSON schema asks for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NoReturn

import jsonschema_rs

_LONGEST = 200  # characters of a sentence, which may quote the value


def schema_fault(value: object, schema: Mapping[str, Any]) -> str | None:
    """The first fault as its path and a sentence, as `items[0].price: "x" is not of type "number"`. None if there is
    none. Follows no reference out of the schema, and never raises.
    """
    try:
        found = jsonschema_rs.validator_for(dict(schema), retriever=_refuse).iter_errors(value)
        first = next(iter(found), None)
    except (jsonschema_rs.ValidationError, ValueError) as error:
        return f"the schema itself cannot be used: {str(error).splitlines()[0][:_LONGEST]}"
    if first is None:
        return None
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first.instance_path)
    return f"{path.removeprefix('.') or 'the whole'}: {first.message[:_LONGEST]}"


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"the schema refers to {json.dumps(uri)}, which is not read")
