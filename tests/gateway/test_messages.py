"""POST /v1/messages and count_tokens in memory: what Claude Code and Anthropic's SDKs send, and what they get."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from apis import MESSAGES, Heard, named_events
from fakes import World
from upstream import Asked, Upstream, ask, error, events, gateway, text, whole

from groq_fallback_mcp.call import Search
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.gateway.chat_body import ChatBody
from groq_fallback_mcp.gateway.messages_body import read_messages_body
from groq_fallback_mcp.gateway.refusals import Refusal
from groq_fallback_mcp.quota.budget import Budget

pytestmark = pytest.mark.anyio

SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
FIRST = "openai/gpt-oss-20b"
PIXEL = "iVBORw0KGgo="
READ = {"name": "Read", "description": "Reads a file", "input_schema": {"type": "object"}}
SEARCH = {"name": "ToolSearch", "description": "Finds tools", "input_schema": {"type": "object"}}
LATER = {"name": "LSP", "input_schema": {"type": "object"}, "defer_loading": True}
# What Claude Code 2.1.330 sends in its second request, with its texts cut short.
CLAUDE: dict[str, Any] = {
    "model": FIRST,
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>"}, {"type": "text", "text": "Go."}]},
        {"role": "system", "content": "# Environment"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "I read.", "signature": "unsigned"},
                {"type": "text", "text": "Reading."},
                {"type": "tool_use", "id": "call_0", "name": "Read", "input": {"file_path": "a.txt"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "tool_use_id": "call_0",
                    "type": "tool_result",
                    "content": "1\thello",
                    "is_error": False,
                    "cache_control": {"type": "ephemeral"},
                }
            ],
        },
    ],
    "system": [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.330.11b;"},
        {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "Be brief."},
    ],
    "tools": [READ, SEARCH, LATER],
    "metadata": {"user_id": '{"session_id":"1"}'},
    "max_tokens": 1_000,
    "thinking": {"type": "adaptive", "display": "omitted"},
    "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
    "output_config": {"effort": "high"},
    "stream": True,
}


def good(body: Mapping[str, Any]) -> Asked:
    """A plain answer in the form that was asked for."""
    if body.get("stream"):
        return Asked(pieces=events({"reasoning": "Hm."}, *text("Hello", " you")), headers=SSE)
    return Asked(pieces=[whole("Hello you", reasoning="Hm.")], headers=JSON)


def hello(**more: Any) -> dict[str, Any]:
    """A small request."""
    return {"model": FIRST, "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **more}


async def answered(answers: Any = good, **body: Any) -> tuple[Heard, Mapping[str, Any], Mapping[str, str]]:
    """What a client hears, the body that reached the upstream, and the headers."""
    upstream = Upstream(answers)
    got = await ask(gateway(World(), upstream), hello(**body), path=MESSAGES.path)
    assert got.status == 200, got.body
    return MESSAGES.heard(got), upstream.requests[0], got.headers


async def test_what_claude_code_sends_becomes_a_chat_that_every_provider_takes() -> None:
    """Its system prompt in one message, its tools as functions, nothing of what only Anthropic knows."""
    heard, sent, _ = await answered(**CLAUDE)
    assert sent["messages"] == [
        {"role": "system", "content": "You are an agent.\n\nBe brief."},
        {"role": "user", "content": [{"type": "text", "text": "<system-reminder>"}, {"type": "text", "text": "Go."}]},
        {"role": "system", "content": "# Environment"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Reading."}],
            "tool_calls": [
                {"id": "call_0", "type": "function", "function": {"name": "Read", "arguments": '{"file_path": "a.txt"}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_0", "content": "1\thello"},
    ]
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["Read", "ToolSearch"]
    assert sent["reasoning_effort"] == "high"
    assert not {"thinking", "context_management", "output_config", "system", "metadata"} & set(sent)
    assert (heard.text, heard.reasoning, heard.finish, heard.model) == ("Hello you", "", "stop", FIRST)


async def test_a_message_in_one_piece_has_anthropics_form() -> None:
    """Cached tokens are counted apart."""
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    body = json.dumps({"id": "c", "model": "m", "choices": [choice], "usage": usage}).encode()
    got = await ask(gateway(World(), Upstream(lambda _: Asked(pieces=[body], headers=JSON))), hello(), path=MESSAGES.path)
    assert got.json["usage"] == {
        "input_tokens": 6,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 4,
        "output_tokens": 5,
    }
    assert (got.json["content"], got.json["stop_reason"]) == ([{"type": "text", "text": "Hello"}], "end_turn")


async def test_the_events_of_a_stream_come_in_the_order_that_clients_read() -> None:
    """With the thoughts that were asked for, and the usage at the end."""
    body = hello(stream=True, thinking={"type": "enabled", "budget_tokens": 1_024})
    got = await ask(gateway(World(), Upstream(good)), body, path=MESSAGES.path)
    kinds = [event["type"] for event in named_events(got)]
    assert kinds == [
        *("message_start", "ping"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"),
        *("message_delta", "message_stop"),
    ]
    heard = MESSAGES.heard(got)
    assert (heard.reasoning, heard.text, heard.tokens) == ("Hm.", "Hello you", (10, 5))


async def test_thoughts_are_shown_only_where_they_were_asked_for() -> None:
    """A client that did not ask has no place for them."""
    heard, _, _ = await answered(stream=True)
    assert (heard.reasoning, heard.text) == ("", "Hello you")
    heard, _, _ = await answered(thinking={"type": "adaptive"})
    assert heard.reasoning == "Hm."


@pytest.mark.parametrize("stream", [True, False])
async def test_calls_are_given_with_their_input_whole(stream: bool) -> None:
    """Two at once, after words."""
    made = [
        {"id": f"c{at}", "type": "function", "function": {"name": "Read", "arguments": '{"file_path": "a"}'}} for at in (0, 1)
    ]

    def calling(body: Mapping[str, Any]) -> Asked:
        if body.get("stream"):
            deltas = [{"tool_calls": [{**call, "index": at}]} for at, call in enumerate(made)]
            return Asked(pieces=events(*text("Two."), *deltas, finish="tool_calls"), headers=SSE)
        return Asked(pieces=[whole("Two.", finish="tool_calls", tool_calls=made)], headers=JSON)

    heard, _, _ = await answered(calling, tools=[READ], stream=stream)
    assert (heard.text, heard.finish) == ("Two.", "tool_calls")
    assert list(heard.calls) == [("Read", '{"file_path": "a"}')] * 2


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "a\nb"),
        ([{"type": "tool_reference", "tool_name": "LSP"}], "The tool LSP can now be called."),
        ("", ""),
        (None, ""),
    ],
)
async def test_the_result_of_a_tool_is_read_in_every_form(content: Any, read: str) -> None:
    """Texts become one; a tool that a search found is named."""
    _, sent, _ = await answered(messages=_with_result({"content": content}), tools=[READ])
    assert sent["messages"][-1] == {"role": "tool", "tool_call_id": "c", "content": read}


async def test_a_conversation_stays_with_its_model_though_the_client_adds_words_to_a_result() -> None:
    """As Claude Code does: the model's turn goes on."""
    world = World()
    upstream = Upstream(lambda body: Asked(status=503, pieces=[b"{}"], headers=JSON) if body["model"] == FIRST else good(body))
    app = gateway(world, upstream)
    body = hello(messages=_with_result({"content": "1"}, {"type": "text", "text": "<system-reminder>"}), tools=[READ])
    await ask(app, body, path=MESSAGES.path)
    upstream.answers = good
    await ask(app, body, path=MESSAGES.path)
    assert upstream.asked == [FIRST, "openai/gpt-oss-120b", "openai/gpt-oss-120b"]


