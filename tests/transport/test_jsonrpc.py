"""Lines into messages or refusals, and back."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from groq_fallback_mcp.transport.jsonrpc import (
    KEPT_OF_OVERLONG,
    MOST_IN_BATCH,
    MOST_SCANNED,
    LineSplitter,
    Overlong,
    Refusal,
    read_line,
    refuse_overlong,
    write_line,
)


def read_one(line: bytes) -> JSONRPCMessage | Refusal:
    """The only message of a line."""
    (found,) = read_line(line)
    return found


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"\xff\xfe",
        b"\x00",
        b"nonsense",
        b"[" * 100_000,
        b'{"a":' * 5_000,
        b'{"a":NaN}',
        b'{"id":' + b"9" * 5_000 + b"}",
        b'{"x":"\\ud83d", "y":NaN}',
    ],
)
def test_what_is_not_json_is_a_parse_error_that_says_what_to_send(line: bytes) -> None:
    """Without an id, since none can be read."""
    refusal = read_one(line)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.id) == (-32700, None)
    assert "one JSON-RPC 2.0 message a line" in refusal.message


@pytest.mark.parametrize(
    ("line", "number", "words"),
    [
        (b"[]", None, "a batch must have 1 to 256 messages, not 0"),
        (b"[" + b",".join([b"1"] * 257) + b"]", None, "not 257"),
        (b"[[]]", None, "not an empty list"),
        (b"1", None, "not 1"),
        (b"null", None, "not null"),
        (b"{}", None, "a method, a result or an error"),
        (b'{"jsonrpc":"2.0","id":3}', 3, "a method, a result or an error"),
        (b'{"jsonrpc":"2.0","id":true,"method":"ping"}', None, "id"),
        (b'{"jsonrpc":"2.0","id":1.5,"method":"ping"}', None, "id"),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', None, "id"),
        (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', None, "id"),
        (b'{"jsonrpc":"1.0","id":"a","method":"ping"}', "a", "jsonrpc"),
        (b'{"id":4,"method":"ping"}', 4, "jsonrpc"),
        (b'{"jsonrpc":"2.0","id":4,"method":7}', 4, "method"),
        (b'{"jsonrpc":"2.0","id":4,"method":"ping","params":[1]}', 4, "params"),
        (b'{"jsonrpc":"2.0","method":"ping","params":"x"}', None, "params"),
        (b'{"jsonrpc":"2.0","id":4,"result":1}', 4, "result"),
        (b'{"jsonrpc":"2.0","id":4,"error":{}}', 4, "error"),
    ],
)
def test_json_that_is_no_request_is_refused_by_its_id_and_with_the_field(
    line: bytes, number: int | str | None, words: str
) -> None:
    """-32600."""
    refusal = read_one(line)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.id) == (-32600, number)
    assert words in refusal.message


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"}', JSONRPCRequest),
        (b'  {"jsonrpc":"2.0","id":"1","method":"ping","params":{}, "more": 1}\r', JSONRPCRequest),
        (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', JSONRPCNotification),
        (b'{"jsonrpc":"2.0","id":1,"result":{}}', JSONRPCResponse),
        (b'{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}', JSONRPCError),
    ],
)
def test_each_kind_of_message_is_read(line: bytes, kind: type) -> None:
    """With or without white space around it, and fields of tomorrow."""
    assert isinstance(read_one(line), kind)


@pytest.mark.parametrize("line", [b"", b"\r", b"  \t"])
def test_blank_lines_are_passed_over(line: bytes) -> None:
    """They are no messages."""
    assert read_line(line) == []


@pytest.mark.fault("C8")
@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"x":NaN}}', 7),
        (b'{"jsonrpc":"2.0","id":"a-1","method":"tools/call","params":{"x":"\xff"}}', "a-1"),
        (b'{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"x":', 7),
        (b'{"jsonrpc":"2.0","id":1,"method":"ping"} trailing', 1),
        (b'{"jsonrpc":"2.0","method":"tools/call","params":{"x":nope},"id":8}', 8),
        (b'{"id":9,"jsonrpc":"2.0","method":"tools/call",}', 9),
        (b'{"jsonrpc":"2.0","id":1,"method":"a"}{"jsonrpc":"2.0","id":2,"method":nope}', 1),
        (b'{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"},"id":5,"extra":{nope}}', 5),
        (b'{"params":{"id":99,"x":nope},"jsonrpc":"2.0","id":7,"method":"x"}', 7),
        (b'{"jsonrpc":"2.0","id":123456789012345678901,"method":"x","params":{nope}}', 123456789012345678901),
        (b'{"jsonrpc":"2.0","id":1.0,"method":"x","params":{nope}}', 1),
        (b'data: {"jsonrpc":"2.0","id":15,"method":"ping"}', 15),
        (b'{"jsonrpc":"2.0","method":"x","params":{"text":"\\"id\\":3,","x":nope},"id":"a\\"b"}', 'a"b'),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_with_the_id_that_can(line: bytes, number: int | str) -> None:
    """Without it the caller would wait for ever."""
    refusal = read_one(line)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.id) == (-32700, number)


@pytest.mark.fault("C8")
@pytest.mark.parametrize(
    "line",
    [
        b'{"jsonrpc":"2.0","method":"x","params":{"name":nope,"id":99}',
        b'{"jsonrpc":"2.0","method":"x","params":[{"id":99},nope]}',
        b'{"jsonrpc":"2.0","method":"x","params":{"text":"\\"id\\":3","x":nope}}',
        b'"id":3,nope',
    ],
)
def test_an_id_that_is_not_the_messages_own_is_never_answered(line: bytes) -> None:
    """It could be that of another call, whose caller would take the refusal for its answer."""
    refusal = read_one(line)
    assert isinstance(refusal, Refusal)
    assert refusal.id is None


@pytest.mark.fault("C8")
def test_messages_whose_line_breaks_were_lost_are_each_read() -> None:
    """Some clients write two at once."""
    first, second = read_line(b'{"jsonrpc":"2.0","id":1,"method":"a"} {"jsonrpc":"2.0","id":2,"method":"b"}')
    assert isinstance(first, JSONRPCRequest)
    assert isinstance(second, JSONRPCRequest)
    assert (first.id, second.id) == (1, 2)


@pytest.mark.fault("C8")
@pytest.mark.parametrize("stated", [b"1.0", b"1", b"1e0"])
def test_an_id_is_the_same_number_however_it_is_written(stated: bytes) -> None:
    """The numbers of some languages are all floats."""
    request = read_one(b'{"jsonrpc":"2.0","method":"ping","id":' + stated + b"}")
    assert isinstance(request, JSONRPCRequest)
    assert request.id == 1


@pytest.mark.fault("C8")
def test_a_notification_with_an_id_of_null_is_one() -> None:
    """It must not be refused: the server would wait for it."""
    assert isinstance(read_one(b'{"jsonrpc":"2.0","method":"notifications/initialized","id":null}'), JSONRPCNotification)


@pytest.mark.fault("C8")
def test_each_message_of_a_batch_that_is_too_long_is_refused_by_its_id() -> None:
    """Whoever sent it waits for each."""
    batch = [{"jsonrpc": "2.0", "id": number, "method": "ping"} for number in range(MOST_IN_BATCH + 1)]
    refusals = read_line(json.dumps(batch).encode())
    assert [refusal.id for refusal in refusals if isinstance(refusal, Refusal)] == list(range(MOST_IN_BATCH + 1))


@pytest.mark.fault("C8")
@pytest.mark.parametrize("part", [b"{", b"}", b"} ", b'{"a":', b'"id":', b'\\"', b'{"x":1}', b"} {"])
def test_a_line_that_cannot_be_read_takes_time_linear_in_its_length(part: bytes) -> None:
    """And no more is searched for an id than its first part."""

    def seconds(count: int) -> float:
        line = b'{"a":"x' + part * count
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            read_line(line)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(80_000) < 10 * max(seconds(20_000), 1e-3)


@pytest.mark.fault("C8")
@pytest.mark.parametrize(
    "line", [b'{"jsonrpc":"2.0","id":1,"method":"ping"}', b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', b"", b" \r"]
)
def test_a_byte_order_mark_is_passed_over(line: bytes) -> None:
    """Windows shells put one before the first line."""
    assert read_line(b"\xef\xbb\xbf" + line) == read_line(line)


@pytest.mark.fault("C8")
def test_each_message_of_a_batch_is_taken_or_refused_by_itself() -> None:
    """As revision 2025-03-26 allows; each gets a reply with its own id."""
    batch = b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","method":"notifications/x"},{"jsonrpc":"1.0","id":2,"method":"ping"},3]'
    ping, note, wrong, number = read_line(batch)
    assert isinstance(ping, JSONRPCRequest)
    assert isinstance(note, JSONRPCNotification)
    assert isinstance(wrong, Refusal)
    assert wrong.id == 2
    assert isinstance(number, Refusal)


@pytest.mark.fault("B17")
@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ('"{\\"prompt\\": \\"x\\"}"', {"prompt": "x"}),
        (json.dumps(json.dumps(json.dumps({"prompt": "x"}))), {"prompt": "x"}),
        ('""', {}),
        ('"[1]"', {"arguments": [1]}),
        ('"prompt=x"', {"arguments": "prompt=x"}),
        ('{"prompt": "{}"}', {"prompt": "{}"}),
        ("null", None),
    ],
)
def test_arguments_sent_as_json_are_read_as_the_object_they_hold(sent: str, read: object) -> None:
    """The SDK takes an object only. What holds none becomes an argument that no tool knows, and is refused with those it knows."""
    line = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"groq_chat","arguments":{sent}}}}}'
    message = read_one(line.encode())
    assert isinstance(message, JSONRPCRequest)
    assert message.params is not None
    assert message.params["arguments"] == read


def test_half_an_emoji_of_a_javascript_client_is_replaced_and_the_request_taken() -> None:
    """JSON.stringify writes a lone surrogate as an escape, which strict readers refuse."""
    message = read_one(b'{"jsonrpc":"2.0","id":1,"method":"m","params":{"prompt":"cut \\ud83d","ok":"\\ud83d\\ude00"}}')
    assert isinstance(message, JSONRPCRequest)
    assert message.params == {"prompt": "cut \ufffd", "ok": "\U0001f600"}


@given(st.binary(max_size=200))
def test_no_line_raises(line: bytes) -> None:
    """Whatever it holds."""
    kinds = Refusal | JSONRPCRequest | JSONRPCNotification | JSONRPCResponse | JSONRPCError
    assert all(isinstance(found, kinds) for found in read_line(line))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(), max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "x"]), JSON))
def test_no_json_raises_and_every_refusal_can_be_written(value: dict[str, Any]) -> None:
    """Surrogates and NaN included."""
    found = read_one(json.dumps(value).encode())
    if isinstance(found, Refusal):
        assert json.loads(write_line(found.as_message()))["error"]["code"] in {-32700, -32600}


@pytest.mark.parametrize(
    ("head", "tail", "number"),
    [
        (b'{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"id":5', b'"}}', 77),
        (b'{ "id" : "a\\"b" , "jsonrpc":"2.0"', b'"}}', 'a"b'),
        (b'{"method":"tools/call","params":{"id":5', b'xx"},"jsonrpc":"2.0","id":78}', 78),
        (b'{"params":{"id":5', b'xx"},"id":79,"jsonrpc":"2.0","method":"x"} ', 79),
        (b'{"params":{"id":5', b'"id":6}}', None),
        (b'{"params":{"id":5', b"xxx", None),
        (b"xxx", b'\\"id\\":7}', None),
        (b'{"id":null,', b"}", None),
    ],
)
def test_the_id_of_an_overlong_line_is_found_where_clients_put_it(head: bytes, tail: bytes, number: int | str | None) -> None:
    """First or last in the object; one that stands deeper is not taken for it."""
    refusal = refuse_overlong(Overlong(size=100_000_000, head=head, tail=tail), 16_777_216)
    assert (refusal.code, refusal.id) == (-32600, number)
    assert "100,000,000" in refusal.message
    assert "GROQ_FALLBACK_LINE_MIB" in refusal.message


@pytest.mark.parametrize("number", [b'"\\q"', b'"\xff"', b'"\x01"', b'"\x00a"', b"007"])
@pytest.mark.parametrize(("head", "tail"), [(b'{"id":%s,"method":"m"', b"x"), (b"{", b'"id":%s}')])
def test_what_looks_like_the_id_of_an_overlong_line_and_is_no_json_costs_no_more_than_the_id(
    head: bytes, tail: bytes, number: bytes
) -> None:
    """An exception here would end the server."""
    line = Overlong(size=100, head=head.replace(b"%s", number), tail=tail.replace(b"%s", number))
    assert json.loads(write_line(refuse_overlong(line, 10).as_message()))["id"] is None


def test_half_an_emoji_in_the_id_of_an_overlong_line_is_replaced_as_in_any_other() -> None:
    """So that the refusal can be written."""
    refusal = refuse_overlong(Overlong(size=100, head=b'{"id":"a\\ud83d","method":"m"', tail=b"x"), 10)
    assert json.loads(write_line(refusal.as_message()))["id"] == "a\ufffd"


@given(st.binary(max_size=20))
def test_no_id_of_an_overlong_line_raises(number: bytes) -> None:
    """Whatever it holds."""
    refusal = refuse_overlong(Overlong(size=100, head=b'{"id":"' + number + b'",', tail=b'"id":"' + number + b'"}'), 10)
    json.loads(write_line(refusal.as_message()))


@given(JSON)
def test_every_result_is_written_as_one_line_of_json(value: Any) -> None:
    """With what JSON does not know replaced."""
    line = write_line(JSONRPCResponse(jsonrpc="2.0", id=1, result={"x": value}))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1

    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(line.decode("utf-8"), parse_constant=refuse)


def test_a_lone_surrogate_and_nan_are_replaced() -> None:
    """The SDK's own transport dies of the first."""
    line = write_line(JSONRPCResponse(jsonrpc="2.0", id=1, result={"text": "a\ud83db", "n": math.nan, "é": 1}))
    assert json.loads(line)["result"] == {"text": "a\ufffdb", "n": None, "é": 1}


