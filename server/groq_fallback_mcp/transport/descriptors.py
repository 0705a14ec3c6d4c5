"""The process's standard descriptors, taken for the protocol alone, and waited for without blocking the event loop.

Neither is made non-blocking: that would change them for whoever shares them with us, such as the shell or a wrapper.
Instead the kernel is asked whether they are ready, and no more is written at once than what is sure to be taken.
Where it cannot be asked (a regular file, Windows) a thread waits.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
from collections import deque
from collections.abc import Callable, Generator

import anyio
import anyio.to_thread

from groq_fallback_mcp.system import on_windows

__all__ = ["HELD_BYTES", "Output", "Sink", "Source", "missing_descriptors", "standard_descriptors"]

CHUNK = 65_536
# POSIX: a pipe that is ready takes this much without blocking
AT_ONCE = getattr(select, "PIPE_BUF", 512)
_GONE = {errno.EPIPE, errno.ECONNRESET, errno.EBADF, errno.EIO, errno.ESHUTDOWN, errno.EINVAL}
# Above this much unread output nothing more is read from the client, and replies wait in the calls that made them.
HELD_BYTES = 32 * 1024 * 1024


def missing_descriptors() -> list[str]:
    """The standard streams this process was started without. What opens a file next would get their numbers."""
    missing: list[str] = []
    for number, name in enumerate(("stdin", "stdout")):
        try:
            os.fstat(number)
        except OSError:
            missing.append(name)
    return missing


@contextlib.contextmanager
def standard_descriptors() -> Generator[tuple[int, int]]:
    """Private duplicates of 0 and 1. Meanwhile 0 is empty and 1 is stderr, for stray prints, C code and children."""
    taken: list[tuple[int, int]] = []
    try:
        for number, instead in ((0, _empty), (1, _stderr)):
            private = _duplicate(number)
            taken.append((number, private))
            other = instead()
            os.dup2(other, number)
            os.close(other)
        yield taken[0][1], taken[1][1]
    finally:
        for number, private in taken:
            with contextlib.suppress(OSError):
                os.dup2(private, number)
            with contextlib.suppress(OSError):
                os.close(private)


class Source:
    """A descriptor to read from."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._polled = not on_windows()
        self._limiter: anyio.CapacityLimiter | None = None

    async def read(self) -> bytes:
        """What has come, as soon as something has; nothing at the end."""
        if self._polled:
            try:
                await anyio.wait_readable(self._descriptor)
            except OSError:
                # the kernel does not poll regular files
                self._polled = False
            else:
                return self._read_now()
        # a limiter of its own: tools that are busy in threads must not keep the next message waiting
        self._limiter = self._limiter or anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(self._read_now, abandon_on_cancel=True, limiter=self._limiter)

    def _read_now(self) -> bytes:
        try:
            return os.read(self._descriptor, CHUNK)
        except OSError as error:
            if error.errno in _GONE:
                return b""
            raise


class Sink:
    """A descriptor to write to. Every method raises BrokenPipeError when the reader is gone."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._polled = not on_windows()
        self._limiter: anyio.CapacityLimiter | None = None

    def write_now(self, data: memoryview) -> int:
        """Write what is taken without waiting; the number of bytes."""
        written = 0
        # of a reader that has gone, only a write tells for certain
        while written < len(data) and self._polled and self._events(select.POLLOUT):
            written += self._write(data[written : written + AT_ONCE])
        return written

    async def write(self, data: memoryview) -> int:
        """Write some of `data` as soon as some is taken; the number of bytes."""
        if self._polled:
            try:
                await anyio.wait_writable(self._descriptor)
            except OSError:
                self._polled = False
            else:
                return self.write_now(data)
        self._limiter = self._limiter or anyio.CapacityLimiter(1)
        return await anyio.to_thread.run_sync(self._write, data[:CHUNK], abandon_on_cancel=True, limiter=self._limiter)

    async def wait_closed(self) -> None:
        """Return when the reader has gone, though nothing is being written. Where that cannot be seen, never."""
        if self._polled:
            with contextlib.suppress(OSError):
                # a reader's end shows as an event without being asked for
                await anyio.wait_readable(self._descriptor)
                if self._events(0):
                    return
        await anyio.sleep_forever()

    def _events(self, wanted: int) -> int:
        poll = select.poll()
        poll.register(self._descriptor, wanted)
        return next((events for _, events in poll.poll(0)), 0)

    def _write(self, data: memoryview) -> int:
        try:
            return os.write(self._descriptor, data)
        except OSError as error:
            if error.errno in _GONE:
                raise BrokenPipeError(error.errno, "stdout closed by the client") from error
            raise


def _duplicate(number: int) -> int:
    """Above the standard ones, so that a missing one is not taken for another; not for children."""
    if on_windows():
        return os.dup(number)
    import fcntl

    return fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3)


def _empty() -> int:
    return os.open(os.devnull, os.O_RDONLY)


def _stderr() -> int:
    try:
        return os.dup(2)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


class Output:
    """Lines on their way out. `run` must run beside it; it raises BrokenPipeError when the reader is gone."""

    def __init__(self, sink: Sink, *, held_bytes: int = HELD_BYTES) -> None:
        self._sink = sink
        self._held_bytes = held_bytes
        self._held: deque[memoryview] = deque()
        self._size = 0
        self._broken = False
        self._filled = anyio.Event()
        self._moved = anyio.Event()

    async def send(self, line: bytes) -> None:
        """Write the line, or hold it; wait while too much is held. Dropped when the reader is gone."""
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
