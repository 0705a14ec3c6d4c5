"""Connections of the HTTP server: how many there may be, and how long each may take for what.

A connection that carries no call takes no place from one that does: it is closed when its time is over, and earlier when the
place is needed, those first that have shown no token. So idle, slow and half-open ones keep nobody out, and descriptors are
left for everything else that the process opens.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import partial
from typing import Any

import anyio
import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from groq_fallback_mcp.system import on_windows

__all__ = [
    "KNOWN",
    "Connection",
    "Connections",
    "Phase",
    "Seen",
    "accept_backlog",
    "is_overdue",
    "most_connections",
]

# In the state of each request: what to call when its token is right.
KNOWN = "groq_fallback_mcp.known"
MOST = 512
FIRST_REQUEST_S = 5.0
KEEP_ALIVE_S = 30.0
BODY_S = 60.0
BODY_PROGRESS_S = 10.0
# A large body may take longer than BODY_S at this pace, once the token was right.
LEAST_BYTES_PER_S = 64 * 1024
UNREAD_S = 30.0
SWEEP_EVERY_S = 0.5
# For the ledger, logs, files and connections to providers.
RESERVED_DESCRIPTORS = 32
LARGEST_BACKLOG = 128
_TIMED_OUT = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class Phase(Enum):
    """What a connection is busy with."""

    REQUEST = auto()
    BODY = auto()
    CALL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A connection as it is judged. Times are seconds of the event loop's clock.

    `since`: when its phase began. `moved_at`: when the last byte came. `first`: no request has come yet. `unread_since`: since
    when the client leaves an answer unread, None while it reads. `body_bytes`: how much has come of a body with the right token.
    """

    phase: Phase
    since: float
    moved_at: float
    first: bool = False
    unread_since: float | None = None
    body_bytes: int = 0


def is_overdue(seen: Seen, now: float) -> bool:
    """Whether a connection has had all the time that it gets for what it does."""
    if seen.unread_since is not None and now - seen.unread_since > UNREAD_S:
        return True
    match seen.phase:
        case Phase.REQUEST:
            return now - seen.since > (FIRST_REQUEST_S if seen.first else KEEP_ALIVE_S)
        case Phase.BODY:
            longest_s = BODY_S + seen.body_bytes / LEAST_BYTES_PER_S
            return now - seen.since > longest_s or now - seen.moved_at > BODY_PROGRESS_S
        case Phase.CALL:
            return False


def most_connections() -> int:
    """How many connections there may be with the descriptors that this process may open."""
    return max(min(MOST, (_descriptors() - RESERVED_DESCRIPTORS) // 2), 8)


def accept_backlog() -> int:
    """How many connections are accepted at a time: asyncio opens them all before the first is looked at."""
    return max(min(LARGEST_BACKLOG, _descriptors() // 8), 8)


class Connections:
    """All connections of a server, the oldest first. `most` of them are kept, half as many without a token."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._unknown: dict[Connection, None] = {}
        self._known: dict[Connection, None] = {}

    def protocol(self) -> Callable[..., Any]:
        """What uvicorn makes a connection with."""
        return partial(Connection, self)

    def __len__(self) -> int:
        return len(self._unknown) + len(self._known)

    def add(self, connection: Connection) -> None:
        """Take it in. Where there are too many one that carries no call goes; this one, where there is no other."""
        self._unknown[connection] = None
        if len(self._unknown) > self._most // 2:
            self._drop(next(iter(self._unknown)))
        elif len(self) > self._most:
            idle = (one for one in self._known if one.phase is not Phase.CALL)
            self._drop(next(idle, None) or next(iter(self._unknown)))

    def know(self, connection: Connection) -> None:
        """It has shown the token."""
        if connection in self._unknown:
            del self._unknown[connection]
            self._known[connection] = None

    def knows(self, connection: Connection) -> bool:
        """Whether it has shown the token."""
        return connection in self._known

    def discard(self, connection: Connection) -> None:
        """It is closed."""
        self._unknown.pop(connection, None)
        self._known.pop(connection, None)

    def _drop(self, connection: Connection) -> None:
        self.discard(connection)
        connection.transport.abort()

    async def sweep(self) -> None:
        """Close what is overdue, again and again, until cancelled."""
        while True:
            await anyio.sleep(SWEEP_EVERY_S)
            now = anyio.current_time()
            for connection in [one for one in (*self._unknown, *self._known) if is_overdue(one.seen(), now)]:
                connection.time_out()


class Connection(H11Protocol):
    """One connection of uvicorn's, that tells what it is busy with."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._connections = connections
        # handed to the guard with each request
        self.app_state = {**self.app_state, KNOWN: partial(connections.know, self)}
        self._since = self._moved_at = self.loop.time()
        self._phase = Phase.REQUEST
        self._unread_since: float | None = None
        self._timed_out = False
        self._body_bytes = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._moved_at = self.loop.time()
        self._body_bytes += len(data)
        super().data_received(data)

    def on_response_complete(self) -> None:
        # also of a call so short that no sweep has seen it
        self._phase, self._since, self._body_bytes = Phase.REQUEST, self.loop.time(), 0
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def seen(self) -> Seen:
        """As it is now."""
        phase = self.phase
        if phase is not self._phase:
            # noticed late by one sweep at most: in the client's favor
            self._phase, self._since = phase, self.loop.time()
        return Seen(
            phase=phase,
            since=self._since,
            moved_at=self._moved_at,
            first=self._unasked,
            unread_since=self._unread_since,
            body_bytes=self._body_bytes if self._connections.knows(self) else 0,
        )

    def time_out(self) -> None:
        """Close it: with an answer where one can still be given, at once where that has been tried."""
        if self._timed_out or self._unread_since is not None:
            self.transport.abort()
            return
        self._timed_out = True
        if self._phase is not Phase.REQUEST and not self.cycle.response_started:
            self.transport.write(_TIMED_OUT)
        self.transport.close()

    @property
    def _unasked(self) -> bool:
        return self.cycle is None  # it is until the first request

    @property
    def phase(self) -> Phase:
        """What it is busy with now."""
        if self._unasked:
            return Phase.REQUEST
        if self.conn.their_state is h11.SEND_BODY:
            return Phase.BODY
        return Phase.REQUEST if self.cycle.response_complete else Phase.CALL


def _descriptors() -> int:
    if on_windows():
        return 2 * MOST
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
