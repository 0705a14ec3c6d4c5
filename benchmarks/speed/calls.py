"""Calls that succeed: the server's CPU a call, what it adds to the latency, and how many a second it carries."""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import httpx

from benchmarks.speed.client import Server, Upstream, started, upstream
from benchmarks.speed.contenders import MODEL, PROMPT, Contender, all_contenders, ours
from benchmarks.speed.rows import Row, percentile, ratio_of

__all__ = ["measure"]

BARE = "SDK, low-level Server"
LITELLM = "LiteLLM Router, tuned"
CPU_CALLS = 150
SLOW_MS = 50
IN_FLIGHT = 64
IDEAL_PER_S = IN_FLIGHT / (SLOW_MS / 1000)

Tool = tuple[str, Mapping[str, object]]


async def measure(rounds: int = 6) -> list[Row]:
    """Everything below, against one upstream."""
    with tempfile.TemporaryDirectory() as folder:
        async with upstream() as up, AsyncExitStack() as stack:
            us = ours(Path(folder), up.address)
            peers = all_contenders(up.address)
            wanted = (BARE, "SDK, MCPServer", "fastmcp", "by hand", LITELLM, "groq SDK, a chain", "pydantic-ai FallbackModel")
            contenders = {us.name: us, **{name: peers[name] for name in wanted if peers[name].is_there()}}
            servers = {name: await stack.enter_async_context(started(one)) for name, one in contenders.items()}
            rows = await _cpu(contenders, servers, up, us.name, rounds)
            rows += await _added(servers[us.name], us, up)
            rows += await _throughput(contenders, servers, up, us.name)
            rows += await _after_burst(servers[us.name], us, up)
            return rows


async def _cpu(
    contenders: Mapping[str, Contender], servers: Mapping[str, Server], up: Upstream, us: str, rounds: int
) -> list[Row]:
    await up.set()
    work: list[tuple[str, int, dict[str, list[float]]]] = []
    for kind, widths in (("noop", (1, 64)), ("ask", (1, 16, 64))):
        for width in widths:
            known = {name: list[float]() for name in servers if kind == "ask" or name in {us, BARE, "by hand", "fastmcp"}}
            work.append((kind, width, known))
    for number in range(rounds + 1):
        for kind, width, known in work:
            for name, found in known.items():
                tool = contenders[name].noop if kind == "noop" else contenders[name].ask
                assert tool is not None
                cost_us = await _cpu_us(servers[name], tool, CPU_CALLS if number else 40, width)
                if number:
                    found.append(cost_us)
    rows: list[Row] = []
    for kind, width, known in work:
        what = "a call without upstream" if kind == "noop" else "a call with one to the upstream"
        for name, found in known.items():
            if name == us:
                continue
            rows.append(
                Row(
                    figure=f"CPU of {what}, {width} in flight",
                    unit="µs",
                    ours=statistics.median(known[us]),
                    peer=name,
                    theirs=statistics.median(found),
                    ratio=ratio_of(known[us], found),
                    limit=_cpu_limit(kind, name),
                    note="check_limits against a no-op" if kind == "noop" and name == BARE else "",
                )
            )
    cost_s = (await up.counts())["cpu_s"]
    asked = sum((await up.counts())["calls"].values())
    rows.append(Row(figure="CPU of the upstream stand-in a call", unit="µs", ours=cost_s / asked * 1e6))
    return rows


def _cpu_limit(kind: str, peer: str) -> float | None:
    if peer == BARE:
        return 0.6 if kind == "noop" else 1.0
    return 0.45 if peer == LITELLM and kind == "ask" else None


async def _cpu_us(server: Server, tool: Tool, calls: int, width: int) -> float:
    before_s = server.cpu_s()
    await _many(server, tool, calls, width)
    return max(server.cpu_s() - before_s, 1e-6) / calls * 1e6


async def _many(server: Server, tool: Tool, calls: int, width: int) -> list[float]:
    """The latencies of so many calls, `width` at a time, in seconds."""
    numbers = iter(range(calls))
    took: list[float] = []

    async def worker() -> None:
        for _ in numbers:
            begun = time.perf_counter()
            await server.call(tool)
            took.append(time.perf_counter() - begun)

    await asyncio.gather(*(worker() for _ in range(width)))
    return took


