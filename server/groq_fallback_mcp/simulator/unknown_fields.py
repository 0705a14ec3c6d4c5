"""Fields that Groq's API does not have: it refuses them, where other endpoints read past them.

Known fields: the parameter types of the official SDK (groq 1.7.0), and `stream_options`. The words of a refusal are real ones,
from public reports (musistudio/claude-code-router #193, SimonSchubert/Kai #265, ServiceStack/llms #17, fanenr/chatbot #21).
That an empty list of tool calls and a call without a function are refused follows from the types; the words are unverified.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from difflib import get_close_matches

from groq_fallback_mcp.simulator.wire import Messages, Payload, items, table

__all__ = ["unknown_field_faults"]

_REQUEST = {
    *("citation_options", "compound_custom", "disable_tool_validation", "documents", "exclude_domains", "frequency_penalty"),
    *("function_call", "functions", "include_domains", "include_reasoning", "logit_bias", "logprobs", "max_completion_tokens"),
    *("max_tokens", "messages", "metadata", "model", "n", "parallel_tool_calls", "presence_penalty", "reasoning_effort"),
    *("reasoning_format", "response_format", "search_settings", "seed", "service_tier", "stop", "store", "stream"),
    *("stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user"),
}
_MESSAGE = {
    "system": {"role", "content", "name"},
    "developer": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "function_call", "reasoning", "tool_calls"},
    "tool": {"role", "content", "tool_call_id"},
    "function": {"role", "content", "name"},
}
_PART = {"text": {"type", "text"}, "image_url": {"type", "image_url"}, "document": {"type", "document"}}
_TOOL_CALL = {"id", "type", "function"}


def unknown_field_faults(payload: Payload, messages: Messages) -> Iterator[str]:
    """What Groq refuses of the fields of a request and of its messages."""
    yield from _unsupported(payload, _REQUEST)
    for index, message in enumerate(messages):
        role = str(message["role"])
        place = f"'messages.{index}'"
        faults = [f"({place} : {fault})" for fault in _unsupported(message, _MESSAGE[role])]
        faults += [f"('messages.{index}.{name} : {fault})" for name, fault in _inner_faults(message)]
        if faults:
            yield f"{place} : for 'role:{role}' the following must be satisfied[{', '.join(faults)}]"


def _inner_faults(message: Payload) -> Iterator[tuple[str, str]]:
    for number, part in enumerate(items(message.get("content"))):
        kind = str(table(part).get("type"))
        if kind not in _PART:
            yield f"content.{number}.type'", f"value must be one of {', '.join(_PART)}"
        else:
            yield from ((f"content.{number}'", fault) for fault in _unsupported(table(part), _PART[kind]))
    calls = message.get("tool_calls")
    if calls is not None and not items(calls):
        yield "tool_calls'", "minimum number of items is 1"
    for number, call in enumerate(items(calls)):
        yield from ((f"tool_calls.{number}'", fault) for fault in _unsupported(table(call), _TOOL_CALL))
        function = table(table(call).get("function"))
        if not isinstance(function.get("name"), str):
            yield f"tool_calls.{number}.function'", "property 'function' is missing"
        elif not isinstance(function.get("arguments"), str):
            yield f"tool_calls.{number}.function.arguments'", "value must be a string"


def _unsupported(fields: Payload, known: Collection[str]) -> Iterator[str]:
    for name in fields:
        if name not in known:
            close = get_close_matches(name, sorted(known), n=1, cutoff=0.5)
            yield f"property '{name}' is unsupported" + (f", did you mean '{close[0]}'?" if close else "")
