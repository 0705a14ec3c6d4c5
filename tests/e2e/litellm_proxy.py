"""The LiteLLM proxy of PyPI as a process on loopback, with the configuration that this project generates."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from socket import socket

import anyio
import httpx
from anyio.abc import Process

CONFIG = Path(__file__).parents[2] / "manifests" / "litellm" / "config.yaml"
MASTER_KEY = "sk-made-up-for-this-test-0123456789"
START_S = 90.0
POLL_S = 0.1


@asynccontextmanager
async def litellm_proxy(*, upstream: str, home: Path) -> AsyncIterator[str]:
    """Its base URL, with /v1. `upstream` is what it takes for Groq."""
    port = _free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "GROQ_API_KEY": "gsk_simulated",
        "GROQ_API_BASE": f"{upstream}/openai/v1",
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "DISABLE_ADMIN_UI": "True",
    }
    start = "from litellm import run_server; run_server()"
    options = ["--config", str(CONFIG), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    log = home / "litellm.log"
    with log.open("wb") as target:
        process = await anyio.open_process(
            [sys.executable, "-c", start, *options], env=environment, cwd=home, stdout=target, stderr=target
        )
    try:
        await _wait_until_it_answers(f"http://127.0.0.1:{port}/health/liveliness", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        # it would wait for ever for its own background tasks
        process.kill()
        with anyio.CancelScope(shield=True):
            await process.wait()


async def _wait_until_it_answers(url: str, process: Process, log: Path) -> None:
    async with httpx.AsyncClient() as client:
        with anyio.move_on_after(START_S):
            while process.returncode is None:
                try:
                    if (await client.get(url)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
                await anyio.sleep(POLL_S)
    raise AssertionError(f"the proxy did not start: {log.read_text(errors='replace')[-3000:]}")


def _free_port() -> int:
    with socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
