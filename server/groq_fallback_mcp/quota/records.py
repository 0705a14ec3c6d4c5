"""The ledger's records as text and back, and the transaction that reads and writes them.

A record that cannot be right is taken as absent: a state file is no trusted input.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.quota.breaker import Cooldown, Health, RetryBudget, clock_corrected
from groq_fallback_mcp.quota.buckets import CLOCK_SLACK_S, NOTHING, PARTS, Bucket, clock_set_back, new_bucket
from groq_fallback_mcp.quota.budget import DayTotals, Spend
from groq_fallback_mcp.quota.caller import Caller
from groq_fallback_mcp.quota.fairness import MOST_CALLERS, MOST_WAITING, Use, set_aside
from groq_fallback_mcp.quota.ledger import Claim, ConversationModel, ModelQuota, QuotaKey
from groq_fallback_mcp.quota.store import Record, Snapshot, Writes

__all__ = [
    "Account",
    "KeptConversation",
    "OpenReservation",
    "Transaction",
    "applied_key",
    "day_key",
    "day_of",
    "decode",
    "encode",
    "is_callers",
    "model_key",
    "open_key",
    "prepare",
    "provider_key",
    "requests_key",
]

_log = logging.getLogger(__name__)

R = TypeVar("R")
T = TypeVar("T")
# A learnt capacity that the server has not stated for so long may no longer hold.
LEARNT_LIFE_S = 7 * 86_400.0
# A process that was not sure tells again with its next call.
APPLIED_LIFE_S = 86_400.0
# How long what a caller spent on a day can be looked up.
CALLER_DAY_LIFE_S = 40 * 86_400.0
# A minute later all requests are there again.
REQUESTS_LIFE_S = 3_600.0
LARGEST = 1e15
# In picodollars: a billion dollars.
MOST_SPENT = 10**21
_DAY = "day/"
_CALLER = "/token/"
_REQUESTS = "requests/"
MOST_KNOWN = 256
LONGEST_PAUSE_S = 2 * 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A model's buckets, what calls under way hold of each, how it fares, and how far prompts are from their estimates.

    `uses`: what named callers used of it, and wait for. An earlier release reads the record without them and writes it so.
    """

    buckets: Mapping[Limit, Bucket] = field(default_factory=dict[Limit, Bucket])
    held: Mapping[Limit, float] = field(default_factory=dict[Limit, float])
    in_flight: int = 0
    health: Health = Health()
    prompt_factor: float = 1.0
    uses: Mapping[str, Use] = field(default_factory=dict[str, Use])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAccount:
    """What holds for all models of a provider and organization."""

    health: Health = Health()
    retries: RetryBudget = RetryBudget()
    returns_unused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenReservation:
    """A reservation that is not settled: enough to give up on it when its process is gone. `pool` is the model that stands for
    the pool it took from, empty for none; `taken_at` says when, in Unix seconds. `day` and `caller_day` are where it counts as held
    for the whole budget and for its caller's.
    """

    key: QuotaKey
    cost: Mapping[Limit, float]
    spend: Spend
    day: str
    pool: str = ""
    taken_at: float = 0.0
    caller_day: str = ""
    queue: str = ""

    @property
    def keys(self) -> tuple[QuotaKey, ...]:
        """The accounts that it took from."""
        return (self.key, replace(self.key, model=self.pool)) if self.pool else (self.key,)

    @property
    def days(self) -> tuple[str, ...]:
        """The days on which it counts as held."""
        return tuple(day for day in (self.day, self.caller_day) if day)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptConversation:
    """The model that a conversation stays with, until `until` (Unix seconds)."""

    model: ConversationModel
    until: float


