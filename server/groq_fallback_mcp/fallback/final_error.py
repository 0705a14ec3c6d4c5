"""The error of a call that no model answered: the cause, each attempt, the next step, and when to retry."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from groq_fallback_mcp.call import USED_UP, WHOLE_PROVIDER, Attempt, Exclusion, Failure, FailureKind, SizeLimit
from groq_fallback_mcp.call.refusals import LOCAL_ONLY, NO_API_KEY, provider_name, refusal
from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.durations import format_duration
from groq_fallback_mcp.quota.breaker import NOT_MENDED_BY_TIME
from groq_fallback_mcp.quota.budget import OF_TOKEN, REOPENING, UNCHECKED_BUDGET, UNKNOWN_PRICE, UNKNOWN_SPENDING
from groq_fallback_mcp.render import quoted

__all__ = ["SHORTEN", "SHOWN_SIZES", "CallFailed", "Code", "final_error", "key_note"]

Code = Literal[
    "rate_limited",
    "deadline",
    "authentication",
    "account_refused",
    "content_filtered",
    "bad_request",
    "too_large",
    "unsupported",
    "no_model",
    "no_provider",
    "over_budget",
    "busy",
    "unreachable",
    "all_failed",
]

SHOWN_EXCLUSIONS = 6
SHOWN_SIZES = 3
SHORTEN = "Shorten the prompt"
LEAST_STATED_WAIT_S = 0.5
LARGER = "the request is larger than any model accepts"
_MISSING = "No Groq API key is set"
_REFUSED = str(refusal(FailureKind.AUTHENTICATION, "groq"))
_REPLACE_KEY = "Copy a valid key from console.groq.com/keys, then run `groq-fallback-mcp key set` or export GROQ_API_KEY"
_SET_KEY = "Run `groq-fallback-mcp key set`, or export GROQ_API_KEY where the MCP client starts this server"

_OVER_BUDGET = (
    "Lower max_tokens, wait for the next UTC day, or raise GROQ_FALLBACK_BUDGET_USD_PER_DAY or "
    "GROQ_FALLBACK_BUDGET_TOKENS_PER_DAY"
)
_OWN_BUDGET = "Lower max_tokens, wait for midnight UTC, or have the gateway's owner raise the token's budget"
_REFUSED_REQUEST = {
    FailureKind.BAD_REQUEST,
    FailureKind.SCHEMA_REFUSED,
    FailureKind.REMOTE_TOOL_AUTHENTICATION,
    FailureKind.CANCELLED,
}
_TOO_LARGE = {FailureKind.CONTEXT_TOO_LONG, FailureKind.PAYLOAD_TOO_LARGE, FailureKind.LARGER_THAN_LIMIT}
_UNREACHABLE = {
    FailureKind.UNREACHABLE,
    FailureKind.NETWORK_DENIED,
    FailureKind.TIMED_OUT,
    FailureKind.CONNECTION_LOST,
}
# What a later call would meet again.
_NOT_MENDED = NOT_MENDED_BY_TIME | _TOO_LARGE | {FailureKind.UNSUPPORTED, FailureKind.OVER_BUDGET}
_ACCOUNT = {FailureKind.ORGANIZATION_REFUSED, FailureKind.NO_CREDIT}
# Codes of errors that time does not mend.
_NOT_RETRYABLE = {
    *("over_budget", "bad_request", "authentication", "account_refused", "content_filtered"),
    *("too_large", "unsupported", "no_model"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """Why there is no answer. `retry_after_s` is when some model could be asked again, None when time will not help.

    `sizes`: of a request that is too large, the most that each provider takes, the largest first, as far as that is known.
    """

    code: Code
    cause: str
    next_step: str
    retry_after_s: float | None
    attempts: Sequence[Attempt]
    exclusions: Sequence[Exclusion]
    sizes: Sequence[SizeLimit] = ()


def final_error(
    *,
    attempts: Sequence[Attempt],
    exclusions: Sequence[Exclusion],
    last: Failure | None,
    aborted: bool = True,
    least_wait_s: float | None,
    out_of_time: bool,
    deadline_s: float,
    larger_plan_takes: Callable[[SizeLimit], bool] = lambda _: False,
) -> CallFailed:
    """Sum up a call that failed. `least_wait_s`: until the first candidate could be asked again, None if never.

    `aborted`: `last` ended the call, as any model would fail so; else it is one failure of several.
    `larger_plan_takes`: whether a larger plan of Groq would take the request, where this limit refused it.
    """
    code, cause, next_step = _summary(_with_keys(attempts), exclusions, last, least_wait_s, aborted=aborted)
    sizes: Sequence[SizeLimit] = ()
    if code == "too_large":
        given = [*(attempt.size for attempt in attempts), *(exclusion.size for exclusion in exclusions)]
        found = [size for size in given if size is not None]
        sizes = _largest_of_each_provider(found)
        if sizes:
            cause = f"{cause} ({', '.join(map(str, sizes[:SHOWN_SIZES]))})"
            next_step = _for_sizes(found, larger_plan_takes)
    hopeless = code in _NOT_RETRYABLE
    if out_of_time:
        code, cause = "deadline", f"no model answered within the deadline of {deadline_s:g} s; {cause}"
    if least_wait_s is not None and not hopeless and least_wait_s >= LEAST_STATED_WAIT_S:
        again = f"Retry in {format_duration(math.ceil(least_wait_s * 10) / 10)}"
        next_step = f"{again}, lower max_tokens, or see check_limits" if code == "rate_limited" else again
    return CallFailed(
        code=code,
        cause=cause,
        next_step=next_step,
        retry_after_s=None if hopeless else least_wait_s,
        attempts=tuple(attempts),
        exclusions=tuple(exclusions)[:SHOWN_EXCLUSIONS],
        sizes=sizes,
    )


def _largest_of_each_provider(found: Sequence[SizeLimit]) -> Sequence[SizeLimit]:
    largest: dict[str, SizeLimit] = {}
    for size in sorted(found, key=lambda one: -one.tokens):
        largest.setdefault(size.provider, size)
    return tuple(largest.values())


def _for_sizes(found: Sequence[SizeLimit], larger_plan_takes: Callable[[SizeLimit], bool]) -> str:
    """What to do about a request that exceeds these limits."""
    below = next((size for size in found if size.is_below_plan), None)
    plan = ""
    if below is not None:
        setting = "GROQ_FALLBACK_PLAN" if below.provider == "groq" else f"`plan` of {below.provider} in config.toml"
        plan = f"set {setting} to your account's plan (the configured plan's limit is {below.documented:,}), "
    elif any(larger_plan_takes(size) for size in found):
        plan = "use Groq's Developer plan (GROQ_FALLBACK_PLAN=developer), "
    return f"{SHORTEN}, {plan}or add another provider with `groq-fallback-mcp providers add`"


def _with_keys(attempts: Sequence[Attempt]) -> Sequence[Attempt]:
    """The attempts that tell why a call failed: a provider without a key is the cause only where no other was tried."""
    found = [one for one in attempts if one.kind is not FailureKind.AUTHENTICATION or NO_API_KEY not in one.detail]
    return found if any(one.kind is not None for one in found) else attempts


def _summary(  # noqa: C901, PLR0911, PLR0912 - a decision table
    attempts: Sequence[Attempt],
    exclusions: Sequence[Exclusion],
    last: Failure | None,
    least_wait_s: float | None,
    *,
    aborted: bool,
) -> tuple[Code, str, str]:
    kinds = {attempt.kind for attempt in attempts if attempt.kind is not None}
    if last is not None and last.kind in _REFUSED_REQUEST and (aborted or kinds <= _REFUSED_REQUEST | _NOT_MENDED):
        cause = f"the provider rejected the request with {quoted(last.message)}"
        return "bad_request", cause, "Fix the arguments; the same call would fail again"
    if last is not None and last.kind is FailureKind.CONTENT_FILTERED:
        cause = f"a model's content filter withheld the answer with {quoted(last.message)}"
        return "content_filtered", cause, "Rephrase the request; the same request would be filtered again"
    if last is not None and last.code == USED_UP:
        cause = f"no model had tokens left for an answer ({last.message.removeprefix('bad upstream response: ')})"
        return "bad_request", cause, "Raise max_tokens; models that reason use some of them before they answer"
    if last is not None and last.kind is FailureKind.BUSY:
        return "busy", last.message, "Send fewer calls at once, then retry"
    if not kinds:
        return _no_candidates(exclusions)
    if kinds == {FailureKind.OVER_BUDGET}:
        details = [a.detail for a in attempts if a.kind is FailureKind.OVER_BUDGET]
        return "over_budget", f"nothing was sent because {details[0]}", _for_budget(details)
    if FailureKind.RATE_LIMITED in kinds and least_wait_s is not None:
        others = "" if kinds == {FailureKind.RATE_LIMITED} else " or failed"
        return "rate_limited", f"all available models are rate limited{others}", "Retry later"
    if FailureKind.AUTHENTICATION in kinds:
        return _unauthenticated(attempts)
    if kinds & _ACCOUNT and kinds <= _ACCOUNT | NOT_MENDED_BY_TIME | _TOO_LARGE | {FailureKind.UNSUPPORTED}:
        return _account_refused(next(a for a in reversed(attempts) if a.kind in _ACCOUNT))
    if kinds == {FailureKind.UNSUPPORTED}:
        return (
            "unsupported",
            f"no model can do this ({attempts[-1].detail})",
            "Change what the reason names, or give another model from list_models",
        )
    if kinds <= _TOO_LARGE:
        return "too_large", LARGER, "Shorten the messages, split the file, or lower max_tokens"
    if kinds == {FailureKind.TIMED_OUT}:
        return "deadline", "no model answered in time", "Retry, or send less at once"
    if kinds <= _UNREACHABLE:
        return "unreachable", "no provider could be reached", "Check the network and GROQ_BASE_URL, then retry"
    return "all_failed", "all available models failed", "Retry, or give another model from list_models"


def _for_budget(details: Sequence[str]) -> str:
    """What to do where a budget objects with these words."""
    if UNKNOWN_SPENDING in details:
        return REOPENING
    if UNCHECKED_BUDGET in details:
        return "Run `groq-fallback-mcp doctor`, which shows what is wrong with the quota store"
    if all(UNKNOWN_PRICE in detail for detail in details):
        return "Give a model whose price is known from list_models, or replace the budget in USD by one in tokens"
    return _OWN_BUDGET if OF_TOKEN in details[0] else _OVER_BUDGET


def _no_candidates(exclusions: Sequence[Exclusion]) -> tuple[Code, str, str]:
    if not exclusions:
        cause = "no configured provider can serve this"
        return (
            "no_provider",
            cause,
            "Set GROQ_API_KEY, or add a provider to config.toml; `groq-fallback-mcp doctor` shows what is missing",
        )
    if any(one.size is not None for one in exclusions):
        return "too_large", LARGER, SHORTEN
    # a call that is restricted to one provider excludes each of the others for the same reason
    excluded: dict[str, list[str]] = {}
    for one in exclusions:
        excluded.setdefault(one.reason, []).append(one.provider if one.model == WHOLE_PROVIDER else one.model)
    reasons = "; ".join(f"{', '.join(names[:3])}: {reason}" for reason, names in list(excluded.items())[:3])
    cause = f"no model can take this request ({reasons})"
    if all(one.reason == LOCAL_ONLY for one in exclusions):
        step = f"Run `{install_command('local')}` for a local model, start a local server, e.g. Ollama, or drop local_only"
        return "no_model", cause, f"{step}; `groq-fallback-mcp doctor` shows what is missing"
    return "no_model", cause, "Drop what the reasons name, or choose another model with list_models"


def _account_refused(attempt: Attempt) -> tuple[Code, str, str]:
    kind, provider = attempt.kind or FailureKind.ORGANIZATION_REFUSED, provider_name(attempt.provider)
    cause = f"{refusal(kind, attempt.provider)} with {quoted(attempt.detail)}"
    if kind is FailureKind.NO_CREDIT:
        return "account_refused", cause, f"Do not call again; tell the user to check credit and billing at {provider}"
    return "account_refused", cause, f"Do not call again; tell the user, who can contact the support of {provider}"


def key_fault(attempts: Sequence[Attempt]) -> str | None:
    """What is wrong with Groq's key, in one sentence; None where nothing is known to be."""
    refused = next((a for a in reversed(attempts) if a.provider == "groq" and a.kind is FailureKind.AUTHENTICATION), None)
    if refused is None:
        return None
    return _MISSING if NO_API_KEY in refused.detail else _REFUSED


def key_note(attempts: Sequence[Attempt]) -> str | None:
    """The note of an answer without Groq because of its key; None where that is not why."""
    fault = key_fault(attempts)
    return None if fault is None else f"{fault}, so Groq was not used. {_SET_KEY if fault == _MISSING else _REPLACE_KEY}."


def _unauthenticated(attempts: Sequence[Attempt]) -> tuple[Code, str, str]:
    fault = key_fault(attempts)
    if fault is not None:
        step = _SET_KEY if fault == _MISSING else _REPLACE_KEY
        return "authentication", fault, f"{step}; `groq-fallback-mcp doctor` shows what is set"
    attempt = next(a for a in reversed(attempts) if a.kind is FailureKind.AUTHENTICATION)
    cause = f"The provider {attempt.provider} cannot be used ({attempt.detail})"
    step = f"Set a valid key of {attempt.provider} where the client starts; `groq-fallback-mcp doctor` shows what is missing"
    return "authentication", cause, step
