"""A burst larger than the limits: how many are answered, how soon, and how many requests are wasted on refusals."""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path

from benchmarks.speed.client import started, upstream
from benchmarks.speed.contenders import limits_of, ours
from benchmarks.speed.rows import Row

__all__ = ["measure"]

CALLS = 200
RPM = 40


async def measure() -> list[Row]:
    """From one process, and from four that share the ledger."""
    return [row for processes in (1, 4) for row in await _run(processes)]


async def _run(processes: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        async with upstream() as up, AsyncExitStack() as stack:
            await up.set({"*": {"rpm": RPM}})
            us = ours(Path(name), up.address, limits=limits_of(RPM), GROQ_FALLBACK_DEADLINE_S="300")
            servers = [await stack.enter_async_context(started(us)) for _ in range(processes)]
            assert us.ask is not None
            begun = time.perf_counter()
            work = (servers[number % processes].call(us.ask) for number in range(CALLS))
            results = await asyncio.gather(*work, return_exceptions=True)
            took_s = time.perf_counter() - begun
            counts = await up.counts()
    answered = sum(isinstance(result, dict) for result in results)
    models = len(counts["calls"])
    best_s = max(CALLS - models * RPM, 0) / (models * RPM / 60)
    what = (
        f"{CALLS} calls at once, {RPM} a minute for each of {models} models, {processes} process{'es' if processes > 1 else ''}"
    )
    return [
        Row(figure=f"{what}: answered", unit="%", ours=answered / CALLS * 100, limit=100.0, of="ours", at_least=True),
        Row(
            figure=f"{what}: time",
            unit="s",
            ours=took_s,
            peer="what the limits allow",
            theirs=best_s,
            ratio=took_s / best_s,
            limit=1.05,
        ),
        Row(figure=f"{what}: refused by the upstream", unit="", ours=counts["refused"], limit=0.0, of="ours"),
    ]
