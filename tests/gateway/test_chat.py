"""POST /v1/chat/completions in memory: what agents send, what they get, and what reaches the upstream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from fakes import World
from upstream import HANG, LOST, QUICK, Asked, Received, Upstream, ask, calls, error, events, gateway, text, whole

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.gateway.held_text import HeldText
from groq_fallback_mcp.quota import Claim, Granted
from groq_fallback_mcp.quota.budget import Budget
from groq_fallback_mcp.quota.store_ledger import utc_day
from groq_fallback_mcp.redaction import register_secrets

pytestmark = pytest.mark.anyio

SSE = {"content-type": "text/event-stream"}
JSON = {"content-type": "application/json"}
FIRST, SECOND = "openai/gpt-oss-20b", "openai/gpt-oss-120b"
TOOL = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}


def good(body: Mapping[str, Any]) -> Asked:
    """A plain answer in the form that was asked for."""
    if body.get("stream"):
        return Asked(pieces=events({"reasoning": "Hm."}, *text("Hello", " you")), headers=SSE)
    return Asked(pieces=[whole("Hello you", reasoning="Hm.")], headers=JSON)


def error_503() -> Asked:
    """A model over capacity."""
    return Asked(status=503, pieces=[error("over capacity")], headers=JSON)


def asking(**fields: Any) -> dict[str, Any]:
    """A small request."""
    return {"model": FIRST, "max_tokens": 100, "messages": [{"role": "user", "content": "Hi"}], **fields}


async def answered(**fields: Any) -> tuple[Received, Mapping[str, Any]]:
    """What a request gets, and the body that reached the upstream."""
    upstream = Upstream(good)
    got = await ask(gateway(World(), upstream), asking(**fields))
    assert got.status == 200, got.body
    return got, upstream.requests[0]


async def refusal(**fields: Any) -> Mapping[str, Any]:
    """The error of a request that must not reach the upstream."""
    upstream = Upstream(good)
    got = await ask(gateway(World(), upstream), asking(**fields))
    assert (got.status, upstream.requests) == (400, [])
    assert got.error is not None
    return got.error


async def test_a_whole_answer_has_openais_form_and_says_who_gave_it() -> None:
    """`model` is who answered; the rest is in headers."""
    got, _ = await answered(model="gpt-oss-20b")
    assert got.json["model"] == FIRST
    assert got.json["choices"][0]["message"] == {"role": "assistant", "content": "Hello you", "reasoning": "Hm."}
    assert got.json["usage"]["total_tokens"] == 15
    assert got.headers["x-groq-fallback-model"] == FIRST
    assert got.headers["x-groq-fallback-provider"] == "groq"
    assert got.headers["x-groq-fallback-attempts"] == "1"
    assert float(got.headers["x-groq-fallback-cost-usd"]) > 0
    assert int(got.headers["x-ratelimit-remaining-tokens"]) < int(got.headers["x-ratelimit-limit-tokens"]) == 8000


async def test_a_stream_has_openais_form_and_ends_with_the_usage_that_was_asked_for() -> None:
    """A role, reasoning, text as it comes, why it ended, usage, [DONE]."""
    got, _ = await answered(stream=True, stream_options={"include_usage": True})
    assert got.deltas == [
        {"role": "assistant", "content": ""},
        {"reasoning": "Hm."},
        {"content": "Hello"},
        {"content": " you"},
        {},
    ]
    assert got.events[-1] == "DONE"
    assert (got.events[-2]["choices"], got.events[-2]["usage"]["total_tokens"]) == ([], 15)
    assert {event["model"] for event in got.events[:-1]} == {FIRST}
    assert got.headers["content-type"].startswith("text/event-stream")


async def test_usage_is_left_out_of_a_stream_unless_asked_for() -> None:
    """As OpenAI does."""
    got, _ = await answered(stream=True)
    assert all("usage" not in event for event in got.events if event != "DONE")


async def test_a_tool_call_comes_in_one_piece() -> None:
    """However many pieces it had: an agent cannot act on half its arguments."""
    upstream = Upstream(lambda _: Asked(pieces=events(*calls('{"path', '": "a"}'), finish="tool_calls"), headers=SSE))
    got = await ask(gateway(World(), upstream), asking(stream=True, tools=[TOOL]))
    assert [call["function"] for call in got.tool_calls] == [{"name": "read_file", "arguments": '{"path": "a"}'}]
    assert (got.tool_calls[0]["index"], got.tool_calls[0]["id"], got.finish) == (0, "call_1", "tool_calls")


async def test_what_a_provider_wants_back_with_a_call_reaches_the_agent() -> None:
    """Gemini's thought signatures; agents that keep them give them back."""
    given = {
        "id": "c",
        "type": "function",
        "function": {"name": "read_file", "arguments": "{}"},
        "extra_content": {"google": {}},
    }
    upstream = Upstream(
        lambda _: Asked(pieces=events({"tool_calls": [{**given, "index": 0}]}, finish="tool_calls"), headers=SSE)
    )

    got = await ask(gateway(World(), upstream), asking(stream=True, tools=[TOOL]))

    assert got.tool_calls == [{**given, "index": 0}]


