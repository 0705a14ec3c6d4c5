"""Groq refuses fields that it does not know, and combinations that it does not take; so does the simulator."""

from __future__ import annotations

from typing import Any

import pytest
from simulator.rig import Rig

pytestmark = pytest.mark.anyio
USER = {"role": "user", "content": "hi"}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "object"}}}


def assistant(**fields: Any) -> dict[str, Any]:
    """A conversation whose second message has these fields."""
    return {"messages": [USER, {"role": "assistant", "content": "a", **fields}, USER]}


@pytest.mark.fault("C7")
@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tools": [TOOL], "response_format": SCHEMA}, "json mode cannot be combined with tool/function calling"),
        (
            {"tools": [TOOL], "response_format": {"type": "json_object"}},
            "json mode cannot be combined with tool/function calling",
        ),
        ({"stream": True, "response_format": SCHEMA}, "`response_format` does not support streaming"),
        ({"tools": [{**TOOL, "function": {"name": f"f{n}"}} for n in range(129)]}, "'tools' : maximum number of items is 128"),
        ({"prompt_cache_key": "x"}, "property 'prompt_cache_key' is unsupported"),
        ({"reasoning": {"effort": "low"}}, "property 'reasoning' is unsupported"),
        (
            assistant(reasoning_content="hm"),
            "'messages.1' : for 'role:assistant' the following must be satisfied[('messages.1' : property 'reasoning_content' is unsupported",
        ),
        (assistant(refusal=None), "property 'refusal' is unsupported"),
        (assistant(annotations=[]), "property 'annotations' is unsupported"),
        (assistant(tool_calls=[]), "'messages.1.tool_calls' : minimum number of items is 1"),
        (assistant(tool_calls=[{"id": "c1", "type": "function"}]), "'messages.1.tool_calls.0.function'"),
        (assistant(tool_calls=[{"id": "c1", "name": "f", "arguments": {}}]), "property 'name' is unsupported"),
        (
            assistant(tool_calls=[{**CALL, "function": {"name": "f", "arguments": {}}}]),
            "'messages.1.tool_calls.0.function.arguments' : value must be a string",
        ),
        ({"messages": [{**USER, "cache_control": {"type": "ephemeral"}}]}, "property 'cache_control' is unsupported"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]},
            "'messages.0.content.0' : property 'cache_control' is unsupported",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "input_text", "text": "a"}]}]}, "'messages.0.content.0.type'"),
        ({"messages": [{**USER, "timestamp": 1}]}, "property 'timestamp' is unsupported"),
        ({"messages": [{**USER, "names": "x"}]}, "did you mean 'name'?"),
    ],
)
async def test_what_groq_does_not_know_is_a_400(fields: dict[str, Any], text: str, rig: Rig) -> None:
    """In its words where a public report has them."""
    reply = await rig.chat(**fields)
    assert (reply.status_code, text in reply.json()["error"]["message"]) == (400, True), reply.text


@pytest.mark.fault("C7")
@pytest.mark.parametrize(
    "fields",
    [
        assistant(reasoning="hm"),
        assistant(content=None, tool_calls=[CALL]) | {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}, {"role": "tool", "tool_call_id": "c1", "content": "3"}]},
        {"user": "u", "metadata": {"a": "b"}, "seed": 1, "top_p": 0.9},
        {"stream_options": {"include_usage": True}, "parallel_tool_calls": True},
    ],
)  # fmt: skip
async def test_what_the_official_sdk_can_send_is_taken(fields: dict[str, Any], rig: Rig) -> None:
    """The simulator makes up no refusal."""
    reply = await rig.chat(**fields)
    assert reply.status_code == 200, reply.text
