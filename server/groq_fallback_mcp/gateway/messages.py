"""POST /v1/messages and /v1/messages/count_tokens, Anthropic's API: a message as one object, and the events of a stream. Pure.

Which stop sequence ended an answer is not told by the models here, so that is an end_turn as any other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groq_fallback_mcp.call import Success, Usage
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.gateway.chat_body import ChatBody
from groq_fallback_mcp.gateway.dialect import arguments_of, label, named_event, new_id
from groq_fallback_mcp.gateway.messages_body import NO_THREADS, read_messages_body
from groq_fallback_mcp.gateway.refusals import TOO_LARGE, Refusal, renamed
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens
from groq_fallback_mcp.redaction import sanitize

__all__ = ["Messages", "counted"]

_OVERLOADED = (529, "overloaded_error")
# (status, type) of Anthropic's errors by our status; any other is an api_error with the status that it has.
_ERRORS = {
    400: (400, "invalid_request_error"),
    401: (401, "authentication_error"),
    402: (402, "billing_error"),
    403: (403, "permission_error"),
    404: (404, "not_found_error"),
    405: (405, "invalid_request_error"),
    408: (408, "timeout_error"),
    413: (413, "request_too_large"),
    421: (421, "invalid_request_error"),
    429: (429, "rate_limit_error"),
    503: _OVERLOADED,
    504: (504, "timeout_error"),
}
# The names of fields that a chat completion calls otherwise.
_PARAMS = {"stop": "stop_sequences", "response_format": "output_config.format"}
_STOPPED = {"length": "max_tokens", "content_filter": "refusal"}
# The words by which Claude Code knows a prompt that it need not send again; it reads the figures behind them, too.
_TOO_LONG = "prompt is too long"


class Messages:
    """The dialect of messages."""

    def read(self, given: object, *, catalog: Catalog, now: int) -> MessagesExchange | Refusal:
        del now
        body = read_messages_body(given, catalog=catalog)
        return body if isinstance(body, Refusal) else MessagesExchange(body=body)

    def error(self, refusal: Refusal) -> tuple[int, Mapping[str, Any]]:
        status, kind = _OVERLOADED if refusal.overloaded else _ERRORS.get(refusal.status, (refusal.status, "api_error"))
        message = renamed(refusal, _PARAMS).message
        if refusal.code == TOO_LARGE:
            counted = "" if refusal.tokens is None else f": {refusal.tokens} tokens > {refusal.most_tokens} maximum"
            message = f"{_TOO_LONG}{counted}. {message}"
        error: dict[str, Any] = {"type": kind, "message": message}
        if refusal.code == NO_THREADS:
            error["details"] = {"error_code": NO_THREADS, "unsupported": ["thread"]}
        return status, {"type": "error", "error": error, "request_id": new_id("req_")}


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagesExchange:
    """A message that was asked for."""

    body: ChatBody

    def whole(self, answer: Answer) -> Mapping[str, Any]:
        success = answer.success
        thoughts = success.reasoning if self.body.include_reasoning else None
        content = [_thinking(thoughts)] if thoughts else []
        content += [{"type": "text", "text": success.text}] if success.text or not success.tool_calls else []
        content += [_tool_use(call, self.body.tool_names) for call in success.tool_calls]
        message = _message(new_id("msg_"), answer.model, usage=_usage(success.usage))
        return {**message, "content": content, "stop_reason": _stop_reason(success), **label(success)}

    def stream(self) -> MessageEvents:
        return MessageEvents(id_=new_id("msg_"), tool_names=self.body.tool_names)


class MessageEvents:
    """The events of one streamed message. `model` is the model that answers; it may change until the first text."""

    def __init__(self, *, id_: str, tool_names: Mapping[str, str]) -> None:
        self.model = ""
        self._tool_names = tool_names
        self._id = id_
        self._blocks = 0
        self._opening: str | None = None

    def begin(self, reasoning: str) -> bytes:
        # what it took is known at the end only
        events = _event("message_start", message=_message(self._id, self.model, usage=_usage(Usage())))
        events += _event("ping")
        if not reasoning:
            return events
        thinking = _thinking(reasoning)
        deltas = [
            {"type": "thinking_delta", "thinking": thinking["thinking"]},
            {"type": "signature_delta", "signature": thinking["signature"]},
        ]
        return events + self._block({**thinking, "thinking": "", "signature": ""}, *deltas)

    def text(self, text: str) -> bytes:
        events = b""
        if self._opening is None:
            events = _event("content_block_start", index=self._blocks, content_block={"type": "text", "text": ""})
            self._opening = (
                f'event: content_block_delta\ndata: {{"type": "content_block_delta", "index": {self._blocks}, '
                '"delta": {"type": "text_delta", "text": '
            )
        # written without building the whole event: there are hundreds in a stream
        return events + f"{self._opening}{json.dumps(sanitize(text))}}}}}\n\n".encode()

    def end(self, answer: Answer) -> bytes:
        success = answer.success
        events = b""
        if self._opening is None and not success.tool_calls:
            events = self.text("")
        if self._opening is not None:
            events += self._close()
        for call in success.tool_calls:
            used = _tool_use(call, self._tool_names)
            delta = {"type": "input_json_delta", "partial_json": json.dumps(used["input"])}
            events += self._block({**used, "input": {}}, delta)
        stop = {"stop_reason": _stop_reason(success), "stop_sequence": None}
        events += _event("message_delta", delta=stop, usage=_usage(success.usage), **label(success))
        return events + _event("message_stop")

    def broken(self, refusal: Refusal) -> bytes:
        error = {"type": "api_error", "message": refusal.message}
        return _event("error", error=error)

    def _block(self, block: Mapping[str, Any], *deltas: Mapping[str, Any]) -> bytes:
        events = _event("content_block_start", index=self._blocks, content_block=block)
        for delta in deltas:
            events += _event("content_block_delta", index=self._blocks, delta=delta)
        return events + self._close()

    def _close(self) -> bytes:
        event = _event("content_block_stop", index=self._blocks)
        self._blocks, self._opening = self._blocks + 1, None
        return event


def counted(body: ChatBody) -> Mapping[str, Any]:
    """What a prompt is estimated to take: which model is to count is not known yet."""
    return {"input_tokens": estimate_prompt_tokens(body.request)}


def _message(id_: str, model: str, *, usage: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": id_,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": usage,
    }


def _thinking(text: str) -> dict[str, Any]:
    """What a model thought. A signature must be there for clients that send it back; it is of no use to any model here."""
    return {"type": "thinking", "thinking": text, "signature": "unsigned"}


def _tool_use(call: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {"type": "tool_use", "id": call["id"], "name": names.get(call["name"], call["name"]), "input": arguments_of(call)}


def _stop_reason(success: Success) -> str:
    return "tool_use" if success.tool_calls else _STOPPED.get(success.finish_reason, "end_turn")


def _usage(usage: Usage) -> dict[str, Any]:
    """Tokens as Anthropic counts them: cached ones apart from the others."""
    return {
        "input_tokens": max(usage.input_tokens - usage.cached_tokens, 0),
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }


def _event(kind: str, **fields: Any) -> bytes:
    return named_event(kind, fields)
