"""Each invariant can fail: a fault that is planted in the engine, the ledger or the history is found within a few seeds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from interleavings.invariants import INVARIANTS, breaches
from interleavings.scenario import drawn
from interleavings.simulation import simulated

from groq_fallback_mcp.call import FailureKind
from groq_fallback_mcp.fallback import engine
from groq_fallback_mcp.fallback.attempt import AttemptSender
from groq_fallback_mcp.fallback.call_state import Answer, CallState
from groq_fallback_mcp.fallback.engine import FallbackEngine
from groq_fallback_mcp.policy.verdict import Abort
from groq_fallback_mcp.quota import Settlement, SettleResult, buckets, history, transactions
from groq_fallback_mcp.quota.buckets import Bucket
from groq_fallback_mcp.quota.records import Transaction
from groq_fallback_mcp.quota.store_ledger import StoredLedger

MOST_SEEDS = 12
Plant = Callable[[pytest.MonkeyPatch], None]


def _wrapped(patch: pytest.MonkeyPatch, owner: object, name: str, wrapper: Callable[..., Any]) -> None:
    """Put a function around one that is there, which it gets first."""
    real = getattr(owner, name)
    patch.setattr(owner, name, lambda *args, **named: wrapper(real, *args, **named))


def a_ledger_that_returns_too_much(patch: pytest.MonkeyPatch) -> None:
    def settle(real: Any, snapshot: Any, reservation: Any, settlement: Settlement) -> Any:
        half = {limit: units / 2 for limit, units in settlement.actual.items()}
        return real(snapshot, reservation, replace(settlement, actual=half))

    _wrapped(patch, transactions, "settle", settle)


def a_bucket_that_forgets_claims(patch: pytest.MonkeyPatch) -> None:
    _wrapped(patch, buckets, "charge", lambda real, *args, claimed=0.0, **named: real(*args, **named))


def a_settlement_that_can_be_repeated(patch: pytest.MonkeyPatch) -> None:
    numbers = count()

    def close(real: Any, transaction: Transaction, reservation: str) -> None:
        if next(numbers) % 5:
            real(transaction, reservation)

    _wrapped(patch, Transaction, "close", close)


def an_engine_that_forgets_reservations(patch: pytest.MonkeyPatch) -> None:
    numbers = count()

    async def settle(real: Any, ledger: StoredLedger, *args: Any, **named: Any) -> Any:
        if next(numbers) % 7:
            return await real(ledger, *args, **named)
        return SettleResult()

    _wrapped(patch, StoredLedger, "settle", settle)


def a_ledger_that_takes_half(patch: pytest.MonkeyPatch) -> None:
    def take(real: Any, bucket: Bucket, units: float, now: float) -> Bucket:
        taken: Bucket = real(bucket, units / 2, now)
        return replace(taken, charged=bucket.charged + units)

    _wrapped(patch, transactions, "take", take)


def a_ledger_that_believes_older_statements(patch: pytest.MonkeyPatch) -> None:
    def since(real: Any, bucket: Bucket, reservation: Any, now: float) -> tuple[float, float]:
        return real(bucket, reservation, now)[0], 0.0

    _wrapped(patch, transactions, "_since", since)


def an_engine_that_overruns_its_deadline(patch: pytest.MonkeyPatch) -> None:
    def left_s(real: Any, self: FallbackEngine, state: CallState) -> float:
        left: float = real(self, state)
        return left + 100.0

    _wrapped(patch, FallbackEngine, "_left_s", left_s)


def an_engine_with_a_bug(patch: pytest.MonkeyPatch) -> None:
    def judge(real: Any, failure: Any, **named: Any) -> Any:
        if failure.kind is FailureKind.TIMED_OUT:
            raise KeyError("model")
        return real(failure, **named)

    _wrapped(patch, engine, "judge", judge)


def an_engine_that_gives_up_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "judge", lambda failure, **named: Abort())


def an_engine_that_mixes_up_answers(patch: pytest.MonkeyPatch) -> None:
    answers: list[Answer] = []

    def answer(real: Any, *args: Any, **named: Any) -> Answer:
        answers.append(real(*args, **named))
        return replace(answers[-1], success=answers[-len(answers) // 10 - 1].success)

    _wrapped(patch, CallState, "answer", answer)


def an_engine_that_sends_twice(patch: pytest.MonkeyPatch) -> None:
    async def call(real: Any, sender: AttemptSender, *args: Any, **named: Any) -> Any:
        await real(sender, *args, **named)
        return await real(sender, *args, **named)

    _wrapped(patch, AttemptSender, "_call", call)


def a_ledger_that_counts_spending_twice(patch: pytest.MonkeyPatch) -> None:
    def spend(real: Any, transaction: Transaction, *args: Any, **named: Any) -> None:
        real(transaction, *args, **named)
        real(transaction, *args, **named)

    _wrapped(patch, transactions, "_spend", spend)


def a_ledger_that_never_sweeps(patch: pytest.MonkeyPatch) -> None:
    async def sweep(ledger: StoredLedger) -> None:
        """Do nothing."""

    patch.setattr(StoredLedger, "_sweep", sweep)


def a_breaker_that_stays_open(patch: pytest.MonkeyPatch) -> None:
    def cool_down(real: Any, snapshot: Any, key: Any, wait_s: float, reason: str, **named: Any) -> Any:
        return real(snapshot, key, wait_s * 1_000, reason, **named)

    _wrapped(patch, transactions, "cool_down", cool_down)


def a_history_that_drops_calls(patch: pytest.MonkeyPatch) -> None:
    def add(real: Any, snapshot: Any, *, calls: Any, **named: Any) -> Any:
        return real(snapshot, calls=calls[1:], **named)

    _wrapped(patch, history, "add", add)


PLANTED: Mapping[Plant, str] = {
    a_ledger_that_returns_too_much: "every_transaction_adds_up",
    a_settlement_that_can_be_repeated: "every_transaction_adds_up",
    a_bucket_that_forgets_claims: "the_buckets_count_what_was_granted",
    a_ledger_that_takes_half: "every_transaction_adds_up",
    a_ledger_that_counts_spending_twice: "spending_is_counted_once",
    an_engine_that_forgets_reservations: "only_what_a_killed_process_left_behind_expires",
    a_ledger_that_believes_older_statements: "no_request_is_refused_by_a_limit_that_we_know",
    an_engine_that_overruns_its_deadline: "every_call_ends_in_time",
    an_engine_with_a_bug: "every_call_ends_with_an_answer_or_a_named_error",
    an_engine_that_gives_up_early: "every_call_is_served_where_a_model_is_always_there",
    an_engine_that_mixes_up_answers: "every_answer_is_that_of_its_call",
    an_engine_that_sends_twice: "every_request_that_was_sent_is_in_the_account_of_its_call",
    a_ledger_that_never_sweeps: "nothing_is_held_when_nothing_is_under_way",
    a_breaker_that_stays_open: "a_model_that_is_well_again_is_used_again",
    a_history_that_drops_calls: "the_history_agrees_with_what_the_callers_saw",
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_a_planted_fault_is_found(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch)
    expected = PLANTED[plant]
    for seed in range(MOST_SEEDS):
        if any(found.startswith(expected) for found in breaches(simulated(drawn(seed)))):
            return
    pytest.fail(f"{MOST_SEEDS} seeds do not show that {expected} fails")


def test_every_invariant_has_a_fault_that_shows_it() -> None:
    """None is there that cannot fail."""
    assert set(PLANTED.values()) == {invariant.__name__ for invariant in INVARIANTS}
