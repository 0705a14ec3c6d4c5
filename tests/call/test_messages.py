"""A conversation that was replayed arrives in the form that every endpoint takes; Groq's, as strict as it is."""

from __future__ import annotations

import json
import time
from typing import Any, cast

import pytest
from fakes import World
from hypothesis import given
from hypothesis import strategies as st
from servers import connected, text_of
from simulated import simulated_groq

from groq_fallback_mcp.call.messages import read_messages

OURS = {"id": "c1", "name": "get_price", "arguments": {"item": "tea"}}
WIRE = {"id": "c1", "type": "function", "function": {"name": "get_price", "arguments": '{"item": "tea"}'}}


def test_images_in_results_follow_them_in_a_message_of_the_users() -> None:
    """Providers refuse them in the result, or do not see them; calls at once must have their results one after the other."""
    words = {"type": "text", "text": "a.png"}
    given = [
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [WIRE, {**WIRE, "id": "c2"}, {**WIRE, "id": "c3"}]},
        {"role": "tool", "tool_call_id": "c1", "content": [words, IMAGE]},
        {"role": "tool", "tool_call_id": "c2", "content": [IMAGE]},
        {"role": "tool", "tool_call_id": "c3", "content": "none"},
        {"role": "assistant", "content": "I see."},
    ]
    read = cast("list[dict[str, Any]]", read_messages(given))
    assert [(message["role"], message["content"]) for message in read[2:]] == [
        ("tool", "a.png"),
        ("tool", "The result is an image, which follows."),
        ("tool", "none"),
        ("user", [{"type": "text", "text": "Images in the results above, in their order:"}, IMAGE, IMAGE]),
        ("assistant", "I see."),
    ]
    assert cast("list[dict[str, Any]]", read_messages(given[:3]))[-1]["role"] == "user"
    # templates of local servers refuse two messages of the user in a row
    said = cast("list[dict[str, Any]]", read_messages([*given[:5], {"role": "user", "content": "Well?"}]))
    assert [message["role"] for message in said[4:]] == ["tool", "user"]
    assert said[-1]["content"][1:] == [IMAGE, IMAGE, {"type": "text", "text": "Well?"}]


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
            {"role": "assistant", "content": None, "tool_calls": [{**OURS, "extra_content": {"google": {}}}]},
            {"role": "assistant", "content": None, "tool_calls": [{**WIRE, "extra_content": {"google": {}}}]},
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
    assert read_messages([message]) == [sent]


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
    st.lists(
        st.dictionaries(
            st.sampled_from(
                [
                    "role",
                    "type",
                    "content",
                    "parts",
                    "tool_calls",
                    "function_call",
                    "refusal",
                    "tool_call_id",
                    "images",
                    "output",
                ]
            ),
            json_values | st.sampled_from(["user", "assistant", "tool", "human", "function_call", "function_call_output"]),
        ),
        max_size=4,
    )
)
def test_whatever_messages_hold_only_known_fields_are_kept(messages: list[dict[str, Any]]) -> None:
    """Or one error names the message; what was read reads the same again."""
    try:
        read = cast("list[dict[str, Any]]", read_messages(messages))
    except ValueError:
        with pytest.raises(ValueError, match=r"^in message \d, "):
            read_messages(messages)
        return
    for message in read:
        assert set(message) <= {"role", "content", "tool_calls", "tool_call_id"}
    json.dumps(read)
    assert read_messages(read) == read


