"""From a refusing HTTP response to a `Failure`: by status, `error.code` and `error.message`, in that order of trust.

What the catalog knows of a provider's errors decides before that. `failed_generation` echoes model output and is never looked at. Bodies may be HTML, empty or odd JSON. The table of
codes and texts is from public issue threads and Groq's documentation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from groq_fallback_mcp.call import Failure, FailureKind, LimitReading
from groq_fallback_mcp.catalog import ProviderError, ProviderRow
from groq_fallback_mcp.durations import seconds_until_day_ends, stated_waits
from groq_fallback_mcp.providers.error_body import ErrorBody, on_one_line, read_error
from groq_fallback_mcp.providers.error_words import context_window_limit, is_per_day, kind_of_words, max_tokens_limit
from groq_fallback_mcp.providers.rate_limit_headers import (
    Sender,
    read_message,
    read_quotas,
    resets_of_spent,
    snapshot,
    stated_wait,
)
from groq_fallback_mcp.redaction import redact

__all__ = ["classify", "classify_stream_error", "visible"]

MESSAGE_CHARS = 300
# What OpenRouter calls the limits that all its free models share.
_OF_A_POOL = "free-models-per-"
# Of a limit per day of Groq's, which comes back bit by bit, where it does not say when: asking again costs a request.
DAILY_WAIT_S = 3_600.0
# Of a limit of any other provider that does not say when it begins again: most are counted per minute.
UNSTATED_WAIT_S = 60.0
# Only Google names quotas by id.
_DAY_OF_QUOTAS = "America/Los_Angeles"
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
    410: FailureKind.MODEL_GONE,
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
_NAMES_A_MODEL = re.compile(r"\bmodel\b(?! (?:provider|hub))", re.IGNORECASE)
_OVER_CAPACITY = re.compile(r"over capacity", re.IGNORECASE)


def classify(status: int, headers: Mapping[str, str], body: str, *, now_wall: float, sender: Sender = "groq") -> Failure:
    """The failure a response with an error status stands for.

    `headers` have lower-case names; `now_wall` (Unix seconds) is for waits that are given as a moment.
    """
    return _failure(status, headers, read_error(body, now_wall=now_wall), now_wall=now_wall, sender=sender)


def classify_stream_error(data: str, *, now_wall: float, sender: Sender = "groq") -> Failure:
    """The failure an error inside a response with status 200 stands for; it may be an object or a bare string."""
    body = read_error(data, now_wall=now_wall)
    status = body.status or _usual_status(body, sender) or 500
    if status == 500 and _OVER_CAPACITY.search(body.message):
        status = 503
    return _failure(status, {}, body, now_wall=now_wall, sender=sender)


def visible(text: str) -> str:
    """An upstream's words on one line, without markup and keys, cut to what fits into an attempt."""
    shown = redact(on_one_line(text))
    return shown if len(shown) <= MESSAGE_CHARS else shown[: MESSAGE_CHARS - 1] + "…"


def _failure(status: int, headers: Mapping[str, str], body: ErrorBody, *, now_wall: float, sender: Sender) -> Failure:
    headers = {**body.headers, **headers}
    reading = read_message(body.message, error_type=body.type) if status in {400, 413, 429} else None
    waits, resets = _waits(headers, body, now_wall=now_wall, sender=sender)
    wait_s = max(waits) if any(waits) else max([*waits, *resets], default=None)
    known = _known(status, body, sender)
    kind = known.kind if known is not None else _kind(status, body, reading, waits=wait_s is not None and status in _WAITS)
    day_s = max(resets) if any(resets) else _until_day_ends(body, sender, now_wall)
    return Failure(
        kind=kind,
        message=_shown(status, body),
        status=status,
        code=body.code,
        retry_after_s=_believed(kind, status, headers, body, wait_s, known=known, day_s=day_s, sender=sender),
        quota=snapshot(
            headers,
            (*([] if reading is None else [reading]), *read_quotas(body.quotas)),
            sender=sender,
            now_wall=now_wall,
            day_is_spent=known is not None and known.wait == "day",
        ),
        scope=_scope(kind, body, known),
        max_tokens_limit=max_tokens_limit(body.message),
        context_window=body.context_window or context_window_limit(body.message)
        if kind is FailureKind.CONTEXT_TOO_LONG
        else None,
    )


