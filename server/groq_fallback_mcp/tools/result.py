"""What the tools' results share: the fields that tell how a call went, and the one error when no model answered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import Decimal

from pydantic import BaseModel, ConfigDict

from groq_fallback_mcp.call import Attempt
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.render import quoted, sentence
from groq_fallback_mcp.tools.tool import Reply

__all__ = ["AttemptLine", "Result", "attempt_lines", "attempt_rows", "error_reply", "label", "seconds", "total_usd"]

ALL_OF_IT = Decimal(1)


class Result(BaseModel):
    """Base of every tool's structured result. Fields without a value are left out on the wire."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class AttemptLine(Result):
    """One attempt. `sent` false: passed over before anything was sent."""

    provider: str
    model: str
    sent: bool
    outcome: str
    detail: str | None = None
    status: int | None = None
    duration_s: float | None = None
    retry_after_s: float | None = None


def attempt_rows(attempts: Sequence[Attempt]) -> tuple[AttemptLine, ...]:
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
        )
        for attempt in attempts
    )


def attempt_lines(attempts: Sequence[Attempt]) -> list[str]:
    """Attempts for text, a line each."""
    return [_line(attempt) for attempt in attempts]


def error_reply(failure: CallFailed) -> Reply:
    """The one error at the end of a call nobody could answer; all that matters stands in the text."""
    retry_after_s = seconds(failure.retry_after_s)
    lines = [f"{failure.code}: {sentence(failure.cause)}"]
    lines += [f"- {line}" for line in attempt_lines(failure.attempts)]
    lines += [f"- {label(e.provider, e.model)}: left out, {e.reason}" for e in failure.exclusions]
    lines.append(f"Next step: {sentence(failure.next_step)}")
    if retry_after_s is not None:
        lines.append(f"retry_after_s: {retry_after_s:g}")
    structured = {
        "error": {
            "code": failure.code,
            "cause": failure.cause,
            "next_step": failure.next_step,
            **({"retry_after_s": retry_after_s} if retry_after_s is not None else {}),
        },
        "attempts": [row.model_dump(mode="json", exclude_none=True) for row in attempt_rows(failure.attempts)],
    }
    return Reply(text="\n".join(lines), structured=structured, is_error=True)


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


def _line(attempt: Attempt) -> str:
    status = f" (HTTP {attempt.status})" if attempt.status is not None else ""
    after = seconds(attempt.retry_after_s)
    again = f"; again in {after:g} s" if after else ""
    # words of somebody else stand in quotation marks, so that nobody takes them for ours
    detail = f": {quoted(attempt.detail) if attempt.status is not None else attempt.detail}" if attempt.detail else ""
    took = f" after {attempt.duration_s:.2f} s" if attempt.sent else " without asking"
    return f"{label(attempt.provider, attempt.model)}: {attempt.outcome.replace('_', ' ')}{status}{took}{detail}{again}"
