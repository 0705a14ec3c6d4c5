"""A call under way: what is asked, which candidates are left, what was tried; and the answer it may end in."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from groq_fallback_mcp.call import (
    AnyRequest,
    Attempt,
    ChatRequest,
    Failure,
    FailureKind,
    Limit,
    Outcome,
    SizeLimit,
    Success,
)
from groq_fallback_mcp.catalog import FREE
from groq_fallback_mcp.fallback.progress import CallObserver
from groq_fallback_mcp.policy.plan import Candidate, Plan
from groq_fallback_mcp.quota import ModelQuota, QuotaKey, Wait
from groq_fallback_mcp.quota.breaker import useful_wait_s

__all__ = ["Answer", "CallState", "CallTimeouts", "Check", "cost_usd"]

Check = Callable[[Success], Failure | None]
_SIZES = {FailureKind.LARGER_THAN_LIMIT, FailureKind.CONTEXT_TOO_LONG}
# What the tokens of a prompt count for.
_OF_PROMPTS = {Limit.TPM, Limit.ITPM, Limit.TPH, Limit.TPD}
_KEY_REFUSED = {FailureKind.AUTHENTICATION, FailureKind.ORGANIZATION_REFUSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTimeouts:
    """The times that shape a call, in seconds; the settings of these names say more.

    `silence_s`: how long even the last model may be silent, where the deadline is longer.
    """

    deadline_s: float = 50.0
    attempt_timeout_s: float = 20.0
    max_wait_s: float = 2.0
    silence_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An accepted outcome, with how it came about."""

    success: Success
    provider: str
    model: str
    requested_model: str | None
    use_case: str
    cost_usd: Decimal | None
    fallback: bool
    """Whether another model than the plan's first answered."""
    attempts: Sequence[Attempt]
    notes: Sequence[str]
    duration_s: float


@dataclass(slots=True)
class CallState:
    """The state of one call; `started` and `deadline` are readings of the monotonic clock."""

    request: AnyRequest
    plan: Plan
    started: float
    deadline: float
    check: Check | None = None
    """May refuse a success, which then counts as a failed generation."""
    repairs: bool = False
    """Whether a model whose answer was refused is shown it, and why."""
    watched: bool = False
    """Whether progress is reported, so that answers are streamed."""
    observer: CallObserver | None = None
    keyed: frozenset[str] = frozenset()
    """The providers that have their key."""
    quotas: Mapping[QuotaKey, ModelQuota] = field(default_factory=dict[QuotaKey, ModelQuota])
    """What the ledger knew when the call was planned."""

    longest_wait_s: float = math.inf
    """Seconds that the call may wait for limits, all its waits together."""

    tiers: list[list[Candidate]] = field(init=False)
    """The candidates that are left."""
    again: Candidate | None = None
    """The candidate to try at once, before all others."""
    repair: ChatRequest | None = None
    """The request to send to it, where an answer was refused."""
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    tried: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    """How often each model was sent this call."""
    last_failure: Failure | None = None
    aborted: bool = False
    """Whether the last failure was taken to be that of any model."""
    refused_by: set[str] = field(default_factory=set[str])
    """The providers whose refusal was taken to be theirs alone."""
    last_resort_used: bool = False
    waited_s: float = 0.0
    doing: str = "choosing a model"
    """What is going on, as progress messages show it."""
    trying: Candidate | None = None
    """The candidate that is sent the call now."""
    trying_since: float = 0.0
    """Since when, by the monotonic clock."""
    first_token_at: float | None = None
    """When the first token of that attempt came."""
    notes: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.tiers = [list(tier) for tier in self.plan.tiers]

    @property
    def left(self) -> list[Candidate]:
        """The candidates that are left, in order."""
        return [candidate for tier in self.tiers for candidate in tier]

    def tier_of(self, candidate: Candidate) -> list[Candidate]:
        """The candidates as good as this one, itself included."""
        return next((tier for tier in self.tiers if any(one.identity == candidate.identity for one in tier)), list[Candidate]())

    def drop(self, unwanted: Callable[[Candidate], bool]) -> None:
        """Leave out the candidates of which this is true."""
        self.tiers = [[candidate for candidate in tier if not unwanted(candidate)] for tier in self.tiers]

    def drop_model(self, gone: Candidate) -> None:
        """Leave out one model."""
        self.drop(lambda candidate: candidate.identity == gone.identity)

    def drop_provider(self, provider: str) -> None:
        """Leave out all models of a provider."""
        self.drop(lambda candidate: candidate.provider == provider)

    def drop_local_text_after_a_refused_key(self) -> None:
        """A local model's text would only hide what the user must fix."""
        if isinstance(self.request, ChatRequest) and any(
            attempt.kind in _KEY_REFUSED and attempt.provider in self.keyed for attempt in self.attempts
        ):
            self.drop_provider("local")

    def add(self, provider: str, found: Sequence[Candidate], *, again: bool) -> None:
        """Try first what was found after a provider failed. `again`: also what could not be reached before, though only once more."""
        self.drop_provider(provider)
        left, most = {one.identity for one in self.left}, 2 if again else 1
        new = [one for one in found if one.identity not in left and self.tried.get(one.identity, 0) < most]
        self.tiers = [tier for tier in (new, *self.tiers) if tier]

    def replace(self, old: Candidate, new: Candidate, *, last: bool = False) -> None:
        """Put `new` in the place of `old`, or at the end of its tier."""
        self.tiers = [_replaced(tier, old, new, last=last) for tier in self.tiers]

    def begin(self, candidate: Candidate, now: float) -> None:
        """Note that an attempt begins."""
        self.tried[candidate.identity] = self.tried.get(candidate.identity, 0) + 1
        self.doing = f"trying {candidate.model}"
        self.trying, self.trying_since, self.first_token_at = candidate, now, None

    def record(self, candidate: Candidate, outcome: Outcome, duration_s: float) -> None:
        """Note an attempt that has ended."""
        self.trying = None
        # that it was skipped before says nothing any more
        self.attempts = [a for a in self.attempts if a.sent or (a.provider, a.model) != candidate.identity]
        failure = outcome if isinstance(outcome, Failure) else None
        self.attempts.append(
            Attempt(
                provider=candidate.provider,
                model=candidate.model,
                sent=failure is None or failure.sent,
                outcome="answered" if failure is None else failure.kind.value,
                detail="" if failure is None else failure.message,
                status=None if failure is None else failure.status,
                begun_s=self.trying_since - self.started,
                duration_s=duration_s,
                first_token_s=self._first_token_s(outcome, duration_s),
                retry_after_s=None if failure is None else failure.retry_after_s,
                kind=None if failure is None else failure.kind,
                size=None if failure is None else _stated_size(candidate, failure),
            )
        )
        if failure is not None:
            self.last_failure = failure

    def _first_token_s(self, outcome: Outcome, duration_s: float) -> float | None:
        """Seconds until the attempt's first token, as it was seen here, else as the provider says."""
        if self.first_token_at is not None:
            return self.first_token_at - self.trying_since
        stated = outcome.speed.first_token_s if isinstance(outcome, Success) else None
        # a clock elsewhere, or a simulated one, may say more than it took
        return None if stated is None else min(stated, duration_s)

    def record_skipped(self, candidates: Sequence[Candidate], waits: Sequence[Wait], now: float) -> None:
        """Note why candidates were not tried at `now` (monotonic); those that never can be are dropped."""
        for candidate, wait in zip(candidates, waits, strict=False):
            if not any((a.provider, a.model) == candidate.identity for a in self.attempts):
                self.attempts.append(
                    Attempt(
                        provider=candidate.provider,
                        model=candidate.model,
                        sent=False,
                        outcome="skipped",
                        detail=wait.reason,
                        begun_s=now - self.started,
                        retry_after_s=useful_wait_s(wait.wait_s, wait.kind),
                        kind=wait.kind,
                        size=_size(candidate, wait.limit, wait.capacity),
                    )
                )
            if wait.wait_s is None:
                self.drop_model(candidate)

    def answer(self, candidate: Candidate, success: Success, *, now: float) -> Answer:
        """The accepted success of a candidate; `now` is the clock's monotonic reading."""
        return Answer(
            success=success,
            provider=candidate.provider,
            model=candidate.model,
            requested_model=self.plan.requested_model,
            use_case=self.plan.use_case,
            cost_usd=cost_usd(candidate, success),
            fallback=candidate.identity != self.plan.candidates[0].identity,
            attempts=tuple(self.attempts),
            notes=(*self.plan.notes, *candidate.notes, *self.notes),
            duration_s=now - self.started,
        )


