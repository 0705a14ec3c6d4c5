"""What every ledger promises, wherever its state is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal, Protocol

from pydantic import AliasChoices, Field

from groq_fallback_mcp.call import CONTINUOUS, CallRecord, CallUnderWay, FailureKind, Limit, Pool, QuotaSnapshot, Refilling
from groq_fallback_mcp.quota.breaker import Cooldown, Health, hold_s
from groq_fallback_mcp.quota.buckets import Admitted, Bucket, Deferred, NeverFits, admit
from groq_fallback_mcp.quota.budget import ZERO_SPEND, DayTotals, Spend
from groq_fallback_mcp.quota.caller import Caller
from groq_fallback_mcp.quota.history import HourTotals

__all__ = [
    "ANY_MODEL",
    "Claim",
    "ConversationModel",
    "Granted",
    "Ledger",
    "ModelQuota",
    "QuotaKey",
    "Refused",
    "Reservation",
    "SettleResult",
    "Settlement",
    "StoreStatus",
    "Wait",
    "obstacle",
    "pool_model",
]

ANY_MODEL = "*"
# Another call at once is let in as soon as one ends, which nobody tells.
CONCURRENCY_POLL_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaKey:
    """Whose buckets: a model of a provider for an organization. `organization` is a salted hash, never a key.

    `model` may be ANY_MODEL in a cooldown of the whole provider, or stand for a pool of models (see `pool`).
    """

    provider: str
    # in records as earlier releases wrote it, which may run beside this one
    organization: Annotated[
        str, Field(validation_alias=AliasChoices("organisation", "organization"), serialization_alias="organisation")
    ]
    model: str

    def pool(self, name: str) -> QuotaKey:
        """Where the limits are kept that a pool of this model's provider shares."""
        return replace(self, model=pool_model(name))


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a call would take from a model's buckets, and from its pool's. `documented` seeds buckets nothing is known of yet,
    which come back as `refilling` says.

    `spend` is the most it can cost, for the budget. `last_resort`: a pause that only our own caution set does not count.
    """

    key: QuotaKey
    cost: Mapping[Limit, float]
    documented: Mapping[Limit, int]
    pool: Pool | None = None
    refilling: Refilling = CONTINUOUS
    spend: Spend = ZERO_SPEND
    last_resort: bool = False

    @property
    def of_pool(self) -> Claim | None:
        """What the call would take from the limits of its pool."""
        if self.pool is None:
            return None
        return replace(self, key=self.key.pool(self.pool.name), documented=self.pool.documented, pool=None, spend=ZERO_SPEND)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A claim that was granted and not settled yet. `taken_at` is Unix seconds by the store's clock.

    `credited` and `charged`: how much had been given back to and taken from each bucket until then, this claim included; `held`: what
    other calls under way held of each then.
    `granted_by_fallback`: granted by this process while the store could not be used; `documented` are then the limits of the claim,
    since the store may know none of them. `pool` is what was taken of the limits of the
    model's pool, under the same id. `caller_day` and `queue` are where a named caller's spending and use are kept, else empty.
    """

    id: str
    key: QuotaKey
    cost: Mapping[Limit, float]
    taken_at: float = 0.0
    credited: Mapping[Limit, float] = field(default_factory=dict[Limit, float])
    charged: Mapping[Limit, float] = field(default_factory=dict[Limit, float])
    held: Mapping[Limit, float] = field(default_factory=dict[Limit, float])
    spend: Spend = ZERO_SPEND
    day: str = ""
    granted_by_fallback: bool = False
    documented: Mapping[Limit, int] = field(default_factory=dict[Limit, int])
    refilling: Refilling = CONTINUOUS
    pool: Reservation | None = None
    caller_day: str = ""
    queue: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How a call ended. `actual` is what it used; limits it does not name keep the claim.

    `admitted` is what the provider must have charged when it let the call in, where that is known better than when it was
    claimed: by the real length of the prompt. The rest of the claim was never taken there.

    `health`: "up" when the model answered or refused knowingly, "down" when it or the way to it failed, None when that
    cannot be told. `prompt`: estimated and real prompt tokens. `spent` is what it cost.
    """

    actual: Mapping[Limit, float]
    admitted: Mapping[Limit, float] = field(default_factory=dict[Limit, float])
    snapshot: QuotaSnapshot = QuotaSnapshot()
    health: Literal["up", "down"] | None = None
    prompt: tuple[int, int] | None = None
    spent: Spend | None = None

    @property
    def answered(self) -> bool:
        """Whether the call was answered, so that it cost something."""
        return self.spent is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleResult:
    """How a model stands after a call: its failures in a row, and whether a failed call may be retried at its provider."""

    failures: int = 0
    retry_allowed: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a claim cannot be granted now. `wait_s` is None when it never can.

    `reason` is for people: the limit's unit, or what put the model into a cooldown; `kind` is the class of that. `for_units`: until
    enough of a limit has come back. `capacity`: what the whole limit holds, where the call needs more.
    """

    wait_s: float | None
    reason: str
    limit: Limit | None = None
    kind: FailureKind = FailureKind.RATE_LIMITED
    for_units: bool = False
    capacity: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The first claim that could be granted, and why those before it could not."""

    index: int
    reservation: Reservation
    skipped: Sequence[Wait]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No claim could be granted; nothing was spent. One wait a claim, in their order."""

    waits: Sequence[Wait]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuota:
    """All that is known of a model's quota at `now` (Unix seconds by the store's clock).

    `calls_in_flight` counts unsettled reservations of all processes. `prompt_factor` corrects estimates of prompts.
    `provider` is the health of the provider as a whole, `returns_unused` whether it was seen to give unused tokens back. `concurrent` is how
    many calls may be under way, None for any number; `pool` is what is known of the model's pool. `set_aside`: the units that others
    wait for who go before the one that asks.
    """

    key: QuotaKey
    now: float
    buckets: Mapping[Limit, Bucket]
    health: Health = Health()
    provider: Health = Health()
    returns_unused: bool = False
    calls_in_flight: int = 0
    prompt_factor: float = 1.0
    concurrent: int | None = None
    pool: ModelQuota | None = None
    set_aside: Mapping[Limit, float] = field(default_factory=dict[Limit, float])

    @property
    def all_buckets(self) -> Mapping[Limit, Bucket]:
        """The buckets that a call must fit into: the model's own, and its pool's where that leaves less or is the only one."""
        shared = {} if self.pool is None else self.pool.buckets
        tighter = {
            limit: bucket
            for limit, bucket in shared.items()
            if limit not in self.buckets or bucket.level_at(self.now) < self.buckets[limit].level_at(self.now)
        }
        return {**self.buckets, **tighter}

    @property
    def cooldown(self) -> Cooldown | None:
        """What keeps the model out of the running now, its own cooldown, its pool's or its provider's: the latest to end."""
        healths = (self.health, self.provider, *(() if self.pool is None else (self.pool.health,)))
        found = [health.cooldown for health in healths if health.cooldown is not None]
        return max((one for one in found if one.until > self.now), key=lambda one: one.until, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationModel:
    """The model that a conversation stays with after it had to leave its first one.

    `starts_over`: the first one broke off in the client's sight, so this one is tried first at the beginning of a turn, too.
    """

    provider: str
    model: str
    starts_over: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreStatus:
    """Where the state is kept: the kind of store, its place for people, and what is wrong with it, if anything is."""

    store: str
    place: str = ""
    degraded: str | None = None


class Ledger(Protocol):
    """Reserve before sending, settle after. Every method is atomic; none blocks the event loop.

    A reservation takes from all limits of one claim or from none. What is never settled or released expires and keeps
    its charge, since its call may have been sent.
    """

    @property
    def status(self) -> StoreStatus:
        """What holds the state, and how it is."""
        ...

    async def reserve_any(
        self, claims: Sequence[Claim], *, life_s: float, caller: Caller | None = None, others: Sequence[Claim] = ()
    ) -> Granted | Refused:
        """Grant the first claim in order that fits now; it expires after `life_s` seconds.

        Of a named caller's the budget is kept to as well, and its turn among the others that wait.
        """
        ...

    async def take_request(self, caller: Caller) -> Wait | None:
        """Count a request of a caller that may make only some per minute; what it must wait for, None when it may be made."""
        ...

    async def count_refusal(self, caller: str) -> None:
        """Count a call of a caller that limits or budgets refused."""
        ...

    async def settle(self, reservation: Reservation, settlement: Settlement) -> SettleResult:
        """Replace what was claimed by what was used, and take in all that the answer told."""
        ...

    async def release(self, reservation: Reservation) -> None:
        """Give everything back: the call was cancelled or failed before it was sent, or was refused."""
        ...

    async def cool_down(self, key: QuotaKey, wait_s: float, reason: str, *, limit: Limit | None, kind: FailureKind) -> None:
        """Put a model, or a provider, into a cooldown for `wait_s` seconds; of two cooldowns the later end counts."""
        ...

    async def peek(self, claims: Sequence[Claim], *, caller: Caller | None = None) -> Sequence[ModelQuota]:
        """The state of each claim's model, for a caller; spends nothing."""
        ...

    async def spending(self, days: Sequence[str]) -> Mapping[str, DayTotals]:
        """What was spent on each of `days` (UTC, YYYY-MM-DD; see `caller_day` for one caller's)."""
        ...

    async def reopen_budget(self, day: str) -> bool:
        """Count what was spent on a day and is not known any more as nothing; whether there was any such spending."""
        ...

    async def conversation_model(self, conversation: str) -> ConversationModel | None:
        """The model that a conversation stays with; None where it is with its first."""
        ...

    async def set_conversation_model(self, conversation: str, model: ConversationModel | None) -> None:
        """Let a conversation stay with a model for two hours; None for its first."""
        ...

    async def add_to_history(self, calls: Sequence[CallRecord], under_way: Sequence[CallUnderWay], *, process: str) -> bool:
        """Keep calls that have ended, and show those that a process has under way; false where that cannot be done now.

        At most MOST_AT_ONCE calls. One that is among the last 64 or more is not added again. The calls under way, of which 64 are shown,
        replace those that the process reported before.
        """
        ...

    async def calls(self, *, since: float, limit: int) -> Sequence[CallRecord]:
        """The last calls of all processes in the order in which they ended, at most `limit`, that began after `since` (Unix seconds),
        and less than a week ago.
        """
        ...

    async def calls_under_way(self) -> Sequence[CallUnderWay]:
        """The calls under way of all processes as they were a second ago, the oldest first."""
        ...

    async def hours(self, named: Sequence[str]) -> Sequence[HourTotals] | None:
        """The totals of those of the named hours (UTC, YYYY-MM-DDTHH) in which something was called, for 90 days. None where the
        store cannot be read.
        """
        ...

    async def clear_history(self, now: float) -> None:
        """Delete the history of calls until `now` (Unix seconds). Raises StoreUnusable where that cannot be done."""
        ...

    async def aclose(self) -> None:
        """Let go of the store; what was acknowledged stays."""
        ...


def pool_model(name: str) -> str:
    """What stands for a pool in the place of a model."""
    return f"{ANY_MODEL}/{name}"


def obstacle(quota: ModelQuota, cost: Mapping[Limit, float]) -> Wait | None:
    """Why a call of this cost cannot be sent to the model at `quota.now`; None when it can."""
    own = _obstacle(quota, cost)
    shared = None if quota.pool is None else _obstacle(quota.pool, cost)
    if own is None or shared is None:
        return own or shared
    never = next((wait for wait in (own, shared) if wait.wait_s is None), None)
    return never or max(own, shared, key=lambda wait: wait.wait_s or 0.0)


def _obstacle(quota: ModelQuota, cost: Mapping[Limit, float]) -> Wait | None:
    admission = admit(quota.buckets, cost, quota.now, quota.set_aside)
    health = max(quota.health, quota.provider, key=lambda one: hold_s(one, quota.now))
    held_s = hold_s(health, quota.now)
    match admission:
        case NeverFits(limit=limit, capacity=capacity, cost=units):
            reason = f"{units:,.0f} in one call exceed the limit of {capacity:,.0f} {limit.unit}"
            return Wait(wait_s=None, reason=reason, limit=limit, kind=FailureKind.LARGER_THAN_LIMIT, capacity=capacity)
        case Deferred(wait_s=wait_s, limit=limit, for_others=for_others) if wait_s >= held_s:
            behind = "; other tokens that used less go first" if for_others else ""
            return Wait(wait_s=wait_s, reason=f"{limit.unit} used up{behind}", limit=limit, for_units=True)
        case Admitted() | Deferred():
            if held_s <= 0:
                return _crowded(quota)
            cooldown = health.cooldown
            if cooldown is None:
                return Wait(
                    wait_s=held_s, reason="recovering after a failure; next call is a probe", kind=FailureKind.SERVER_ERROR
                )
            probing = f"recovering after a failure ({cooldown.reason}); next call is a probe"
            reason = cooldown.reason if cooldown.until > quota.now else probing
            return Wait(wait_s=held_s, reason=reason, limit=cooldown.limit, kind=cooldown.kind)


def _crowded(quota: ModelQuota) -> Wait | None:
    if quota.concurrent is None or quota.calls_in_flight < quota.concurrent:
        return None
    reason = f"{quota.concurrent} {Limit.CONCURRENT.unit} are under way"
    return Wait(wait_s=CONCURRENCY_POLL_S, reason=reason, limit=Limit.CONCURRENT)
