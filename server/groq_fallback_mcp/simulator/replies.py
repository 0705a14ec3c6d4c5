"""Requests read and replies written in Groq's form, with the marks that say they are simulated."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from groq_fallback_mcp.json_types import is_object
from groq_fallback_mcp.simulator.wire import Payload

__all__ = [
    "FINGERPRINT",
    "JSON_FAILED",
    "SIMULATED",
    "TOOL_USE_FAILED",
    "ApiError",
    "error",
    "failed_generation",
    "fresh_id",
    "json_reply",
    "payload_of",
    "request_id",
]

FINGERPRINT = "fp_simulated"
SIMULATED = {"x-simulated": "true"}
# facts page, section 3
JSON_FAILED = "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details."
TOOL_USE_FAILED = "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details."


class ApiError(Exception):
    """A refusal to be sent as an error response."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        type: str = "invalid_request_error",  # noqa: A002 - the field's name on the wire
        headers: Mapping[str, str] | None = None,
        param: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "type": type}
        if code is not None:
            self.body["code"] = code
        if param is not None:
            self.body["param"] = param
        self.headers = dict(headers or {})


def failed_generation(code: str, message: str, text: str) -> ApiError:
    """A 400 for a model that wrote no good JSON, or no good call; with what it wrote."""
    failure = ApiError(400, message, code=code)
    failure.body["failed_generation"] = text
    return failure


def error(failure: ApiError) -> Response:
    """The error as a response."""
    return JSONResponse({"error": failure.body}, status_code=failure.status, headers=failure.headers | SIMULATED)


def json_reply(value: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> Response:
    """A success as a response."""
    return JSONResponse(dict(value), headers=dict(headers or {}) | SIMULATED)


def request_id() -> str:
    """A fresh `req_...` id."""
    return fresh_id("req")


def fresh_id(kind: str) -> str:
    """A fresh id such as `file_...`."""
    return f"{kind}_{uuid.uuid4().hex[:26]}"


async def payload_of(request: Request) -> Payload:
    """The JSON object of the body. Raises ApiError where there is none."""
    try:
        value: Any = await request.json()
    except (ValueError, RecursionError):
        raise ApiError(400, "could not parse the JSON body of the request") from None
    if not is_object(value):
        raise ApiError(400, "the body of the request must be a JSON object")
    return value
