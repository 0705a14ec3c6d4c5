"""A client of chat completions that costs little: a connection at a time, kept alive, without a library for HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

__all__ = ["Connection", "Streamed"]

_TEXT = re.compile(rb'"content": ?"([^"]+)"')


@dataclass(slots=True)
class Streamed:
    """One stream as it came: (when a piece was here, when the upstream sent it), monotonic, in ns."""

    begun_ns: int
    pieces: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    is_whole: bool = False

    @property
    def first_token_ms(self) -> float:
        """From the request to the first piece."""
        return (self.pieces[0][0] - self.begun_ns) / 1e6

    @property
    def largest_gap_ms(self) -> float:
        """How much longer than at the upstream the largest gap between two pieces was."""
        gaps = [
            (here - here_before) - (sent - sent_before)
            for (here_before, sent_before), (here, sent) in zip(self.pieces, self.pieces[1:], strict=False)
        ]
        return max(gaps, default=0) / 1e6


class Connection:
    """One connection to an address such as http://127.0.0.1:8788, opened with the first request."""

    def __init__(self, address: str, *, path: str, token: str) -> None:
        host, _, port = address.removeprefix("http://").partition(":")
        self._place = (host, int(port))
        self._head = (
            f"POST {path} HTTP/1.1\r\nhost: {host}:{port}\r\nauthorization: Bearer {token}\r\n"
            "content-type: application/json\r\naccept: */*\r\ncontent-length: "
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def whole(self, body: Mapping[str, object]) -> float:
        """The milliseconds that an answer took. Raises RuntimeError for an error."""
        begun = time.perf_counter()
        await self._ask(body)
        content = b"".join([piece async for piece in self._body()])
        took_ms = (time.perf_counter() - begun) * 1e3
        if b'"content"' not in content:
            raise RuntimeError(f"no answer: {content[:300]!r}")
        return took_ms

    async def stream(self, body: Mapping[str, object]) -> Streamed:
        """A streamed answer. Raises RuntimeError for an error."""
        found = Streamed(time.monotonic_ns())
        await self._ask({**body, "stream": True})
        rest = b""
        async for piece in self._body():
            now = time.monotonic_ns()
            events, end, rest = (rest + piece).rpartition(b"\n\n")
            for texts in _TEXT.findall(events + end):
                found.pieces += [(now, int(text)) for text in texts.split() if text.isdigit()]
            found.is_whole |= b"[DONE]" in events
        return found

    async def pieces(self, body: Mapping[str, object]) -> AsyncIterator[bytes]:
        """A streamed answer's body as it comes. Raises RuntimeError for an error."""
        await self._ask(body)
        async for piece in self._body():
            yield piece

    def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def _ask(self, body: Mapping[str, object]) -> None:
        content = json.dumps(body).encode()
        request = b"%s%d\r\n\r\n%s" % (self._head, len(content), content)
        try:
            head = await self._sent(request)
        except (asyncio.IncompleteReadError, ConnectionError):
            if self._streams is None:
                raise
            # one that was idle for too long
            self.close()
            head = await self._sent(request)
        self._length = int(head.split(b"content-length:")[1].split(b"\r\n")[0]) if b"content-length:" in head else None
        if not head.startswith(b"http/1.1 200"):
            content = b"".join([piece async for piece in self._body()])
            raise RuntimeError(f"{head.splitlines()[0].decode()}: {content[:300]!r}")

    async def _sent(self, request: bytes) -> bytes:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._place)
        reader, writer = self._streams
        writer.write(request)
        return (await reader.readuntil(b"\r\n\r\n")).lower()

    async def _body(self) -> AsyncIterator[bytes]:
        assert self._streams is not None
        reader = self._streams[0]
        if self._length is not None:
            yield await reader.readexactly(self._length)
            return
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