@pytest.mark.parametrize("stream", [False, True])
async def test_who_offers_functions_is_answered_with_a_function_call(stream: bool) -> None:
    """The form before tools: such clients read no other, and one call at a time."""
    made = [{"id": "c", "type": "function", "function": {"name": "read_file", "arguments": '{"path": "a"}'}}]
    pieces = events({"tool_calls": [{"index": 0, **made[0]}]}, finish="tool_calls")
    streamed, at_once = Asked(pieces=pieces, headers=SSE), whole(None, finish="tool_calls", tool_calls=made)
    upstream = Upstream(lambda _: streamed if stream else Asked(pieces=[at_once], headers=JSON))
    body = asking(functions=[TOOL["function"]], function_call="auto", stream=stream)
    got = await ask(gateway(World(), upstream), body)
    called = {"name": "read_file", "arguments": '{"path": "a"}'}
    if stream:
        assert got.deltas == [{"role": "assistant", "content": ""}, {"function_call": called}, {}]
        assert got.finish == "function_call"
    else:
        choice = got.json["choices"][0]
        assert choice["message"] == {"role": "assistant", "content": None, "function_call": called}
        assert choice["finish_reason"] == "function_call"
    assert upstream.requests[0]["parallel_tool_calls"] is False


# (what an agent sends, what reaches the upstream of it)
DIALECTS: tuple[tuple[dict[str, Any], dict[str, Any]], ...] = (
    ({"model": "groq/openai/gpt-oss-120b"}, {"model": SECOND}),
    ({"model": "auto"}, {"model": FIRST}),
    ({"model": "reasoning"}, {"model": SECOND}),
    ({"max_completion_tokens": 77, "max_tokens": None}, {"max_completion_tokens": 77}),
    ({"reasoning_effort": "minimal"}, {"reasoning_effort": "low"}),
    ({"reasoning_effort": "none"}, {"reasoning_effort": "low"}),
    ({"reasoning_effort": "nonsense", "model": "reasoning"}, {"reasoning_effort": None}),
    ({"reasoning": {"effort": "high"}}, {"reasoning_effort": "high"}),
    ({"stop": "END"}, {"stop": ["END"]}),
    ({"tools": [TOOL, {"type": "web_search"}], "tool_choice": "auto"}, {"tools": [TOOL], "tool_choice": "auto"}),
    ({"tools": []}, {"tools": None}),
    ({"functions": [TOOL["function"]]}, {"tools": [TOOL]}),
    ({"parallel_tool_calls": False, "tools": [TOOL]}, {"parallel_tool_calls": False}),
    ({"response_format": {"type": "text"}}, {"response_format": None}),
    ({"frequency_penalty": 0.3, "logit_bias": {"1": 2}, "store": True, "metadata": {}, "x": 1}, {"frequency_penalty": None, "logit_bias": None, "store": None, "x": None}),
    ({"n": 1, "logprobs": False, "top_logprobs": 0}, {"n": None, "logprobs": None}),
    ({"service_tier": "priority"}, {"service_tier": None}),
    ({"service_tier": "flex"}, {"service_tier": "flex"}),
    ({"prompt_cache_key": "k", "user": "u"}, {"prompt_cache_key": None, "user": None}),
)  # fmt: skip


