"""A request in the words of one provider, by what the catalog knows of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groq_fallback_mcp.catalog import Dialect
from groq_fallback_mcp.json_types import is_object
from groq_fallback_mcp.providers.base import json_instruction
from groq_fallback_mcp.providers.history import CallMemory, messages_in_dialect

__all__ = ["in_dialect"]

# Whatever else a provider takes.
_ALWAYS = {"model", "messages"}
# In a JSON schema the keys below these are names that the caller chose.
_NAMED = {"properties", "patternProperties", "$defs", "definitions"}


def in_dialect(payload: Mapping[str, Any], dialect: Dialect, memory: CallMemory | None = None) -> dict[str, Any]:
    """The body of POST chat/completions as this provider takes it. `memory` holds what its own calls must come back with."""
    body = dict(payload)
    body |= _reasoning(body.pop("reasoning_effort", None), dialect)
    body[dialect.max_tokens] = max(body.pop("max_tokens"), dialect.least_max_tokens or 0)
    if "tools" in body:
        body["tools"] = [_without_keys(tool, dialect.omit_schema_keys) for tool in body["tools"]]
        body |= dialect.with_tools
    choice = body.get("tool_choice")
    if isinstance(choice, str) and choice in dialect.tool_choice:
        body["tool_choice"] = dialect.tool_choice[choice]
        if not body["tool_choice"]:
            del body["tool_choice"]
    if not dialect.stream_usage:
        body.pop("stream_options", None)
    body = {dialect.rename.get(name, name): value for name, value in body.items() if _is_taken(name, dialect)}
    body["messages"] = messages_in_dialect([*_instruction(payload, body), *payload["messages"]], dialect, memory)
    return body


def _is_taken(name: str, dialect: Dialect) -> bool:
    return name in _ALWAYS or (name not in dialect.omit and (not dialect.only or name in dialect.only))


def _reasoning(effort: str | None, dialect: Dialect) -> dict[str, Any]:
    if effort is None or dialect.reasoning == "none":
        return {}
    if dialect.reasoning == "thinking":
        return {"thinking": {"type": "disabled" if effort == "none" else "enabled"}}
    if effort == "default":
        # a word of Groq's
        return {}
    return {"reasoning": {"effort": effort}} if dialect.reasoning == "reasoning" else {"reasoning_effort": effort}


def _instruction(payload: Mapping[str, Any], body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The schema in words, where it cannot be sent as one."""
    wanted = (payload.get("response_format") or {}).get("json_schema")
    if not wanted or "response_format" in body:
        return []
    return [{"role": "system", "content": json_instruction(wanted["schema"], beside_tools=bool(payload.get("tools")))}]


def _without_keys(value: Any, omit: Sequence[str], *, named: bool = False) -> Any:
    """A tool without these keys; one that holds a schema is kept, as is what the caller only calls so."""
    if not omit:
        return value
    if isinstance(value, list):
        return [_without_keys(one, omit) for one in value]
    if not is_object(value):
        return value
    return {
        key: _without_keys(inner, omit, named=key in _NAMED and not named)
        for key, inner in value.items()
        if named or key not in omit or isinstance(inner, Mapping)
    }
