"""From a refusing HTTP response to a `Failure`: by status, `error.code` and `error.message`, in that order of trust.

`failed_generation` echoes model output and is never looked at. Bodies may be HTML, empty or odd JSON. The table of
codes and texts is from public issue threads and Groq's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from groq_fallback_mcp.call import Failure, FailureKind, LimitReading
from groq_fallback_mcp.durations import stated_waits
from groq_fallback_mcp.providers.error_body import ErrorBody, on_one_line, read_error
from groq_fallback_mcp.providers.error_words import context_window_limit, is_per_day, kind_of_words, max_tokens_limit
from groq_fallback_mcp.providers.rate_limit_headers import read_message, snapshot, stated_wait
from groq_fallback_mcp.redaction import redact

__all__ = ["classify", "classify_stream_error", "visible"]

MESSAGE_CHARS = 300
# How OpenRouter's models end that share one limit a minute and one a day; it names the limit free-models-per-day.
FREE_MODELS = ":free"
# Of a limit per day that does not say when it begins again: it may be soon, and asking again costs a request.
DAILY_WAIT_S = 3_600.0
_NOT_MENDED_BY_WAITING = {
    FailureKind.LARGER_THAN_LIMIT,
    FailureKind.NO_CREDIT,
    FailureKind.ORGANIZATION_REFUSED,
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
    "organization_restricted": FailureKind.ORGANIZATION_REFUSED,
    "organization_inactive": FailureKind.ORGANIZATION_REFUSED,
    "blocked_api_access": FailureKind.ORGANIZATION_REFUSED,
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
    "content_filter": FailureKind.CONTENT_FILTERED,
    "content_policy_violation": FailureKind.CONTENT_FILTERED,
    "data_inspection_failed": FailureKind.CONTENT_FILTERED,
    "arrearage": FailureKind.NO_CREDIT,
    "budget_exceeded": FailureKind.NO_CREDIT,
    "wrong_api_key": FailureKind.AUTHENTICATION,
    "invalid_model": FailureKind.MODEL_GONE,
    "deploymentnotfound": FailureKind.MODEL_GONE,
    "model_not_available": FailureKind.MODEL_BLOCKED,
    "string_above_max_length": FailureKind.CONTEXT_TOO_LONG,
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
# Codes of limits that refill, in lower case.
_REFILLS = {"rate_limit_exceeded", "ratelimitreached", "rate_limit", "rate_limit_error", "too_many_requests"}
_WAITS = {429, 503, 529}
_BOILERPLATE = re.compile(
    r"(?:Rate limit reached|Request too large) for model `[^`]*` in organization `[^`]*` service tier `[^`]*` on | ?Please try again in \d[\d.a-zµ]*(?: seconds?| minutes?)?\.?| ?Need more tokens\?.*"
)
_OVER_CAPACITY = re.compile(r"over capacity", re.IGNORECASE)


def classify(status: int, headers: Mapping[str, str], body: str, *, now_wall: float) -> Failure:
    """The failure a response with an error status stands for.

    `headers` have lower-case names; `now_wall` (Unix seconds) is for waits that are given as a moment.
    """
    return _failure(status, headers, read_error(body, now_wall=now_wall), now_wall=now_wall)


def classify_stream_error(data: str, *, now_wall: float) -> Failure:
    """The failure an error inside a response with status 200 stands for; it may be an object or a bare string."""
    body = read_error(data, now_wall=now_wall)
    status = body.status or 500
    if status == 500 and _OVER_CAPACITY.search(body.message):
        status = 503
    return _failure(status, {}, body, now_wall=now_wall)


def visible(text: str) -> str:
    """An upstream's words on one line, without markup and keys, cut to what fits into an attempt."""
    shown = redact(on_one_line(text))
    return shown if len(shown) <= MESSAGE_CHARS else shown[: MESSAGE_CHARS - 1] + "…"