async def _added(server: Server, us: Contender, up: Upstream, calls: int = 600) -> list[Row]:
    """One call after the other, ours and raw httpx in turn."""
    assert us.ask is not None
    await up.set()
    ours_ms: list[float] = []
    raw_ms: list[float] = []
    async with httpx.AsyncClient(base_url=up.address, trust_env=False) as client:
        body = {"model": MODEL, "messages": [{"role": "user", "content": PROMPT}]}
        for _ in range(calls):
            begun = time.perf_counter()
            (await client.post("/openai/v1/chat/completions", json=body)).raise_for_status()
            between = time.perf_counter()
            await server.call(us.ask)
            raw_ms.append((between - begun) * 1e3)
            ours_ms.append((time.perf_counter() - between) * 1e3)
    rows: list[Row] = []
    for share, limit in ((0.5, 2.0), (0.9, None), (0.99, 6.0)):
        our, raw = percentile(ours_ms, share), percentile(raw_ms, share)
        rows.append(
            Row(
                figure=f"latency added to raw httpx, p{share * 100:.0f}",
                unit="ms",
                ours=our - raw,
                peer="raw httpx, whole call",
                theirs=raw,
                limit=limit,
                of="ours",
            )
        )
    return rows


async def _throughput(
    contenders: Mapping[str, Contender], servers: Mapping[str, Server], up: Upstream, us: str, calls: int = 1_500
) -> list[Row]:
    await up.set({"*": {"delay_ms": SLOW_MS}})
    found: dict[str, tuple[list[float], list[float]]] = {
        name: ([], []) for name in servers if name in {us, BARE, "by hand", "fastmcp", LITELLM}
    }
    for _ in range(3):
        for name, (per_s, p99_ms) in found.items():
            tool = contenders[name].ask
            assert tool is not None
            begun = time.perf_counter()
            took = await _many(servers[name], tool, calls, IN_FLIGHT)
            per_s.append(calls / (time.perf_counter() - begun))
            p99_ms.append(percentile(took, 0.99) * 1e3)
    rows: list[Row] = []
    for name, (per_s, p99_ms) in found.items():
        if name == us:
            continue
        first = name == BARE
        rows.append(
            Row(
                figure=f"calls a second, {IN_FLIGHT} in flight, upstream {SLOW_MS} ms",
                unit="/s",
                ours=statistics.median(found[us][0]),
                peer=name,
                theirs=statistics.median(per_s),
                ratio=ratio_of(found[us][0], per_s),
                limit=0.6 * IDEAL_PER_S if first else None,
                of="ours",
                at_least=True,
                note=f"ideal {IDEAL_PER_S:.0f}" if first else "",
            )
        )
        rows.append(
            Row(
                figure="their p99",
                unit="ms",
                ours=statistics.median(found[us][1]),
                peer=name,
                theirs=statistics.median(p99_ms),
                ratio=ratio_of(found[us][1], p99_ms),
                limit=150.0 if first else None,
                of="ours",
            )
        )
    return rows


async def _after_burst(server: Server, us: Contender, up: Upstream) -> list[Row]:
    assert us.ask is not None
    await up.set()
    ratios: list[tuple[float, float]] = []
    async with started(us) as fresh:
        await _many(fresh, us.ask, 30, 1)
        for _ in range(7):
            alone = statistics.median(await _many(fresh, us.ask, 60, 1))
            await _many(server, us.ask, 64, 64)
            ratios.append((statistics.median(await _many(server, us.ask, 60, 1)), alone))
    after, alone_s = ([pair[index] for pair in ratios] for index in (0, 1))
    return [
        Row(
            figure="one call after a burst of 64",
            unit="ms",
            ours=statistics.median(after) * 1e3,
            peer="one call on a fresh server",
            theirs=statistics.median(alone_s) * 1e3,
            ratio=ratio_of(after, alone_s),
            limit=1.1,
        )
    ]
