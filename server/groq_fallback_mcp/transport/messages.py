"""Lines into JSON-RPC messages or refusals, and messages into lines. Pure.

Codes as JSON-RPC 2.0 has them: -32700 what is not JSON, -32600 what is no request.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, cast

import pydantic_core
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)
from pydantic import ValidationError

from groq_fallback_mcp.render import clean
from groq_fallback_mcp.transport.lines import Overlong

__all__ = ["Refusal", "read_line", "refuse_overlong", "write_line"]

_ONE_A_LINE = "send one JSON-RPC 2.0 message a line, in UTF-8"
_ID = rb'"id"\s*:\s*(-?\d{1,18}|"(?:[^"\\]|\\.){1,200}")\s*'
_ID_IN_HEAD = re.compile(rb'\s*\{(?:\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]{0,200}"\s*,)*\s*' + _ID + rb"[,}]")
_ID_IN_TAIL = re.compile(_ID + rb'(?:,\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]{0,200}"\s*)*\}\s*$')


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error to answer instead of a message to handle. `id` is None where none could be read."""

    code: int
    message: str
    id: RequestId | None = None

    def as_message(self) -> JSONRPCError:
        """As the SDK has it."""
        return JSONRPCError(jsonrpc="2.0", id=self.id, error=ErrorData(code=self.code, message=self.message))


def read_line(line: bytes) -> JSONRPCMessage | Refusal | None:
    """The message in a line, why there is none, or None for a blank line."""
    if not line.strip():
        return None
    value = _json(line)
    if isinstance(value, Refusal):
        return value
    if isinstance(value, list):
        return Refusal(code=INVALID_REQUEST, message=f"batches are not part of MCP; {_ONE_A_LINE}")
    if not isinstance(value, dict):
        return Refusal(code=INVALID_REQUEST, message=f"a message is an object, not {type(value).__name__}; {_ONE_A_LINE}")
    return _message(cast("dict[str, Any]", value))


def refuse_overlong(line: Overlong, cap: int) -> Refusal:
    """The refusal of a line above `cap` bytes, with its id if that stands near an end of it."""
    found = _ID_IN_HEAD.match(line.head) or _ID_IN_TAIL.search(line.tail)
    # what looks like an id may still be no JSON: a wrong escape, bytes that are no UTF-8
    number = _json(found[1]) if found else None
    return Refusal(
        code=INVALID_REQUEST,
        message=f"the line has {line.size:,} bytes, the limit is {cap:,}; send less, or raise GROQ_FALLBACK_LINE_MIB",
        id=number if isinstance(number, int | str) else None,
    )


def write_line(message: JSONRPCMessage) -> bytes:
    """The message as one line. What no JSON reader takes is replaced; what cannot be written at all becomes an error."""
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except (ValueError, TypeError, RecursionError):
        # a lone surrogate above all: a model's text can hold one
        pass
    try:
        plain = clean(message.model_dump(by_alias=True, exclude_unset=True))
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
    except (ValueError, TypeError, RecursionError) as error:
        number = message.id if isinstance(message, JSONRPCResponse | JSONRPCRequest | JSONRPCError) else None
        refusal = Refusal(
            code=INTERNAL_ERROR, message=f"the result cannot be written as JSON: {type(error).__name__}", id=number
        )
        return refusal.as_message().model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


def _json(line: bytes) -> object:
    try:
        return cast("object", pydantic_core.from_json(line, allow_inf_nan=False))
    except ValueError as error:
        first = str(error)
    if b"\\u" in line:
        # JavaScript writes half an emoji, cut from a prompt, as an escaped lone surrogate
        try:
            return clean(json.loads(line, parse_constant=_no_constant))
        except (ValueError, RecursionError):
            pass
    return Refusal(code=PARSE_ERROR, message=f"not JSON: {first[:200]}; {_ONE_A_LINE}")


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _message(value: dict[str, Any]) -> JSONRPCMessage | Refusal:
    number = value.get("id")
    known = number if isinstance(number, str) or (isinstance(number, int) and not isinstance(number, bool)) else None
    kind: type[JSONRPCRequest | JSONRPCNotification | JSONRPCResponse | JSONRPCError]
    if "method" in value:
        kind = JSONRPCRequest if "id" in value else JSONRPCNotification
    elif "result" in value:
        kind = JSONRPCResponse
    elif "error" in value:
        kind = JSONRPCError
    else:
        return Refusal(code=INVALID_REQUEST, message="a message has a method, a result or an error; this has none", id=known)
    try:
        return kind.model_validate(value, by_name=False)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return Refusal(code=INVALID_REQUEST, message=f"{field}: {first['msg']}; {_ONE_A_LINE}", id=known)
