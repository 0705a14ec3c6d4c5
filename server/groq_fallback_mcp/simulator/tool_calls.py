"""The caller's own tools: what a request may say of them, and when the model calls one.

Shapes: the SDK's ChatCompletionToolParam, FunctionDefinition, ChatCompletionToolChoiceOptionParam,
ChatCompletionToolMessageParam and ChatCompletionMessageToolCall. The texts of refusals other than tool_use_failed
(facts page, section 3) are in the style of Groq's, word for word unverified.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

from groq_fallback_mcp.catalog import ModelRow
from groq_fallback_mcp.simulator.engines import BYTES_PER_TOKEN
from groq_fallback_mcp.simulator.instances import instance_of, satisfies, schema_fault
from groq_fallback_mcp.simulator.replies import TOOL_USE_FAILED, failed_generation
from groq_fallback_mcp.simulator.wire import Messages, Payload, items, table, text_of

__all__ = ["call_tokens", "tool_faults", "wanted_calls"]

MODES = ("none", "auto", "required")
# FunctionDefinition.name: a-z, A-Z, 0-9, underscores and dashes, 64 at most
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")


def tool_faults(payload: Payload, model: ModelRow, messages: Messages) -> Iterator[str]:
    """What Groq would not take of `tools`, `tool_choice` and the messages of tools."""
    tools = items(payload.get("tools"))
    for index, tool in enumerate(tools):
        yield from _of_a_tool(index, table(tool), model)
    choice = payload.get("tool_choice")
    named = table(table(choice).get("function")).get("name")
    if choice is not None and choice not in MODES and not isinstance(named, str):
        yield "'tool_choice' : value must be one of none, auto, required, or an object that names a function"
    elif choice == "required" and not tools:
        yield "`tool_choice` is `required` but no `tools` were given"
    elif isinstance(named, str) and named not in [function.get("name") for function in _functions(payload)]:
        yield f"`tool_choice` names the function `{named}`, which is not in `tools`"
    for index, message in enumerate(messages):
        if message.get("role") == "tool" and not isinstance(message.get("tool_call_id"), str):
            missing = f"'messages.{index}.tool_call_id' : property 'tool_call_id' is missing"
            yield f"'messages.{index}' : for 'role:tool' the following must be satisfied[({missing})]"


def wanted_calls(payload: Payload, messages: Messages) -> list[dict[str, Any]]:
    """The calls the model makes: where it must, or where the user's last words name a tool. None: it answers in text.

    Raises ApiError tool_use_failed where no arguments can be made up that fit the parameters.
    """
    functions, choice = _functions(payload), payload.get("tool_choice") or "auto"
    if not functions or choice == "none":
        return []
    if isinstance(choice, dict):
        name = table(table(payload.get("tool_choice")).get("function")).get("name")
        wanted = [function for function in functions if function["name"] == name]
    else:
        asked = text_of(messages[-1].get("content")) if messages[-1].get("role") == "user" else ""
        wanted = [function for function in functions if _mentions(asked, str(function["name"]))]
        if choice == "required" and not wanted:
            wanted = functions[:1]
    if payload.get("parallel_tool_calls") is False:
        wanted = wanted[:1]
    return [_call(function) for function in wanted]


def call_tokens(calls: list[dict[str, Any]]) -> int:
    """What the calls count as output."""
    return sum(len(json.dumps(call["function"])) // BYTES_PER_TOKEN + 1 for call in calls)


def _of_a_tool(index: int, tool: Payload, model: ModelRow) -> Iterator[str]:
    kinds = ("function", *model.capabilities.builtin_tools)
    if tool.get("type") not in kinds:
        yield f"'tools.{index}.type' : value must be one of {', '.join(kinds)}"
    elif tool["type"] == "function":
        function = table(tool.get("function"))
        name, parameters = function.get("name"), function.get("parameters")
        if not isinstance(name, str) or not _NAME.match(name):
            yield f"'tools.{index}.function.name' : value must be 1 to 64 letters, digits, underscores or dashes"
        if parameters is not None and (reason := schema_fault(parameters)) is not None:
            yield f"invalid JSON schema for tool {name}, tools[{index}].function.parameters: {reason}"


def _functions(payload: Payload) -> list[Payload]:
    tools = [table(tool) for tool in items(payload.get("tools"))]
    return [table(tool.get("function")) for tool in tools if tool.get("type") == "function"]


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def _call(function: Payload) -> dict[str, Any]:
    schema = function.get("parameters")
    arguments: Any = instance_of(schema) if schema else {}
    text = json.dumps(arguments)
    if schema and not satisfies(arguments, schema):
        raise failed_generation("tool_use_failed", TOOL_USE_FAILED, f"<function={function['name']}>{text}</function>")
    return {
        "id": f"call_{uuid.uuid4().hex[:24]}",
        "type": "function",
        "function": {"name": function["name"], "arguments": text},
    }
