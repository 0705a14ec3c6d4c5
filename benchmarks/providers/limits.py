"""What the simulated providers enforce: of each model, or of models that share a pool, how much in how long."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.providers.simulated import CATALOG, SimulatedProviders
from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.policy.model_choice import is_retired

__all__ = ["DAILY", "REQUESTS", "USE_CASE", "Account", "accounts_of", "units_of"]

USE_CASE = "fast"
REQUESTS = frozenset({Limit.RPM, Limit.RPH, Limit.RPD})
DAILY = frozenset({Limit.RPD, Limit.TPD})


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A model's limits, or a pool's with one model of it. `refills`: token buckets, as Groq's; else counts of the last window."""

    provider: str
    wire_model: str
    limits: Mapping[Limit, int]
    refills: bool

    def most(self, limit: Limit, seconds: float) -> float:
        """What a limit lets through at most from now on, nothing used yet. A day that is counted does not end in a run."""
        capacity = self.limits[limit]
        if self.refills:
            return capacity * (1 + seconds / limit.window_s)
        return capacity if limit in DAILY else capacity * (math.floor(seconds / limit.window_s) + 1)

    def calls_a_second(self, input_tokens: float, output_tokens: float, *, seconds: float) -> float:
        """How many calls of that size the limit that counts in a run gains; none where it is a day's."""

        def calls(limit: Limit) -> float:
            return self.most(limit, seconds) / units_of(limit, input_tokens, output_tokens)

        limit = min(self.limits, key=calls)
        if limit in DAILY and not self.refills:
            return 0.0
        return self.limits[limit] / units_of(limit, input_tokens, output_tokens) / limit.window_s


def units_of(limit: Limit, input_tokens: float, output_tokens: float) -> float:
    """What a call really takes of a limit, its unused max_tokens given back."""
    if limit in REQUESTS:
        return 1.0
    if limit is Limit.ITPM:
        return input_tokens
    return output_tokens if limit is Limit.OTPM else input_tokens + output_tokens


def accounts_of(world: SimulatedProviders) -> Sequence[Account]:
    """Of each model that is tried, or pool, in the order of the use case."""
    practice = CATALOG.practices[USE_CASE]
    chain, day = (practice.model, *practice.chain), today(world.clock)
    found: dict[tuple[str, str], Account] = {}
    for provider, offer in world.offers.items():
        groq = provider == "groq"
        models = sorted(offer.models, key=lambda model: chain.index(model) if model in chain else len(chain))
        for model in models:
            offered = offer.models[model]
            if groq and (model not in chain or is_retired(model, catalog=CATALOG, provider=offer, today=day)):
                continue
            limits = offered.documented if offered.pool is None else offered.pool.documented
            whose = model if offered.pool is None else offered.pool.name
            if limits and (provider, whose) not in found:
                account = Account(provider=provider, wire_model=offered.wire_model, limits=limits, refills=groq)
                found[provider, whose] = account
    return list(found.values())
