"""Connections to an upstream, over real sockets: what is written when, and which of them serve another request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import httpcore2
import httpx2
import pytest
from certificates import own_certificate

from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.providers.http import POOL, Wire
from groq_fallback_mcp.providers.network import HELD_BYTES, UNREAD_BYTES, AsyncioBackend
from groq_fallback_mcp.providers.reply import Reply

pytestmark = pytest.mark.anyio

BODY_END = b'"}'
BODY = b'{"answer": "whole"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)
REFUSAL = b"HTTP/1.1 413 Payload Too Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@dataclass(slots=True)
class Server(asyncio.Protocol):
    """One connection of a server that answers each whole request with `answers`, one after the other."""

    answers: list[bytes]
    connections: list[Server]
    pieces: list[bytes] = field(default_factory=list[bytes])
    closed: asyncio.Event = field(default_factory=asyncio.Event)
    transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.connections.append(self)

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)
        assert self.transport is not None
        head, found, body = b"".join(self.pieces).partition(b"\r\n\r\n")
        length = next(
            (int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")), 0
        )
        if found and len(body) >= length and self.answers:
            self.transport.write(self.answers.pop(0))
            self.received, self.pieces = self.pieces, []

    received: list[bytes] = field(default_factory=list[bytes])

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed.set()


@asynccontextmanager
async def serving(*answers: bytes) -> AsyncIterator[tuple[Wire, list[Server]]]:
    """A server with these answers, and what talks to it."""
    connections: list[Server] = []
    left = list(answers)
    server = await asyncio.get_running_loop().create_server(lambda: Server(left, connections), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    wire = Wire(f"http://127.0.0.1:{port}", key="gsk_test")
    try:
        yield wire, connections
    finally:
        await wire.aclose()
        server.close()
        for connection in connections:
            assert connection.transport is not None
            connection.transport.abort()
            await connection.closed.wait()


def trusting(certificate: Path) -> httpx2.AsyncHTTPTransport:
    """Wire's own transport, but for whom it believes."""
    made = httpx2.AsyncHTTPTransport(verify=ssl.create_default_context(cafile=certificate), limits=POOL, trust_env=False)
    made._pool._network_backend = AsyncioBackend()
    return made


@asynccontextmanager
async def handled(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], *, certificate: Path | None = None
) -> AsyncIterator[Wire]:
    """A server that does what it likes with a connection, encrypted where it has a certificate."""

    async def ignoring(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await handle(reader, writer)
        finally:
            writer.transport.abort()

    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await asyncio.start_server(ignoring, "127.0.0.1", 0, ssl=context)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    if certificate is None:
        wire = Wire(f"http://{place}", key="gsk_test")
    else:
        wire = Wire(f"https://{place}", key="gsk_test", transport=trusting(certificate))
    try:
        yield wire
    finally:
        await wire.aclose()
        server.close()


async def ask(wire: Wire, prompt: str = "hi") -> Reply | Failure:
    return await wire.exchange("POST", "/chat", timeout_s=5, json={"prompt": prompt})


async def expired(wire: Wire) -> None:
    """Until what the server did to the idle connection has arrived."""
    (connection,) = wire._transport._pool.connections  # type: ignore[attr-defined]
    async with asyncio.timeout(5):
        while not connection.has_expired():  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0)


async def test_head_and_body_of_a_request_are_one_write() -> None:
    async with serving(ANSWER) as (wire, connections):
        assert isinstance(await ask(wire), Reply)
        assert len(connections[0].received) == 1


async def test_the_next_request_takes_the_same_connection() -> None:
    async with serving(ANSWER, ANSWER, ANSWER) as (wire, connections):
        for _ in range(3):
            assert isinstance(await ask(wire), Reply)
        assert len(connections) == 1