async def test_a_body_that_is_nested_too_deeply_is_refused() -> None:
    """In the form of the API, and where tokens are counted, too."""
    content: Any = "x"
    for _ in range(400):
        content = [{"type": "tool_result", "tool_use_id": "c", "content": content}]
    app = gateway(World(), Upstream(good))
    for path in (MESSAGES.path, "/v1/messages/count_tokens"):
        got = await ask(app, hello(messages=[{"role": "user", "content": content}]), path=path)
        assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")


async def test_a_tool_that_a_message_defines_is_called_by_its_own_name_and_offered_once() -> None:
    """The later definition counts."""
    definition = {"name": "x.y", "description": "later", "input_schema": {"type": "object"}}
    change = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": definition}}
    messages = [{"role": "user", "content": "Go"}, {"role": "system", "content": [change]}]

    def calling(body: Mapping[str, Any]) -> Asked:
        (function,) = [tool["function"] for tool in body["tools"]]
        assert function["description"] == "later"
        made = {"id": "c", "type": "function", "function": {"name": function["name"], "arguments": "{}"}}
        return Asked(pieces=[whole(None, finish="tool_calls", tool_calls=[made])], headers=JSON)

    heard, _, _ = await answered(calling, tools=[{**definition, "description": "first"}], messages=messages)
    assert list(heard.calls) == [("x.y", "{}")]
    heard, _, _ = await answered(calling, messages=messages)
    assert list(heard.calls) == [("x.y", "{}")]


