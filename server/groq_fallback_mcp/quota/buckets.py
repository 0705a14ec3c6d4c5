"""Token buckets with continuous refill, as Groq's limits behave: admit, charge, give back, learn.

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
    "Admission",
    "Admitted",
    "Bucket",
    "Deferred",
    "NeverFits",
    "admit",
    "charge",
    "give_back",
    "learn",
    "new_bucket",
    "refilled_from",
    "take",
]

Knowledge = Literal["documented", "observed", "learnt"]

# A hair of tolerance, so that a wait computed from a level really suffices in floating point.
EPSILON = 1e-7
MARGIN_FACTOR, MARGIN_KEPT = 1.3, 0.985
LARGEST_MARGIN = 0.5
MINUTE_S = 60.0
LONGEST_WATCH_S = 300.0
# An answer takes long to write, a request is not long on its way.
LONGEST_WAY_S = 1.0
# Remaining figures are whole numbers.
LEAST_DRIFT = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A limit's state. `level` units were left at `at` (Unix seconds); it may be negative after an overdraft.

    `knowledge`: `documented` (the table's figure, never confirmed), `observed` (the server confirmed this capacity),
    `learnt` (the server stated another capacity than the table); `stated_at` is when it last did. `withheld`,
    `credited`, `charged` and `confirmed` belong to what is known of refunds, see refund.py. `margin` is left for others of the
    organization, whose traffic shows only in what the server says remains.
    """

    limit: Limit
    capacity: float
    level: float
    at: float
    knowledge: Knowledge = "documented"
    stated_at: float = 0.0
    withheld: float = 0.0
    credited: float = 0.0
    charged: float = 0.0
    confirmed: float = 0.0
    margin: float = 0.0

    def is_full_at(self, now: float) -> bool:
        """Whether nothing more would come in."""
        return self.level_at(now) >= self.capacity

    @property
    def refill_per_s(self) -> float:
        return self.capacity / self.limit.window_s

    def level_at(self, now: float) -> float:
        """Units left at `now`. A clock that went back counts as no time passed."""
        return min(self.capacity, self.level + max(now - self.at, 0.0) * self.refill_per_s)

    def wanted(self, cost: float) -> float:
        """The level at which a call of this cost is sent: the cost and the margin, or the full bucket."""
        return min(cost + self.margin, max(self.capacity, cost))

    def wait_s(self, cost: float, now: float) -> float:
        """Seconds from `now` until a call of this cost may be sent; only meaningful when cost <= capacity."""
        return max(self.wanted(cost) - self.level_at(now), 0.0) / self.refill_per_s


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
        if bucket.level_at(now) >= bucket.wanted(units) - EPSILON:
            continue
        wait_s = bucket.wait_s(units, now)
        if longest is None or wait_s > longest.wait_s:
            longest = Deferred(wait_s=wait_s, limit=limit)
    return longest or Admitted()


def take(bucket: Bucket, units: float, now: float) -> Bucket:
    """The bucket after a call claimed `units` of it."""
    level = bucket.level_at(now)
    # a bucket holds no more than its capacity: what came back to a full one is lost
    withheld = min(bucket.withheld, bucket.capacity - level)
    return replace(bucket, level=level - units, at=now, charged=bucket.charged + units, withheld=withheld)


def charge(bucket: Bucket, units: float, now: float) -> Bucket:
    """The bucket after taking `units`; an overdraft (the real usage was higher than the claim) goes below zero."""
    return replace(bucket, level=bucket.level_at(now) - units, at=now)


def refilled_from(bucket: Bucket, full_until: float, now: float) -> Bucket:
    """The bucket, which was full when it was claimed from, as it is if the server's refills only since the request arrived.

    `full_until` is the moment of the claim: the server's bucket was full until the request arrived, and gained nothing
    before. When that was is not known, only that it was answered by `now`.
    """
    on_the_way_s = min(max(now - full_until, 0.0), LONGEST_WAY_S)
    # what has come in beyond its capacity is lost in any case
    since_s = max(now - bucket.at, 0.0) - on_the_way_s
    return replace(bucket, level=min(bucket.capacity, bucket.level + since_s * bucket.refill_per_s), at=now)


def give_back(bucket: Bucket, units: float, now: float) -> Bucket:
    """The bucket after returning `units`, never above its capacity."""
    return replace(bucket, level=min(bucket.capacity, bucket.level_at(now) + units), at=now)


def learn(
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
    confirmed = reading.capacity is not None and known.knowledge == "documented"
    ours, watched_s = known.level_at(now), now - (0.0 if bucket is None else bucket.stated_at)
    level, at, margin, withheld = known.level, known.at, known.margin, known.withheld
    if reading.wait_s is not None and reading.requested is not None and reading.requested <= capacity:
        stated = reading.requested - reading.wait_s * known.refill_per_s
        level, at = stated if held <= 0 else min(ours, stated), now
        margin = _margin(known, ours - stated, watched_s)
    elif reading.remaining is not None:
        most, least = reading.remaining + slack, reading.remaining - later
        level, at = min(max(ours, least), most), now
        margin = _margin(known, ours - most, watched_s)
        # what the server shows to be there was given back already
        withheld = max(withheld - max(least - ours, 0.0), 0.0)
    return replace(
        known,
        level=level,
        at=at,
        margin=margin,
        withheld=withheld,
        knowledge="observed" if confirmed else known.knowledge,
        stated_at=known.stated_at if reading.capacity is None else max(now, known.stated_at),
    )


def _margin(bucket: Bucket, drift: float, watched_s: float) -> float:
    """What to leave in a minute's bucket for others: more than they were last seen to take unnoticed, forgotten slowly.

    What they took before we watched tells nothing of what they will take.
    """
    if bucket.limit.window_s > MINUTE_S or watched_s > LONGEST_WATCH_S:
        return bucket.margin
    seen = drift * MARGIN_FACTOR if drift > LEAST_DRIFT else 0.0
    return min(max(seen, bucket.margin * MARGIN_KEPT), LARGEST_MARGIN * bucket.capacity)
