"""Callers that share one model's limit, over several ledgers and one store, in virtual time."""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fake_clock import FakeClock

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.quota import Caller, Claim, Granted, QuotaKey, Settlement
from groq_fallback_mcp.quota.memory import MemoryStore
from groq_fallback_mcp.quota.store_ledger import StoredLedger

__all__ = ["Member", "Served", "fair_shares", "simulate"]

KEY = QuotaKey(provider="groq", organization="o", model="m")
LONGEST_WAIT_S = 20.0
LONGEST_NAP_S = 5.0
ANSWER_S = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A caller: calls a second, tokens of each, and whether it comes back when a refusal says so."""

    name: str
    rate: float
    tokens: tuple[int, int]
    yields: bool = False
    returns: bool = True


@dataclass(slots=True)
class Served:
    """Tokens that each caller asked for, was granted, and how many of its calls were given up; and what was left at the end."""

    asked: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    granted: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    lost: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    left: float = 0.0

    @property
    def total(self) -> float:
        """All tokens that were granted."""
        return sum(self.granted.values())


async def simulate(
    members: Sequence[Member], *, seed: int = 0, seconds: float = 300.0, tpm: int = 8_000, fair: bool = True, replicas: int = 3
) -> Served:
    """What becomes of the callers' calls: each waits as the gateway does, and comes back when a refusal says so."""
    clock, draw = FakeClock(), random.Random(seed)
    store = MemoryStore(clock.wall)
    ledgers = [StoredLedger(store, clock, threaded=False) for _ in range(replicas)]
    callers = {one.name: Caller(name=one.name, yields=one.yields) for one in members}
    returns = {one.name: one.returns for one in members}
    served, begun = Served(), clock.monotonic()
    # (when, number, what): a call that looks for its turn, with what it waited so far, or one that ends
    events: list[tuple[float, int, str, float, float, object]] = []
    number = 0

    def later(when: float, name: str, tokens: float, waited: float, ending: object = None) -> None:
        nonlocal number
        number += 1
        heapq.heappush(events, (when, number, name, tokens, waited, ending))

    for one in members:
        when = draw.expovariate(one.rate)
        while when < seconds:
            tokens = draw.randint(*one.tokens)
            served.asked[one.name] += tokens
            later(when, one.name, tokens, 0.0)
            when += draw.expovariate(one.rate)
    while events:
        when, at, name, tokens, waited, ending = heapq.heappop(events)
        if when >= seconds:
            break
        clock.advance(max(begun + when - clock.monotonic(), 0.0))
        ledger = ledgers[at % replicas]
        if ending is not None:
            await ledger.settle(ending, Settlement(actual={Limit.TPM: tokens}, health="up"))  # type: ignore[arg-type]
            continue
        claim = Claim(key=KEY, cost={Limit.TPM: tokens}, documented={Limit.TPM: tpm})
        found = await ledger.reserve_any([claim], life_s=60.0, caller=callers[name] if fair else None)
        if isinstance(found, Granted):
            served.granted[name] += tokens
            later(when + ANSWER_S, name, tokens, 0.0, found.reservation)
            continue
        wait_s = found.waits[0].wait_s
        assert wait_s is not None
        if waited + wait_s <= LONGEST_WAIT_S:
            nap_s = min(wait_s, LONGEST_NAP_S) + 0.05 * (0.1 + draw.random())
            later(when + nap_s, name, tokens, waited + nap_s)
        elif returns[name]:
            later(when + max(wait_s, 1.0), name, tokens, 0.0)
        else:
            served.lost[name] += 1
    clock.advance(max(begun + seconds - clock.monotonic(), 0.0))
    quota = (await ledgers[0].peek([Claim(key=KEY, cost={}, documented={Limit.TPM: tpm})]))[0]
    served.left = max(quota.buckets[Limit.TPM].level_at(quota.now), 0.0)
    return served


def fair_shares(asked: Mapping[str, float], total: float) -> Mapping[str, float]:
    """The equal share of each, of those that asked for less all of it: max-min fairness."""
    shares: dict[str, float] = {}
    for count, name in enumerate(sorted(asked, key=lambda one: asked[one])):
        shares[name] = min(asked[name], (total - sum(shares.values())) / (len(asked) - count))
    return shares
