"""POST /v1/responses in memory: what Codex and OpenAI's SDKs send, what reaches the upstream, and what they get."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from apis import RESPONSES, Heard, named_events
from fakes import World
from upstream import Asked, Upstream, ask, calls, events, gateway, text, whole

from groq_fallback_mcp.call import Search
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.gateway.refusals import Refusal
from groq_fallback_mcp.gateway.responses_body import NamedTool, ResponsesBody, read_responses_body

pytestmark = pytest.mark.anyio

SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
FIRST = "openai/gpt-oss-20b"
PICTURE = "data:image/png;base64,iVBORw0KGgo="
SHELL = {"type": "function", "name": "exec_command", "strict": False, "parameters": {"type": "object"}}
# What Codex 0.169.0 sends in its third request, with its texts cut short.
CODEX: dict[str, Any] = {
    "model": FIRST,
    "stream": True,
    "input": [
        {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "You are Codex."}]},
        {
            "type": "message",
            "id": "msg_2",
            "role": "user",
            "content": [
                {"type": "input_text", "text": "<environment_context>"},
                {"type": "input_text", "text": "Follow the script."},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [],
            "content": [{"type": "reasoning_text", "text": "I list."}],
            "encrypted_content": None,
        },
        {
            "type": "message",
            "id": "msg_3",
            "role": "assistant",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}],
        },
        {
            "type": "function_call",
            "status": "completed",
            "id": "fc_1",
            "name": "exec_command",
            "arguments": '{"cmd": "ls"}',
            "call_id": "call_0",
        },
        {"type": "function_call", "name": "spawn_agent", "namespace": "multi_agent_v1", "arguments": "{}", "call_id": "call_1"},
        {"type": "function_call_output", "id": "fco_1", "call_id": "call_0", "output": "Exit code 0\nnotes.txt"},
        {
            "type": "function_call_output",
            "call_id": "call_1",
            "output": [{"type": "input_text", "text": "agent 1"}, {"type": "input_text", "text": "started"}],
        },
    ],
    "tools": [
        SHELL,
        {
            "type": "namespace",
            "name": "multi_agent_v1",
            "description": "Sub-agents.",
            "tools": [{"type": "function", "name": "spawn_agent", "strict": False, "parameters": {"type": "object"}}],
        },
        {"type": "namespace", "name": "mcp__groq__", "tools": [{"type": "function", "name": "groq_chat", "parameters": {}}]},
        {"type": "web_search", "external_web_access": True},
    ],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "reasoning": {"summary": "auto"},
    "store": False,
    "include": ["reasoning.encrypted_content"],
    "prompt_cache_key": "thread-1",
    "client_metadata": {"thread_id": "thread-1"},
}


def good(body: Mapping[str, Any]) -> Asked:
    """A plain answer in the form that was asked for."""
    if body.get("stream"):
        return Asked(pieces=events({"reasoning": "Hm."}, *text("Hello", " you")), headers=SSE)
    return Asked(pieces=[whole("Hello you", reasoning="Hm.")], headers=JSON)


async def answered(answers: Any = good, **body: Any) -> tuple[Heard, Mapping[str, Any], Mapping[str, str]]:
    """What a client hears, the body that reached the upstream, and the headers."""
    upstream = Upstream(answers)
    got = await ask(gateway(World(), upstream), {"model": FIRST, "input": "Hi"} | body, path=RESPONSES.path)
    assert got.status == 200, got.body
    return RESPONSES.heard(got), upstream.requests[0], got.headers


async def refusal(**body: Any) -> Mapping[str, Any]:
    """The error of a request that must not reach the upstream."""
    upstream = Upstream(good)
    got = await ask(gateway(World(), upstream), {"model": FIRST, "input": "Hi"} | body, path=RESPONSES.path)
    assert (got.status, upstream.requests) == (400, [])
    error = RESPONSES.heard(got).error
    assert error is not None
    return error


async def test_what_codex_sends_becomes_a_chat_that_every_provider_takes() -> None:
    """Words and calls in one message, results by their ids; what only OpenAI knows is not sent on."""
    heard, sent, headers = await answered(**CODEX)
    assert sent["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "You are Codex."}]},
        {
            "role": "user",
            "content": [{"type": "text", "text": "<environment_context>"}, {"type": "text", "text": "Follow the script."}],
        },
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Let me look."}],
            "tool_calls": [
                {"id": "call_0", "type": "function", "function": {"name": "exec_command", "arguments": '{"cmd": "ls"}'}},
                {"id": "call_1", "type": "function", "function": {"name": "multi_agent_v1__spawn_agent", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": "Exit code 0\nnotes.txt"},
        {"role": "tool", "tool_call_id": "call_1", "content": "agent 1\nstarted"},
    ]
    names = [tool["function"]["name"] for tool in sent["tools"]]
    assert names == ["exec_command", "multi_agent_v1__spawn_agent", "mcp__groq__groq_chat"]
    assert not {"store", "include", "prompt_cache_key", "client_metadata", "input", "reasoning"} & set(sent)
    assert (heard.text, heard.reasoning, heard.finish, heard.model) == ("Hello you", "Hm.", "stop", FIRST)
    assert "web_search was omitted" in headers["x-groq-fallback-notes"]


async def test_a_response_in_one_piece_has_openais_form() -> None:
    """With what was asked, but without the long of it."""
    upstream = Upstream(good)
    asked = {"model": FIRST, "input": "Hi", "instructions": "Be brief", "metadata": {"a": "b"}, "temperature": 0.5}
    got = await ask(gateway(World(), upstream), asked, path=RESPONSES.path)
    body = got.json
    assert (body["status"], body["store"], body["metadata"], body["temperature"]) == ("completed", False, {"a": "b"}, 0.5)
    assert body["usage"] == {
        "input_tokens": 10,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 15,
    }
    assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
    assert upstream.requests[0]["messages"][0] == {"role": "system", "content": "Be brief"}


async def test_the_events_of_a_stream_come_in_the_order_that_clients_read() -> None:
    """Each item is opened, filled and closed before the next."""
    got = await ask(gateway(World(), Upstream(good)), {"model": FIRST, "input": "Hi", "stream": True}, path=RESPONSES.path)
    assert [event["type"].removeprefix("response.") for event in named_events(got)] == [
        "created",
        "in_progress",
        *("output_item.added", "content_part.added", "reasoning_text.delta", "reasoning_text.done"),
        *("content_part.done", "output_item.done"),
        *("output_item.added", "content_part.added", "output_text.delta", "output_text.delta"),
        *("output_text.done", "content_part.done", "output_item.done"),
        "completed",
    ]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_call_is_given_back_as_its_tool_was_offered(stream: bool) -> None:
    """In its namespace; a custom tool's with its input as a text."""
    tools = [
        {"type": "namespace", "name": "mcp__groq__", "tools": [{"type": "function", "name": "chat", "parameters": {}}]},
        {"type": "custom", "name": "apply_patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: A"}},
    ]
    names = ("mcp__groq__chat", "apply_patch")
    made = [
        {"id": f"c{at}", "type": "function", "function": {"name": name, "arguments": '{"input": "*** Begin"}'}}
        for at, name in enumerate(names)
    ]

    def calling(body: Mapping[str, Any]) -> Asked:
        if body.get("stream"):
            deltas = [{"tool_calls": [{**call, "index": at}]} for at, call in enumerate(made)]
            return Asked(pieces=events(*deltas, finish="tool_calls"), headers=SSE)
        return Asked(pieces=[whole(None, finish="tool_calls", tool_calls=made)], headers=JSON)

    upstream = Upstream(calling)
    got = await ask(
        gateway(World(), upstream), {"model": FIRST, "input": "Hi", "tools": tools, "stream": stream}, path=RESPONSES.path
    )
    output = named_events(got)[-1]["response"]["output"] if stream else got.json["output"]
    called = {"type": "function_call", "name": "chat", "namespace": "mcp__groq__", "arguments": '{"input": "*** Begin"}'}
    patched = {"type": "custom_tool_call", "name": "apply_patch", "input": "*** Begin"}
    assert [{name: item[name] for name in wanted} for item, wanted in zip(output, (called, patched), strict=True)] == [
        called,
        patched,
    ]
    assert [item["call_id"] for item in output] == ["c0", "c1"]
    described = upstream.requests[0]["tools"][1]["function"]
    assert "lark grammar:\nstart: A" in described["description"]
    assert described["parameters"]["required"] == ["input"]


