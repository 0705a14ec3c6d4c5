"""What an API is to the endpoint that serves it: how a request is read, and how its answer, its stream and its errors are written.

Three APIs are served by one engine: each is translated into the same ChatBody on the way in, and from the same Answer on the way out.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import Any, Protocol

from groq_fallback_mcp.call import Success
from groq_fallback_mcp.call.openai_fields import object_of
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.gateway.chat_body import ChatBody
from groq_fallback_mcp.gateway.refusals import Refusal
from groq_fallback_mcp.redaction import clean_json

__all__ = ["Dialect", "Exchange", "StreamWriter", "arguments_of", "label", "named_event", "new_id"]


class StreamWriter(Protocol):
    """The events of one streamed answer, as bytes. Nothing is written before a model answers."""

    model: str
    """The model that answers; it may change until the first text."""

    def begin(self, reasoning: str) -> bytes:
        """The first events, with what the model thought until now; empty where it is not known or not wanted."""
        ...

    def text(self, text: str) -> bytes:
        """More of the answer."""
        ...

    def end(self, answer: Answer) -> bytes:
        """The calls of tools, why the answer ended, what it took, and its end."""
        ...

    def broken(self, refusal: Refusal) -> bytes:
        """An error after text was sent: no event follows it, so no client takes the answer for whole."""
        ...


class Exchange(Protocol):
    """One request in its dialect, and how its answer is written."""

    @property
    def body(self) -> ChatBody:
        """The request behind it."""
        ...

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        """The answer in one piece."""
        ...

    def stream(self) -> StreamWriter:
        """The answer as it comes."""
        ...


def new_id(kind: str) -> str:
    """An id of an answer, or of a part of one, as `kind` begins it."""
    return f"{kind}{secrets.token_hex(12)}"


def label(success: Success) -> dict[str, Any]:
    """What tells a simulated answer from a real one."""
    return {"system_fingerprint": "fp_simulated"} if success.simulated else {}


def arguments_of(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call of a tool, empty where they are no object."""
    try:
        return object_of(json.loads(call["arguments"])) or {}
    except (ValueError, RecursionError):
        return {}


def named_event(kind: str, fields: Mapping[str, Any]) -> bytes:
    """An event of a stream that has its type twice, as its name and in its data."""
    return b"event: " + kind.encode() + b"\ndata: " + clean_json({"type": kind, **fields}) + b"\n\n"


class Dialect(Protocol):
    """An API."""

    def read(self, given: object, *, catalog: Catalog, now: int) -> Exchange | Refusal:
        """The request in a body of JSON that came at `now` (Unix seconds), or what is wrong with it."""
        ...

    def error(self, refusal: Refusal) -> tuple[int, Mapping[str, Any]]:
        """The status and the body of an error."""
        ...