async def test_a_failed_tool_is_told_from_one_that_worked() -> None:
    """No other API has a field for it."""
    for content, read in (
        ("no such file", "Error: no such file"),
        ([{"type": "text", "text": "no"}], "Error:\nno"),
        (None, "Error: no details"),
    ):
        _, sent, _ = await answered(messages=_with_result({"content": content, "is_error": True}), tools=[READ])
        assert sent["messages"][-1]["content"] == read


def _with_result(result: Mapping[str, Any], *more: Any) -> list[Any]:
    call = {"type": "tool_use", "id": "c", "name": "Read", "input": {}}
    return [
        {"role": "user", "content": "Go"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", **result}, *more]},
    ]


async def test_a_tool_is_offered_once_a_search_has_found_it() -> None:
    """Before that its definition would only fill the prompt."""
    tools = [READ, SEARCH, LATER]
    _, sent, _ = await answered(messages=_with_result({"content": "nothing"}), tools=tools)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["Read", "ToolSearch"]
    found = [{"type": "tool_reference", "tool_name": "LSP"}]
    _, sent, _ = await answered(messages=_with_result({"content": found}), tools=tools)
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["Read", "ToolSearch", "LSP"]
    _, sent, _ = await answered(tools=[READ, LATER])
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["Read", "LSP"]
    _, sent, _ = await answered(tools=[READ, LATER, {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool"}])
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["Read", "LSP"]


async def test_tools_that_a_message_adds_or_takes_away_are_followed() -> None:
    """In their order; a definition may come with the message."""
    changes = [
        {"type": "text", "text": "The tools changed."},
        {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "Read"}},
        {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {**READ, "name": "Grep"}}},
        {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "LSP"}},
    ]
    messages = [{"role": "user", "content": "Go"}, {"role": "system", "content": changes}]
    _, sent, _ = await answered(messages=messages, tools=[READ, SEARCH, LATER])
    assert [tool["function"]["name"] for tool in sent["tools"]] == ["ToolSearch", "LSP", "Grep"]
    said = sent["messages"][1]["content"]
    assert [part["text"] for part in said] == [
        "The tools changed.",
        "The tool Read can no longer be called.",
        "The tool Grep can now be called.",
        "The tool LSP can now be called.",
    ]


async def test_images_and_documents_reach_the_model() -> None:
    """As chat completions have them."""
    content = [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        {"type": "document", "title": "Notes", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}},
        {"type": "text", "text": "What is it?"},
    ]
    _, sent, _ = await answered(model="auto", messages=[{"role": "user", "content": content}])
    assert sent["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text", "text": "Notes"},
        {"type": "text", "text": "hello"},
        {"type": "text", "text": "What is it?"},
    ]


async def test_a_summary_and_what_is_inside_of_documents_reach_the_model() -> None:
    """Nothing that a model should read is lost."""
    inner = [
        {"type": "text", "text": "page 1"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
    ]
    content = [
        {"type": "compaction", "content": "We fixed a.py."},
        {"type": "document", "title": "T", "context": "C", "source": {"type": "content", "content": inner}},
        {"type": "document", "source": {"type": "content", "content": "all of it"}},
    ]
    messages = [{"role": "user", "content": content}]
    _, sent, _ = await answered(model="auto", messages=messages)
    assert sent["messages"][0]["content"] == [
        *({"type": "text", "text": text} for text in ("We fixed a.py.", "T", "C", "page 1")),
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "text", "text": "all of it"},
    ]


