"""POST /v1/responses, OpenAI's newer API: a response as one object, and the events of a stream, in the order that Codex reads. Pure.

A response repeats the settings of its request, but neither its instructions nor its tools: they are long, and the client has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groq_fallback_mcp.call import Usage
from groq_fallback_mcp.call.openai_fields import object_of
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.gateway.chat_body import ChatBody
from groq_fallback_mcp.gateway.dialect import arguments_of, label, named_event, new_id
from groq_fallback_mcp.gateway.refusals import Refusal, renamed
from groq_fallback_mcp.gateway.responses_body import NamedTool, ResponsesBody, read_responses_body
from groq_fallback_mcp.redaction import sanitize

__all__ = ["Responses"]

_ECHOED = (
    "reasoning",
    "temperature",
    "top_p",
    "max_output_tokens",
    "user",
    "prompt_cache_key",
    "safety_identifier",
)
# The names of fields that a chat completion calls otherwise.
_PARAMS = {"messages": "input", "response_format": "text.format"}
# Why an answer that is cut short ended, by the finish_reason of a chat completion.
_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}


class Responses:
    """The dialect of responses."""

    def read(self, given: object, *, catalog: Catalog, now: int) -> ResponsesExchange | Refusal:
        read = read_responses_body(given, catalog=catalog)
        return read if isinstance(read, Refusal) else ResponsesExchange(read=read, created=now)

    def error(self, refusal: Refusal) -> tuple[int, Mapping[str, Any]]:
        return refusal.status, renamed(refusal, _PARAMS).body()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesExchange:
    """A response that was asked for at `created` (Unix seconds)."""

    read: ResponsesBody
    created: int

    @property
    def body(self) -> ChatBody:
        return self.read.chat

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        thoughts = answer.success.reasoning if self.body.include_reasoning else None
        items = [_reasoning(new_id("rs_"), thoughts)] if thoughts else []
        if answer.success.text or not answer.success.tool_calls:
            items.append(_message(new_id("msg_"), answer.success.text))
        items += [called(call, self.read.tools) for call in answer.success.tool_calls]
        return self.finished(answer, id_=new_id("resp_"), output=items)

    def stream(self) -> ResponseEvents:
        return ResponseEvents(self, id_=new_id("resp_"))

    def response(self, *, id_: str, model: str, status: str, **more: Any) -> dict[str, Any]:
        """The response's fields, with what was asked."""
        stated = self.read.stated
        return {
            "id": id_,
            "object": "response",
            "created_at": self.created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": None,
            **{name: stated.get(name) for name in _ECHOED},
            "metadata": object_of(stated.get("metadata")) or {},
            "model": model,
            "output": [],
            "parallel_tool_calls": stated.get("parallel_tool_calls") is not False,
            "previous_response_id": None,
            "service_tier": "default",
            "store": False,
            "text": {"format": (object_of(stated.get("text")) or {}).get("format") or {"type": "text"}},
            "tool_choice": stated.get("tool_choice") or "auto",
            "tools": [],
            "truncation": "disabled",
            "usage": None,
            **more,
        }

    def finished(self, answer: Answer, *, id_: str, output: list[dict[str, Any]]) -> dict[str, Any]:
        """The whole response."""
        success = answer.success
        reason = None if success.tool_calls else _INCOMPLETE.get(success.finish_reason)
        return self.response(
            id_=id_,
            model=answer.model,
            status="completed" if reason is None else "incomplete",
            output=output,
            usage=_usage(success.usage),
            incomplete_details=None if reason is None else {"reason": reason},
            **label(success),
        )


