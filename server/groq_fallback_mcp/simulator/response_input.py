"""A request for POST responses as the chat request that it is. Field names: the OpenAI SDK's ResponseCreateParams."""

from __future__ import annotations

from typing import Any

from groq_fallback_mcp.simulator.replies import ApiError
from groq_fallback_mcp.simulator.wire import Payload, items, table

__all__ = ["chat_request"]

_SAME = ("model", "temperature", "top_p", "parallel_tool_calls", "service_tier", "user")
_TEXTS = ("input_text", "output_text")


def chat_request(payload: Payload) -> Payload:
    """The same question for chat/completions. Raises ApiError for input that is none."""
    effort = table(payload.get("reasoning")).get("effort")
    asked: dict[str, Any] = {name: payload.get(name) for name in _SAME}
    asked |= {
        "messages": _messages(payload),
        "max_completion_tokens": payload.get("max_output_tokens"),
        "reasoning_effort": effort,
        "response_format": _format(table(table(payload.get("text")).get("format"))),
        "tools": [_tool(table(tool)) for tool in items(payload.get("tools"))] or None,
        "tool_choice": _choice(payload.get("tool_choice")),
    }
    return {name: value for name, value in asked.items() if value is not None}


def _messages(payload: Payload) -> list[dict[str, Any]]:
    given = payload.get("input")
    if not isinstance(given, str | list) or not given:
        raise ApiError(400, "'input' : value must be a string or a list of items, and not empty")
    head = [{"role": "system", "content": payload["instructions"]}] if payload.get("instructions") else []
    if isinstance(given, str):
        return [*head, {"role": "user", "content": given}]
    found = [_message(index, table(item)) for index, item in enumerate(items(payload.get("input")))]
    return [*head, *(row for row in found if row is not None)]


def _message(index: int, item: Payload) -> dict[str, Any] | None:
    match item.get("type", "message"):
        case "message":
            return {"role": item.get("role"), "content": _content(item.get("content"))}
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "function_call_output":
            return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
        case "reasoning":
            return None
        case kind:
            raise ApiError(400, f"'input.{index}.type' : value {kind} is unsupported")


def _content(content: Any) -> Any:  # noqa: ANN401 - JSON in and out
    if not isinstance(content, list):
        return content
    return [_part(table(part)) for part in items(content)]  # pyright: ignore[reportUnknownArgumentType]


def _part(part: Payload) -> Payload:
    if part.get("type") in _TEXTS:
        return {"type": "text", "text": part.get("text")}
    if part.get("type") == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    return part


def _format(form: Payload) -> Payload | None:
    if form.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {name: value for name, value in form.items() if name != "type"}}
    return form or None


def _tool(tool: Payload) -> Payload:
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "function": {name: value for name, value in tool.items() if name not in {"type", "strict"}}}


def _choice(choice: Any) -> Any:  # noqa: ANN401 - JSON in and out
    named = table(choice)
    return {"type": "function", "function": {"name": named.get("name")}} if named.get("type") == "function" else choice
