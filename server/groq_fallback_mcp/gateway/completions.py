"""POST /v1/chat/completions, OpenAI's older API: a chat completion as one object, and the chunks of a stream. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groq_fallback_mcp.call import Success, Usage
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.gateway.chat_body import ChatBody, read_chat_body
from groq_fallback_mcp.gateway.dialect import label, new_id
from groq_fallback_mcp.gateway.refusals import Refusal
from groq_fallback_mcp.redaction import clean_json, sanitize

__all__ = ["ChatCompletions"]

DONE = b"data: [DONE]\n\n"


class ChatCompletions:
    """The dialect of chat completions."""

    def read(self, given: object, *, catalog: Catalog, now: int) -> ChatExchange | Refusal:
        body = read_chat_body(given, catalog=catalog)
        return body if isinstance(body, Refusal) else ChatExchange(body=body, created=now)

    def error(self, refusal: Refusal) -> tuple[int, Mapping[str, Any]]:
        return refusal.status, refusal.body()


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatExchange:
    """A chat completion that was asked for at `created` (Unix seconds)."""

    body: ChatBody
    created: int

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        return completion(answer, id_=new_id("chatcmpl-"), created=self.created, body=self.body)

    def stream(self) -> Chunks:
        return Chunks(id_=new_id("chatcmpl-"), created=self.created, body=self.body)


def completion(answer: Answer, *, id_: str, created: int, body: ChatBody) -> dict[str, Any]:
    """The whole answer. Content is null beside tool calls alone, as OpenAI has it."""
    success = answer.success
    message: dict[str, Any] = {"role": "assistant", "content": success.text or (None if success.tool_calls else "")}
    if body.include_reasoning and success.reasoning:
        message["reasoning"] = success.reasoning
    if success.tool_calls:
        calls = [_call(call) for call in success.tool_calls]
        message |= {"function_call": calls[0]["function"]} if body.wants_function_call else {"tool_calls": calls}
    return {
        "id": id_,
        "object": "chat.completion",
        "created": created,
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_of(success, body), "logprobs": None}],
        "usage": usage_of(success.usage),
        **label(success),
    }


def finish_of(success: Success, body: ChatBody) -> str:
    """Why the answer ended: a call of a tool is what an agent looks for."""
    if not success.tool_calls:
        return success.finish_reason
    return "function_call" if body.wants_function_call else "tool_calls"


def usage_of(usage: Usage) -> dict[str, Any]:
    """Tokens as OpenAI counts them."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


class Chunks:
    """The events of one streamed completion. `model` is the model that answers; it may change until the first text."""

    def __init__(self, *, id_: str, created: int, body: ChatBody) -> None:
        self._id = id_
        self._body = body
        self._created = created
        self.model = ""
        self._opening: str | None = None
        self._closing = ""
        self._opened_for = ""

    def begin(self, reasoning: str) -> bytes:
        first = self._event({"role": "assistant", "content": ""})
        return first + self._event({"reasoning": reasoning}) if reasoning else first

    def text(self, text: str) -> bytes:
        # written without building the whole event: there are hundreds in a stream
        if self._opening is None or self._opened_for != self.model:
            whole = json.dumps({**self._head(), "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": None}]})
            opening, _, closing = whole.partition('"content": ""')
            self._opening, self._closing, self._opened_for = f'data: {opening}"content": ', closing + "\n\n", self.model
        return f"{self._opening}{json.dumps(sanitize(text))}{self._closing}".encode()

    def end(self, answer: Answer) -> bytes:
        success = answer.success
        last = b""
        if success.tool_calls:
            calls = [_call(call) for call in success.tool_calls]
            indexed = [{"index": at, **call} for at, call in enumerate(calls)]
            is_older = self._body.wants_function_call
            last = self._event({"function_call": calls[0]["function"]} if is_older else {"tool_calls": indexed})
        last += self._event({}, finish=finish_of(success, self._body))
        if self._body.include_usage:
            last += _data({**self._head(), "choices": [], "usage": usage_of(success.usage), **label(success)})
        return last + DONE

    def broken(self, refusal: Refusal) -> bytes:
        return _data(refusal.body())

    def _event(self, delta: Mapping[str, Any], *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _data({**self._head(), "choices": [choice]})

    def _head(self) -> dict[str, Any]:
        return {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self.model}


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    made = {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
    return {**made, "extra_content": call["extra_content"]} if "extra_content" in call else made


def _data(value: Mapping[str, Any]) -> bytes:
    return b"data: " + clean_json(value) + b"\n\n"
