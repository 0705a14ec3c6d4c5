"""The judge of the failover scorecard: real bytes for every verdict, in each dialect; and the faults' own bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from benchmarks.failover.client import End, Received
from benchmarks.failover.faults import FAULTS, GOOD_CALL, GOOD_TEXT, Fault, fault_of, good, number_of, of_slug
from benchmarks.failover.judge import DIALECTS, Dialect, Verdict, verdict
from benchmarks.failover.run import Cell
from benchmarks.failover.table import scorecard, unstable
from benchmarks.failover.wire import TOOL, ChatWire, ResponsesWire

CHAT, RESPONSES, MESSAGES = DIALECTS
CUT, CALL, WRONG = of_slug("cut"), of_slug("call-cut"), of_slug("bad-request")
HALF = GOOD_CALL[:-4]


def event(name: str, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'type': name, **data})}\n\n".encode()


def chat_events(*words: str, finish: str | None = "stop") -> bytes:
    wire = ChatWire("m")
    return b"".join([*wire.words(words), *(wire.ending(finish) if finish else [])])


def chat_call(arguments: str) -> bytes:
    wire = ChatWire("m")
    return b"".join([*wire.call([arguments]), *wire.ending("tool_calls")])


def responses_events(*words: str, ends: bool = True) -> bytes:
    wire = ResponsesWire("m")
    return b"".join([*wire.words(words), *(wire.ending("stop") if ends else [])])


def responses_call(arguments: str) -> bytes:
    wire = ResponsesWire("m")
    return b"".join([*wire.call([arguments]), *wire.ending("tool_calls")])


def message_events(*words: str, ends: bool = True) -> bytes:
    started = event("message_start", message={"type": "message", "role": "assistant", "content": []})
    block = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    deltas = [event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}) for word in words]
    end = [
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}),
        event("message_stop"),
    ]
    return b"".join([started, block, *deltas, *(end if ends else [])])


def message_call(arguments: str) -> bytes:
    block = event("content_block_start", index=0, content_block={"type": "tool_use", "id": "t", "name": TOOL, "input": {}})
    delta = event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": arguments})
    return block + delta + event("message_delta", delta={"stop_reason": "tool_use"}) + event("message_stop")


def message(text: str) -> bytes:
    content = [{"type": "text", "text": text}]
    return json.dumps({"type": "message", "role": "assistant", "content": content, "stop_reason": "end_turn"}).encode()


OPENAI_ERROR = b'{"error": {"message": "over capacity", "type": "server_error"}}'
ANTHROPIC_ERROR = b'{"type": "error", "error": {"type": "api_error", "message": "over capacity"}}'
STREAMED = {CHAT: chat_events, RESPONSES: responses_events, MESSAGES: message_events}
CALLED = {CHAT: chat_call, RESPONSES: responses_call, MESSAGES: message_call}
UNFINISHED = {
    CHAT: chat_events("The answer", finish=None),
    RESPONSES: responses_events("The answer", ends=False),
    MESSAGES: message_events("The answer", ends=False),
}
ERROR_EVENTS = {
    CHAT: b"data: " + OPENAI_ERROR + b"\n\n",
    RESPONSES: event("response.failed", response={"error": {"code": "server_error", "message": "over capacity"}}),
    MESSAGES: b"event: error\ndata: " + ANTHROPIC_ERROR + b"\n\n",
}
ERRORS = {CHAT: OPENAI_ERROR, RESPONSES: OPENAI_ERROR, MESSAGES: ANTHROPIC_ERROR}
WHOLE = {
    CHAT: lambda text: ChatWire("m").whole(text, finish="stop"),
    RESPONSES: lambda text: ResponsesWire("m").whole(text, finish="stop"),
    MESSAGES: message,
}
every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)


def streamed(dialect: Dialect, body: bytes, fault: Fault = CUT, *, end: End = "clean") -> Verdict:
    received = Received(status=200, headers={"content-type": "text/event-stream"}, body=body, end=end)
    return verdict(dialect, received, fault, stream=True)


def whole(dialect: Dialect, body: bytes, fault: Fault = CUT, *, status: int = 200, end: End = "clean") -> Verdict:
    received = Received(status=status, headers={"content-type": "application/json"}, body=body, end=end)
    return verdict(dialect, received, fault, stream=False)


@every_dialect
def test_the_whole_right_answer_is_an_answer(dialect: Dialect) -> None:
    assert streamed(dialect, STREAMED[dialect]("The answer", " is 42.")).is_right
    assert whole(dialect, WHOLE[dialect](GOOD_TEXT)).is_right
    assert streamed(dialect, CALLED[dialect](GOOD_CALL), CALL).is_right
    # Spaces in arguments do not matter.
    assert streamed(dialect, CALLED[dialect](GOOD_CALL.replace(" ", "")), CALL).is_right


@every_dialect
def test_a_continued_text_is_an_answer_only_where_the_next_model_would_not_repeat_it(dialect: Dialect) -> None:
    other = of_slug("cut-other")
    assert streamed(dialect, STREAMED[dialect](other.also_right), other).is_right
    assert streamed(dialect, STREAMED[dialect](other.also_right)).outcome == "broken"


@every_dialect
@pytest.mark.parametrize("text", ["", "The answer", "The answerThe answer is 42.", "The answer is."])
def test_a_short_or_doubled_text_that_looks_whole_is_broken(dialect: Dialect, text: str) -> None:
    assert streamed(dialect, STREAMED[dialect](text)).outcome == "broken"
    assert whole(dialect, WHOLE[dialect](text)).outcome == "broken"


@every_dialect
def test_half_a_tool_call_is_broken(dialect: Dialect) -> None:
    assert streamed(dialect, CALLED[dialect](HALF), CALL).outcome == "broken"
    # Nor is a text an answer where a call is wanted.
    assert streamed(dialect, STREAMED[dialect](GOOD_TEXT), CALL).outcome == "broken"


@every_dialect
@pytest.mark.parametrize("end", ["clean", "cut"])
def test_an_end_without_an_error_is_broken(dialect: Dialect, end: End) -> None:
    assert streamed(dialect, UNFINISHED[dialect], end=end).outcome == "broken"
    assert whole(dialect, WHOLE[dialect](GOOD_TEXT)[:40], end=end).outcome == "broken"


@every_dialect
def test_an_error_event_is_an_error_also_where_the_connection_is_cut_then(dialect: Dialect) -> None:
    body = UNFINISHED[dialect] + ERROR_EVENTS[dialect]
    assert [streamed(dialect, body, end=end).outcome for end in ("clean", "cut")] == ["error", "error"]


def test_openai_s_error_event_of_responses_is_an_error_and_so_is_any_event_with_one() -> None:
    """Its SDK raises for both."""
    assert streamed(RESPONSES, UNFINISHED[RESPONSES] + event("error", message="over capacity")).outcome == "error"
    assert streamed(RESPONSES, UNFINISHED[RESPONSES] + ERROR_EVENTS[CHAT]).outcome == "error"


@every_dialect
def test_an_error_of_the_dialect_is_an_error_and_right_only_where_it_is_wanted(dialect: Dialect) -> None:
    assert whole(dialect, ERRORS[dialect], status=502) == Verdict("error", "status 502: over capacity")
    assert [whole(dialect, ERRORS[dialect], WRONG, status=status).is_right for status in (400, 401, 429, 503)] == [
        True,
        False,
        False,
        False,
    ]


def test_an_error_of_another_dialect_is_broken() -> None:
    assert whole(MESSAGES, OPENAI_ERROR, status=502).outcome == "broken"
    assert streamed(MESSAGES, UNFINISHED[MESSAGES] + ERROR_EVENTS[CHAT]).outcome == "broken"
    assert whole(CHAT, b"<html>Bad Gateway</html>", status=502).outcome == "broken"


@every_dialect
def test_what_is_not_a_stream_is_broken(dialect: Dialect) -> None:
    received = Received(status=200, headers={"content-type": "application/json"}, body=ERRORS[dialect], end="clean")
    assert verdict(dialect, received, CUT, stream=True).outcome == "broken"
    assert streamed(dialect, STREAMED[dialect]("The answer")[:-60] + b"\n\n").outcome == "broken"


def test_deltas_of_responses_that_differ_from_its_end_are_broken() -> None:
    body = responses_events("The answer", ends=False) + responses_events("The answer", " is 42.")
    assert streamed(RESPONSES, body).outcome == "broken"


@every_dialect
def test_no_response_is_broken_and_one_that_does_not_end_is_silence(dialect: Dialect) -> None:
    assert verdict(dialect, Received(), CUT, stream=True).outcome == "broken"
    assert streamed(dialect, UNFINISHED[dialect], end="silent").outcome == "silence"


@every_dialect
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.slug)
def test_a_request_names_its_fault(dialect: Dialect, fault: Fault) -> None:
    body = json.dumps(dialect.request("m", fault, stream=True, number=7)).encode()
    assert (fault_of(body), number_of(body)) == (fault, "7")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.slug)
@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
def test_what_a_faulty_model_sends_is_never_taken_for_the_right_answer(fault: Fault, *, stream: bool) -> None:
    """Nor is the good answer taken for anything else."""
    for dialect, make in ((CHAT, ChatWire), (RESPONSES, ResponsesWire)):
        sent = b"".join(piece for piece in fault.play(make("m"), stream) if not piece.startswith(b"("))
        well = b"".join(good(make("m"), stream=stream, uses_tool=fault.uses_tool))
        assert verdict(dialect, received(sent), fault, stream=stream).outcome != "answer"
        assert verdict(dialect, received(well), fault, stream=stream).is_right


def received(sent: bytes) -> Received:
    """What a client without mercy makes of the bytes."""
    head, found, rest = sent.partition(b"\r\n\r\n")
    if not found or not head.startswith(b"HTTP/1.1 "):
        return Received()
    lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    made = Received(status=int(lines[0].split(" ")[1]), headers=headers)
    if "content-length" in headers:
        made.body, made.end = rest, "clean" if len(rest) == int(headers["content-length"]) else "cut"
        return made
    while rest and (length := int(rest.partition(b"\r\n")[0], 16)):
        start = rest.index(b"\r\n") + 2
        made.body, rest = made.body + rest[start : start + length], rest[start + length + 2 :]
    made.end = "clean" if rest else "cut"
    return made


def test_the_table_shows_what_each_did_and_where_a_peer_is_better() -> None:
    def cell(contender: str, outcome: str, dialect: str = "chat", *, stream: bool = False) -> Cell:
        is_right = outcome == "answer"
        return Cell(contender=contender, fault="503", dialect=dialect, streamed=stream, outcome=outcome, is_right=is_right)

    ours = [cell("groq-fallback-mcp", "error"), cell("groq-fallback-mcp", "answer", stream=True)]
    peer = [cell("a peer", "answer"), cell("a peer", "broken", stream=True), cell("a peer", "not spoken", "messages")]
    shown = scorecard({"groq-fallback-mcp": "1", "a peer": "2"}, [*ours, *peer], [])
    assert "| 503 | 1/2; error: not streamed | 1/2; broken: streamed |" in shown
    assert "- a peer: 503, chat: answer, ours error\n" in shown
    assert "| a peer 2 | 1 of 2 | 1 | 0 | 1 | 0 | 1 | 0.0 s |" in shown
    assert [changed.contender for changed in unstable([ours, [cell("groq-fallback-mcp", "answer"), ours[1]]])] == [
        "groq-fallback-mcp"
    ]
