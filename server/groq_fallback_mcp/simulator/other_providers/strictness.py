"""What each provider refuses of a request that OpenAI would take; from its documentation and public error reports.

Written from those sources and not from the catalog's dialects, which the tests hold against it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from groq_fallback_mcp.simulator.other_providers.refusals import Refusal, plain_refusal
from groq_fallback_mcp.simulator.other_providers.state import ProviderState
from groq_fallback_mcp.simulator.wire import Messages, Payload, items, table

__all__ = ["check_request", "nine_letters"]

_NINE = re.compile(r"[a-zA-Z0-9]{9}")
# What Google documents for calls that another model made; whether this path takes it is not known.
PLACEHOLDER = "skip_thought_signature_validator"
_OPENAI = {
    *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "top_p", "stop", "stream", "stream_options"),
    *("tools", "tool_choice", "parallel_tool_calls", "response_format", "seed", "reasoning_effort"),
}
_MISTRAL = {
    *("model", "messages", "max_tokens", "temperature", "top_p", "stop", "stream", "tools", "tool_choice"),
    *("parallel_tool_calls", "response_format", "random_seed", "reasoning_effort", "presence_penalty", "frequency_penalty"),
}
_ZAI = {
    *("model", "messages", "max_tokens", "response_format", "stream", "stream_options", "temperature", "top_p", "stop"),
    *("tools", "tool_choice", "thinking"),
}


def check_request(state: ProviderState, payload: Payload, messages: Messages) -> None:
    """Raises Refusal for what the provider does not take."""
    check = _CHECKS.get(state.row.name)
    fault = next(check(state, payload, messages), None) if check is not None else None
    if fault is not None:
        raise fault


def nine_letters(text: object) -> bool:
    """Whether it can be a tool call's id at Mistral."""
    return isinstance(text, str) and _NINE.fullmatch(text) is not None


def _gemini(state: ProviderState, payload: Payload, messages: Messages) -> Iterator[Refusal]:
    for name in ("temperature", "top_p", "top_k"):
        if name in payload:
            yield plain_refusal(state.row, f"{name} is not supported for this model.")
    if messages[-1].get("role") == "assistant":
        yield plain_refusal(state.row, "Please ensure that the last message is from the user or a tool.")
    for message in messages:
        for at, call in enumerate(map(table, items(message.get("tool_calls")))):
            given = table(table(call.get("extra_content")).get("google")).get("thought_signature")
            # of calls at once only the first is signed
            if given is None and at == 0:
                yield plain_refusal(state.row, "Function call is missing a thought_signature in functionCall parts.")
            elif given not in {None, PLACEHOLDER, *state.signatures}:
                yield plain_refusal(state.row, "Corrupted thought signature.")


def _mistral(state: ProviderState, payload: Payload, messages: Messages) -> Iterator[Refusal]:
    yield from _unknown(state, payload, _MISTRAL, status=422)
    for before, message in zip([None, *messages], messages, strict=False):
        role = message.get("role")
        allowed = {"role", "content", "tool_calls", "tool_call_id", "prefix"} | ({"name"} if role == "tool" else set[str]())
        extra = next((name for name in message if name not in allowed), None)
        if extra is not None:
            yield plain_refusal(state.row, f"Extra inputs are not permitted: messages.{extra}", status=422)
        if role == "tool" and not nine_letters(message.get("tool_call_id")):
            yield _bad_id(state, message.get("tool_call_id"))
        if role == "user" and before is not None and before.get("role") == "tool":
            yield plain_refusal(state.row, "Unexpected role 'user' after role 'tool'", code="3230")
    for call in _calls(messages):
        if not nine_letters(call.get("id")):
            yield _bad_id(state, call.get("id"))
    for tool in items(payload.get("tools")):
        function = table(table(tool).get("function"))
        given = [*function.items(), *_keywords(function.get("parameters"))]
        banned = ("strict", "$id", "$schema")
        found = next(
            (name for name, value in given if name in banned or (name == "additionalProperties" and value is False)), None
        )
        if found is not None:
            yield plain_refusal(state.row, f"Extra inputs are not permitted: {found}", status=422)
    if payload.get("tool_choice") == "required":
        yield plain_refusal(state.row, "Input should be 'auto', 'none', 'any'", status=422)