@pytest.mark.parametrize("source", [{"type": "file", "file_id": "f1"}, {"type": "url", "url": "https://example.com/a.pdf"}])
async def test_a_document_that_is_not_in_the_request_is_refused(source: Any) -> None:
    """A model would only read its address."""
    body = hello(messages=[{"role": "user", "content": [{"type": "document", "source": source}]}])
    got = await ask(gateway(World(), Upstream(good)), body, path=MESSAGES.path)
    heard = MESSAGES.heard(got)
    assert heard.error is not None
    assert (got.status, "Send its content in source" in heard.error["message"]) == (400, True)


@pytest.mark.parametrize(
    ("choice", "sent_as"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "Read"}, {"type": "function", "function": {"name": "Read"}}),
    ],
)
async def test_the_choice_of_a_tool_is_translated(choice: Any, sent_as: Any) -> None:
    """And one call at a time where that is wanted."""
    call = {"id": "c", "type": "function", "function": {"name": "Read", "arguments": "{}"}}
    calling = Asked(pieces=[whole(None, finish="tool_calls", tool_calls=[call])], headers=JSON)
    plain = Asked(pieces=[whole("Hi")], headers=JSON)
    answer = plain if choice["type"] in {"auto", "none"} else calling
    _, sent, _ = await answered(
        lambda _: answer, tools=[READ], tool_choice={**choice, "disable_parallel_tool_use": True}, stop_sequences=["END"]
    )
    assert (sent["tool_choice"], sent["parallel_tool_calls"], sent["stop"]) == (sent_as, False, ["END"])


async def test_a_name_that_no_function_may_have_is_the_clients_own_again_in_calls() -> None:
    """Anthropic takes 128 characters; a tool may even be named as a choice is."""
    long, odd = "mcp__server__" + "x" * 60, "a.b/c"
    tools = [{**READ, "name": name} for name in (long, odd, "none")]
    seen: list[str] = []

    def calling(body: Mapping[str, Any]) -> Asked:
        seen[:] = [tool["function"]["name"] for tool in body["tools"]]
        made = [{"id": name, "type": "function", "function": {"name": name, "arguments": "{}"}} for name in seen]
        if body.get("stream"):
            deltas = [{"tool_calls": [{**call, "index": at}]} for at, call in enumerate(made)]
            return Asked(pieces=events(*deltas, finish="tool_calls"), headers=SSE)
        return Asked(pieces=[whole(None, finish="tool_calls", tool_calls=made)], headers=JSON)

    used = {"type": "tool_use", "id": "c", "name": long, "input": {}}
    messages = [
        *hello()["messages"],
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "1"}]},
    ]
    for stream in (False, True):
        heard, sent, _ = await answered(
            calling, tools=tools, messages=messages, stream=stream, tool_choice={"type": "tool", "name": "none"}
        )
        assert [name for name, _ in heard.calls] == [long, odd, "none"]
        assert all(len(name) <= 64 and name.replace("_", "").isalnum() for name in seen)
        assert sent["messages"][1]["tool_calls"][0]["function"]["name"] == seen[0]
        assert sent["tool_choice"] == {"type": "function", "function": {"name": "none"}}


async def test_what_changes_an_answer_and_is_not_known_here_is_said() -> None:
    """And a system prompt is read in every form."""
    _, sent, headers = await answered(system={"type": "text", "text": "Be brief"}, mcp_servers=[{"url": "x"}], container="c")
    assert sent["messages"][0] == {"role": "system", "content": "Be brief"}
    assert "The field mcp_servers was omitted" in headers["x-groq-fallback-notes"]


async def test_one_model_is_shown_in_anthropics_form_to_its_clients() -> None:
    """As in the list."""
    app = gateway(World(), Upstream(good))
    headers = {"anthropic-version": "2023-06-01"}
    got = await ask(app, b"", path=f"/v1/models/claude-code/{FIRST}", method="GET", headers=headers)
    assert (got.status, got.json["type"], got.json["id"]) == (200, "model", f"claude-code/{FIRST}")
    got = await ask(app, b"", path="/v1/models/nope", method="GET", headers=headers)
    assert (got.status, got.json["error"]["type"]) == (404, "not_found_error")