def _failure(status: int, headers: Mapping[str, str], body: ErrorBody, *, now_wall: float) -> Failure:
    reading = read_message(body.message, error_type=body.type) if status in {400, 413, 429} else None
    wait_s = _wait_s(headers, body, now_wall=now_wall)
    kind = _kind(status, body, reading, waits=wait_s is not None and status in _WAITS)
    return Failure(
        kind=kind,
        message=_shown(status, body),
        status=status,
        code=body.code,
        retry_after_s=_believed(kind, status, headers, body, wait_s),
        quota=snapshot(headers, reading),
        pool=FREE_MODELS if kind is FailureKind.RATE_LIMITED and "free-models-per-" in body.message else None,
        max_tokens_limit=max_tokens_limit(body.message),
        context_window=body.context_window or context_window_limit(body.message)
        if kind is FailureKind.CONTEXT_TOO_LONG
        else None,
    )


def _wait_s(headers: Mapping[str, str], body: ErrorBody, *, now_wall: float) -> float | None:
    """Seconds that a response says to wait: the latest of what its headers, fields and words say."""
    stated, resets = stated_waits(headers, now_wall=now_wall)
    # retry-after is rounded to whole seconds, the text is exact; the later of the two is the safe one
    waits = [wait for wait in (*stated, body.wait_s, stated_wait(body.message)) if wait is not None]
    if any(waits):
        return max(waits)
    return max([*waits, *resets, *([] if body.reset_s is None else [body.reset_s])], default=None)


def _believed(
    kind: FailureKind, status: int, headers: Mapping[str, str], body: ErrorBody, wait_s: float | None
) -> float | None:
    """The wait where waiting mends the failure: Groq prints one even where it never can."""
    if kind in _NOT_MENDED_BY_WAITING:
        return None
    if status not in _WAITS and kind is not FailureKind.RATE_LIMITED:
        # of other failures, only what a header says is about them
        return wait_s if "retry-after" in headers or "retry-after-ms" in headers else None
    if wait_s is None and kind is FailureKind.RATE_LIMITED and is_per_day(f"{body.message} {body.quota}"):
        return DAILY_WAIT_S
    return wait_s


def _kind(  # noqa: C901, PLR0911 - a decision table
    status: int, body: ErrorBody, reading: LimitReading | None, *, waits: bool
) -> FailureKind:
    if reading is not None and _never_fits(status, reading):
        return FailureKind.LARGER_THAN_LIMIT
    if status == 413 and body.code == "rate_limit_exceeded":
        return FailureKind.LARGER_THAN_LIMIT
    if status == 403 and not body.is_json:
        return FailureKind.NETWORK_DENIED
    if status == 403 and body.flagged:
        return FailureKind.CONTENT_FILTERED
    for named in (body.code, body.type):
        if named is not None and named.lower() in _BY_CODE:
            return _BY_CODE[named.lower()]
    if body.code is not None and body.code.startswith("spend_"):
        return FailureKind.ORGANIZATION_REFUSED
    limited = any(named is not None and named.lower() in _REFILLS for named in (body.code, body.type)) or bool(body.quota)
    worded = kind_of_words(status, body.message, waits=waits, limited=limited)
    if worded is not None:
        return worded
    if status == 403:
        denied = "network settings" in body.message.lower()
        return FailureKind.NETWORK_DENIED if denied else FailureKind.ORGANIZATION_REFUSED
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.BAD_REQUEST


def _never_fits(status: int, reading: LimitReading) -> bool:
    too_large = reading.requested is not None and reading.capacity is not None and reading.requested > reading.capacity
    return too_large and status in {413, 429}


def _shown(status: int, body: ErrorBody) -> str:
    # what is left says which limit, with its figures: the rest stands beside it in every attempt
    message = _BOILERPLATE.sub("", redact(body.message)).strip()
    return visible(message) if message else f"HTTP {status} without an error text"
