"""The body of an error, in the forms that servers are known to send: its words, codes and waits. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from groq_fallback_mcp.durations import parse_reset, parse_retry_after
from groq_fallback_mcp.providers.json_fields import mapping, rows, text_of, whole

__all__ = ["ErrorBody", "on_one_line", "read_error"]

# No upstream's error says anything later, and patterns take their time over long texts.
READ_CHARS = 4_096
# A router's message of its own; a longer one says what happened.
RELAYED_CHARS = 60
# Of objects and lists in each other, and of those looked at for a wait, and of the fields of each.
MOST_NESTED = 6
MOST_FIELDS = 200
# Of a code, or the value of a header that is quoted.
MOST_CODE_CHARS = 200
# What a model wrote, which Groq quotes in an error.
_ECHO = '"failed_generation"'
_SECONDS = {"retry_after", "retryafter", "retry_after_seconds", "retrydelay", "resets_in_seconds", "reset_in_seconds"}
_MILLISECONDS = {"retry_after_ms", "x_ms_retry_after_ms", "retryafterms"}
_STATUSES = ("status_code", "raw_status_code", "status", "code")
_CODES = {"code", "type", "error_type", "limit_source"}
_MOMENTS = {"resets_at", "reset_at", "x_ratelimit_reset"}


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """`wait_s` is what its fields, not its words, say to wait, in seconds; `reset_s` until a limit begins again. `quotas` are the
    ids of quotas that ran out, with what they allow; `codes` every code, type and limit source in it, in lower case;
    `headers` those it quotes, with lower-case names. `flagged`: a filter names what it saw. `context_window` is what llama.cpp has loaded.
    """

    message: str
    code: str | None = None
    type: str | None = None
    status: int | None = None
    wait_s: float | None = None
    reset_s: float | None = None
    quotas: tuple[tuple[str, str], ...] = ()
    codes: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    flagged: bool = False
    context_window: int | None = None
    is_json: bool = True


def read_error(text: str, *, now_wall: float) -> ErrorBody:
    """What a body says. `now_wall` (Unix seconds) is for waits that are given as a moment."""
    try:
        value = _parsed(text)
    except ValueError:
        # what begins like JSON is JSON that was cut off
        return ErrorBody(message=on_one_line(_without_echo(text)), is_json=text.lstrip().startswith(("{", "[")))
    fields = _fields_of(value)
    waits, resets = _waits(value, now_wall)
    if isinstance(fields, str) or not fields:
        # a list may be nested too deep to be written again
        message = on_one_line(fields if isinstance(fields, str) else text)
        return ErrorBody(message=message, wait_s=max(waits, default=None), reset_s=max(resets, default=None))
    metadata = mapping(fields.get("metadata")) or {}
    message = _message_of(fields)
    relayed = _relayed(metadata.get("raw"))
    return ErrorBody(
        # a router's own words say only that a provider failed, and quote what that one said
        message=on_one_line(f"{message}: {relayed}" if relayed and len(message) < RELAYED_CHARS else message),
        code=_short(fields.get("code")),
        type=_short(fields.get("type")),
        status=next((status for name in _STATUSES if (status := _status(fields.get(name))) is not None), None),
        wait_s=max(waits, default=None),
        reset_s=max(resets, default=None),
        quotas=tuple(_quotas(value)),
        codes=frozenset(
            str(given).lower() for name, given in _all_fields(value) if name in _CODES and isinstance(given, str | int)
        ),
        headers={
            name.lower(): str(given)[:MOST_CODE_CHARS] for name, given in (mapping(metadata.get("headers")) or {}).items()
        },
        flagged=bool(metadata.get("reasons") or metadata.get("flagged_input")),
        context_window=whole(fields.get("n_ctx")),
    )


def _parsed(text: str) -> object:
    """The JSON of a body, or of what comes before a model's words in one that was cut off within them. Raises ValueError."""
    forms = [text]
    if _ECHO in text:
        before = _without_echo(text).rstrip().removesuffix(",")
        forms += [before + "}", before + "}}"]
    for form in forms:
        with suppress(ValueError, RecursionError):
            return json.loads(form)
    raise ValueError(text[:RELAYED_CHARS])


def _without_echo(text: str) -> str:
    return text.split(_ECHO, maxsplit=1)[0]