async def test_a_custom_call_of_an_earlier_turn_goes_on() -> None:
    """As the function that it was."""
    items = [
        {"type": "message", "role": "user", "content": "Patch"},
        {"type": "custom_tool_call", "call_id": "c1", "name": "apply_patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c1", "output": "Done"},
    ]
    _, sent, _ = await answered(input=items, tools=[{"type": "custom", "name": "apply_patch"}])
    function = sent["messages"][1]["tool_calls"][0]["function"]
    assert (function["name"], json.loads(function["arguments"])) == ("apply_patch", {"input": "*** Begin"})
    assert sent["messages"][2] == {"role": "tool", "tool_call_id": "c1", "content": "Done"}


async def test_an_image_reaches_a_model_that_sees() -> None:
    """In the field that chat completions have."""
    content = [{"type": "input_text", "text": "What is it?"}, {"type": "input_image", "image_url": PICTURE, "detail": "auto"}]
    _, sent, _ = await answered(model="auto", input=[{"role": "user", "content": content}])
    assert sent["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": PICTURE}}
    assert sent["model"] == "qwen/qwen3.8-27b"


async def test_a_format_is_asked_for_and_the_answer_checked() -> None:
    """text.format, as response_format of a chat completion."""
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
    form = {"type": "json_schema", "name": "number", "strict": True, "schema": schema}
    heard, sent, _ = await answered(lambda _: Asked(pieces=[whole('{"n": 1}')], headers=JSON), text={"format": form})
    assert (heard.text, sent["response_format"]["json_schema"]["schema"]) == ('{"n": 1}', schema)


