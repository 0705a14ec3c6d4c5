"""The web server, and the guard before what it serves: who may ask, by which name, how much, and how many at once.

Plain ASGI, without a word about MCP or the gateway. Hosts and origins are parsed and compared
exactly: http://localhost:80.evil.example begins with http://localhost:80.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import uvicorn

from groq_fallback_mcp.gateway_tokens import CALLER
from groq_fallback_mcp.transport.http_connections import (
    BODY_PROGRESS_S,
    BODY_S,
    KEEP_ALIVE_S,
    KNOWN,
    Connections,
    accept_backlog,
    most_connections,
)

__all__ = [
    "HEALTH",
    "METRICS",
    "PATH",
    "Guard",
    "Identify",
    "Rules",
    "is_own_host",
    "is_own_origin",
    "listen",
    "one_token",
    "serve_http",
    "with_page",
]

PATH = "/mcp"
METRICS = "/metrics"
SHUTDOWN_S = 1
HEADER_BYTES = 32 * 1024
Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
# Whose a token is, None where it is nobody's.
Identify = Callable[[bytes], object | None]

HEALTH = "/healthz"
# As many calls as are under way at Groq at a time, and as many again that wait for their turn.
MOST_AT_ONCE = 128
BODY_BYTES = 16 * 1024 * 1024
# Of all bodies that are still coming, together.
MOST_ARRIVING_BYTES = 64 * 1024 * 1024
_NO_FAULTS = ("ASGI callable returned without completing response", "Cancel %s running task")
_CLOSE = (b"connection", b"close")
LARGEST_PORT = 65_535
_PLACE = re.compile(r"(?P<host>\[[0-9a-f:.]{2,45}\]|[a-z0-9](?:[a-z0-9._-]{0,252}[a-z0-9])?)(?::(?P<port>[0-9]{1,5}|\*))?")
_ORIGIN = re.compile(r"(?P<scheme>https?)://(?P<place>[^/]*)")
_USUAL_PORTS = {"http": 80, "https": 443}


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises OSError where the port is taken or the address is not of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=accept_backlog())
    # asyncio turns Nagle's algorithm off only where a socket states its protocol; with it each body waits 40 ms behind its head
    return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())


async def serve_http(app: App, *, listener: socket.socket, keeps_signals: bool = True) -> None:
    """Serve an application until a signal ends it; calls under way have a second then.

    Without `keeps_signals` the process has other work, and cancelling ends this one.
    """
    connections = Connections(most_connections())
    protocol: Any = connections.protocol()
    config = uvicorn.Config(
        app,
        http=protocol,
        backlog=accept_backlog(),
        lifespan="auto",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
        # ours counts until the next request has come, uvicorn's until its first byte
        timeout_keep_alive=int(2 * KEEP_ALIVE_S),
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_a_fault)
    # no task group: it would wrap the interrupt that ends the server
    sweeping = asyncio.create_task(connections.sweep())
    try:
        await (uvicorn.Server if keeps_signals else _Beside)(config).serve(sockets=[listener])
    finally:
        sweeping.cancel()
        listener.close()


def with_page(app: App, page: App, *, at: Callable[[str], bool]) -> App:
    """Both on one port: the page has the paths of which `at` is true, the application all else and the life of the server."""

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        chosen = page if scope["type"] == "http" and at(scope["path"]) else app
        await chosen(scope, receive, send)

    return either


def _is_a_fault(record: logging.LogRecord) -> bool:
    """Not where a response was left unfinished or the server ends: an answer that broke off must not look whole."""
    cause = record.exc_info[1] if record.exc_info else None
    return not (isinstance(cause, asyncio.CancelledError) or str(record.msg).startswith(_NO_FAULTS))


class _Beside(uvicorn.Server):
    """A server beside others: the signals are theirs."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def _plain_error(path: str, status: int, cause: str, next_step: str) -> Mapping[str, Any]:
    del path, status
    return {"error": cause, "next_step": next_step}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What differs from application to application."""

    error: Callable[[str, int, str, str], Mapping[str, Any]] = _plain_error
    """The body of a refusal: of the path, the status, the cause and the next step."""
    reads_itself: Callable[[str], bool] = lambda _: False
    """Whether what is sent to a path is read by the application, piece by piece."""
    place_name: Callable[[object], str | None] = lambda _: None
    """Under which name a caller's requests are counted that are under way; None where callers are not told apart."""
    admits: Callable[[Scope], bool] = lambda _: False
    """Whether a request without a token has something else that the application knows, as a browser's session."""
    is_public: Callable[[Scope], bool] = lambda _: False
    """Whether a request needs no token, as the application shows nothing of its own for it."""


