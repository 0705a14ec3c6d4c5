"""A conversation as clients replay it, brought into the form that every OpenAI-compatible endpoint takes.

Agents send back what a model once returned, with fields that one provider gives and another refuses: reasoning, refusals,
annotations, cache markers, names, tool calls in the form of groq_chat's own result. Endpoints agree on `role`, `content`,
`tool_calls` and `tool_call_id`, so only these are sent. Groq refuses `messages[].name` and `reasoning_content` with 400.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

__all__ = ["wire_messages"]

_ROLES = {"developer": "system", "function": "tool", "model": "assistant"}
# What endpoints know of a content part, by its type.
_PART_FIELDS = {"text": "text", "image_url": "image_url", "input_audio": "input_audio", "document": "document", "file": "file"}


def wire_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages as they are sent. Nothing that a model should read is lost."""
    return [_message(message, number) for number, message in enumerate(messages, start=1)]


def _message(message: Mapping[str, Any], number: int) -> dict[str, Any]:
    role = str(message.get("role"))
    role = _ROLES.get(role, role)
    sent: dict[str, Any] = {"role": role, "content": _content(message.get("content"))}
    calls = _tool_calls(message, number) if role == "assistant" else []
    if calls:
        sent["tool_calls"] = calls
    elif role == "assistant" and sent["content"] is None:
        refusal = message.get("refusal")
        sent["content"] = refusal if isinstance(refusal, str) else ""
    if role == "tool":
        sent["content"] = _as_text(sent["content"])
        # the older form names the function that was called instead of the call
        sent["tool_call_id"] = str(message.get("tool_call_id") or message.get("name") or "")
    return sent


def _as_text(content: object) -> object:
    """A tool's result as one string, which some endpoints insist on; a list where it holds more than text."""
    if content is None:
        return ""
    if not isinstance(content, list):
        return content
    parts = cast("list[dict[str, Any]]", content)
    return "\n".join(part["text"] for part in parts) if all(part["type"] == "text" for part in parts) else parts


def _content(content: object) -> object:
    if isinstance(content, Mapping):
        given = cast("Mapping[str, Any]", content)
        # one part, or the JSON that a tool returned
        return [_part(given)] if str(given.get("type")) in _PART_FIELDS else json.dumps(given, ensure_ascii=False)
    if isinstance(content, list):
        parts = cast("list[Any]", content)
        if all(isinstance(part, str | Mapping) for part in parts):
            sent = [_part(part) for part in parts]
            return [part for part in sent if part is not None] or ""
        return json.dumps(parts, ensure_ascii=False)
    return content if content is None or isinstance(content, str) else json.dumps(content)


def _part(part: str | Mapping[str, Any]) -> dict[str, Any] | None:
    """A content part without what only one provider knows, such as cache_control; None for reasoning."""
    if isinstance(part, str):
        return {"type": "text", "text": part}
    kind = str(part.get("type"))
    if kind in {"thinking", "reasoning", "redacted_thinking"}:
        return None
    if isinstance(part.get("text"), str) and kind not in _PART_FIELDS:
        # input_text, output_text
        return {"type": "text", "text": part["text"]}
    field = _PART_FIELDS.get(kind)
    if field is None or field not in part:
        return {"type": "text", "text": json.dumps(part, ensure_ascii=False)}
    return {"type": kind, field: part[field]}


def _tool_calls(message: Mapping[str, Any], number: int) -> list[dict[str, Any]]:
    given: object = message.get("tool_calls")
    listed = cast("list[object]", given) if isinstance(given, list) else []
    rows = [cast("Mapping[str, Any]", row) for row in listed if isinstance(row, Mapping)]
    older = message.get("function_call")
    if not rows and isinstance(older, Mapping):
        # its result names the function, so its id is the name
        named = cast("Mapping[str, Any]", older)
        rows = [{"id": named.get("name"), **named}]
    return [_tool_call(row, number) for row in rows]


def _tool_call(row: Mapping[str, Any], number: int) -> dict[str, Any]:
    """A call as OpenAI writes it, also where it comes as groq_chat returns it: {id, name, arguments}."""
    function: object = row.get("function")
    fields = cast("Mapping[str, Any]", function) if isinstance(function, Mapping) else row
    arguments = fields.get("arguments", fields.get("input"))
    text = arguments if isinstance(arguments, str) else json.dumps({} if arguments is None else arguments, ensure_ascii=False)
    id_ = str(row.get("id") or f"call_{number}")
    return {"id": id_, "type": "function", "function": {"name": str(fields.get("name") or ""), "arguments": text}}
