"""A ledger that carries on when its store cannot be used: with limits kept in this process, at a cautious share.

The state is a cache of what the provider knows better, so a broken store costs accuracy, not answers. Only a budget of
the user fails closed. What was used meanwhile is told to the store when it is back.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from groq_fallback_mcp.call import CallRecord, CallUnderWay, FailureKind, Limit, LimitReading, QuotaSnapshot
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.quota.budget import UNCHECKED_BUDGET, ZERO_SPEND, Budget, DayTotals
from groq_fallback_mcp.quota.caller import Caller
from groq_fallback_mcp.quota.history import HourTotals
from groq_fallback_mcp.quota.ledger import (
    Claim,
    ConversationModel,
    Granted,
    Ledger,
    ModelQuota,
    QuotaKey,
    Refused,
    Reservation,
    Settlement,
    SettleResult,
    StoreStatus,
    Wait,
)
from groq_fallback_mcp.quota.store import StoreUnusable

__all__ = ["DegradingLedger"]

_log = logging.getLogger(__name__)

T = TypeVar("T")
# Other processes spend the same limits meanwhile, and nobody can count them.
SHARE = 0.25
PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
MOST_PENDING = 1_000


class DegradingLedger:
    """See Ledger. `shared` is used while it works, `own` while it does not; `shared` is tried again after a pause.

    `has_budget`: calls that cost anything are refused while spending cannot be counted.
    """

    def __init__(self, shared: Ledger, own: Ledger, clock: Clock, *, has_budget: bool = False) -> None:
        self._shared = shared
        self._own = own
        self._clock = clock
        self._has_budget = has_budget
        self._fault: str | None = None
        self._pause_s = PAUSE_S
        self._retry_at = float("-inf")
        self._granted_by_fallback: dict[str, Reservation] = {}
        self._pending: deque[tuple[Reservation, Settlement]] = deque(maxlen=MOST_PENDING)

    @property
    def status(self) -> StoreStatus:
        """The shared store, and why it cannot be used."""
        return replace(self._shared.status, degraded=self._fault)

    async def reserve_any(
        self, claims: Sequence[Claim], *, life_s: float, caller: Caller | None = None, others: Sequence[Claim] = ()
    ) -> Granted | Refused:
        done = await self._try(lambda: self._shared.reserve_any(claims, life_s=life_s, caller=caller, others=others))
        if done is not None:
            return done
        has_budget = self._has_budget or (caller is not None and caller.budget.bounded)
        allowed = [index for index, claim in enumerate(claims) if not has_budget or claim.spend == ZERO_SPEND]
        # why is in the log: the place of the store is nobody's business who makes calls
        refused = Wait(wait_s=None, reason=UNCHECKED_BUDGET, kind=FailureKind.OVER_BUDGET)
        unbudgeted = None if caller is None else replace(caller, budget=Budget())
        result = await self._own.reserve_any(
            [_cautious(claims[index]) for index in allowed], life_s=life_s, caller=unbudgeted, others=[*map(_cautious, others)]
        )
        if isinstance(result, Refused):
            waits = dict(zip(allowed, result.waits, strict=True))
            return Refused(waits=tuple(waits.get(index, refused) for index in range(len(claims))))
        index = allowed[result.index]
        waits = dict(zip(allowed, result.skipped, strict=False))
        own = result.reservation
        self._granted_by_fallback[own.id] = own
        return Granted(
            index=index,
            reservation=_as_granted(own, claims[index]),
            skipped=tuple(waits.get(before, refused) for before in range(index)),
        )

    async def settle(self, reservation: Reservation, settlement: Settlement) -> SettleResult:
        own = self._granted_by_fallback.pop(reservation.id, None)
        if own is not None:
            scaled = {limit: _scaled(units, own.cost.get(limit, units)) for limit, units in settlement.actual.items()}
            result = await self._own.settle(own, replace(settlement, actual=scaled))
            self._pending.append((reservation, _late(settlement)))
            return result
        done = await self._try(lambda: self._shared.settle(reservation, settlement))
        if done is not None:
            return done
        self._pending.append((reservation, _late(settlement)))
        return SettleResult()

    async def take_request(self, caller: Caller) -> Wait | None:
        done = await self._try(lambda: _listed(self._shared.take_request(caller)))
        if done is not None or caller.rpm is None:
            return None if done is None else done[0]
        return await self._own.take_request(replace(caller, rpm=max(int(caller.rpm * SHARE), 1)))

    async def count_refusal(self, caller: str) -> None:
        """Not counted while the store cannot be used."""
        await self._try(lambda: _listed(self._shared.count_refusal(caller)))

    async def release(self, reservation: Reservation) -> None:
        await self.settle(reservation, Settlement(actual=dict.fromkeys(reservation.cost, 0.0)))

    async def cool_down(self, key: QuotaKey, wait_s: float, reason: str, *, limit: Limit | None, kind: FailureKind) -> None:
        def at(ledger: Ledger) -> Awaitable[None]:
            return ledger.cool_down(key, wait_s, reason, limit=limit, kind=kind)

        if await self._try(lambda: _listed(at(self._shared))) is None:
            await at(self._own)

    async def peek(self, claims: Sequence[Claim], *, caller: Caller | None = None) -> Sequence[ModelQuota]:
        done = await self._try(lambda: self._shared.peek(claims, caller=caller))
        return await self._own.peek(claims, caller=caller) if done is None else done

    async def spending(self, days: Sequence[str]) -> Mapping[str, DayTotals]:
        done = await self._try(lambda: self._shared.spending(days))
        return await self._own.spending(days) if done is None else done

    async def reopen_budget(self, day: str) -> bool:
        """Raises StoreUnusable: that nothing can be counted now is not accepted for later."""
        return await self._shared.reopen_budget(day)

    async def conversation_model(self, conversation: str) -> ConversationModel | None:
        done = await self._try(lambda: _listed(self._shared.conversation_model(conversation)))
        return await self._own.conversation_model(conversation) if done is None else done[0]

    async def set_conversation_model(self, conversation: str, model: ConversationModel | None) -> None:
        if await self._try(lambda: _listed(self._shared.set_conversation_model(conversation, model))) is None:
            await self._own.set_conversation_model(conversation, model)

    async def add_to_history(self, calls: Sequence[CallRecord], under_way: Sequence[CallUnderWay], *, process: str) -> bool:
        # what nobody decides by must not be what finds out about a store, nor what takes its time while it is slow
        return bool(await self._if_usable(lambda: self._shared.add_to_history(calls, under_way, process=process)))

    async def calls(self, *, since: float, limit: int) -> Sequence[CallRecord]:
        return await self._if_usable(lambda: self._shared.calls(since=since, limit=limit)) or ()

    async def calls_under_way(self) -> Sequence[CallUnderWay]:
        return await self._if_usable(self._shared.calls_under_way) or ()

    async def hours(self, named: Sequence[str]) -> Sequence[HourTotals] | None:
        return await self._if_usable(lambda: self._shared.hours(named))

    async def clear_history(self, now: float) -> None:
        """Raises StoreUnusable: what was to be deleted is not left for later."""
        await self._shared.clear_history(now)

    async def _if_usable(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """The result of the shared ledger; None where it cannot be used, which changes nothing for calls."""
        if self._fault is not None and self._clock.monotonic() < self._retry_at:
            return None
        try:
            return await work()
        except StoreUnusable as error:
            _log.debug("the history cannot be read or written: %s", error)
            return None

    async def aclose(self) -> None:
        await self._tell_pending(self._clock.monotonic())
        for ledger in (self._shared, self._own):
            try:
                await ledger.aclose()
            except StoreUnusable as error:
                _log.warning("the ledger could not be closed: %s", error)

    async def _try(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """The result of the shared ledger; None while it cannot be used."""
        now = self._clock.monotonic()
        retry = self._fault is not None
        if retry:
            if now < self._retry_at:
                return None
            # one call finds out for all
            self._retry_at = now + self._pause_s
        try:
            result = await work()
        except StoreUnusable as fault:
            self._degrade(str(fault), now, retry=retry)
            return None
        if self._fault is not None:
            _log.warning("the ledger can be used again: %s", self._shared.status.place)
            self._fault, self._pause_s = None, PAUSE_S
        await self._tell_pending(now)
        return result

    async def _tell_pending(self, now: float) -> None:
        while self._pending:
            reservation, settlement = self._pending.popleft()
            try:
                await self._shared.settle(reservation, settlement)
            except StoreUnusable as fault:
                self._pending.appendleft((reservation, settlement))
                self._degrade(str(fault), now)
                return

    def _degrade(self, fault: str, now: float, *, retry: bool = False) -> None:
        if self._fault is None:
            _log.warning("the ledger cannot be used, so this process counts for itself at a quarter of each limit: %s", fault)
        elif retry:
            self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        else:
            # it was under way when another call found out: the same fault, not one more
            return
        self._fault = fault
        self._retry_at = now + self._pause_s


async def _listed(work: Awaitable[T]) -> list[T]:
    """The result in a list, so that None can be told from no result."""
    return [await work]


def _late(settlement: Settlement) -> Settlement:
    """The settlement as it may be told later: what was left, or how long to wait, holds only for its moment."""
    readings = tuple(LimitReading(limit=one.limit, capacity=one.capacity) for one in settlement.snapshot.readings)
    return replace(settlement, snapshot=QuotaSnapshot(readings=readings))


def _cautious(claim: Claim) -> Claim:
    """The claim as if the limits were a share of what they are; what fits the whole bucket still fits."""
    shared = {} if claim.pool is None else claim.pool.documented
    least = {
        limit: min(table.get(limit, math.inf) for table in (claim.documented, shared))
        for limit in {**claim.documented, **shared}
    }
    cost = {limit: _scaled(units, float(least.get(limit, units))) for limit, units in claim.cost.items()}
    return replace(claim, cost=cost)


def _as_granted(own: Reservation, claim: Claim) -> Reservation:
    """The reservation of what was really claimed, in the place of the cautious one."""
    shared = claim.of_pool
    pool = None if own.pool is None or shared is None else _as_granted(own.pool, shared)
    return replace(own, cost=claim.cost, granted_by_fallback=True, documented=claim.documented, pool=pool)


def _scaled(units: float, most: float) -> float:
    return units if units > most else min(units / SHARE, most)
