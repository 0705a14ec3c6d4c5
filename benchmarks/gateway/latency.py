"""What a gateway adds to an answer, and to the first token of a stream, with one request in flight."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.gateway.contenders import DIRECT
from benchmarks.gateway.everybody import everybody
from benchmarks.gateway.figures import Figure
from benchmarks.gateway.process import Running
from benchmarks.speed.rows import percentile

__all__ = ["measure"]

ROUNDS = 400
WARM = 30
WORDS = 20


async def measure(*, alone: bool) -> list[Figure]:
    """Everybody in turn, request by request, so that what slows the machine slows all; a p50 or p99 less the direct call's."""
    async with everybody(words=WORDS, alone=alone) as (running, _):
        whole, first = await _took(running, stream=False), await _took(running, stream=True)
    return [
        _added("latency added to a whole answer, p50", whole, 0.5, 1.5),
        _added("latency added to a whole answer, p99", whole, 0.99, 5.0),
        _added("time added to the first token, p50", first, 0.5, 2.0),
        _added("time added to the first token, p99", first, 0.99, None),
    ]


async def _took(running: Mapping[str, Running], *, stream: bool) -> Mapping[str, list[float]]:
    took: dict[str, list[float]] = {name: [] for name in running}
    for number in range(ROUNDS + WARM):
        for name, one in running.items():
            ms = await one.ask(stream=stream)
            if number >= WARM:
                took[name].append(ms)
    return took


def _added(what: str, took: Mapping[str, list[float]], share: float, limit: float | None) -> Figure:
    floor = percentile(took[DIRECT], share)
    found = {name: percentile(ms, share) - (0.0 if name == DIRECT else floor) for name, ms in took.items()}
    return Figure(name=what, unit="ms", found=found, limit=limit, note="of the direct call the whole")