async def test_an_answer_that_is_cut_short_is_incomplete() -> None:
    """And says why; never completed."""
    heard, _, _ = await answered(lambda _: Asked(pieces=[whole("Hello", finish="length")], headers=JSON), max_output_tokens=100)
    assert heard.finish == "length"
    cut = await ask(
        gateway(World(), Upstream(lambda _: Asked(pieces=events(*text("Hello"), finish="length"), headers=SSE))),
        {"model": FIRST, "input": "Hi", "stream": True},
        path=RESPONSES.path,
    )
    last = named_events(cut)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


async def test_web_search_is_used_where_the_model_has_it_and_said_where_not() -> None:
    """Codex offers it with every request."""
    search = [{"type": "web_search"}]
    _, sent, _ = await answered(tools=search)
    assert sent["tools"] == [{"type": "browser_search"}]
    _, sent, headers = await answered(model="qwen/qwen3.8-27b", tools=search)
    assert "tools" not in sent
    assert "The web was not searched" in headers["x-groq-fallback-notes"]


async def test_only_the_tools_that_are_allowed_are_offered() -> None:
    """allowed_tools, and the choice of one."""
    tools = [SHELL, {**SHELL, "name": "view_image"}]
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "view_image"}]}
    calling = lambda _: Asked(  # noqa: E731
        pieces=[whole(None, finish="tool_calls", tool_calls=[dict(one) for one in _calls_of("view_image")])], headers=JSON
    )
    _, sent, _ = await answered(calling, tools=tools, tool_choice=allowed)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["view_image"]
    assert sent["tool_choice"] == "required"
    _, sent, _ = await answered(calling, tools=tools, tool_choice={"type": "function", "name": "view_image"})
    assert sent["tool_choice"] == {"type": "function", "function": {"name": "view_image"}}


