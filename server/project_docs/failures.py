"""The blocks `errors` and `statuses`: what can go wrong, what the server does about it, and what the agent should do.

What the server does comes from the policy itself, so that the table cannot differ from the code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never

from groq_fallback_mcp.call import Failure, FailureKind, Limit, LimitReading, QuotaSnapshot
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.policy.verdict import (
    Abort,
    Clamp,
    DropServiceTier,
    FallBack,
    NextProvider,
    RelaxSchema,
    RetrySame,
    Verdict,
    judge,
)
from project_docs.blocks import code, table

__all__ = ["ADVICE", "CODES", "errors_block", "statuses_block"]

_MOST_ATTEMPTS = 4
_ASKED = 4_096
_MINUTE_S = 60

# The codes at the beginning of an error: (what it means, what to do).
CODES: Mapping[str, tuple[str, str]] = {
    "rate_limited": (
        "every model that could answer is at a rate limit",
        "Wait `retry_after_s`, then retry once; do something else meanwhile. Fewer `max_tokens` fit sooner.",
    ),
    "deadline": ("no model answered before the server's deadline", "Wait `retry_after_s` if given; send less in one call."),
    "bad_request": ("the provider refused the request itself", "Fix the arguments. The same call fails again."),
    "authentication": ("no key, or Groq refused it", "Do not call again. Tell the user to set GROQ_API_KEY and run `groq-fallback-mcp doctor`."),
    "account_refused": ("the provider refuses the organization, or requires payment", "Do not call again; tell the user, with the message."),
    "content_filtered": ("a model's content filter withheld the answer", "Rephrase the request. The same call is filtered again."),
    "no_model": ("no model can take this request", "Change what the reasons name: drop the image, other `model`."),
    "no_provider": ("nothing is configured that could serve this", "Do not call again. Tell the user to run `groq-fallback-mcp doctor`."),
    "over_budget": ("the user's daily budget does not allow the call; nothing was sent", "Lower `max_tokens`; otherwise tell the user."),
    "busy": ("more calls at once than this server sends", "Send fewer at once, then retry."),
    "too_large": ("the request is larger than any model accepts", "Shorten the prompt or split the file, or tell the user to add a provider; waiting does not help."),
    "unsupported": ("no model can do what was asked", "Change what the reason names, or give another `model`."),
    "unreachable": ("no provider could be reached", "Retry once; then tell the user to check the network."),
    "all_failed": ("all available models failed", "Retry once later; if it fails again, continue without it."),
    "invalid_arguments": ("an argument is unknown, missing or out of range; nothing was sent", "Fix the argument named in the message."),
    "unknown_tool": ("no tool of this name", "Use one of the names in the message."),
    "internal": ("internal error", "Retry once; if it persists, tell the user, with the message."),
}  # fmt: skip

_WAIT = "Wait `retry_after_s`, then retry once."
_SHORTEN = "Waiting does not help. Shorten or split the prompt, or lower `max_tokens`."
_OTHER_MODEL = "Omit `model`, or use one from list_models."
_SIMPLIFY = "Simplify the prompt or `response_schema`; raise `max_tokens` if the answer was truncated."
_STOP = "Do not call again; tell the user."
_ONCE = "Retry once; then tell the user."
_LATER = "Retry once later."

# What the agent should do when an error shows this outcome.
ADVICE: Mapping[FailureKind, str] = {
    FailureKind.RATE_LIMITED: _WAIT,
    FailureKind.OVER_BUDGET: _STOP,
    FailureKind.BUSY: "Send fewer calls at once, then retry.",
    FailureKind.LARGER_THAN_LIMIT: _SHORTEN,
    FailureKind.CONTEXT_TOO_LONG: _SHORTEN,
    FailureKind.MAX_TOKENS_TOO_LARGE: "Lower `max_tokens`.",
    FailureKind.MODEL_GONE: _OTHER_MODEL,
    FailureKind.MODEL_BLOCKED: _OTHER_MODEL,
    FailureKind.UNSUPPORTED: _OTHER_MODEL,
    FailureKind.SCHEMA_REFUSED: "Simplify `response_schema`.",
    FailureKind.GENERATION_FAILED: _SIMPLIFY,
    FailureKind.UNPROCESSABLE: _SIMPLIFY,
    FailureKind.PAYLOAD_TOO_LARGE: "Send a smaller file, or give a `url`.",
    FailureKind.BAD_REQUEST: "Fix the arguments. The same call fails again.",
    FailureKind.AUTHENTICATION: _STOP,
    FailureKind.ORGANIZATION_REFUSED: _STOP,
    FailureKind.NO_CREDIT: _STOP,
    FailureKind.NETWORK_DENIED: _ONCE,
    FailureKind.REMOTE_TOOL_AUTHENTICATION: _STOP,
    FailureKind.TIER_FULL: _WAIT,
    FailureKind.OVERLOADED: _WAIT,
    FailureKind.SERVER_ERROR: _LATER,
    FailureKind.UNREACHABLE: _ONCE,
    FailureKind.TIMED_OUT: _LATER,
    FailureKind.CONNECTION_LOST: _ONCE,
    FailureKind.BAD_RESPONSE: _LATER,
    FailureKind.CONTENT_FILTERED: "Rephrase the request. The same call is filtered again.",
    FailureKind.CANCELLED: "Nothing: you cancelled it.",
}


def errors_block() -> str:
    """The codes of an error, then the outcomes of single attempts."""
    codes = table(("Code", "Means", "Do"), ((code(name), *words) for name, words in CODES.items()))
    groups: dict[tuple[str, str], list[FailureKind]] = {}
    for kind in FailureKind:
        groups.setdefault((_server_does(kind), ADVICE[kind]), []).append(kind)
    rows = ((", ".join(code(kind.value) for kind in kinds), *words) for words, kinds in groups.items())
    outcomes = table(("Outcome of an attempt", "The server", "What you do when an error shows it"), rows)
    return f"{codes}\n\n{outcomes}"


def statuses_block(catalog: Catalog) -> str:
    """The statuses and codes of Groq's API as the catalog has them."""
    statuses = table(("Status", "Means", "The server"), ((str(row.status), row.meaning, row.action) for row in catalog.errors))
    rows = ((str(row.status), code(row.code), row.message, row.action, row.correction) for row in catalog.error_codes)
    return f"{statuses}\n\n{table(('Status', 'Code', 'Text', 'The server', 'Correction'), rows)}"


