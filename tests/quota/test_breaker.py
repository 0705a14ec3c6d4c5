"""When what failed is asked again: the laws of cooldowns, tests and retries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from groq_fallback_mcp.call import FailureKind
from groq_fallback_mcp.quota.breaker import (
    NOT_MENDED_BY_TIME,
    OWN_CAUTION,
    PROBE_POLL_S,
    Cooldown,
    Health,
    RetryBudget,
    clock_corrected,
    cooled,
    failed,
    hold_s,
    ignoring_own_cooldown,
    passed,
    probe_ended,
    probing,
    useful_wait_s,
)

T0 = 1_790_000_000.0


def cooling(seconds: float, *, since: float = T0) -> Health:
    """A model on its bench."""
    return cooled(Health(), Cooldown(since=since, until=since + seconds, reason="server error"))


@pytest.mark.fault("A9")
@pytest.mark.parametrize("kind", FailureKind)
def test_nobody_waits_for_what_time_does_not_mend(kind: FailureKind) -> None:
    """But for the moment in which another call tests it."""
    assert useful_wait_s(300.0, kind) == (None if kind in NOT_MENDED_BY_TIME else 300.0)
    assert useful_wait_s(PROBE_POLL_S, kind) == PROBE_POLL_S
    assert useful_wait_s(None, kind) is None


def test_a_healthy_model_is_never_held() -> None:
    """Nor tested: its calls need no permission."""
    assert hold_s(Health(), T0) == 0
    assert probing(Health(), "r", T0, 60) == Health()


def test_a_cooldown_holds_until_its_end_and_then_one_call_at_a_time() -> None:
    """Those that come meanwhile ask again in a moment, or when the test's life is over."""
    health = cooling(10)
    assert hold_s(health, T0 + 4) == 6
    assert hold_s(health, T0 + 10) == 0
    under_test = probing(health, "r", T0 + 10, 60)
    assert hold_s(under_test, T0 + 11) == 0.25
    assert hold_s(under_test, T0 + 69.9) < 0.25
    assert hold_s(under_test, T0 + 70) == 0


def test_a_test_keeps_others_away_for_a_minute_at_most() -> None:
    """A call of a gateway may last half an hour: one whose process is killed must not keep the model from all others so long."""
    under_test = probing(cooling(10), "r", T0 + 10, 1_860)
    assert hold_s(under_test, T0 + 69) == 0.25
    assert hold_s(under_test, T0 + 70) == 0


def test_a_test_by_a_process_whose_clock_is_ahead_keeps_nobody_away() -> None:
    """Where its clock is more than a minute ahead, when the test is over cannot be told."""
    assert hold_s(probing(cooling(10), "r", T0 + 80, 60), T0 + 20) == 0
    assert hold_s(probing(cooling(10), "r", T0 + 79, 60), T0 + 20) > 0


def test_a_test_that_told_nothing_frees_its_place_after_a_moment() -> None:
    """In it a cooldown can be set; a call that was not the test frees nothing."""
    under_test = probing(cooling(10), "r", T0 + 10, 60)
    assert probe_ended(under_test, "other", T0 + 11) == under_test
    freed = probe_ended(under_test, "r", T0 + 11)
    assert 0 < hold_s(freed, T0 + 11) <= 0.05
    assert hold_s(freed, T0 + 11.1) == 0
    assert probe_ended(Health(), "", T0) == Health()


def test_a_success_clears_all_but_what_came_after_it_was_sent() -> None:
    """An answer that was under way says nothing of a later failure."""
    assert passed(cooling(10), T0 + 11) == Health()
    assert passed(cooling(10), T0 - 1) == cooling(10)
    down = failed(Health(), T0, T0 + 1)
    assert passed(down, T0 + 0.5) == down
    assert passed(down, T0 + 1) == Health()
    assert passed(down, T0 + 2) == Health()


def test_failures_of_calls_that_were_under_way_together_count_once() -> None:
    """Those sent after the first failure count again, up to a bound."""
    down = failed(Health(), T0, T0 + 1)
    assert failed(down, T0 + 0.5, T0 + 2) == down
    assert down == Health(failures=1, failed_at=T0 + 1, suspect=True)
    assert failed(down, T0 + 1, T0 + 3) == Health(failures=2, failed_at=T0 + 3, suspect=True)
    health = Health()
    for number in range(100):
        health = failed(health, T0 + number, T0 + number)
    assert health.failures == 30