async def test_a_compressed_body_is_refused_with_its_encoding_and_a_mark_at_its_beginning_is_read() -> None:
    """In the form of the API."""
    app = gateway(World(), Upstream(good))
    got = await ask(app, hello(), path=MESSAGES.path, headers={"content-encoding": "gzip"})
    assert (got.status, "gzip" in got.json["error"]["message"]) == (415, True)
    got = await ask(app, b"\xef\xbb\xbf" + json.dumps(hello()).encode(), path=MESSAGES.path)
    assert got.status == 200


async def test_anthropics_own_models_stand_for_ours_and_that_is_said() -> None:
    """A client with nothing but the address set works."""
    heard, _, headers = await answered(model="claude-sonnet-4-5-20250929")
    assert heard.text == "Hello you"
    assert "claude-sonnet-4-5-20250929" in headers["x-groq-fallback-notes"]
    assert "so auto was asked" in headers["x-groq-fallback-notes"]
    _, _, headers = await answered(model="claude-haiku-4-5")
    assert "so fast was asked" in headers["x-groq-fallback-notes"]


@pytest.mark.parametrize(
    ("status", "body", "expected", "kind"),
    [
        (401, error("Invalid API Key", code="invalid_api_key"), 401, "authentication_error"),
        (429, error("Rate limit reached. Please try again in 40s.", code="rate_limit_exceeded"), 429, "rate_limit_error"),
        (503, error("x is currently over capacity. Please try again later."), 529, "overloaded_error"),
        (500, error("Internal Server Error"), 502, "api_error"),
        (400, error("'messages.0.content' is invalid"), 400, "invalid_request_error"),
    ],
)
async def test_errors_have_anthropics_names(status: int, body: bytes, expected: int, kind: str) -> None:
    """Of whatever model, streamed or not."""
    for stream in (False, True):
        app = gateway(World(), Upstream(lambda _: Asked(status=status, pieces=[body], headers=JSON)), max_wait_s=0.0)
        got = await ask(app, hello(stream=stream), path=MESSAGES.path)
        heard = MESSAGES.heard(got)
        assert heard.error is not None
        assert (got.status, heard.error["type"]) == (expected, kind)
        assert ("retry-after" in got.headers) == (expected == 429 or expected >= 500)


async def test_an_answer_without_a_token_left_says_to_raise_max_tokens() -> None:
    """And is not to be repeated as it is."""
    for answer in (
        whole("", finish="length"),
        whole(None, finish="length", tool_calls=[{"id": "c", "function": {"name": "Read", "arguments": '{"a'}}]),
        whole("I look.", finish="length", tool_calls=[{"id": "c", "function": {"name": "Read", "arguments": ""}}]),
    ):
        app = gateway(World(), Upstream(lambda _, answer=answer: Asked(pieces=[answer], headers=JSON)))
        got = await ask(app, hello(tools=[READ]), path=MESSAGES.path)
        heard = MESSAGES.heard(got)
        assert heard.error is not None
        assert (got.status, "Raise max_tokens" in heard.error["message"]) == (400, True), heard


async def test_a_budget_that_is_used_up_is_a_matter_of_billing() -> None:
    """Not of the request."""
    app = gateway(World(budget=Budget(tokens=1)), Upstream(good))
    got = await ask(app, hello(), path=MESSAGES.path)
    heard = MESSAGES.heard(got)
    assert heard.error is not None
    assert (got.status, heard.error["type"]) == (402, "billing_error")


async def test_a_prompt_that_is_too_long_is_said_in_words_that_claude_code_knows() -> None:
    """It sends any other 400 again, one beta less at a time."""
    got = await ask(
        gateway(World(), Upstream(good)), hello(messages=[{"role": "user", "content": "word " * 400_000}]), path=MESSAGES.path
    )
    heard = MESSAGES.heard(got)
    assert heard.error is not None
    assert (got.status, heard.error["type"]) == (400, "invalid_request_error")
    assert heard.error["message"].startswith("prompt is too long: ")
    assert "tokens > 8000 maximum" in heard.error["message"]