def _cerebras(state: ProviderState, payload: Payload, messages: Messages) -> Iterator[Refusal]:
    yield from _unknown(state, payload, _OPENAI - {"max_tokens"})
    for number, message in enumerate(messages):
        if "reasoning_content" in message:
            yield plain_refusal(state.row, f"messages.{number}.assistant.reasoning_content: property is unsupported")


def _cloudflare(state: ProviderState, payload: Payload, messages: Messages) -> Iterator[Refusal]:
    for name in ("reasoning_effort", "logprobs", "min_p"):
        if name in payload:
            yield plain_refusal(state.row, f"Type mismatch: {name} is not supported")
    for number, message in enumerate(messages):
        if not isinstance(message.get("content"), str):
            yield plain_refusal(
                state.row, f"Error: oneOf at '/messages/{number}/content' not met: Type mismatch, 'string' expected"
            )


def _zai(state: ProviderState, payload: Payload, messages: Messages) -> Iterator[Refusal]:
    del messages
    yield from _unknown(state, payload, _ZAI)


def _kilo(state: ProviderState, payload: Payload, messages: Messages) -> Iterator[Refusal]:
    del messages
    if "response_format" in payload:
        yield plain_refusal(state.row, "response_format is not supported without an account")


def _nvidia(state: ProviderState, payload: Payload, messages: Messages) -> Iterator[Refusal]:
    del messages
    if payload.get("tools") and payload.get("parallel_tool_calls") is not False:
        yield plain_refusal(state.row, "This model only supports single tool-calls at once!")


def _deepseek(state: ProviderState, payload: Payload, messages: Messages) -> Iterator[Refusal]:
    if "reasoning_effort" in payload:
        yield plain_refusal(state.row, "unknown field reasoning_effort", status=422)
    for message in messages:
        if message.get("tool_calls") and "reasoning_content" not in message:
            yield plain_refusal(state.row, "Missing `reasoning_content` field in the assistant message")


def _moonshot(state: ProviderState, payload: Payload, messages: Messages) -> Iterator[Refusal]:
    del messages
    if payload.get("tool_choice") == "required":
        yield plain_refusal(state.row, "tool_choice 'required' is not supported")
    if "temperature" in payload:
        yield plain_refusal(state.row, "invalid temperature: only 1 is allowed for this model")


_CHECKS: Mapping[str, Callable[[ProviderState, Payload, Messages], Iterator[Refusal]]] = {
    "gemini": _gemini,
    "mistral": _mistral,
    "cerebras": _cerebras,
    "cloudflare": _cloudflare,
    "zai": _zai,
    "kilo": _kilo,
    "nvidia": _nvidia,
    "deepseek": _deepseek,
    "moonshot": _moonshot,
}


def _unknown(state: ProviderState, payload: Payload, known: set[str], *, status: int = 400) -> Iterator[Refusal]:
    extra = next((name for name in payload if name not in known), None)
    if extra is not None:
        yield plain_refusal(state.row, f"{extra}: property is unsupported. Extra inputs are not permitted", status=status)


def _bad_id(state: ProviderState, given: object) -> Refusal:
    message = f"Tool call id was {given} but must be a-z, A-Z, 0-9, with a length of 9."
    return plain_refusal(state.row, message, code="3280")


def _calls(messages: Messages) -> Iterator[Payload]:
    for message in messages:
        yield from (table(call) for call in items(message.get("tool_calls")))


def _keywords(value: object) -> Iterator[tuple[str, object]]:
    """The keywords of a JSON schema with their values; names of properties are none."""
    waiting: list[Any] = [value]
    while waiting:
        at = waiting.pop()
        if isinstance(at, dict):
            for name, inner in at.items():
                yield str(name), inner
                waiting += list(inner.values()) if name == "properties" and isinstance(inner, dict) else [inner]
        elif isinstance(at, list):
            waiting += at
