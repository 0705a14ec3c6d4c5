"""Buckets of what limits leave: admit, take, settle, follow what the server states.

A bucket holds at most `capacity` units. A request is admitted when every bucket that applies holds its cost; it then takes
from all of them at once. Groq's gain `capacity / window` a second: the waits in real 429 messages equal
(used + requested - limit) / (limit / window). Other providers' come back a window after they were used, which no server
that counts in windows of that length can refuse, wherever its windows begin; or all at once when the provider's day ends.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Literal

from groq_fallback_mcp.call import CONTINUOUS, Limit, LimitReading, Refilling
from groq_fallback_mcp.durations import DAY_S, day_end

__all__ = [
    "CLOCK_SLACK_S",
    "ON_THE_WAY_S",
    "PARTS",
    "RETURNABLE",
    "Admission",
    "Admitted",
    "Bucket",
    "Deferred",
    "NeverFits",
    "admit",
    "charge",
    "clock_set_back",
    "follow",
    "less_sure",
    "new_bucket",
    "proves_return",
    "take",
]

Knowledge = Literal["documented", "observed", "learnt"]
Window = Literal["continuous", "sliding", "daily"]

# A hair of tolerance, so that a wait computed from a level really suffices in floating point.
EPSILON = 1e-7
# Groq gives back what a call claimed of these and did not use, or it does not: sources disagree.
RETURNABLE = frozenset({Limit.TPM, Limit.TPH, Limit.TPD, Limit.ITPM, Limit.OTPM})
# A request is on its way to a server whose full bucket gains nothing until it arrives.
ON_THE_WAY_S = 0.9
# Clocks of one machine agree; a stamp further ahead than a request travels means that the clock went back.
CLOCK_SLACK_S = ON_THE_WAY_S + 0.1
# Daylight saving, or the next time zone.
MOST_BACK_S = 2 * 3_600.0
# What is used of a sliding window is kept in so many parts of it; all of a part comes back at its end.
PARTS = 60
# Clocks of two machines: a day ends there a little later.
AFTER_MIDNIGHT_S = 1.0
# By how much of a bucket a statement must exceed ours to prove that something came back.
TELLING_SHARE = 0.005
# When a claim looks again that only waits for its turn.
TURN_POLL_S = 0.25
NOTHING: Mapping[Limit, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A limit's state. `level` units were left at `at` (Unix seconds); it may be negative after an overdraft.

    `knowledge`: `documented` (the table's figure, never confirmed), `observed` (the server confirmed this capacity),
    `learnt` (the server stated another capacity than the table); `stated_at` is when it last did. `charged` and `credited`
    are all the units that calls have ever claimed and got back: what happened since a moment is the difference. `unsure` is how
    many more units the server may have left although it gave nothing back.

    `window`: how units come back. Of a sliding one, `used` says when and how many, the soonest first; of a daily one, `zone` is
    where the day is counted that `at` is in.
    """

    limit: Limit
    capacity: float
    level: float
    at: float
    knowledge: Knowledge = "documented"
    stated_at: float = 0.0
    charged: float = 0.0
    credited: float = 0.0
    unsure: float = 0.0
    window: Window = "continuous"
    zone: str = ""
    used: tuple[tuple[float, float], ...] = ()

    @property
    def refill_per_s(self) -> float:
        """Units that come back in a second, bit by bit: none of a window that is not continuous."""
        return self.capacity / self.limit.window_s if self.window == "continuous" else 0.0

    def level_at(self, now: float) -> float:
        """Units left at `now`. Until `at`, where that lies ahead, nothing comes in."""
        if self.window == "continuous":
            return min(self.capacity, self.level + max(now - self.at, 0.0) * self.refill_per_s)
        if self.window == "daily":
            return self.level if now < _day_over(self.zone, self.at) else self.capacity
        return min(self.capacity, self.capacity - sum(units for until, units in self.used if until > now))

    def full_in_s(self, now: float) -> float:
        """Seconds from `now` until all of it is there again."""
        return self.wait_s(self.capacity, now)

    def wait_s(self, cost: float, now: float) -> float:
        """Seconds from `now` until a call of this cost may be sent; only meaningful when cost <= capacity."""
        missing = cost - self.level_at(now)
        if missing <= EPSILON:
            return 0.0
        if self.window == "continuous":
            return missing / self.refill_per_s + max(self.at - now, 0.0)
        if self.window == "daily":
            return _day_over(self.zone, max(now, self.at)) - now
        for until, units in self.used:
            missing -= units if until > now else 0.0
            if missing <= EPSILON:
                return until - now
        return self.limit.window_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Every bucket holds its cost now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deferred:
    """Not now, but in `wait_s` seconds; `limit` is the one that takes longest.

    `for_others`: it holds the cost, but others that go first wait for so much of it.
    """

    wait_s: float
    limit: Limit
    for_others: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NeverFits:
    """The cost exceeds the whole bucket: waiting cannot help."""

    limit: Limit
    capacity: float
    cost: float


Admission = Admitted | Deferred | NeverFits