async def test_of_a_prompt_that_only_its_models_found_too_long_no_figures_are_told_that_contradict_it() -> None:
    """Claude Code cuts its conversation by the figures: 32 tokens of at most 8,000 would be nothing to cut."""
    refused = error("Request too large. Please reduce your message size and try again.", code="request_too_large")
    got = await ask(
        gateway(World(), Upstream(lambda _: Asked(status=413, pieces=[refused], headers=JSON))), hello(), path=MESSAGES.path
    )
    heard = MESSAGES.heard(got)
    assert heard.error is not None
    assert (got.status, heard.error["type"]) == (400, "invalid_request_error")
    assert heard.error["message"].startswith(
        "prompt is too long. Every model that was tried rejected this request as too large"
    )
    assert "maximum" not in heard.error["message"]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": []}, "at least one message"),
        ({"messages": [{"role": "wizard", "content": "Hi"}]}, "in message 1, role must be one of"),
        ({"system": "Be brief", "messages": [{"role": "wizard", "content": "Hi"}]}, "in message 1, role must be one of"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"tools": "all"}, "tools must be a list"),
        ({"stop_sequences": ["a", "b", "c", "d", "e"]}, "stop_sequences must be"),
        ({"tools": [READ], "tool_choice": {"type": "tool", "name": "Nope"}}, "not in tools"),
    ],
)
async def test_what_cannot_be_done_is_said_before_anything_is_sent(fields: Any, words: str) -> None:
    """In Anthropic's form."""
    upstream = Upstream(good)
    got = await ask(gateway(World(), upstream), hello(**fields), path=MESSAGES.path)
    heard = MESSAGES.heard(got)
    assert heard.error is not None
    assert (got.status, heard.error["type"], upstream.requests) == (400, "invalid_request_error", [])
    assert words in heard.error["message"]


