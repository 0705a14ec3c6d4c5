"""Answers that come piece by piece: whole or not at all (fault rows on streams)."""

from __future__ import annotations

import asyncio
import json
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import anyio
import httpx2
import pytest
from fake_clock import FakeClock
from fakes import candidate
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import ChatRequest, Failure, FailureKind, Outcome, QuotaSnapshot, Success
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.providers.stream import ChatStream

pytestmark = pytest.mark.anyio
K = FailureKind


def piece(delta: dict[str, object], finish: str | None = None, **more: object) -> str:
    """One event in Groq's form."""
    body = {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}
    return f"data: {json.dumps(body)}\n\n"


USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3}}
HELLO = [
    piece({"role": "assistant", "content": ""}, x_groq={"id": "req_1"}),
    piece({"reasoning": "hm"}),
    piece({"content": "hel"}),
    piece({"content": "lo"}),
    piece({}, "stop", x_groq={"id": "req_1", "usage": USAGE}),
    "data: [DONE]\n\n",
]


def streamed(events: list[str], *, told: Callable[[int], None] | None = None) -> Success | Failure:
    """What events amount to."""
    stream = ChatStream(model="m", clock=FakeClock(), on_progress=told)
    for event in events:
        stream.feed(event.encode())
    return stream.outcome(quota=QuotaSnapshot(), simulated=False)


def provider(body: Callable[[], AsyncIterator[bytes]] | bytes, *, kind: str = "text/event-stream") -> OpenAICompatible:
    """A provider whose answer is this body."""

    def handler(request: httpx2.Request) -> httpx2.Response:
        assert json.loads(request.content)["stream"] is True
        content = body if isinstance(body, bytes) else body()
        return httpx2.Response(200, headers={"content-type": kind, "x-ratelimit-remaining-tokens": "7000"}, content=content)

    return OpenAICompatible(
        "groq", base_url="https://groq.test/openai/v1", key="gsk_x", clock=FakeClock(), transport=httpx2.MockTransport(handler)
    )


async def asked(source: OpenAICompatible, *, timeout_s: float = 5.0, longest_s: float = 10.0) -> Outcome:
    """One streamed call."""
    request = ChatRequest(messages=({"role": "user", "content": "hi"},))
    stream = StreamOptions(longest_s=longest_s)
    return await source.chat(request, candidate("m", max_tokens=64), timeout_s=timeout_s, stream=stream)


def test_pieces_become_one_answer_with_reasoning_apart_and_usage() -> None:
    """Groq puts the usage into the last piece."""
    counts: list[int] = []
    found = streamed(HELLO, told=counts.append)
    assert isinstance(found, Success)
    assert (found.text, found.reasoning, found.finish_reason, found.request_id) == ("hello", "hm", "stop", "req_1")
    assert (found.usage.input_tokens, found.usage.output_tokens, found.usage.cached_tokens) == (5, 2, 3)
    assert counts == [1, 2, 3]
    assert found.speed.first_token_s is not None


@given(st.lists(st.integers(1, 40), max_size=60))
def test_an_answer_is_the_same_wherever_the_network_cuts_the_bytes(sizes: list[int]) -> None:
    """Also in the middle of a letter, and with CRLF."""
    raw = "".join(HELLO).replace("lo", "lö").replace("\n", "\r\n").encode()
    stream = ChatStream(model="m", clock=FakeClock())
    at = 0
    for size in sizes:
        stream.feed(raw[at : at + size])
        at += size
    stream.feed(raw[at:])
    found = stream.outcome(quota=QuotaSnapshot(), simulated=False)
    assert isinstance(found, Success)
    assert found.text == "hellö"