@pytest.mark.parametrize(("sent", "reached"), DIALECTS, ids=lambda value: json.dumps(value)[:50])
async def test_what_agents_send_reaches_the_upstream_as_groq_takes_it(sent: dict[str, Any], reached: dict[str, Any]) -> None:
    """Mapped, or dropped where nobody would notice."""
    _, body = await answered(**sent)
    assert {name: body.get(name) for name in reached} == reached


async def test_a_replayed_history_is_cleaned_and_loses_nothing_that_a_model_reads() -> None:
    """Kilo Code, opencode and Cline echo reasoning_content, for which Groq refuses the second request of a task."""
    history = [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "content": "Read a", "name": "me"},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Let me",
            "reasoning_details": [{"text": "Let me"}],
            "refusal": None,
            "tool_calls": [{"id": "call_9", "type": "function", "index": 0, "function": {"name": "read_file", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "call_9", "name": "read_file", "content": "text of a"},
        {"role": "assistant", "content": "Done", "tool_calls": []},
        {"role": "user", "content": [{"type": "text", "text": "Thanks"}]},
    ]  # fmt: skip
    _, body = await answered(messages=history, tools=[TOOL])
    written = json.dumps(body["messages"])
    for dropped in ("reasoning_content", "reasoning_details", "cache_control", '"name": "me"', '"tool_calls": []', "refusal"):
        assert dropped not in written
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "tool", "assistant", "user"]
    assert body["messages"][2]["tool_calls"][0]["id"] == body["messages"][3]["tool_call_id"] == "call_9"
    for kept in ("Be brief.", "Read a", "text of a", "Done", "Thanks"):
        assert kept in written


async def test_an_image_goes_to_a_model_that_sees() -> None:
    """As it came."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    _, body = await answered(model="auto", messages=[{"role": "user", "content": [{"type": "text", "text": "What?"}, image]}])
    assert body["model"] == "qwen/qwen3.8-27b"
    assert body["messages"][0]["content"][1]["image_url"]["url"] == image["image_url"]["url"]


async def test_a_schema_is_kept_to_and_an_answer_that_breaks_it_is_asked_for_again() -> None:
    """As groq_chat does."""
    replies = iter([whole('{"a": "text"}'), whole('{"a": 1}')])
    upstream = Upstream(lambda _: Asked(pieces=[next(replies)], headers=JSON))
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    got = await ask(gateway(World(), upstream), asking(response_format=form, stream=True))
    assert (got.text, len(upstream.requests)) == ('{"a": 1}', 2)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"n": "x"}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"modalities": ["text", "audio"]}, "audio"),
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": "martian", "content": "hi"}]}, "messages"),
        ({"messages": [7]}, "messages"),
        ({"model": 7}, "model"),
        ({"model": " "}, "model"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"stop": 7}, "stop"),
        ({"tools": {}}, "tools"),
        ({"tools": ["x"]}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools"),
        ({"tools": [TOOL] * 129}, "tools"),
        ({"tools": [TOOL], "tool_choice": "sometimes"}, "tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "other"}}}, "tool_choice"),
        ({"response_format": 7}, "response_format"),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": 7}}}}, "response_format"),
    ],
    ids=str,
)
async def test_what_cannot_be_served_is_refused_with_the_field_that_is_wrong(fields: dict[str, Any], param: str) -> None:
    """Before anything is sent."""
    stated = await refusal(**fields)
    assert (stated["type"], stated["param"]) == ("invalid_request_error", param)
    assert stated["message"][0].isupper() or stated["message"].split()[0] in {*fields, "response_format"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"7", b"\xff", b"[" * 100_000],
    ids=["empty", "cut", "list", "number", "not text", "deep"],
)
async def test_a_body_that_is_no_object_is_a_clear_400(body: bytes) -> None:
    """In the API's own form."""
    got = await ask(gateway(World(), Upstream(good)), body)
    assert (got.status, got.json["error"]["type"]) == (400, "invalid_request_error")


