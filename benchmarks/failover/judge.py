"""What a client of each dialect makes of a response: the whole answer, an error, something broken, or silence.

As strict as the SDKs and agents that read it: an error must have the dialect's form, a stream its end, and each text comes once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.failover.client import Received
from benchmarks.failover.faults import GOOD_CALL, GOOD_TEXT, Fault
from benchmarks.failover.wire import TOOL

__all__ = ["DIALECTS", "Dialect", "Verdict", "verdict"]

Outcome = Literal["answer", "error", "broken", "silence"]
PROMPT = "What is the answer?"
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one request. `is_right`: it is what a client should get. `why`: what was seen."""

    outcome: Outcome
    why: str = ""
    is_right: bool = False


_RIGHT = Verdict("answer", is_right=True)


@dataclass(slots=True)
class _Heard:
    """An answer as far as it came. `finish`: what its end said, None without an end."""

    text: str = ""
    calls: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    finish: str | None = None
    error: str | None = None


class _MalformedError(Exception):
    """It is not the dialect."""


class Dialect:
    """One of the three APIs, as a client has it."""

    name: str
    path: str

    def request(self, model: str, fault: Fault, *, stream: bool, number: int) -> dict[str, Any]:
        """A request; `number` makes it a conversation of its own."""
        raise NotImplementedError

    def error(self, body: Any) -> str:
        """The message of an error response: {"error": {"message": ..}}."""
        error = _mapping(body).get("error")
        message = error.get("message") if isinstance(error, dict) else None
        if not isinstance(message, str):
            raise _MalformedError("not an error of this dialect")
        return message

    def whole(self, body: Any) -> _Heard:
        """An answer that was not streamed."""
        raise NotImplementedError

    def streamed(self, events: Sequence[tuple[str, Any]]) -> _Heard:
        """A stream's events as (name, data)."""
        raise NotImplementedError


