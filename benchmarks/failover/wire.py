"""The bytes that a model sends in the two APIs that gateways use: chat completions, and OpenAI's responses."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = ["TOOL", "ChatWire", "ResponsesWire", "Wire", "error_body", "head", "response"]

TOOL = "read_file"
CREATED = 1_790_000_000
REASONS = {408: "Request Timeout", 429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}


def head(status: int, kind: str, *, length: int | None = None, **more: str) -> bytes:
    """The head of a response; chunked without a length."""
    framing = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
    stated = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in more.items())
    return f"HTTP/1.1 {status} {REASONS.get(status, 'X')}\r\ncontent-type: {kind}\r\n{framing}\r\n{stated}\r\n".encode()


def response(status: int, body: bytes, kind: str = "application/json", **more: str) -> bytes:
    """A whole response."""
    return head(status, kind, length=len(body), **more) + body


def error_body(message: str, *, code: str | int | None = None, type_: str = "invalid_request_error") -> bytes:
    """An error as Groq gives it."""
    return json.dumps({"error": {"message": message, "type": type_, "code": code}}).encode()


class Wire(Protocol):
    """One answer. Pieces of a stream are events; `words` and `call` may be followed by `ending`."""

    def words(self, words: Sequence[str]) -> Sequence[bytes]:
        """A text, one event a word."""
        ...

    def call(self, arguments: Sequence[str]) -> Sequence[bytes]:
        """One tool call, its arguments in pieces."""
        ...

    def ending(self, finish: str | None) -> Sequence[bytes]:
        """The end of the answer."""
        ...

    def error_event(self, message: str) -> bytes:
        """An error in the stream."""
        ...

    def whole(self, text: str | None, arguments: str | None = None, *, finish: str | None, error: str | None = None) -> bytes:
        """The body of an answer that is not streamed."""
        ...


class ChatWire:
    """OpenAI's chat completions, with Groq's fields."""

    def __init__(self, model: str) -> None:
        self._base = {
            "id": "chatcmpl-1",
            "created": CREATED,
            "model": model,
            "service_tier": "on_demand",
            "x_groq": {"id": "req_1"},
        }
        self._usage = {"prompt_tokens": 20, "completion_tokens": 10, "total_tokens": 30}

    def words(self, words: Sequence[str]) -> Sequence[bytes]:
        """A text, one event a word."""
        return [self._delta({"role": "assistant", "content": ""}), *(self._delta({"content": word}) for word in words)]

    def call(self, arguments: Sequence[str]) -> Sequence[bytes]:
        """One tool call, its arguments in pieces."""
        first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": TOOL, "arguments": ""}}
        pieces = [{"index": 0, "function": {"arguments": piece}} for piece in arguments]
        opening = self._delta({"role": "assistant", "content": None, "tool_calls": [first]})
        return [opening, *(self._delta({"tool_calls": [piece]}) for piece in pieces)]

    def ending(self, finish: str | None) -> Sequence[bytes]:
        """The last chunk and [DONE]."""
        return [self._delta({}, finish, usage=self._usage), b"data: [DONE]\n\n"]

    def error_event(self, message: str) -> bytes:
        """An error in the stream."""
        return b"data: " + error_body(message, code=503, type_="internal_server_error") + b"\n\n"

    def whole(self, text: str | None, arguments: str | None = None, *, finish: str | None, error: str | None = None) -> bytes:
        """A completion."""
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if arguments is not None:
            function = {"name": TOOL, "arguments": arguments}
            message["tool_calls"] = [{"id": "call_1", "type": "function", "function": function}]
        choice: dict[str, Any] = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        if error is not None:
            choice["error"] = {"code": 502, "message": error}
        return json.dumps({**self._base, "object": "chat.completion", "choices": [choice], "usage": self._usage}).encode()

    def _delta(self, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        body = {**self._base, "object": "chat.completion.chunk", "choices": [choice], **more}
        return b"data: " + json.dumps(body).encode() + b"\n\n"


class ResponsesWire:
    """OpenAI's responses, for gateways that pass them on as they are."""

    def __init__(self, model: str) -> None:
        self._response: dict[str, Any] = {
            "id": "resp_1",
            "object": "response",
            "created_at": CREATED,
            "model": model,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            "metadata": {},
            "parallel_tool_calls": True,
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "output": [],
            "usage": None,
        }
        self._usage = {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 30,
        }
        self._number = 0
        self._item: dict[str, Any] = {}

    def words(self, words: Sequence[str]) -> Sequence[bytes]:
        """A message, one event a word."""
        place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
        self._item = self._message("".join(words), "completed")
        empty = {**self._message("", "in_progress"), "content": []}
        return [
            *self._opening(empty),
            self._event("response.content_part.added", **place, part={"type": "output_text", "text": "", "annotations": []}),
            *(self._event("response.output_text.delta", **place, delta=word, logprobs=[]) for word in words),
        ]

    def call(self, arguments: Sequence[str]) -> Sequence[bytes]:
        """A call, its arguments in pieces."""
        place = {"item_id": "fc_1", "output_index": 0}
        self._item = self._function_call("".join(arguments), "completed")
        return [
            *self._opening(self._function_call("", "in_progress")),
            *(self._event("response.function_call_arguments.delta", **place, delta=piece) for piece in arguments),
        ]

    def ending(self, finish: str | None) -> Sequence[bytes]:
        """What is done, and the response; it remains in progress where `finish` is None."""
        place = {"item_id": self._item["id"], "output_index": 0}
        if "arguments" in self._item:
            done = [self._event("response.function_call_arguments.done", **place, arguments=self._item["arguments"])]
        else:
            place["content_index"] = 0
            part = self._item["content"][0]
            done = [
                self._event("response.output_text.done", **place, text=part["text"], logprobs=[]),
                self._event("response.content_part.done", **place, part=part),
            ]
        done.append(self._event("response.output_item.done", output_index=0, item=self._item))
        if finish is None:
            return done
        body = {**self._response, "status": "completed", "output": [self._item], "usage": self._usage}
        return [*done, self._event("response.completed", response=body)]

    def error_event(self, message: str) -> bytes:
        """An error in the stream."""
        return self._event("error", code="server_error", message=message, param=None)

    def whole(self, text: str | None, arguments: str | None = None, *, finish: str | None, error: str | None = None) -> bytes:
        """A response."""
        status = "completed" if finish else "in_progress"
        body = {**self._response, "status": "failed" if error else status, "usage": self._usage}
        item_status = "completed" if finish else "incomplete"
        item = self._message(text or "", item_status) if arguments is None else self._function_call(arguments, item_status)
        body["output"] = [item]
        if error is not None:
            body["error"] = {"code": "server_error", "message": error}
        return json.dumps(body).encode()

    def _opening(self, item: Mapping[str, Any]) -> Sequence[bytes]:
        return [
            self._event("response.created", response=self._response),
            self._event("response.in_progress", response=self._response),
            self._event("response.output_item.added", output_index=0, item=item),
        ]

    def _message(self, text: str, status: str) -> dict[str, Any]:
        content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
        return {"id": "msg_1", "type": "message", "role": "assistant", "status": status, "content": content}

    def _function_call(self, arguments: str, status: str) -> dict[str, Any]:
        return {
            "id": "fc_1",
            "type": "function_call",
            "call_id": "call_1",
            "name": TOOL,
            "arguments": arguments,
            "status": status,
        }

    def _event(self, type_: str, **more: Any) -> bytes:
        body = {"type": type_, "sequence_number": self._number, **more}
        self._number += 1
        return f"event: {type_}\ndata: {json.dumps(body)}\n\n".encode()