def test_a_clock_that_went_back_does_not_lengthen_a_cooldown() -> None:
    """It lasts as long as it was meant to, from now on; a test under way is forgotten."""
    health = failed(cooling(10), T0, T0)
    assert clock_corrected(health, T0 + 5) == health
    at_once = probing(health, "r", T0, 60)
    assert clock_corrected(at_once, T0) == at_once
    back = clock_corrected(probing(health, "r", T0, 60), T0 - 7_200)
    assert hold_s(back, T0 - 7_200) == 10
    cooldown = Cooldown(since=T0 - 7_200, until=T0 - 7_190, reason="server error")
    assert back == Health(cooldown=cooldown, failures=1, failed_at=T0 - 7_200, suspect=True)


@pytest.mark.parametrize(
    ("failures", "successes", "tokens", "allows"),
    [(1, 0, 9.0, True), (4, 0, 6.0, True), (5, 0, 5.0, False), (5, 1, 5.1, True), (50, 0, 0.0, False), (1, 20, 10.0, True)],
)
def test_a_failure_costs_what_ten_successes_bring_back(failures: int, successes: int, tokens: float, allows: bool) -> None:
    """From half of the budget on nothing is tried again, long after the last answer."""
    budget = RetryBudget()
    for success in (False,) * failures + (True,) * successes:
        budget = budget.after(success=success, now=1_000.0)
    assert (budget.tokens, budget.allows(2_000.0)) == (pytest.approx(tokens), allows)


@pytest.mark.parametrize(("later_s", "allows"), [(0.0, True), (9.9, True), (10.0, False), (-1.0, False)])
def test_a_provider_that_has_just_answered_is_tried_again_however_many_have_failed(later_s: float, allows: bool) -> None:
    """One of its models hangs: every call that gives it up can be served by another. A clock that was set back proves nothing."""
    budget = RetryBudget().after(success=True, now=1_000.0)
    for _ in range(30):
        budget = budget.after(success=False, now=1_000.0)
    assert budget.allows(1_000.0 + later_s) is allows


@given(st.lists(st.booleans(), max_size=200))
def test_the_retry_budget_stays_within_its_bounds(outcomes: list[bool]) -> None:
    """Whatever comes, it allows retries again after enough successes."""
    budget = RetryBudget()
    for success in outcomes:
        budget = budget.after(success=success, now=1_000.0)
        assert 0 <= budget.tokens <= 10
    for _ in range(60):
        budget = budget.after(success=True, now=1_000.0)
    assert budget.allows(2_000.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=10))
def test_of_many_cooldowns_the_latest_end_counts(spans: list[tuple[float, float]]) -> None:
    """In whatever order they come."""
    health = Health()
    for since, lasts in spans:
        health = cooled(health, Cooldown(since=T0 + since, until=T0 + since + lasts, reason="r"))
    assert health.cooldown is not None
    assert health.cooldown.until == max(T0 + since + lasts for since, lasts in spans)


@pytest.mark.parametrize("kind", sorted(FailureKind))
def test_for_want_of_others_only_pauses_of_our_own_caution_are_passed_over(kind: FailureKind) -> None:
    """What a server asked for, and what an outage taught, stays; so does the probe's place."""
    cooldown = Cooldown(since=0.0, until=300.0, reason="x", kind=kind)
    health = Health(cooldown=cooldown, suspect=True, probe="other", probe_until=200.1)
    assert hold_s(ignoring_own_cooldown(health, 200.0), 200.0) == pytest.approx(0.1 if kind in OWN_CAUTION else 100.0)
    assert ignoring_own_cooldown(health, 300.0) is health
    assert ignoring_own_cooldown(Health(), 0.0) == Health()


def test_a_cooldown_is_stored_by_the_kind_that_an_earlier_release_knows() -> None:
    """It may run beside this one."""
    adapter = TypeAdapter(Cooldown)
    for kind, stored in (
        (FailureKind.ORGANIZATION_REFUSED, "organisation_refused"),
        (FailureKind.AUTHENTICATION, "authentication"),
    ):
        cooldown = Cooldown(since=T0, until=T0 + 1, reason="r", kind=kind)
        body = adapter.dump_json(cooldown)
        assert stored in body.decode()
        assert adapter.validate_json(body) == cooldown


def test_a_failure_does_not_count_as_an_answer() -> None:
    """Retries go on for a while after an answer, not after a failure."""
    assert RetryBudget(answered_at=100.0).after(success=False, now=200.0).answered_at == 100.0
    assert RetryBudget(answered_at=100.0).after(success=True, now=200.0).answered_at == 200.0
