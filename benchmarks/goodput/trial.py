"""One run: a workload put to a contender over a fresh upstream, and what became of every call."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.goodput.contender import CURRENT, Contender, Served
from benchmarks.goodput.models import LIMITS
from benchmarks.goodput.scenarios import Scenario
from benchmarks.goodput.upstream import Sent, Upstream
from benchmarks.goodput.virtual_time import VirtualLoop
from benchmarks.goodput.workload import Job
from groq_fallback_mcp.call import Limit

__all__ = ["Fate", "Observed", "Open", "observe"]

# Builds the processes of a contender over an upstream.
Open = Callable[[Upstream], Sequence[Contender]]

HIDDEN_INPUT, HIDDEN_CLAIM, HIDDEN_OUTPUT, HIDDEN_TOOK_S = 700.0, 1_024.0, 200.0, 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of a call; `served` is None when no answer came before its deadline."""

    job: Job
    served: Served | None
    took_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A whole run."""

    fates: Sequence[Fate]
    sent: Sequence[Sent]


async def observe(loop: VirtualLoop, jobs: Sequence[Job], open_contender: Open, scenario: Scenario) -> Observed:
    """Put every job to the contender's processes in turn, at its time, and cut it at its deadline."""
    upstream = Upstream(loop, scenario)
    processes = open_contender(upstream)
    end_s = max(job.arrives_s + job.deadline_s for job in jobs)
    others = [
        asyncio.create_task(_hidden_traffic(upstream, model, scenario.hidden_share, end_s))
        for model in scenario.track.models
        if scenario.hidden_share > 0
    ]
    running: list[asyncio.Task[Fate]] = []
    for job in jobs:
        await asyncio.sleep(job.arrives_s - loop.time())
        running.append(asyncio.create_task(_fate(loop, job, processes[job.number % len(processes)])))
    fates = await asyncio.gather(*running)
    for task in others:
        task.cancel()
    return Observed(fates=fates, sent=upstream.sent)


async def _fate(loop: VirtualLoop, job: Job, process: Contender) -> Fate:
    CURRENT.set(job)
    started = loop.time()
    served: Served | None = None
    try:
        async with asyncio.timeout(job.deadline_s):
            served = await process.serve(job)
    except TimeoutError:
        pass
    return Fate(job=job, served=served, took_s=loop.time() - started)


async def _hidden_traffic(upstream: Upstream, model: str, share: float, end_s: float) -> None:
    """Calls of a usual size, at random moments, that together take `share` of the model's tokens a minute."""
    chance = random.Random(model)
    used = HIDDEN_INPUT + HIDDEN_OUTPUT
    rate = share * LIMITS[model][Limit.TPM] / 60 / (used if upstream.scenario.refunds else HIDDEN_INPUT + HIDDEN_CLAIM)
    while upstream.loop.time() < end_s:
        await asyncio.sleep(chance.expovariate(rate))
        upstream.occupy(model, claimed=HIDDEN_INPUT + HIDDEN_CLAIM, used=used, for_s=HIDDEN_TOOK_S)
