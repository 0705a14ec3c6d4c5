"""Running the stand-in on a loopback port."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
import uvicorn
from starlette.applications import Starlette

from groq_fallback_mcp.errors import InputRefused

__all__ = ["RunningSimulator", "run_simulator"]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSimulator:
    """A simulator that listens. `base_url` is without /openai/v1."""

    port: int

    @property
    def base_url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"


class _Server(uvicorn.Server):
    """Leaves signals to the program around it."""

    def install_signal_handlers(self) -> None:
        """Nothing to install."""

    @staticmethod
    def capture_signals() -> object:  # type: ignore[override]
        """Nothing to capture."""
        from contextlib import nullcontext  # noqa: PLC0415

        return nullcontext()


@asynccontextmanager
async def run_simulator(app: Starlette, *, port: int = 0) -> AsyncIterator[RunningSimulator]:
    """Serve on loopback until the block ends; port 0 takes a free one. Raises InputRefused for a port in use."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
    except OSError as failure:
        listener.close()
        raise InputRefused(f"port {port} cannot be used: {failure.strerror}", next_step="give another --port, or 0") from failure
    config = uvicorn.Config(app, log_level="critical", access_log=False, lifespan="off", timeout_graceful_shutdown=1)
    server = _Server(config)
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [listener])
        while not server.started:
            await anyio.sleep(0.005)
        try:
            yield RunningSimulator(port=listener.getsockname()[1])
        finally:
            server.should_exit = True
            server.force_exit = True
    listener.close()
