"""Running the simulator on a loopback port."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import anyio
import uvicorn
from starlette.applications import Starlette

from groq_fallback_mcp.errors import InputRefused

__all__ = ["RunningSimulator", "run_simulator"]

LOOPBACK = "127.0.0.1"
POLL_S = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSimulator:
    """A simulator that listens. `base_url` is without /openai/v1."""

    port: int

    @property
    def base_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


class _Server(uvicorn.Server):
    """Leaves signals to the program around it."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Captures nothing."""
        yield

    async def drop_what_is_left(self) -> None:
        """Wait for the calls that `serve` cancelled, then close connections whose client does not read."""
        while tasks := set(self.server_state.tasks):
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await asyncio.sleep(0)
        for connection in list(self.server_state.connections):
            transport: asyncio.Transport | None = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        while self.server_state.connections:  # noqa: ASYNC110 - a few turns of the loop, nothing signals it
            await asyncio.sleep(0)


@asynccontextmanager
async def run_simulator(app: Starlette, *, port: int = 0) -> AsyncGenerator[RunningSimulator]:
    """Serve on loopback until the block ends, which also ends calls under way; port 0 takes a free one.

    Raises InputRefused for a port in use. What the block raises comes out as it is, in no exception group.
    """
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it every second reply waits 40 ms
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        # Two may bind one port with SO_REUSEADDR as long as neither listens.
        listener.listen()
    except (OSError, OverflowError) as failure:
        listener.close()
        in_use = isinstance(failure, OSError) and failure.errno == errno.EADDRINUSE
        cause = "is already in use" if in_use else f"cannot be used ({getattr(failure, 'strerror', failure)})"
        raise InputRefused(f"port {port} {cause}", next_step="choose another with --port (0 picks a free one)") from failure
    taken: int = listener.getsockname()[1]
    # log_config None: the loggers of the program around are its own
    config = uvicorn.Config(
        app, log_config=None, log_level="critical", access_log=False, lifespan="off", ws="none", timeout_graceful_shutdown=0
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn signals it no other way
            await anyio.sleep(POLL_S)
        if serving.done():
            await serving
        yield RunningSimulator(port=taken)
    finally:
        server.should_exit = True
        with anyio.CancelScope(shield=True):
            await asyncio.wait({serving})
            await server.drop_what_is_left()
        listener.close()
        serving.result()
