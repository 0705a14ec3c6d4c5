"""What is kept of an attempt and of an answer: the account of a call."""

from __future__ import annotations

from decimal import Decimal

from groq_fallback_mcp.call import Attempt, Outcome, Success
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.gateway.walk import Answer, Walk
from groq_fallback_mcp.policy.plan import Candidate

__all__ = ["answer_of", "attempt_of"]


def attempt_of(candidate: Candidate, outcome: Outcome, took_s: float) -> Attempt:
    """The line of an attempt that took `took_s` seconds."""
    if isinstance(outcome, Success):
        return Attempt(
            provider=candidate.provider,
            model=candidate.model,
            sent=True,
            outcome="answered",
            duration_s=took_s,
        )
    return Attempt(
        provider=candidate.provider,
        model=candidate.model,
        sent=outcome.sent,
        outcome=outcome.kind.value,
        detail=outcome.message,
        status=outcome.status,
        duration_s=took_s,
        retry_after_s=outcome.retry_after_s,
        kind=outcome.kind,
    )


def answer_of(walk: Walk, candidate: Candidate, success: Success, *, catalog: Catalog, now: float) -> Answer:
    """An accepted success with its account; `now` is the clock's monotonic reading."""
    return Answer(
        success=success,
        provider=candidate.provider,
        model=candidate.model,
        requested_model=walk.plan.requested_model,
        use_case=walk.plan.use_case,
        cost_usd=_cost_usd(candidate, success, catalog),
        fallback=candidate.identity != walk.plan.candidates[0].identity,
        attempts=tuple(walk.attempts),
        notes=(*walk.plan.notes, *candidate.notes),
        duration_s=now - walk.started,
    )


def _cost_usd(candidate: Candidate, success: Success, catalog: Catalog) -> Decimal | None:
    if candidate.provider != "groq":
        # the catalogue's prices are Groq's
        return Decimal(0) if candidate.provider == "local" else None
    return catalog.cost_usd(candidate.model, success.usage) if success.usage_reported else None