async def test_an_unknown_model_is_a_404_with_the_nearest_names() -> None:
    """As the API has it."""
    got = await ask(gateway(World(), Upstream(good)), asking(model="gpt-oss-200b"))
    assert (got.status, got.json["error"]["code"]) == (404, "model_not_found")
    assert FIRST in got.json["error"]["message"]
    assert "list_models" not in got.json["error"]["message"]


async def test_a_retired_model_is_served_by_its_successor() -> None:
    """Agents' own lists still offer dead models of Groq's."""
    upstream = Upstream(good)
    got = await ask(gateway(World(), upstream), asking(model="llama-3.3-70b-versatile"))
    assert got.status == 200
    assert got.json["model"] == upstream.asked[0] != "llama-3.3-70b-versatile"


async def test_max_tokens_is_lowered_where_that_makes_a_request_fit_and_a_header_says_so() -> None:
    """Opencode asks for 32,000 tokens whatever it needs, and Groq counts them when it lets a request in."""
    got, body = await answered(max_tokens=32_000)
    assert body["max_completion_tokens"] < 8_000
    assert "max_tokens lowered from 32000" in got.headers["x-groq-fallback-notes"]


async def test_what_never_fits_is_one_400_that_names_need_limit_and_way_out() -> None:
    """No word of it makes an agent repeat or compact."""
    upstream = Upstream(good)
    got = await ask(gateway(World(), upstream), asking(messages=[{"role": "user", "content": "word " * 14_000}]))
    assert (got.status, upstream.requests) == (400, [])
    message = str(got.json["error"]["message"])
    assert "8,000" in message
    assert "GROQ_FALLBACK_PLAN=developer" in message
    assert "groq-fallback-mcp providers" in message
    for word in ("rate limit", "429", "503", "overloaded", "try again", "too long", "context"):
        assert word not in message.lower()


async def limited(world: World, wait_s: float) -> None:
    """All models have no tokens left for so long."""
    for model, documented in world.offers[0].models.items():
        key = world.engine.key("groq", model)
        taken = 8_000.0 * wait_s / 60
        claim = Claim(key=key, cost={Limit.TPM: taken, Limit.RPM: 1.0}, documented=documented.documented)
        assert isinstance(await world.ledger.reserve_any([claim], life_s=600.0), Granted)


async def test_a_short_limit_is_waited_for() -> None:
    """An agent that is told 429 would wait as long, and ask again."""
    world = World()
    await limited(world, 59.0)
    upstream = Upstream(good)
    got = await ask(gateway(world, upstream), asking(max_tokens=2_000))
    assert (got.status, len(upstream.requests)) == (200, 1)


async def test_a_long_limit_is_a_429_that_says_when() -> None:
    """In seconds and in milliseconds."""
    world = World()
    await limited(world, 59.0)
    upstream = Upstream(good)
    got = await ask(gateway(world, upstream, max_wait_s=3.0), asking(max_tokens=2_000, stream=True))
    assert (got.status, upstream.requests, got.json["error"]["type"]) == (429, [], "rate_limit_error")
    assert 3 < int(got.headers["retry-after"]) < 60
    assert int(got.headers["retry-after-ms"]) > 3_000