@pytest.mark.fault("B16", "C4")
@pytest.mark.parametrize(
    ("messages", "sent"),
    [
        ([{"role": "Human", "content": "a"}], [{"role": "user", "content": "a"}]),
        ([{"type": "human", "data": {"content": "a"}}], [{"role": "user", "content": "a"}]),
        (["a"], [{"role": "user", "content": "a"}]),
        ([{"role": "model", "parts": [{"text": "a"}]}], [{"role": "assistant", "content": [{"type": "text", "text": "a"}]}]),
        ([{"role": "user", "content": "a", "createdAt": "b", "providerOptions": {}}], [{"role": "user", "content": "a"}]),
        ([{"role": "assistant", "content": "", "tool_calls": None}], [{"role": "assistant", "content": ""}]),
        ([{"role": "assistant", "content": None, "tool_calls": []}], [{"role": "assistant", "content": ""}]),
        ([{"type": "reasoning", "summary": []}, {"role": "user", "content": "a"}], [{"role": "user", "content": "a"}]),
    ],
    ids=str,
)
def test_a_message_of_another_interface_reads_as_openais(messages: list[Any], sent: list[dict[str, Any]]) -> None:
    """LangChain's, Vercel's, Gemini's, Responses'."""
    assert read_messages(messages) == sent


CALLED = {"role": "assistant", "content": None, "tool_calls": [WIRE]}
GIVEN = {"role": "tool", "content": "3", "tool_call_id": "c1"}


@pytest.mark.fault("B16")
@pytest.mark.parametrize(
    ("called", "given"),
    [
        ({"role": "assistant", "content": None, "tool_calls": json.dumps([WIRE])}, GIVEN),
        ({"role": "assistant", "tool_calls": [{"id": "c1", "name": "get_price", "args": {"item": "tea"}}]}, GIVEN),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "get_price", "input": {"item": "tea"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "3"}]},
        ),
        (
            {
                "role": "assistant",
                "content": [{"type": "tool-call", "toolCallId": "c1", "toolName": "get_price", "args": {"item": "tea"}}],
            },
            {
                "role": "tool",
                "content": [{"type": "tool-result", "toolCallId": "c1", "output": {"type": "text", "value": "3"}}],
            },
        ),
        (
            {"type": "function_call", "call_id": "c1", "name": "get_price", "arguments": '{"item": "tea"}'},
            {"type": "function_call_output", "call_id": "c1", "output": "3"},
        ),
        ({"role": "assistant", "tool_calls": [OURS]}, {"role": "tool", "name": "get_price", "content": "3"}),
        ({"role": "assistant", "tool_calls": [OURS]}, {"role": "tool", "content": "3"}),
        ({"role": "assistant", "tool_calls": [OURS]}, {"role": "tool", "toolCallId": "c1", "content": "3", "artifact": None}),
    ],
    ids=str,
)
def test_a_call_and_its_result_find_each_other(called: dict[str, Any], given: dict[str, Any]) -> None:
    """Whoever wrote them, and whatever names the call."""
    assert read_messages([called, given]) == [CALLED, GIVEN]


@pytest.mark.fault("B16")
def test_calls_without_ids_get_some_and_their_results_follow_in_order() -> None:
    """Gemini and Ollama have none; two results must not answer one call."""
    calls = [{"function": {"name": "f", "arguments": ""}}, {"function": {"name": "g", "arguments": None}}]
    read = cast(
        "list[dict[str, Any]]",
        read_messages([{"role": "assistant", "tool_calls": calls}, *({"role": "tool", "content": text} for text in "34")]),
    )
    ids = [call["id"] for call in read[0]["tool_calls"]]
    assert len(set(ids)) == len(calls)
    assert [message["tool_call_id"] for message in read[1:]] == ids
    assert all(call["function"]["arguments"] == "{}" for call in read[0]["tool_calls"])


@pytest.mark.fault("B16")
def test_an_id_that_comes_again_in_a_later_turn_stays_as_it_is() -> None:
    """Some models number the calls of each answer from 0."""
    turn = [{"role": "assistant", "content": None, "tool_calls": [WIRE]}, GIVEN]
    assert read_messages([*turn, *turn]) == [CALLED, GIVEN, CALLED, GIVEN]