@lru_cache(maxsize=1024)
def new_bucket(limit: Limit, capacity: float, refilling: Refilling = CONTINUOUS) -> Bucket:
    """A full bucket of documented capacity, at whatever time: it has been full for ever."""
    daily = limit.window_s == DAY_S and bool(refilling.day_ends)
    window: Window = "daily" if daily else refilling.windows
    return Bucket(
        limit=limit, capacity=capacity, level=capacity, at=0.0, window=window, zone=refilling.day_ends if daily else ""
    )


def admit(
    buckets: Mapping[Limit, Bucket], cost: Mapping[Limit, float], now: float, set_aside: Mapping[Limit, float] = NOTHING
) -> Admission:
    """Whether a request of this cost would be admitted at `now`. Limits without a bucket are not limited.

    `set_aside`: units that must be left when it has taken its own.
    """
    longest: Deferred | None = None
    for limit, units in cost.items():
        bucket = buckets.get(limit)
        if bucket is None:
            continue
        if units > bucket.capacity + EPSILON:
            return NeverFits(limit=limit, capacity=bucket.capacity, cost=units)
        level = bucket.level_at(now)
        needed = units + (set_aside.get(limit, 0.0) if units > 0 else 0.0)
        if level >= needed - EPSILON:
            continue
        for_others = level >= units - EPSILON
        wait_s = bucket.wait_s(min(needed, bucket.capacity), now)
        if for_others:
            # a full bucket that does not hold both: until those others have taken theirs
            wait_s = max(wait_s, TURN_POLL_S)
        if longest is None or wait_s > longest.wait_s:
            longest = Deferred(wait_s=wait_s, limit=limit, for_others=for_others)
    return longest or Admitted()


def take(bucket: Bucket, units: float, now: float) -> Bucket:
    """The bucket after a call claimed `units` of it. Once full it gains nothing before the request has arrived."""
    if bucket.window != "continuous":
        return charge(bucket, units, now, claimed=units)
    lost_s = max(ON_THE_WAY_S - bucket.wait_s(bucket.capacity, now), 0.0)
    start = max(now + lost_s, bucket.at)
    # of a full bucket the server may have gained this much after the request arrived
    gained = (start - max(now, bucket.at)) * bucket.refill_per_s
    return replace(charge(less_sure(bucket, gained, now), units, now, claimed=units), at=start)


def charge(
    bucket: Bucket, units: float, now: float, *, taken_at: float | None = None, claimed: float = 0.0, credited: float = 0.0
) -> Bucket:
    """The bucket after taking `units`, or giving them back where they are negative: never above its capacity.

    An overdraft (the real usage was higher than the claim) goes below zero. `taken_at` is when the call was claimed that
    this corrects: of a window that is over by now there is nothing to correct. `claimed` and `credited` count with what calls have
    ever claimed and got back.
    """
    at = now if taken_at is None else taken_at
    used = bucket.used
    if bucket.window == "sliding":
        part_s = bucket.limit.window_s / PARTS
        until = math.ceil((at + ON_THE_WAY_S + bucket.limit.window_s) / part_s) * part_s
        used = _with_used(used, until, units, now)
        level = bucket.capacity - sum(amount for _, amount in used)
    else:
        over = bucket.window == "daily" and _day_over(bucket.zone, at) <= now
        level = min(bucket.capacity, bucket.level_at(now) - (0.0 if over else units))
    return replace(
        bucket,
        level=level,
        at=max(now, bucket.at),
        charged=bucket.charged + claimed,
        credited=bucket.credited + credited,
        used=used,
    )


def less_sure(bucket: Bucket, units: float, now: float) -> Bucket:
    """The bucket when the server may have so many units more than ours has."""
    if units <= 0 or bucket.limit not in RETURNABLE:
        return bucket
    return replace(bucket, unsure=_still_unsure(bucket, now) + units)


def proves_return(bucket: Bucket, remaining: float, now: float, *, later: float) -> bool:
    """Whether a stated `remaining` shows that unused units come back: others' traffic can only lower it.

    The bucket is settled to what the server charged at admission; `later` is what other calls may have claimed since.
    """
    return remaining > bucket.level_at(now) + _still_unsure(bucket, now) + later + TELLING_SHARE * bucket.capacity