ENDINGS = ("\n", "\r\n", "\r")
DELTAS: list[dict[str, object]] = [
    {"content": "hel"},
    {"content": "lö \U0001f600"},
    {"content": [{"type": "text", "text": " parts"}]},
    {"reasoning": "hm"},
    {"reasoning_content": "so"},
    {"content": "<think>x</think>y"},
    {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a"'}}]},
    {"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]},
    {"annotations": [{"a": 1}]},
    {},
]


@pytest.mark.fault("A4", "B12")
@given(
    deltas=st.lists(st.sampled_from(DELTAS), max_size=12),
    finish=st.sampled_from(["stop", "length", "error", None]),
    ending=st.sampled_from(ENDINGS),
    sizes=st.lists(st.integers(1, 40), max_size=80),
)
def test_any_way_to_cut_a_stream_comes_to_the_same_end(
    deltas: list[dict[str, object]], finish: str | None, ending: str, sizes: list[int]
) -> None:
    """In the middle of a letter, of a line's end, of an event; with every line ending of the standard."""
    events = [piece(delta) for delta in deltas] + [piece({}, finish), "data: [DONE]\n\n"]
    raw = "".join(events).replace("\n", ending).encode()
    at_once, byte_by_byte, cut = (ChatStream(model="m", clock=FakeClock()) for _ in range(3))
    at_once.feed(raw)
    for index in range(len(raw)):
        byte_by_byte.feed(raw[index : index + 1])
    at = 0
    for size in sizes:
        cut.feed(raw[at : at + size])
        at += size
    cut.feed(raw[at:])
    quota = QuotaSnapshot()
    expected, *others = (stream.outcome(quota=quota, simulated=False) for stream in (at_once, byte_by_byte, cut))
    assert others == [expected, expected]
    assert isinstance(expected, Failure) or finish in {"stop", "length"}


CUTS: dict[str, Callable[[int], list[bytes]]] = {
    "bytes of one line": lambda count: [b"data: " + b"a" * count, *([b"a"] * count)],
    "lines of data": lambda count: [b"data: a\n"] * count,
    "empty lines": lambda count: [b"\n"] * count,
    "events": lambda count: [piece({"content": "a"}).encode()] * (count // 10),
    "pieces of a tool call": lambda count: (
        [piece({"tool_calls": [{"index": 0, "function": {"arguments": "a" * 50}}]}).encode()] * (count // 10)
    ),
    "lists of annotations": lambda count: [piece({"annotations": [{"a": 1}] * 100}).encode()] * (count // 100),
    "reasoning": lambda count: [piece({"reasoning": "a" * 50}).encode()] * (count // 10),
}


@pytest.mark.fault("A4", "A5")
@pytest.mark.parametrize("how", CUTS)
def test_four_times_the_pieces_take_about_four_times_as_long_and_never_much_memory(how: str) -> None:
    """What is quadratic would take sixteen times as long; best of several runs, as machines are busy."""

    def seconds(count: int) -> float:
        chunks = CUTS[how](count)
        best = float("inf")
        for _ in range(3):
            stream = ChatStream(model="m", clock=FakeClock())
            began = time.process_time()
            for chunk in chunks:
                stream.feed(chunk)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(80_000) < 10 * max(seconds(20_000), 1e-3)
    chunks = CUTS[how](80_000)
    stream = ChatStream(model="m", clock=FakeClock())
    tracemalloc.start()
    try:
        for chunk in chunks:
            stream.feed(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * 1024 * 1024


@pytest.mark.fault("A5")
@pytest.mark.parametrize(
    "event",
    [
        b"".join(b"data: " + b" " * 60_000 + b"\n" for _ in range(500)),
        b"data:\n" * 1_100_000,
        piece({"content": "a" * (5 * 1024 * 1024)}).encode(),
        b"event: " + b"a" * (2 * 1024 * 1024) + b"\n",
    ],
    ids=["500 lines of data", "lines without data", "a long text", "a long name"],
)
def test_an_event_beyond_all_bounds_ends_the_stream(event: bytes) -> None:
    """And is not held."""
    stream = ChatStream(model="m", clock=FakeClock())
    stream.feed(event)
    assert stream.ended
    outcome = stream.outcome(quota=QuotaSnapshot(), simulated=False)
    assert isinstance(outcome, Failure)
    assert (outcome.kind, "an event of more than" in outcome.message) == (K.BAD_RESPONSE, True)


@pytest.mark.fault("A5")
@pytest.mark.parametrize("field", ["annotations", "executed_tools"])
def test_an_answer_is_whole_without_all_that_its_tools_report(field: str) -> None:
    """What a search found may be larger than any answer."""
    stream = ChatStream(model="m", clock=FakeClock())
    tracemalloc.start()
    for _ in range(20):
        stream.feed(piece({field: [{"title": "a" * 500_000}]}).encode())
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stream.feed(piece({"content": "b"}).encode() + piece({}, "stop").encode())
    outcome = stream.outcome(quota=QuotaSnapshot(), simulated=False)
    assert isinstance(outcome, Success)
    assert outcome.text == "b"
    assert held < 5_000_000


@pytest.mark.fault("A5")
@pytest.mark.parametrize("field", ["content", "reasoning", "tool_calls"])
def test_what_a_stream_adds_up_to_is_bounded(field: str) -> None:
    """Whatever it is made of."""
    long = "a" * 500_000
    values: dict[str, object] = {
        "content": long,
        "reasoning": long,
        "tool_calls": [{"index": 0, "function": {"arguments": long}}],
    }
    stream = ChatStream(model="m", clock=FakeClock())
    for _ in range(20):
        stream.feed(piece({field: values[field]}).encode())
    assert stream.ended
    assert isinstance(stream.outcome(quota=QuotaSnapshot(), simulated=False), Failure)


@pytest.mark.parametrize("cut", range(len(HELLO) - 2))
def test_a_stream_that_breaks_is_never_a_shorter_answer(cut: int) -> None:
    """Without the piece that says why it ended, nothing is returned."""
    found = streamed(HELLO[: cut + 1])
    assert isinstance(found, Failure)
    assert (found.kind, found.sent) == (K.CONNECTION_LOST, True)
    assert "the stream ended after" in found.message


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ('event: error\ndata: {"error":{"message":"over capacity","status_code":503}}\n\n', K.OVERLOADED),
        (
            'data: {"error":{"message":"Failed to generate JSON","code":"json_validate_failed","status_code":400}}\n\n',
            K.GENERATION_FAILED,
        ),
        ('data: {"error":"m is currently over capacity"}\n\n', K.OVERLOADED),
        ('data: {"choices":[],"x_groq":{"id":"r","error":"m is currently over capacity"}}\n\n', K.OVERLOADED),
        ("data: no json at all\n\n", K.SERVER_ERROR),
        ("data: [1]\n\n", K.SERVER_ERROR),
    ],
)
def test_an_error_inside_a_stream_is_the_outcome_whatever_came_before(event: str, kind: FailureKind) -> None:
    """Real forms: an event, a body, a bare string, a field of x_groq."""
    found = streamed([*HELLO[:3], event, *HELLO[3:]])
    assert isinstance(found, Failure)
    assert found.kind is kind


def test_tool_calls_are_put_together_however_they_are_cut() -> None:
    """Groq sends a call whole, OpenAI its arguments in pieces."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a"'}}
    found = streamed(
        [
            piece({"tool_calls": [first]}),
            piece({"tool_calls": [{"index": 0, "function": {"arguments": ": 1}"}}]}),
            piece({"tool_calls": [{"index": 1, "id": "call_2", "function": {"name": "sub", "arguments": "{}"}}]}),
            piece({}, "tool_calls"),
        ]
    )
    assert isinstance(found, Success)
    assert [(c["id"], c["name"], c["arguments"]) for c in found.tool_calls] == [
        ("call_1", "add", '{"a": 1}'),
        ("call_2", "sub", "{}"),
    ]
    assert not found.usage_reported


def test_comments_and_unknown_fields_are_passed_over() -> None:
    """As the standard has it."""
    found = streamed([": keep-alive\n\n", "id: 7\nretry: 100\n", *HELLO])
    assert isinstance(found, Success)


def test_a_line_without_end_is_given_up_on() -> None:
    """Memory stays bounded."""
    stream = ChatStream(model="m", clock=FakeClock())
    for _ in range(40):
        stream.feed(b"data: " + b"x" * 65_536)
        if stream.ended:
            break
    assert stream.ended


async def test_a_stream_is_read_through_the_transport_with_its_headers() -> None:
    """Limits come with the first bytes."""

    async def body() -> AsyncIterator[bytes]:
        for event in HELLO:
            yield event.encode()

    found = await asked(provider(body))
    assert isinstance(found, Success)
    assert found.text == "hello"
    assert found.quota.readings


async def test_whoever_answers_in_one_piece_all_the_same_is_understood() -> None:
    """Some endpoints know no streams."""
    whole = {"model": "m", "choices": [{"finish_reason": "stop", "message": {"content": "whole"}}]}
    found = await asked(provider(json.dumps(whole).encode(), kind="application/json"))
    assert isinstance(found, Success)
    assert found.text == "whole"


async def test_silence_ends_a_stream_but_tokens_keep_it_alive() -> None:
    """A long answer is not cut at the time-out of an attempt; a hanging one is."""

    async def slow(last: bool) -> AsyncIterator[bytes]:
        for event in HELLO if last else HELLO[:3]:
            await anyio.sleep(0.03)
            yield event.encode()
        if not last:
            await anyio.sleep(60)

    found = await asked(provider(lambda: slow(True)), timeout_s=0.15)
    assert isinstance(found, Success), found
    hanging = await asked(provider(lambda: slow(False)), timeout_s=0.15)
    assert isinstance(hanging, Failure)
    assert hanging.kind is K.TIMED_OUT


async def test_a_stream_of_nothing_that_matters_does_not_outlive_its_time() -> None:
    """Keep-alive comments are no answer, and neither is a trickle for ever."""

    async def chatter() -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(0.01)
            yield b": still here\n\n"

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            await anyio.sleep(0.01)
            yield piece({"content": "x"}).encode()

    for body in (chatter, trickle):
        with anyio.fail_after(5):
            found = await asked(provider(body), timeout_s=0.1, longest_s=0.2)
        assert isinstance(found, Failure)
        assert found.kind is K.TIMED_OUT


def test_visible_text_is_passed_on_piece_by_piece_and_thoughts_are_not() -> None:
    """As far as it is part of an answer; pieces of an event that failed are not."""
    texts: list[str] = []
    stream = ChatStream(model="m", clock=FakeClock(), on_text=texts.append)
    for event in HELLO:
        stream.feed(event.encode())
    assert texts == ["hel", "lo"]
    stream = ChatStream(model="m", clock=FakeClock(), on_text=texts.append)
    stream.feed((piece({"content": "a"}) + 'data: {"error": {"message": "overloaded"}}\n\n').encode())
    assert texts == ["hel", "lo"]


async def test_a_stream_that_has_ended_leaves_its_connection_to_the_next_request() -> None:
    """Its body is read to the end, so that no request waits for a new handshake."""
    connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        with suppress(asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
                for event in HELLO:
                    writer.write(b"%x\r\n%s\r\n" % (len(event), event.encode()))
                writer.write(b"0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    source = OpenAICompatible("groq", base_url=f"http://127.0.0.1:{port}", key="gsk_x", clock=FakeClock())
    for _ in range(3):
        assert isinstance(await asked(source), Success)
    await source.aclose()
    server.close()
    assert connections == 1


async def bytes_of(events: list[str], *, size: int) -> AsyncIterator[bytes]:
    """The events as a network may cut them."""
    raw = "".join(events).encode()
    for at in range(0, len(raw), size):
        yield raw[at : at + size]


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "application/json", ""])
@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("before", ["", ": keep-alive\n\n", "\n\n", "\ufeff"])
async def test_a_stream_is_read_as_one_whatever_its_server_calls_it(kind: str, size: int, before: str) -> None:
    """Servers that people write themselves often leave the media type as it is."""
    outcome = await asked(provider(lambda: bytes_of([before, *HELLO], size=size), kind=kind))
    assert isinstance(outcome, Success), outcome
    assert outcome.text == "hello"


async def test_an_answer_in_one_piece_may_come_after_blank_lines() -> None:
    """By which a server keeps the connection open while the model works."""
    whole = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}], "usage": USAGE}
    outcome = await asked(provider(lambda: bytes_of(["\n" * 100_000, json.dumps(whole)], size=50_000), kind="application/json"))
    assert isinstance(outcome, Success), outcome
    assert outcome.text == "hello"


def test_usage_that_comes_in_parts_is_put_together() -> None:
    """The prompt's first, the answer's last."""
    before, after = {"prompt_tokens": 5, "completion_tokens": 0}, {"completion_tokens": 2}
    found = streamed([piece({"content": "hello"}, usage=before), piece({}, "stop", usage=after)])
    assert isinstance(found, Success)
    assert (found.usage_reported, found.usage.input_tokens, found.usage.output_tokens) == (True, 5, 2)


@pytest.mark.parametrize("usage", [{}, {"prompt_tokens": None, "completion_tokens": None}])
def test_a_usage_that_says_nothing_does_not_replace_the_real_one(usage: dict[str, object]) -> None:
    """Some servers send one with every piece."""
    found = streamed([piece({"content": "hello"}, "stop", usage=USAGE), piece({}, usage=usage), "data: [DONE]\n\n"])
    assert isinstance(found, Success)
    assert found.usage_reported
    assert found.usage.output_tokens == 2
