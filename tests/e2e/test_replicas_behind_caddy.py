"""What compose.yaml describes, as processes on this machine: replicas with its settings, one Redis, and Caddy with its Caddyfile."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import pytest
import yaml
from gateway_process import TOKEN, answering, environment_of, free_port, started

from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, run_simulator

pytestmark = [pytest.mark.anyio, pytest.mark.e2e, pytest.mark.nightly]
DEPLOY = Path(__file__).parents[2] / "manifests/deploy"
HOST = "gateway.test"
CALLS, AT_ONCE = 60, 6


@asynccontextmanager
async def program(*command: str, environment: dict[str, str], port: int) -> AsyncIterator[None]:
    """A program that serves at a port, killed at the end."""
    process = subprocess.Popen(  # noqa: ASYNC220 - it is not waited for
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await answering(port)
        yield
    finally:
        process.kill()
        process.wait()


async def test_a_replica_that_is_killed_costs_no_call_that_it_was_not_serving(tmp_path: Path) -> None:
    """Streams come through Caddy as they are made; of the calls in progress at the killed replica each may be lost, and no other."""
    redis_server, caddy = shutil.which("redis-server"), shutil.which("caddy")
    if redis_server is None or caddy is None:
        pytest.skip("needs redis-server and caddy on the PATH")
    written = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["gateway-1"]["environment"]
    app = create_app(SimulatorOptions(latency_scale=0.5, plan="developer"), catalog=load_catalog(), clock=SystemClock())
    redis_port, site, ports = free_port(), free_port(), [free_port() for _ in range(2)]
    here = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    lost: list[str] = []
    came_in: list[int] = []
    replicas: list[subprocess.Popen[bytes]] = []

    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(run_simulator(app))
        redis = (redis_server, "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path))
        await stack.enter_async_context(program(*redis, environment=here, port=redis_port))
        given = written | environment_of(
            tmp_path,
            simulator.base_url,
            GROQ_FALLBACK_HTTP_HOSTS=written["GROQ_FALLBACK_HTTP_HOSTS"].replace("${GATEWAY_HOST:?}", HOST),
            GROQ_FALLBACK_STATE=f"redis://127.0.0.1:{redis_port}/0",
            GROQ_FALLBACK_PLAN="developer",
        )
        for port in ports:
            serving = started("gateway", "--port", str(port), "--mcp", environment=given, port=port)
            replicas.append(await stack.enter_async_context(serving))
        proxied = {
            **here,
            "GATEWAY_SITE": f"http://{HOST}:{site}",
            "GATEWAY_REPLICAS": " ".join(f"127.0.0.1:{port}" for port in ports),
        }
        # its own port for admins would be taken by another Caddy
        config = tmp_path / "Caddyfile"
        config.write_text("{\n\tadmin off\n}\n" + (DEPLOY / "Caddyfile").read_text())
        command = (caddy, "run", "--config", str(config), "--adapter", "caddyfile")
        await stack.enter_async_context(program(*command, environment=proxied, port=site))
        headers = {"authorization": f"Bearer {TOKEN}", "host": f"{HOST}:{site}"}
        client = await stack.enter_async_context(
            httpx2.AsyncClient(base_url=f"http://127.0.0.1:{site}", headers=headers, timeout=30)
        )
        waiting = iter(range(CALLS))

        async def caller() -> None:
            for number in waiting:
                if number == CALLS // 3:
                    replicas[0].kill()
                body = {
                    "model": "auto",
                    "stream": True,
                    "max_tokens": 64,
                    "messages": [{"role": "user", "content": f"{number}"}],
                }
                try:
                    pieces = []
                    async with client.stream("POST", "/v1/chat/completions", json=body) as got:
                        assert got.status_code == 200, (got.status_code, await got.aread())
                        pieces = [piece async for piece in got.aiter_raw()]
                    assert b"".join(pieces).rstrip().endswith(b"[DONE]"), "cut"
                    came_in.append(len(pieces))
                except (httpx2.HTTPError, AssertionError) as error:
                    lost.append(repr(error)[:200])

        async with anyio.create_task_group() as group:
            for _ in range(AT_ONCE):
                group.start_soon(caller)
    assert replicas[0].returncode is not None
    # of those that were in progress when it died, its own
    assert len(lost) < AT_ONCE, lost
    assert len(came_in) + len(lost) == CALLS
    assert max(came_in) > 1