@pytest.mark.fault("B16")
def test_two_open_calls_with_one_id_get_two() -> None:
    """Their results, in order, belong to both."""
    read = cast("list[dict[str, Any]]", read_messages([{**CALLED, "tool_calls": [WIRE, WIRE]}, GIVEN, GIVEN]))
    ids = [call["id"] for call in read[0]["tool_calls"]]
    assert len(set(ids)) == len(ids) == 2
    assert [message["tool_call_id"] for message in read[1:]] == ids


@pytest.mark.fault("C4")
@pytest.mark.parametrize(
    ("content", "sent"),
    [
        ({"text": "4", "unit": "kg"}, '{"text": "4", "unit": "kg"}'),
        ({"title": "T", "text": None}, '{"title": "T", "text": null}'),
        ([{"id": 1, "text": "a"}, {"id": 2, "text": "b"}], '{"id": 1, "text": "a"}\n{"id": 2, "text": "b"}'),
        ([{"type": "text", "text": "a", "annotations": []}], "a"),
    ],
    ids=str,
)
def test_a_tools_result_with_fields_of_its_own_keeps_them(content: object, sent: str) -> None:
    """Though one of them is called text."""
    assert read_messages([{"role": "tool", "tool_call_id": "c1", "content": content}]) == [{**GIVEN, "content": sent}]


@pytest.mark.fault("C4")
def test_many_results_of_calls_that_are_not_there_take_time_linear_in_their_number() -> None:
    """Four times as many must not take sixteen times as long."""

    def seconds(count: int) -> float:
        calls = [{"id": f"c{number}", "name": "f", "arguments": {}} for number in range(count)]
        results = [{"role": "tool", "tool_call_id": f"x{number}", "content": "3"} for number in range(count)]
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            read_messages([{"role": "assistant", "tool_calls": calls}, *results])
            best = min(best, time.process_time() - began)
        return best

    assert seconds(4_000) < 10 * max(seconds(1_000), 1e-3)


PNG = "iVBORw0KGgo="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}


@pytest.mark.fault("C4")
@pytest.mark.parametrize(
    "part",
    [
        IMAGE,
        {"type": "image_url", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        {"type": "image", "image": f"data:image/png;base64,{PNG}"},
        {"type": "image", "data": PNG, "mimeType": "image/png"},
        {"type": "file", "mediaType": "image/png", "url": f"data:image/png;base64,{PNG}"},
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
    ],
    ids=str,
)
def test_an_image_in_anybodys_form_is_one_in_openais(part: dict[str, Any]) -> None:
    """So that a model which reads images is asked, and sees it."""
    assert read_messages([{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}
    ]
    assert read_messages([{"role": "user", "content": "a", "images": [PNG]}]) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, IMAGE]}
    ]


@pytest.mark.fault("C4")
@pytest.mark.parametrize(
    ("message", "words"),
    [
        (7, "an object with role and content is required (got 7)"),
        (None, "an object with role and content is required (got null)"),
        ("[{'role': 'user'}]", "an object with role and content is required"),
        ({"role": "critic", "content": "a"}, "role must be one of"),
        ({"role": None, "content": "a"}, "role must be one of"),
        ({"role": "user"}, "content is missing"),
        ({"role": "user", "content": " "}, "content is empty"),
        ({"role": "user", "content": []}, "content is empty"),
        ({"role": "user", "content": 5}, "content must be text or a list of parts (got 5)"),
        ({"role": "assistant"}, "content is missing"),
        ({"role": "tool", "content": "3"}, "a tool's result needs the tool_call_id of its call"),
        ({"role": "user", "content": "a", "color": "red"}, "unknown key 'color'"),
        ({"role": "user", "content": "a", "images": 5}, "images must be a list"),
    ],
    ids=str,
)
def test_what_is_no_message_is_named_with_its_number(message: object, words: str) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match=r"^in message 2, ") as refused:
        read_messages([{"role": "user", "content": "a"}, message])
    assert words in str(refused.value)
