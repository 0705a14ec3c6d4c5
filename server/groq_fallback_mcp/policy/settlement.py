"""What a finished call is charged, by outcome."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from groq_fallback_mcp.call import Failure, FailureKind, Limit, Outcome, Usage
from groq_fallback_mcp.policy.verdict import OUTAGE

__all__ = ["actual_cost", "admitted_cost", "health_of"]

# After these the provider may have done the work, so the claim stands.
_KEPT = {FailureKind.TIMED_OUT, FailureKind.CONNECTION_LOST, FailureKind.BAD_RESPONSE, FailureKind.CANCELLED}
# These count as requests, but no tokens were spent.
_REQUEST_ONLY = {FailureKind.SERVER_ERROR, FailureKind.OVERLOADED, FailureKind.GENERATION_FAILED, FailureKind.UNPROCESSABLE}
_KNOWINGLY = {
    FailureKind.BAD_REQUEST,
    FailureKind.CONTEXT_TOO_LONG,
    FailureKind.MAX_TOKENS_TOO_LARGE,
    FailureKind.UNSUPPORTED,
    FailureKind.SCHEMA_REFUSED,
}
_REQUESTS = (Limit.RPM, Limit.RPD)


def actual_cost(outcome: Outcome, claimed: Mapping[Limit, float]) -> Mapping[Limit, float]:
    """What to settle a claim at. Cached tokens do not count; a refusal spends nothing; a lost answer spends it all."""
    if isinstance(outcome, Failure):
        if outcome.sent and outcome.kind in _KEPT:
            return claimed
        requests = 1.0 if outcome.sent and outcome.kind in _REQUEST_ONLY else 0.0
        return {limit: requests if limit in _REQUESTS else 0.0 for limit in claimed}
    if not outcome.usage_reported:
        return claimed
    used = _used(outcome.usage)
    return {limit: used.get(limit, units) for limit, units in claimed.items()}


def admitted_cost(outcome: Outcome, claimed: Mapping[Limit, float], max_tokens: int) -> Mapping[Limit, float]:
    """What the provider charged when it let an answered chat in: the prompt as it counted it, and all of max_tokens."""
    if isinstance(outcome, Failure) or not outcome.usage_reported or Limit.TPM not in claimed:
        return {}
    fresh = float(max(outcome.usage.input_tokens - outcome.usage.cached_tokens, 0))
    charged = {Limit.TPM: fresh + max_tokens, Limit.TPD: fresh + max_tokens, Limit.ITPM: fresh, Limit.OTPM: float(max_tokens)}
    return {limit: units for limit, units in charged.items() if limit in claimed}


def health_of(outcome: Outcome) -> Literal["up", "down"] | None:
    """What an outcome says of the model: it works, it or the way to it failed, or neither."""
    if isinstance(outcome, Failure):
        return "down" if outcome.sent and outcome.kind in OUTAGE else "up" if outcome.kind in _KNOWINGLY else None
    return "up"


def _used(usage: Usage) -> dict[Limit, float]:
    fresh = float(max(usage.input_tokens - usage.cached_tokens, 0))
    # speech is counted in characters where text is counted in tokens
    tokens = fresh + usage.output_tokens + usage.characters
    return {
        Limit.TPM: tokens,
        Limit.TPD: tokens,
        Limit.ITPM: fresh,
        Limit.OTPM: float(usage.output_tokens),
        Limit.ASH: usage.audio_s,
        Limit.ASD: usage.audio_s,
    }
