"""Runs the SDK's server on guarded streams until a signal, the client's end or a closed stdout ends it.

Each request gets exactly one reply, and there are not too many under way.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio
from mcp.server import Server
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import INVALID_REQUEST, JSONRPCError, JSONRPCMessage, JSONRPCRequest, JSONRPCResponse, RequestId

from groq_fallback_mcp.transport.descriptors import Output, Sink, Source, standard_descriptors
from groq_fallback_mcp.transport.jsonrpc import LineSplitter, Overlong, Refusal, read_line, refuse_overlong, write_line

__all__ = ["IN_FLIGHT", "LINE_BYTES", "Incoming", "Outgoing", "Requests", "serve_stdio"]

LINE_BYTES = 16 * 1024 * 1024
FLUSH_S = 0.5
GRACE_S = 1.5
IN_FLIGHT = 2_048
# of the range that JSON-RPC leaves to implementations
BUSY = -32_010


async def serve_stdio(server: Server[Any], *, line_bytes: int = LINE_BYTES, ending: Ending | None = None) -> int:
    """Serve until the client closes our stdin or no longer reads our stdout, or a signal comes; the exit status.

    `ending` then ends the process even if something refuses to.
    """
    ending = ending or Ending()
    with standard_descriptors() as (stdin, stdout):
        sink = Sink(stdout)
        output = Output(sink)
        requests = Requests()
        incoming = Incoming(Source(stdin), output, requests, line_bytes=line_bytes, on_end=lambda: ending.begin(0))
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as serving:
                group.start_soon(_end_on_signal, ending, serving)
                group.start_soon(_write, output, ending, serving)
                group.start_soon(_watch, sink, ending, serving)
                await server.run(incoming, Outgoing(output, requests), server.create_initialization_options())
            with anyio.move_on_after(FLUSH_S):
                await output.flush()
            group.cancel_scope.cancel()
    return ending.status or 0


async def _write(output: Output, ending: Ending, serving: anyio.CancelScope) -> None:
    try:
        await output.run()
    except BrokenPipeError:
        ending.begin(0)
        serving.cancel()


async def _watch(sink: Sink, ending: Ending, serving: anyio.CancelScope) -> None:
    await sink.wait_closed()
    ending.begin(0)
    serving.cancel()


class Ending:
    """Begun once, it gives what is open a moment to close, and then ends the process whatever still runs.

    A thread deep in C code, or a worker that the interpreter would wait for at exit, must not keep an orphan alive.
    `leave` ends the process with a status; tests hand in another.
    """

    def __init__(self, leave: Callable[[int], None] = os._exit, *, grace_s: float = GRACE_S) -> None:
        self._leave = leave
        self._grace_s = grace_s
        self.status: int | None = None

    def begin(self, status: int) -> None:
        """The process ends within `grace_s` seconds, with `status` unless an earlier beginning gave one."""
        if self.status is not None:
            return
        self.status = status
        timer = threading.Timer(self._grace_s, self._leave, args=(status,))
        timer.daemon = True
        timer.start()

    def at_once(self) -> None:
        """Without the moment."""
        self._leave(self.status or 0)


async def _end_on_signal(ending: Ending, scope: anyio.CancelScope) -> None:
    """Cancel `scope` on SIGINT, SIGTERM or SIGHUP. A second one ends the process at once."""
    wanted = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    try:
        with anyio.open_signal_receiver(*wanted) as signals:
            async for number in signals:
                if ending.status is not None:
                    ending.at_once()
                ending.begin(128 + number)
                scope.cancel()
    except NotImplementedError:
        # Windows' loop takes no handlers: Ctrl+C cancels the main task, and `end_in_order` ends the process for the others
        return


class Requests:
    """The ids of requests that have no reply yet."""

    def __init__(self, most: int = IN_FLIGHT) -> None:
        self._most = most
        self._open: set[RequestId] = set()

    def refusal(self, number: RequestId) -> Refusal | None:
        """Why a request with this id cannot be taken now; None, and it is taken."""
        if number in self._open:
            message = f"a request with the id {number!r} is still in progress; use a unique id for each request"
            return Refusal(code=INVALID_REQUEST, message=message, id=number)
        if len(self._open) >= self._most:
            message = f"busy: {self._most} requests are waiting for replies; retry when some have completed"
            return Refusal(code=BUSY, message=message, id=number)
        self._open.add(number)
        return None

    def done(self, number: RequestId | None) -> None:
        """The reply was written, or the request was cancelled and gets none."""
        if number is not None:
            self._open.discard(number)


class _Stream:
    """What both streams of the SDK's protocol have in common."""

    async def aclose(self) -> None:
        """Nothing to close: the descriptors belong to the process."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        del exc_type, exc_val, exc_tb
        await self.aclose()


class Incoming(_Stream):
    """Messages from the client. What is none is answered here and goes no further. `on_end` hears of the client's end."""

    def __init__(
        self, source: Source, output: Output, requests: Requests, *, line_bytes: int, on_end: Callable[[], None]
    ) -> None:
        self._source = source
        self._output = output
        self._requests = requests
        self._line_bytes = line_bytes
        self._lines = LineSplitter(line_bytes)
        self._messages: deque[JSONRPCMessage | Refusal] = deque()
        self._on_end = on_end

    async def receive(self) -> SessionMessage:
        """The next message. Raises EndOfStream when the client has closed its side."""
        while True:
            if self._messages:
                if (message := await self._accepted(self._messages.popleft())) is not None:
                    return message
                continue
            line = self._lines.next_line()
            if line is None:
                await self._output.wait_for_room()
                chunk = await self._source.read()
                if not chunk:
                    self._on_end()
                    raise anyio.EndOfStream
                self._lines.feed(chunk)
            elif isinstance(line, Overlong):
                self._messages.append(refuse_overlong(line, self._line_bytes))
            else:
                self._messages.extend(read_line(line))

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def _accepted(self, message: JSONRPCMessage | Refusal) -> SessionMessage | None:
        if isinstance(message, JSONRPCRequest):
            refusal = self._requests.refusal(message.id)
            if refusal is None:
                # a cancelled request gets no reply, yet its id must be free again
                metadata = ServerMessageMetadata(on_request_unanswered=partial(self._unanswered, message.id))
                return SessionMessage(message, metadata)
            message = refusal
        if isinstance(message, Refusal):
            await self._output.send(write_line(message.as_message()))
            return None
        return SessionMessage(message)

    async def _unanswered(self, number: RequestId) -> None:
        self._requests.done(number)


class Outgoing(_Stream):
    """Messages to the client."""

    def __init__(self, output: Output, requests: Requests) -> None:
        self._output = output
        self._requests = requests

    async def send(self, item: SessionMessage, /) -> None:
        """Write it, or wait while the client leaves too much unread."""
        message = item.message
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._requests.done(message.id)
        await self._output.send(write_line(message))
