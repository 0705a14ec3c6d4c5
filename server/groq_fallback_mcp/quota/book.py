"""The records that one transaction sees and changes, decoded when they are first looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from groq_fallback_mcp.quota.breaker import rebased
from groq_fallback_mcp.quota.buckets import Bucket, new_bucket
from groq_fallback_mcp.quota.budget import DayTotals
from groq_fallback_mcp.quota.ledger import Claim, ModelQuota, QuotaKey
from groq_fallback_mcp.quota.records import (
    Account,
    OpenReservation,
    ProviderAccount,
    day_key,
    decode,
    encode,
    model_key,
    open_key,
    provider_key,
    told_key,
)
from groq_fallback_mcp.quota.store import Change, Record, View

__all__ = ["Book"]

T = TypeVar("T")
# Clocks of one machine agree; a stamp further ahead than this means that the clock went back.
CLOCK_SLACK_S = 1.0
# A learnt capacity that the server has not stated for so long may no longer hold.
LEARNT_LIFE_S = 7 * 86_400.0
# A process that was not sure tells again with its next call.
TOLD_LIFE_S = 86_400.0


class Book:
    """Reads from a view; `change` gives back what was written, with the result."""

    def __init__(self, view: View) -> None:
        self.now = view.now
        self._bodies = view.bodies
        self._writes: dict[str, Record | None] = {}
        self._models: dict[str, Account] = {}
        self._providers: dict[str, ProviderAccount] = {}

    def account(self, key: QuotaKey) -> Account:
        """A model's account; an empty one where nothing is known."""
        name = model_key(key)
        found = self._models.get(name)
        if found is None:
            read = decode(Account, self._bodies.get(name), name) or Account()
            found = self._models[name] = self._rebased(key, read)
        return found

    def seeded(self, claim: Claim) -> Account:
        """A claim's account, with documented limits where no others are known."""
        account = self.account(claim.key)
        fresh = {
            limit: new_bucket(limit, float(capacity))
            for limit, capacity in claim.documented.items()
            if self._outdated(account.buckets.get(limit), float(capacity))
        }
        return replace(account, buckets={**account.buckets, **fresh}) if fresh else account

    def keep(self, key: QuotaKey, account: Account) -> None:
        """Write a model's account."""
        name = model_key(key)
        self._models[name] = account
        self._writes[name] = encode(account)

    def provider(self, key: QuotaKey) -> ProviderAccount:
        """The account of a model's provider."""
        name = provider_key(key)
        found = self._providers.get(name)
        if found is None:
            found = decode(ProviderAccount, self._bodies.get(name), name) or ProviderAccount()
            health = rebased(found.health, self.now)
            if health is not found.health:
                found = replace(found, health=health)
                # unless it is kept, the cooldown begins anew each time it is looked at, until the clock has caught up
                self._writes[name] = encode(found)
            self._providers[name] = found
        return found

    def keep_provider(self, key: QuotaKey, account: ProviderAccount) -> None:
        """Write a provider's account, if it changed."""
        name = provider_key(key)
        if account != self._providers.get(name):
            self._providers[name] = account
            self._writes[name] = encode(account)

    def day(self, day: str) -> DayTotals:
        """What was spent on a day."""
        name = day_key(day)
        written = self._writes.get(name)
        return decode(DayTotals, written.body if written is not None else self._bodies.get(name), name) or DayTotals()

    def keep_day(self, day: str, totals: DayTotals) -> None:
        """Write a day's totals."""
        self._writes[day_key(day)] = encode(totals)

    def open(self, reservation: str) -> OpenReservation | None:
        """A reservation, if it is not settled."""
        name = open_key(reservation)
        return decode(OpenReservation, self._bodies.get(name), name)

    def keep_open(self, reservation: str, held: OpenReservation, expires_at: float) -> None:
        """Write an unsettled reservation."""
        self._writes[open_key(reservation)] = encode(held, expires_at=expires_at)

    def close(self, reservation: str) -> None:
        """Forget a reservation."""
        self._writes[open_key(reservation)] = None

    def told(self, reservation: str) -> bool:
        """Whether what a stand-in granted under this id was told already; from now on it was."""
        name = told_key(reservation)
        if name in self._bodies:
            return True
        self._writes[name] = Record(body="{}", expires_at=self.now + TOLD_LIFE_S)
        return False

    def quota(self, claim: Claim) -> ModelQuota:
        """All that is known of a claim's model."""
        account, provider = self.seeded(claim), self.provider(claim.key)
        return ModelQuota(
            key=claim.key,
            now=self.now,
            buckets=account.buckets,
            health=account.health,
            provider=provider.health,
            returns_unused=provider.returns_unused,
            calls_in_flight=account.in_flight,
            prompt_factor=account.prompt_factor,
        )

    def change(self, result: T) -> Change[T]:
        """What the transaction does."""
        return Change(result=result, writes=self._writes)

    def _rebased(self, key: QuotaKey, account: Account) -> Account:
        """The account as of now where its stamps lie ahead: without that, nothing would refill until the clock is back."""
        health = rebased(account.health, self.now)
        ahead = any(bucket.at > self.now + CLOCK_SLACK_S for bucket in account.buckets.values())
        if not ahead and health is account.health:
            return account
        buckets = {
            limit: replace(bucket, at=min(bucket.at, self.now), stated_at=min(bucket.stated_at, self.now))
            for limit, bucket in account.buckets.items()
        }
        account = replace(account, buckets=buckets, health=health)
        self._writes[model_key(key)] = encode(account)
        return account

    def _outdated(self, bucket: Bucket | None, documented: float) -> bool:
        if bucket is None:
            return True
        if bucket.capacity == documented:
            return False
        return bucket.knowledge == "documented" or self.now - bucket.stated_at > LEARNT_LIFE_S