class Transaction:
    """Reads from a view; `change` gives back what was written, with the result."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.now = snapshot.now
        self._bodies = snapshot.bodies
        self._writes: dict[str, Record | None] = {}
        self._models: dict[str, Account] = {}
        self._providers: dict[str, ProviderAccount] = {}

    def account(self, key: QuotaKey) -> Account:
        """A model's account; an empty one where nothing is known."""
        name = model_key(key)
        found = self._models.get(name)
        if found is None:
            read = decode(Account, self._bodies.get(name), name) or Account()
            found = self._models[name] = self._clock_corrected(key, read)
        return found

    def seeded(self, claim: Claim) -> Account:
        """A claim's account, with documented limits where no others are known."""
        account = self.account(claim.key)
        documented = (
            new_bucket(limit, float(capacity), claim.refilling)
            for limit, capacity in claim.documented.items()
            if limit is not Limit.CONCURRENT
        )
        fresh = {bucket.limit: bucket for bucket in documented if self._outdated(account.buckets.get(bucket.limit), bucket)}
        ended = {
            limit
            for limit, bucket in account.buckets.items()
            # a claim that documents nothing says nothing of what was documented
            if limit not in claim.documented
            and self._has_ended(bucket)
            and (claim.documented or bucket.knowledge != "documented")
        }
        if not fresh and not ended:
            return account
        kept = {limit: bucket for limit, bucket in account.buckets.items() if limit not in ended}
        return replace(account, buckets={**kept, **fresh})

    def write(self, key: QuotaKey, account: Account) -> None:
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
            health = clock_corrected(found.health, self.now)
            if health is not found.health:
                found = replace(found, health=health)
                # unless it is kept, the cooldown starts over each time it is looked at, until the clock has caught up
                self._writes[name] = encode(found)
            self._providers[name] = found
        return found

    def write_provider(self, key: QuotaKey, account: ProviderAccount) -> None:
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

    def write_day(self, day: str, totals: DayTotals) -> None:
        """Write a day's totals, everybody's or a caller's."""
        self._writes[day_key(day)] = encode(totals, expires_at=self.now + CALLER_DAY_LIFE_S if is_callers(day) else None)

    def requests(self, caller: str) -> Account:
        """What is counted of a caller's requests."""
        name = requests_key(caller)
        return decode(Account, self._bodies.get(name), name) or Account()

    def write_requests(self, caller: str, account: Account) -> None:
        """Write what is counted of a caller's requests."""
        self._writes[requests_key(caller)] = encode(account, expires_at=self.now + REQUESTS_LIFE_S)

    def open(self, reservation: str) -> OpenReservation | None:
        """A reservation, if it is not settled."""
        name = open_key(reservation)
        return decode(OpenReservation, self._bodies.get(name), name)

    def write_open(self, reservation: str, held: OpenReservation, expires_at: float) -> None:
        """Write an unsettled reservation."""
        self._writes[open_key(reservation)] = encode(held, expires_at=expires_at)

    def close(self, reservation: str) -> None:
        """Forget a reservation."""
        self._writes[open_key(reservation)] = None

    def mark_applied(self, reservation: str) -> bool:
        """Whether what a stand-in granted under this id was told already; from now on it was."""
        name = applied_key(reservation)
        if name in self._bodies:
            return True
        self._writes[name] = Record(body="{}", expires_at=self.now + APPLIED_LIFE_S)
        return False

    def quota(self, claim: Claim, caller: Caller | None = None) -> ModelQuota:
        """All that is known of a claim's model; for a named caller with what others wait for who go before it."""
        account, provider = self.seeded(claim), self.provider(claim.key)
        shared = claim.of_pool
        aside: Mapping[Limit, float] = NOTHING
        if caller is not None and account.uses:
            ranks = account.uses if shared is None else self.account(shared.key).uses
            aside = set_aside(account.uses, caller, self.now, ranks=ranks)
        return ModelQuota(
            key=claim.key,
            now=self.now,
            buckets=account.buckets,
            health=account.health,
            provider=provider.health,
            returns_unused=provider.returns_unused,
            calls_in_flight=account.in_flight,
            prompt_factor=account.prompt_factor,
            concurrent=claim.documented.get(Limit.CONCURRENT),
            pool=None if shared is None else self.quota(shared, caller),
            set_aside=aside,
        )

    def writes(self, result: T) -> Writes[T]:
        """What the transaction does."""
        return Writes(result=result, writes=self._writes)

    def _clock_corrected(self, key: QuotaKey, account: Account) -> Account:
        """The account as of now where its stamps lie ahead: without that, nothing would refill until the clock is back."""
        health = clock_corrected(account.health, self.now)
        ahead = any(bucket.at > self.now + CLOCK_SLACK_S for bucket in account.buckets.values())
        if not ahead and health is account.health:
            return account
        buckets = {limit: clock_set_back(bucket, self.now) for limit, bucket in account.buckets.items()}
        account = replace(account, buckets=buckets, health=health)
        self._writes[model_key(key)] = encode(account)
        return account

    def _has_ended(self, bucket: Bucket) -> bool:
        """Whether a limit that is not documented any more need not be kept to."""
        return bucket.knowledge == "documented" or self.now - bucket.stated_at > LEARNT_LIFE_S

    def _outdated(self, bucket: Bucket | None, documented: Bucket) -> bool:
        # an earlier release knew only limits that come back bit by bit
        if bucket is None or (bucket.window, bucket.zone) != (documented.window, documented.zone):
            return True
        if bucket.capacity == documented.capacity:
            return False
        return self._has_ended(bucket)


_ADAPTERS: dict[type[Any], TypeAdapter[Any]] = {}
_KNOWN: dict[tuple[type[Any], str], Any] = {}


def prepare() -> None:
    """Build what reads and writes records, some tens of milliseconds, before the first of them is wanted in a hurry."""
    for kind in (Account, ProviderAccount, OpenReservation, DayTotals):
        _adapter(kind)


def model_key(key: QuotaKey) -> str:
    """Where a model's account is kept."""
    return f"model/{key.provider}/{key.organization}/{key.model}"


def provider_key(key: QuotaKey) -> str:
    """Where the account of a model's provider is kept."""
    return f"provider/{key.provider}/{key.organization}"


def open_key(reservation: str) -> str:
    """Where an unsettled reservation is kept."""
    return f"open/{reservation}"


def applied_key(reservation: str) -> str:
    """Where it is kept that what a stand-in granted was told."""
    return f"told/{reservation}"