def verdict(dialect: Dialect, received: Received, fault: Fault, *, stream: bool) -> Verdict:  # noqa: PLR0911 - a decision table
    """Judge a response."""
    if received.end == "silent":
        return Verdict("silence", f"{len(received.body)} bytes")
    if not received.status:
        return Verdict("broken", "no response")
    try:
        heard = _heard(dialect, received, stream=stream)
    except (_MalformedError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        return Verdict("broken", f"status {received.status}, {received.end}, malformed: {str(error)[:100]}")
    if heard.error is not None:
        is_right = fault.wanted == "error" and received.status in fault.statuses
        return Verdict("error", f"status {received.status}: {heard.error[:100]}", is_right)
    if heard.finish is None:
        return Verdict("broken", f"{'ends' if received.end == 'clean' else 'is cut'} without an error: {heard.text!r}")
    if not stream and received.end != "clean":
        return Verdict("broken", "is cut without an error")
    if fault.uses_tool:
        is_right = heard.finish == "tool_calls" and [_parsed(call) for call in heard.calls] == [(TOOL, json.loads(GOOD_CALL))]
        return _RIGHT if is_right else Verdict("broken", f"{heard.finish}: {heard.calls}")
    is_right = heard.finish == "stop" and not heard.calls and heard.text in {GOOD_TEXT, fault.also_right or GOOD_TEXT}
    return _RIGHT if is_right else Verdict("broken", f"{heard.finish}: {heard.text!r}")


def _parsed(call: tuple[str, str]) -> tuple[str, Any]:
    try:
        return call[0], json.loads(call[1])
    except ValueError:
        return call


def _heard(dialect: Dialect, received: Received, *, stream: bool) -> _Heard:
    if received.status >= 400:
        if received.end != "clean":
            raise _MalformedError("an error that is cut")
        return _Heard(error=dialect.error(json.loads(received.body)))
    kind = received.headers.get("content-type", "")
    if not stream:
        if received.end != "clean":
            return _Heard()
        return dialect.whole(json.loads(received.body))
    if not kind.startswith("text/event-stream"):
        raise _MalformedError(f"{kind or 'no content type'} instead of a stream: {received.body[:60]!r}")
    return dialect.streamed(_events(received.body))


def _events(body: bytes) -> Sequence[tuple[str, Any]]:
    """The events of a stream; data that is not JSON raises ValueError. "[DONE]" is kept as it is."""
    found = []
    blocks = body.decode().replace("\r\n", "\n").split("\n\n")
    for block in blocks[:-1]:
        lines = [line for line in block.split("\n") if line and not line.startswith(":")]
        if not lines:
            continue
        name = "".join(line[6:].strip() for line in lines if line.startswith("event:"))
        data = "\n".join(line[5:].strip() for line in lines if line.startswith("data:"))
        if data:
            found.append((name, data if data == "[DONE]" else json.loads(data)))
    return found


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _MalformedError(f"{type(value).__name__} instead of an object")
    return value


def _message_of(error: Any) -> str:
    return str(error.get("message") if isinstance(error, dict) else error)


class _Chat(Dialect):
    name, path = "chat", "/v1/chat/completions"

    def request(self, model: str, fault: Fault, *, stream: bool, number: int) -> dict[str, Any]:
        body = {"model": model, "stream": stream, "max_tokens": 200, "messages": [_message(fault, number)]}
        function = {"name": TOOL, "description": "Read a file.", "parameters": SCHEMA}
        return body | ({"tools": [{"type": "function", "function": function}]} if fault.uses_tool else {})

    def whole(self, body: Any) -> _Heard:
        choice = _mapping(body)["choices"][0]
        message = choice["message"]
        if (error := body.get("error") or choice.get("error")) is not None:
            return _Heard(error=_message_of(error))
        calls = [(call["function"]["name"], call["function"]["arguments"]) for call in message.get("tool_calls") or ()]
        return _Heard(text=message.get("content") or "", calls=calls, finish=choice["finish_reason"])

    def streamed(self, events: Sequence[tuple[str, Any]]) -> _Heard:
        heard = _Heard()
        calls: dict[int, list[str]] = {}
        for name, data in events:
            if data == "[DONE]":
                # a client takes what it has for whole
                heard.finish = heard.finish or "[DONE]"
                break
            if "error" in (name, *data) and data.get("error", data) is not None:
                heard.error = _message_of(data.get("error", data))
                break
            for choice in data.get("choices", ()):
                delta = choice.get("delta") or {}
                heard.text += delta.get("content") or ""
                for call in delta.get("tool_calls") or ():
                    function = call.get("function") or {}
                    held = calls.setdefault(call["index"], ["", ""])
                    held[0] += function.get("name") or ""
                    held[1] += function.get("arguments") or ""
                heard.finish = choice.get("finish_reason") or heard.finish
        heard.calls = [(name, arguments) for name, arguments in calls.values()]
        return heard


class _Responses(Dialect):
    name, path = "responses", "/v1/responses"

    def request(self, model: str, fault: Fault, *, stream: bool, number: int) -> dict[str, Any]:
        body = {"model": model, "stream": stream, "max_output_tokens": 200, "store": False, "input": [_message(fault, number)]}
        tool = {"type": "function", "name": TOOL, "description": "Read a file.", "parameters": SCHEMA, "strict": False}
        return body | ({"tools": [tool]} if fault.uses_tool else {})

    def whole(self, body: Any) -> _Heard:
        response = _mapping(body)
        if response.get("object") != "response":
            raise _MalformedError("not a response")
        if response.get("error"):
            return _Heard(error=_message_of(response["error"]))
        output = response["output"]
        texts = [part["text"] for item in output if item["type"] == "message" for part in item["content"]]
        calls = [(item["name"], item["arguments"]) for item in output if item["type"] == "function_call"]
        status = response["status"]
        return _Heard("".join(texts), calls, ("tool_calls" if calls else "stop") if status == "completed" else status)

    def streamed(self, events: Sequence[tuple[str, Any]]) -> _Heard:
        heard = _Heard()
        arguments = ""
        for name, data in events:
            if data == "[DONE]":
                continue
            match data.get("type", name):
                case "response.output_text.delta":
                    heard.text += data["delta"]
                case "response.function_call_arguments.delta":
                    arguments += data["delta"]
                case "response.completed" | "response.incomplete":
                    whole = self.whole(data["response"])
                    if whole.text != heard.text or "".join(made for _, made in whole.calls) != arguments:
                        raise _MalformedError(f"deltas {heard.text!r} {arguments!r}, but {whole.text!r} {whole.calls}")
                    return whole
                case "response.failed":
                    heard.error = _message_of(data["response"].get("error"))
                    return heard
                case "error":
                    heard.error = _message_of(data.get("error", data))
                    return heard
                case _:
                    # OpenAI's SDK raises for any event with an error
                    if data.get("error"):
                        heard.error = _message_of(data["error"])
                        return heard
        return heard


class _Messages(Dialect):
    name, path = "messages", "/v1/messages"

    def request(self, model: str, fault: Fault, *, stream: bool, number: int) -> dict[str, Any]:
        body = {"model": model, "stream": stream, "max_tokens": 200, "messages": [_message(fault, number)]}
        tool = {"name": TOOL, "description": "Read a file.", "input_schema": SCHEMA}
        return body | ({"tools": [tool]} if fault.uses_tool else {})

    def error(self, body: Any) -> str:
        if _mapping(body).get("type") != "error":
            raise _MalformedError("not an error of this dialect")
        return super().error(body)

    def whole(self, body: Any) -> _Heard:
        message = _mapping(body)
        if message.get("type") == "error":
            return _Heard(error=_message_of(message["error"]))
        if (message.get("type"), message.get("role")) != ("message", "assistant"):
            raise _MalformedError("not a message")
        content = message["content"]
        texts = [block["text"] for block in content if block["type"] == "text"]
        calls = [(block["name"], json.dumps(block["input"])) for block in content if block["type"] == "tool_use"]
        return _Heard("".join(texts), calls, _finish(message["stop_reason"]))

    def streamed(self, events: Sequence[tuple[str, Any]]) -> _Heard:
        heard = _Heard()
        calls: dict[int, list[str]] = {}
        reason = None
        for name, data in events:
            # Anthropic's SDK goes by the event's name
            match name:
                case "error":
                    heard.error = _message_of(data.get("error", data))
                    return heard
                case "content_block_start":
                    block = data["content_block"]
                    if block["type"] == "tool_use":
                        calls[data["index"]] = [block["name"], ""]
                    heard.text += block.get("text") or ""
                case "content_block_delta":
                    delta = data["delta"]
                    heard.text += delta.get("text") or ""
                    if delta["type"] == "input_json_delta":
                        calls[data["index"]][1] += delta["partial_json"]
                case "message_delta":
                    reason = data["delta"].get("stop_reason") or reason
                case "message_stop":
                    heard.finish = _finish(reason)
                    break
                case _:
                    pass
        heard.calls = [(name, arguments) for name, arguments in calls.values()]
        return heard


def _finish(reason: str | None) -> str | None:
    return {"end_turn": "stop", "stop_sequence": "stop", "tool_use": "tool_calls"}.get(reason or "", reason or "no reason")


def _message(fault: Fault, number: int) -> Mapping[str, str]:
    return {"role": "user", "content": f"[fault: {fault.slug}] [number: {number}] {PROMPT}"}


DIALECTS: Sequence[Dialect] = (_Chat(), _Responses(), _Messages())
