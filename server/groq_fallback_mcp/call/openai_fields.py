"""Fields of a chat request in the forms that clients of OpenAI's, Anthropic's and other interfaces give them. Pure."""

from __future__ import annotations

import json
from typing import Any

from groq_fallback_mcp.json_types import is_object, stated_text

__all__ = ["object_of", "read_effort", "read_schema", "read_tool", "read_tool_choice"]

# The envelopes that OpenAI's and other interfaces put around a schema, each named by the key that holds what is inside.
_ENVELOPES = ("response_format", "format", "json_schema", "schema")
_ENVELOPE_KEYS = {*_ENVELOPES, "type", "name", "description", "strict"}
MOST_ENVELOPES = 4


def read_schema(value: object) -> object:
    """A JSON schema, also where it comes in a response_format, in whatever part of one; None for the format of plain text."""
    for _ in range(MOST_ENVELOPES):
        value = _loaded(value)
        given = object_of(value)
        if given is None or not set(given) <= _ENVELOPE_KEYS or not isinstance(given.get("name", ""), str):
            return value
        kind = stated_text(given, "type")
        if kind in {"json_object", "text"}:
            return {"type": "object"} if kind == "json_object" else None
        inner = next((given[name] for name in _ENVELOPES if isinstance(given.get(name), dict | str)), None)
        if inner is None or kind not in {"", "json_schema"}:
            return given
        value = inner
    return value


def read_tool_choice(value: object) -> object:
    """OpenAI's form of a choice, also where it is the name of a function alone, or in Anthropic's, the Responses or the older form."""
    given = object_of(value) or {}
    kind, name = stated_text(given, "type"), given.get("name")
    if isinstance(name, str) and kind in {"", "function", "tool"}:
        value = name
    elif kind in {"none", "auto", "any", "required"}:
        value = kind
    if not isinstance(value, str):
        return value
    value = {"any": "required"}.get(value, value)
    return value if value in {"none", "auto", "required"} else {"type": "function", "function": {"name": value}}


def read_tool(value: object) -> object:
    """OpenAI's form of a tool, also where it is flat, as Anthropic, MCP and OpenAI's Responses have it, or partly text."""
    given = object_of(value) or {}
    function = object_of(_loaded(given.get("function")))
    if function is None and isinstance(given.get("name"), str) and stated_text(given, "type") in {"", "function"}:
        parameters = next((given[name] for name in ("parameters", "input_schema", "inputSchema") if given.get(name)), None)
        function = {**{name: given.get(name) for name in ("name", "description", "strict")}, "parameters": parameters}
    if function is None:
        return value
    fields = {**function, "parameters": _loaded(function.get("parameters"))}
    return {"type": "function", "function": {name: field for name, field in fields.items() if field is not None}}


def object_of(value: object) -> dict[str, Any] | None:
    """A JSON object as it is, None for any other value."""
    return value if is_object(value) else None


def _loaded(value: object) -> object:
    """What a text of JSON holds; any other value, and a text that holds none, as it is."""
    if not isinstance(value, str):
        return value
    try:
        loaded: object = json.loads(value)
    except (ValueError, RecursionError):
        return value
    return loaded


def read_effort(value: object) -> object:
    """Groq's efforts, also by the names that OpenAI has for less and more."""
    return {"minimal": "low", "xhigh": "high"}.get(value, value) if isinstance(value, str) else value
