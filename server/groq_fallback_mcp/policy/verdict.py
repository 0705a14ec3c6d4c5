"""What an outcome means: after a failure the same model again, the next model, the next provider, or stop; and what it is charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, assert_never

from groq_fallback_mcp.call import Failure, FailureKind, JsonMode, Limit, Outcome, ServiceTier, Usage

__all__ = [
    "OUTAGE",
    "Abort",
    "Clamp",
    "DropServiceTier",
    "FallBack",
    "NextProvider",
    "RelaxSchema",
    "RetrySame",
    "Verdict",
    "actual_cost",
    "admitted_cost",
    "backoff_s",
    "health_of",
    "judge",
]

MODEL_GONE_S = 3_600.0
MODEL_BLOCKED_S = 3_600.0
PROVIDER_REFUSED_S = 300.0
NETWORK_DENIED_S = 60.0
UNREACHABLE_S = 5.0
BREAKER_BASE_S = 2.0
BREAKER_CAP_S = 60.0
RETRY_BASE_S = 0.5
RETRY_CAP_S = 4.0
RATE_LIMIT_UNSTATED_S = 10.0
# A refusal that states no wait at all must not send the call there again before the next model.
LEAST_RATE_LIMIT_S = 0.05
LEAST_USEFUL_TOKENS = 64
# A schema that a provider refuses is asked for in the next weaker way; the answer is checked here in any case.
WEAKER_JSON_MODE: dict[JsonMode, JsonMode] = {"json_schema": "json_object", "json_object": "prompted"}
# What a model or the way to it fails with, whatever was asked.
OUTAGE = {
    FailureKind.OVERLOADED,
    FailureKind.TIER_FULL,
    FailureKind.SERVER_ERROR,
    FailureKind.TIMED_OUT,
    FailureKind.CONNECTION_LOST,
}
# After these the provider may have done the work, so the claim stands.
_CLAIM_STANDS = {FailureKind.TIMED_OUT, FailureKind.CONNECTION_LOST, FailureKind.BAD_RESPONSE, FailureKind.CANCELLED}
# These count as requests, but no tokens were spent.
_REQUEST_ONLY = {FailureKind.SERVER_ERROR, FailureKind.OVERLOADED, FailureKind.GENERATION_FAILED, FailureKind.UNPROCESSABLE}
# After these the model is known to work: it refused the request.
_MODEL_WORKS = {
    FailureKind.BAD_REQUEST,
    FailureKind.CONTEXT_TOO_LONG,
    FailureKind.MAX_TOKENS_TOO_LARGE,
    FailureKind.UNSUPPORTED,
    FailureKind.SCHEMA_REFUSED,
}
_REQUESTS = (Limit.RPM, Limit.RPH, Limit.RPD)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySame:
    """The same model again after `after_s` seconds."""

    after_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Clamp:
    """The same model at once with at most `max_tokens` tokens to write."""

    max_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FallBack:
    """The next model. This one is out of the running for `cooldown_s` seconds (0: for this call only).

    `may_return`: it may be asked again within this call once that time is over and nothing else could serve.
    `reduced_to`: it may be asked again after the others, for at most so many tokens.
    `provider_failing`: so much of its provider's traffic fails that this call asks only those of its models that have not failed
    since they last answered.
    """

    cooldown_s: float = 0.0
    may_return: bool = False
    reduced_to: int | None = None
    provider_failing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NextProvider:
    """Nothing more of this provider in this call, and nothing for `cooldown_s` seconds in later ones."""

    cooldown_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """No model and no provider would answer this request otherwise: tell the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DropServiceTier:
    """The same model at once on the usual tier: the one asked for is full."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelaxSchema:
    """The same model at once, its JSON asked for in a weaker mode: it refused the schema, not the question."""

    json_mode: JsonMode


Verdict = RetrySame | Clamp | DropServiceTier | FallBack | NextProvider | RelaxSchema | Abort


def judge(  # noqa: C901, PLR0911, PLR0912 - a decision table
    failure: Failure,
    *,
    times_tried: int,
    alternative: bool,
    jitter: float,
    max_tokens: int = 0,
    failures: int = 1,
    retry_allowed: bool = True,
    service_tier: ServiceTier | None = None,
    json_mode: JsonMode = "none",
) -> Verdict:
    """The verdict on a failed attempt; a success needs none.

    `times_tried`: how often this model has been asked in this call, this time included. `alternative`: another model
    could be asked now; then nothing is gained by backing off here, and the model itself is given the pause. `jitter`
    in [0, 1) spreads pauses. `max_tokens` is what was asked for, 0 where that has no meaning. `failures`: how often the
    model has failed in a row, for whomever. `retry_allowed` false: the organization's retries at this provider are used up.
    `service_tier` is what the caller asked for, `json_mode` how this model was asked for JSON.
    """
    if failure.kind is FailureKind.TIER_FULL and service_tier in {"flex", "auto", "performance"}:
        return DropServiceTier()
    if failure.kind in OUTAGE and not retry_allowed:
        return FallBack(cooldown_s=_breaker_s(failure, failures, jitter), provider_failing=True)
    kind = failure.kind
    match kind:
        case FailureKind.RATE_LIMITED:
            wait_s = RATE_LIMIT_UNSTATED_S if failure.retry_after_s is None else max(failure.retry_after_s, LEAST_RATE_LIMIT_S)
            return FallBack(cooldown_s=wait_s, may_return=True)
        case FailureKind.GENERATION_FAILED | FailureKind.UNPROCESSABLE:
            return RetrySame(after_s=0.0) if times_tried < 2 else FallBack()
        case FailureKind.OVERLOADED | FailureKind.TIER_FULL:
            return _may_pass(
                failure, times_tried=times_tried, most=2, alternative=alternative, jitter=jitter, failures=failures
            )
        case FailureKind.SERVER_ERROR:
            return _may_pass(
                failure, times_tried=times_tried, most=3, alternative=alternative, jitter=jitter, failures=failures
            )
        case FailureKind.MAX_TOKENS_TOO_LARGE | FailureKind.LARGER_THAN_LIMIT:
            bound = _affordable(failure, max_tokens)
            if bound is None or times_tried > 1:
                return FallBack()
            too_large_here = kind is FailureKind.LARGER_THAN_LIMIT and alternative
            return FallBack(reduced_to=bound) if too_large_here else Clamp(max_tokens=bound)
        case FailureKind.SCHEMA_REFUSED:
            weaker = WEAKER_JSON_MODE.get(json_mode)
            if weaker is not None:
                return RelaxSchema(json_mode=weaker)
            # no schema was sent: what broke there may work elsewhere
            return FallBack() if failure.status is not None and failure.status >= 500 else Abort()
        case FailureKind.MODEL_GONE:
            return FallBack(cooldown_s=MODEL_GONE_S)
        case FailureKind.MODEL_BLOCKED:
            return FallBack(cooldown_s=MODEL_BLOCKED_S)
        case FailureKind.CONTEXT_TOO_LONG | FailureKind.UNSUPPORTED | FailureKind.BAD_RESPONSE | FailureKind.CONNECTION_LOST:
            return FallBack()
        case FailureKind.PAYLOAD_TOO_LARGE:
            # one upload limit holds for a provider's models: the same file is not sent there again
            return NextProvider(cooldown_s=0.0)
        case FailureKind.TIMED_OUT:
            return FallBack(cooldown_s=_breaker_s(failure, failures, jitter))
        case FailureKind.AUTHENTICATION | FailureKind.ORGANIZATION_REFUSED | FailureKind.NO_CREDIT:
            return NextProvider(cooldown_s=PROVIDER_REFUSED_S)
        case FailureKind.NETWORK_DENIED:
            return NextProvider(cooldown_s=NETWORK_DENIED_S)
        case FailureKind.UNREACHABLE:
            return NextProvider(cooldown_s=UNREACHABLE_S)
        case (
            FailureKind.BAD_REQUEST
            | FailureKind.REMOTE_TOOL_AUTHENTICATION
            | FailureKind.CONTENT_FILTERED
            | FailureKind.CANCELLED
            | FailureKind.OVER_BUDGET
            | FailureKind.BUSY
        ):
            return Abort()
        case _:  # pragma: no cover
            assert_never(kind)


def backoff_s(failures: int, *, base_s: float, cap_s: float, jitter: float) -> float:
    """Seconds after the `failures`-th failure in a row: base x 2^(n-1) up to the cap, spread over its upper half.

    `jitter` in [0, 1) picks the point between half of the figure and the whole of it ("equal jitter"), so that
    processes that failed together do not come back together.
    """
    doublings = min(max(failures, 1) - 1, 32)
    ceiling = min(base_s * 2.0**doublings, cap_s)
    return ceiling * (0.5 + 0.5 * jitter)


def actual_cost(outcome: Outcome, claimed: Mapping[Limit, float], *, failures_count: bool = False) -> Mapping[Limit, float]:
    """What to settle a claim at. Cached tokens do not count; a refusal spends nothing; a lost answer spends it all.

    `failures_count`: the provider counts every call that it refuses as a request.
    """
    if isinstance(outcome, Failure):
        if outcome.sent and outcome.kind in _CLAIM_STANDS:
            return claimed
        counts = failures_count or outcome.kind in _REQUEST_ONLY
        requests = 1.0 if outcome.sent and counts else 0.0
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
    whole = fresh + max_tokens
    charged = {
        Limit.TPM: whole,
        Limit.TPH: whole,
        Limit.TPD: whole,
        Limit.ITPM: fresh,
        Limit.OTPM: float(max_tokens),
    }
    return {limit: units for limit, units in charged.items() if limit in claimed}


def health_of(outcome: Outcome) -> Literal["up", "down"] | None:
    """What an outcome says of the model: it works, it or the way to it failed, or neither."""
    if isinstance(outcome, Failure):
        return "down" if outcome.sent and outcome.kind in OUTAGE else "up" if outcome.kind in _MODEL_WORKS else None
    return "up"


def _breaker_s(failure: Failure, failures: int, jitter: float) -> float:
    pause_s = backoff_s(failures, base_s=BREAKER_BASE_S, cap_s=BREAKER_CAP_S, jitter=jitter)
    return max(pause_s, failure.retry_after_s or 0.0)


def _may_pass(failure: Failure, *, times_tried: int, most: int, alternative: bool, jitter: float, failures: int) -> Verdict:
    pause_s = backoff_s(times_tried, base_s=RETRY_BASE_S, cap_s=RETRY_CAP_S, jitter=jitter)
    if failure.retry_after_s is not None:
        pause_s = max(pause_s, failure.retry_after_s)
    if alternative or times_tried >= most:
        return FallBack(cooldown_s=_breaker_s(failure, failures, jitter))
    if pause_s > RETRY_CAP_S:
        # not worth sitting out here: the first free model serves, this one included
        return FallBack(cooldown_s=pause_s, may_return=True)
    return RetrySame(after_s=pause_s)


def _affordable(failure: Failure, max_tokens: int) -> int | None:
    """The most tokens the refusal leaves room for; None when it does not say, or too few to be of use."""
    bound = failure.max_tokens_limit
    for reading in failure.quota.readings:
        if failure.kind is FailureKind.LARGER_THAN_LIMIT and reading.capacity is not None and reading.requested is not None:
            bound = int(max_tokens - (reading.requested - reading.capacity))
    return bound if bound is not None and LEAST_USEFUL_TOKENS <= bound < max_tokens else None


def _used(usage: Usage) -> dict[Limit, float]:
    fresh = float(max(usage.input_tokens - usage.cached_tokens, 0))
    # speech is counted in characters where text is counted in tokens
    tokens = fresh + usage.output_tokens + usage.characters
    return {
        Limit.TPM: tokens,
        Limit.TPH: tokens,
        Limit.TPD: tokens,
        Limit.ITPM: fresh,
        Limit.OTPM: float(usage.output_tokens),
        Limit.ASH: usage.audio_s,
        Limit.ASD: usage.audio_s,
    }