async def test_a_thread_is_refused_so_that_the_sdk_sends_the_whole_conversation() -> None:
    """Anthropic's tool runner else sends only the newest messages, and believes that the rest is stored."""
    for thread in ({"type": "create"}, {"type": "continue", "previous_message_id": "msg_1"}):
        got = await ask(gateway(World(), Upstream(good)), hello(thread=thread), path=MESSAGES.path)
        assert got.status == 400
        assert got.json["error"]["details"] == {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
        assert "Send the whole conversation in messages" in got.json["error"]["message"]


async def test_tokens_are_counted_without_asking_a_model() -> None:
    """More of them for a longer prompt and for tools."""
    upstream = Upstream(good)
    app = gateway(World(), upstream)
    counts = []
    for body in (hello(), hello(tools=[READ]), CLAUDE):
        got = await ask(
            app, {name: value for name, value in body.items() if name != "max_tokens"}, path="/v1/messages/count_tokens"
        )
        assert (got.status, list(got.json)) == (200, ["input_tokens"])
        counts.append(got.json["input_tokens"])
    assert 0 < counts[0] < counts[1] < counts[2]
    wrong = await ask(app, {"messages": []}, path="/v1/messages/count_tokens")
    assert (wrong.status, wrong.json["type"]) == (400, "error")
    assert upstream.requests == []


@pytest.mark.parametrize(
    ("path", "step"),
    [
        ("/v1/v1/messages", "This client adds /v1 itself. Give it the base URL {base}"),
        ("/v1/v1/chat/completions", "This client adds /v1 itself. Give it the base URL {base}"),
        ("/openai/v1/v1/messages", "This client adds /v1 itself. Give it the base URL {base}/openai"),
        ("/chat/completions", "Give this client the base URL {base}/v1"),
        ("/openai/responses", "Give this client the base URL {base}/openai/v1"),
        ("/v1/embeddings", "Use /v1/chat/completions, "),
    ],
)
async def test_a_base_url_with_v1_too_many_or_too_few_is_corrected(path: str, step: str) -> None:
    """Some clients add it themselves."""
    got = await ask(gateway(World(), Upstream(good)), {}, path=path)
    assert got.status == 404
    assert step.format(base="http://127.0.0.1:8788") in got.json["error"]["message"]


async def test_paths_that_are_not_there_are_refused_in_anthropics_form() -> None:
    """Below /v1/messages; elsewhere in OpenAI's."""
    app = gateway(World(), Upstream(good))
    for method, path, status in (("GET", "/v1/messages", 405), ("POST", "/v1/messages/batches", 404)):
        got = await ask(app, {}, path=path, method=method)
        assert (got.status, got.json["type"]) == (status, "error")
    got = await ask(app, {}, path="/v1/responses/resp_1", method="GET")
    assert (got.status, got.json["error"]["code"]) == (404, "unknown_url")


CATALOG = load_catalog()
FORM = {"type": "json_schema", "schema": {"type": "object", "properties": {"n": {"type": "integer"}}}}


def read(**fields: Any) -> ChatBody:
    """The request behind a small body with these fields."""
    found = read_messages_body(hello(**fields), catalog=CATALOG)
    assert isinstance(found, ChatBody), found
    return found


def texts(*given: str) -> list[dict[str, Any]]:
    """Parts that are text."""
    return [{"type": "text", "text": one} for one in given]


PDF = {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}
FOUND = {"type": "search_result", "title": "Docs", "source": "https://docs.example.com", "content": texts("It is.", "So.")}
# By what it is: a block of a user's message, and the parts that a model reads of it.
BLOCKS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "search-result": ({**FOUND, "citations": {"enabled": True}}, texts("Docs\nhttps://docs.example.com", "It is.", "So.")),
    "search-result-without-title": ({**FOUND, "title": None}, texts("\nhttps://docs.example.com", "It is.", "So.")),
    "search-result-without-source": ({**FOUND, "source": None}, texts("Docs\n", "It is.", "So.")),
    "pdf": (
        {"type": "document", "title": "Spec", "source": PDF},
        [{"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "Spec"}}],
    ),
    "pdf-without-title": (
        {"type": "document", "source": PDF},
        [{"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "document"}}],
    ),
    "document-with-empty-context": (
        {"type": "document", "title": "T", "context": "", "source": {"type": "text", "data": "x"}},
        texts("T", "x"),
    ),
    "document-without-text": ({"type": "document", "title": "T", "source": {"type": "text", "data": None}}, texts("T", "")),
    "failed-compaction": ({"type": "compaction", "content": None}, []),
    "call-at-anthropic": ({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "x"}}, []),
    "result-at-anthropic": ({"type": "web_search_tool_result", "tool_use_id": "s", "content": texts("secret")}, []),
    "mcp-call-at-anthropic": ({"type": "mcp_tool_use", "id": "m", "name": "x", "server_name": "y", "input": {}}, []),
    "upload-to-a-container": ({"type": "container_upload", "file_id": "f"}, []),
}


@pytest.mark.parametrize("name", BLOCKS)
def test_a_block_becomes_what_a_model_can_read(name: str) -> None:
    """Nothing of it is lost, and what ran at Anthropic does not look as if it had run here."""
    block, parts = BLOCKS[name]
    content = read(messages=[{"role": "user", "content": [block, *texts("Go")]}]).request.messages[0]["content"]
    assert content == [*parts, *texts("Go")]


def test_a_system_prompt_is_one_message_or_none() -> None:
    """Also where it is a text, and where nothing is in it."""
    said = {"role": "user", "content": "Hi"}
    assert read(system="Be brief").request.messages == [{"role": "system", "content": "Be brief"}, said]
    for empty in (None, "", "  ", [], texts(" ")):
        assert read(system=empty).request.messages == [said]


def test_a_tool_is_a_function_with_all_of_its_fields() -> None:
    """Also where its type says what it is."""
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    given = {"name": "Read", "description": "Reads a file", "strict": True, "input_schema": schema}
    function = {"name": "Read", "description": "Reads a file", "strict": True, "parameters": schema}
    for tool in (given, {"type": "custom", **given}, {**given, "cache_control": {"type": "ephemeral"}}):
        assert read(tools=[tool]).request.tools == ({"type": "function", "function": function},)


def names_of(found: ChatBody) -> list[str]:
    """The functions that are offered."""
    return [tool["function"]["name"] for tool in found.request.tools]


def test_a_search_for_tools_may_say_that_it_is_a_custom_tool() -> None:
    """What it can find waits for it."""
    assert names_of(read(tools=[{"type": "custom", **SEARCH}, LATER])) == ["ToolSearch"]


def changed(*blocks: Any) -> list[Any]:
    """A conversation whose tools a message changes."""
    return [{"role": "user", "content": "Go"}, {"role": "system", "content": list(blocks)}]


REMOVED = {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "Read"}}
ADDED = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "Read"}}
DEFINED = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": READ}}


def test_the_only_tool_is_taken_away_and_given_back() -> None:
    """Wherever it was defined."""
    assert names_of(read(messages=changed(REMOVED), tools=[READ])) == []
    assert names_of(read(messages=changed(REMOVED, ADDED), tools=[READ])) == ["Read"]
    assert names_of(read(messages=changed(DEFINED, REMOVED))) == []
    assert names_of(read(messages=changed(DEFINED, REMOVED, ADDED))) == ["Read"]


