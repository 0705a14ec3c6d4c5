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
from groq_fallback_mcp.policy.durations import parse_reset, parse_retry_after
from groq_fallback_mcp.policy.readings import read_message, snapshot, stated_wait
from groq_fallback_mcp.redaction import redact

__all__ = ["classify", "classify_stream_error", "visible"]

MESSAGE_CHARS = 300
# No upstream's error says anything later, and patterns take their time over long texts.
READ_CHARS = 4_096
# How OpenRouter's models end that share one limit a minute and one a day; it names the limit free-models-per-day.
FREE_MODELS = ":free"
# A router's message of its own; a longer one says what happened.
RELAYED_CHARS = 60
_NOT_MENDED_BY_WAITING = {
    FailureKind.LARGER_THAN_LIMIT,
    FailureKind.NO_CREDIT,
    FailureKind.ORGANISATION_REFUSED,
    FailureKind.AUTHENTICATION,
}

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
    "insufficient_quota": FailureKind.NO_CREDIT,
    "insufficient_balance": FailureKind.NO_CREDIT,
    "insufficient_credits": FailureKind.NO_CREDIT,
    "billing_hard_limit_reached": FailureKind.NO_CREDIT,
    "billing_not_active": FailureKind.NO_CREDIT,
    "exceed_context_size_error": FailureKind.CONTEXT_TOO_LONG,
    "request_too_large": FailureKind.PAYLOAD_TOO_LARGE,
    "capacity_exceeded": FailureKind.TIER_FULL,
}
_BY_STATUS = {
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.NO_CREDIT,
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
_MAX_TOKENS = re.compile(
    r"max(?:_completion|_new)?_tokens`?(?: must be| should be)? (?:less than or equal to|at most|<=) `?(\d{1,9})"
    r"|supports at most (\d{1,9}) completion tokens|can only afford (\d{1,9})",
    re.IGNORECASE,
)
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
_CONTEXT = re.compile(
    r"reduce the length of (?:the|your) (?:messages|prompt|input)|(?:exceed|overflow|longer than|larger than|too (?:long|large) for)\w*"
    r".{0,80}\bcontext|context.{0,40}(?:exceed|overflow|too (?:long|small)|limit reached)|maximum context|context_length"
    r"|(?:prompt|input|request)(?: tokens?)? (?:is|are) too long|too many (?:input |prompt )?tokens|token count.{0,40}exceeds the max",
    re.IGNORECASE,
)
_SCHEMA = re.compile(
    r"(?:invalid|unsupported|bad) (?:json )?schema|schema.{0,80}(?:is not supported|not permitted|is not allowed|invalid)"
    r"|response_format|json_schema|json mode|additionalProperties",
    re.IGNORECASE,
)
_NO_CREDIT = re.compile(
    r"insufficient (?:credit|balance|funds|quota)|exceeded your current quota|billing|out of credits?|more credits|key limit exceeded"
    r"|payment|top up|recharge|arrear|credit balance",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Body:
    """An error body: `wait_s` is what its fields, not its words, say to wait; `reset` when a limit begins again, as stated."""

    message: str
    code: str | None = None
    type: str | None = None
    status: int | None = None
    wait_s: float | None = None
    reset: str | None = None
    is_json: bool = True


def classify(status: int, headers: Mapping[str, str], body: str, *, now_wall: float) -> Failure:
    """The failure a response with an error status stands for.

    `headers` have lower-case names; `now_wall` (Unix seconds) is for waits that are given as a moment.
    """
    return _failure(status, headers, _parse(body), now_wall=now_wall)


def classify_stream_error(data: str, *, now_wall: float) -> Failure:
    """The failure an error inside a response with status 200 stands for; it may be an object or a bare string."""
    body = _parse(data)
    status = body.status or 500
    if status == 500 and _OVER_CAPACITY.search(body.message):  # noqa: PLR2004
        status = 503
    return _failure(status, {}, body, now_wall=now_wall)


def visible(text: str) -> str:
    """An upstream's words on one line, without markup and keys, cut to what fits into an attempt."""
    shown = redact(_on_one_line(text))
    return shown if len(shown) <= MESSAGE_CHARS else shown[: MESSAGE_CHARS - 1] + "…"


def _failure(status: int, headers: Mapping[str, str], body: _Body, *, now_wall: float) -> Failure:
    reading = read_message(body.message, error_type=body.type) if status in {400, 413, 429} else None
    wait_s = _wait_s(status, headers, body, now_wall=now_wall)
    kind = _kind(status, body, reading, waits=wait_s is not None)
    bound = _MAX_TOKENS.search(body.message)
    return Failure(
        kind=kind,
        message=_shown(status, body),
        status=status,
        code=body.code,
        # Groq prints a wait even where waiting can never help
        retry_after_s=None if kind in _NOT_MENDED_BY_WAITING else wait_s,
        quota=snapshot(headers, reading),
        pool=FREE_MODELS if kind is FailureKind.RATE_LIMITED and "free-models-per-" in body.message else None,
        max_tokens_limit=next((int(figure) for figure in bound.groups() if figure), None) if bound else None,
    )


def _wait_s(status: int, headers: Mapping[str, str], body: _Body, *, now_wall: float) -> float | None:
    """Seconds that a response says to wait: the latest of what its headers, fields and words say."""
    milliseconds = (
        parse_retry_after(f"{headers['retry-after-ms']}ms", now_wall=now_wall) if "retry-after-ms" in headers else None
    )
    stated = [parse_retry_after(headers.get("retry-after"), now_wall=now_wall) if milliseconds is None else milliseconds]
    if status == 429:  # noqa: PLR2004
        # retry-after is rounded to whole seconds, the text is exact; the later of the two is the safe one
        stated += [body.wait_s, stated_wait(body.message)]
    waits = [wait for wait in stated if wait is not None]
    if waits or status != 429:  # noqa: PLR2004
        return max(waits, default=None)
    return parse_reset(headers.get("x-ratelimit-reset") or body.reset, now_wall=now_wall)


def _kind(  # noqa: C901, PLR0911 - a decision table
    status: int, body: _Body, reading: LimitReading | None, *, waits: bool
) -> FailureKind:
    if reading is not None and _never_fits(status, reading):
        return FailureKind.LARGER_THAN_LIMIT
    if status == 413 and body.code == "rate_limit_exceeded":  # noqa: PLR2004
        return FailureKind.LARGER_THAN_LIMIT
    if status == 403 and not body.is_json:  # noqa: PLR2004
        return FailureKind.NETWORK_DENIED
    for named in (body.code, body.type):
        if named is not None and named in _BY_CODE:
            return _BY_CODE[named]
    if body.code is not None and body.code.startswith("spend_"):
        return FailureKind.ORGANISATION_REFUSED
    worded = _kind_by_words(status, body.message, waits=waits)
    if worded is not None:
        return worded
    if status == 400:  # noqa: PLR2004
        return _kind_of_400(body)
    if status == 403:  # noqa: PLR2004
        denied = "network settings" in body.message.lower()
        return FailureKind.NETWORK_DENIED if denied else FailureKind.ORGANISATION_REFUSED
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.BAD_REQUEST  # noqa: PLR2004


def _kind_by_words(status: int, message: str, *, waits: bool) -> FailureKind | None:
    """What a message says more exactly than its status; None where it adds nothing."""
    if status in {400, 404} and _MODEL_MISSING.search(message):
        return FailureKind.MODEL_GONE
    if status == 402 and _MAX_TOKENS.search(message):  # noqa: PLR2004
        return FailureKind.MAX_TOKENS_TOO_LARGE
    # a free plan's limits speak of billing too, but say when they refill
    if status in {403, 429} and not waits and _NO_CREDIT.search(message):
        return FailureKind.NO_CREDIT
    # local servers answer 500 to a prompt that is too long
    if (status in {400, 413, 422} or status >= 500) and _CONTEXT.search(message):  # noqa: PLR2004
        return FailureKind.CONTEXT_TOO_LONG
    return FailureKind.SCHEMA_REFUSED if status in {400, 422} and _SCHEMA.search(message) else None


def _kind_of_400(body: _Body) -> FailureKind:
    if _MAX_TOKENS.search(body.message):
        return FailureKind.MAX_TOKENS_TOO_LARGE
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
        return _Body(message=_on_one_line(text), is_json=False)
    fields = _fields_of(value)
    if isinstance(fields, str) or not fields:
        # a list may be nested too deep to be written again
        return _Body(message=_on_one_line(fields if isinstance(fields, str) else text))
    metadata = _mapping(fields.get("metadata"))
    details = [_mapping(row) for row in fields["details"]] if isinstance(fields.get("details"), list) else []
    delay = next((delay for row in details if (delay := _text(row.get("retryDelay")))), None)
    seconds = next((fields[name] for name in ("retry_after", "retry_after_seconds") if name in fields), None)
    stated = delay or (str(seconds) if isinstance(seconds, int | float) else _text(seconds))
    limits = {str(name).lower(): value for name, value in _mapping(metadata.get("headers")).items()}
    code = fields.get("status_code", fields.get("code"))
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal() and len(code) == 3) else 0  # noqa: PLR2004
    message = _message_of(fields)
    relayed = _text(metadata.get("raw"))
    return _Body(
        # a router's own words say only that a provider failed, and quote what that one said
        message=_on_one_line(f"{message}: {relayed}" if relayed and len(message) < RELAYED_CHARS else message),
        code=_text(fields.get("code")),
        type=_text(fields.get("type")),
        status=status if 400 <= status <= 599 else None,  # noqa: PLR2004
        wait_s=parse_retry_after(stated, now_wall=0.0),
        reset=_text(limits.get("x-ratelimit-reset")),
    )


def _fields_of(value: Any) -> Mapping[str, Any] | str:  # noqa: ANN401 - JSON
    """The object that describes an error, in the forms that servers are known to use, or the words themselves."""
    for _ in range(4):
        if isinstance(value, list):
            # Gemini's compatible endpoint
            value = cast("list[Any]", value)[0] if value else {}
        fields = _mapping(value)
        if not fields:
            break
        # OpenAI and most; Cloudflare; FastAPI, where `detail` may be an object, a list or the words
        inner = next((fields[name] for name in ("error", "errors", "detail") if fields.get(name)), None)
        if inner is None or (isinstance(inner, str) and _text(fields.get("message"))):
            return fields
        if isinstance(inner, str):
            return {**fields, "message": inner}
        value = inner
    return value if isinstance(value, str) else _mapping(value)


def _message_of(fields: Mapping[str, Any]) -> str:
    named = next((fields[name] for name in ("message", "msg", "error_message", "title") if fields.get(name)), "")
    if isinstance(named, dict):
        # Mistral has the details of a validation error here
        inner = _fields_of(named)
        named = inner if isinstance(inner, str) else inner.get("message", inner.get("msg"))
    return named if isinstance(named, str) else ""


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _on_one_line(text: str) -> str:
    text = text[:READ_CHARS]
    if "<" in text and ">" in text and re.search(r"(?i)<(?:!doctype|html|head|body)", text):
        text = re.sub(r"(?is)<(?:script|style).*?</(?:script|style)>|<[^>]{0,2000}>", " ", text)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _shown(status: int, body: _Body) -> str:
    # what is left says which limit, with its figures: the rest stands beside it in every attempt
    message = _BOILERPLATE.sub("", redact(body.message)).strip()
    return visible(message) if message else f"HTTP {status} without an error text"
