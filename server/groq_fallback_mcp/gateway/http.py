"""What the gateway's endpoints share of HTTP: a body read, a response written without secrets, a client that leaves."""

from __future__ import annotations

import asyncio
import json
import logging
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive

from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.gateway.dialect import Dialect
from groq_fallback_mcp.gateway.refusals import Refusal, invalid, refused
from groq_fallback_mcp.redaction import clean_json, sanitize, sanitize_json
from groq_fallback_mcp.render import clean, excerpt
from groq_fallback_mcp.transcription import TranscriptAnswer

__all__ = [
    "answer_headers",
    "ascii_headers",
    "gone",
    "json_response",
    "outcome_of",
    "raw_headers",
    "read_json",
    "read_request",
    "refusal_response",
    "unless_gone",
    "who_answers",
]

_log = logging.getLogger(__name__)
T = TypeVar("T")

MOST_NOTES_CHARS = 500
# What may become half a character, as of an emoji that an agent cut in two, or a zero byte.
_UNSENDABLE = re.compile(r"\\u(?:[dD][89a-fA-F]|0000)")


async def gone(receive: Receive) -> None:
    """Until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def unless_gone(receive: Receive, work: Any) -> Any:
    """What `work` returns; None where the client left first, which ends it."""
    with anyio.CancelScope() as scope:
        leaving = asyncio.ensure_future(gone(receive))
        leaving.add_done_callback(lambda left: None if left.cancelled() else scope.cancel())
        try:
            return await work
        finally:
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
    return None


async def outcome_of(work: Awaitable[T], *, param: str | None = None) -> T | Refusal:
    """What the work returns; a refusal instead of an exception. `param` is the field that it is about."""
    try:
        return await work
    except InputRefused as error:
        refusal = refused(error)
        return refusal if param is None else replace(refusal, param=param)
    except Exception:  # noqa: BLE001 - whatever it is, it goes through the log, where keys are taken out
        _log.exception("a call failed unexpectedly")
        return Refusal(status=500, type="api_error", message="Internal error. See the gateway's log")


async def read_request(request: Request, read: Callable[[object], T | Refusal]) -> T | Refusal:
    """What `read` makes of a request's JSON, or what is wrong with it."""
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity":
        message = f"The Content-Encoding {excerpt(encoding)} is not supported. Send the body as plain JSON"
        return Refusal(status=415, code="unsupported_encoding", message=message)
    given = read_json(await request.body())
    if isinstance(given, Refusal):
        return given
    try:
        return read(given)
    except RecursionError:
        return invalid("The body is nested too deeply. Send fewer levels of content")


def read_json(content: bytes) -> object | Refusal:
    """A body's JSON, as it can be sent on, or what is wrong with it."""
    try:
        text = content.decode("utf-8", "replace").removeprefix("\ufeff")
        value: object = json.loads(text, parse_constant=lambda _: None, parse_float=_finite)
        return clean(value) if _UNSENDABLE.search(text) else value
    except (ValueError, RecursionError):
        return invalid("The body is not valid JSON. Send a JSON object")


def json_response(value: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response of JSON without secrets."""
    return Response(clean_json(value), status_code=status, headers=ascii_headers(headers or {}), media_type="application/json")


def refusal_response(refusal: Refusal, dialect: Dialect | None = None) -> Response:
    """A response that is an error, in OpenAI's form unless a dialect has another."""
    status, body = (refusal.status, refusal.body()) if dialect is None else dialect.error(refusal)
    return json_response(body, status=status, headers=refusal.all_headers())


def answer_headers(answer: Answer | TranscriptAnswer, *, session: str | None) -> dict[str, str]:
    """Who answered, and how it came about."""
    sent = [attempt for attempt in answer.attempts if attempt.sent]
    headers = who_answers(answer.provider, answer.model, session=session, notes=answer.notes)
    headers["x-groq-fallback-attempts"] = str(max(len(sent), 1))
    if answer.cost_usd is not None:
        headers["x-groq-fallback-cost-usd"] = f"{answer.cost_usd:f}"
    return headers


def who_answers(provider: str, model: str, *, session: str | None, notes: Sequence[str]) -> dict[str, str]:
    """What is known of an answer once it has begun."""
    headers = {"x-groq-fallback-model": model, "x-groq-fallback-provider": provider}
    if session is not None:
        headers["x-groq-fallback-session"] = session
    if notes:
        headers["x-groq-fallback-notes"] = "; ".join(notes)[:MOST_NOTES_CHARS]
    return headers


def ascii_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """As headers may be: printable, of one line."""
    # one look at all of them mostly finds nothing
    together = " ".join((*headers, *headers.values()))
    if together.isascii() and together.isprintable() and sanitize(together) == together:
        return dict(headers)
    return {
        name: "".join(char if " " <= char <= "~" else "?" for char in str(value))
        for name, value in sanitize_json(headers).items()
    }


def raw_headers(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """As ASGI has them."""
    return [(name.encode(), value.encode()) for name, value in ascii_headers(headers).items()]


def _finite(text: str) -> float | None:
    """A number; None beyond what JSON can hold."""
    number = float(text)
    return number if math.isfinite(number) else None