def one_token(token: str) -> Identify:
    """Knows one token, compared in constant time: how long it takes tells nothing about it."""
    known = token.encode()
    return lambda given: hmac.compare_digest(given, known) or None


class Guard:
    """Lets a request through to `app` with a bearer token that `identify` knows, while fewer than `most` are under way.

    Whose it is is kept under CALLER in the scope's state. `identify` None: nobody is asked for one. `hosts` are the names that it may be asked by, None for any: others are refused with
    421, and pages of other origins with 403. Only a request that has come to its end, or whose body the application reads itself,
    takes a place: a body of more than `body_bytes` is refused with 413, one that stops coming with 408. The address HEALTH says that the process is alive,
    and nothing else, to anybody.
    """

    def __init__(
        self,
        app: App,
        *,
        identify: Identify | None,
        most: int = MOST_AT_ONCE,
        hosts: Sequence[str] | None = None,
        body_bytes: int = BODY_BYTES,
        rules: Rules | None = None,
    ) -> None:
        self._rules = rules or Rules()
        self._app = app
        self._identify = identify
        self._most = most
        self._hosts = hosts
        self._body_bytes = body_bytes
        self._under_way = 0
        self._places: Counter[str] = Counter()
        self._arriving_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] == HEALTH:
            await _answer(send, 200, {"status": "ok"})
            return
        if self._identified(scope):
            if (know := scope.get("state", {}).get(KNOWN)) is not None:
                know()
        elif not self._rules.is_public(scope):
            cause = "missing or invalid bearer token"
            next_step = "send Authorization: Bearer TOKEN with the value of GROQ_FALLBACK_HTTP_TOKEN on the server"
            await self._refuse(scope, send, 401, cause, next_step, (b"www-authenticate", b"Bearer"))
            return
        if (refusal := self._misdirected(scope)) is not None:
            status, header = refusal
            cause = f"the header {header} does not match this server"
            await self._refuse(scope, send, status, cause, "add its host to GROQ_FALLBACK_HTTP_HOSTS on the server")
            return
        if self._rules.reads_itself(scope["path"]):
            await self._served(None, scope, receive, send)
            return
        body = await self._whole_body(scope, receive, send)
        if body is not None:
            await self._served(body, scope, receive, send)

    async def _refuse(
        self, scope: Scope, send: Send, status: int, cause: str, next_step: str, *headers: tuple[bytes, bytes]
    ) -> None:
        await _answer(send, status, self._rules.error(scope["path"], status, cause, next_step), *headers)

    async def _served(self, body: bytes | None, scope: Scope, receive: Receive, send: Send) -> None:
        if self._under_way >= self._most:
            cause = f"{self._most} requests are in progress"
            await self._refuse(scope, send, 503, cause, "retry in a second", (b"retry-after", b"1"))
            return
        found = scope.get("state", {}).get(CALLER)
        name = None if found is None else self._rules.place_name(found)
        # each caller may have as many places as are free, so however many come of one, others find some
        if name is not None and self._places[name] >= self._most - self._under_way:
            cause = f"{self._places[name]} requests of this token are in progress"
            await self._refuse(scope, send, 429, cause, "retry in a second", (b"retry-after", b"1"))
            return
        rest: list[Message] = [] if body is None else [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return rest.pop() if rest else await receive()

        self._under_way += 1
        if name is not None:
            self._places[name] += 1
        try:
            await self._app(scope, replay, send)
        finally:
            self._under_way -= 1
            if name is not None:
                self._places[name] -= 1
                # without the names of those that have none under way
                self._places += Counter()

    async def _whole_body(self, scope: Scope, receive: Receive, send: Send) -> bytes | None:
        """The request's body; None where the client has gone, or was refused."""
        held = bytearray()
        try:
            with anyio.move_on_after(BODY_S):
                while True:
                    with anyio.move_on_after(BODY_PROGRESS_S):
                        message = await receive()
                        if message["type"] != "http.request":
                            return None
                        chunk = message.get("body", b"")
                        held += chunk
                        self._arriving_bytes += len(chunk)
                        if len(held) > self._body_bytes or _declared(scope) > self._body_bytes:
                            cause = f"the body is larger than {self._body_bytes:,} bytes"
                            # not closed: most clients read an answer only when all is sent, and the rest is thrown away
                            await self._refuse(scope, send, 413, cause, "send a smaller body")
                            return None
                        if self._arriving_bytes > max(MOST_ARRIVING_BYTES, self._body_bytes):
                            cause = "too many large requests arrive at once"
                            await self._refuse(scope, send, 503, cause, "retry in a second", (b"retry-after", b"1"), _CLOSE)
                            return None
                        if not message.get("more_body", False):
                            return bytes(held)
                        continue
                    break
        finally:
            self._arriving_bytes -= len(held)
        await self._refuse(scope, send, 408, "Timed out waiting for the request body", "send the request again", _CLOSE)
        return None

    def _misdirected(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the header for which a request is refused; None where both headers are right."""
        if self._hosts is None:
            return None
        hosts, origins = ([value for name, value in scope["headers"] if name == wanted] for wanted in (b"host", b"origin"))
        if len(hosts) != 1 or not is_own_host(hosts[0].decode("latin-1"), self._hosts):
            return 421, "Host"
        if len(origins) > 1 or not all(is_own_origin(origin.decode("latin-1"), self._hosts) for origin in origins):
            return 403, "Origin"
        return None

    def _identified(self, scope: Scope) -> bool:
        """Whether the request may pass; then the scope says whose it is."""
        if self._identify is None:
            return True
        token = _given_token(scope)
        if token is None:
            return self._rules.admits(scope)
        found = self._identify(token)
        if found is None:
            return False
        scope.setdefault("state", {})[CALLER] = found
        return True


def _given_token(scope: Scope) -> bytes | None:
    """The token of a request: of Authorization where that is given, else of x-api-key, as Anthropic's clients send it."""
    bearers = [value for name, value in scope["headers"] if name == b"authorization" and value]
    if not bearers:
        keys = [value for name, value in scope["headers"] if name == b"x-api-key"]
        return keys[0].strip() if len(keys) == 1 else None
    scheme, _, token = bearers[0].partition(b" ")
    return token.strip() if len(bearers) == 1 and scheme.lower() == b"bearer" else None


def _declared(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length" and value.isdigit()]
    return int(lengths[0]) if lengths else 0


async def _answer(send: Send, status: int, body: Mapping[str, Any], *headers: tuple[bytes, bytes]) -> None:
    content = json.dumps(body).encode()
    length = (b"content-length", str(len(content)).encode())
    start = [(b"content-type", b"application/json"), length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})


def is_own_host(value: str, allowed: Sequence[str]) -> bool:
    """Whether a Host header is one of `allowed`: HOST, HOST:PORT, or HOST:* for any port. Case does not matter."""
    place = _parsed(value)
    # behind a proxy the scheme is not known here: without a port it may be the usual one of either
    return place is not None and any(_matches(place, one, {*_USUAL_PORTS.values()}) for one in allowed)


def is_own_origin(value: str, allowed: Sequence[str]) -> bool:
    """Whether an Origin header is http or https at one of `allowed`."""
    found = _ORIGIN.fullmatch(value.lower())
    place = None if found is None else _parsed(found["place"])
    return (
        place is not None
        and found is not None
        and any(_matches(place, one, {_USUAL_PORTS[found["scheme"]]}) for one in allowed)
    )


def _matches(place: tuple[str, int | None], allowed: str, usual: set[int]) -> bool:
    host, port = place
    found = _PLACE.fullmatch(allowed.lower())
    if found is None or found["host"] != host:
        return False
    if found["port"] == "*":
        return True
    wanted = None if found["port"] is None else int(found["port"])
    return wanted == port or (port is None and wanted in usual) or (wanted is None and port in usual)


def _parsed(value: str) -> tuple[str, int | None] | None:
    found = _PLACE.fullmatch(value.lower())
    if found is None or found["port"] == "*":
        return None
    port = None if found["port"] is None else int(found["port"])
    return (found["host"], port) if port is None or 0 < port <= LARGEST_PORT else None
