"""OpenAI's wire format of the model list."""

from __future__ import annotations

import re
from typing import cast

from groq_fallback_mcp.call import Failure
from groq_fallback_mcp.providers.base import LiveModel
from groq_fallback_mcp.providers.reading import bad_response, json_object, mapping, whole

__all__ = ["read_models"]

# A model's id is a name of printable ASCII without spaces. Whatever else stands there reaches no text, file or request.
_ID = re.compile(r"[!-~]{1,200}")
MOST_MODELS = 5_000


def read_models(body: bytes) -> tuple[LiveModel, ...] | Failure:
    """The rows of a live list, at most MOST_MODELS; rows without an id that can be one are skipped."""
    value = json_object(body)
    if isinstance(value, Failure):
        return value
    rows = value.get("data")
    if not isinstance(rows, list):
        return bad_response("a model list without data")
    found = (mapping(row) for row in cast("list[object]", rows)[:MOST_MODELS])
    return tuple(
        LiveModel(
            id=id_,
            active=row.get("active") is not False,
            context_window=whole(row.get("context_window")),
            max_completion_tokens=whole(row.get("max_completion_tokens")),
        )
        for row in found
        if row is not None and isinstance(id_ := row.get("id"), str) and _ID.fullmatch(id_)
    )