def _calls_of(name: str) -> list[Mapping[str, Any]]:
    first = calls("{}", name=name)[0]["tool_calls"][0]
    return [{key: value for key, value in first.items() if key != "index"}]


@pytest.mark.parametrize(
    ("field", "value", "param", "words"),
    [
        ("previous_response_id", "resp_1", "previous_response_id", "nothing is stored here"),
        ("conversation", "conv_1", "conversation", "Send the whole conversation in input"),
        ("background", True, "background", "Remove it"),
        ("input", [], "input", "at least one item"),
        ("input", [7], "input", "Item 1 of input is not an object"),
        ("input", [{"type": "item_reference", "id": "rs_1"}], "input", "Send the item itself"),
        ("input", [{"type": "message", "role": "wizard", "content": "Hi"}], "input", "in item 1, role must be one of"),
        ("input", [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}], "input", "data URL"),
        ("max_output_tokens", -1, "max_output_tokens", "-1"),
        ("tools", {}, "tools", "must be a list"),
        ("text", {"format": {"type": "xml"}}, "text.format", "is not a JSON schema"),
    ],
)
async def test_what_cannot_be_done_is_said_before_anything_is_sent(field: str, value: Any, param: str, words: str) -> None:
    """With the name that the field has in this API."""
    error = await refusal(**{field: value})
    assert error["param"] == param
    assert words in error["message"]


async def test_words_after_a_call_do_not_part_it_from_its_result() -> None:
    """Providers insist on results right after the calls."""
    items = [
        {"role": "user", "content": "Go"},
        {"type": "function_call", "call_id": "c", "name": "exec_command", "arguments": "{}"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Running."}]},
        {"type": "function_call_output", "call_id": "c", "output": "1"},
    ]
    _, sent, _ = await answered(input=items, tools=[SHELL])
    assert [message["role"] for message in sent["messages"]] == ["user", "assistant", "tool"]
    assert sent["messages"][1]["content"] == [{"type": "text", "text": "Running."}]


async def test_only_allowed_tools_search_and_an_unknown_one_is_refused() -> None:
    """As with the choice of one."""
    tools = [SHELL, {"type": "web_search"}]
    chosen = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}
    _, sent, _ = await answered(tools=tools, tool_choice=chosen)
    assert sent["tools"] == [{"type": "browser_search"}]
    wrong = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "nope"}]}
    assert "not in tools" in (await refusal(tools=tools, tool_choice=wrong))["message"]


async def test_very_many_tools_are_refused_before_anything_is_looked_up() -> None:
    """However many calls of them the conversation has."""
    tools = [{**SHELL, "name": f"t{number}"} for number in range(200)]
    assert "more than 128 functions" in (await refusal(tools=tools))["message"]


async def test_a_wrong_item_is_counted_as_the_client_counts() -> None:
    """Whatever stands for no message, or for one of several."""
    items = [
        {"type": "reasoning", "id": "r", "summary": []},
        {"role": "user", "content": "Hi"},
        {"role": "wizard", "content": "x"},
    ]
    assert "in item 3, role must" in (await refusal(input=items, instructions="Be brief"))["message"]


async def test_instructions_may_be_items() -> None:
    """As OpenAI has them."""
    _, sent, _ = await answered(instructions=[{"role": "developer", "content": "Be brief"}])
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]


async def test_items_that_no_model_reads_are_left_out_and_said() -> None:
    """What ran at OpenAI in an earlier turn."""
    items = [{"role": "user", "content": "Hi"}, {"type": "web_search_call", "id": "ws_1", "status": "completed"}]
    _, sent, headers = await answered(input=items)
    assert sent["messages"] == [{"role": "user", "content": "Hi"}]
    assert "web_search_call were omitted" in headers["x-groq-fallback-notes"]


