"""JSON that somebody else wrote, read with care: whatever comes is a value, never a crash."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from groq_fallback_mcp.call import Failure, FailureKind, QuotaSnapshot
from groq_fallback_mcp.render import excerpt

__all__ = ["bad_response", "count", "json_object", "mapping", "number", "request_id", "rows", "text_of", "whole"]

# Beyond these a few megabytes of JSON become a hundred of objects, and a second in which nothing else is served.
# Ten hours of speech with the time of every word stay below.
MOST_CONTAINERS = 200_000
MOST_COMMAS = 1_000_000
# Of a count in a text.
MOST_DIGITS = 12


def json_object(body: bytes) -> dict[str, Any] | Failure:
    """The object a body holds, or the failure a body that holds none stands for."""
    if len(body) > MOST_CONTAINERS and (
        body.count(b"[") + body.count(b"{") > MOST_CONTAINERS or body.count(b",") > MOST_COMMAS
    ):
        return bad_response("an answer with too many values")
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        start = body[:40].decode("utf-8", "replace")
        return bad_response(
            f"an answer that is not JSON ({type(error).__name__}), beginning {start!r}" if body else "an empty answer"
        )
    if not isinstance(value, dict):
        return bad_response(f"an answer that is {excerpt(value)}, not an object")
    return value


def bad_response(what: str, quota: QuotaSnapshot | None = None) -> Failure:
    """A reply that claims success and is none."""
    return Failure(
        kind=FailureKind.BAD_RESPONSE, message=f"bad upstream response: {what}", status=200, quota=quota or QuotaSnapshot()
    )


def rows(value: object) -> Sequence[Mapping[str, Any]]:
    """The objects of a JSON list; none for anything else."""
    if not isinstance(value, list):
        return ()
    return [row for row in map(mapping, value) if row is not None]


def request_id(value: Mapping[str, Any]) -> str | None:
    """Groq's id of the request, where it gives one."""
    x_groq = mapping(value.get("x_groq"))
    return text_of(x_groq.get("id")) if x_groq is not None else None


def mapping(value: object) -> Mapping[str, Any] | None:
    """A JSON object, None for anything else."""
    return value if isinstance(value, dict) else None


def text_of(value: object) -> str | None:
    """A JSON string, None for anything else."""
    return value if isinstance(value, str) else None


def number(value: object) -> float | None:
    """A JSON number that can be a time in seconds, None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # an integer may be too large for a float
    return float(value) if 0 <= value < 1e9 else None


def whole(value: object) -> int | None:
    """A JSON integer that can be a count, None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12 else None


def count(value: object) -> int | None:
    """A count as some servers write it: an integer, or one as a float or a text; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return whole(int(value))
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= MOST_DIGITS:
        return whole(int(value))
    return whole(value)
