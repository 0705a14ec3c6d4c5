"""What must hold for every run, whatever happens in it. Each function names what does not, nothing where all is well."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from benchmarks.goodput.virtual_time import EPOCH
from interleavings.simulation import Call, Run
from interleavings.strict_groq import answer_to

from groq_fallback_mcp.fallback.call_record import MOST_ATTEMPTS
from groq_fallback_mcp.quota.history import LIFE_S

__all__ = ["INVARIANTS", "breaches"]

# Beyond its deadline: what a store may take before it counts as unusable, some times over, and the way of a reply.
ALLOWANCE_S = 3.0
KNOWN_ERRORS = frozenset(
    {"rate_limited", "deadline", "over_budget", "unreachable", "all_failed", "no_model", "no_provider", "busy", "too_large"}
)


def breaches(run: Run) -> Sequence[str]:
    """All that does not hold."""
    return [f"{invariant.__name__}: {found}" for invariant in INVARIANTS for found in invariant(run)]


def every_transaction_adds_up(run: Run) -> Iterator[str]:
    """What is granted is taken, what is settled is given back but for what was used, and what is open is held: to the token."""
    for books in (run.books, *run.own_books):
        yield from books.breaches


def the_buckets_count_what_was_granted(run: Run) -> Iterator[str]:
    """Of every limit of every model, as the books and the ledger's own counters have it."""
    # what was used while the store could not be used is charged afterwards
    for (account, limit), charged in run.books.charged.items():
        record = run.records.get(account)
        bucket = {} if record is None else json.loads(record.body).get("buckets", {}).get(limit, {})
        if bucket and not bucket.get("window") and abs(bucket.get("charged", 0.0) - charged) > 1e-3:
            yield f"{account}: {charged} {limit} were granted, and the bucket counts {bucket.get('charged')}"


def only_what_a_killed_process_left_behind_expires(run: Run) -> Iterator[str]:
    """Unless the store failed, a process was suspended, or the clock was set: then a settlement may come too late."""
    scenario = run.scenario
    if scenario.outages or scenario.suspensions or scenario.clock_steps:
        return
    for name, claim in run.books.claims.items():
        if claim.state == "expired" and claim.process not in run.killed:
            yield f"the reservation {name} of {claim.process}, which lives, was left to expire"


def no_request_is_refused_by_a_limit_that_we_know(run: Run) -> Iterator[str]:
    """Where the engine promises it: see Scenario.keeps_to_limits."""
    if run.scenario.keeps_to_limits:
        yield from (f"{one.at_s:.3f}: {one.detail}" for one in run.reached if one.outcome == "bucket")


def every_call_ends_in_time(run: Run) -> Iterator[str]:
    """Within its deadline and a little more, but for the time in which its process was suspended."""
    suspended_s = sum(span.to_s - span.from_s for _, span in run.scenario.suspensions)
    for call in (*run.calls, *run.recovery):
        if call.process_gone:
            continue
        if call.ended_s is None:
            yield f"call {call.job.number} has not ended"
        elif call.ended_s - call.began_s > call.job.deadline_s + ALLOWANCE_S + suspended_s:
            yield f"call {call.job.number} took {call.ended_s - call.began_s:.1f} s of {call.job.deadline_s:g} s"


def every_call_ends_with_an_answer_or_a_named_error(run: Run) -> Iterator[str]:
    """No exception leaves the engine, and no task is left over."""
    for call in (*run.calls, *run.recovery):
        if call.fault is not None:
            yield f"call {call.job.number} ended with {call.fault}"
        if call.error is not None and (call.error.code not in KNOWN_ERRORS or not call.error.cause or not call.error.next_step):
            yield f"call {call.job.number} ended with {call.error.code}: {call.error.cause}; {call.error.next_step}"
        ends = (call.answer, call.error, call.fault, call.cancelled or None, call.process_gone or None)
        if sum(end is not None for end in ends) == 0:
            yield f"call {call.job.number} ended in no way at all"
    if run.under_way:
        yield f"{run.under_way} calls are under way long after the last began"
    yield from (f"left over: {task}" for task in run.left_over)
    yield from (f"logged: {error}" for error in run.errors_logged)


def every_call_is_served_where_a_model_is_always_there(run: Run) -> Iterator[str]:
    """But for those whose own budget is used up, or cannot be checked."""
    if not run.scenario.refuge or run.scenario.suspensions:
        return
    for call in run.calls:
        if call.error is not None and not (call.job.caller in run.scenario.budgets and call.error.code == "over_budget"):
            yield f"call {call.job.number} ended with {call.error.code} ({call.error.cause}) though a model was free"


def every_answer_is_that_of_its_call(run: Run) -> Iterator[str]:
    """To the caller and in the text that it saw while it was streamed."""
    for call in (*run.calls, *run.recovery):
        if call.answer is None:
            continue
        success = call.answer.success
        text = success.text if success.transcript is None else success.transcript.text
        if text != answer_to(call.job):
            yield f"call {call.job.number} was given {text!r}"
        if call.job.watched and call.seen_text not in {"", text}:
            yield f"call {call.job.number} saw {call.seen_text!r}"


