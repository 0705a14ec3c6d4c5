"""Plays arguments.json: what clients really send, and that each reads as it is meant in every encoding they use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
from fakes import GROQ_CHAT_MODELS, GROQ_SPEECH_MODELS, GUARDS, VOICES, World, provider_models
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCRequest
from servers import connected, text_of

from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.mcp_server.build import tool_definitions
from groq_fallback_mcp.tools import ALL_TOOLS, Tool
from groq_fallback_mcp.tools.arguments import parse
from groq_fallback_mcp.transport.jsonrpc import read_line

pytestmark = pytest.mark.anyio
ROWS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "arguments.json").read_text(encoding="utf-8"))["cases"]
TOOLS = {tool.name: tool for tool in ALL_TOOLS}
LONG_NAME = "y" * 100_000


def written_out(value: Any) -> Any:
    """The row's arguments with its long texts as long as they are meant to be."""
    if isinstance(value, dict):
        given = cast("dict[str, Any]", value)
        if set(given) == {"repeat"}:
            text, count = given["repeat"]
            return text * count
        return {LONG_NAME if name == "<long>" else name: written_out(item) for name, item in given.items()}
    return [written_out(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def over_the_wire(tool: str, arguments: Any) -> dict[str, Any]:
    """The arguments as the SDK gets them from our reading of a line, which takes more than the SDK does."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    (message,) = read_line(json.dumps(call).encode())
    assert isinstance(message, JSONRPCRequest)
    assert message.params is not None
    return message.params["arguments"]


@pytest.mark.parametrize("row", ROWS, ids=[row["id"] for row in ROWS])
async def test_what_a_client_sends_reads_as_it_is_meant(tmp_path: Path, row: dict[str, Any]) -> None:
    """Through the real server: the same arguments, or one short error that helps."""
    arguments = over_the_wire(row["tool"], written_out(row["arguments"]))
    world = World([provider_models("groq", (*GROQ_CHAT_MODELS, *GROQ_SPEECH_MODELS, *VOICES, *GUARDS))])
    async with connected(world, folders=(tmp_path,), tools=ALL_TOOLS, state=tmp_path / "state") as client:
        result = await client.call_tool(row["tool"], arguments)
    text = text_of(result)
    if "refused" in row:
        assert result.is_error, text
        assert all(words in text for words in row["refused"]), text
        assert "Next step: " in text
        assert len(text) < 1_500
        assert len(json.dumps(result.structured_content)) < 1_500
        assert list((tmp_path / "state").rglob("*.*")) == []
        return
    model = TOOLS[row["tool"]].arguments
    read, meant = parse(model, arguments), parse(model, row["same_as"])
    assert read == meant
    assert read.model_fields_set == meant.model_fields_set
    assert "only the arguments" not in text


VALUES: dict[str, Any] = {
    "prompt": "a question",
    "messages": [{"role": "user", "content": "hi"}],
    "prompts": ["a", "b"],
    "response_schema": {"type": "object"},
    "images": ["a.png"],
    "documents": [{"text": "a"}],
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "search": True,
    "stop": ["x"],
    "providers": ["groq"],
    "kind": "chat",
    "stage": "preview",
    "reasoning_effort": "low",
    "service_tier": "flex",
    "format": "srt",
    "timestamps": "word",
    "language": "en",
    "window": "2d",
    "max_usd": 0.5,
    "temperature": 0.5,
    "top_p": 0.5,
    "threshold": 0.5,
    "max_tokens": 5,
    "tokens": 5,
    "seed": 5,
    "offset": 5,
    "limit": 5,
}
BESIDE: dict[str, dict[str, Any]] = {
    "groq_chat": {"prompt": "x"},
    "transcribe": {"file": "a.flac"},
    "speak": {"text": "x", "save_to": "a.wav"},
    "screen": {"text": "x"},
    "batch_submit": {"prompts": ["x"]},
    "batch_results": {"id": "batch_1"},
}
WITH: dict[str, dict[str, Any]] = {"tool_choice": {"tools": VALUES["tools"]}}
INSTEAD = {"messages": "prompt", "prompts": "prompt", "cursor": "prompt", "url": "file"}
OPTIONAL = [
    (tool, name) for tool in ALL_TOOLS for name, field in tool.arguments.model_fields.items() if not field.is_required()
]
ENCODINGS: dict[str, Callable[[Any], Any]] = {
    "the value": lambda value: value,
    "a JSON string": lambda value: value if isinstance(value, str) else json.dumps(value),
    "JSON twice": lambda value: value if isinstance(value, str) else json.dumps(json.dumps(value)),
    "one for a list": lambda value: value[0] if isinstance(value, list) and len(value) == 1 else value,
}


def sample(tool: Tool, name: str) -> Any:
    """A value that the argument takes."""
    if tool.name == "speak" and name == "language":
        return "ar"
    field = str(tool.arguments.model_fields[name].annotation)
    return VALUES.get(name, True if "bool" in field else "text")


def around(tool: Tool, name: str) -> dict[str, Any]:
    """The other arguments of a call with this one."""
    beside = {**BESIDE.get(tool.name, {}), **WITH.get(name, {})}
    return {key: value for key, value in beside.items() if key not in {name, INSTEAD.get(name)}}


@pytest.mark.fault("B17", "B19")
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(("tool", "name"), OPTIONAL, ids=[f"{tool.name}-{name}" for tool, name in OPTIONAL])
async def test_every_optional_argument_reads_the_same_in_every_encoding(tool: Tool, name: str, encoding: str) -> None:
    """Of every tool."""
    value, beside = sample(tool, name), around(tool, name)
    meant = parse(tool.arguments, {**beside, name: value})
    assert parse(tool.arguments, {**beside, name: ENCODINGS[encoding](value)}) == meant


@pytest.mark.fault("B18")
@pytest.mark.parametrize("nothing", [None, "", []], ids=["null", "empty text", "empty list"])
@pytest.mark.parametrize(("tool", "name"), OPTIONAL, ids=[f"{tool.name}-{name}" for tool, name in OPTIONAL])
async def test_every_optional_argument_may_be_given_as_nothing(tool: Tool, name: str, nothing: object) -> None:
    """As if it was left out."""
    beside = dict(BESIDE.get(tool.name, {}))
    beside.pop(name, None)
    if (tool.name, name) in {("groq_chat", "prompt"), ("transcribe", "file")}:
        beside |= {"messages": VALUES["messages"]} if name == "prompt" else {"url": "https://example.com/a.wav"}
    meant = parse(tool.arguments, beside)
    found = parse(tool.arguments, {**beside, name: nothing})
    assert (found, found.model_fields_set) == (meant, meant.model_fields_set)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=True) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
names = sorted({name for tool in ALL_TOOLS for name in tool.arguments.model_fields})


@given(
    st.sampled_from(ALL_TOOLS),
    st.dictionaries(st.sampled_from(names) | st.text(max_size=8), json_values, max_size=4),
)
def test_no_arguments_of_any_form_make_it_raise_anything_else(tool: Tool, raw: dict[str, Any]) -> None:
    """They are read, or refused with a short text and a next step."""
    refusal = None
    try:
        parse(tool.arguments, raw)
    except InputRefused as found:
        refusal = found
    assert refusal is None or (refusal.next_step and len(refusal.cause) < 1_500)


@pytest.mark.fault("B20")
@pytest.mark.parametrize("tool", ALL_TOOLS, ids=lambda tool: tool.name)
async def test_the_schema_of_every_tool_is_taken_by_strict_clients(tool: Tool) -> None:
    """Vertex and Gemini refuse a whole list for one property without a type, with null, or with words beside anyOf."""

    def check(node: dict[str, Any], at: str) -> None:
        assert isinstance(node.get("type"), str), at
        assert node["type"] != "null", at
        assert not {"anyOf", "oneOf", "allOf", "$ref", "$defs", "const", "title", "default", "toolset"} & set(node), at
        for name, inner in node.get("properties", {}).items():
            check(inner, f"{at}.{name}")
        if node["type"] == "array":
            check(node["items"], f"{at}[]")
        if "enum" in node:
            assert all(isinstance(option, str) for option in node["enum"]), at

    for full in (True, False):
        (definition,) = tool_definitions([tool], full=full)
        check(dict(definition.input_schema), tool.name)


@pytest.mark.fault("B18")
def test_none_is_a_choice_where_it_is_one() -> None:
    """A model told not to think, or to call no tool, must not."""
    tools = VALUES["tools"]
    read = parse(
        TOOLS["groq_chat"].arguments, {"prompt": "x", "reasoning_effort": "none", "tool_choice": "none", "tools": tools}
    )
    assert (getattr(read, "reasoning_effort"), getattr(read, "tool_choice")) == ("none", "none")  # noqa: B009 - of any tool
