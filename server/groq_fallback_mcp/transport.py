"""Serving over stdio: stdout carries the protocol and nothing else, and every signal ends the process."""

from __future__ import annotations

import os
import signal
from typing import Any

import anyio
from mcp.server import Server
from mcp.server.stdio import stdio_server

__all__ = ["serve_stdio"]

GRACE_S = 1.5


async def serve_stdio(server: Server[Any]) -> None:
    """Serve until the client closes our stdin or a signal asks us to end.

    The SDK reads stdin in a worker thread, which no cancellation reaches, so that Ctrl+C would hang until the client
    hangs up (python-sdk #3551): after a signal the process gets a moment to close what is open, then exits.
    """
    async with anyio.create_task_group() as group:
        group.start_soon(_end_on_signal, group.cancel_scope)
        async with stdio_server() as (read, write):
            await server.run(read, write, server.create_initialization_options())
        group.cancel_scope.cancel()


async def _end_on_signal(scope: anyio.CancelScope) -> None:
    wanted = [number for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)) if number is not None]
    try:
        receiver = anyio.open_signal_receiver(*wanted)
    except NotImplementedError:  # Windows: the default handlers end the process
        return
    with receiver as signals:
        async for number in signals:
            scope.cancel()
            _exit_later(128 + number)
            return


def _exit_later(status: int) -> None:
    import threading  # noqa: PLC0415 - only at the very end

    timer = threading.Timer(GRACE_S, os._exit, args=(status,))
    timer.daemon = True
    timer.start()