def follow(
    bucket: Bucket | None,
    reading: LimitReading,
    now: float,
    *,
    held: float = 0.0,
    slack: float = 0.0,
    later: float = math.inf,
    refilling: Refilling = CONTINUOUS,
) -> Bucket | None:
    """The bucket after the server stated something about it; None when there is nothing to go by.

    A stated capacity replaces ours; then our level says nothing, and the bucket is full but for the `held` units of our
    calls under way. Otherwise ours is moved to between the most and the least that the server's can be by now: `slack` is
    what may have come back since its moment, `later` what our other calls may have claimed since. A refusal is exact: its
    stated wait sets the level so that our next wait equals the server's, unless calls under way may be missing from its
    figures. `refilling` is how a limit comes back that nothing was known of. Of a window that is not continuous we know what
    we used, whatever its capacity turns out to be; a refusal says that nothing is left of it until its stated wait is over.
    """
    capacity = reading.capacity or (bucket.capacity if bucket is not None else None)
    if capacity is None or capacity <= 0:
        return bucket
    if bucket is None:
        fresh = new_bucket(reading.limit, capacity, refilling)
        known = replace(charge(fresh, held, now), knowledge="learnt")
    elif bucket.capacity == capacity:
        known = bucket
    elif bucket.window == "continuous":
        known = replace(bucket, capacity=capacity, level=capacity - held, at=now, knowledge="learnt", unsure=0.0)
    else:
        level = bucket.level_at(now) + capacity - bucket.capacity
        known = replace(bucket, capacity=capacity, level=min(level, capacity), at=max(now, bucket.at), knowledge="learnt")
    if known.window != "continuous":
        return _stated(_followed(known, reading, now, slack=slack, later=later), reading, now)
    ours, level, at, unsure = known.level_at(now), known.level, known.at, known.unsure
    if reading.wait_s is not None and reading.requested is not None and reading.requested <= capacity:
        stated = reading.requested - reading.wait_s * known.refill_per_s
        level, at = stated if held <= 0 else min(ours, stated), now
    elif reading.remaining is not None:
        level, at = min(max(ours, reading.remaining - later), reading.remaining + slack), max(now, known.at)
        unsure = min(unsure, max(reading.remaining + slack - level, 0.0))
    return _stated(replace(known, level=level, at=at, unsure=unsure), reading, now)


def clock_set_back(bucket: Bucket, now: float) -> Bucket:
    """The bucket as of `now` where the clock went back since: what is used comes back within a window from now.

    What came in while the clock was ahead was for time that has not passed. Over more than a window it cannot be told how much
    that was, and of a day's limit it would be missed for hours if the clock was right before: then one refusal tells. A clock that is
    a minute off is one of a minute's window, though the bucket may be stamped by the way of a request more.
    """
    back_s, window_s = bucket.at - now, bucket.limit.window_s
    is_known = CLOCK_SLACK_S < back_s < min(window_s + CLOCK_SLACK_S, MOST_BACK_S)
    early = min(back_s, window_s) * bucket.refill_per_s if is_known else 0.0
    bucket = replace(less_sure(bucket, early, now), level=bucket.level - early)
    latest = now + ON_THE_WAY_S + bucket.limit.window_s * (1 + 1 / PARTS)
    used: dict[float, float] = {}
    for until, units in bucket.used:
        used[min(until, latest)] = used.get(min(until, latest), 0.0) + units
    return replace(bucket, at=min(bucket.at, now), stated_at=min(bucket.stated_at, now), used=tuple(sorted(used.items())))


def _still_unsure(bucket: Bucket, now: float) -> float:
    """What the server may have more by now: nothing once the bucket is full."""
    return min(bucket.unsure, bucket.capacity - bucket.level_at(now))


def _day_over(zone: str, at: float) -> float:
    """When the day is over that `at` is in, as we count it: what happens right after midnight still belongs to the day before.

    Else what was left of that day would become what is left of the new one.
    """
    return day_end(zone, max(at - AFTER_MIDNIGHT_S, 0.0)) + AFTER_MIDNIGHT_S


def _stated(known: Bucket, reading: LimitReading, now: float) -> Bucket:
    confirmed = reading.capacity is not None and known.knowledge == "documented"
    return replace(
        known,
        knowledge="observed" if confirmed else known.knowledge,
        stated_at=known.stated_at if reading.capacity is None else max(now, known.stated_at),
    )


def _followed(known: Bucket, reading: LimitReading, now: float, *, slack: float, later: float) -> Bucket:
    """A bucket of a window that is not continuous, moved to what is stated."""
    ours = known.level_at(now)
    if reading.wait_s is not None and (reading.requested is None or reading.requested <= known.capacity):
        if known.window == "daily":
            return charge(known, max(ours, 0.0), now)
        return replace(known, used=_with_used(known.used, now + reading.wait_s, max(ours, 0.0), now))
    if reading.remaining is None:
        return known
    stated = min(max(ours, reading.remaining - later), reading.remaining + slack)
    if stated <= ours or known.window == "daily":
        return charge(known, ours - stated, now)
    # of what we think was used, the oldest must have come back
    surplus, kept = stated - ours, []
    for until, units in known.used:
        if until <= now:
            continue
        dropped = min(surplus, units)
        surplus -= dropped
        if units > dropped:
            kept.append((until, units - dropped))
    return replace(known, used=tuple(kept))


def _with_used(
    used: tuple[tuple[float, float], ...], until: float, units: float, now: float
) -> tuple[tuple[float, float], ...]:
    """What is used, with so many units more until a moment, or fewer, and without what has come back."""
    amounts = {end: amount for end, amount in used if end > now}
    if until > now and units >= 0:
        amounts[until] = amounts.get(until, 0.0) + units
    elif until > now:
        # what the clock has moved since is near it
        for end in sorted(amounts, key=lambda end: abs(end - until)):
            taken = min(amounts[end], -units)
            amounts[end] -= taken
            units += taken
    return tuple(sorted((end, amount) for end, amount in amounts.items() if amount > 0))