def _known(status: int, body: ErrorBody, sender: Sender) -> ProviderError | None:
    """What the catalog says of an error of this provider, None where it says nothing or sources disagree."""
    return next((row for row in _rows_of(sender) if row.status == status and _fits(row, body)), None)


def _usual_status(body: ErrorBody, sender: Sender) -> int | None:
    """The status with which a provider sends an error of this code or these words."""
    return next((row.status for row in _rows_of(sender) if (row.code or row.words) and _fits(row, body)), None)


def _rows_of(sender: Sender) -> Sequence[ProviderError]:
    return [row for row in sender.errors if not row.uncertain] if isinstance(sender, ProviderRow) else ()


def _fits(row: ProviderError, body: ErrorBody) -> bool:
    text = " ".join((body.message, *(id_ for id_, _ in body.quotas))).lower()
    coded = row.code is None or row.code.lower() in body.codes
    return coded and (row.words is None or row.words.lower() in text)


def _scope(kind: FailureKind, body: ErrorBody, known: ProviderError | None) -> Literal["model", "pool", "provider"]:
    if known is not None:
        return known.scope
    return "pool" if kind is FailureKind.RATE_LIMITED and _OF_A_POOL in body.message else "model"


def _waits(headers: Mapping[str, str], body: ErrorBody, *, now_wall: float, sender: Sender) -> tuple[list[float], list[float]]:
    """The seconds that headers, fields and words of a response say to wait, and those until a limit begins again."""
    stated, resets = stated_waits(headers, now_wall=now_wall)
    # retry-after is rounded to whole seconds, the text is exact; the later of the two is the safe one
    waits = [wait for wait in (*stated, body.wait_s, stated_wait(body.message)) if wait is not None]
    resets += [] if body.reset_s is None else [body.reset_s]
    resets += [] if sender == "groq" else resets_of_spent(headers, sender=sender, now_wall=now_wall)
    return waits, resets


def _until_day_ends(body: ErrorBody, sender: Sender, now_wall: float) -> float:
    if isinstance(sender, ProviderRow):
        return seconds_until_day_ends(sender.day_ends, now_wall)
    return seconds_until_day_ends(_DAY_OF_QUOTAS if body.quotas else "UTC", now_wall)


def _believed(  # noqa: PLR0911 - a decision table
    kind: FailureKind,
    status: int,
    headers: Mapping[str, str],
    body: ErrorBody,
    wait_s: float | None,
    *,
    known: ProviderError | None,
    day_s: float,
    sender: Sender,
) -> float | None:
    """The wait where waiting mends the failure: Groq prints one even where it never can. `day_s`: until the day ends."""
    if kind in _NOT_MENDED_BY_WAITING or (known is not None and known.wait == "none"):
        return None
    if known is not None and known.wait == "day":
        return day_s
    if status not in _WAITS and kind is not FailureKind.RATE_LIMITED:
        # of other failures, only what a header says is about them
        return wait_s if "retry-after" in headers or "retry-after-ms" in headers else None
    if kind is not FailureKind.RATE_LIMITED:
        return wait_s
    if any("perday" in id_.lower() for id_, _ in body.quotas):
        # it comes with some seconds to wait all the same
        return day_s
    if wait_s is not None:
        return wait_s
    if is_per_day(body.message):
        return DAILY_WAIT_S if sender == "groq" else day_s
    return None if sender == "groq" else UNSTATED_WAIT_S


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
    limited = any(named is not None and named.lower() in _REFILLS for named in (body.code, body.type)) or bool(body.quotas)
    worded = kind_of_words(status, body.message, waits=waits, limited=limited)
    if worded is not None:
        return worded
    if status == 403:
        if "network settings" in body.message.lower():
            return FailureKind.NETWORK_DENIED
        return FailureKind.MODEL_BLOCKED if _NAMES_A_MODEL.search(body.message) else FailureKind.ORGANIZATION_REFUSED
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