def _server_does(kind: FailureKind) -> str:
    with_others, alone = (_steps(kind, alternative=alternative) for alternative in (True, False))
    return with_others if with_others == alone else f"{with_others}. With no other model free: {alone}"


def _steps(kind: FailureKind, *, alternative: bool) -> str:
    """The verdicts on the same failure again and again, until the model is no longer asked."""
    # a refusal that says how much would have been admitted, so that asking for less can be shown
    room = QuotaSnapshot(readings=(LimitReading(limit=Limit.TPM, capacity=_ASKED, requested=_ASKED * 3 / 2),))
    failure = Failure(kind=kind, message="", quota=room, max_tokens_limit=_ASKED // 2)
    steps: list[str] = []
    for attempts in range(1, _MOST_ATTEMPTS + 1):
        verdict = judge(
            failure, times_tried=attempts, alternative=alternative, jitter=0.0, max_tokens=_ASKED, json_mode="json_schema"
        )
        words = _words(verdict, kind)
        if words not in steps:
            steps.append(words)
        if not isinstance(verdict, RetrySame | Clamp):
            break
    return ", then ".join(steps)


def _words(verdict: Verdict, kind: FailureKind) -> str:  # noqa: PLR0911 - a table
    match verdict:
        case RetrySame(after_s=after_s):
            return "retries the same model" + (" after a pause" if after_s > 0 else "")
        case Clamp():
            return "retries the same model with fewer tokens, where Groq says how many"
        case RelaxSchema():
            return "retries the same model with JSON mode, and checks the answer against the schema itself"
        case DropServiceTier():
            return "retries the same model on the usual tier"
        case FallBack(cooldown_s=cooldown_s):
            if kind is FailureKind.RATE_LIMITED:
                return "next model; this one cools down as long as Groq says"
            return "next model" + (f"; this one cools down for {_duration(cooldown_s)}" if cooldown_s > 0 else "")
        case NextProvider(cooldown_s=cooldown_s):
            return f"next provider; this one cools down for {_duration(cooldown_s)}"
        case Abort():
            return "stops"
        case _:  # pragma: no cover
            assert_never(verdict)


def _duration(cooldown_s: float) -> str:
    return "a few seconds" if cooldown_s < _MINUTE_S else f"{cooldown_s / _MINUTE_S:g} min"