async def test_a_connection_on_which_something_arrives_unasked_serves_no_other_request() -> None:
    async with serving(ANSWER, ANSWER) as (wire, connections):
        assert isinstance(await ask(wire), Reply)
        transport = connections[0].transport
        assert transport is not None
        transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await expired(wire)
        second = await ask(wire)
        assert isinstance(second, Reply)
        assert second.body == BODY
        assert len(connections) == 2


async def test_a_connection_that_the_server_has_closed_meanwhile_serves_no_other_request() -> None:
    async with serving(ANSWER, ANSWER) as (wire, connections):
        assert isinstance(await ask(wire), Reply)
        transport = connections[0].transport
        assert transport is not None
        transport.close()
        await expired(wire)
        assert isinstance(await ask(wire), Reply)
        assert len(connections) == 2


@pytest.mark.parametrize("size", [1, HELD_BYTES - 1, HELD_BYTES, 3 * HELD_BYTES + 1, 4_000_000])
async def test_a_body_of_any_size_arrives_whole(size: int) -> None:
    prompt = "x" * size
    async with serving(ANSWER) as (wire, connections):
        assert isinstance(await ask(wire, prompt), Reply)
        assert b"".join(connections[0].received).endswith(b'{"prompt":"%s"}' % prompt.encode())


async def test_an_answer_larger_than_what_is_kept_unread_arrives_whole() -> None:
    large = b'"' + b"y" * (8 * UNREAD_BYTES) + b'"'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(large)
    async with serving(head + large) as (wire, _):
        reply = await ask(wire)
        assert isinstance(reply, Reply)
        assert reply.body == large


async def test_a_refusal_in_the_middle_of_an_upload_is_read() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1_000)
        writer.write(REFUSAL)
        await writer.drain()
        writer.write_eof()
        with contextlib.suppress(asyncio.CancelledError):
            await reader.read()

    async with handled(refuse) as wire:
        reply = await ask(wire, "z" * 30_000_000)
        assert isinstance(reply, Reply)
        assert reply.status == 413


@pytest.mark.parametrize("is_encrypted", [False, True])
@pytest.mark.parametrize("ends", ["closes its half", "keeps it open"])
async def test_a_refusal_is_read_where_nothing_more_of_the_upload_is_taken(
    tmp_path: Path, ends: str, is_encrypted: bool
) -> None:
    """The rest of the request would otherwise be waited for until the deadline."""
    asked_for_end = asyncio.Event()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1_000)
        reader._transport.pause_reading()  # type: ignore[attr-defined] # what is not read fills all buffers
        writer.write(REFUSAL)
        await writer.drain()
        if ends == "closes its half" and writer.can_write_eof():
            writer.write_eof()
        await asked_for_end.wait()

    async with handled(refuse, certificate=own_certificate(tmp_path) if is_encrypted else None) as wire:
        reply = await wire.exchange("POST", "/chat", timeout_s=10, json={"prompt": "z" * 30_000_000})
        asked_for_end.set()
        assert isinstance(reply, Reply), reply
        assert reply.status == 413


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_a_large_request_in_one_piece_that_is_not_taken_is_too_large(tmp_path: Path, is_encrypted: bool) -> None:
    """Encrypted, all of it counted as sent at once."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(200_000)
        writer.transport.abort()

    async with handled(close, certificate=own_certificate(tmp_path) if is_encrypted else None) as wire:
        failure = await wire.exchange("POST", "/chat", timeout_s=10, json={"prompt": "z" * 20_000_000})
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.PAYLOAD_TOO_LARGE


@pytest.mark.parametrize("after", [b"", b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"])
async def test_a_connection_that_was_closed_while_this_process_was_busy_serves_no_other_request(after: bytes) -> None:
    """The event loop had no turn in which it could have noticed."""
    listener = socket.create_server(("127.0.0.1", 0))
    answered = threading.Event()

    def serve(*, and_ends: bool) -> None:
        connection, _ = listener.accept()
        with connection:
            while BODY_END not in connection.recv(65_536):
                pass
            connection.sendall(ANSWER)
            answered.wait() if and_ends else None
            connection.sendall(after)

    with contextlib.closing(listener):
        server = threading.Thread(target=serve, kwargs={"and_ends": True})
        server.start()
        wire = Wire(f"http://127.0.0.1:{listener.getsockname()[1]}", key="gsk_test")
        assert isinstance(await ask(wire), Reply)
        answered.set()
        server.join()
        other = threading.Thread(target=serve, kwargs={"and_ends": False})
        other.start()
        reply = await ask(wire)
        await wire.aclose()
        other.join()
    assert isinstance(reply, Reply)
    assert reply.body == BODY


@pytest.mark.parametrize("host", ["api..groq.com", "a" * 64 + ".example", ".local"])
async def test_what_is_no_name_of_a_host_is_unreachable(host: str) -> None:
    """And never sent."""
    wire = Wire(f"http://{host}/openai/v1", key="gsk_test")
    failure = await ask(wire)
    await wire.aclose()
    assert isinstance(failure, Failure)
    assert (failure.kind, failure.sent) == (FailureKind.UNREACHABLE, False)
    assert "cannot be resolved" in failure.message


async def test_a_reset_in_the_middle_of_an_upload_is_an_upload_that_is_too_large() -> None:
    """Its last piece is small, and was not taken either."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1_000)
        writer.transport.abort()

    async with handled(reset) as wire:
        sound = ("a.wav", BytesIO(b"s" * 960_044), "audio/wav")
        reply = await wire.exchange("POST", "/audio", timeout_s=5, data={"model": "m"}, files={"file": sound})
        assert isinstance(reply, Reply | Failure)
        assert reply.status == 413 if isinstance(reply, Reply) else reply.kind is FailureKind.PAYLOAD_TOO_LARGE


