"""From a refusing HTTP response to a `Failure`: by status, `error.code` and `error.message`, in that order of trust.

`failed_generation` echoes model output and is never looked at. Bodies may be HTML, empty or odd JSON. The table of
codes and texts is from public issue threads and Groq's documentation.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from groq_fallback_mcp.call import Failure, FailureKind, LimitReading
from groq_fallback_mcp.policy.durations import parse_retry_after
from groq_fallback_mcp.policy.readings import read_message, snapshot, stated_wait
from groq_fallback_mcp.redaction import redact

__all__ = ["classify", "classify_stream_error"]

MESSAGE_CHARS = 300
# No upstream's error says anything later, and patterns take their time over long texts.
READ_CHARS = 4_096

_BY_CODE = {
    "tool_use_failed": FailureKind.GENERATION_FAILED,
    "json_validate_failed": FailureKind.GENERATION_FAILED,
    "model_decommissioned": FailureKind.MODEL_GONE,
    "model_not_found": FailureKind.MODEL_GONE,
    "model_not_active": FailureKind.MODEL_GONE,
    "context_length_exceeded": FailureKind.CONTEXT_TOO_LONG,
    "model_terms_required": FailureKind.MODEL_BLOCKED,
    "model_permission_blocked_org": FailureKind.MODEL_BLOCKED,
    "model_permission_blocked_project": FailureKind.MODEL_BLOCKED,
    "organization_restricted": FailureKind.ORGANISATION_REFUSED,
    "organization_inactive": FailureKind.ORGANISATION_REFUSED,
    "blocked_api_access": FailureKind.ORGANISATION_REFUSED,
    "invalid_api_key": FailureKind.AUTHENTICATION,
    "expired_api_key": FailureKind.AUTHENTICATION,
    "request_too_large": FailureKind.PAYLOAD_TOO_LARGE,
    "capacity_exceeded": FailureKind.TIER_FULL,
}
_BY_STATUS = {
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.ORGANISATION_REFUSED,
    404: FailureKind.BAD_REQUEST,
    408: FailureKind.SERVER_ERROR,
    413: FailureKind.PAYLOAD_TOO_LARGE,
    422: FailureKind.UNPROCESSABLE,
    424: FailureKind.REMOTE_TOOL_AUTHENTICATION,
    429: FailureKind.RATE_LIMITED,
    498: FailureKind.TIER_FULL,
    499: FailureKind.CANCELLED,
    503: FailureKind.OVERLOADED,
}
_MAX_TOKENS = re.compile(r"max(?:_completion)?_tokens`? must be less than or equal to `?(\d{1,9})")
_UNSUPPORTED = re.compile(
    r"does not support|content must be a string|not supported (?:with|by|for) th(?:is|e) model|is not supported with|must be one of .*reasoning_effort"
    r"|`?reasoning_effort`? must be one of",
    re.IGNORECASE,
)
_BOILERPLATE = re.compile(
    r"(?:Rate limit reached|Request too large) for model `[^`]*` in organization `[^`]*` service tier `[^`]*` on | ?Please try again in \d[\d.a-zµ]*(?: seconds?| minutes?)?\.?| ?Need more tokens\?.*"
)
_OVER_CAPACITY = re.compile(r"over capacity", re.IGNORECASE)
_MODEL_MISSING = re.compile(r"model .{1,200} (?:does not exist|has been decommissioned|not found)", re.IGNORECASE)
_CONTEXT = re.compile(r"reduce the length of the messages|context.length|maximum context", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Body:
    message: str
    code: str | None
    type: str | None
    is_json: bool


def classify(status: int, headers: Mapping[str, str], body: str, *, now_wall: float) -> Failure:
    """The failure a response with an error status stands for.

    `headers` have lower-case names; `now_wall` (Unix seconds) is for a retry-after given as a date.
    """
    parsed = _parse(body)
    reading = read_message(parsed.message, error_type=parsed.type) if status in {400, 413, 429} else None
    kind = _kind(status, parsed, reading)
    retry_after_s = parse_retry_after(headers.get("retry-after"), now_wall=now_wall)
    stated_s = stated_wait(parsed.message)
    if status == 429 and stated_s is not None:  # noqa: PLR2004
        # retry-after is rounded to whole seconds, the text is exact; the later of the two is the safe one
        retry_after_s = stated_s if retry_after_s is None else max(stated_s, retry_after_s)
    if kind is FailureKind.LARGER_THAN_LIMIT:
        retry_after_s = None  # Groq prints a wait even where waiting can never help
    bound = _MAX_TOKENS.search(parsed.message)
    return Failure(
        kind=kind,
        message=_shown(status, parsed),
        status=status,
        code=parsed.code,
        retry_after_s=retry_after_s,
        quota=snapshot(headers, reading),
        max_tokens_limit=int(bound[1]) if bound else None,
    )


def classify_stream_error(data: str, *, now_wall: float) -> Failure:
    """The failure an error event inside a 200 stream stands for; the error may be an object or a bare string."""
    status = 500
    try:
        value: Any = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    error: Any = cast("dict[str, Any]", value).get("error", value) if isinstance(value, dict) else value
    if isinstance(error, dict):
        stated = cast("dict[str, Any]", error).get("status_code")
        if isinstance(stated, int) and 400 <= stated <= 599:  # noqa: PLR2004
            status = stated
    elif isinstance(error, str):
        data = json.dumps({"error": {"message": error}})
    if status == 500 and _OVER_CAPACITY.search(data):  # noqa: PLR2004
        status = 503
    return classify(status, {}, data, now_wall=now_wall)


def _kind(status: int, body: _Body, reading: LimitReading | None) -> FailureKind:  # noqa: PLR0911 - a decision table
    if reading is not None and _never_fits(status, reading):
        return FailureKind.LARGER_THAN_LIMIT
    if status == 413 and body.code == "rate_limit_exceeded":  # noqa: PLR2004
        return FailureKind.LARGER_THAN_LIMIT
    if status == 403 and not body.is_json:  # noqa: PLR2004
        return FailureKind.NETWORK_DENIED
    if body.code is not None and body.code in _BY_CODE:
        return _BY_CODE[body.code]
    if body.code is not None and body.code.startswith("spend_"):
        return FailureKind.ORGANISATION_REFUSED
    if status in {400, 404} and _MODEL_MISSING.search(body.message):
        return FailureKind.MODEL_GONE
    if status == 400:  # noqa: PLR2004
        return _kind_of_400(body)
    if status == 403:  # noqa: PLR2004
        denied = "network settings" in body.message.lower()
        return FailureKind.NETWORK_DENIED if denied else FailureKind.ORGANISATION_REFUSED
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.BAD_REQUEST  # noqa: PLR2004


def _kind_of_400(body: _Body) -> FailureKind:
    if _MAX_TOKENS.search(body.message):
        return FailureKind.MAX_TOKENS_TOO_LARGE
    if _CONTEXT.search(body.message):
        return FailureKind.CONTEXT_TOO_LONG
    if _UNSUPPORTED.search(body.message):
        return FailureKind.UNSUPPORTED
    return FailureKind.BAD_REQUEST


def _never_fits(status: int, reading: LimitReading) -> bool:
    too_large = reading.requested is not None and reading.capacity is not None and reading.requested > reading.capacity
    return too_large and status in {413, 429}


def _parse(text: str) -> _Body:
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return _Body(message=_visible(text), code=None, type=None, is_json=False)
    error: Any = cast("dict[str, Any]", value).get("error", value) if isinstance(value, dict) else value
    if not isinstance(error, dict):
        # a list may be nested too deep to be written down again
        return _Body(message=_visible(error if isinstance(error, str) else text), code=None, type=None, is_json=True)
    fields = cast("dict[str, Any]", error)
    return _Body(
        message=_visible(_text(fields.get("message")) or ""),
        code=_text(fields.get("code")),
        type=_text(fields.get("type")),
        is_json=True,
    )


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _visible(text: str) -> str:
    text = text[:READ_CHARS]
    if "<" in text and ">" in text and re.search(r"(?i)<(?:!doctype|html|head|body)", text):
        text = re.sub(r"(?is)<(?:script|style).*?</(?:script|style)>|<[^>]{0,2000}>", " ", text)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _shown(status: int, body: _Body) -> str:
    # what is left says which limit, with its figures: the rest stands beside it in every attempt
    message = _BOILERPLATE.sub("", redact(body.message)).strip()
    if not message:
        return f"HTTP {status} without an error text"
    return message if len(message) <= MESSAGE_CHARS else message[: MESSAGE_CHARS - 1] + "…"