class ResponseEvents:
    """The events of one streamed response. `model` is the model that answers; it may change until the first text."""

    def __init__(self, exchange: ResponsesExchange, *, id_: str) -> None:
        self.model = ""
        self._exchange = exchange
        self._id = id_
        self._number = 0
        self._output: list[dict[str, Any]] = []
        self._message_id: str | None = None
        self._text: list[str] = []

    def begin(self, reasoning: str) -> bytes:
        response = self._exchange.response(id_=self._id, model=self.model, status="in_progress")
        events = self._event("response.created", response=response) + self._event("response.in_progress", response=response)
        if not reasoning:
            return events
        item = _reasoning(new_id("rs_"), reasoning)
        place: dict[str, Any] = {"item_id": item["id"], "output_index": 0, "content_index": 0}
        events += self._event(
            "response.output_item.added", output_index=0, item={**item, "status": "in_progress", "content": []}
        )
        # OpenAI's own accumulator fails where a delta is for a part that was not opened
        part = item["content"][0]
        events += self._event("response.content_part.added", **place, part={**part, "text": ""})
        events += self._event("response.reasoning_text.delta", **place, delta=reasoning)
        events += self._event("response.reasoning_text.done", **place, text=reasoning)
        events += self._event("response.content_part.done", **place, part=part)
        return events + self._done(item)

    def text(self, text: str) -> bytes:
        events = b"" if self._message_id is not None else self._open_message()
        self._text.append(text)
        # written without building the whole event: there are hundreds in a stream
        event = (
            f'event: response.output_text.delta\ndata: {{"type": "response.output_text.delta", "item_id": "{self._message_id}", '
            f'"output_index": {len(self._output)}, "content_index": 0, "delta": {json.dumps(sanitize(text))}, "logprobs": [], '
            f'"sequence_number": {self._next()}}}\n\n'
        )
        return events + event.encode()

    def end(self, answer: Answer) -> bytes:
        success = answer.success
        events = b""
        if self._message_id is None and not success.tool_calls:
            events += self._open_message()
        if self._message_id is not None:
            item = _message(self._message_id, "".join(self._text))
            part, place = item["content"][0], {"item_id": item["id"], "output_index": len(self._output), "content_index": 0}
            events += self._event("response.output_text.done", **place, text=part["text"], logprobs=[])
            events += self._event("response.content_part.done", **place, part=part) + self._done(item)
        for call in success.tool_calls:
            events += self._called(called(call, self._exchange.read.tools))
        response = self._exchange.finished(answer, id_=self._id, output=self._output)
        return events + self._event(f"response.{response['status']}", response=response)

    def broken(self, refusal: Refusal) -> bytes:
        error = {"code": "server_error", "message": refusal.message}
        response = self._exchange.response(id_=self._id, model=self.model, status="failed", error=error, output=self._output)
        return self._event("response.failed", response=response)

    def _open_message(self) -> bytes:
        self._message_id = new_id("msg_")
        item = {**_message(self._message_id, ""), "status": "in_progress"}
        part = item["content"][0]
        place = {"item_id": self._message_id, "output_index": len(self._output)}
        events = self._event("response.output_item.added", output_index=len(self._output), item={**item, "content": []})
        return events + self._event("response.content_part.added", **place, content_index=0, part=part)

    def _called(self, item: dict[str, Any]) -> bytes:
        """A call, whole: an agent cannot act on half of one."""
        name, kind = (
            ("input", "custom_tool_call_input")
            if item["type"] == "custom_tool_call"
            else ("arguments", "function_call_arguments")
        )
        index, place = len(self._output), {"item_id": item["id"], "output_index": len(self._output)}
        events = self._event("response.output_item.added", output_index=index, item={**item, name: "", "status": "in_progress"})
        events += self._event(f"response.{kind}.delta", **place, delta=item[name])
        done = {name: item[name], **({"name": item["name"]} if name == "arguments" else {})}
        return events + self._event(f"response.{kind}.done", **place, **done) + self._done(item)

    def _done(self, item: dict[str, Any]) -> bytes:
        event = self._event("response.output_item.done", output_index=len(self._output), item=item)
        self._output.append(item)
        return event

    def _event(self, kind: str, **fields: Any) -> bytes:
        return named_event(kind, {**fields, "sequence_number": self._next()})

    def _next(self) -> int:
        number, self._number = self._number, self._number + 1
        return number


def called(call: Mapping[str, Any], tools: Mapping[str, NamedTool]) -> dict[str, Any]:
    """A call as its client offered the tool."""
    tool = tools.get(call["name"]) or NamedTool(call["name"])
    named: dict[str, Any] = {"name": tool.name, **({"namespace": tool.namespace} if tool.namespace else {})}
    if tool.is_custom:
        return {
            "id": new_id("ctc_"),
            "type": "custom_tool_call",
            "status": "completed",
            "call_id": call["id"],
            **named,
            "input": _input(call),
        }
    return {
        "id": new_id("fc_"),
        "type": "function_call",
        "status": "completed",
        "call_id": call["id"],
        **named,
        "arguments": call["arguments"],
    }


def _input(call: Mapping[str, Any]) -> str:
    """The text that a custom tool is called with."""
    found = arguments_of(call).get("input")
    return found if isinstance(found, str) else str(call["arguments"])


def _message(id_: str, text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": id_, "type": "message", "status": "completed", "role": "assistant", "content": [part]}


def _reasoning(id_: str, text: str) -> dict[str, Any]:
    content = [{"type": "reasoning_text", "text": text}]
    return {"id": id_, "type": "reasoning", "summary": [], "content": content, "encrypted_content": None, "status": "completed"}


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
