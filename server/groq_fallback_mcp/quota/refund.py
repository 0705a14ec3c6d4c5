"""Whether a provider gives back tokens that were claimed and not used: learnt from what it says remains.

Sources disagree about Groq. Until it is known, unused tokens of an answer that says what remains are withheld beside
the level: the server's level then lies between ours and ours plus what is withheld. Other traffic of the organization
can only lower what remains, so more than our level proves a refund; less, again and again, means there is none.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.quota.buckets import Bucket, give_back

__all__ = ["Refunds", "believed", "credit", "evidence", "weighed", "withheld_at"]

Verdict = Literal["unknown", "yes", "no"]
REFUNDABLE = frozenset({Limit.TPM, Limit.TPD, Limit.ITPM, Limit.OTPM})
DOUBTS_TO_CHANGE = 3
LEAST_TELLING_UNITS = 20.0
LEAST_TELLING_SHARE = 0.05
TOLERANCE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Refunds:
    """What is known of a provider. `doubts` counts statements in a row that speak against the verdict."""

    verdict: Verdict = "unknown"
    doubts: int = 0


def withheld_at(bucket: Bucket, now: float) -> float:
    """Units withheld that would still matter: a bucket that has refilled meanwhile owes nothing."""
    return min(bucket.withheld, bucket.capacity - bucket.level_at(now))


def credit(bucket: Bucket, unused: float, now: float, refunds: Refunds, *, stated: bool) -> Bucket:
    """The bucket after a call left `unused` units of its claim. `stated`: the answer said what remains of it."""
    if bucket.limit not in REFUNDABLE or refunds.verdict == "yes" or (refunds.verdict == "unknown" and not stated):
        level = min(bucket.capacity, bucket.level_at(now) + unused)
        return replace(bucket, level=level, at=now, credited=bucket.credited + unused)
    return replace(bucket, withheld=withheld_at(bucket, now) + unused)


def believed(bucket: Bucket, now: float) -> Bucket:
    """The bucket with all that was withheld given back: a refund was proven."""
    return replace(give_back(bucket, withheld_at(bucket, now), now), withheld=0.0, confirmed=bucket.credited)


def evidence(
    bucket: Bucket, *, unused: float, remaining: float, later: float, gained: float, now: float
) -> Literal["yes", "no"] | None:
    """What a stated `remaining` says, before the call it came with is settled; None: nothing either way.

    `unused`: units of this call's claim that it did not use. `later`: what other calls have claimed that the server may
    not have counted yet when it looked. `gained`: refill since the call was reserved, which it may not have counted either.
    """
    if bucket.limit not in REFUNDABLE:
        return None
    level = bucket.level_at(now)
    least = max(LEAST_TELLING_UNITS, LEAST_TELLING_SHARE * bucket.capacity)
    owed = withheld_at(bucket, now)
    if owed + unused >= LEAST_TELLING_UNITS and remaining > level + later + max(TOLERANCE * (owed + unused), TOLERANCE * least):
        return "yes"
    if owed >= least and remaining < level - gained + 3 * TOLERANCE * owed:
        return "no"
    trusted = bucket.credited - bucket.confirmed
    if trusted >= least:
        return "no" if remaining + gained < level - trusted / 2 else "yes"
    return None


def weighed(refunds: Refunds, found: Literal["yes", "no"]) -> Refunds:
    """The verdict after one more statement. A proof counts at once, the lack of a refund only when it stays."""
    if found in {refunds.verdict, "yes"}:
        return Refunds(verdict=found)
    doubts = refunds.doubts + 1
    return Refunds(verdict="no") if doubts >= DOUBTS_TO_CHANGE else replace(refunds, doubts=doubts)
