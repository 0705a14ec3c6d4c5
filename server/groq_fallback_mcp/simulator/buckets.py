"""Groq's limits as token buckets that refill all the time: one per organisation, model and limit.

A bucket counts what is used. `used` sinks by `capacity / window` each second, so a limit of 1,000 a day frees a slot
every 86.4 s and there is no reset at midnight.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import Catalog, Plan
from groq_fallback_mcp.clock import Clock

__all__ = ["Bucket", "Buckets", "Shortage", "find_shortage"]

_ROUNDING_NOISE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The state of one limit at `at_s` (monotonic seconds). `capacity` and `used` are in the limit's own unit."""

    capacity: float
    window_s: float
    at_s: float
    used: float = 0.0

    @property
    def per_second(self) -> float:
        """How much becomes free each second."""
        return self.capacity / self.window_s

    @property
    def remaining(self) -> float:
        """What is free now."""
        return max(self.capacity - self.used, 0.0)

    @property
    def full_in_s(self) -> float:
        """Seconds until nothing is used any more: what the `reset` headers tell."""
        return self.used / self.per_second

    def wait_s(self, requested: float) -> float:
        """Seconds until `requested` fits. Printed by Groq even where it exceeds the capacity and never will."""
        return max((self.used + requested - self.capacity) / self.per_second, 0.0)

    def at(self, now_s: float) -> Bucket:
        """The bucket refilled up to now."""
        freed = max(now_s - self.at_s, 0.0) * self.per_second
        return replace(self, at_s=now_s, used=max(self.used - freed, 0.0))

    def charged(self, amount: float) -> Bucket:
        """With so much more used; a negative amount gives back."""
        return replace(self, used=max(self.used + amount, 0.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """The limit that stands in the way of a request."""

    limit: Limit
    capacity: float
    used: float
    requested: float
    wait_s: float

    @property
    def never_fits(self) -> bool:
        """More is requested than the whole bucket holds."""
        return self.requested > self.capacity


# The order in which limits are looked at: which one a 429 names when several are exhausted. Unverified.
_ORDER = (Limit.RPM, Limit.RPD, Limit.TPM, Limit.TPD, Limit.ASH, Limit.ASD)
# A request larger than one of these gets a 413; of others it gets a 429 with a wait that does not help.
_SIZE_LIMITS = (Limit.TPM, Limit.ASH)


def find_shortage(buckets: Mapping[Limit, Bucket], cost: Mapping[Limit, float]) -> Shortage | None:
    """The first limit that refuses this cost, those that can never admit it first; None when all admit it."""
    known = [limit for limit in _ORDER if limit in buckets and limit in cost]
    too_large = [limit for limit in known if limit in _SIZE_LIMITS and cost[limit] > buckets[limit].capacity]
    short = [limit for limit in known if buckets[limit].used + cost[limit] > buckets[limit].capacity + _ROUNDING_NOISE]
    for limit in (*too_large, *short):
        bucket = buckets[limit]
        requested = cost[limit]
        return Shortage(
            limit=limit, capacity=bucket.capacity, used=bucket.used, requested=requested, wait_s=bucket.wait_s(requested)
        )
    return None


class Buckets:
    """All buckets of all organisations, made on first use from the plan's limits."""

    def __init__(self, catalog: Catalog, *, plan: Plan, clock: Clock) -> None:
        self._catalog = catalog
        self._plan: Plan = plan
        self._clock = clock
        self._states: dict[tuple[str, str], dict[Limit, Bucket]] = {}

    def state(self, organisation: str, model: str) -> Mapping[Limit, Bucket]:
        """The buckets of a model, refilled up to now; empty for a model without known limits."""
        now_s = self._clock.monotonic()
        held = self._states.get((organisation, model))
        if held is None:
            figures = self._catalog.limits(model, self._plan)
            return {
                limit: Bucket(capacity=float(figure), window_s=limit.window_s, at_s=now_s) for limit, figure in figures.items()
            }
        return {limit: bucket.at(now_s) for limit, bucket in held.items()}

    def take(self, organisation: str, model: str, cost: Mapping[Limit, float]) -> Shortage | None:
        """Charge every limit, or none of them and say which one is short."""
        shortage = find_shortage(self.state(organisation, model), cost)
        if shortage is None:
            self.charge(organisation, model, cost)
        return shortage

    def charge(self, organisation: str, model: str, amounts: Mapping[Limit, float]) -> None:
        """Use so much more, or less where negative, without asking whether it fits."""
        state = self.state(organisation, model)
        self._states[organisation, model] = {
            limit: bucket.charged(amounts.get(limit, 0.0)) for limit, bucket in state.items()
        }

    def reset(self) -> None:
        """As if nothing had ever been asked."""
        self._states.clear()
