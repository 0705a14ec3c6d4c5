"""The guarded streams over real pipes: one reply for each request, bounded on both sides."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
from mcp.shared.message import SessionMessage
from mcp_types import ErrorData, JSONRPCError, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse

from groq_fallback_mcp.transport.descriptors import Output, Sink, Source
from groq_fallback_mcp.transport.stdio import Incoming, Outgoing, Requests

pytestmark = pytest.mark.anyio


@dataclass
class Rig:
    """Both streams, and the client's ends of the pipes."""

    to_server: int
    from_server: int
    output: Output
    incoming: Incoming
    outgoing: Outgoing
    sink: Sink
    ended: list[bool] = field(default_factory=list)

    def send(self, **message: Any) -> None:
        """A line of the client."""
        os.write(self.to_server, json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def replies(self) -> list[dict[str, Any]]:
        """All lines that have come."""
        os.set_blocking(self.from_server, False)
        text = b""
        while True:
            try:
                chunk = os.read(self.from_server, 65_536)
            except BlockingIOError:
                chunk = b""
            if not chunk:
                return [json.loads(line) for line in text.splitlines()]
            text += chunk


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Two requests at most, 200,000 bytes of output held, lines of 300 bytes."""
    theirs_in, to_server = os.pipe()
    from_server, theirs_out = os.pipe()
    sink = Sink(theirs_out)
    output = Output(sink, held_bytes=200_000)
    requests = Requests(most=2)
    ended: list[bool] = []
    incoming = Incoming(Source(theirs_in), output, requests, line_bytes=300, on_end=lambda: ended.append(True))
    yield Rig(to_server, from_server, output, incoming, Outgoing(output, requests), sink, ended)
    for descriptor in (theirs_in, to_server, from_server, theirs_out):
        with contextlib.suppress(OSError):
            os.close(descriptor)


async def answer(rig: Rig, number: int | str) -> None:
    """A result goes out."""
    await rig.outgoing.send(SessionMessage(JSONRPCResponse(jsonrpc="2.0", id=number, result={"ok": True})))


async def test_what_is_no_message_is_answered_and_the_next_message_comes_through(rig: Rig) -> None:
    """The server above sees only the good one."""
    os.write(rig.to_server, b"{\n\n[]\n" + b"x" * 400 + b"\n")
    rig.send(id=1, method="ping")
    received = await rig.incoming.receive()
    assert isinstance(received.message, JSONRPCRequest)
    assert [reply["error"]["code"] for reply in rig.replies()] == [-32700, -32600, -32600]


async def test_one_id_twice_in_flight_gets_one_result_and_one_refusal(rig: Rig) -> None:
    """After the result it may be used again."""
    rig.send(id=7, method="a")
    rig.send(id=7, method="b")
    rig.send(method="end")
    first = await rig.incoming.receive()
    assert isinstance(first.message, JSONRPCRequest)
    assert isinstance((await rig.incoming.receive()).message, JSONRPCNotification)
    await answer(rig, 7)
    refusal, result = rig.replies()
    assert (refusal["id"], refusal["error"]["code"], result["id"], result["result"]) == (7, -32600, 7, {"ok": True})
    rig.send(id=7, method="c")
    assert isinstance((await rig.incoming.receive()).message, JSONRPCRequest)


@pytest.mark.parametrize("number", [7, "7"])
async def test_a_number_and_the_same_digits_are_two_ids(rig: Rig, number: int | str) -> None:
    """As JSON-RPC has it."""
    rig.send(id=7, method="a")
    rig.send(id="7", method="b")
    assert {type((await rig.incoming.receive()).message) for _ in range(2)} == {JSONRPCRequest}
    await answer(rig, number)
    rig.send(id=number, method="again")
    assert isinstance((await rig.incoming.receive()).message, JSONRPCRequest)


async def test_more_requests_than_are_taken_at_once_are_told_busy_until_a_reply_has_gone(rig: Rig) -> None:
    """None is dropped; an error reply frees a place as well."""
    for number in (1, 2, 3):
        rig.send(id=number, method="a")
    rig.send(method="end")
    for _ in range(3):
        await rig.incoming.receive()
    (busy,) = rig.replies()
    assert (busy["id"], "busy: 2 requests" in busy["error"]["message"]) == (3, True)
    await rig.outgoing.send(SessionMessage(JSONRPCError(jsonrpc="2.0", id=1, error=ErrorData(code=1, message="x"))))
    rig.send(id=3, method="a")
    assert isinstance((await rig.incoming.receive()).message, JSONRPCRequest)


async def test_a_cancelled_request_gets_no_reply_and_its_id_is_free_again(rig: Rig) -> None:
    """The SDK tells so through the message's metadata."""
    rig.send(id=1, method="a")
    received = await rig.incoming.receive()
    assert received.metadata is not None
    await received.metadata.on_request_unanswered()  # type: ignore[union-attr, misc]
    rig.send(id=1, method="a")
    assert isinstance((await rig.incoming.receive()).message, JSONRPCRequest)
    assert rig.replies() == []


async def test_the_end_of_the_client_ends_the_stream(rig: Rig) -> None:
    """And is told once."""
    os.close(rig.to_server)
    assert [item async for item in rig.incoming] == []
    assert rig.ended == [True]


async def test_output_that_nobody_reads_is_held_up_to_a_bound_then_nothing_is_read_and_all_is_delivered(rig: Rig) -> None:
    """In order, once the client reads."""
    padding = "x" * 1_000
    sent = 0

    async def produce() -> None:
        nonlocal sent
        for number in range(600):
            message = JSONRPCNotification(jsonrpc="2.0", method="n", params={"number": number, "padding": padding})
            await rig.outgoing.send(SessionMessage(message))
            sent += 1

    async def read() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(rig.incoming.receive)
            rig.send(id=1, method="late")

    async with anyio.create_task_group() as group:
        group.start_soon(rig.output.run)
        group.start_soon(produce)
        await anyio.wait_all_tasks_blocked()
        assert 200 < sent < 320  # what the pipe takes and what is held
        taken = anyio.Event()

        async def take() -> None:
            await rig.incoming.receive()
            taken.set()

        rig.send(id=1, method="late")
        group.start_soon(take)
        await anyio.wait_all_tasks_blocked()
        assert not taken.is_set()
        replies = []
        while len(replies) < 600:
            replies += rig.replies()
            await anyio.wait_all_tasks_blocked()
        await rig.output.flush()
        assert taken.is_set()
        group.cancel_scope.cancel()
    assert [reply["params"]["number"] for reply in replies] == list(range(600))


async def test_a_client_that_no_longer_reads_is_noticed_without_writing(rig: Rig) -> None:
    """By the descriptor itself."""
    async with anyio.create_task_group() as group:
        group.start_soon(rig.sink.wait_closed)
        await anyio.wait_all_tasks_blocked()
        os.close(rig.from_server)


async def test_writing_to_a_client_that_has_gone_ends_the_writer_and_blocks_nobody(rig: Rig) -> None:
    """Later output is dropped."""
    os.close(rig.from_server)
    await answer(rig, 1)
    with pytest.raises(BrokenPipeError):
        await rig.output.run()
    await answer(rig, 2)
    await rig.output.flush()


async def test_a_regular_file_can_be_read_and_written_though_the_kernel_does_not_poll_it(tmp_path: Any) -> None:
    """`groq-fallback-mcp < requests > replies`."""
    (tmp_path / "in").write_bytes(b"hello")
    with (tmp_path / "in").open("rb") as reading, (tmp_path / "out").open("wb") as writing:
        source, sink = Source(reading.fileno()), Sink(writing.fileno())
        assert await source.read() == b"hello"
        assert await source.read() == b""
        assert await sink.write(memoryview(b"there")) == 5
    assert (tmp_path / "out").read_bytes() == b"there"