async def test_a_long_name_in_a_namespace_fits_and_is_given_back() -> None:
    """Functions have names of 64 letters, digits, underscores and dashes."""
    tools = [{"type": "namespace", "name": "mcp__a.b__", "tools": [{"type": "function", "name": "x" * 60, "parameters": {}}]}]
    seen: list[str] = []

    def calling(body: Mapping[str, Any]) -> Asked:
        seen.append(body["tools"][0]["function"]["name"])
        return Asked(pieces=[whole(None, finish="tool_calls", tool_calls=_calls_of(seen[0]))], headers=JSON)

    got = await ask(gateway(World(), Upstream(calling)), {"model": FIRST, "input": "Hi", "tools": tools}, path=RESPONSES.path)
    assert len(seen[0]) == 64
    assert (got.json["output"][-1]["namespace"], got.json["output"][-1]["name"]) == ("mcp__a.b__", "x" * 60)


async def test_tools_that_would_be_one_function_are_told_apart() -> None:
    """A name, the same made of a namespace and a name, and a custom tool of that name."""
    tools = [
        {**SHELL, "name": "a__b"},
        {"type": "namespace", "name": "a", "tools": [{**SHELL, "name": "b"}]},
        {"type": "custom", "name": "a__b"},
        {**SHELL, "name": "a__b"},
    ]

    def calling(body: Mapping[str, Any]) -> Asked:
        names = [tool["function"]["name"] for tool in body["tools"]]
        assert len(set(names)) == len(names) == 3
        made = [{**_calls_of(name)[0], "id": name, "function": {"name": name, "arguments": '{"input": "x"}'}} for name in names]
        return Asked(pieces=[whole(None, finish="tool_calls", tool_calls=made)], headers=JSON)

    got = await ask(gateway(World(), Upstream(calling)), {"model": FIRST, "input": "Hi", "tools": tools}, path=RESPONSES.path)
    made = [(item["type"], item["name"], item.get("namespace")) for item in got.json["output"]]
    assert made == [("function_call", "a__b", None), ("function_call", "b", "a"), ("custom_tool_call", "a__b", None)]


async def test_a_conversation_stays_with_the_model_that_took_over() -> None:
    """In the middle of open calls, by the key that Codex gives it."""
    world = World()
    upstream = Upstream(lambda body: Asked(status=503, pieces=[b"{}"], headers=JSON) if body["model"] == FIRST else good(body))
    app = gateway(world, upstream)
    await ask(app, CODEX, path=RESPONSES.path)
    upstream.answers = good
    await ask(app, CODEX, path=RESPONSES.path)
    assert upstream.asked == [FIRST, "openai/gpt-oss-120b", "openai/gpt-oss-120b"]


CATALOG = load_catalog()
WHERE = {"type": "object", "properties": {"path": {"type": "string"}}}
READ = {"type": "function", "name": "read", "description": "Reads a file", "strict": True, "parameters": WHERE}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Changes files"}
GROQ = {"type": "namespace", "name": "mcp__groq__", "tools": [{"type": "function", "name": "chat", "parameters": {}}]}
SEARCH = {"type": "web_search"}


def read(**fields: Any) -> ResponsesBody:
    """The request behind a small body with these fields."""
    found = read_responses_body({"model": FIRST, "input": "Hi"} | fields, catalog=CATALOG)
    assert isinstance(found, ResponsesBody), found
    return found


def said(text: str) -> dict[str, Any]:
    """A message of the user."""
    return {"type": "message", "role": "user", "content": text}


def called(name: str, call_id: str = "c", **more: Any) -> dict[str, Any]:
    """An earlier call of a function."""
    return {"type": "function_call", "name": name, "call_id": call_id, "arguments": "{}", **more}


