"""Bytes into lines, lines into JSON-RPC messages or refusals, and messages into lines. Pure.

A line longer than the cap is thrown away while it comes, all but its ends. Codes as JSON-RPC 2.0 has them: -32700 what is not
JSON, -32600 what is not a request.
"""

from __future__ import annotations

import json
import re
from collections import deque
from dataclasses import dataclass
from typing import Any

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

from groq_fallback_mcp.json_types import is_list, is_object
from groq_fallback_mcp.render import clean, excerpt

__all__ = [
    "KEPT_OF_OVERLONG",
    "MOST_IN_BATCH",
    "LineSplitter",
    "Overlong",
    "Refusal",
    "read_line",
    "refuse_overlong",
    "write_line",
]

# A batch of more is not a client's, and each of its messages gets a reply of its own.
MOST_IN_BATCH = 256
# Of a batch that is refused, those who wait for an answer.
MOST_ANSWERED = 4_096
# Of a line that cannot be read, what is searched for its id.
MOST_SCANNED = 256 * 1024
_BOM = b"\xef\xbb\xbf"
_ONE_A_LINE = "send one JSON-RPC 2.0 message a line, in UTF-8"
_ID = rb'(-?\d{1,40}(?:\.0{1,9})?|"(?:[^"\\]|\\.){1,200}")\s*'
# A text, also one that never ends, or a bracket: enough of JSON to know how deep a name stands.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
_SPACES = re.compile(r"\s*")
_VALUE_OF_ID = re.compile(rb"\s*:\s*" + _ID + rb"(?:[,}]|$)")
_ID_IN_TAIL = re.compile(rb'"id"\s*:\s*' + _ID + rb'(?:,\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]{0,200}"\s*)*\}\s*$')
KEPT_OF_OVERLONG = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An error to answer instead of a message to handle. `id` is None where none could be read."""

    code: int
    message: str
    id: RequestId | None = None

    def as_message(self) -> JSONRPCError:
        """As the SDK has it."""
        return JSONRPCError(jsonrpc="2.0", id=self.id, error=ErrorData(code=self.code, message=self.message))


def read_line(line: bytes) -> list[JSONRPCMessage | Refusal]:
    """The messages in a line, and what is to be answered where there is none. Nothing for a blank line.

    Protocol revision 2025-03-26 has batches: each message of one is handled, and answered, by itself. A byte order mark
    is skipped.
    """
    line = line.removeprefix(_BOM)
    if not line.strip():
        return []
    value = _json(line)
    if isinstance(value, Refusal):
        return [value]
    if not is_list(value):
        return [_one(value)]
    if not 0 < len(value) <= MOST_IN_BATCH:
        message = f"a batch must have 1 to {MOST_IN_BATCH} messages, not {len(value)}; {_ONE_A_LINE}"
        ids = [number for number in map(_id_of, value) if number is not None][:MOST_ANSWERED]
        return [Refusal(code=INVALID_REQUEST, message=message, id=number) for number in (ids or (None,))]
    return [_one(item) for item in value]


def refuse_overlong(line: Overlong, cap: int) -> Refusal:
    """The refusal of a line above `cap` bytes, with its id if that stands near an end of it."""
    return Refusal(
        code=INVALID_REQUEST,
        message=f"the line has {line.size:,} bytes, the limit is {cap:,}; send less, or raise GROQ_FALLBACK_LINE_MIB",
        id=_id_near_an_end(line.head, line.tail),
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
        return _value(line)
    except ValueError as error:
        several = _several(line)
        if several is not None:
            return several
        tail = line[-KEPT_OF_OVERLONG:] if len(line) > MOST_SCANNED else b""
        # what is cut off must not end in the middle of an id
        number = _id_near_an_end(line if len(line) <= MOST_SCANNED else line[:MOST_SCANNED] + b"\0", tail)
        return Refusal(code=PARSE_ERROR, message=f"not JSON: {str(error)[:200]}; {_ONE_A_LINE}", id=number)


def _value(line: bytes) -> object:
    """What JSON holds. Raises ValueError."""
    try:
        return pydantic_core.from_json(line, allow_inf_nan=False)
    except ValueError:
        if b"\\u" not in line:
            raise
        try:
            # JavaScript writes half an emoji, cut from a prompt, as an escaped lone surrogate
            return clean(json.loads(line, parse_constant=_no_constant))
        except (ValueError, RecursionError):
            pass
        raise


def _several(line: bytes) -> list[object] | None:
    """The messages of a line whose line breaks were lost; None where it is not made of messages alone."""
    if not re.search(rb"\}\s*\{", line):
        return None
    found: list[object] = []
    try:
        text = line.decode()
        reader = json.JSONDecoder(parse_constant=_no_constant)
        at = 0
        while at < len(text) and len(found) <= MOST_IN_BATCH:
            value, end = reader.raw_decode(text, at)
            found.append(clean(value))
            at = _SPACES.match(text, end).end()  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return None
    return found


def _id_of(message: object) -> RequestId | None:
    number = message.get("id") if is_object(message) else None
    if isinstance(number, float) and number.is_integer():
        # a client whose numbers are all floats
        number = int(number)
    return number if isinstance(number, int | str) and not isinstance(number, bool) else None


def _id_near_an_end(head: bytes, tail: bytes) -> RequestId | None:
    """The id of a line that is not read as a whole, so that its sender does not wait for ever."""
    found = _id_in_head(head) or _ID_IN_TAIL.search(tail)
    if found is None:
        return None
    try:
        # what looks like an id may still be no JSON: a wrong escape, bytes that are no UTF-8
        number = _value(found[1])
    except ValueError:
        return None
    return _id_of({"id": number})


def _id_in_head(head: bytes) -> re.Match[bytes] | None:
    """The id of the message itself, never one that stands deeper."""
    depth = 0
    for token in _TOKEN.finditer(head):
        text = token[0]
        if text == b'"id"' and depth == 1:
            found = _VALUE_OF_ID.match(head, token.end())
            if found is not None:
                return found
        depth += (text in b"{[") - (text in b"}]")
    return None


def _no_constant(name: str) -> object:
    raise ValueError(name)


def _one(value: object) -> JSONRPCMessage | Refusal:
    if not is_object(value):
        return Refusal(code=INVALID_REQUEST, message=f"a message must be an object, not {excerpt(value)}; {_ONE_A_LINE}")
    return _message(_with_read_arguments(value))


def _with_read_arguments(value: dict[str, Any]) -> dict[str, Any]:
    """The message, where a client sent the arguments of a call as the JSON of an object: the SDK takes only the object."""
    params: object = value.get("params")
    if value.get("method") != "tools/call" or not is_object(params):
        return value
    arguments = params.get("arguments")
    for _ in range(2):
        if isinstance(arguments, str):
            arguments = _decoded(arguments)
    if arguments is params.get("arguments"):
        return value
    # what is not an object is named as an argument of its own, and refused with what is valid
    read = arguments if is_object(arguments) else {"arguments": arguments}
    return {**value, "params": {**params, "arguments": read}}


def _decoded(text: str) -> object:
    if not text.strip():
        return {}
    try:
        return pydantic_core.from_json(text)
    except ValueError:
        return {"arguments": text}


def _message(value: dict[str, Any]) -> JSONRPCMessage | Refusal:
    known = _id_of(value)
    if known is not None:
        value = {**value, "id": known}
    elif value.get("id", "") is None and str(value.get("method")).startswith("notifications/"):
        value = {name: field for name, field in value.items() if name != "id"}
    kind: type[JSONRPCRequest | JSONRPCNotification | JSONRPCResponse | JSONRPCError]
    if "method" in value:
        kind = JSONRPCRequest if "id" in value else JSONRPCNotification
    elif "result" in value:
        kind = JSONRPCResponse
    elif "error" in value:
        kind = JSONRPCError
    else:
        return Refusal(code=INVALID_REQUEST, message="a message must have a method, a result or an error", id=known)
    try:
        return kind.model_validate(value, by_name=False)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        return Refusal(code=INVALID_REQUEST, message=f"{field}: {first['msg']}; {_ONE_A_LINE}", id=known)


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlong:
    """What is left of a line above the cap: its size in bytes, its first and its last bytes."""

    size: int
    head: bytes
    tail: bytes


class LineSplitter:
    """Feed it chunks, take lines without their ends. Holds at most `cap` bytes of an unfinished line."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._lines: deque[bytes | Overlong] = deque()
        self._held = bytearray()
        self._size = 0
        self._head: bytes | None = None

    def feed(self, chunk: bytes) -> None:
        """Take what was read."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._take(end)
            self._lines.append(self._finished())
        if rest:
            self._take(rest)

    def next_line(self) -> bytes | Overlong | None:
        """The next complete line, or None until more is fed."""
        return self._lines.popleft() if self._lines else None

    def _take(self, piece: bytes) -> None:
        self._held += piece
        self._size += len(piece)
        if self._size > self._cap:
            if self._head is None:
                self._head = bytes(self._held[:KEPT_OF_OVERLONG])
            del self._held[:-KEPT_OF_OVERLONG]

    def _finished(self) -> bytes | Overlong:
        held = bytes(self._held)
        line = held if self._head is None else Overlong(size=self._size, head=self._head, tail=held)
        self._held, self._size, self._head = bytearray(), 0, None
        return line
