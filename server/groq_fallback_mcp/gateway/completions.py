"""Answers in OpenAI's form: a chat completion as one object, and the chunks of a stream. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from groq_fallback_mcp.call import Success, Usage
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.gateway.refusals import Refusal
from groq_fallback_mcp.redaction import clean_json, sanitize
from groq_fallback_mcp.transcription import TranscriptAnswer

__all__ = ["DONE", "Chunks", "answer_headers", "completion", "error_event", "usage_of"]

DONE = b"data: [DONE]\n\n"
MOST_NOTES_CHARS = 500


def completion(answer: Answer, *, id_: str, created: int, include_reasoning: bool) -> dict[str, Any]:
    """The whole answer. Content is null beside tool calls alone, as OpenAI has it."""
    success = answer.success
    message: dict[str, Any] = {"role": "assistant", "content": success.text or (None if success.tool_calls else "")}
    if include_reasoning and success.reasoning:
        message["reasoning"] = success.reasoning
    if success.tool_calls:
        message["tool_calls"] = [_call(call) for call in success.tool_calls]
    return {
        "id": id_,
        "object": "chat.completion",
        "created": created,
        "model": answer.model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_of(success), "logprobs": None}],
        "usage": usage_of(success.usage),
        **_label(success),
    }


def finish_of(success: Success) -> str:
    """Why the answer ended: a call of a tool is what an agent looks for."""
    return "tool_calls" if success.tool_calls else success.finish_reason


def usage_of(usage: Usage) -> dict[str, Any]:
    """Tokens as OpenAI counts them."""
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def answer_headers(answer: Answer | TranscriptAnswer, *, session: str | None) -> dict[str, str]:
    """Who answered, and how it came about."""
    sent = [attempt for attempt in answer.attempts if attempt.sent]
    headers = {
        "x-groq-fallback-model": answer.model,
        "x-groq-fallback-provider": answer.provider,
        "x-groq-fallback-attempts": str(max(len(sent), 1)),
    }
    if answer.cost_usd is not None:
        headers["x-groq-fallback-cost-usd"] = f"{answer.cost_usd:f}"
    if session is not None:
        headers["x-groq-fallback-session"] = session
    if answer.notes:
        headers["x-groq-fallback-notes"] = "; ".join(answer.notes)[:MOST_NOTES_CHARS]
    return headers


class Chunks:
    """The events of one streamed completion. `model` is the model that answers; it may change until the first text."""

    def __init__(self, *, id_: str, created: int, model: str) -> None:
        self._id = id_
        self._created = created
        self.model = model
        self._opening: str | None = None
        self._closing = ""
        self._opened_for = ""

    def role(self) -> bytes:
        """The first event."""
        return self._event({"role": "assistant", "content": ""})

    def text(self, text: str) -> bytes:
        """More of the answer. Written without building the whole event: there are hundreds in a stream."""
        if self._opening is None or self._opened_for != self.model:
            whole = json.dumps({**self._head(), "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": None}]})
            opening, _, closing = whole.partition('"content": ""')
            self._opening, self._closing, self._opened_for = f'data: {opening}"content": ', closing + "\n\n", self.model
        return f"{self._opening}{json.dumps(sanitize(text))}{self._closing}".encode()

    def reasoning(self, text: str) -> bytes:
        """What the model thought."""
        return self._event({"reasoning": text})

    def calls(self, success: Success) -> bytes:
        """All calls of tools, each whole."""
        return self._event({"tool_calls": [{"index": at, **_call(call)} for at, call in enumerate(success.tool_calls)]})

    def end(self, success: Success) -> bytes:
        """Why the answer ended."""
        return self._event({}, finish=finish_of(success))

    def usage(self, answer: Answer) -> bytes:
        """What it took, in an event without choices."""
        usage = usage_of(answer.success.usage)
        return _data({**self._head(), "choices": [], "usage": usage, **_label(answer.success)})

    def _event(self, delta: Mapping[str, Any], *, finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return _data({**self._head(), "choices": [choice]})

    def _head(self) -> dict[str, Any]:
        return {"id": self._id, "object": "chat.completion.chunk", "created": self._created, "model": self.model}


def error_event(refusal: Refusal) -> bytes:
    """An error after text was sent: no event follows it, so no client takes the answer for whole."""
    return _data(refusal.body())


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    made = {"id": call["id"], "type": "function", "function": {"name": call["name"], "arguments": call["arguments"]}}
    return {**made, "extra_content": call["extra_content"]} if "extra_content" in call else made


def _label(success: Success) -> dict[str, Any]:
    return {"system_fingerprint": "fp_simulated"} if success.simulated else {}


def _data(value: Mapping[str, Any]) -> bytes:
    return b"data: " + clean_json(value) + b"\n\n"