def cost_usd(candidate: Candidate, success: Success) -> Decimal | None:
    """What an answer cost in US dollars; None where that is not known."""
    if candidate.price == FREE:
        return Decimal(0)
    return None if candidate.price is None or not success.usage_reported else candidate.price.cost_usd(success.usage)


def _stated_size(candidate: Candidate, failure: Failure) -> SizeLimit | None:
    """The lowest limit of those that the request exceeded, as the provider states them; None where it states none."""
    if failure.kind not in _SIZES:
        return None
    exceeded = [
        size
        for reading in failure.quota.readings
        if reading.requested is None or reading.capacity is None or reading.requested > reading.capacity
        if (size := _size(candidate, reading.limit, reading.capacity)) is not None
    ]
    if failure.context_window is not None:
        exceeded.append(SizeLimit(provider=candidate.provider, model=candidate.model, tokens=failure.context_window))
    return min(exceeded, key=lambda size: size.tokens, default=None)


def _size(candidate: Candidate, limit: Limit | None, capacity: float | None) -> SizeLimit | None:
    if limit not in _OF_PROMPTS or capacity is None:
        return None
    figures = (candidate.documented.get(limit), None if candidate.pool is None else candidate.pool.documented.get(limit))
    documented = min((figure for figure in figures if figure is not None), default=None)
    return SizeLimit(
        provider=candidate.provider, model=candidate.model, tokens=int(capacity), limit=limit, documented=documented
    )


def _replaced(tier: list[Candidate], old: Candidate, new: Candidate, *, last: bool) -> list[Candidate]:
    same = [candidate.identity == old.identity for candidate in tier]
    if not any(same):
        return tier
    if last:
        return [*(candidate for candidate, is_old in zip(tier, same, strict=True) if not is_old), new]
    return [new if is_old else candidate for candidate, is_old in zip(tier, same, strict=True)]
