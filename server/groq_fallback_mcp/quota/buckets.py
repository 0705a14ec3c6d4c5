"""Token buckets with continuous refill, as Groq's limits behave: admit, take, settle, follow what the server states.

A bucket holds at most `capacity` units and gains `capacity / window` a second. A request is admitted when every
bucket that applies holds its cost; it then takes from all of them at once. Source of the model: the waits in real 429
messages equal (used + requested - limit) / (limit / window).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

from groq_fallback_mcp.call import Limit, LimitReading

__all__ = [
    "ON_THE_WAY_S",
    "RETURNABLE",
    "Admission",
    "Admitted",
    "Bucket",
    "Deferred",
    "NeverFits",
    "admit",
    "charge",
    "follow",
    "new_bucket",
    "proves_return",
    "take",
]

Knowledge = Literal["documented", "observed", "learnt"]

# A hair of tolerance, so that a wait computed from a level really suffices in floating point.
EPSILON = 1e-7
# Groq gives back what a call claimed of these and did not use, or it does not: sources disagree.
RETURNABLE = frozenset({Limit.TPM, Limit.TPD, Limit.ITPM, Limit.OTPM})
# A request is on its way to a server whose full bucket gains nothing until it arrives.
ON_THE_WAY_S = 0.9
# By how much of a bucket a statement must exceed ours to prove that something came back.
TELLING_SHARE = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A limit's state. `level` units were left at `at` (Unix seconds); it may be negative after an overdraft.

    `knowledge`: `documented` (the table's figure, never confirmed), `observed` (the server confirmed this capacity),
    `learnt` (the server stated another capacity than the table); `stated_at` is when it last did. `charged` and `credited`
    are all the units that calls have ever claimed and got back: what happened since a moment is the difference.
    """

    limit: Limit
    capacity: float
    level: float
    at: float
    knowledge: Knowledge = "documented"
    stated_at: float = 0.0
    charged: float = 0.0
    credited: float = 0.0

    @property
    def refill_per_s(self) -> float:
        return self.capacity / self.limit.window_s

    def level_at(self, now: float) -> float:
        """Units left at `now`. Until `at`, where that lies ahead, nothing comes in."""
        return min(self.capacity, self.level + max(now - self.at, 0.0) * self.refill_per_s)

    def wait_s(self, cost: float, now: float) -> float:
        """Seconds from `now` until a call of this cost may be sent; only meaningful when cost <= capacity."""
        missing = cost - self.level_at(now)
        return missing / self.refill_per_s + max(self.at - now, 0.0) if missing > 0 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Every bucket holds its cost now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not now, but in `wait_s` seconds; `limit` is the one that takes longest."""

    wait_s: float
    limit: Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverFits:
    """The cost exceeds the whole bucket: waiting cannot help."""

    limit: Limit
    capacity: float
    cost: float


Admission = Admitted | Deferred | NeverFits


@lru_cache(maxsize=1024)
def new_bucket(limit: Limit, capacity: float) -> Bucket:
    """A full bucket of documented capacity, at whatever time: it has been full for ever."""
    return Bucket(limit=limit, capacity=capacity, level=capacity, at=0.0)


def admit(buckets: Mapping[Limit, Bucket], cost: Mapping[Limit, float], now: float) -> Admission:
    """Whether a request of this cost would be admitted at `now`. Limits without a bucket are not limited."""
    longest: Deferred | None = None
    for limit, units in cost.items():
        bucket = buckets.get(limit)
        if bucket is None:
            continue
        if units > bucket.capacity + EPSILON:
            return NeverFits(limit=limit, capacity=bucket.capacity, cost=units)
        if bucket.level_at(now) >= units - EPSILON:
            continue
        wait_s = bucket.wait_s(units, now)
        if longest is None or wait_s > longest.wait_s:
            longest = Deferred(wait_s=wait_s, limit=limit)
    return longest or Admitted()


def take(bucket: Bucket, units: float, now: float) -> Bucket:
    """The bucket after a call claimed `units` of it. Once full it gains nothing before the request has arrived."""
    lost_s = max(ON_THE_WAY_S - bucket.wait_s(bucket.capacity, now), 0.0)
    start = max(now + lost_s, bucket.at)
    return replace(charge(bucket, units, now), at=start, charged=bucket.charged + units)


def charge(bucket: Bucket, units: float, now: float) -> Bucket:
    """The bucket after taking `units`, or giving them back where they are negative: never above its capacity.

    An overdraft (the real usage was higher than the claim) goes below zero.
    """
    return replace(bucket, level=min(bucket.capacity, bucket.level_at(now) - units), at=max(now, bucket.at))


def proves_return(bucket: Bucket, remaining: float, now: float, *, later: float) -> bool:
    """Whether a stated `remaining` shows that unused units come back: others' traffic can only lower it.

    The bucket is settled to what the server charged at admission; `later` is what other calls may have claimed since.
    """
    return remaining > bucket.level_at(now) + later + TELLING_SHARE * bucket.capacity


def follow(
    bucket: Bucket | None, reading: LimitReading, now: float, *, held: float = 0.0, slack: float = 0.0, later: float = math.inf
) -> Bucket | None:
    """The bucket after the server stated something about it; None when there is nothing to go by.

    A stated capacity replaces ours; then our level says nothing, and the bucket is full but for the `held` units of our
    calls under way. Otherwise ours is moved to between the most and the least that the server's can be by now: `slack` is
    what may have come back since its moment, `later` what our other calls may have claimed since. A refusal is exact: its
    stated wait sets the level so that our next wait equals the server's, unless calls under way may be missing from its
    figures.
    """
    capacity = reading.capacity or (bucket.capacity if bucket is not None else None)
    if capacity is None or capacity <= 0:
        return bucket
    if bucket is None or bucket.capacity != capacity:
        known = Bucket(limit=reading.limit, capacity=capacity, level=capacity - held, at=now, knowledge="learnt")
    else:
        known = bucket
    ours, level, at = known.level_at(now), known.level, known.at
    if reading.wait_s is not None and reading.requested is not None and reading.requested <= capacity:
        stated = reading.requested - reading.wait_s * known.refill_per_s
        level, at = stated if held <= 0 else min(ours, stated), now
    elif reading.remaining is not None:
        level, at = min(max(ours, reading.remaining - later), reading.remaining + slack), max(now, known.at)
    confirmed = reading.capacity is not None and known.knowledge == "documented"
    return replace(
        known,
        level=level,
        at=at,
        knowledge="observed" if confirmed else known.knowledge,
        stated_at=known.stated_at if reading.capacity is None else max(now, known.stated_at),
    )
