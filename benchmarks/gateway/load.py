"""CPU of answers and streams, answers a second, and 64 streams at once: the largest gap, and the memory."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping

from benchmarks.gateway.client import Streamed
from benchmarks.gateway.contenders import DIRECT, FREELM, LITELLM, OURS
from benchmarks.gateway.everybody import everybody
from benchmarks.gateway.figures import Figure
from benchmarks.gateway.process import Running, body_of
from benchmarks.speed.client import Upstream
from benchmarks.speed.rows import ratio_of

__all__ = ["measure"]

IN_FLIGHT = 64
ROUNDS = 5
CPU_CALLS = 128
WORDS = 20
ANSWERS = 512
UPSTREAM_MS = 20
LONG_WORDS = 200
EVERY_MS = 10
LONG_ROUNDS = 3
# LiteLLM's takes ten times as long as the others' for the same: a quarter of the calls, and one round of long streams.
SLOW = 4
EVERYBODY = Mapping[str, Running]


async def measure(*, alone: bool) -> list[Figure]:
    """Everybody in turn, round by round."""
    async with everybody(words=WORDS, alone=alone) as (running, up):
        figures = await _streams(running, up)
        for stream, what, limit in ((False, "a whole answer", 1.5), (True, f"a stream of {WORDS} words", 2.5)):
            await up.set({"*": {"words": WORDS}})
            figures += await _cpu(running, what, limit, stream=stream)
        return [*figures, await _answers_a_second(running, up)]


async def _many(one: Running, count: int, width: int, *, stream: bool = False) -> None:
    numbers = iter(range(count))

    async def worker() -> None:
        for _ in numbers:
            await one.ask(stream=stream)

    await asyncio.gather(*(worker() for _ in range(width)))
    # whoever is idle for long is closed by the other side
    one.close()


async def _cpu(running: EVERYBODY, what: str, limit: float, *, stream: bool) -> list[Figure]:
    found: dict[int, dict[str, list[float]]] = {1: {}, IN_FLIGHT: {}}
    for number in range(ROUNDS + 1):
        for width, costs in found.items():
            for name, one in running.items():
                if name != DIRECT:
                    count = max(CPU_CALLS // SLOW if name == LITELLM else CPU_CALLS, width)
                    before_s = one.cpu_s()
                    await _many(one, count, width, stream=stream)
                    # the first only warms
                    costs.setdefault(name, []).extend([(one.cpu_s() - before_s) / count * 1e3] if number else [])
    figures = [
        Figure(
            name=f"CPU of {what}, {width} in flight",
            unit="ms",
            found={name: statistics.median(values) for name, values in costs.items()},
            limit=limit,
            note=f"our least {min(costs[OURS]):.2f}",
        )
        for width, costs in found.items()
    ]
    ratios = {name: ratio_of(found[IN_FLIGHT][name], found[1][name]) for name in found[1]}
    dearer = Figure(name=f"CPU of {what}, {IN_FLIGHT} in flight to 1", unit="", found=ratios, limit=1.0)
    return [*figures, dearer]


async def _answers_a_second(running: EVERYBODY, up: Upstream) -> Figure:
    await up.set({"*": {"delay_ms": UPSTREAM_MS}})
    found: dict[str, list[float]] = {name: [] for name in running}
    for number in range(LONG_ROUNDS + 1):
        for name, one in running.items():
            count = ANSWERS // SLOW if name == LITELLM else ANSWERS
            begun = time.perf_counter()
            await _many(one, count, IN_FLIGHT)
            if number:
                found[name].append(count / (time.perf_counter() - begun))
    medians = {name: statistics.median(values) for name, values in found.items()}
    note = "" if FREELM not in found else f"{ratio_of(found[OURS], found[FREELM]):.1f} x freelm round by round, target 2"
    return Figure(
        name=f"whole answers a second, {IN_FLIGHT} in flight, upstream {UPSTREAM_MS} ms",
        unit="/s",
        found=medians,
        limit=6.0,
        at_least=True,
        times=LITELLM,
        note=note,
    )


async def _streams(running: EVERYBODY, up: Upstream) -> list[Figure]:
    """The largest gap is the median of the rounds' largest; memory is what is resident at the end of the second half."""
    gaps: dict[str, list[float]] = {name: [] for name in running}
    idle: dict[str, float] = {}
    grown: dict[str, float] = {}
    await up.set({"*": {"words": LONG_WORDS, "every_ms": EVERY_MS}})
    for name, one in running.items():
        for _ in range(1 if name == LITELLM else LONG_ROUNDS):
            if name != DIRECT:
                idle.setdefault(name, one.memory_mib())
            streaming = asyncio.gather(*(_stream(one) for _ in range(IN_FLIGHT)))
            peak = 0.0
            while not streaming.done():
                await asyncio.wait([streaming], timeout=0.5)
                peak = max(peak, one.memory_mib())
            grown[name] = max(grown.get(name, 0.0), peak)
            gaps[name].append(max(streamed.largest_gap_ms for streamed in await streaming))
            one.close()
    return [
        Figure(
            name=f"{IN_FLIGHT} streams of {LONG_WORDS} words, {1000 // EVERY_MS} a second each: largest gap beyond the upstream's",
            unit="ms",
            found={name: statistics.median(values) for name, values in gaps.items()},
            limit=50.0,
            note=f"our least {min(gaps[OURS]):.0f}",
        ),
        Figure(name="memory after the first answer", unit="MiB", found=idle, limit=100.0),
        Figure(
            name=f"memory that {IN_FLIGHT} streams add",
            unit="MiB",
            found={name: grown[name] - idle[name] for name in idle},
            limit=25.0,
        ),
    ]


async def _stream(one: Running) -> Streamed:
    streamed = await one.with_connection(lambda connection: connection.stream(body_of(one.gateway)))
    if not streamed.is_whole or len(streamed.pieces) != LONG_WORDS:
        raise RuntimeError(f"{one.gateway.name}: {len(streamed.pieces)} of {LONG_WORDS} words")
    return streamed
