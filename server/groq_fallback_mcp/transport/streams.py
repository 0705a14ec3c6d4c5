"""The two streams that the SDK's server runs on, guarded: each request gets exactly one reply, and there are not too many."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

import anyio
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import INVALID_REQUEST, JSONRPCError, JSONRPCMessage, JSONRPCRequest, JSONRPCResponse, RequestId

from groq_fallback_mcp.transport.descriptors import Output, Source
from groq_fallback_mcp.transport.jsonrpc import LineSplitter, Overlong, Refusal, read_line, refuse_overlong, write_line

__all__ = ["IN_FLIGHT", "Incoming", "Outgoing", "Requests"]

IN_FLIGHT = 2_048
# of the range that JSON-RPC leaves to implementations
BUSY = -32_010


class Requests:
    """The ids of requests that have no reply yet."""

    def __init__(self, most: int = IN_FLIGHT) -> None:
        self._most = most
        self._open: set[RequestId] = set()

    def refusal(self, number: RequestId) -> Refusal | None:
        """Why a request with this id cannot be taken now; None, and it is taken."""
        if number in self._open:
            message = f"a request with the id {number!r} is still being handled; give each request an id of its own"
            return Refusal(code=INVALID_REQUEST, message=message, id=number)
        if len(self._open) >= self._most:
            message = f"busy: {self._most} requests wait for their replies; send this one again when some have come"
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
