"""What the tools' results share: how a call went, and the one error when no model answered.

Attempts are shown only where something failed or was skipped: an agent pays for every word of a result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, ConfigDict

from groq_fallback_mcp.call import Attempt, FailureKind
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.fallback.final_error import CallFailed, key_note
from groq_fallback_mcp.render import capitalized, quoted, sentence
from groq_fallback_mcp.tools.tool import Reply
from groq_fallback_mcp.transcription import TranscriptAnswer

__all__ = [
    "SIMULATED_NOTE",
    "CallResult",
    "Result",
    "answer_notes",
    "call_fields",
    "call_lines",
    "error_reply",
    "joint_fields",
    "key_lines",
    "label",
    "seconds",
    "structured",
    "total_usd",
]

ALL_OF_IT = Decimal(1)
# The same words wherever an answer does not come from Groq itself.
SIMULATED_NOTE = "SIMULATED: not a real Groq answer."
SHOWN_ATTEMPTS = 20
# In this order results end, whatever stands before: clients that cut a result cut the account of the call first.
_LAST = (
    "model",
    "provider",
    "requested_model",
    "use_case",
    "voice",
    "voices",
    "fallback",
    "simulated",
    "finish_reason",
    "reasoning",
    "usage",
    "cost_usd",
    "duration_s",
    "first_token_s",
    "tokens_per_s",
    "cached",
    "attempts",
    "notes",
    "untrusted",
)
_PLACES = {name: place for place, name in enumerate(_LAST)}


class Result(BaseModel):
    """Base of every tool's structured result. Fields without a value are not sent."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class AttemptLine(Result):
    """One attempt. `sent` is false where the model was skipped, `times` says how often for the same reason, absent for once."""

    provider: str
    model: str
    sent: bool
    outcome: str
    detail: str | None = None
    status: int | None = None
    duration_s: float | None = None
    retry_after_s: float | None = None
    times: int | None = None


class CallResult(Result):
    """Base of what tools that call a model return: how the call went. Costs in USD, durations in seconds.

    Where many calls made one result, `requested_model` and `fallback` have no value.
    """

    model: str
    provider: str
    requested_model: str | None = None
    fallback: bool | None = None
    simulated: bool
    cost_usd: str | None = None
    duration_s: float
    attempts: tuple[AttemptLine, ...] | None = None
    notes: tuple[str, ...] | None = None


def call_fields(answer: Answer | TranscriptAnswer, *, notes: Sequence[str]) -> dict[str, Any]:
    """The fields of a CallResult, for one answer."""
    result = CallResult(
        model=answer.model,
        provider=answer.provider,
        requested_model=answer.requested_model,
        fallback=answer.fallback,
        simulated=answer.success.simulated if isinstance(answer, Answer) else answer.simulated,
        cost_usd=total_usd([answer.cost_usd]),
        duration_s=round(answer.duration_s, 3),
        attempts=_attempt_rows(answer.attempts) if _fell_back(answer.attempts) else None,
        notes=tuple(sentence(note) for note in notes) or None,
    )
    return dict(result)


def joint_fields(
    answers: Sequence[Answer], *, shown: Answer, duration_s: float, notes: Sequence[str], earlier: Sequence[Attempt] = ()
) -> dict[str, Any]:
    """The fields of a CallResult, for many answers that make one result, which took so long.

    `shown` is the one whose model is named, `earlier` are attempts that led to none of them.
    """
    attempts = [*earlier, *(attempt for answer in answers for attempt in answer.attempts)]
    return call_fields(replace(shown, attempts=attempts, duration_s=duration_s), notes=notes) | {
        "requested_model": None,
        "fallback": None,
        "simulated": any(answer.success.simulated for answer in answers),
        "cost_usd": total_usd([answer.cost_usd for answer in answers]),
    }


def answer_notes(answer: Answer | TranscriptAnswer) -> list[str]:
    """The notes of an answer: first, where Groq was not used, what is wrong with its key."""
    fault = key_note(answer.attempts)
    return [*([] if fault is None else [fault]), *answer.notes]


def key_lines(attempts: Sequence[Attempt]) -> list[str]:
    """The line that stands above the account of a call: what is wrong with Groq's key, where that is why it was not used."""
    fault = key_note(attempts)
    return [] if fault is None else [f"Note: {fault}"]


def structured(result: Result) -> dict[str, Any]:
    """A result as structured content. That of a call ends with how the call went."""
    fields = result.model_dump(mode="json", exclude_none=True)
    if not isinstance(result, CallResult):
        return fields
    return {name: fields[name] for name in sorted(fields, key=lambda name: _PLACES.get(name, -1))}


