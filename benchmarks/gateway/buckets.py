"""More work than the limits allow, by two gateways and two MCP servers that share a ledger: who is refused by the upstream, and who is served."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Awaitable
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.gateway.contenders import OURS, ours
from benchmarks.gateway.figures import Figure
from benchmarks.gateway.process import Running, body_of, started
from benchmarks.speed.client import Server, upstream
from benchmarks.speed.client import started as started_server
from benchmarks.speed.contenders import MODEL, OTHER, limits_of
from benchmarks.speed.contenders import ours as mcp_server

__all__ = ["measure"]

PROCESSES = 2
RPM, TPM = 60, 40_000
MODELS = 3
SECONDS = 45.0
# Demand over what the buckets hold and gain in that time.
OVER = 1.3
MAX_TOKENS = 1_000
DELAY_MS = 50


async def measure(*, alone: bool) -> list[Figure]:
    """Ours alone: the peers keep no buckets."""
    del alone
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with upstream() as up, AsyncExitStack() as stack:
            rule = {"delay_ms": DELAY_MS, "limits": {"RPM": RPM, "TPM": TPM}}
            await up.set(dict.fromkeys((MODEL, OTHER, "qwen/qwen3.8-27b"), rule))
            limits = limits_of(RPM, tpm=TPM)
            settings = {"GROQ_FALLBACK_DEADLINE_S": "60", "GROQ_FALLBACK_GATEWAY_MAX_WAIT_S": "60"}
            servers = [
                await stack.enter_async_context(started_server(mcp_server(folder, up.address, limits=limits, **settings)))
                for _ in range(PROCESSES)
            ]
            each = [ours(folder, up.address, limits=limits, **settings) for _ in range(PROCESSES)]
            gateways = [await stack.enter_async_context(started(one)) for one in each]
            served, asked = await _work(gateways, servers)
            counts = await up.counts()
    reached = sum(counts["calls"].values())
    what = f"{PROCESSES} gateways and {PROCESSES} MCP servers, demand {OVER:g} x the buckets of {MODELS} models for {SECONDS:.0f} s"
    return [
        Figure(
            name=f"refused by the upstream: {what}",
            unit="",
            found={OURS: counts["refused"]},
            limit=0.0,
            note=f"of {reached} requests",
        ),
        Figure(name="answered of those calls", unit="%", found={OURS: served / asked * 100}, note=f"of {asked} calls"),
    ]


async def _work(gateways: list[Running], servers: list[Server]) -> tuple[int, int]:
    """(answered, asked) of calls at an even pace, to each process in turn."""
    calls = int(OVER * MODELS * RPM * (1 + SECONDS / 60))
    begun = time.monotonic()
    tasks: list[asyncio.Task[bool]] = []
    for number in range(calls):
        await asyncio.sleep(max(begun + number * SECONDS / calls - time.monotonic(), 0.0))
        which = number % (2 * PROCESSES)
        work = _through_gateway(gateways[which], number) if which < PROCESSES else _tool(servers[which - PROCESSES], number)
        tasks.append(asyncio.create_task(_answered(work)))
    return sum(await asyncio.gather(*tasks)), calls


async def _through_gateway(gateway: Running, number: int) -> None:
    body = {**body_of(gateway.gateway), "max_tokens": MAX_TOKENS, "user": str(number)}
    if number % 8 < PROCESSES:
        await gateway.with_connection(lambda connection: connection.stream(body))
    else:
        await gateway.with_connection(lambda connection: connection.whole(body))


async def _tool(server: Server, number: int) -> None:
    prompt = f"Say something, always the same. {number}"
    await server.call(("groq_chat", {"prompt": prompt, "use_case": "openai_compatible", "max_tokens": MAX_TOKENS}))


async def _answered(work: Awaitable[object]) -> bool:
    try:
        await work
    except RuntimeError:
        return False
    return True
