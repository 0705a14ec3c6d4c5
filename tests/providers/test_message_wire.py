"""A conversation that was replayed arrives in the form that every endpoint takes; Groq's, as strict as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fakes import World
from hypothesis import given
from hypothesis import strategies as st
from servers import connected, text_of
from simulated import simulated_groq

from groq_fallback_mcp.providers.message_wire import wire_messages

OURS = {"id": "c1", "name": "get_price", "arguments": {"item": "tea"}}
WIRE = {"id": "c1", "type": "function", "function": {"name": "get_price", "arguments": '{"item": "tea"}'}}


@pytest.mark.fault("B16", "C4")
@pytest.mark.parametrize(
    ("message", "sent"),
    [
        ({"role": "user", "content": "a", "name": "eve"}, {"role": "user", "content": "a"}),
        ({"role": "developer", "content": "a"}, {"role": "system", "content": "a"}),
        ({"role": "assistant", "content": "a", "reasoning": "b"}, {"role": "assistant", "content": "a"}),
        ({"role": "assistant", "content": "a", "reasoning_content": "b"}, {"role": "assistant", "content": "a"}),
        ({"role": "assistant", "content": "a", "tool_calls": []}, {"role": "assistant", "content": "a"}),
        ({"role": "assistant", "content": "a", "refusal": None, "annotations": []}, {"role": "assistant", "content": "a"}),
        ({"role": "assistant", "content": None, "refusal": "no"}, {"role": "assistant", "content": "no"}),
        (
            {"role": "assistant", "content": None, "tool_calls": [OURS]},
            {"role": "assistant", "content": None, "tool_calls": [WIRE]},
        ),
        (
            {"role": "assistant", "content": "", "tool_calls": [WIRE]},
            {"role": "assistant", "content": "", "tool_calls": [WIRE]},
        ),
        (
            {"role": "assistant", "content": None, "tool_calls": [{**OURS, "arguments": '{"item": "tea"}', "index": 0}]},
            {"role": "assistant", "content": None, "tool_calls": [WIRE]},
        ),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "function": {"name": "get_price", "arguments": {"item": "tea"}}}],
            },
            {"role": "assistant", "content": None, "tool_calls": [WIRE]},
        ),
        (
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "f", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
        ),
        ({"role": "function", "name": "f", "content": "3"}, {"role": "tool", "tool_call_id": "f", "content": "3"}),
        ({"role": "tool", "tool_call_id": "c1", "content": "3"}, {"role": "tool", "tool_call_id": "c1", "content": "3"}),
        ({"role": "tool", "tool_call_id": "c1", "content": None}, {"role": "tool", "tool_call_id": "c1", "content": ""}),
        (
            {"role": "tool", "tool_call_id": "c1", "content": {"price": 3}},
            {"role": "tool", "tool_call_id": "c1", "content": '{"price": 3}'},
        ),
        (
            {"role": "tool", "tool_call_id": "c1", "content": [1, 2]},
            {"role": "tool", "tool_call_id": "c1", "content": "[1, 2]"},
        ),
        ({"role": "tool", "tool_call_id": "c1", "content": 3}, {"role": "tool", "tool_call_id": "c1", "content": "3"}),
        (
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "text", "text": "3"}],
                "cache_control": {"type": "ephemeral"},
            },
            {"role": "tool", "tool_call_id": "c1", "content": "3"},
        ),
        (
            {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
        ),
        (
            {"role": "user", "content": [{"type": "input_text", "text": "a"}, "b"]},
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        ),
        (
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "x"}, {"type": "text", "text": "a"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
        ),
        (
            {"role": "user", "content": {"type": "text", "text": "a"}},
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
        ),
    ],
    ids=lambda value: json.dumps(value)[:60],
)
def test_a_replayed_message_is_sent_in_the_form_that_all_endpoints_take(message: dict[str, Any], sent: dict[str, Any]) -> None:
    """What one provider alone knows is dropped, what a model should read stays."""
    assert wire_messages([message]) == [sent]


HISTORY: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief.", "name": "boss"},
    {
        "role": "user",
        "content": [{"type": "text", "text": "price of tea?", "cache_control": {"type": "ephemeral"}}],
        "id": "m1",
    },
    {"role": "assistant", "content": None, "reasoning_content": "hm", "refusal": None, "annotations": [], "tool_calls": [OURS]},
    {"role": "tool", "tool_call_id": "c1", "content": {"price": 3}, "name": "get_price"},
    {"role": "assistant", "content": "Three.", "tool_calls": [], "reasoning": "so"},
    {"role": "user", "content": "And two of them?"},
]


@pytest.mark.anyio
@pytest.mark.fault("B16", "C4", "C7")
async def test_a_replayed_history_is_answered_by_a_groq_that_refuses_what_groq_refuses() -> None:
    """The simulator takes no field that Groq does not know."""
    world = World()
    simulated_groq(world)
    async with connected(world) as client:
        result = await client.call_tool("groq_chat", {"messages": HISTORY})
    assert not result.is_error, text_of(result)


@pytest.mark.anyio
@pytest.mark.fault("B16")
async def test_our_own_tool_calls_are_taken_back_as_they_were_given() -> None:
    """The result of one call is the input of the next."""
    tool = {
        "type": "function",
        "function": {"name": "get_price", "parameters": {"type": "object", "properties": {"item": {"type": "string"}}}},
    }
    question = {"role": "user", "content": "call get_price"}
    world = World()
    simulated_groq(world)
    async with connected(world) as client:
        first = await client.call_tool("groq_chat", {"messages": [question], "tools": [tool]})
        calls = dict(first.structured_content or {})["tool_calls"]
        answered = {"role": "assistant", "content": None, "tool_calls": calls}
        given = {"role": "tool", "tool_call_id": calls[0]["id"], "content": "3"}
        second = await client.call_tool("groq_chat", {"messages": [question, answered, given], "tools": [tool]})
    assert not second.is_error, text_of(second)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "id", "function", "name"]), inner)
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["content", "tool_calls", "function_call", "refusal", "tool_call_id"]), json_values),
    st.sampled_from(["system", "user", "assistant", "tool", "function", "developer"]),
)
def test_whatever_a_message_holds_only_known_fields_are_sent(message: dict[str, Any], role: str) -> None:
    """And nothing raises."""
    (sent,) = wire_messages([{**message, "role": role}])
    assert set(sent) <= {"role", "content", "tool_calls", "tool_call_id"}
    json.dumps(sent)
