"""Runs the SDK's server on the guarded streams until a signal, the client's end or a closed stdout ends it."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import anyio
from mcp.server import Server

from groq_fallback_mcp.transport.descriptors import Output, Sink, Source, standard_descriptors
from groq_fallback_mcp.transport.streams import Incoming, Outgoing, Requests

__all__ = ["LINE_BYTES", "Ending", "serve_stdio"]

LINE_BYTES = 16 * 1024 * 1024
FLUSH_S = 0.5
GRACE_S = 1.5


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
    if sys.platform == "win32":
        # its loop takes no handlers: Ctrl+C cancels the main task, the others end the process
        return
    with anyio.open_signal_receiver(*wanted) as signals:
        async for number in signals:
            if ending.status is not None:
                ending.at_once()
            ending.begin(128 + number)
            scope.cancel()
