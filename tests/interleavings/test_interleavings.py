"""The real engine in thousands of interleavings of processes, faults and clocks, each held to the same invariants.

What lives in this folder:

- `scheduler.py`: a loop in virtual time whose order a seed decides, and that kills and suspends processes.
- `scenario.py`: what a seed stands for: processes, calls, and what goes wrong when.
- `strict_groq.py`: Groq with the buckets of the project's simulator, which refuses whatever exceeds them, and its faults.
- `shared_store.py`: one store that several processes share, which fails in the ways that real ones do.
- `bookkeeper.py`: books of every reservation, kept beside the ledger from what transactions wrote.
- `simulation.py`: runs a scenario with the real engine, ledger and history, and notes all that happened.
- `invariants.py`: what must hold for every run.
- `test_planted_faults.py`: that each invariant can fail. `test_week.py`: seven days of it.

A seed that fails is printed with the command that runs it alone, and is added to FOUND when its fault is mended. Whatever changes
what is drawn gives all seeds another meaning; the faults that were found also have tests of their own.
"""

from __future__ import annotations

import os
import time
from itertools import count

import pytest
from effort import EFFORT, times
from interleavings.invariants import breaches
from interleavings.scenario import drawn
from interleavings.simulation import Run, simulated

# More than a thousand at night.
SEEDS = 40 if EFFORT == 1 else 110
LAST_EVENTS = 40
# Seeds that once failed, and what was wrong.
FOUND = {
    6: "A call that overtook another one stated what was left before that one was let in, and was believed.",
    10: "What was used during an outage was forgotten where the store did not know the model yet.",
    29: "A level of ours that was too low was taken for proof that the server gives unused tokens back.",
    136: "The same, after calls that were lost and never charged.",
    362: "The same, after an answer without its usage.",
}


def seeds() -> list[int]:
    """The one that is asked for, or those that once failed and as many more as there is time for."""
    asked = os.environ.get("INTERLEAVING_SEED")
    return [int(asked)] if asked else sorted({*FOUND, *range(times(SEEDS))})


def report(run: Run, found: list[str]) -> str:
    """What does not hold, how to see it again, and what happened last."""
    seed = run.scenario.seed
    again = f"INTERLEAVING_SEED={seed} python -m pytest tests/interleavings/test_interleavings.py -k invariants"
    return "\n".join((f"Seed {seed} fails. Run it alone with {again}", *found, *map(str, run.events[-LAST_EVENTS:])))


@pytest.mark.parametrize("seed", seeds())
def test_all_invariants_hold_in_an_interleaving(seed: int) -> None:
    run = simulated(drawn(seed))
    found = [*breaches(run)]
    assert not found, report(run, found)


@pytest.mark.parametrize("seed", [3, 41])
def test_a_seed_decides_all_that_happens(seed: int) -> None:
    assert simulated(drawn(seed)).trace == simulated(drawn(seed)).trace


def test_a_busy_machine_changes_nothing_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the real clock may be a pause later than the one before: no decision may come of it."""
    usual = simulated(drawn(41)).trace
    readings = count(time.monotonic(), 0.01)
    with monkeypatch.context() as patched:
        patched.setattr(time, "monotonic", lambda: next(readings))
        assert simulated(drawn(41)).trace == usual


def test_seeds_differ_and_cover_what_can_go_wrong() -> None:
    """Each kind of disturbance is in some of them, and a good part promises that nothing is refused."""
    scenarios = [drawn(seed) for seed in range(SEEDS)]
    for kind in ("faults", "outages", "kills", "suspensions", "clock_steps", "budgets", "refuge"):
        count = sum(bool(getattr(scenario, kind)) for scenario in scenarios)
        assert 0 < count < SEEDS, kind
    assert sum(scenario.keeps_to_limits for scenario in scenarios) > SEEDS / 4
    assert {step.by_s > 0 for scenario in scenarios for step in scenario.clock_steps} == {True, False}
