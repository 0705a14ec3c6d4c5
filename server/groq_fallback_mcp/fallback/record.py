"""What is kept of an attempt and of an answer: the account of a call."""

from __future__ import annotations

from decimal import Decimal

from groq_fallback_mcp.call import Attempt, Outcome, Success
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.fallback.call_state import Answer, CallState
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.quota.budget import NOTHING, Spend, picodollars

__all__ = ["answer_of", "attempt_of", "spent_on"]


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


def answer_of(state: CallState, candidate: Candidate, success: Success, *, catalog: Catalog, now: float) -> Answer:
    """An accepted success with its account; `now` is the clock's monotonic reading."""
    return Answer(
        success=success,
        provider=candidate.provider,
        model=candidate.model,
        requested_model=state.plan.requested_model,
        use_case=state.plan.use_case,
        cost_usd=_cost_usd(candidate, success, catalog),
        fallback=candidate.identity != state.plan.candidates[0].identity,
        attempts=tuple(state.attempts),
        notes=(*state.plan.notes, *candidate.notes, *state.notes),
        duration_s=now - state.started,
    )


def spent_on(candidate: Candidate, outcome: Outcome, catalog: Catalog) -> Spend | None:
    """What a call took of a budget: nothing where it failed, the most it could where the usage is not reported."""
    if not isinstance(outcome, Success):
        return None
    if candidate.provider == "local":
        return NOTHING
    if not outcome.usage_reported:
        return candidate.spend
    usage, amount = outcome.usage, _cost_usd(candidate, outcome, catalog)
    return Spend(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        audio_s=usage.audio_s,
        picousd=None if amount is None else picodollars(amount),
    )


def _cost_usd(candidate: Candidate, success: Success, catalog: Catalog) -> Decimal | None:
    if candidate.provider != "groq":
        # the catalog's prices are Groq's
        return Decimal(0) if candidate.provider == "local" else None
    return catalog.cost_usd(candidate.model, success.usage) if success.usage_reported else None