def test_a_result_that_cannot_be_written_costs_one_error_and_not_the_server() -> None:
    """The error carries the request's id."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    error = json.loads(write_line(JSONRPCResponse(jsonrpc="2.0", id="q", result=circle)))
    assert (error["id"], error["error"]["code"]) == ("q", -32603)
    assert json.loads(write_line(JSONRPCResponse(jsonrpc="2.0", id=3, result={"x": object()})))["error"]["code"] == -32603


@pytest.mark.fault("C8")
def test_an_id_that_the_end_of_what_is_searched_cuts_is_not_answered() -> None:
    """A part of an id is that of another call."""
    begun = b'{"jsonrpc":"2.0","x":"'
    line = begun + b"a" * (MOST_SCANNED - len(begun) - 9) + b'","id":123456,"params":{nope}}'
    refusal = read_one(line)
    assert isinstance(refusal, Refusal)
    assert refusal.id is None


def lines_of(splitter: LineSplitter) -> list[bytes | Overlong]:
    """All that are complete."""
    return list(iter(splitter.next_line, None))


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line)), st.lists(st.integers(1, 50)))
def test_lines_come_out_the_same_wherever_the_chunks_are_cut(lines: list[bytes], cuts: list[int]) -> None:
    """And in order."""
    whole = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter(1_000)
    for cut in cuts:
        splitter.feed(whole[:cut])
        whole = whole[cut:]
    splitter.feed(whole)
    assert lines_of(splitter) == lines


def test_an_unfinished_line_is_held_back() -> None:
    """Until its end comes."""
    splitter = LineSplitter(10)
    splitter.feed(b"ab")
    assert splitter.next_line() is None
    splitter.feed(b"c\nd")
    assert lines_of(splitter) == [b"abc"]


@pytest.mark.parametrize("size", [1, 7, 4_096, 65_536])
def test_of_an_overlong_line_only_the_ends_are_kept_and_the_next_line_is_whole(size: int) -> None:
    """Whatever the size of the chunks."""
    body = b"HEAD" + b"x" * 100_000 + b"TAIL\nnext\n"
    splitter = LineSplitter(10_000)
    for start in range(0, len(body), size):
        splitter.feed(body[start : start + size])
        assert len(splitter._held) <= 10_000
    overlong, following = lines_of(splitter)
    assert isinstance(overlong, Overlong)
    assert overlong.size == 100_008
    assert overlong.head.startswith(b"HEADxxx")
    assert overlong.tail.endswith(b"xxxTAIL")
    assert len(overlong.head) == len(overlong.tail) == KEPT_OF_OVERLONG
    assert following == b"next"


def test_a_line_of_just_the_cap_is_taken() -> None:
    """One byte more is not."""
    splitter = LineSplitter(4)
    splitter.feed(b"abcd\nabcde\n")
    first, second = lines_of(splitter)
    assert first == b"abcd"
    assert isinstance(second, Overlong)
