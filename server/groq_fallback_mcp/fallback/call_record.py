"""Makes the record of a call out of its state: facts alone, no text of prompt, answer or error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from groq_fallback_mcp.call import (
    ANSWERED,
    AnyRequest,
    Attempt,
    AttemptRecord,
    AudioRequest,
    CallKind,
    CallOrigin,
    CallRecord,
    CallUnderWay,
    SpeechRequest,
)
from groq_fallback_mcp.fallback.call_state import Answer, CallState
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.redaction import sanitize_message

__all__ = ["call_record", "under_way"]

# A server of this machine may give its models any name.
MOST_NAME_CHARS = 80
MOST_DOING_CHARS = 160
# To the millisecond: no clock of a network is finer.
DIGITS = 3
# A call tries few models; of a long chain most are skipped.
MOST_ATTEMPTS = 16


def call_record(
    name: str, state: CallState, outcome: Answer | CallFailed | str, *, origin: CallOrigin, started_at: float, now: float
) -> CallRecord:
    """The record of a call that ends at `now` (monotonic), with the code of what ended it where there is no outcome."""
    tried = [*state.attempts]
    if isinstance(outcome, str) and state.trying is not None:
        tried.append(
            Attempt(
                provider=state.trying.provider,
                model=state.trying.model,
                sent=True,
                outcome=outcome,
                begun_s=state.trying_since - state.started,
                duration_s=now - state.trying_since,
                first_token_s=None if state.first_token_at is None else state.first_token_at - state.trying_since,
            )
        )
    attempts = [_attempt(attempt) for attempt in tried]
    record = CallRecord(
        id=name,
        started_at=round(started_at, DIGITS),
        kind=_kind(state.request),
        origin=origin,
        use_case=state.plan.use_case,
        requested_model=_name(state.plan.requested_model or ""),
        waited_s=_rounded(state.waited_s),
        duration_s=_rounded(now - state.started),
        first_token_s=_first_token_s(attempts),
        attempts=_most_telling(attempts),
    )
    if isinstance(outcome, str):
        return replace(record, outcome=outcome)
    if isinstance(outcome, CallFailed):
        return replace(record, outcome=outcome.code)
    success = outcome.success
    return replace(
        record,
        outcome=ANSWERED,
        provider=outcome.provider,
        model=_name(outcome.model),
        fallback=outcome.fallback,
        usage=success.usage,
        cost_usd=outcome.cost_usd,
        simulated=success.simulated,
    )


def under_way(name: str, state: CallState, origin: CallOrigin, started_at: float) -> CallUnderWay:
    """What is known of a call that has not ended."""
    trying = state.trying
    return CallUnderWay(
        id=name,
        started_at=started_at,
        kind=_kind(state.request),
        origin=origin.untraced,
        provider="" if trying is None else trying.provider,
        model="" if trying is None else _name(trying.model),
        doing=sanitize_message(state.doing)[:MOST_DOING_CHARS],
        attempts=sum(attempt.sent for attempt in state.attempts) + (trying is not None),
    )


def _kind(request: AnyRequest) -> CallKind:
    if isinstance(request, AudioRequest):
        return "transcription"
    return "speech" if isinstance(request, SpeechRequest) else "chat"


def _attempt(attempt: Attempt) -> AttemptRecord:
    return AttemptRecord(
        provider=attempt.provider,
        model=_name(attempt.model),
        outcome=attempt.outcome,
        sent=attempt.sent,
        reason="" if attempt.kind is None or attempt.kind.value == attempt.outcome else attempt.kind.value,
        status=attempt.status,
        begun_s=_rounded(attempt.begun_s),
        duration_s=_rounded(attempt.duration_s),
        first_token_s=None if attempt.first_token_s is None else _rounded(attempt.first_token_s),
    )


def _name(model: str) -> str:
    return sanitize_message(model)[:MOST_NAME_CHARS]


def _rounded(seconds: float) -> float:
    return round(seconds, DIGITS)


def _first_token_s(attempts: Sequence[AttemptRecord]) -> float | None:
    """Seconds from the beginning of the call until the first token of its last attempt."""
    last = attempts[-1] if attempts else None
    if last is None or last.first_token_s is None:
        return None
    return _rounded(last.begun_s + last.first_token_s)


def _most_telling(attempts: Sequence[AttemptRecord]) -> tuple[AttemptRecord, ...]:
    """At most MOST_ATTEMPTS, in order: those that were sent, the last ones, before those that were skipped."""
    if len(attempts) <= MOST_ATTEMPTS:
        return tuple(attempts)
    ranked = sorted(range(len(attempts)), key=lambda at: (attempts[at].sent, at), reverse=True)
    return tuple(attempts[at] for at in sorted(ranked[:MOST_ATTEMPTS]))
