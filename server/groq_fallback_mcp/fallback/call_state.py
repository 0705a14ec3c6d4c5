"""A call under way: what is asked, who is left to ask, what was tried."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from groq_fallback_mcp.call import AnyRequest, Attempt, ChatRequest, Failure, FailureKind, Success
from groq_fallback_mcp.policy.plan import Candidate, Plan
from groq_fallback_mcp.quota import ModelQuota, QuotaKey

__all__ = ["Answer", "CallState", "CallTimeouts", "Check"]

Check = Callable[[Success], Failure | None]
_KEY_REFUSED = {FailureKind.AUTHENTICATION, FailureKind.ORGANIZATION_REFUSED}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTimeouts:
    """The three times that shape a call, in seconds; see settings.py."""

    deadline_s: float = 50.0
    attempt_timeout_s: float = 20.0
    max_wait_s: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An accepted outcome with the account of how it came about. `fallback`: not the plan's first choice answered."""

    success: Success
    provider: str
    model: str
    requested_model: str | None
    use_case: str
    cost_usd: Decimal | None
    fallback: bool
    attempts: Sequence[Attempt]
    notes: Sequence[str]
    duration_s: float


@dataclass(slots=True)
class CallState:
    """The state of one call. `quotas` is what the ledger said when it was planned, `keyed` names the providers that have their key."""

    request: AnyRequest
    plan: Plan
    tiers: list[list[Candidate]]
    started: float
    deadline: float
    check: Check | None
    repairs: bool = False
    watched: bool = False
    keyed: frozenset[str] = frozenset()
    quotas: Mapping[QuotaKey, ModelQuota] = field(default_factory=dict[QuotaKey, ModelQuota])
    doing: str = "choosing a model"
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    asked: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    again: Candidate | None = None
    repair: ChatRequest | None = None
    notes: list[str] = field(default_factory=list[str])
    last: Failure | None = None
    nobody_else: bool = False
    waited_s: float = 0.0

    def open(self) -> list[Candidate]:
        return [candidate for tier in self.tiers for candidate in tier]

    def sharing(self, candidate: Candidate, pool: str | None) -> list[str]:
        """The models that a limit of this candidate's holds for: itself, and those of its provider in the same pool."""
        others = self.plan.candidates if pool is not None else ()
        sharing = [
            other.model for other in others if other.provider == candidate.provider and other.wire_model.endswith(pool or "")
        ]
        return list(dict.fromkeys((candidate.model, *sharing)))

    def drop(self, unwanted: Callable[[Candidate], bool]) -> None:
        self.tiers = [[candidate for candidate in tier if not unwanted(candidate)] for tier in self.tiers]

    def withhold_local_text(self) -> None:
        """After a refused key a local model's text would only hide what the user must fix."""
        if isinstance(self.request, ChatRequest) and any(
            attempt.kind in _KEY_REFUSED and attempt.provider in self.keyed for attempt in self.attempts
        ):
            self.drop(lambda candidate: candidate.provider == "local")

    def replace(self, old: Candidate, new: Candidate, *, last: bool = False) -> None:
        """Put `new` in the place of `old`, or at the end of its tier."""
        self.tiers = [_replaced(tier, old, new, last=last) for tier in self.tiers]

    def drop_one(self, gone: Candidate) -> None:
        self.drop(lambda candidate: candidate.identity == gone.identity)


def _replaced(tier: list[Candidate], old: Candidate, new: Candidate, *, last: bool) -> list[Candidate]:
    same = [candidate.identity == old.identity for candidate in tier]
    if not any(same):
        return tier
    if last:
        return [*(candidate for candidate, is_old in zip(tier, same, strict=True) if not is_old), new]
    return [new if is_old else candidate for candidate, is_old in zip(tier, same, strict=True)]
