"""When a model or a provider that failed is asked again: cooldowns, one call that tests it, a budget of retries.

A cooldown outlives the request that caused it. When it is over the model is suspect: one call at a time tests it, until
one succeeds; a test that takes over a minute keeps no others away. Failures in a row double the pause; calls that were under
way together count as one failure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from groq_fallback_mcp.call import FailureKind, Limit

__all__ = [
    "NOT_MENDED_BY_TIME",
    "OWN_CAUTION",
    "PROBE_POLL_S",
    "Cooldown",
    "Health",
    "RetryBudget",
    "clock_corrected",
    "cooled",
    "failed",
    "hold_s",
    "ignoring_own_cooldown",
    "passed",
    "probe_ended",
    "probing",
    "useful_wait_s",
]

PROBE_POLL_S = 0.25
PROBE_GRACE_S = 0.05
# A test whose process was killed is never told to be over, and a call may last half an hour. Where it seems to last twice as long, the
# clock of its process was ahead.
LONGEST_PROBE_S = 60.0
MOST_FAILURES = 30
# gRPC A6: ten tokens, a failure takes one, a success brings a tenth, retries stop at half. They go on while the
# provider has answered any call within so many seconds: then it is not down.
RETRY_TOKENS = 10.0
RETRY_TOKEN_RATIO = 0.1
ANSWERS_S = 10.0


# What keeps a model away until a person, a new key or a new release changes it: nobody waits for that.
NOT_MENDED_BY_TIME = frozenset(
    {
        FailureKind.AUTHENTICATION,
        FailureKind.ORGANIZATION_REFUSED,
        FailureKind.NO_CREDIT,
        FailureKind.NETWORK_DENIED,
        FailureKind.MODEL_GONE,
        FailureKind.MODEL_BLOCKED,
    }
)
# Nobody asked us to wait after these, and a key, a permission or a network may be mended at any moment.
OWN_CAUTION = NOT_MENDED_BY_TIME | {FailureKind.UNREACHABLE}


_STORED_REFUSAL = "organisation_refused"


def _written(kind: FailureKind) -> str:
    return _STORED_REFUSAL if kind is FailureKind.ORGANIZATION_REFUSED else kind.value


def _read(kind: object) -> object:
    return FailureKind.ORGANIZATION_REFUSED if kind == _STORED_REFUSAL else kind


# In records as earlier releases wrote it, which may run beside this one and drop a record with a kind they do not know.
StoredKind = Annotated[FailureKind, BeforeValidator(_read), PlainSerializer(_written)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cooldown:
    """Out of the running from `since` until `until` (Unix seconds), because of `reason`, words for people."""

    since: float
    until: float
    reason: str
    limit: Limit | None = None
    kind: StoredKind = FailureKind.RATE_LIMITED


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How a model or provider fares. `failures` in a row, the last at `failed_at`.

    `suspect`: it failed and has not succeeded since. `probe` is the reservation that tests it, until `probe_until`.
    """

    cooldown: Cooldown | None = None
    failures: int = 0
    failed_at: float = 0.0
    suspect: bool = False
    probe: str = ""
    probe_until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBudget:
    """How many more failures an organization may answer with a retry at a provider; `answered_at` is when it last answered (Unix
    seconds).
    """

    tokens: float = RETRY_TOKENS
    answered_at: float = 0.0

    def allows(self, now: float) -> bool:
        """Whether a failed call may be tried again there."""
        return self.tokens > RETRY_TOKENS / 2 or 0.0 <= now - self.answered_at < ANSWERS_S

    def after(self, *, success: bool, now: float) -> RetryBudget:
        """The budget after one more outcome."""
        change = RETRY_TOKEN_RATIO if success else -1.0
        tokens = min(max(self.tokens + change, 0.0), RETRY_TOKENS)
        return RetryBudget(tokens=tokens, answered_at=now if success else self.answered_at)


def hold_s(health: Health, now: float) -> float:
    """Seconds until a call may be sent: the cooldown, or a moment while another call tests a suspect; 0 for now."""
    if health.cooldown is not None and health.cooldown.until > now:
        return health.cooldown.until - now
    if health.suspect and health.probe and now < health.probe_until < now + 2 * LONGEST_PROBE_S:
        return min(health.probe_until - now, PROBE_POLL_S)
    return 0.0


def useful_wait_s(wait_s: float | None, kind: FailureKind) -> float | None:
    """Seconds after which a call may succeed where it is kept waiting for this reason; None where waiting does not help.

    A moment is always worth it: another call may be testing whether the fault was mended.
    """
    if wait_s is None or (kind in NOT_MENDED_BY_TIME and wait_s > PROBE_POLL_S):
        return None
    return wait_s


def ignoring_own_cooldown(health: Health, now: float) -> Health:
    """The health without a pause that only our own caution set: for a call that has no other model."""
    cooldown = health.cooldown
    if cooldown is None or cooldown.until <= now or cooldown.kind not in OWN_CAUTION:
        return health
    return replace(health, cooldown=None)


def probing(health: Health, reservation: str, now: float, life_s: float) -> Health:
    """The health after a call that may last `life_s` was let through: of a suspect it is the test, which keeps others away for a while."""
    return replace(health, probe=reservation, probe_until=now + min(life_s, LONGEST_PROBE_S)) if health.suspect else health


def probe_ended(health: Health, reservation: str, now: float) -> Health:
    """The health after a test ended without success: its place is free, after a moment in which a cooldown can be set."""
    if not health.probe or health.probe != reservation:
        return health
    return replace(health, probe_until=min(health.probe_until, now + PROBE_GRACE_S))


def passed(health: Health, taken_at: float) -> Health:
    """The health after a call that was reserved at `taken_at` succeeded: all clear, unless it failed since then."""
    last = max(health.failed_at, health.cooldown.since if health.cooldown is not None else 0.0)
    return Health() if taken_at >= last else health


def failed(health: Health, taken_at: float, now: float) -> Health:
    """The health after a call failed: one more in a row, unless it was under way already at the last failure."""
    again = health.failures == 0 or taken_at >= health.failed_at
    failures = min(health.failures + 1, MOST_FAILURES) if again else health.failures
    return replace(health, failures=failures, failed_at=now if again else health.failed_at, suspect=True)


def cooled(health: Health, cooldown: Cooldown) -> Health:
    """The health after a cooldown was set; of two the later end counts."""
    later = health.cooldown is None or health.cooldown.until < cooldown.until
    return replace(health, cooldown=cooldown if later else health.cooldown, suspect=True)


def clock_corrected(health: Health, now: float) -> Health:
    """The health as of `now` where the clock went back since: a cooldown lasts as long as it was meant to, from now on."""
    cooldown = health.cooldown
    if cooldown is not None and cooldown.since > now:
        health = replace(health, cooldown=replace(cooldown, since=now, until=now + cooldown.until - cooldown.since))
    if health.failed_at > now:
        health = replace(health, failed_at=now, probe="", probe_until=0.0)
    return health
