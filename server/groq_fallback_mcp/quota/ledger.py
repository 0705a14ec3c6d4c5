"""What every ledger promises, whether it lives in memory, in a file or on a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from groq_fallback_mcp.call import FailureKind, Limit, QuotaSnapshot
from groq_fallback_mcp.policy.admission import Admitted, Bucket, Deferred, NeverFits, admit

__all__ = [
    "ANY_MODEL",
    "Claim",
    "Cooldown",
    "Granted",
    "Ledger",
    "ModelQuota",
    "QuotaKey",
    "Refused",
    "Reservation",
    "Wait",
    "obstacle",
]

ANY_MODEL = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaKey:
    """Whose buckets: a model of a provider for an organisation. `organisation` is a salted hash, never a key.

    `model` may be ANY_MODEL in a cooldown that benches the whole provider.
    """

    provider: str
    organisation: str
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a call would take from a model's buckets. `documented` seeds buckets nothing is known of yet."""

    key: QuotaKey
    cost: Mapping[Limit, float]
    documented: Mapping[Limit, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """A claim that was granted and not settled yet."""

    id: str
    key: QuotaKey
    cost: Mapping[Limit, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Why a claim cannot be granted now. `wait_s` is None when it never can.

    `reason` is for people: the limit's unit, or what benched the model; `kind` is the class of that.
    """

    wait_s: float | None
    reason: str
    limit: Limit | None = None
    kind: FailureKind = FailureKind.RATE_LIMITED


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """The first claim that could be granted, and why those before it could not."""

    index: int
    reservation: Reservation
    passed_over: Sequence[Wait]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """No claim could be granted; nothing was spent. One wait a claim, in their order."""

    waits: Sequence[Wait]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown:
    """Out of the running until `until` (Unix seconds), because of `reason`."""

    until: float
    reason: str
    limit: Limit | None = None
    kind: FailureKind = FailureKind.RATE_LIMITED


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuota:
    """All that is known of a model's quota now. `calls_in_flight` counts unsettled reservations."""

    key: QuotaKey
    buckets: Mapping[Limit, Bucket]
    cooldown: Cooldown | None
    calls_in_flight: int


class Ledger(Protocol):
    """Reserve before sending, settle after. Every method is atomic; none blocks the event loop.

    A reservation takes from all limits of one claim or from none. What is never settled or released expires after an
    hour and keeps its charge, since its call may have been sent.
    """

    @property
    def store(self) -> str:
        """What holds the state, for people: `memory`, `sqlite`, `redis`."""
        ...

    async def reserve_any(self, claims: Sequence[Claim]) -> Granted | Refused:
        """Grant the first claim in order that fits now."""
        ...

    async def settle(self, reservation: Reservation, actual: Mapping[Limit, float]) -> None:
        """Replace what was claimed by what was used; limits that `actual` does not name keep the claim."""
        ...

    async def release(self, reservation: Reservation) -> None:
        """Give everything back: the call was cancelled or failed before it was sent, or was refused."""
        ...

    async def observe(self, key: QuotaKey, snapshot: QuotaSnapshot) -> None:
        """Take in what the server stated."""
        ...

    async def cool_down(self, key: QuotaKey, cooldown: Cooldown) -> None:
        """Bench a model, or a provider; of two cooldowns the later end counts."""
        ...

    async def look(self, claims: Sequence[Claim]) -> Sequence[ModelQuota]:
        """The state of each claim's model; spends nothing."""
        ...


def obstacle(quota: ModelQuota, cost: Mapping[Limit, float], now: float) -> Wait | None:
    """Why a call of this cost cannot be sent to the model at `now`; None when it can."""
    cooldown = quota.cooldown
    cooling_s = cooldown.until - now if cooldown is not None else 0.0
    admission = admit(quota.buckets, cost, now)
    match admission:
        case NeverFits(limit=limit, capacity=capacity, cost=units):
            reason = f"{units:g} of at most {capacity:g} {limit.unit}"
            return Wait(wait_s=None, reason=reason, limit=limit, kind=FailureKind.LARGER_THAN_LIMIT)
        case Deferred(wait_s=wait_s, limit=limit) if wait_s >= cooling_s:
            return Wait(wait_s=wait_s, reason=f"{limit.unit} used up", limit=limit)
        case Admitted() | Deferred():
            if cooldown is None:
                return None
            return Wait(wait_s=cooling_s, reason=cooldown.reason, limit=cooldown.limit, kind=cooldown.kind)