def on_one_line(text: str) -> str:
    """An upstream's words without markup and line breaks, as far as they are read."""
    text = text[:READ_CHARS]
    if "<" in text and ">" in text and re.search(r"(?i)<(?:!doctype|html|head|body)", text):
        text = re.sub(r"(?is)<(?:script|style).*?</(?:script|style)>|<[^>]{0,2000}>", " ", text)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _short(given: object) -> str | None:
    text = text_of(given)
    return None if text is None else text[:MOST_CODE_CHARS]


def _status(given: object) -> int | None:
    written = isinstance(given, str) and given.isdecimal() and len(given) == 3
    status = int(given) if written and isinstance(given, str) else whole(given) or 0
    return status if 400 <= status <= 599 else None


def _quotas(value: object) -> Iterator[tuple[str, str]]:
    """The violations that Google names: `quotaId`, and `quotaValue` as a text."""
    for name, given in _all_fields(value):
        if name == "violations":
            for row in rows(given)[:MOST_FIELDS]:
                if id_ := text_of(row.get("quotaId")):
                    yield id_[:MOST_FIELDS], str(row.get("quotaValue", ""))[:RELAYED_CHARS]


def _waits(value: object, now_wall: float) -> tuple[list[float], list[float]]:
    """Every wait and every time until a reset, wherever a body has them."""
    waits: list[float | None] = []
    resets: list[float | None] = []
    for name, given in _all_fields(value):
        if isinstance(given, bool) or not isinstance(given, int | float | str):
            continue
        text = str(given)
        if name in _SECONDS:
            waits.append(parse_retry_after(text, now_wall=now_wall))
        elif name in _MILLISECONDS:
            waits.append(parse_retry_after(f"{text}ms", now_wall=now_wall))
        elif name in _MOMENTS:
            resets.append(parse_reset(text, now_wall=now_wall))
    return [wait for wait in waits if wait is not None], [reset for reset in resets if reset is not None]


def _all_fields(value: object) -> Iterator[tuple[str, object]]:
    """The fields of the first MOST_FIELDS objects of a body, also of what it quotes; names in one spelling."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    for _ in range(MOST_FIELDS):
        if not waiting:
            return
        at, depth = waiting.pop()
        inside: list[object] = []
        if isinstance(at, list):
            inside = at[:MOST_FIELDS]
        for name, inner in list((mapping(at) or {}).items())[:MOST_FIELDS]:
            yield name.lower().replace("-", "_"), inner
            inside.append(_quoted(inner) if name == "raw" else inner)
        waiting += [(each, depth + 1) for each in inside if depth < MOST_NESTED]


def _relayed(raw: object) -> str | None:
    """What the provider behind a router said, without the JSON around it."""
    inner = _fields_of(_quoted(raw))
    return (inner if isinstance(inner, str) else _message_of(inner)) or text_of(raw)


def _quoted(relayed: object) -> object:
    """The body of a provider that a router quotes as a text."""
    if not isinstance(relayed, str) or not relayed.lstrip().startswith(("{", "[")):
        return relayed
    try:
        return json.loads(relayed)
    except (ValueError, RecursionError):
        return relayed


def _fields_of(value: object) -> Mapping[str, Any] | str:
    """The object that describes an error, or the words themselves."""
    at: object = value
    for _ in range(4):
        # Gemini's compatible endpoint sends a list
        listed = at if isinstance(at, list) else [at]
        at = listed[0] if listed else None
        fields = mapping(at) or {}
        if not fields:
            break
        # OpenAI and most; Cloudflare; FastAPI, where `detail` may be an object, a list or the words; MiniMax
        inner = next((fields[name] for name in ("error", "errors", "detail", "base_resp") if fields.get(name)), None)
        if inner is None or (isinstance(inner, str) and text_of(fields.get("message"))):
            return fields
        if isinstance(inner, str):
            return {**fields, "message": inner}
        at = inner
    return at if isinstance(at, str) else (mapping(at) or {})


def _message_of(fields: Mapping[str, Any]) -> str:
    names = ("message", "msg", "error_message", "status_msg", "title", "reason")
    named = next((fields[name] for name in names if fields.get(name)), "")
    if isinstance(named, dict):
        # Mistral has the details of a validation error here
        inner = _fields_of(named)
        named = inner if isinstance(inner, str) else inner.get("message", inner.get("msg"))
    return named if isinstance(named, str) else ""