def _attempt_rows(attempts: Sequence[Attempt]) -> tuple[AttemptLine, ...]:
    """Attempts for structured content."""
    return tuple(
        AttemptLine(
            provider=attempt.provider,
            model=attempt.model,
            sent=attempt.sent,
            outcome=attempt.outcome,
            detail=attempt.detail or None,
            status=attempt.status,
            duration_s=round(attempt.duration_s, 3) if attempt.sent else None,
            retry_after_s=seconds(attempt.retry_after_s),
            times=times if times > 1 else None,
        )
        for attempt, times in _counted(attempts)
    )


def call_lines(result: CallResult, attempts: Sequence[Attempt], *, above: Sequence[str] = ()) -> list[str]:
    """The last lines of a result's text: its notes, without lines that stand `above` already, and what was tried in vain."""
    lines = [line for note in result.notes or () if (line := f"Note: {note}") not in above]
    return [*lines, "Attempts:", *_attempt_lines(attempts)] if _fell_back(attempts) else lines


def _fell_back(attempts: Sequence[Attempt]) -> bool:
    """Whether anything failed or was skipped on the way."""
    return any(attempt.outcome != "answered" for attempt in attempts)


def error_reply(failure: CallFailed) -> Reply:
    """The one error of a call that no model answered; the text has everything that matters."""
    retry_after_s = seconds(failure.retry_after_s)
    lines = [f"{failure.code}: {sentence(failure.cause)}"]
    # nothing was sent: that each model was skipped for the same reason tells no more
    lines += _attempt_lines([attempt for attempt in failure.attempts if attempt.sent or not _is_named(attempt, failure)])
    # what the cause says already is not said again
    unnamed = [exclusion for exclusion in failure.exclusions if exclusion.reason not in failure.cause]
    lines += [f"- {label(e.provider, e.model)}: skipped ({e.reason})" for e in unnamed]
    lines.append(f"Next step: {sentence(failure.next_step)}")
    if retry_after_s is not None:
        lines.append(f"retry_after_s: {retry_after_s:g}")
    structured = {
        "error": {
            "code": failure.code,
            "cause": capitalized(failure.cause),
            "next_step": capitalized(failure.next_step),
            **({"retry_after_s": retry_after_s} if retry_after_s is not None else {}),
        },
        "attempts": [row.model_dump(mode="json", exclude_none=True) for row in _attempt_rows(failure.attempts)],
    }
    return Reply(text="\n".join(lines), structured=structured, is_error=True)


def _is_named(attempt: Attempt, failure: CallFailed) -> bool:
    return bool(attempt.detail) and attempt.detail in failure.cause


def label(provider: str, model: str) -> str:
    """A model with its provider, once where its id begins with it."""
    return model if model.startswith(f"{provider}/") else f"{provider}/{model}"


def total_usd(costs: Sequence[Decimal | None], *, share: Decimal = ALL_OF_IT) -> str | None:
    """What several calls cost together, or a `share` of it; None where one price is not known: a part is not the whole."""
    known = [cost for cost in costs if cost is not None]
    return f"{sum(known, Decimal(0)) * share:.6f}" if known and len(known) == len(costs) else None


def seconds(value: float | None) -> float | None:
    """Seconds rounded up to a tenth, so that coming back then is never too early."""
    return None if value is None else math.ceil(value * 10) / 10


def _attempt_lines(attempts: Sequence[Attempt]) -> list[str]:
    return [f"- {_line(attempt)}" + (f", {times} times" if times > 1 else "") for attempt, times in _counted(attempts)]


def _counted(attempts: Sequence[Attempt]) -> list[tuple[Attempt, int]]:
    """The attempts, with those that were skipped for the same reason as one, the last, and how often that was."""
    found: dict[object, tuple[Attempt, int]] = {}
    for number, attempt in enumerate(attempts):
        alike = number if attempt.sent else (attempt.provider, attempt.model, attempt.outcome, attempt.kind)
        found[alike] = attempt, found.get(alike, (attempt, 0))[1] + 1
    return list(found.values())[:SHOWN_ATTEMPTS]


def _line(attempt: Attempt) -> str:
    return f"{label(attempt.provider, attempt.model)}: " + (_sent_words(attempt) if attempt.sent else _skipped_words(attempt))


def _sent_words(attempt: Attempt) -> str:
    status = f" (HTTP {attempt.status})" if attempt.status is not None else ""
    # the upstream's words are in quotation marks, so that no reader takes them for ours
    detail = f": {quoted(attempt.detail) if attempt.status is not None else attempt.detail}" if attempt.detail else ""
    after = seconds(attempt.retry_after_s)
    again = f"; retry in {after:g} s" if after else ""
    return f"{attempt.outcome.replace('_', ' ')}{status} after {attempt.duration_s:.2f} s{detail}{again}"


def _skipped_words(attempt: Attempt) -> str:
    reason = attempt.detail or attempt.outcome.replace("_", " ")
    after = seconds(attempt.retry_after_s)
    if not after:
        return f"skipped ({reason})"
    limited = attempt.kind is FailureKind.RATE_LIMITED
    return f"skipped ({reason} for another {after:g} s)" if limited else f"skipped ({reason}; available in {after:g} s)"
