"""Whose turn it is when a model's limits run short: of the callers that wait for it, the one that used least of it lately.

A claim is granted only if the buckets still hold afterwards what callers with less use are waiting for. Where nobody waits, anybody
takes all. Batch work goes behind all other work. What is needed for it is in the model's own record, so the rule holds for any number of
processes over one store. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.quota.buckets import Bucket
from groq_fallback_mcp.quota.caller import Caller

__all__ = [
    "LONGEST_WAIT_S",
    "MOST_CALLERS",
    "Use",
    "after_grant",
    "after_settling",
    "not_waiting",
    "set_aside",
    "share_of",
    "waiting",
]

# What was used counts for a third of it after a minute, as most limits are per minute.
MEMORY_S = 60.0
# A call that waits looks again a little after its wait is over.
GRACE_S = 2.0
# As long as a bucket of a minute takes to fill, and a little more: who must wait longer than the gateway lets calls wait is refused,
# told when to come back, and does. Where the mark ended with the gateway's own wait, large requests were never served.
LONGEST_WAIT_S = 70.0
MOST_CALLERS = 64
# Claims of one caller.
MOST_WAITING = 8
# A claim that comes back is estimated anew, by what was learned meanwhile.
SAME_SHARE = 0.05
# Of a limit: so small a use is forgotten.
NEGLIGIBLE = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A claim that had to wait: the units it wants, and until when (Unix seconds) it is waited for."""

    wants: Mapping[Limit, float]
    until: float

    def lasts(self, now: float) -> bool:
        """Whether it still waits. An end beyond all waits was written while the clock was ahead."""
        return now < self.until <= now + LONGEST_WAIT_S + GRACE_S

    def covers(self, other: Waiting) -> bool:
        """Whether no more is set aside for both than for this one, but for a moment."""
        enough = all(self.wants.get(limit, 0.0) >= units for limit, units in other.wants.items())
        return enough and self.until >= other.until - GRACE_S / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """What a caller used of a model lately, and what it waits for.

    `share` is a part of the tightest limit as of `at` (Unix seconds), and decays.
    """

    share: float = 0.0
    at: float = 0.0
    waiting: tuple[Waiting, ...] = ()
    yields: bool = False

    def share_at(self, now: float) -> float:
        """What is left to count of the use."""
        return self.share * math.exp(-max(now - self.at, 0.0) / MEMORY_S)

    def waiting_at(self, now: float) -> tuple[Waiting, ...]:
        """The claims that still wait."""
        return tuple(one for one in self.waiting if one.lasts(now))


def set_aside(uses: Mapping[str, Use], caller: Caller, now: float, *, ranks: Mapping[str, Use]) -> Mapping[Limit, float]:
    """The units that callers wait for who go before this one. `ranks`: by whose uses they are compared, so that a pool and
    each of its models have the same order.
    """

    def rank(name: str, *, yields: bool) -> tuple[bool, float]:
        found = ranks.get(name)
        return yields, 0.0 if found is None else found.share_at(now)

    own = rank(caller.queue, yields=caller.yields)
    total: dict[Limit, float] = {}
    for name, use in uses.items():
        if name == caller.queue or rank(name, yields=use.yields) >= own:
            continue
        claims = use.waiting_at(now)
        for limit in {limit for one in claims for limit in one.wants}:
            # enough for any of its claims: once one is granted, it may be another's turn
            total[limit] = total.get(limit, 0.0) + max(one.wants.get(limit, 0.0) for one in claims)
    return total


def share_of(buckets: Mapping[Limit, Bucket], cost: Mapping[Limit, float]) -> float:
    """How much of the tightest limit a cost is."""
    return max((units / buckets[limit].capacity for limit, units in cost.items() if limit in buckets), default=0.0)


def after_grant(uses: Mapping[str, Use], caller: Caller, share: float, now: float) -> Mapping[str, Use]:
    """The uses after a claim of this share was granted."""
    before = uses.get(caller.queue, Use())
    used = replace(before, share=before.share_at(now) + share, at=now, yields=caller.yields)
    return _bounded({**uses, caller.queue: used}, now)


def after_settling(uses: Mapping[str, Use], queue: str, difference: float, *, taken_at: float, now: float) -> Mapping[str, Use]:
    """The uses after a call took another share than it claimed at `taken_at`."""
    before = uses.get(queue)
    if before is None or difference == 0:
        return uses
    counted = difference * math.exp(-max(now - taken_at, 0.0) / MEMORY_S)
    return {**uses, queue: replace(before, share=max(before.share_at(now) + counted, 0.0), at=now)}


def waiting(
    uses: Mapping[str, Use], caller: Caller, wants: Mapping[Limit, float], *, wait_s: float, now: float
) -> Mapping[str, Use]:
    """The uses with a claim of the caller that must wait so long; one that must wait too long is not waited for."""
    if wait_s > LONGEST_WAIT_S:
        return not_waiting(uses, caller.queue, wants)
    before, claim = uses.get(caller.queue, Use()), Waiting(wants=wants, until=now + wait_s + GRACE_S)
    if any(one.covers(claim) for one in before.waiting_at(now)):
        # not worth a write: hundreds of calls of one caller may wait
        return uses
    others = [one for one in before.waiting_at(now) if not claim.covers(one)]
    claims = (*others[1 - MOST_WAITING :], claim)
    return _bounded({**uses, caller.queue: replace(before, waiting=claims, yields=caller.yields)}, now)


def not_waiting(uses: Mapping[str, Use], queue: str, wants: Mapping[Limit, float]) -> Mapping[str, Use]:
    """The uses without a claim that waited: the one that wants as much, though it was estimated anew since."""
    before = uses.get(queue)
    if before is None or not any(_is_same(one.wants, wants) for one in before.waiting):
        return uses
    return {**uses, queue: replace(before, waiting=tuple(one for one in before.waiting if not _is_same(one.wants, wants)))}


def _is_same(one: Mapping[Limit, float], other: Mapping[Limit, float]) -> bool:
    return one.keys() == other.keys() and all(math.isclose(one[limit], other[limit], rel_tol=SAME_SHARE) for limit in one)


def _bounded(uses: Mapping[str, Use], now: float) -> Mapping[str, Use]:
    """Without those that say nothing any more, and of too many those that neither wait nor used much."""
    kept = {name: use for name, use in uses.items() if use.waiting_at(now) or use.share_at(now) >= NEGLIGIBLE}
    if len(kept) <= MOST_CALLERS:
        return kept
    # whose turn it may be is kept, and then who used most: forgotten, they would seem to have used nothing
    most = sorted(kept, key=lambda name: (bool(kept[name].waiting_at(now)), kept[name].share_at(now)), reverse=True)[
        :MOST_CALLERS
    ]
    return {name: kept[name] for name in most}
