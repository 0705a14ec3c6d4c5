"""The most calls that any policy could answer in time: an upper bound, by a relaxation that is solved exactly.

What is relaxed, each time in favour of the policy:
- the eight models are one, whose bucket has the sum of their capacities and the sum of their refills;
- the future is known, and calls may be answered in part: a fraction of a call counts as that fraction;
- a call takes its real tokens only (where unused max_tokens come back), at any moment, in any portions, between its
  arrival and the last moment at which the fastest model could still write its answer before the deadline;
- requests a minute do not count; the daily limits count as totals over the run.

What is left is exact. A bucket of capacity B that gains R a second and spends its oldest tokens first keeps a token
for B / R = 60 s, so what it holds at the start was gained in the 60 s before. A call with the window [a, d] can then be
paid with tokens gained in [a - 60, d]: a flow from moments to calls, with intervals. The amounts that such a flow can
deliver to the calls form a polymatroid, over which the count of calls answered, a sum of amount / size, is greatest
when calls are filled one after the other, the smallest first (Edmonds). How much more a call can get is the gain in
the largest flow, and the largest flow over intervals is found by serving the earliest deadline first (Glover).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.goodput.figures import capacity_tokens
from benchmarks.goodput.models import LIMITS, TOKENS_PER_S, refill_tpm
from benchmarks.goodput.scenarios import Scenario
from benchmarks.goodput.workload import ChatJob
from groq_fallback_mcp.call import Limit

__all__ = ["share_servable"]

KEPT_S = 60.0
EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class _Demand:
    """So many tokens, to be paid from what is gained between two moments."""

    from_s: float
    to_s: float
    tokens: float


def share_servable(jobs: Sequence[ChatJob], scenario: Scenario) -> float:
    """The share of calls that no policy can exceed."""
    demands = sorted((_demand(job, scenario) for job in jobs), key=lambda demand: demand.tokens)
    end_s = max(demand.to_s for demand in demands)
    answered = _answered(demands, rate=refill_tpm() / 60, most=capacity_tokens(scenario, end_s))
    return min(answered, _requests(scenario, end_s)) / len(jobs)


def _demand(job: ChatJob, scenario: Scenario) -> _Demand:
    least_s = job.overhead_s + job.output_tokens / max(TOKENS_PER_S.values())
    return _Demand(
        from_s=job.arrives_s - KEPT_S,
        to_s=job.arrives_s + job.deadline_s - least_s,
        tokens=float(job.tokens if scenario.refunds else job.input_tokens + job.max_tokens),
    )


def _requests(scenario: Scenario, seconds: float) -> float:
    """How many requests the daily limits let through."""
    return sum(LIMITS[model][Limit.RPD] * (scenario.daily_quota_left + seconds / Limit.RPD.window_s) for model in TOKENS_PER_S)


def _answered(demands: Sequence[_Demand], *, rate: float, most: float) -> float:
    """How many demands, in fractions, are met by a greedy that goes through them in order."""
    met: list[_Demand] = []
    total = answered = 0.0
    at, step = 0, 1
    while at < len(demands) and total < most - EPSILON:
        batch = list(demands[at : at + step])
        wanted = sum(demand.tokens for demand in batch)
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
    """How many tokens can be paid in all: at every moment, to whoever's time is up first."""
    waiting: list[tuple[float, float]] = []
    arriving = sorted(demands, key=lambda demand: demand.from_s)
    paid = 0.0
    now = -KEPT_S
    following = 0
    while following < len(arriving) or waiting:
        if not waiting:
            now = max(now, arriving[following].from_s)
        while following < len(arriving) and arriving[following].from_s <= now:
            heapq.heappush(waiting, (arriving[following].to_s, arriving[following].tokens))
            following += 1
        to_s, tokens = heapq.heappop(waiting)
        until = min(to_s, arriving[following].from_s if following < len(arriving) else to_s)
        share = min(tokens, max(until - now, 0.0) * rate)
        paid += share
        if tokens - share > EPSILON and until < to_s:
            heapq.heappush(waiting, (to_s, tokens - share))
            now = until
        else:
            now += share / rate
    return paid