async def test_a_client_that_leaves_closes_the_upstream_and_gives_back_its_quota() -> None:
    """Streamed or not."""
    for stream in (True, False):
        world = World()
        pieces = events(*text("Hello"), finish=None, done=False)
        upstream = Upstream(
            lambda body, pieces=pieces: Asked(pieces=[*pieces, HANG], headers=SSE if body.get("stream") else JSON)
        )
        leave_after = 2 if stream else 0
        with anyio.fail_after(2):
            await ask(gateway(world, upstream), asking(stream=stream), leave_after=leave_after)
        quota = (await world.ledger.peek([Claim(key=world.engine.key("groq", FIRST), cost={}, documented={})]))[0]
        assert quota.calls_in_flight == 0
        # what has begun to answer was charged there, however little of it the client wanted
        assert (quota.buckets[Limit.TPM].level < 8_000) is stream
        assert upstream.closed == len(upstream.requests)


@pytest.mark.parametrize("deltas", [calls('{"path'), [{"reasoning": "Hm"}], text("Hello")], ids=["call", "thought", "text"])
async def test_what_a_model_has_begun_is_charged_though_the_client_leaves(deltas: list[Mapping[str, Any]]) -> None:
    """Groq charges it: its tokens of the limit, and the most it can cost of a budget. Calls and thoughts are not seen by the client."""
    world = World(budget=Budget(picousd=10**12))
    upstream = Upstream(lambda _: Asked(pieces=[*events(*deltas, finish=None, done=False), HANG], headers=SSE))
    app = gateway(world, upstream, call=replace(QUICK, silence_s=30.0, attempt_timeout_s=30.0))
    async with anyio.create_task_group() as group:
        group.start_soon(ask, app, asking(stream=True, tools=[TOOL]))
        with anyio.fail_after(5):
            await upstream.hangs.wait()
        group.cancel_scope.cancel()
    quota = (await world.ledger.peek([Claim(key=world.engine.key("groq", FIRST), cost={}, documented={})]))[0]
    assert quota.calls_in_flight == 0
    assert quota.buckets[Limit.TPM].level < 8_000
    day = utc_day(world.clock.wall())
    spent = (await world.ledger.spending([day]))[day]
    assert spent.held_picousd == 0
    assert sum(total.picousd for total in spent.models.values()) > 0


async def test_text_is_held_as_long_as_the_client_asks() -> None:
    """Its header goes before the setting; until then a restart is unseen."""
    half = Asked(pieces=events(*text("Half"), finish=None, done=False), headers=SSE)
    for header, error_seen in ((None, True), ("10", False), ("nonsense", True), ("-1", True), ("nan", True)):
        upstream = Upstream(lambda body: half if body["model"] == FIRST else good(body))
        headers = {} if header is None else {"x-groq-fallback-hold-s": header}
        got = await ask(gateway(World(), upstream), asking(stream=True), headers=headers)
        assert (got.error is not None) is error_seen
        assert got.text == ("Half" if error_seen else "Hello you")


