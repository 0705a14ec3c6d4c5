"""The command `gateway` in a process of its own, over a simulator in this one."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

__all__ = ["TOKEN", "answering", "environment_of", "free_port", "gateway", "gateway_before", "started"]

TOKEN = "token-of-this-test-0123456789"


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def environment_of(folder: Path, base_url: str, **more: str) -> dict[str, str]:
    """Of a process that knows the simulator and keeps its state in this folder."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "XDG_STATE_HOME": str(folder / "state"),
        "GROQ_API_KEY": "gsk_simulated",
        "GROQ_BASE_URL": base_url,
        "GROQ_FALLBACK_LOCAL": "off",
        "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
        "GROQ_FALLBACK_HTTP_TOKEN": TOKEN,
    } | more


@asynccontextmanager
async def started(*arguments: str, environment: dict[str, str], port: int) -> AsyncGenerator[subprocess.Popen[bytes]]:
    """A process that serves, killed at the end if it is still there."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it is not waited for
        [sys.executable, "-m", "groq_fallback_mcp", *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        await answering(port)
        yield process
    finally:
        process.kill()
        process.communicate()


async def answering(port: int) -> None:
    """Until somebody listens."""
    with anyio.fail_after(30):
        while True:
            try:
                stream = await anyio.connect_tcp("127.0.0.1", port)
            except OSError:
                await anyio.sleep(0.05)
                continue
            await stream.aclose()
            return


@asynccontextmanager
async def gateway(
    folder: Path, *arguments: str, options: SimulatorOptions | None = None
) -> AsyncIterator[tuple[httpx2.AsyncClient, subprocess.Popen[bytes], int]]:
    """A gateway over a simulator, and a client with its token."""
    app = create_app(options or SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock())
    async with run_simulator(app) as simulator, gateway_before(simulator.base_url, folder, *arguments) as running:
        yield running


@asynccontextmanager
async def gateway_before(
    base_url: str, folder: Path, *arguments: str, **environment: str
) -> AsyncIterator[tuple[httpx2.AsyncClient, subprocess.Popen[bytes], int]]:
    """A gateway over any upstream, and a client with its token."""
    port = free_port()
    known = environment_of(folder, base_url, **environment)
    async with started("gateway", "--port", str(port), *arguments, environment=known, port=port) as process:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client:
            yield client, process, port
