"""The one error at the end of a call that nobody could answer: the cause, each attempt, what to do next, when to come back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from groq_fallback_mcp.call import Attempt, Exclusion, Failure, FailureKind
from groq_fallback_mcp.policy.durations import format_duration

__all__ = ["NoAnswer", "no_answer"]

SHOWN_EXCLUSIONS = 6
NO_KEY = (
    "Put a valid key into the environment variable GROQ_API_KEY where the MCP client starts this server, "
    "or install the extra `local` for a small local model; groq-fallback-mcp doctor shows what is set"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NoAnswer:
    """Why there is no answer. `retry_after_s` is when some model could be asked again, None when time will not help."""

    code: str
    cause: str
    next_step: str
    retry_after_s: float | None
    attempts: Sequence[Attempt]
    exclusions: Sequence[Exclusion]


def no_answer(
    *,
    attempts: Sequence[Attempt],
    exclusions: Sequence[Exclusion],
    last: Failure | None,
    least_wait_s: float | None,
    out_of_time: bool,
    deadline_s: float,
) -> NoAnswer:
    """Sum up a call that failed. `least_wait_s`: until the first candidate could be asked again, None if never."""
    kinds = {attempt.outcome for attempt in attempts if attempt.sent}
    code, cause, next_step = _summary(kinds, attempts, exclusions, last, least_wait_s)
    if out_of_time:
        code = "deadline"
        cause = f"no model answered within the deadline of {deadline_s:g} s; {cause}"
    if least_wait_s is not None and code not in {"bad_request", "authentication"}:
        next_step = f"Call again in {format_duration(math.ceil(least_wait_s * 10) / 10)}" if least_wait_s >= 0.5 else next_step  # noqa: PLR2004
        if code in {"rate_limited", "deadline"}:
            next_step += ", ask for fewer max_tokens, or see check_limits"
    return NoAnswer(
        code=code,
        cause=cause,
        next_step=next_step,
        retry_after_s=None if code in {"bad_request", "authentication"} else least_wait_s,
        attempts=tuple(attempts),
        exclusions=tuple(exclusions)[:SHOWN_EXCLUSIONS],
    )


def _summary(  # noqa: PLR0911 - a decision table
    kinds: set[str],
    attempts: Sequence[Attempt],
    exclusions: Sequence[Exclusion],
    last: Failure | None,
    least_wait_s: float | None,
) -> tuple[str, str, str]:
    if last is not None and last.kind in {
        FailureKind.BAD_REQUEST,
        FailureKind.REMOTE_TOOL_AUTHENTICATION,
        FailureKind.CANCELLED,
    }:
        return (
            "bad_request",
            f"the provider refused the request itself: {last.message}",
            "Correct the arguments; the same call would be refused again",
        )
    if FailureKind.AUTHENTICATION in kinds or (last is not None and last.kind is FailureKind.AUTHENTICATION):
        refused = next((a.detail for a in reversed(attempts) if a.outcome == FailureKind.AUTHENTICATION), "no valid key")
        return (
            "authentication",
            f"Groq cannot be asked: {refused}",
            NO_KEY,
        )
    if not attempts:
        if exclusions:
            reasons = "; ".join(f"{e.model}: {e.reason}" for e in exclusions[:3])
            return (
                "no_model",
                f"no model can take this request ({reasons})",
                "Change what the reasons name, or give another model; see list_models",
            )
        return (
            "no_provider",
            "no provider is configured that could serve this",
            "Set GROQ_API_KEY, or add a provider to config.toml; groq-fallback-mcp doctor helps",
        )
    if least_wait_s is not None and (FailureKind.RATE_LIMITED in kinds or not kinds):
        return "rate_limited", "every model that could answer is at a rate limit", "Call again later"
    if kinds <= {FailureKind.UNREACHABLE, FailureKind.NETWORK_DENIED, FailureKind.TIMED_OUT, FailureKind.CONNECTION_LOST}:
        return "unreachable", "no provider could be reached", "Check the network and GROQ_BASE_URL, then call again"
    return "all_failed", "every model that could be asked failed", "Call again, or give another model; see list_models"