async def test_a_conversation_stays_with_the_model_that_took_over_until_its_turn_is_over() -> None:
    """Then it goes back to the first one; never back and forth."""
    world = World()
    failing = [True]

    def answers(body: Mapping[str, Any]) -> Asked:
        return error_503() if body["model"] == FIRST and failing[0] else good(body)

    upstream = Upstream(answers)
    app = gateway(world, upstream)
    turn: list[dict[str, Any]] = [{"role": "user", "content": "Do it"}]
    headers = {"x-session-affinity": "s1"}
    first = await ask(app, asking(messages=turn), headers=headers)
    assert first.json["model"] == SECOND
    failing[0] = False
    world.clock.advance(120)
    call = {"id": "c", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
    turn += [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
    assert (await ask(app, asking(messages=turn), headers=headers)).json["model"] == SECOND
    assert (await ask(app, asking(messages=turn), headers={"x-session-affinity": "s2"})).json["model"] == FIRST
    turn += [{"role": "assistant", "content": "Done"}, {"role": "user", "content": "And more"}]
    assert (await ask(app, asking(messages=turn), headers=headers)).json["model"] == FIRST


async def test_gateways_with_one_ledger_keep_a_conversation_with_the_same_model() -> None:
    """The second one has never seen it, and its first model would answer."""
    one = World()
    other = World(ledger=one.ledger)
    failing = Upstream(lambda body: error_503() if body["model"] == FIRST else good(body))
    call = {"id": "c", "type": "function", "function": {"name": "read_file", "arguments": "{}"}}
    turn: list[dict[str, Any]] = [{"role": "user", "content": "Do it"}]
    assert (await ask(gateway(one, failing), asking(messages=turn))).json["model"] == SECOND
    one.clock.advance(120)
    turn += [{"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "c", "content": "x"}]
    app = gateway(other, Upstream(good))
    assert (await ask(app, asking(messages=turn))).json["model"] == SECOND
    again = [*turn, {"role": "assistant", "content": "Done"}, {"role": "user", "content": "And more"}]
    assert (await ask(app, asking(messages=again))).json["model"] == FIRST
    # it is back: a turn that begins so does not go where the last one ended
    assert (await ask(app, asking(messages=turn))).json["model"] == FIRST


async def test_a_request_that_is_sent_again_after_its_answer_broke_off_goes_to_the_model_that_took_over() -> None:
    """Not to the one that broke off, and so on for the whole conversation. The error's type is one that agents repeat."""

    def answers(body: Mapping[str, Any]) -> Asked:
        if body["model"] == FIRST:
            return Asked(pieces=[*events(*text("I am", " the first"), finish=None, done=False), LOST], headers=SSE)
        return Asked(pieces=events(*text("Another ", "answer")), headers=SSE)

    upstream = Upstream(answers)
    app = gateway(World(), upstream)
    first, again = [await ask(app, asking(stream=True)) for _ in range(2)]
    assert (first.error["code"], first.error["type"]) == ("answer_broken_off", "server_error")
    assert (again.text, again.finish) == ("Another answer", "stop")
    assert upstream.asked == [FIRST, SECOND, SECOND]


async def test_twenty_conversations_at_once_get_each_its_own_answer() -> None:
    """Streamed, side by side."""

    def echo(body: Mapping[str, Any]) -> Asked:
        said = str(body["messages"][-1]["content"])
        return Asked(pieces=events(*text(*[f"{said} "] * 50)), headers=SSE)

    world, got = World(), {}
    app = gateway(world, Upstream(echo))

    async def one(number: int) -> None:
        got[number] = await ask(app, asking(model="auto", stream=True, messages=[{"role": "user", "content": f"n{number}"}]))

    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(one, number)
    assert {number: one.text for number, one in got.items()} == {number: f"n{number} " * 50 for number in range(20)}


async def test_the_list_names_what_can_serve_with_the_window_that_the_plan_leaves() -> None:
    """Not what the model's card says; and each alone, also by its longer path."""
    app = gateway(World(), Upstream(good))
    rows = {row["id"]: row for row in (await ask(app, b"", path="/v1/models", method="GET")).json["data"]}
    assert rows["auto"]["context_window"] == rows[FIRST]["context_window"] == 8_000
    assert "llama-3.3-70b-versatile" not in rows
    for path in (f"/v1/models/{FIRST}", f"/openai/v1/models/groq/{FIRST}", "/v1/models/auto"):
        assert (await ask(app, b"", path=path, method="GET")).json["object"] == "model"
    assert (await ask(app, b"", path="/v1/models/none", method="GET")).json["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/chat/completions", 405), ("POST", "/v1/embeddings", 404), ("POST", "/", 404), ("DELETE", "/v1/models", 405)],
)
async def test_what_is_not_there_is_said_in_the_apis_form(method: str, path: str, status: int) -> None:
    """With what there is."""
    got = await ask(gateway(World(), Upstream(good)), {}, path=path, method=method)
    assert (got.status, set(got.json["error"])) == (status, {"message", "type", "param", "code"})


@pytest.mark.parametrize("odd", ['"\\ud83d"', '"a\\u0000b"', "NaN", "-Infinity", "1e999", '"\\ud83d\\ude00"'])
async def test_what_json_can_say_and_nobody_can_send_is_taken_out(odd: str) -> None:
    """Half an emoji, as agents cut them, zero bytes, and numbers without end; a whole emoji stays."""
    upstream = Upstream(good)
    body = json.dumps(asking(tools=[TOOL])).replace('"object"', f'"object", "default": {odd}')
    if odd.startswith('"'):
        body = body.replace('"Hi"', odd)
    got = await ask(gateway(World(), upstream), body.encode())
    assert (got.status, got.text) == (200, "Hello you")
    if "ude00" in odd:
        assert upstream.requests[0]["messages"][-1]["content"] == "\U0001f600"


@pytest.mark.parametrize("image", [{}, {"url": None}, {"url": 5}, {"detail": "low"}])
async def test_an_image_without_an_address_is_refused_before_anything_is_sent(image: dict[str, Any]) -> None:
    """Groq would refuse it, too, and say less."""
    upstream = Upstream(good)
    part = {"type": "image_url", "image_url": image}
    got = await ask(gateway(World(), upstream), asking(messages=[{"role": "user", "content": [part]}]))
    assert (got.status, upstream.requests) == (400, [])
    assert "image_url must have a url" in got.json["error"]["message"]


async def test_an_empty_response_format_is_none() -> None:
    """It asks for nothing."""
    for given in ({}, None, [], ""):
        assert (await ask(gateway(World(), Upstream(good)), asking(response_format=given))).text == "Hello you"


async def test_the_beginning_of_markup_waits_for_more_without_being_looked_at_again() -> None:
    """It would keep the process busy for as long as the model pauses."""
    held = HeldText(hold_s=0.0, clock=lambda: 0.0)
    held.text_received("1 <")
    await held.changed()
    assert held.take() == "1 "
    waiting = asyncio.ensure_future(held.changed())
    for _ in range(5):
        await anyio.lowlevel.checkpoint()
    assert not waiting.done()
    held.text_received(" 2")
    await waiting
    assert held.take() == "< 2"


@pytest.mark.parametrize("size", [1, 3, 7, 200])
async def test_a_key_that_a_model_says_in_pieces_is_not_sent_in_pieces(size: int) -> None:
    """Nor a sequence that would steer a terminal. What only begins like one is sent when more has come."""
    key = "gsk_inpieces0123456789ABCDEF"
    register_secrets(key)
    said = f"My g is gsk_in, my key {key}, red \x1b[31mred and gs"
    pieces = [said[at : at + size] for at in range(0, len(said), size)]
    got = await ask(
        gateway(World(), Upstream(lambda _: Asked(pieces=events(*text(*pieces)), headers=SSE))), asking(stream=True)
    )
    assert got.text == "My g is gsk_in, my key [redacted], red red and gs"
    assert got.finish == "stop"


@pytest.mark.parametrize(
    "pieces",
    [
        ("let me think\n", "</think>\n", "Answer"),
        ("<reason", "ing>Hm</reasoning>", "Answer"),
        ("[THINK]", "Hm[/THINK]", "Answer"),
    ],
)
async def test_a_stream_whose_thoughts_leak_ends_well(pieces: tuple[str, ...]) -> None:
    """What the client has seen of them cannot be taken back, which is no reason to break off a whole answer."""
    upstream = Upstream(lambda _: Asked(pieces=events(*text(*pieces)), headers=SSE))
    got = await ask(gateway(World(), upstream), asking(stream=True))
    assert (got.clean, got.finish, got.error) == (True, "stop", None)
    assert got.text.endswith("Answer")
    assert upstream.asked == [FIRST]


@pytest.mark.parametrize("odd", [5, True, {"a": 1}, "audio-like"])
async def test_odd_modalities_are_no_matter(odd: Any) -> None:
    """Only a list that names audio asks for a spoken answer."""
    assert (await ask(gateway(World(), Upstream(good)), asking(modalities=odd))).text == "Hello you"
