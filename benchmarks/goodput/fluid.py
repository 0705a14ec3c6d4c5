"""The most calls that any policy could answer in time: an upper bound, by a relaxation that is solved exactly.

What is relaxed, each time in favor of the policy:
- the models are one, whose bucket has the sum of their capacities and the sum of their refills;
- the future is known, and calls may be answered in part: a fraction of a call counts as that fraction;
- a call takes its real tokens only (where unused max_tokens come back), at any moment, in any portions, between its
  arrival and the last moment at which the fastest model could still write its answer before the deadline;
- requests a minute do not count; the daily limits count as totals over the run.

What is left is exact. A bucket of capacity B that gains R a second and spends its oldest tokens first keeps a token
for B / R = W seconds, the window of its limit, so what it holds at the start was gained in the W seconds before. A call
that can be served in [a, d] can then be paid with tokens gained in [a - W, d]: a flow from moments to calls, with intervals. The amounts that such a flow can
deliver to the calls form a polymatroid, over which the count of calls answered, a sum of amount / size, is greatest
when calls are filled one after the other, the smallest first (Edmonds). How much more a call can get is the gain in
the largest flow, and the largest flow over intervals is found by serving the earliest deadline first (Glover).
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.goodput.models import LIMITS, TOKENS_PER_S, TRANSCRIBED_PER_S
from benchmarks.goodput.scenarios import Scenario
from benchmarks.goodput.workload import Job
from groq_fallback_mcp.call import Limit

__all__ = ["share_servable"]

EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class _Demand:
    """So many units, to be paid from what is gained between two moments."""

    from_s: float
    to_s: float
    units: float


def share_servable(jobs: Sequence[Job], scenario: Scenario) -> float:
    """The share of calls that no policy can exceed."""
    track = scenario.track
    demands = sorted((_demand(job, scenario) for job in jobs), key=lambda demand: demand.units)
    end_s = max(demand.to_s for demand in demands)
    most = track.capacity(end_s, daily_left=scenario.daily_quota_left)
    answered = _answered(demands, rate=track.refill_per_s, most=most)
    return min(answered, _requests(scenario, end_s)) / len(jobs)


def _demand(job: Job, scenario: Scenario) -> _Demand:
    fastest_s = job.audio_s / TRANSCRIBED_PER_S if job.audio_s else job.output_tokens / max(TOKENS_PER_S.values())
    return _Demand(
        from_s=job.arrives_s - scenario.track.metered.window_s,
        to_s=job.arrives_s + job.deadline_s - job.overhead_s - fastest_s,
        units=job.work if scenario.refunds or job.audio_s else float(job.input_tokens + job.max_tokens),
    )


def _requests(scenario: Scenario, seconds: float) -> float:
    """How many requests the daily limits let through."""
    return sum(
        LIMITS[model][Limit.RPD] * (scenario.daily_quota_left + seconds / Limit.RPD.window_s) for model in scenario.track.models
    )


def _answered(demands: Sequence[_Demand], *, rate: float, most: float) -> float:
    """How many demands, in fractions, are met by a greedy that goes through them in order."""
    met: list[_Demand] = []
    total = answered = 0.0
    at, step = 0, 1
    while at < len(demands) and total < most - EPSILON:
        batch = list(demands[at : at + step])
        wanted = sum(demand.units for demand in batch)
        gain = min(_largest_flow([*met, *batch], rate), most) - total
        if gain >= wanted - EPSILON:
            met += batch
            total += wanted
            answered += len(batch)
            at += step
            step *= 2
        elif step > 1:
            # which of them does not fit is found by halves
            step //= 2
        else:
            if gain > EPSILON:
                met.append(_Demand(batch[0].from_s, batch[0].to_s, gain))
                total += gain
                answered += gain / wanted
            at += 1
    return answered


def _largest_flow(demands: Sequence[_Demand], rate: float) -> float:
    """How many units can be paid in all: at every moment, to whoever's time is up first."""
    waiting: list[tuple[float, float]] = []
    arriving = sorted(demands, key=lambda demand: demand.from_s)
    paid = 0.0
    now = -math.inf
    following = 0
    while following < len(arriving) or waiting:
        if not waiting:
            now = max(now, arriving[following].from_s)
        while following < len(arriving) and arriving[following].from_s <= now:
            heapq.heappush(waiting, (arriving[following].to_s, arriving[following].units))
            following += 1
        to_s, units = heapq.heappop(waiting)
        until = min(to_s, arriving[following].from_s if following < len(arriving) else to_s)
        share = min(units, max(until - now, 0.0) * rate)
        paid += share
        if units - share > EPSILON and until < to_s:
            heapq.heappush(waiting, (to_s, units - share))
            now = until
        else:
            now += share / rate
    return paid
