"""Groq's limits as it enforces them: token buckets with continuous refill, per organization and model.

Source of the formulas, texts and headers: 20 real 429 messages quoted in public issue threads, and real headers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.clock import Clock

__all__ = ["Charge", "Limits", "Refusal", "duration_text"]

_NAMES = {
    Limit.RPM: ("requests per minute", "RPM", "requests"),
    Limit.RPD: ("requests per day", "RPD", "requests"),
    Limit.TPM: ("tokens per minute", "TPM", "tokens"),
    Limit.TPD: ("tokens per day", "TPD", "tokens"),
    Limit.ASH: ("seconds of audio per hour", "ASPH", "asph"),
    Limit.ASD: ("seconds of audio per day", "ASPD", "aspd"),
}
# Refusals are exact to a microsecond's refill, so that whoever waits as long as was stated is admitted.
ROUNDING_S = 1e-6
_HEADERS = {Limit.RPD: "requests", Limit.TPM: "tokens", Limit.ASH: "audio-seconds"}


def duration_text(seconds: float) -> str:
    """`7.66s`, `2m59.56s`, `1h53m45.6s`, `825ms`."""
    thousandths = max(round(seconds * 1000), 0)
    if thousandths < 1000:
        return f"{thousandths}ms"
    hours, rest = divmod(thousandths, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    text = f"{rest // 1000}" + (f".{rest % 1000:03d}".rstrip("0") if rest % 1000 else "") + "s"
    return (f"{hours}h" if hours else "") + (f"{minutes}m" if hours or minutes else "") + text


@dataclass(slots=True)
class _Bucket:
    limit: Limit
    capacity: float
    used: float
    at: float

    @property
    def rate(self) -> float:
        """Refill a second."""
        return self.capacity / self.limit.window_s

    def drain(self, now: float) -> None:
        """What was used flows off continuously."""
        self.used = max(self.used - max(now - self.at, 0.0) * self.rate, 0.0)
        self.at = max(now, self.at)


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What an admitted call took, to be settled when its real usage is known."""

    organization: str
    model: str
    cost: Mapping[Limit, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a call is not admitted: a status of 429 or 413, Groq's text and type, and the wait to the millisecond."""

    status: int
    message: str
    type: str
    limit: Limit
    wait_s: float


@dataclass(slots=True)
class Limits:
    """All buckets. `tables` gives each model's limits; a model without a table is not limited."""

    clock: Clock
    tables: Mapping[str, Mapping[Limit, int]]
    _buckets: dict[tuple[str, str, Limit], _Bucket] = field(default_factory=dict[tuple[str, str, Limit], _Bucket])

    def admit(self, organization: str, model: str, cost: Mapping[Limit, float]) -> Charge | Refusal:
        """Take the cost from every bucket that applies, or refuse and take nothing."""
        now = self.clock.monotonic()
        buckets = {limit: bucket for limit in cost if (bucket := self._bucket(organization, model, limit, now)) is not None}
        for limit in (Limit.TPM, Limit.ASH):
            bucket = buckets.get(limit)
            if bucket is not None and cost[limit] > bucket.capacity:
                return _too_large(organization, model, bucket, cost[limit])
        for limit, bucket in buckets.items():
            excess = bucket.used + cost[limit] - bucket.capacity
            if excess > bucket.rate * ROUNDING_S:
                return _reached(organization, model, bucket, cost[limit], excess)
        for limit, bucket in buckets.items():
            bucket.used += cost[limit]
        return Charge(organization=organization, model=model, cost={limit: cost[limit] for limit in buckets})

    def settle(self, charge: Charge, actual: Mapping[Limit, float]) -> None:
        """Replace the claim by what was used, for the limits that `actual` names."""
        now = self.clock.monotonic()
        for limit, used in actual.items():
            bucket = self._bucket(charge.organization, charge.model, limit, now)
            if bucket is not None and limit in charge.cost:
                bucket.used = max(bucket.used + used - charge.cost[limit], 0.0)

    def headers(self, organization: str, model: str, *, but: frozenset[Limit] = frozenset()) -> dict[str, str]:
        """`x-ratelimit-*`: requests per day, tokens per minute, audio seconds per hour; reset is the time until full."""
        now = self.clock.monotonic()
        found: dict[str, str] = {}
        for limit, suffix in _HEADERS.items():
            bucket = self._bucket(organization, model, limit, now)
            if bucket is None or limit in but:
                continue
            found[f"x-ratelimit-limit-{suffix}"] = f"{bucket.capacity:.0f}"
            found[f"x-ratelimit-remaining-{suffix}"] = f"{max(math.floor(bucket.capacity - bucket.used), 0)}"
            found[f"x-ratelimit-reset-{suffix}"] = duration_text(bucket.used / bucket.rate)
        return found

    def reset(self) -> None:
        """Fill every bucket."""
        self._buckets.clear()

    def _bucket(self, organization: str, model: str, limit: Limit, now: float) -> _Bucket | None:
        capacity = self.tables.get(model, {}).get(limit)
        if capacity is None:
            return None
        bucket = self._buckets.setdefault((organization, model, limit), _Bucket(limit, float(capacity), 0.0, now))
        bucket.drain(now)
        return bucket


def _too_large(organization: str, model: str, bucket: _Bucket, requested: float) -> Refusal:
    words, short, kind = _NAMES[bucket.limit]
    message = (
        f"Request too large for model `{model}` in organization `{organization}` service tier `on_demand` on {words} ({short}): "
        f"Limit {bucket.capacity:.0f}, Requested {requested:.0f}, please reduce your message size and try again."
    )
    return Refusal(status=413, message=message, type=kind, limit=bucket.limit, wait_s=0.0)


def _reached(organization: str, model: str, bucket: _Bucket, requested: float, excess: float) -> Refusal:
    words, short, kind = _NAMES[bucket.limit]
    # never rounded down: after the stated wait the call is admitted
    wait_s = math.ceil(excess / bucket.rate * 1000 - ROUNDING_S) / 1000
    message = (
        f"Rate limit reached for model `{model}` in organization `{organization}` service tier `on_demand` on {words} ({short}): "
        f"Limit {bucket.capacity:.0f}, Used {math.ceil(bucket.used):.0f}, Requested {math.ceil(requested):.0f}. "
        f"Please try again in {duration_text(wait_s)}."
    )
    return Refusal(status=429, message=message, type=kind, limit=bucket.limit, wait_s=wait_s)