def call_of(name: str, call_id: str = "c", arguments: str = "{}") -> dict[str, Any]:
    """The same as chat completions have it."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


FILE = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
# By what they are: items of an input, and the messages that a model reads.
ITEMS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "a-text": ("Hi", [{"role": "user", "content": "Hi"}]),
    "a-refusal": (
        [said("Hi"), {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "No."}]}],
    ),
    "a-refusal-without-words": (
        [said("Hi"), {"role": "assistant", "content": [{"type": "refusal", "refusal": None}]}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": ""}]}],
    ),
    "a-file": (
        [{"role": "user", "content": [FILE]}],
        [
            {
                "role": "user",
                "content": [{"type": "file", "file": {"file_data": FILE["file_data"], "filename": "a.pdf"}}],
            }
        ],
    ),
    "calls-whose-results-come-in-another-order": (
        [
            *(said("Go"), called("read", "c1"), called("read", "c2")),
            {"type": "function_call_output", "call_id": "c2", "output": "two"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
        ],
        [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": None, "tool_calls": [call_of("read", "c1"), call_of("read", "c2")]},
            {"role": "tool", "tool_call_id": "c2", "content": "two"},
            {"role": "tool", "tool_call_id": "c1", "content": "one"},
        ],
    ),
    "words-before-and-after-a-call": (
        [said("Go"), {"role": "assistant", "content": "Wait."}, called("read"), {"role": "assistant", "content": "Running."}],
        [
            {"role": "user", "content": "Go"},
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "Wait."}, {"type": "text", "text": "Running."}],
                "tool_calls": [call_of("read")],
            },
        ],
    ),
    "a-call-without-a-name": (
        [said("Go"), {"type": "function_call", "call_id": "c", "arguments": "{}"}],
        [{"role": "user", "content": "Go"}, {"role": "assistant", "content": None, "tool_calls": [call_of("")]}],
    ),
    "a-custom-call-without-input": (
        [said("Go"), {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": None}],
        [
            {"role": "user", "content": "Go"},
            {"role": "assistant", "content": None, "tool_calls": [call_of("apply_patch", arguments='{"input": ""}')]},
        ],
    ),
}


@pytest.mark.parametrize("name", ITEMS)
def test_items_become_the_messages_that_a_model_can_read(name: str) -> None:
    """In their order, each call with its own result."""
    items, messages = ITEMS[name]
    assert read(input=items).chat.request.messages == messages


FREE = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
LARK = {"type": "grammar", "syntax": "lark", "definition": "start: A"}
# By what it is: a tool, and the function that it becomes.
TOOLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "a-function": (READ, {"name": "read", "description": "Reads a file", "strict": True, "parameters": WHERE}),
    "a-custom-tool": (PATCH, {"name": "apply_patch", "description": "Changes files", "parameters": FREE}),
    "a-custom-tool-with-a-grammar": (
        {**PATCH, "format": LARK},
        {
            "name": "apply_patch",
            "description": "Changes files\nIts input must match this lark grammar:\nstart: A",
            "parameters": FREE,
        },
    ),
    "a-custom-tool-with-nothing-but-a-grammar": (
        {**PATCH, "description": "", "format": {**LARK, "syntax": None}},
        {"name": "apply_patch", "description": "Its input must match this grammar:\nstart: A", "parameters": FREE},
    ),
}


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_is_a_function_with_all_of_its_fields(name: str) -> None:
    """A custom tool's says in words what its input must be."""
    tool, function = TOOLS[name]
    assert read(tools=[tool]).chat.request.tools == ({"type": "function", "function": function},)


def test_a_custom_tool_in_a_namespace_is_given_back_in_it() -> None:
    """As it was offered."""
    found = read(tools=[{"type": "namespace", "name": "git", "tools": [PATCH]}])
    assert found.tools == {"git__apply_patch": NamedTool("apply_patch", "git", is_custom=True)}


