"""Gauges that are read from the ledger at each scrape: limits, cooldowns and spending, by a look that spends and sends nothing."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from groq_fallback_mcp.clock import today
from groq_fallback_mcp.fallback import FallbackEngine
from groq_fallback_mcp.quota import ModelQuota
from groq_fallback_mcp.quota.budget import DayTotals, usd
from groq_fallback_mcp.telemetry.labels import label

__all__ = ["ledger_gauges"]

# A scrape must not wait for a store that does not answer.
LOOK_S = 2.0
MOST_MODELS = 200


async def ledger_gauges(engine: FallbackEngine) -> Sequence[Metric]:
    """What the ledger knows now; without limits and spending where it does not answer in time."""
    degraded = _gauge("ledger_degraded", "1 while the store of limits and spending cannot be used, else 0.")
    running = _gauge("calls_in_progress", "Calls in progress. This process only.")
    running.add_metric([], len(engine.under_way))
    found: Sequence[Metric] = ()
    with anyio.move_on_after(LOOK_S) as looking:
        found = [*_limits(await _quotas(engine)), *await _spending(engine)]
    degraded.add_metric([], float(looking.cancelled_caught or engine.ledger.status.degraded is not None))
    return [running, degraded, *found]


async def _quotas(engine: FallbackEngine) -> Sequence[ModelQuota]:
    """Of the models that are known now: nothing is asked which there are."""
    claims = [
        engine.claim_of(provider, offered, {})
        for provider in engine.registry.models()
        if provider.name != "local"
        for offered in provider.models.values()
    ]
    return await engine.ledger.peek(claims[:MOST_MODELS])


def _limits(quotas: Sequence[ModelQuota]) -> Sequence[Metric]:
    by_limit = ("provider", "model", "limit")
    capacity = _gauge("limit_capacity", "Capacity of a rate limit, in its unit.", *by_limit)
    remaining = _gauge("limit_remaining", "What is left of a rate limit, in its unit.", *by_limit)
    cooldown = _gauge("cooldown_seconds", "Seconds until a model that cools down is tried again, else 0.", "provider", "model")
    for quota in quotas:
        names = [label(quota.key.provider), label(quota.key.model)]
        for limit, bucket in quota.all_buckets.items():
            capacity.add_metric([*names, limit.value], bucket.capacity)
            remaining.add_metric([*names, limit.value], bucket.level_at(quota.now))
        cooldown.add_metric(names, 0.0 if quota.cooldown is None else quota.cooldown.until - quota.now)
    return [capacity, remaining, cooldown]


async def _spending(engine: FallbackEngine) -> Sequence[Metric]:
    day = today(engine.clock).isoformat()
    totals: DayTotals = (await engine.ledger.spending([day]))[day]
    budget = engine.budget
    gauges = [
        _gauge("day_spent_usd", "US dollars spent today (UTC), where the price is known."),
        _gauge("day_spent_tokens", "Tokens spent today (UTC)."),
    ]
    gauges[0].add_metric([], float(usd(totals.picousd)))
    gauges[1].add_metric([], totals.tokens)
    if budget.picousd is not None:
        gauges.append(_gauge("day_budget_usd", "Daily budget in US dollars."))
        gauges[-1].add_metric([], float(usd(budget.picousd)))
    if budget.tokens is not None:
        gauges.append(_gauge("day_budget_tokens", "Daily budget in tokens."))
        gauges[-1].add_metric([], budget.tokens)
    return gauges


def _gauge(name: str, words: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"groq_fallback_{name}", words, labels=labels)
