"""The body of an error, in the forms that servers are known to send: its words, codes and waits. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from groq_fallback_mcp.durations import parse_reset, parse_retry_after
from groq_fallback_mcp.providers.json_fields import mapping, text_of, whole

__all__ = ["ErrorBody", "on_one_line", "read_error"]

# No upstream's error says anything later, and patterns take their time over long texts.
READ_CHARS = 4_096
# A router's message of its own; a longer one says what happened.
RELAYED_CHARS = 60
# Of objects and lists in each other, and of those looked at for a wait, and of the fields of each.
MOST_NESTED = 6
MOST_FIELDS = 200
_SECONDS = {"retry_after", "retryafter", "retry_after_seconds", "retrydelay", "resets_in_seconds", "reset_in_seconds"}
_MILLISECONDS = {"retry_after_ms", "x_ms_retry_after_ms", "retryafterms"}
_MOMENTS = {"resets_at", "reset_at", "x_ratelimit_reset"}


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """`wait_s` is what its fields, not its words, say to wait, in seconds; `reset_s` until a limit begins again. `quota` names
    the quota that ran out, `flagged` that a filter names what it saw. `context_window` is what llama.cpp has loaded.
    """

    message: str
    code: str | None = None
    type: str | None = None
    status: int | None = None
    wait_s: float | None = None
    reset_s: float | None = None
    quota: str = ""
    flagged: bool = False
    context_window: int | None = None
    is_json: bool = True


def read_error(text: str, *, now_wall: float) -> ErrorBody:
    """What a body says. `now_wall` (Unix seconds) is for waits that are given as a moment."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return ErrorBody(message=on_one_line(text), is_json=False)
    fields = _fields_of(value)
    waits, resets, quotas = _waits(value, now_wall)
    if isinstance(fields, str) or not fields:
        # a list may be nested too deep to be written again
        message = on_one_line(fields if isinstance(fields, str) else text)
        return ErrorBody(message=message, wait_s=max(waits, default=None), reset_s=max(resets, default=None))
    metadata = mapping(fields.get("metadata")) or {}
    code = fields.get("status_code", fields.get("code"))
    status = int(code) if isinstance(code, int) or (isinstance(code, str) and code.isdecimal() and len(code) == 3) else 0
    message = _message_of(fields)
    relayed = _relayed(metadata.get("raw"))
    return ErrorBody(
        # a router's own words say only that a provider failed, and quote what that one said
        message=on_one_line(f"{message}: {relayed}" if relayed and len(message) < RELAYED_CHARS else message),
        code=text_of(fields.get("code")),
        type=text_of(fields.get("type")),
        status=status if 400 <= status <= 599 else None,
        wait_s=max(waits, default=None),
        reset_s=max(resets, default=None),
        quota=" ".join(quotas),
        flagged=bool(metadata.get("reasons") or metadata.get("flagged_input")),
        context_window=whole(fields.get("n_ctx")),
    )


def on_one_line(text: str) -> str:
    """An upstream's words without markup and line breaks, as far as they are read."""
    text = text[:READ_CHARS]
    if "<" in text and ">" in text and re.search(r"(?i)<(?:!doctype|html|head|body)", text):
        text = re.sub(r"(?is)<(?:script|style).*?</(?:script|style)>|<[^>]{0,2000}>", " ", text)
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _waits(value: object, now_wall: float) -> tuple[list[float], list[float], list[str]]:
    """Every wait, every time until a reset, and the names of quotas, wherever a body has them."""
    waits: list[float | None] = []
    resets: list[float | None] = []
    quotas: list[str] = []
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
        elif name == "quotaid":
            quotas.append(text[:READ_CHARS])
    return [wait for wait in waits if wait is not None], [reset for reset in resets if reset is not None], quotas


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
