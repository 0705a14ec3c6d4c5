"""The account of a call in a result: what failed, what was skipped, each once."""

from __future__ import annotations

from dataclasses import replace

from groq_fallback_mcp.call import Attempt, FailureKind
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.policy.plan import Exclusion
from groq_fallback_mcp.tools.result import error_reply

SKIPPED = Attempt(
    provider="groq",
    model="a",
    sent=False,
    outcome="skipped",
    detail="requests per minute used up",
    kind=FailureKind.RATE_LIMITED,
)
SENT = Attempt(provider="groq", model="b", sent=True, outcome="timed_out", duration_s=5.0, kind=FailureKind.TIMED_OUT)


def failed(*attempts: Attempt, cause: str = "all failed", exclusions: tuple[Exclusion, ...] = ()) -> CallFailed:
    """An error after these attempts."""
    return CallFailed(
        code="no_model", cause=cause, next_step="stop", retry_after_s=None, attempts=attempts, exclusions=exclusions
    )


def test_skips_for_the_same_reason_are_one_line_with_their_number() -> None:
    """A recording of twenty parts skips a limited model twenty times; what was sent stays one by one."""
    reply = error_reply(failed(SKIPPED, SENT, SKIPPED, SENT, SKIPPED))
    lines = [line for line in reply.text.splitlines() if line.startswith("- ")]
    assert lines == [
        "- groq/a: skipped (requests per minute used up), 3 times",
        "- groq/b: timed out after 5.00 s",
        "- groq/b: timed out after 5.00 s",
    ]
    assert [row.get("times") for row in reply.structured["attempts"]] == [3, None, None]


def test_models_that_were_skipped_for_what_the_cause_says_are_not_named_again() -> None:
    """The same reason for each of ten models is nine too many; what was sent is told."""
    reason = "the ledger was damaged"
    skipped = tuple(replace(SKIPPED, model=model, detail=reason) for model in ("a", "b"))
    reply = error_reply(failed(*skipped, SENT, cause=f"nothing was sent because {reason}"))
    assert reply.text.count(reason) == 1
    assert "- groq/b: timed out after 5.00 s" in reply.text
    assert len(reply.structured["attempts"]) == 3


def test_a_reason_that_the_cause_names_is_not_repeated() -> None:
    """The others are."""
    excluded = tuple(Exclusion(provider="groq", model=model, reason=f"{model} is too small") for model in ("a", "b"))
    reply = error_reply(failed(cause="no model can take this request (a is too small)", exclusions=excluded))
    assert [line for line in reply.text.splitlines() if line.startswith("- ")] == ["- groq/b: skipped (b is too small)"]