def test_the_web_is_searched_where_no_functions_are_offered() -> None:
    """And what else would run at Anthropic is omitted; each is said."""
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 5}
    shell = {"type": "bash_20250124", "name": "bash"}
    found = read(tools=[search, shell])
    assert (found.request.search, found.request.tools) == (Search(optional=True), ())
    assert found.notes == ("The tool bash_20250124 was omitted, as no model here knows it",)
    found = read(tools=[search, READ])
    assert (found.request.search, names_of(found)) == (None, ["Read"])
    assert found.notes == ("The tool web_search was omitted, as no model here searches beside other tools",)
    assert read(tools=[READ]).notes == ()


# By what they ask for: fields of a body, the field of the request that they set, and its value.
FIELDS: dict[str, tuple[dict[str, Any], str, Any]] = {
    "no-model": ({"model": None}, "model", None),
    "a-model-from-the-list-of-claude-code": ({"model": f"claude-code/{FIRST}"}, "model", FIRST),
    "the-most-effort": ({"output_config": {"effort": "max"}}, "reasoning_effort", "high"),
    "some-effort": ({"output_config": {"effort": "low"}}, "reasoning_effort", "low"),
    "a-format": ({"output_config": {"format": FORM}}, "schema", FORM["schema"]),
    "a-format-as-the-beta-had-it": ({"output_format": FORM}, "schema", FORM["schema"]),
    "calls-one-at-a-time": (
        {"tools": [READ], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
        "parallel_tool_calls",
        False,
    ),
    "calls-at-once": (
        {"tools": [READ], "tool_choice": {"type": "auto", "disable_parallel_tool_use": False}},
        "parallel_tool_calls",
        None,
    ),
    "a-choice-that-is-a-text": ({"tools": [READ], "tool_choice": "any"}, "tool_choice", "required"),
}


@pytest.mark.parametrize("name", FIELDS)
def test_a_field_is_read_as_its_client_means_it(name: str) -> None:
    """Of Anthropic's API as of the betas that came before."""
    fields, field, value = FIELDS[name]
    assert getattr(read(**fields).request, field) == value


def test_the_user_of_the_metadata_names_the_conversation() -> None:
    """Claude Code has its session in it."""
    assert read(metadata={"user_id": "session_1"}).names == ("session_1",)
    assert read().names == (None,)


# By what is wrong: a body, the field that it is about, and what is said.
WRONG: dict[str, tuple[Any, str | None, str]] = {
    "no-object": ([], None, "The body is not a JSON object. Send an object with model, max_tokens and messages"),
    "no-messages": (hello(messages=[]), "messages", "messages must be a list with at least one message"),
    "messages-as-a-text": (hello(messages="Hi"), "messages", "messages must be a list with at least one message"),
    "a-message-that-is-no-object": (
        hello(system="Be brief", messages=[7]),
        "messages",
        "Invalid messages: in message 1, an object with role and content is required (got 7)",
    ),
    "a-thread": (
        hello(thread={"type": "create"}),
        "thread",
        "thread is not supported: nothing is stored here. Send the whole conversation in messages",
    ),
    "a-file": (
        hello(messages=[{"role": "user", "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}]}]),
        "messages",
        "A file is named by its file_id, and no files are stored here. Send its content in source as base64",
    ),
    "a-document-by-its-address": (
        hello(messages=[{"role": "user", "content": [{"type": "document", "source": {"type": "url", "url": "https://x"}}]}]),
        "messages",
        "A document is named by its address, which is not fetched here. Send its content in source as text or base64",
    ),
    "a-tool-without-a-name": (hello(tools=[READ, {"input_schema": {}}]), "tools", "Tool 2 has no function name"),
    "a-tool-that-is-no-object": (hello(tools=[READ, "Grep"]), "tools", "Tool 2 is not an object"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_with_a_body_is_said_of_its_field(name: str) -> None:
    """In a sentence, with what to do."""
    body, param, message = WRONG[name]
    found = read_messages_body(body, catalog=CATALOG)
    assert isinstance(found, Refusal)
    assert (found.param, found.message) == (param, message)
