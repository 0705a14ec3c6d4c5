"""The caller's own tools: when they are called, and what is refused of them."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest
from simulator.rig import MODEL, Rig, message

pytestmark = pytest.mark.anyio
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 3}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
WEATHER = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": PARAMETERS}}
CLOCK = {"type": "function", "function": {"name": "tell-time"}}
BROWSER = {"type": "browser_search"}


def _named(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name}}


def _choice(body: Any) -> Any:
    return body["choices"][0]


@pytest.mark.parametrize(
    ("text", "fields", "names"),
    [
        ("hello", {}, []),
        ("please call get_weather now", {}, ["get_weather"]),
        ("get_weather, then tell-time", {}, ["get_weather", "tell-time"]),
        ("get_weather, then tell-time", {"parallel_tool_calls": False}, ["get_weather"]),
        ("forget_weather is another word", {}, []),
        ("call get_weather", {"tool_choice": "none"}, []),
        ("hello", {"tool_choice": "required"}, ["get_weather"]),
        ("use tell-time", {"tool_choice": "required"}, ["tell-time"]),
        ("hello", {"tool_choice": _named("tell-time")}, ["tell-time"]),
    ],
)
async def test_a_tool_is_called_where_it_must_be_or_the_user_names_it(
    text: str, fields: dict[str, Any], names: list[str], rig: Rig
) -> None:
    """With arguments that fit its parameters; the content is null then."""
    choice = _choice((await rig.chat(text, tools=[WEATHER, CLOCK], **fields)).json())
    calls = choice["message"].get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == names
    assert choice["finish_reason"] == ("tool_calls" if names else "stop")
    assert (choice["message"]["content"] is None) == bool(names)
    for call in calls:
        assert call["id"].startswith("call_")
        if call["function"]["name"] == "get_weather":
            jsonschema.validate(json.loads(call["function"]["arguments"]), PARAMETERS)
        else:
            assert json.loads(call["function"]["arguments"]) == {}


async def test_after_a_tools_result_the_answer_quotes_it(rig: Rig) -> None:
    """In text, though the user's words before it named the tool."""
    question = {"role": "user", "content": "call get_weather"}
    first = _choice((await rig.chat(messages=[question], tools=[WEATHER])).json())["message"]
    result = {"role": "tool", "tool_call_id": first["tool_calls"][0]["id"], "content": "21 degrees"}
    choice = _choice((await rig.chat(messages=[question, first, result], tools=[WEATHER])).json())
    assert choice["finish_reason"] == "stop"
    assert choice["message"]["content"] == "This is a simulated answer from the tool's result: 21 degrees"


async def test_tools_and_calls_count_as_input(rig: Rig) -> None:
    """As they stand in the prompt."""
    called = {"id": "call_1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Bern"}'}}
    messages = [{"role": "assistant", "content": None}, {"role": "user", "content": "hello"}]
    calling = [messages[0] | {"tool_calls": [called]}, messages[1]]
    counts = [
        (await rig.chat(messages=rows, tools=tools)).json()["usage"]["prompt_tokens"]
        for rows, tools in ((messages, None), (messages, [WEATHER]), (calling, None))
    ]
    assert counts[1] - counts[0] == len(json.dumps([WEATHER])) // 4
    assert counts[2] - counts[0] == len(json.dumps([called])) // 4


async def test_a_streamed_call_comes_whole_in_one_delta(rig: Rig) -> None:
    """Id, name and arguments together; the first delta's content is null."""
    *chunks, end = await rig.stream(text="call get_weather", tools=[WEATHER])
    deltas = [_choice(chunk)["delta"] for chunk in chunks]
    assert (end, deltas[0]) == ("[DONE]", {"role": "assistant", "content": None})
    (called,) = [delta["tool_calls"] for delta in deltas if "tool_calls" in delta]
    assert (called[0]["index"], called[0]["type"], called[0]["function"]["name"]) == (0, "function", "get_weather")
    jsonschema.validate(json.loads(called[0]["function"]["arguments"]), PARAMETERS)
    assert _choice(chunks[-1])["finish_reason"] == "tool_calls"
    assert chunks[-1]["x_groq"]["usage"]["completion_tokens"] > 1


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"tools": ["x"]}, "'tools.0.type' : value must be one of function, browser_search, code_interpreter"),
        ({"tools": [{"type": "mcp"}]}, "'tools.0.type'"),
        ({"tools": [BROWSER], "model": "qwen/qwen3.8-27b"}, "'tools.0.type' : value must be one of function"),
        ({"tools": [{"type": "function"}]}, "'tools.0.function.name'"),
        ({"tools": [_named("a b")]}, "'tools.0.function.name'"),
        ({"tools": [_named("x" * 65)]}, "'tools.0.function.name'"),
        (
            {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "nonsense"}}}]},
            "invalid JSON schema for tool f, tools[0].function.parameters",
        ),
        ({"tools": [WEATHER], "tool_choice": "always"}, "'tool_choice' : value must be one of none, auto, required"),
        ({"tools": [WEATHER], "tool_choice": 3}, "'tool_choice'"),
        ({"tool_choice": "required"}, "`tool_choice` is `required` but no `tools` were given"),
        ({"tools": [WEATHER], "tool_choice": _named("other")}, "`tool_choice` names the function `other`"),
        (
            {"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "y"}]},
            "'messages.1' : for 'role:tool' the following must be satisfied",
        ),
    ],
)
async def test_tools_that_cannot_be_are_a_400(fields: dict[str, Any], text: str, rig: Rig) -> None:
    """Before anything is charged."""
    reply = await rig.chat(**fields)
    assert reply.status_code == 400
    assert message(reply).startswith(text)


async def test_parameters_that_nothing_made_up_fits_are_a_failed_call(rig: Rig) -> None:
    """With what the model wrote."""
    pattern = {"type": "object", "properties": {"a": {"type": "string", "pattern": "^[0-9]$"}}, "required": ["a"]}
    tool = {"type": "function", "function": {"name": "f", "parameters": pattern}}
    error = (await rig.chat(tools=[tool], tool_choice="required", model=MODEL)).json()["error"]
    assert (error["code"], error["failed_generation"]) == ("tool_use_failed", '<function=f>{"a": "simulated"}</function>')
    assert error["message"].startswith("Failed to call a function. Please adjust your prompt.")
