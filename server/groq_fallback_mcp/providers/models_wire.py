"""OpenAI's wire format of the model list."""

from __future__ import annotations

from typing import cast

from groq_fallback_mcp.call import Failure
from groq_fallback_mcp.providers.base import LiveModel
from groq_fallback_mcp.providers.reading import bad_response, json_object, mapping, whole

__all__ = ["read_models"]


def read_models(body: bytes) -> tuple[LiveModel, ...] | Failure:
    """The rows of a live list; rows without an id are passed over."""
    value = json_object(body)
    if isinstance(value, Failure):
        return value
    rows = value.get("data")
    if not isinstance(rows, list):
        return bad_response("a model list without data")
    found = [mapping(row) for row in cast("list[object]", rows)]
    return tuple(
        LiveModel(
            id=str(row["id"]),
            active=row.get("active") is not False,
            context_window=whole(row.get("context_window")),
            max_completion_tokens=whole(row.get("max_completion_tokens")),
        )
        for row in found
        if row is not None and isinstance(row.get("id"), str)
    )
