"""Three replicas over HTTP, one ledger in Redis, one replica killed in the middle: nothing lost, no limit exceeded."""

from __future__ import annotations

import os
import shutil
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import httpx
import httpx2
import pytest
from anyio.abc import Process
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.command import server_command
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator
from groq_fallback_mcp.transport.http_server import HEALTH, PATH

pytestmark = [pytest.mark.anyio, pytest.mark.e2e]
TOKEN = "replicas-share-this-token"
CALLS = 45
# Of three models that serve together ninety calls at once; nothing comes back within the test.
LIMITS = {
    model: {"rpm": 30, "rpd": 30, "tpm": 1_000_000, "tpd": 1_000_000}
    for model in ("openai/gpt-oss-20b", "openai/gpt-oss-120b", "qwen/qwen3.8-27b")
}


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def process(command: list[str], environment: dict[str, str], home: Path) -> AsyncIterator[Process]:
    """A process, killed at the end of the block at the latest."""
    clean = {"PATH": os.environ["PATH"], "HOME": str(home), **environment}
    with (home / "out.log").open("ab") as log:
        async with await anyio.open_process(command, stdin=-3, stdout=log, stderr=log, env=clean, cwd=home) as running:
            try:
                yield running
            finally:
                if running.returncode is None:
                    running.kill()


async def ready(url: str) -> None:
    """Wait until it serves."""
    async with httpx.AsyncClient() as client:
        with anyio.fail_after(20):
            while True:
                try:
                    if (await client.get(f"{url}{HEALTH}")).status_code == 200:
                        return
                except httpx.HTTPError:
                    pass
                await anyio.sleep(0.05)


async def test_a_replica_that_is_killed_loses_nothing_and_no_limit_is_exceeded(tmp_path: Path) -> None:
    """A call whose replica died is sent again to another, as a load balancer's client does."""
    redis_server = shutil.which("redis-server")
    if redis_server is None:
        pytest.skip("needs redis-server on the PATH")
    options = SimulatorOptions(latency_scale=1.0, limits=LIMITS)
    app = create_app(options, catalog=load_catalog(), clock=SystemClock())
    redis_port, ports = free_port(), [free_port() for _ in range(3)]
    answered: Counter[str] = Counter()
    retried = 0

    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(run_simulator(app))
        redis_command = [redis_server, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        await stack.enter_async_context(process(redis_command, {}, tmp_path))
        environment = {
            "GROQ_BASE_URL": simulator.base_url,
            "GROQ_API_KEY": "gsk_simulated",
            "GROQ_FALLBACK_LOCAL": "off",
            "GROQ_FALLBACK_FIND_LOCAL_SERVERS": "false",
            "GROQ_FALLBACK_STATE": f"redis://127.0.0.1:{redis_port}/0",
            "GROQ_FALLBACK_HTTP_TOKEN": TOKEN,
            # what documents say of the plan must not be below what this Groq allows
            "GROQ_FALLBACK_PLAN": "developer",
        }
        overlay = tmp_path / "catalog.toml"
        rows = [
            f'[[limits]]\nmodel = "{model}"\nplan = "developer"\nrpm = 30\nrpd = 30\ntpm = 1000000\nchecked = 2026-11-23\n'
            for model in LIMITS
        ]
        overlay.write_text("\n".join(rows))
        environment["GROQ_FALLBACK_CATALOG"] = str(overlay)
        replicas = [
            await stack.enter_async_context(
                process([*server_command(), "serve", "--http", f"127.0.0.1:{port}"], environment, tmp_path)
            )
            for port in ports
        ]
        for port in ports:
            await ready(f"http://127.0.0.1:{port}")

        async def ask(number: int) -> None:
            nonlocal retried
            for attempt in range(3):
                port = ports[(number + attempt) % 3]
                try:
                    http = httpx2.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, timeout=30)
                    async with (
                        http,
                        Client(streamable_http_client(f"http://127.0.0.1:{port}{PATH}", http_client=http)) as client,
                    ):  # type: ignore[arg-type]
                        result = await client.call_tool("groq_chat", {"prompt": f"number {number}", "max_tokens": 16})
                except Exception:  # noqa: BLE001 - the replica was killed: whatever the client makes of it
                    retried += 1
                    continue
                assert not result.is_error, result
                assert result.structured_content is not None
                answered[str(result.structured_content["model"])] += 1
                if sum(answered.values()) == CALLS // 3:
                    replicas[1].kill()
                return
            pytest.fail(f"call {number} was not answered by any replica")

        async with anyio.create_task_group() as group:
            for number in range(CALLS):
                group.start_soon(ask, number)
    assert sum(answered.values()) == CALLS
    assert replicas[1].returncode is not None
    counts: Counter[str] = Counter()
    for outcomes in app.state.world.calls.values():
        counts.update(outcomes)
    assert counts["429"] == 0, app.state.world.calls
    assert all(used <= 30 for used in answered.values())
