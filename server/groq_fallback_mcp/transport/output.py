"""What waits to be written: bounded, in order, written at once where the client reads fast enough."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable

import anyio

from groq_fallback_mcp.transport.descriptors import Sink

__all__ = ["HELD_BYTES", "Output"]

# Above this much unread output nothing more is read from the client, and replies wait in the calls that made them.
HELD_BYTES = 32 * 1024 * 1024


class Output:
    """Lines on their way out. `run` must run beside it; it raises BrokenPipeError when nobody reads any more."""

    def __init__(self, sink: Sink, *, held_bytes: int = HELD_BYTES) -> None:
        self._sink = sink
        self._held_bytes = held_bytes
        self._held: deque[memoryview] = deque()
        self._size = 0
        self._broken = False
        self._filled = anyio.Event()
        self._moved = anyio.Event()

    async def send(self, line: bytes) -> None:
        """Write the line, or hold it; wait while too much is held. Dropped when nobody reads any more."""
        await self.wait_for_room()
        if self._broken:
            return
        rest = memoryview(line)
        if not self._held:
            # a broken pipe is met again by `run`, whose end is the server's
            with contextlib.suppress(BrokenPipeError):
                rest = rest[self._sink.write_now(rest) :]
        if rest:
            self._held.append(rest)
            self._size += len(rest)
            self._filled.set()

    async def wait_for_room(self) -> None:
        """Wait until less is held than may be."""
        await self._until(lambda: self._size < self._held_bytes)

    async def flush(self) -> None:
        """Wait until nothing is held."""
        await self._until(lambda: not self._held)

    async def run(self) -> None:
        """Write what is held, whenever something is."""
        try:
            while True:
                await self._filled.wait()
                while self._held:
                    self._wrote(await self._sink.write(self._held[0]))
                self._filled = anyio.Event()
        except BrokenPipeError:
            self._broken = True
            self._held.clear()
            raise
        finally:
            self._tell()

    def _wrote(self, count: int) -> None:
        rest = self._held.popleft()[count:]
        if rest:
            self._held.appendleft(rest)
        self._size -= count
        # not at each piece: whoever waits for room would be woken hundreds of times for nothing
        if self._size < self._held_bytes // 2:
            self._tell()

    def _tell(self) -> None:
        self._moved.set()
        self._moved = anyio.Event()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached() and not self._broken:
            await self._moved.wait()
