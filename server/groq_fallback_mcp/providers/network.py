"""The network under the HTTP library, for asyncio alone: a request is one write, and a connection knows whether it is still usable.

The library's own layer, which serves other event loops too, writes a request's head and body apart. Here a small request is held
until its answer is read, which saves a tenth of a call's CPU. A large one goes out in pieces, so that an answer that comes before its
end is read, and it is known how much was taken. A connection on which something arrived unasked is not used again.
"""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
import sys
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any

import httpcore2
from httpcore2 import SOCKET_OPTION

__all__ = ["AsyncioBackend"]

# More is sent at once, and waited for: of a large body nothing is kept twice.
HELD_BYTES = 64 * 1024
# What arrives faster than it is read is left to the operating system.
UNREAD_BYTES = 256 * 1024
# How an answer begins after which the final one is to come.
STATUS = b"HTTP/1.1 1"
# The second address of a host is tried beside a first one that does not answer (RFC 8305).
NEXT_ADDRESS_S = 0.25


class AsyncioBackend(httpcore2.AsyncNetworkBackend):
    """Connections over TCP."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's interface
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises httpcore2's ConnectTimeout and ConnectError."""
        local = None if local_address is None else (local_address, 0)
        loop = asyncio.get_running_loop()
        with _told(httpcore2.ConnectTimeout, httpcore2.ConnectError):
            async with asyncio.timeout(timeout):
                try:
                    _, connection = await loop.create_connection(
                        _Connection, host, port, local_addr=local, happy_eyeballs_delay=NEXT_ADDRESS_S
                    )
                except UnicodeError as error:
                    # no name of a host: an empty label, or one of more than 63 letters
                    raise socket.gaierror(socket.EAI_NONAME, f"getaddrinfo: {error}") from error
        sock = connection.transport.get_extra_info("socket")
        for option in socket_options or ():
            sock.setsockopt(*option)
        return _Stream(connection)

    async def sleep(self, seconds: float) -> None:
        """Between two tries to connect."""
        await asyncio.sleep(seconds)


class _Connection(asyncio.Protocol):
    """What has arrived and was not read yet, whether more can, and whether more may be written."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self.arrived = bytearray()
        self.ended = False
        self.lost = False
        self.error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._paused = False
        self._full = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of TCP
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.arrived += data
        if len(self.arrived) > UNREAD_BYTES and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        _wake(self._reader)
        _wake(self._writer)

    def eof_received(self) -> bool:
        self.ended = True
        _wake(self._reader)
        _wake(self._writer)
        # nothing more is to come, and a server of HTTP that ends so takes nothing more
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = self.lost = True
        self.error = exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        _wake(self._writer)

    async def read(self, most: int) -> bytes:
        """What has arrived, as soon as something has; empty at the end. Raises OSError."""
        while not self.arrived and not self.ended:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        if not self.arrived and self.error is not None:
            raise self.error
        found = bytes(self.arrived[:most])
        del self.arrived[:most]
        if self._paused and len(self.arrived) <= UNREAD_BYTES // 2 and not self.ended:
            self._paused = False
            self.transport.resume_reading()
        return found

    async def drain(self) -> None:
        """Until more may be written, and others had their turn. Raises OSError where the other side takes no more."""
        await asyncio.sleep(0)
        while self._full and not self.transport.is_closing():
            if self._is_answered():
                raise ConnectionResetError("the answer came before the whole request was taken")
            self._writer = asyncio.get_running_loop().create_future()
            await self._writer
        if self.transport.is_closing():
            raise self.error or ConnectionResetError("the connection was closed")

    async def encrypt(self, context: ssl.SSLContext, host: str | None) -> None:
        """Shake hands; from then on all is encrypted. Raises OSError."""
        if self.arrived or self.ended:
            # it would be read as if it had been encrypted
            raise ConnectionResetError("the proxy sent data, or closed, before the TLS handshake")
        loop = asyncio.get_running_loop()
        transport = await loop.start_tls(self.transport, self, context, server_hostname=host)
        if transport is None:
            raise ConnectionResetError("the connection was closed during the TLS handshake")
        transport.set_write_buffer_limits(HELD_BYTES)
        self.transport = transport

    def is_readable(self) -> bool:
        """Whether something came that nobody asked for, or the end: also what the event loop had no time to read yet."""
        if self.arrived or self.ended or self.transport.is_closing():
            return True
        descriptor: int = self.transport.get_extra_info("socket").fileno()
        if sys.platform == "win32":
            return bool(select.select([descriptor], [], [], 0)[0])
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return bool(waiting.poll(0))

    def _is_answered(self) -> bool:
        """Whether the final answer has begun; one of 1xx tells to go on."""
        return len(self.arrived) > len(STATUS) and not self.arrived.startswith(STATUS)


class _Stream(httpcore2.AsyncNetworkStream):
    """What the library reads and writes."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._held: list[bytes] = []
        self._held_bytes = 0
        # a large request is on its way: what comes of its pieces tells whether the other side still takes them
        self._sending = False

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - the library's interface
        """Send what is held, and read. Raises httpcore2's ReadTimeout and ReadError."""
        self._send()
        self._sending = False
        with _told(httpcore2.ReadTimeout, httpcore2.ReadError):
            async with asyncio.timeout(timeout):
                return await self._connection.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the same
        """Hold a request while it is small, send a large one piece by piece. Raises httpcore2's WriteTimeout and WriteError."""
        if not buffer:
            return
        self._held.append(buffer)
        self._held_bytes += len(buffer)
        if self._held_bytes < HELD_BYTES and not self._sending:
            return
        self._sending = True
        whole = memoryview(self._taken())
        with _told(httpcore2.WriteTimeout, httpcore2.WriteError):
            async with asyncio.timeout(timeout):
                # encrypted, a large piece would be taken at once and kept a second time
                for start in range(0, len(whole), HELD_BYTES):
                    self._connection.transport.write(whole[start : start + HELD_BYTES])
                    await self._connection.drain()

    async def aclose(self) -> None:
        """At once: what was not sent by now is of no use to anybody."""
        if not self._connection.lost:
            self._connection.transport.abort()
            # the socket is closed in the loop's next turn, which may be the last one
            await asyncio.sleep(0)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the same
    ) -> httpcore2.AsyncNetworkStream:
        """The same connection, encrypted from here on. Raises httpcore2's ConnectTimeout and ConnectError."""
        self._send()
        try:
            with _told(httpcore2.ConnectTimeout, httpcore2.ConnectError):
                async with asyncio.timeout(timeout):
                    await self._connection.encrypt(ssl_context, server_hostname)
        except BaseException:
            await self.aclose()
            raise
        return self

    def get_extra_info(self, info: str) -> Any:
        """`is_readable`: something came that nobody asked for, or the end. Else what asyncio's transport knows."""
        if info == "is_readable":
            return self._connection.is_readable()
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return self._connection.transport.get_extra_info(names.get(info, info))

    def _send(self) -> None:
        if self._held:
            self._connection.transport.write(self._taken())

    def _taken(self) -> bytes:
        """What is held, which then is no longer."""
        held, self._held, self._held_bytes = self._held, [], 0
        return held[0] if len(held) == 1 else b"".join(held)


@contextmanager
def _told(late: type[Exception], failed: type[Exception]) -> Generator[None]:
    """What the operating system says, as the library's exceptions."""
    try:
        yield
    except TimeoutError as error:
        raise late(str(error)) from error
    except OSError as error:
        raise failed(str(error)) from error


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)