def names_of(found: ResponsesBody) -> list[str]:
    """The functions that are offered."""
    return [tool["function"]["name"] for tool in found.chat.request.tools]


def test_an_earlier_call_is_of_the_function_that_its_tool_is_now() -> None:
    """Where three tools would be one function: a name, a namespace with a name, and a custom tool."""
    tools = [{**READ, "name": "git__apply_patch"}, {"type": "namespace", "name": "git", "tools": [{**READ, **PATCH}]}]
    tools += [{**PATCH, "name": "git__apply_patch"}]
    patched = {"type": "custom_tool_call", "input": "x"}
    items = [
        said("Go"),
        called("git__apply_patch", "c1"),
        {**patched, "name": "apply_patch", "namespace": "git", "call_id": "c2"},
        {**patched, "name": "git__apply_patch", "call_id": "c3"},
    ]
    found = read(tools=tools, input=items)
    made = [call["function"]["name"] for call in found.chat.request.messages[1]["tool_calls"]]
    assert len(set(made)) == 3
    assert made == names_of(found)


# By what is chosen: the choice, and what a chat completion has for it.
CHOICES: dict[str, tuple[Any, Any]] = {
    "a-function": ({"type": "function", "name": "read"}, {"type": "function", "function": {"name": "read"}}),
    "a-custom-tool": ({"type": "custom", "name": "apply_patch"}, {"type": "function", "function": {"name": "apply_patch"}}),
    "a-function-in-a-namespace": (
        {"type": "function", "name": "chat", "namespace": "mcp__groq__"},
        {"type": "function", "function": {"name": "mcp__groq__chat"}},
    ),
    "a-hosted-tool": ({"type": "web_search_preview"}, "auto"),
    "a-hosted-tool-with-a-name": ({"type": "mcp", "server_label": "x", "name": "y"}, "auto"),
    "a-function-without-a-name": ({"type": "function"}, "auto"),
    "any": ("required", "required"),
}


@pytest.mark.parametrize("name", CHOICES)
def test_the_choice_of_a_tool_is_translated(name: str) -> None:
    """A tool that is not here is left to the model."""
    choice, sent_as = CHOICES[name]
    assert read(tools=[READ, PATCH, GROQ], tool_choice=choice).chat.request.tool_choice == sent_as


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({"type": "namespace", "name": "a", "tools": [{**READ, "name": "b"}]}, id="a-function-in-a-namespace"),
        pytest.param({**READ, "name": "a__b"}, id="a-function"),
    ],
)
def test_the_choice_of_a_custom_tool_is_of_that_one(other: dict[str, Any]) -> None:
    """Also where another tool has the name that it would have."""
    tools = [other, {**PATCH, "name": "a__b"}]
    chosen = {"type": "custom", "name": "a__b"}
    found = read(tools=tools, tool_choice=chosen)
    own = names_of(found)[1]
    assert found.chat.request.tool_choice == {"type": "function", "function": {"name": own}}
    found = read(tools=tools, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [chosen]})
    assert names_of(found) == [own]


def test_the_choice_of_a_function_is_not_of_the_custom_tool_of_that_name() -> None:
    """The type tells them apart."""
    tools = [{**PATCH, "name": "edit"}, {**READ, "name": "edit"}]
    found = read(tools=tools, tool_choice={"type": "function", "name": "edit"})
    assert found.chat.request.tool_choice == {"type": "function", "function": {"name": names_of(found)[1]}}


def test_the_web_is_searched_only_where_that_is_offered_and_allowed() -> None:
    """allowed_tools takes away, and adds nothing."""
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "read"}]}
    found = read(tools=[READ, SEARCH], tool_choice=allowed).chat
    assert (found.request.search, found.notes) == (None, ())
    allowed = {"type": "allowed_tools", "mode": "auto", "tools": [SEARCH]}
    found = read(tools=[READ], tool_choice=allowed).chat
    assert (found.request.search, found.request.tools, found.notes) == (None, (), ())
    assert read(tools=[SEARCH]).chat.request.search == Search(optional=True)


