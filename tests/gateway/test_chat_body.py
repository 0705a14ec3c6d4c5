"""The body of POST /v1/chat/completions: what is read of it, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from groq_fallback_mcp.call import ChatRequest, Search
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.gateway.chat_body import ChatBody, read_chat_body, with_hosted_tools
from groq_fallback_mcp.gateway.refusals import Refusal, invalid

CATALOG = load_catalog()
HI = {"role": "user", "content": "hi"}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
OTHER = {"type": "function", "function": {"name": "go", "parameters": {"type": "object"}}}
LOOK = {"type": "function", "function": {"name": "look"}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def read(**fields: Any) -> ChatBody:
    """What is read of a body with these fields."""
    found = read_chat_body({"model": "m", "messages": [HI], **fields}, catalog=CATALOG)
    assert isinstance(found, ChatBody), found
    return found


def requested(**fields: Any) -> ChatRequest:
    """The request behind a body with these fields."""
    return read(**fields).request


def refusal(**fields: Any) -> Refusal:
    """What is wrong with a body with these fields."""
    found = read_chat_body({"model": "m", "messages": [HI], **fields}, catalog=CATALOG)
    assert isinstance(found, Refusal), found
    return found


def test_a_body_with_every_field_is_read_whole() -> None:
    """Into one request, and the form of its answer."""
    found = read(
        model="openai/gpt-oss-20b",
        max_tokens=50,
        temperature=0.5,
        top_p=0.9,
        seed=-7,
        stop=["A", "B"],
        reasoning_effort="high",
        response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
        tools=[TOOL, OTHER],
        tool_choice={"type": "function", "function": {"name": "go"}},
        parallel_tool_calls=False,
        service_tier="flex",
        stream=True,
        stream_options={"include_usage": True},
        prompt_cache_key="key",
        user="ann",
    )
    assert found == ChatBody(
        request=ChatRequest(
            messages=[HI],
            model="openai/gpt-oss-20b",
            max_tokens=50,
            temperature=0.5,
            top_p=0.9,
            seed=-7,
            stop=("A", "B"),
            reasoning_effort="high",
            schema=SCHEMA,
            tools=(TOOL, OTHER),
            tool_choice={"type": "function", "function": {"name": "go"}},
            parallel_tool_calls=False,
            service_tier="flex",
        ),
        stream=True,
        include_usage=True,
        names=("key", "ann"),
    )


def test_a_body_without_optional_fields_leaves_them_to_the_plan() -> None:
    """No model means any."""
    found = read_chat_body({"messages": [HI]}, catalog=CATALOG)
    assert found == ChatBody(request=ChatRequest(messages=[HI]), names=(None, None))


@pytest.mark.parametrize(
    ("name", "model", "use_case"),
    [
        ("auto", None, None),
        (" groq/auto ", None, None),
        ("groq-fallback/auto", None, None),
        ("reasoning", None, "reasoning"),
        ("groq-fallback/reasoning", None, "reasoning"),
        ("groq/vision", None, "vision"),
        ("audio", "audio", None),
        ("groq/compound", "groq/compound", None),
        ("groq/openai/gpt-oss-20b", "groq/openai/gpt-oss-20b", None),
        ("groq-fallback/openai/gpt-oss-20b", "openai/gpt-oss-20b", None),
    ],
)
def test_a_name_is_that_of_a_model_or_a_use_case_of_chats(name: str, model: str | None, use_case: str | None) -> None:
    """Behind what agents put before it; a model of Groq's begins with groq/ itself."""
    found = requested(model=name)
    assert (found.model, found.use_case) == (model, use_case)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_completion_tokens": 7, "max_tokens": 8, "max_output_tokens": 9}, {"max_tokens": 7}),
        ({"max_tokens": 8, "max_output_tokens": 9}, {"max_tokens": 8}),
        ({"max_output_tokens": 9}, {"max_tokens": 9}),
        ({"max_tokens": None, "max_output_tokens": 9}, {"max_tokens": 9}),
        ({"max_tokens": None}, {"max_tokens": None}),
        ({"max_tokens": 1}, {"max_tokens": 1}),
        ({"max_tokens": 1_000_000}, {"max_tokens": 1_000_000}),
        ({"max_tokens": 50.0}, {"max_tokens": 50}),
        ({"temperature": 0}, {"temperature": 0.0}),
        ({"temperature": 2}, {"temperature": 2.0}),
        ({"top_p": 1}, {"top_p": 1.0}),
        # Groq refuses it, and some clients send it for "not set"
        ({"top_p": 0}, {"top_p": None}),
        ({"seed": 2**63 - 1}, {"seed": 2**63 - 1}),
        ({"seed": -(2**63)}, {"seed": -(2**63)}),
        ({"seed": 7.0}, {"seed": 7}),
        ({"stop": "A"}, {"stop": ("A",)}),
        ({"stop": ["A", "B", "C", "D"]}, {"stop": ("A", "B", "C", "D")}),
        ({"reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"reasoning_effort": "low", "reasoning": {"effort": "high"}}, {"reasoning_effort": "low"}),
        ({"reasoning_effort": "xhigh", "reasoning": {"effort": "low"}}, {"reasoning_effort": "high"}),
        ({"reasoning_effort": 7, "reasoning": "much"}, {"reasoning_effort": None}),
        ({"reasoning_effort": 7, "reasoning": {"effort": "low"}}, {"reasoning_effort": "low"}),
        ({"service_tier": "auto"}, {"service_tier": "auto"}),
        ({"service_tier": "default"}, {"service_tier": None}),
        ({"response_format": {}}, {"schema": None}),
        ({"response_format": {"type": "json_object"}}, {"schema": {"type": "object"}}),
        ({"n": 1, "logprobs": False, "top_logprobs": 0, "modalities": ["text"]}, {}),
        ({"tools": [{"type": "web_search"}, {"type": "code_interpreter"}, TOOL]}, {"tools": (TOOL,)}),
        ({"tools": [{"function": TOOL["function"]}]}, {"tools": (TOOL,)}),
        ({"functions": [TOOL["function"]], "function_call": "auto"}, {"tools": (TOOL,), "tool_choice": "auto"}),
        ({"functions": [TOOL["function"]], "function_call": "none"}, {"tool_choice": "none"}),
        ({"functions": [TOOL["function"]], "function_call": {"name": "look"}}, {"tool_choice": LOOK}),
        ({"tools": [TOOL], "functions": [OTHER["function"]]}, {"tools": (TOOL,)}),
        ({"tools": [TOOL], "tool_choice": "none", "function_call": "auto"}, {"tool_choice": "none"}),
        ({"tool_choice": "required"}, {"tool_choice": None}),
        ({"tool_choice": LOOK}, {"tool_choice": None}),
        ({"tools": [TOOL] * 128}, {"tools": (TOOL,) * 128}),
        ({"messages": [HI] * 10_000}, {"messages": [HI] * 10_000}),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, Mapping) else None,
)
def test_a_field_is_read_in_the_forms_that_clients_send(fields: dict[str, Any], expected: dict[str, Any]) -> None:
    """Up to its bounds."""
    found = requested(**fields)
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "streamed", "usage", "reasoning"),
    [
        ({"stream": False, "stream_options": {"include_usage": 1}}, False, False, True),
        ({"stream": True, "include_reasoning": True}, True, False, True),
        ({"include_reasoning": False}, False, False, False),
        ({"reasoning_format": "hidden"}, False, False, False),
        ({"reasoning_format": "parsed"}, False, False, True),
    ],
)
def test_the_form_of_the_answer_is_as_the_body_wants_it(
    fields: dict[str, Any], streamed: bool, usage: bool, reasoning: bool
) -> None:
    """Thoughts are shown unless they are not wanted."""
    found = read(**fields)
    assert (found.stream, found.include_usage, found.include_reasoning) == (streamed, usage, reasoning)


CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLED = [
    HI,
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "content": "x"},
]


@pytest.mark.parametrize(
    ("more", "is_open"),
    [
        ([], True),
        ([HI], True),
        ([{"role": "assistant", "content": "so"}], False),
        ([{"role": "assistant", "content": "so"}, HI], False),
    ],
)
def test_a_turn_is_open_until_the_model_has_spoken_after_its_tools(more: list[Mapping[str, Any]], is_open: bool) -> None:
    """Whatever the client adds."""
    assert read(messages=[*CALLED, *more]).has_open_calls is is_open
    assert read().has_open_calls is False


@pytest.mark.parametrize(
    ("fields", "message", "param"),
    [
        ({"n": 2}, "n is 2, and only 1 is supported. Send the request 2 times", "n"),
        ({"n": 128}, "n is 128, and only 1 is supported. Send the request 128 times", "n"),
        ({"n": 0}, "n is 0, and must be a whole number from 1 to 128", "n"),
        ({"n": 129}, "n is 129, and must be a whole number from 1 to 128", "n"),
        ({"logprobs": True}, "logprobs is not supported. Remove it", "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs is not supported. Remove it", "top_logprobs"),
        (
            {"audio": {"voice": "x"}},
            "Spoken answers are not supported here. Remove audio and modalities, or use /v1/audio/speech",
            "audio",
        ),
        (
            {"modalities": ["text", "audio"]},
            "Spoken answers are not supported here. Remove audio and modalities, or use /v1/audio/speech",
            "audio",
        ),
        ({"messages": []}, "messages must be a list with at least one message", "messages"),
        ({"messages": "hi"}, "messages must be a list with at least one message", "messages"),
        ({"messages": {}}, "messages must be a list with at least one message", "messages"),
        (
            {"messages": [HI] * 10_001},
            "messages has 10,001 entries, and 10,000 are allowed. Shorten the conversation",
            "messages",
        ),
        ({"messages": [{"type": "reasoning"}]}, "No message has content. Add a message with content", "messages"),
        ({"tools": {}}, "tools must be a list", "tools"),
        ({"tools": [TOOL, 7]}, "Tool 2 is not an object", "tools"),
        ({"tools": [TOOL, {}]}, "Tool 2 has no function name", "tools"),
        ({"tools": [TOOL, {"type": "function", "function": {}}]}, "Tool 2 has no function name", "tools"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "Tool 1 has no function name", "tools"),
        ({"tools": [{"type": "function", "function": {"name": 7}}]}, "Tool 1 has no function name", "tools"),
        ({"tools": [{"parameters": {}}]}, "Tool 1 has no function name", "tools"),
        ({"functions": ["look"]}, "Tool 1 has no function name", "tools"),
        ({"functions": [TOOL["function"], 7]}, "Tool 2 has no function name", "tools"),
        (
            {"tools": [TOOL] * 129},
            "tools has 129 functions, and Groq takes 128. Turn off an MCP server or some of its tools",
            "tools",
        ),
        (
            {"tools": [TOOL], "tool_choice": 7},
            "tool_choice is 7. Use none, auto, required or a function",
            "tool_choice",
        ),
        ({"tools": [TOOL], "tool_choice": "go"}, "tool_choice names 'go', which is not in tools", "tool_choice"),
        (
            {"response_format": 7},
            'response_format must be {"type": "text"}, {"type": "json_object"} or a json_schema',
            "response_format",
        ),
        ({"model": 7}, "model must be a text. Use auto, or an id from /v1/models", "model"),
        ({"model": " "}, "model must be a text. Use auto, or an id from /v1/models", "model"),
        ({"max_tokens": 0}, "max_tokens is 0, and must be a whole number from 1 to 1,000,000", "max_tokens"),
        ({"max_tokens": 1_000_001}, "max_tokens is 1000001, and must be a whole number from 1 to 1,000,000", "max_tokens"),
        ({"max_tokens": True}, "max_tokens is true, and must be a whole number from 1 to 1,000,000", "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens is 1.5, and must be a whole number from 1 to 1,000,000", "max_tokens"),
        (
            {"seed": -(2**63) - 1},
            f"seed is {-(2**63) - 1}, and must be a whole number from {-(2**63):,} to {2**63 - 1:,}",
            "seed",
        ),
        (
            {"seed": 2**63},
            f"seed is {2**63}, and must be a whole number from {-(2**63):,} to {2**63 - 1:,}",
            "seed",
        ),
        ({"temperature": 2.1}, "temperature is 2.1, and must be a number from 0 to 2", "temperature"),
        ({"temperature": -0.1}, "temperature is -0.1, and must be a number from 0 to 2", "temperature"),
        ({"temperature": True}, "temperature is true, and must be a number from 0 to 2", "temperature"),
        ({"top_p": 1.1}, "top_p is 1.1, and must be a number from 0 to 1", "top_p"),
        ({"stop": 7}, "stop must be a text or a list of at most 4 texts", "stop"),
        ({"stop": ["A", 7]}, "stop must be a text or a list of at most 4 texts", "stop"),
        ({"stop": ["A"] * 5}, "stop must be a text or a list of at most 4 texts", "stop"),
        ({"stream": "yes"}, "stream is 'yes', and must be true or false", "stream"),
        ({"parallel_tool_calls": 1}, "parallel_tool_calls is 1, and must be true or false", "parallel_tool_calls"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, Mapping) else "",
)
def test_what_is_wrong_with_a_field_is_said_with_its_value_and_what_to_do(
    fields: dict[str, Any], message: str, param: str
) -> None:
    """And with its name, for programs."""
    assert refusal(**fields) == invalid(message, param=param)


def test_what_is_wrong_with_a_message_is_said_with_its_number() -> None:
    """As the reader of messages says it."""
    found = refusal(messages=[HI, {"role": "martian", "content": "hi"}])
    assert found.param == "messages"
    assert found.message.startswith("Invalid messages: in message 2, role must be one of")


def test_a_body_that_is_not_an_object_is_refused() -> None:
    """Whatever else JSON can be."""
    message = "The body is not a JSON object. Send an object with model and messages"
    assert read_chat_body([HI], catalog=CATALOG) == invalid(message)


def test_a_search_is_optional_and_beside_functions_omitted_with_a_note() -> None:
    """What no model here knows is omitted too; of its name forty characters are shown."""
    with_tools, plain = read(tools=[TOOL]), read(stream=True)
    searching = with_hosted_tools(plain, searches=True, omitted=())
    assert searching == replace(plain, request=replace(plain.request, search=Search(optional=True)))
    assert with_hosted_tools(plain, searches=False, omitted=()) == plain
    both = with_hosted_tools(with_tools, searches=True, omitted=("computer", "x" * 50))
    assert both.request == with_tools.request
    assert both.notes == (
        "The tool computer was omitted, as no model here knows it",
        f"The tool {'x' * 40} was omitted, as no model here knows it",
        "The tool web_search was omitted, as no model here searches beside other tools",
    )
    assert with_hosted_tools(both, searches=False, omitted=("y",)).notes == (
        *both.notes,
        "The tool y was omitted, as no model here knows it",
    )


def allowing(mode: object, *names: str) -> dict[str, Any]:
    """OpenAI's form of a choice among some of the functions."""
    named = [{"type": "function", "function": {"name": name}} for name in names]
    return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": named}}


def test_of_allowed_tools_those_that_are_named_are_offered() -> None:
    """Groq does not know that form; an agent that sends all tools and allows some keeps its prompt in a cache."""
    other = OTHER["function"]["name"]
    some = requested(tools=[TOOL, OTHER], tool_choice=allowing("required", other))
    assert (some.tools, some.tool_choice) == ((OTHER,), "required")
    none = requested(tools=[TOOL, OTHER], tool_choice=allowing("auto"))
    assert (none.tools, none.tool_choice) == ((), None)
    # what has another type is read by its type
    choice = {"type": "function", "function": TOOL["function"], **allowing("auto") | {"type": "function"}}
    assert requested(tools=[TOOL], tool_choice=choice).tools == (TOOL,)
    broken = refusal(tools=[TOOL], tool_choice={"type": "allowed_tools", "allowed_tools": 7})
    assert broken.message.startswith("tool_choice names null, which is not in tools")