async def test_a_reset_in_the_middle_of_an_answer_is_a_lost_connection() -> None:
    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER[:-5])
        await writer.drain()
        writer.transport.abort()

    async with handled(reset) as wire:
        failure = await ask(wire)
        assert isinstance(failure, Failure)
        assert failure.kind is FailureKind.CONNECTION_LOST


async def test_a_cancelled_call_closes_its_connection() -> None:
    asked, closed = asyncio.Event(), asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del writer
        await reader.readuntil(b"\r\n\r\n")
        asked.set()
        with contextlib.suppress(OSError):
            await reader.read()
        closed.set()

    async with handled(wait) as wire:
        call = asyncio.create_task(ask(wire))
        await asked.wait()
        call.cancel()
        await asyncio.wait_for(closed.wait(), 5)


async def test_what_a_proxy_sends_in_clear_is_never_read_as_encrypted() -> None:
    """Whoever sits on the way could otherwise put an answer before the provider's own."""
    ended = asyncio.Event()

    async def greets(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await ended.wait()
        writer.close()

    async with await asyncio.start_server(greets, "127.0.0.1", 0) as server:
        stream = await AsyncioBackend().connect_tcp(*server.sockets[0].getsockname())
        assert await stream.read(1) == b"H"
        with pytest.raises(httpcore2.ConnectError, match="before the TLS handshake"):
            await stream.start_tls(ssl.create_default_context(), "provider.example", timeout=5)
        ended.set()


async def test_a_port_that_nobody_listens_on_is_unreachable() -> None:
    wire = Wire("http://127.0.0.1:9", key="gsk_test")
    failure = await ask(wire)
    assert isinstance(failure, Failure)
    assert failure.kind is FailureKind.UNREACHABLE
    await wire.aclose()


async def test_every_provider_talks_over_this_network() -> None:
    """Its transport has no argument for it, so that another name inside the library would undo it unseen."""
    for proxy in (None, "http://127.0.0.1:1"):
        wire = Wire("http://127.0.0.1:9", key="gsk_test", proxy=proxy)
        assert isinstance(wire._transport._pool._network_backend, AsyncioBackend)  # type: ignore[attr-defined]
