"""A ledger for one process, in its memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

from groq_fallback_mcp.call import Limit, QuotaSnapshot
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.policy.admission import (
    Bucket,
    charge,
    give_back,
    learn,
    new_bucket,
)
from groq_fallback_mcp.quota.ledger import (
    ANY_MODEL,
    Claim,
    Cooldown,
    Granted,
    ModelQuota,
    QuotaKey,
    Refused,
    Reservation,
    Wait,
    obstacle,
)

__all__ = ["MemoryLedger"]

RESERVATION_LIFE_S = 3_600.0


@dataclass(slots=True)
class _Account:
    buckets: dict[Limit, Bucket] = field(default_factory=dict[Limit, Bucket])
    cooldown: Cooldown | None = None
    open: dict[str, tuple[Mapping[Limit, float], float]] = field(default_factory=dict[str, tuple[Mapping[Limit, float], float]])


class MemoryLedger:
    """Keeps buckets, cooldowns and reservations in dictionaries. Each method runs without awaiting, so is atomic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._accounts: dict[QuotaKey, _Account] = {}
        self._ids = count(1)

    @property
    def store(self) -> str:
        return "memory"

    async def reserve_any(self, claims: Sequence[Claim]) -> Granted | Refused:
        now = self._clock.wall()
        waits: list[Wait] = []
        for index, claim in enumerate(claims):
            account = self._account(claim, now)
            wait = obstacle(self._quota(claim.key, account, now), claim.cost, now)
            if wait is None:
                return Granted(index=index, reservation=self._take(account, claim, now), passed_over=tuple(waits))
            waits.append(wait)
        return Refused(waits=tuple(waits))

    async def settle(self, reservation: Reservation, actual: Mapping[Limit, float]) -> None:
        now = self._clock.wall()
        account = self._close(reservation)
        if account is None:
            return
        for limit, used in actual.items():
            claimed = reservation.cost.get(limit)
            bucket = account.buckets.get(limit)
            if claimed is None or bucket is None:
                continue
            if used < claimed:
                account.buckets[limit] = give_back(bucket, claimed - used, now)
            else:
                account.buckets[limit] = charge(bucket, used - claimed, now)

    async def release(self, reservation: Reservation) -> None:
        await self.settle(reservation, dict.fromkeys(reservation.cost, 0.0))

    async def observe(self, key: QuotaKey, snapshot: QuotaSnapshot) -> None:
        now = self._clock.wall()
        account = self._accounts.setdefault(key, _Account())
        for reading in snapshot.readings:
            in_flight = sum(cost.get(reading.limit, 0.0) for cost, _ in account.open.values())
            bucket = learn(account.buckets.get(reading.limit), reading, now, in_flight=in_flight)
            if bucket is not None:
                account.buckets[reading.limit] = bucket

    async def cool_down(self, key: QuotaKey, cooldown: Cooldown) -> None:
        account = self._accounts.setdefault(key, _Account())
        if account.cooldown is None or account.cooldown.until < cooldown.until:
            account.cooldown = cooldown

    async def look(self, claims: Sequence[Claim]) -> Sequence[ModelQuota]:
        now = self._clock.wall()
        return tuple(self._quota(claim.key, self._account(claim, now), now) for claim in claims)

    def _account(self, claim: Claim, now: float) -> _Account:
        account = self._accounts.setdefault(claim.key, _Account())
        for limit, capacity in claim.documented.items():
            if limit not in account.buckets:
                account.buckets[limit] = new_bucket(limit, float(capacity), now)
        for forgotten in [id_ for id_, (_, at) in account.open.items() if now - at > RESERVATION_LIFE_S]:
            del account.open[forgotten]
        return account

    def _quota(self, key: QuotaKey, account: _Account, now: float) -> ModelQuota:
        return ModelQuota(
            key=key,
            buckets=dict(account.buckets),
            cooldown=self._cooldown(key, now),
            calls_in_flight=len(account.open),
        )

    def _cooldown(self, key: QuotaKey, now: float) -> Cooldown | None:
        provider_wide = QuotaKey(provider=key.provider, organisation=key.organisation, model=ANY_MODEL)
        found = [
            account.cooldown
            for account in (self._accounts.get(key), self._accounts.get(provider_wide))
            if account is not None and account.cooldown is not None and account.cooldown.until > now
        ]
        return max(found, key=lambda cooldown: cooldown.until, default=None)

    def _take(self, account: _Account, claim: Claim, now: float) -> Reservation:
        for limit, units in claim.cost.items():
            if limit in account.buckets:
                account.buckets[limit] = charge(account.buckets[limit], units, now)
        reservation = Reservation(id=str(next(self._ids)), key=claim.key, cost=claim.cost)
        account.open[reservation.id] = (claim.cost, now)
        return reservation

    def _close(self, reservation: Reservation) -> _Account | None:
        account = self._accounts.get(reservation.key)
        if account is None or account.open.pop(reservation.id, None) is None:
            return None
        return account