def every_request_that_was_sent_is_in_the_account_of_its_call(run: Run) -> Iterator[str]:
    """So that no call is paid twice without saying so."""
    for call in (*run.calls, *run.recovery):
        if call.process_gone or call.cancelled:
            continue
        for record in call.heard:
            told, sent = sum(one.sent for one in record.attempts), run.sent.get(call.job.number, 0)
            if told != sent and len(record.attempts) < MOST_ATTEMPTS:
                yield f"call {call.job.number} was sent {sent} times and says {told}"


def spending_is_counted_once(run: Run) -> Iterator[str]:
    """As many calls are in the day's totals as were settled with a price."""
    counted = 0
    for key, record in run.records.items():
        if key.startswith("day/") and "/token/" not in key:
            counted += sum(model.get("calls", 0) for model in json.loads(record.body).get("models", {}).values())
    if counted != run.books.paid:
        yield f"{counted} calls are in the days' totals, and {run.books.paid} were settled as answered"


def nothing_is_held_when_nothing_is_under_way(run: Run) -> Iterator[str]:
    """No reservation, no count of calls under way, no place of a test; and no more kinds of records than there are."""
    last_s = max((call.ended_s or 0.0 for call in run.recovery), default=0.0)
    for key, record in run.records.items():
        body = json.loads(record.body) if key.startswith(("model/", "provider/")) else {}
        if key.startswith("open/"):
            yield f"{key} is open"
        if body.get("in_flight") or any(body.get("held", {}).values()):
            yield f"{key} has {body.get('in_flight')} calls under way and holds {body.get('held')}"
        known = ("model/", "provider/", "day/", "history/", "told/", "open/", "requests/")
        if not key.startswith(known):
            yield f"{key} is of no kind that is known"
        if key.startswith("told/") and record.expires_at is None:
            yield f"{key} is kept for ever"
    models = sum(key.startswith("model/") for key in run.records)
    if models > 2 * len(run.scenario.limits):
        yield f"{models} models are known at {last_s}"


def a_model_that_is_well_again_is_used_again(run: Run) -> Iterator[str]:
    """By the second call that names it after all faults have ended; one that was gone for a while is given an hour."""
    gone = {fault.model for fault in run.scenario.faults if fault.kind == "gone"}
    served: dict[str, bool] = {}
    for call in run.recovery:
        model = call.job.model or ""
        served[model] = call.answer is not None and call.answer.provider == "groq" and call.answer.model == model
    for model, was in served.items():
        if not was and model not in gone:
            yield f"{model} was not used though it was well"


def the_history_agrees_with_what_the_callers_saw(run: Run) -> Iterator[str]:
    """Each call is heard of once, and kept once as it was heard; what a killed process had not written yet is lost."""
    times = Counter(record.id for record in run.history)
    yield from (f"the history has call {name} {count} times" for name, count in times.items() if count > 1)
    by_id = {record.id: record for record in run.history}
    # what is older is not shown any more
    since = EPOCH + max((call.ended_s or 0.0 for call in run.recovery), default=0.0) - LIFE_S
    for call in (*run.calls, *run.recovery):
        yield from _heard_wrongly(call)
        for record in call.heard:
            found = by_id.get(record.id)
            kept = record.started_at > since + ALLOWANCE_S and call.process not in run.killed
            if found is None and kept and not run.scenario.outages and not run.scenario.clock_steps:
                yield f"the history lacks call {call.job.number}"
            if found is not None and (found.outcome, found.model, found.attempts) != (
                record.outcome,
                record.model,
                record.attempts,
            ):
                yield f"the history has {found} of call {call.job.number}, and {record} was heard"


def _heard_wrongly(call: Call) -> Iterator[str]:
    if call.process_gone:
        return
    outcomes = [record.outcome for record in call.heard]
    if call.answer is not None:
        expected = ["answered"]
        if [record.model for record in call.heard] != [call.answer.model]:
            yield f"call {call.job.number} was answered by {call.answer.model}, and {call.heard} was heard"
    elif call.error is not None:
        expected = [call.error.code]
    else:
        # it may have been cancelled before it began
        expected = ["cancelled"] * len(outcomes)
    if outcomes != expected and call.fault is None:
        yield f"call {call.job.number} ended as {expected}, and {outcomes} was heard"


INVARIANTS: Sequence[Callable[[Run], Iterator[str]]] = (
    every_transaction_adds_up,
    the_buckets_count_what_was_granted,
    only_what_a_killed_process_left_behind_expires,
    no_request_is_refused_by_a_limit_that_we_know,
    every_call_ends_in_time,
    every_call_ends_with_an_answer_or_a_named_error,
    every_call_is_served_where_a_model_is_always_there,
    every_answer_is_that_of_its_call,
    every_request_that_was_sent_is_in_the_account_of_its_call,
    spending_is_counted_once,
    nothing_is_held_when_nothing_is_under_way,
    a_model_that_is_well_again_is_used_again,
    the_history_agrees_with_what_the_callers_saw,
)
