"""One guarded HTTP exchange: a total deadline, caps on what is read, no redirects, a proxy only by setting, failures as values.

Requests go straight to httpx2's transport: what its client adds (redirects, cookies, authentication, proxies from the
environment) is not wanted here, and costs a third of a call's CPU.

httpx2's own time-outs bound single reads, not the call: a server that trickles a byte a second never trips them.
Only the cancel scope around the whole exchange does.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from json import dumps
from typing import Any, BinaryIO, Literal

import anyio
import anyio.lowlevel
import httpx2

from groq_fallback_mcp import __version__
from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.providers.network import AsyncioBackend
from groq_fallback_mcp.providers.reply import BODY_BYTES, Reply, Sink
from groq_fallback_mcp.redaction import register_keys, sanitize_message

__all__ = ["Wire"]

Ending = Literal["whole", "broken"]
# Takes a piece of a stream; how the answer has ended, None while more may come.
Take = Callable[[bytes], Ending | None]
# An error may quote all that a model wrote before its code, and that is seldom more than this.
REFUSAL_BYTES = 512 * 1024
REFUSAL_READ_S = 1.0
# The deadline of a silence is set later than due by this share of it, so that it need not be set again with each piece.
DEADLINE_STEP = 0.05
# The end of a body comes with its last event, or right behind it.
STREAM_END_S = 0.05
STREAM_END_BYTES = 4_096
# More pieces of fewer bytes keep this process busy for nothing; a slow machine parses so many within half a second.
MOST_TINY_PIECES = 16 * 1024
LEAST_BYTES_A_PIECE = 16
# What arrived at once is parsed without a pause: pings, other calls and deadlines get their turn after so many pieces.
PIECES_AT_ONCE = 64
# Each event wraps a few characters of the answer in some three hundred of its own.
EVENTS_TO_ANSWER = 8
# Of white space before an answer, by which some servers keep a connection open.
MOST_BLANK_BYTES = 64 * 1024
# Sent as one piece, it takes long enough for a server to refuse it on the way.
LARGE_UPLOAD_BYTES = 256 * 1024
USER_AGENT = f"groq-fallback-mcp/{__version__}"
# What a burst has opened is given back at once but for these: descriptors are scarce where many servers run.
POOL = httpx2.Limits(max_connections=64, max_keepalive_connections=8, keepalive_expiry=30.0)

# The engine sends no more at once than the pool holds; what is bounded here is only the way there.
_EXTENSIONS = {"timeout": httpx2.Timeout(None, connect=10.0).as_dict()}

_log = logging.getLogger(__name__)


class _Upload(httpx2.AsyncByteStream):
    """A request body that knows how much of its `size` bytes was taken, and calls `moved` with each piece of them."""

    def __init__(self, stream: httpx2.AsyncByteStream, size: int, moved: Callable[[], None] | None = None) -> None:
        self._stream = stream
        self._moved = moved
        self.size = size
        self.sent = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            yield chunk
            self.sent += len(chunk)
            if self._moved is not None:
                self._moved()

    def broken_off(self) -> bool:
        """Whether the other side closed while this was on its way, as it does after an early 413.

        The reset that such a close sends overtakes the answer. A small body that was not begun says nothing: it may be
        the connection that was too old.
        """
        return self.sent < self.size and (self.sent > 0 or self.size >= LARGE_UPLOAD_BYTES)


class Wire:
    """A pooled client to one base URL. Cancelling a call closes its connection."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None,
        proxy: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._key = key or ""
        register_keys(self._key)
        headers = [("User-Agent", USER_AGENT), ("Accept", "*/*"), ("Accept-Encoding", "identity")]
        if key:
            headers.append(("Authorization", f"Bearer {key}"))
        self._headers = httpx2.Headers(headers)
        self._base_url = base_url.rstrip("/")
        # reading the certificates takes tens of milliseconds, and without TLS none is needed; a scheme may be written in capitals
        verify = not base_url.startswith("http://")
        self._transport = transport or _transport(verify=verify, proxy=proxy)

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        timeout_s: float,
        most_bytes: int = BODY_BYTES,
        longest_s: float | None = None,
        json: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, tuple[str | None, bytes | BinaryIO, str]] | None = None,
    ) -> Reply | Failure:
        """Send one request and read its response, of at most `most_bytes`, within `timeout_s` seconds.

        With `longest_s` the time starts over with each piece of the request that is taken, though not beyond so many seconds.
        """
        reply: Reply | Failure | None = None
        end = anyio.current_time() + (timeout_s if longest_s is None else longest_s)
        with anyio.move_on_after(timeout_s) as scope:

            def moved() -> None:
                scope.deadline = max(scope.deadline, min(anyio.current_time() + timeout_s, end))

            reply = await self._attempt(method, path, most_bytes, moved=moved, json=json, data=data, files=files)
        if reply is None:
            return Failure(kind=FailureKind.TIMED_OUT, message=f"no complete answer within {timeout_s:.0f} s")
        return reply

    async def stream(
        self, path: str, *, json: Mapping[str, Any], quiet_s: float, longest_s: float, sink: Sink
    ) -> Reply | Failure:
        """POST a request whose answer comes as events; each chunk goes to `sink`, the reply then has no body.

        Without a chunk that carried something of the answer for `quiet_s` seconds it is given up, and at all events after
        `longest_s`. An answer in one piece is read as `exchange` reads it.
        """
        reply: Reply | Failure | None = None
        end = anyio.current_time() + longest_s
        with anyio.move_on_after(min(quiet_s, longest_s)) as scope:

            def taken(chunk: bytes) -> Ending | None:
                if sink.feed(chunk) and scope.deadline < (due := min(anyio.current_time() + quiet_s, end)):
                    scope.deadline = min(due + DEADLINE_STEP * quiet_s, end)
                return None if not sink.ended else "whole" if sink.whole else "broken"

            reply = await self._attempt("POST", path, BODY_BYTES, taken, json=json)
        if reply is None:
            waited_s = longest_s if scope.deadline >= end else quiet_s
            return Failure(kind=FailureKind.TIMED_OUT, message=f"the answer stalled for {waited_s:.0f} s")
        return reply

    async def aclose(self) -> None:
        """Close the pooled connections."""
        await self._transport.aclose()

    async def _attempt(
        self,
        method: str,
        path: str,
        most_bytes: int,
        take: Take | None = None,
        *,
        moved: Callable[[], None] | None = None,
        **content: Any,
    ) -> Reply | Failure:
        upload: _Upload | None = None
        response: httpx2.Response | None = None
        try:
            request, upload = self._request(method, path, moved=moved, **content)
            response = await self._transport.handle_async_request(request)
            return await _read(response, most_bytes, take)
        except (
            httpx2.ConnectError,
            httpx2.ConnectTimeout,
            httpx2.PoolTimeout,
            httpx2.ProxyError,
            httpx2.UnsupportedProtocol,
        ) as error:
            return self._failure(FailureKind.UNREACHABLE, error, sent=False)
        except (httpx2.TransportError, httpx2.StreamError, httpx2.DecodingError) as error:
            if response is None and upload is not None and upload.broken_off():
                return _not_wanted(upload)
            odd = isinstance(error, httpx2.RemoteProtocolError) and not _ended_early(error)
            return self._failure(FailureKind.BAD_RESPONSE if odd else FailureKind.CONNECTION_LOST, error)
        except (httpx2.InvalidURL, httpx2.HTTPError, ValueError) as error:
            return self._failure(FailureKind.BAD_RESPONSE, error)
        except Exception as error:  # noqa: BLE001 - whatever an upstream provokes is an outcome of the call, never a crash
            _log.exception("an exchange failed unexpectedly")
            return self._failure(FailureKind.BAD_RESPONSE, error)
        finally:
            if response is not None:
                await _stream_of(response).aclose()

    def _request(
        self,
        method: str,
        path: str,
        *,
        moved: Callable[[], None] | None = None,
        json: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        files: Mapping[str, Any] | None = None,
    ) -> tuple[httpx2.Request, _Upload | None]:
        """The request, and its body where there is something to see of how it is taken: not where it is one small piece."""
        url = _url(self._base_url + path)
        if json is None:
            request = httpx2.Request(method, url, headers=self._headers, extensions=_EXTENSIONS, data=data, files=files)
            # a request of ours is never sent by a blocking client
            assert isinstance(request.stream, httpx2.AsyncByteStream)  # noqa: S101
            stream, size = request.stream, int(request.headers.get("content-length", "0"))
        else:
            # as httpx2 encodes it; given the stream it need not find out what is known here, a twentieth of a call's CPU
            body = dumps(json, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
            stream, size = httpx2.ByteStream(body), len(body)
            stated = [(b"Host", url.netloc), (b"Content-Length", b"%d" % size), (b"Content-Type", b"application/json")]
            headers = httpx2.Headers([*stated, *self._headers.raw])
            request = httpx2.Request(method, url, headers=headers, extensions=_EXTENSIONS, stream=stream)
        if size < LARGE_UPLOAD_BYTES and isinstance(stream, httpx2.ByteStream):
            return request, None
        request.stream = upload = _Upload(stream, size, moved)
        return request, upload

    def _failure(self, kind: FailureKind, error: Exception, *, sent: bool = True) -> Failure:
        text = sanitize_message(str(error)) or type(error).__name__
        if kind is FailureKind.UNREACHABLE and _NO_ADDRESS.search(text):
            text = "the host name cannot be resolved: no network, or a wrong base URL"
        return Failure(kind=kind, message=text[:200], sent=sent)


def _transport(*, verify: bool, proxy: str | None) -> httpx2.AsyncHTTPTransport:
    made = httpx2.AsyncHTTPTransport(verify=verify, limits=POOL, trust_env=False, proxy=proxy)
    # the library has this option, and its transport has no argument for it
    made._pool._network_backend = AsyncioBackend()  # noqa: SLF001
    return made


# How the first line of a stream of events begins: a field, or a comment.
_IS_STREAM = re.compile(rb"(?:\xef\xbb\xbf)?\s*(?:(?:data|event|id|retry) ?:|:)")
TELLING_BYTES = 10
# What resolvers say, by system and language of C libraries.
_NO_ADDRESS = re.compile(
    r"getaddrinfo|[Nn]ame or service not known|[Nn]ame resolution|nodename nor servname|No address associated"
)


@lru_cache(maxsize=64)
def _url(text: str) -> httpx2.URL:
    return httpx2.URL(text)


def _stream_of(response: httpx2.Response) -> httpx2.AsyncByteStream:
    """The body as it comes: what is encoded is not read at all, so nothing need be decoded."""
    # a response of ours is never read by a blocking client
    assert isinstance(response.stream, httpx2.AsyncByteStream)  # noqa: S101
    return response.stream


async def _read(response: httpx2.Response, most_bytes: int, take: Take | None) -> Reply | Failure:
    status = response.status_code
    headers = dict(response.headers.items())
    encoding = headers.get("content-encoding", "").lower()
    encoded = encoding not in {"identity", ""}
    if status >= 300:
        return Reply(status=status, headers=headers, body=b"" if encoded else await _beginning(response))
    if encoded:
        return _refused(f"an answer in {encoding[:20]} encoding, which was not requested")
    is_stream = headers.get("content-type", "").lower().startswith("text/event-stream")
    if is_stream and take is None:
        return _refused("a stream of events, which was not requested")
    pieces = _pieces(response)
    try:
        if take is not None and not is_stream:
            # some servers stream, and call it something else
            begun = await _beginning_of(pieces)
            is_stream, pieces = _IS_STREAM.match(begun) is not None, _joined(begun, pieces)
        if take is not None and is_stream:
            fault = await _events(pieces, most_bytes, take)
            return Reply(status=status, headers=headers, body=b"") if fault is None else _refused(fault)
        body = await _whole(pieces, most_bytes, stated=headers.get("content-length", ""))
    except _TooManyPieces as error:
        return _refused(str(error))
    return _refused(body) if isinstance(body, str) else Reply(status=status, headers=headers, body=body)


async def _whole(pieces: AsyncIterator[bytes], most_bytes: int, *, stated: str) -> bytes | str:
    """The body, or what is wrong with it. `stated` is the length that its header says."""
    too_large = f"an answer of more than {most_bytes} bytes"
    if stated.isdecimal() and (len(stated) > len(str(most_bytes)) or int(stated) > most_bytes):
        return too_large
    body = bytearray()
    async for chunk in pieces:
        body += chunk
        if len(body) > most_bytes:
            return too_large
    return bytes(body)


async def _events(pieces: AsyncIterator[bytes], most_bytes: int, take: Take) -> str | None:
    """What is wrong with the stream, None when it could be read to its end."""
    size = 0
    async for chunk in pieces:
        size += len(chunk)
        if size > most_bytes * EVENTS_TO_ANSWER:
            return f"a stream of more than {most_bytes * EVENTS_TO_ANSWER} bytes"
        ending = take(chunk)
        if ending == "whole":
            await _read_end(pieces)
        if ending is not None:
            break
    return None


async def _beginning_of(pieces: AsyncIterator[bytes]) -> bytes:
    """As much of a body as tells what it is."""
    begun = b""
    async for chunk in pieces:
        begun += chunk
        if len(begun.lstrip()) >= TELLING_BYTES or len(begun) > MOST_BLANK_BYTES:
            break
    return begun


async def _joined(begun: bytes, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if begun:
        yield begun
    async for chunk in pieces:
        yield chunk


async def _read_end(pieces: AsyncIterator[bytes]) -> None:
    """What follows the last event, which is mostly nothing: only a connection that was read to its end serves the next request."""
    left = STREAM_END_BYTES
    with anyio.move_on_after(STREAM_END_S), suppress(httpx2.HTTPError, httpx2.StreamError, _TooManyPieces):
        async for chunk in pieces:
            left -= len(chunk)
            if left < 0:
                return


class _TooManyPieces(Exception):
    """A body cut into very many very small pieces."""


async def _pieces(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The body as it comes, with a pause after every PIECES_AT_ONCE. Raises _TooManyPieces."""
    size = pieces = 0
    async for chunk in _stream_of(response):
        size += len(chunk)
        pieces += 1
        if pieces > MOST_TINY_PIECES and size < pieces * LEAST_BYTES_A_PIECE:
            message = f"an answer in {pieces} pieces of {size / pieces:.0f} bytes each"
            raise _TooManyPieces(message)
        yield chunk
        if pieces % PIECES_AT_ONCE == 0:
            await anyio.lowlevel.checkpoint()


async def _beginning(response: httpx2.Response) -> bytes:
    body = bytearray()
    with anyio.move_on_after(REFUSAL_READ_S), suppress(httpx2.HTTPError, httpx2.StreamError):
        async for chunk in _stream_of(response):
            body += chunk
            if len(body) >= REFUSAL_BYTES:
                break
    return bytes(body[:REFUSAL_BYTES])


def _ended_early(error: httpx2.RemoteProtocolError) -> bool:
    """Whether the connection ended where more was due; every other error of the protocol is junk that was received."""
    return "disconnected" in str(error) or "closed connection" in str(error)


def _refused(what: str) -> Failure:
    return Failure(kind=FailureKind.BAD_RESPONSE, message=f"bad upstream response: {what}", status=200)


def _not_wanted(upload: _Upload) -> Failure:
    taken = f"{upload.sent} of {upload.size} bytes of the request"
    message = f"the connection was closed after {taken}, which happens when it is larger than the provider accepts"
    return Failure(kind=FailureKind.PAYLOAD_TOO_LARGE, message=message)
