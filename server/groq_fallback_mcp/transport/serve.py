"""Runs the SDK's server on the guarded streams until something ends it."""

from __future__ import annotations

from typing import Any

import anyio
from mcp.server import Server

from groq_fallback_mcp.transport.descriptors import Sink, Source, standard_descriptors
from groq_fallback_mcp.transport.ending import Ending, end_on_signal
from groq_fallback_mcp.transport.output import Output
from groq_fallback_mcp.transport.streams import Incoming, Outgoing, Requests

__all__ = ["LINE_BYTES", "serve_stdio"]

LINE_BYTES = 16 * 1024 * 1024
FLUSH_S = 0.5


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
                group.start_soon(end_on_signal, ending, serving)
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