def day_key(day: str) -> str:
    """Where a day's spending is kept."""
    return f"{_DAY}{day}"


def day_of(key: str) -> str | None:
    """The day whose spending is kept under a key, None where it is another record."""
    return key.removeprefix(_DAY) if key.startswith(_DAY) else None


def is_callers(day: str) -> bool:
    """Whether a day is that of one caller; see `caller_day`."""
    return _CALLER in day


def requests_key(caller: str) -> str:
    """Where a caller's requests are counted."""
    return f"{_REQUESTS}{caller}"


def encode(
    record: Account | ProviderAccount | OpenReservation | DayTotals | KeptConversation, *, expires_at: float | None = None
) -> Record:
    """A record as text; fields at their defaults are omitted."""
    body = _adapter(type(record)).dump_json(record, exclude_defaults=True, by_alias=True).decode()
    if _sane(record):
        _remember(type(record), body, record)
    return Record(body=body, expires_at=expires_at)


def decode(kind: type[R], body: str | None, key: str) -> R | None:
    """A record from its text; None when there is none, or it cannot be right."""
    if body is None:
        return None
    known = _KNOWN.get((kind, body))
    if known is not None:
        return known  # type: ignore[no-any-return]
    try:
        record = _adapter(kind).validate_json(body)
    except ValidationError as error:
        _log.warning("the record %s cannot be read and is reset: %s", key, error.errors()[0]["msg"])
        return None
    except ValueError:
        _log.warning("the record %s is not text and is reset", key)
        return None
    if not _sane(record):
        _log.warning("the record %s has impossible values and is reset", key)
        return None
    _remember(kind, body, record)
    return record  # type: ignore[no-any-return]


def _remember(kind: type[Any], body: str, record: object) -> None:
    """Most records are read again as they were written, by the process that wrote them. They are never changed in place."""
    if len(_KNOWN) >= MOST_KNOWN:
        _KNOWN.clear()
    _KNOWN[kind, body] = record


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    found = _ADAPTERS.get(kind)
    if found is None:
        found = _ADAPTERS[kind] = TypeAdapter(kind)
    return found


def _sane(record: object) -> bool:
    match record:
        case Account(buckets=buckets, held=held, in_flight=in_flight, health=health, prompt_factor=factor, uses=uses):
            return (
                all(limit is bucket.limit and _sane_bucket(bucket) for limit, bucket in buckets.items())
                and _within(held.values(), 0.0, LARGEST)
                and 0 <= in_flight <= LARGEST
                and _within((factor,), 0.01, 100.0)
                and _sane_health(health)
                and len(uses) <= MOST_CALLERS
                and all(_sane_use(use) for use in uses.values())
            )
        case ProviderAccount(health=health):
            return _sane_health(health)
        case KeptConversation(until=until):
            return 0.0 <= until <= LARGEST
        case OpenReservation(cost=cost):
            return _within(cost.values(), 0.0, LARGEST)
        case DayTotals(
            models=models, held_tokens=tokens, held_picousd=held, losses=losses, accepted_losses=accepted, refused=refused
        ):
            amounts = [tokens, held, losses, accepted, refused]
            amounts += [
                amount for total in models.values() for amount in (total.calls, total.input_tokens, total.output_tokens)
            ]
            amounts += [total.picousd for total in models.values()]
            return all(0 <= amount <= MOST_SPENT for amount in amounts)
        case _:
            return True


def _sane_bucket(bucket: Bucket) -> bool:
    # an overdraft of more than ten windows was never spent; of other windows all comes back at their end, however much it is
    deepest = -10 * max(bucket.capacity, 1_000.0) if bucket.window == "continuous" else -LARGEST
    return (
        bucket.limit.window_s > 0
        and 0.0 <= bucket.at <= LARGEST
        and 0.0 <= bucket.stated_at <= LARGEST
        and 0.0 <= bucket.credited <= LARGEST
        and 0.0 <= bucket.charged <= LARGEST
        and 0.0 <= bucket.unsure <= LARGEST
        and 0.0 < bucket.capacity <= LARGEST
        and len(bucket.used) <= 2 * PARTS
        and all(0.0 <= until <= bucket.at + LONGEST_PAUSE_S and 0.0 <= units <= LARGEST for until, units in bucket.used)
        and deepest <= bucket.level <= bucket.capacity
    )


def _sane_use(use: Use) -> bool:
    figures = [figure for one in use.waiting for figure in (one.until, *one.wants.values())]
    return len(use.waiting) <= MOST_WAITING and _within((use.share, use.at, *figures), 0.0, LARGEST)


def _sane_health(health: Health) -> bool:
    cooldown: Cooldown | None = health.cooldown
    times = (health.failed_at, health.probe_until, *((cooldown.since, cooldown.until) if cooldown is not None else ()))
    lasts_s = cooldown.until - cooldown.since if cooldown is not None else 0.0
    return _within(times, 0.0, LARGEST) and health.failures >= 0 and 0 <= lasts_s <= LONGEST_PAUSE_S


def _within(values: Iterable[float], least: float, most: float) -> bool:
    return all(least <= value <= most for value in values)  # nan and inf compare false
