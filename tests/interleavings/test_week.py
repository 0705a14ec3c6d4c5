"""Seven days of agents' traffic on several processes: nothing grows that need not, no limit of a day is exceeded, and all else holds, too.

One day with each push, all of them at night.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence

import pytest
from interleavings.invariants import breaches
from interleavings.scenario import AUDIO_MODELS, CHAT_MODELS, Fault, FaultKind, Job, Scenario, Span, StoreOutage
from interleavings.simulation import Run, simulated

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.quota.history import HISTORY

HOUR_S, DAY_S = 3_600.0, 86_400.0
PROCESSES = 3
CALLS_A_DAY = 260
BUDGET = 40_000
# So low that a busy day uses them up.
LIMITS = {
    "openai/gpt-oss-20b": {Limit.RPM: 30, Limit.RPD: 120, Limit.TPM: 8_000, Limit.TPD: 60_000},
    "openai/gpt-oss-120b": {Limit.RPM: 30, Limit.RPD: 60, Limit.TPM: 8_000, Limit.TPD: 60_000},
    "qwen/qwen3.8-27b": {Limit.RPM: 20, Limit.RPD: 200, Limit.TPM: 6_000, Limit.TPD: 40_000},
    "whisper-large-v3-turbo": {Limit.RPM: 20, Limit.RPD: 40, Limit.ASH: 1_200, Limit.ASD: 4_800},
    "whisper-large-v3": {Limit.RPM: 20, Limit.RPD: 40, Limit.ASH: 1_200, Limit.ASD: 4_800},
}
GONE = "qwen/qwen3.8-27b"
KINDS: tuple[FaultKind, ...] = ("overloaded", "broken_down", "hangs", "lost_after", "slow", "refused")


def week(days: int, *, seed: int, store_fails: bool) -> Scenario:
    """Some days that begin at midnight, each process restarted every night, each model down for a while every day."""
    chance = random.Random(seed)
    seconds = days * DAY_S
    faults = [
        Fault(model=model, kind=chance.choice(KINDS), span=_span(chance, day, 60.0, 900.0), share=chance.choice((0.5, 1.0)))
        for day in range(days)
        for model in (*CHAT_MODELS, *AUDIO_MODELS)
    ]
    # removed in the middle, for good
    removed = Fault(model=GONE, kind="gone", span=Span(from_s=seconds / 2, to_s=seconds), share=1.0)
    return Scenario(
        seed=seed,
        processes=PROCESSES,
        seconds=seconds,
        limits=LIMITS,
        faults=(removed, *faults),
        outages=tuple(
            StoreOutage(span=_span(chance, day, 5.0, 90.0), slot=None, kind=chance.choice(("refuses", "forgets", "hangs")))
            for day in range(days if store_fails else 0)
        ),
        kills=tuple(
            (slot, Span(from_s=begins, to_s=begins + 40.0))
            for day in range(days)
            for slot in range(PROCESSES)
            for begins in (day * DAY_S + 3 * HOUR_S + slot * 600.0 + chance.uniform(0.0, 300.0),)
        ),
        budgets={"ben": BUDGET},
        jobs=tuple(sorted(_jobs(chance, days), key=lambda job: job.at_s)),
        measured_at_s=tuple((day + 1) * DAY_S - 1.0 for day in range(days)),
    )


def _span(chance: random.Random, day: int, shortest_s: float, longest_s: float) -> Span:
    begins = day * DAY_S + chance.uniform(8.0, 20.0) * HOUR_S
    return Span(from_s=begins, to_s=begins + chance.uniform(shortest_s, longest_s))


def _jobs(chance: random.Random, days: int) -> Sequence[Job]:
    """Sessions of a few calls one after the other, most of them by day."""
    jobs: list[Job] = []
    while len(jobs) < CALLS_A_DAY * days:
        hour = chance.uniform(0.0, 24.0)
        by_day = 0.5 - 0.5 * math.cos(hour / 24.0 * 2 * math.pi)
        if chance.random() > by_day + 0.05:
            continue
        at_s = chance.randrange(days) * DAY_S + hour * HOUR_S
        slot, caller = chance.randrange(PROCESSES), chance.choice(("ada", "ben", "cleo"))
        is_audio = chance.random() < 0.2
        for _ in range(chance.randint(1, 12)):
            at_s += chance.expovariate(0.1)
            max_tokens = chance.choice((256, 1_000, 2_500))
            jobs.append(
                Job(
                    number=len(jobs),
                    at_s=min(at_s, days * DAY_S - 120.0),
                    slot=slot,
                    use_case="audio" if is_audio else chance.choice(("fast", "reasoning")),
                    model=None,
                    words=chance.choice((20, 300)),
                    max_tokens=max_tokens,
                    output_tokens=chance.randint(1, max_tokens),
                    audio_s=chance.choice((60.0, 300.0)) if is_audio else 0.0,
                    deadline_s=30.0,
                    caller=caller,
                    watched=chance.random() < 0.3 and not is_audio,
                    gives_up_after_s=chance.expovariate(0.2) if chance.random() < 0.05 else None,
                )
            )
    return jobs


def grown(run: Run) -> Sequence[str]:
    """Kinds of records that are more, or much larger, at the end than after the second day."""
    early, late = run.sizes[min(1, len(run.sizes) - 1)], run.sizes[-1]
    # of these each day and each hour has one, and they go when they are due
    kept = {"day", HISTORY.rstrip("/")}
    found: list[str] = []
    for kind, (records, characters) in late.items():
        before, characters_before = early.get(kind, (0, 0))
        if kind == "model":
            # one that nobody used in the first days is no growth
            before = max(before, len(LIMITS))
        # what was granted during an outage is remembered for a day
        if kind not in kept and kind != "told" and records > before:
            found.append(f"{records} records of {kind}, and {before} on the second day")
        if kind not in kept and kind != "told" and characters > 1.5 * characters_before + 2_000:
            found.append(f"{characters} characters of {kind}, and {characters_before} on the second day")
    return found


def over_budget(run: Run) -> Sequence[str]:
    """Days on which the caller with a budget spent more."""
    found: list[str] = []
    for key, record in run.records.items():
        if key.startswith("day/") and key.endswith("/token/ben"):
            models = json.loads(record.body).get("models", {}).values()
            tokens = sum(model.get("input_tokens", 0) + model.get("output_tokens", 0) for model in models)
            if tokens > BUDGET:
                found.append(f"{key}: {tokens}")
    return found


DAYS = [1, pytest.param(7, marks=pytest.mark.nightly)]


@pytest.mark.parametrize("days", DAYS)
def test_days_of_traffic_keep_to_all_limits_and_leave_nothing_behind(days: int) -> None:
    """No request is refused by a limit, least of all one of a day, and the day's budget is kept to."""
    run = simulated(week(days, seed=days, store_fails=False))
    assert run.scenario.keeps_to_limits
    assert not [*breaches(run), *grown(run), *over_budget(run)]
    # what this is about did happen
    assert any(call.error is not None and call.error.code == "over_budget" for call in run.calls)
    assert {call.answer.model for call in run.calls if call.answer is not None} >= {*CHAT_MODELS, *AUDIO_MODELS}


@pytest.mark.parametrize("days", DAYS)
def test_days_of_traffic_over_a_store_that_fails_every_day_leave_nothing_behind(days: int) -> None:
    run = simulated(week(days, seed=days, store_fails=True))
    assert not [*breaches(run), *grown(run)]


@pytest.mark.nightly
def test_of_nine_days_the_history_keeps_a_week() -> None:
    """A chunk has the calls of a day at most, and goes a week after its last."""
    run = simulated(week(9, seed=2, store_fails=False))
    moments = [
        json.loads(line)["started_at"]
        for key, record in run.records.items()
        if key.startswith(f"{HISTORY}chunk/")
        for line in record.body.split("\n")
        if line
    ]
    assert max(moments) - min(moments) < 8.1 * DAY_S
    assert all(record.started_at > max(moments) - 7.1 * DAY_S for record in run.history)
