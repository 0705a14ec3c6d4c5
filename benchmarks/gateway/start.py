"""From the spawn to the first answer, and the first token when the first model is limited or down."""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

from benchmarks.gateway.contenders import LITELLM, OURS, Gateway, direct, gateways, ours
from benchmarks.gateway.figures import Figure
from benchmarks.gateway.process import started
from benchmarks.speed.client import Upstream, upstream
from benchmarks.speed.contenders import MODEL

__all__ = ["measure"]

WORDS = 20
WARM = 10
FAULTS = {"429": {"status": 429, "retry_after": 5}, "503": {"status": 503}}
ROUNDS = 5
# It takes seconds to start.
SLOW_ROUNDS = 2


async def measure(*, alone: bool) -> list[Figure]:
    """A new process for each figure: what it has learnt of a failing model would spoil the next."""
    starts: dict[str, list[float]] = {}
    added: dict[str, dict[str, list[float]]] = {fault: {} for fault in FAULTS}
    with tempfile.TemporaryDirectory() as name:
        async with upstream() as up:
            for number in range(ROUNDS):
                for fault in FAULTS:
                    folder = Path(name) / f"{fault} {number}"
                    folder.mkdir()
                    wanted = {OURS: ours(folder, up.address)} if alone else gateways(folder, up.address)
                    for gateway in wanted.values():
                        if gateway.name != LITELLM or number < SLOW_ROUNDS:
                            await _run(gateway, up, fault, starts, added[fault])
    figures = [
        Figure(
            name=f"time added to the first token, first model answers {fault}",
            unit="ms",
            found={one: statistics.median(values) for one, values in found.items()},
            limit=10.0,
            note=f"our least {min(found[OURS]):.1f}",
        )
        for fault, found in added.items()
    ]
    medians = {one: statistics.median(values) / 1e3 for one, values in starts.items()}
    start = Figure(
        name="start to first answer", unit="s", found=medians, limit=1.0, note=f"our least {min(starts[OURS]) / 1e3:.2f}"
    )
    return [*figures, start]


async def _run(
    gateway: Gateway, up: Upstream, fault: str, starts: dict[str, list[float]], added: dict[str, list[float]]
) -> None:
    await up.set({"*": {"words": WORDS}})
    async with started(gateway) as one, started(direct(up.address)) as bare:
        starts.setdefault(gateway.name, []).append(one.start_ms)
        if not gateway.falls_back:
            return
        for running in (one, bare):
            for _ in range(WARM):
                await running.ask(stream=True)
        usual_ms = statistics.median([await bare.ask(stream=True) for _ in range(WARM)])
        await up.set({MODEL: FAULTS[fault], "*": {"words": WORDS}})
        took_ms = await one.ask(stream=True)
        if (await up.counts())["calls"].get(MODEL) != 1:
            raise RuntimeError(f"{gateway.name} has not tried the first model once")
        added.setdefault(gateway.name, []).append(took_ms - usual_ms)