def test_what_is_omitted_is_said_once_for_each_kind() -> None:
    """Reasoning is of no use to another model, so nobody misses it."""
    items = [
        *(said("Hi"), {"type": "reasoning", "id": "rs_1", "summary": []}),
        *({"type": kind, "id": kind} for kind in ("web_search_call", "web_search_call", "x" * 50)),
    ]
    tools = [{"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "mcp", "name": "x"}, {}]
    assert read(input=items, tools=tools).chat.notes == (
        "Input items of the type web_search_call were omitted, as no model here reads them",
        f"Input items of the type {'x' * 40} were omitted, as no model here reads them",
        "The tool code_interpreter was omitted, as no model here knows it",
        "The tool mcp was omitted, as no model here knows it",
        "The tool without a type was omitted, as no model here knows it",
    )


def test_as_many_tools_and_items_as_are_allowed_are_taken() -> None:
    """Not one fewer."""
    assert len(names_of(read(tools=[{**READ, "name": f"t{number}"} for number in range(128)]))) == 128
    assert len(read(input=[said("Hi")] * 10_000).chat.request.messages) == 10_000


STORED = "and no files are stored here"
UNKNOWN = {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "nope"}]}
# By what is wrong: fields of a body, the field that it is about, and what is said.
WRONG: dict[str, tuple[dict[str, Any], str, str]] = {
    "a-background": (
        {"background": True},
        "background",
        "background is not supported: nothing is stored here. Remove it, and wait for the answer",
    ),
    "tools-as-an-object": ({"tools": {}}, "tools", "tools must be a list"),
    "a-tool-that-is-no-object": ({"tools": [READ, "x"]}, "tools", "Tool 2 is not an object"),
    "a-tool-without-a-name": ({"tools": [READ, {"type": "function"}]}, "tools", "Tool 2 has no function name"),
    "too-many-tools": (
        {"tools": [{**READ, "name": f"t{number}"} for number in range(129)]},
        "tools",
        "tools has more than 128 functions, the most that Groq takes. Turn off an MCP server or some of its tools",
    ),
    "an-allowed-tool-that-is-not-offered": (
        {"tools": [READ], "tool_choice": UNKNOWN},
        "tool_choice",
        "tool_choice names 'nope', which is not in tools",
    ),
    "a-choice-with-an-empty-name": (
        {"tools": [READ], "tool_choice": {"type": "function", "name": ""}},
        "tool_choice",
        "tool_choice names '', which is not in tools",
    ),
    "an-input-that-is-an-object": ({"input": said("Hi")}, "input", "input must be a text, or a list with at least one item"),
    "no-input": ({"input": None}, "input", "input must be a text, or a list with at least one item"),
    "too-many-items": (
        {"input": [said("Hi")] * 10_001},
        "input",
        "input has 10,001 items, and 10,000 are allowed. Shorten the conversation",
    ),
    "an-image-by-its-id": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
        "input",
        f"An image is named by its file_id, {STORED}. Send it as a data URL in image_url",
    ),
    "a-file-by-its-id": (
        {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
        "input",
        f"A file is named by its id or address, {STORED}. Send it in file_data",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_body_is_said_of_its_field(name: str) -> None:
    """With what to do."""
    fields, param, message = WRONG[name]
    found = read_responses_body({"model": FIRST, "input": "Hi"} | fields, catalog=CATALOG)
    assert isinstance(found, Refusal)
    assert (found.param, found.message) == (param, message)


def test_a_body_that_is_no_object_is_refused() -> None:
    """With what it must have."""
    found = read_responses_body([], catalog=CATALOG)
    assert isinstance(found, Refusal)
    assert found.message == "The body is not a JSON object. Send an object with model and input"
