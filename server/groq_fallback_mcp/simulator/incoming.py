"""Bodies of requests."""

from __future__ import annotations

from typing import Any, cast

from starlette.requests import Request

from groq_fallback_mcp.simulator.replies import ApiError
from groq_fallback_mcp.simulator.wire import Payload

__all__ = ["payload_of"]


async def payload_of(request: Request) -> Payload:
    """The JSON object of the body. Raises ApiError where there is none."""
    try:
        value: Any = await request.json()
    except (ValueError, RecursionError):
        raise ApiError(400, "could not parse the JSON body of the request") from None
    if not isinstance(value, dict):
        raise ApiError(400, "the body of the request must be a JSON object")
    return cast("Payload", value)
