"""Token buckets: what is admitted, what is learnt, and laws that hold for all figures."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from groq_fallback_mcp.call import Limit, LimitReading, Refilling
from groq_fallback_mcp.quota.buckets import (
    ON_THE_WAY_S,
    TURN_POLL_S,
    Admitted,
    Bucket,
    Deferred,
    NeverFits,
    admit,
    charge,
    clock_set_back,
    follow,
    less_sure,
    new_bucket,
    proves_return,
    take,
)

T0 = 1_790_000_000.0
limits = st.sampled_from([limit for limit in Limit if limit is not Limit.CONCURRENT])
capacities = st.integers(1, 1_000_000).map(float)


def bucket(limit: Limit = Limit.TPM, capacity: float = 6000, level: float | None = None) -> Bucket:
    """A bucket at T0."""
    return Bucket(limit=limit, capacity=capacity, level=capacity if level is None else level, at=T0)


def test_the_wait_equals_the_one_in_a_real_429() -> None:
    """Limit 6000, Used 5914, Requested 1822: try again in 17.36 s."""
    assert admit({Limit.TPM: bucket(level=86)}, {Limit.TPM: 1822}, T0) == Deferred(
        wait_s=pytest.approx(17.36, abs=0.001), limit=Limit.TPM
    )


def test_a_daily_bucket_frees_a_request_every_86_4_seconds() -> None:
    """There is no reset at midnight."""
    daily = {Limit.RPD: bucket(Limit.RPD, 1000, level=0)}
    assert isinstance(admit(daily, {Limit.RPD: 1}, T0 + 86.3), Deferred)
    assert isinstance(admit(daily, {Limit.RPD: 1}, T0 + 86.4), Admitted)


def test_a_cost_above_the_whole_bucket_never_fits() -> None:
    """Groq prints a wait even then; waiting for it never ends."""
    assert admit({Limit.TPM: bucket(capacity=7000)}, {Limit.TPM: 12903}, T0) == NeverFits(
        limit=Limit.TPM, capacity=7000, cost=12903
    )


def test_a_cost_of_exactly_the_bucket_fits() -> None:
    """No off-by-one at the limit."""
    assert admit({Limit.TPM: bucket(capacity=7000)}, {Limit.TPM: 7000}, T0) == Admitted()


def test_the_longest_of_several_waits_counts() -> None:
    """All limits must hold at once."""
    buckets = {Limit.RPM: bucket(Limit.RPM, 30, level=0), Limit.TPM: bucket(level=0)}
    assert admit(buckets, {Limit.RPM: 1, Limit.TPM: 6000}, T0) == Deferred(wait_s=pytest.approx(60.0), limit=Limit.TPM)
    assert admit(buckets, {Limit.TPM: 60, Limit.RPM: 1}, T0) == Deferred(wait_s=pytest.approx(2.0), limit=Limit.RPM)
    assert admit(buckets, {Limit.RPM: 1, Limit.TPM: 60}, T0) == Deferred(wait_s=pytest.approx(2.0), limit=Limit.RPM)


def test_limits_without_a_bucket_are_not_limited() -> None:
    """What nothing is known of does not hold a call back."""
    assert admit({}, {Limit.TPM: 10**9}, T0) == Admitted()


@pytest.mark.parametrize("first", [Limit.RPD, Limit.RPM])
def test_a_limit_that_fits_does_not_hide_the_next_one(first: Limit) -> None:
    """Whether nothing is known of the first, or it has enough."""
    buckets = {Limit.RPM: bucket(Limit.RPM, 30), Limit.TPM: bucket(level=0)}
    assert admit(buckets, {first: 1, Limit.TPM: 60}, T0) == Deferred(wait_s=pytest.approx(0.6), limit=Limit.TPM)


@pytest.mark.parametrize(
    ("units", "aside", "level", "admission"),
    [
        (600, 300, 900, Admitted()),
        (600, 300, 800, Deferred(wait_s=pytest.approx(1.0), limit=Limit.TPM, for_others=True)),
        (600, 300, 600, Deferred(wait_s=pytest.approx(3.0), limit=Limit.TPM, for_others=True)),
        (600, 300, 500, Deferred(wait_s=pytest.approx(4.0), limit=Limit.TPM)),
        # the whole bucket does not hold both: it waits for its turn
        (600, 5900, 6000, Deferred(wait_s=TURN_POLL_S, limit=Limit.TPM, for_others=True)),
        (1, 300, 300, Deferred(wait_s=TURN_POLL_S, limit=Limit.TPM, for_others=True)),
        # what takes nothing of a limit does not wait for those that do
        (0, 300, 0, Admitted()),
    ],
)
def test_what_others_wait_for_is_left_to_them(units: float, aside: float, level: float, admission: object) -> None:
    """Of 6000 tokens a minute, 100 a second."""
    assert admit({Limit.TPM: bucket(level=level)}, {Limit.TPM: units}, T0, {Limit.TPM: aside}) == admission


def test_only_what_others_wait_for_is_set_aside() -> None:
    """A limit of which nobody waits for anything gives all it has."""
    state = {Limit.RPM: bucket(Limit.RPM, 2, level=1), Limit.TPM: bucket(level=900)}
    assert admit(state, {Limit.RPM: 1, Limit.TPM: 600}, T0, {Limit.TPM: 300}) == Admitted()


def test_a_stated_wait_makes_our_next_wait_the_server_s() -> None:
    """A 429 sets the bucket so that the refused request fits when the server says."""
    reading = LimitReading(limit=Limit.TPM, capacity=6000, remaining=86, requested=1822, wait_s=17.359)
    learnt = follow(bucket(), reading, T0)
    assert learnt is not None
    assert learnt.wait_s(1822, T0) == pytest.approx(17.359)
    assert learnt.knowledge == "observed"


def test_a_stated_wait_for_what_never_fits_is_passed_over() -> None:
    """Then only what remains counts."""
    reading = LimitReading(limit=Limit.TPM, capacity=7000, remaining=7000, requested=12903, wait_s=50.6)
    learnt = follow(bucket(capacity=7000), reading, T0)
    assert learnt is not None
    assert learnt.level == 7000


def test_another_capacity_replaces_ours_and_is_marked_learnt() -> None:
    """A developer plan shows itself in the first header."""
    learnt = follow(bucket(level=10), LimitReading(limit=Limit.TPM, capacity=250_000, remaining=249_000), T0, held=500)
    assert learnt == Bucket(limit=Limit.TPM, capacity=250_000, level=249_000, at=T0, knowledge="learnt", stated_at=T0)
    again = follow(learnt, LimitReading(limit=Limit.TPM, capacity=250_000, remaining=248_000), T0)
    assert again is not None
    assert again.knowledge == "learnt"


def test_what_is_under_way_counts_when_a_capacity_is_new() -> None:
    """The server may not have seen our other calls yet."""
    learnt = follow(None, LimitReading(limit=Limit.TPM, capacity=1000), T0, held=400)
    assert learnt is not None
    assert learnt.level == 600


def test_a_reading_without_any_capacity_teaches_nothing() -> None:
    """Neither ours nor theirs is known."""
    assert follow(None, LimitReading(limit=Limit.TPM, remaining=5), T0) is None


def test_remaining_alone_lowers_the_level_and_keeps_what_is_known_of_the_capacity() -> None:
    """The organization's other traffic shows in it."""
    learnt = follow(bucket(), LimitReading(limit=Limit.TPM, remaining=5), T0)
    assert learnt is not None
    assert (learnt.level, learnt.knowledge) == (5, "documented")


@given(limits, capacities, st.floats(0, 2), st.floats(0, 1e6), st.floats(0, 1e6))
def test_waiting_as_long_as_told_is_enough(limit: Limit, capacity: float, share: float, spent: float, late: float) -> None:
    """After the wait a call is admitted, and later too."""
    state = {limit: charge(new_bucket(limit, capacity), spent, T0)}
    admission = admit(state, {limit: share * capacity}, T0)
    if isinstance(admission, Deferred):
        # at epoch size a float holds about a quarter of a microsecond
        assert isinstance(admit(state, {limit: share * capacity}, T0 + admission.wait_s + 1e-5 + late), Admitted)
    if share > 1.001:
        assert isinstance(admission, NeverFits)


@given(limits, capacities, st.lists(st.floats(0, 1e5), max_size=8), st.floats(-1e4, 1e6))
def test_a_level_never_exceeds_the_capacity(limit: Limit, capacity: float, amounts: list[float], later: float) -> None:
    """Whatever is taken, given back, and however the clock moves."""
    state = new_bucket(limit, capacity)
    for amount in amounts:
        state = charge(charge(state, amount, T0 + later), -amount * 1.5, T0)
        assert state.level_at(T0 + later) <= capacity


@given(limits, capacities, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_more_quota_never_makes_admission_worse(limit: Limit, capacity: float, cost: float, low: float, more: float) -> None:
    """Waits shrink as levels rise."""
    poorer = Bucket(limit=limit, capacity=capacity, level=low * capacity, at=T0)
    richer = Bucket(limit=limit, capacity=capacity, level=min(low + more, 1) * capacity, at=T0)
    assert richer.wait_s(cost * capacity, T0) <= poorer.wait_s(cost * capacity, T0)


def test_a_statement_moves_the_level_to_between_what_it_can_be_by_now() -> None:
    """Ours stays where it fits; the server's own figure wins in both directions otherwise."""
    reading = LimitReading(limit=Limit.TPM, capacity=6000, remaining=3000)
    for ours, after in ((2000, 2500), (2700, 2700), (5000, 3100)):
        learnt = follow(bucket(level=ours), reading, T0, slack=100, later=500)
        assert learnt is not None
        assert learnt.level == after


@pytest.mark.parametrize(
    ("ours", "held", "after"),
    [(50, 0, 86.1), (3000, 0, 86.1), (50, 1, 50), (3000, 1, 86.1), (50, 400, 50)],
)
def test_a_stated_wait_raises_our_level_only_where_no_call_is_under_way(ours: float, held: float, after: float) -> None:
    """The server may not have counted those yet."""
    reading = LimitReading(limit=Limit.TPM, capacity=6000, requested=1822, wait_s=17.359)
    learnt = follow(bucket(level=ours), reading, T0, held=held)
    assert learnt is not None
    assert learnt.level == pytest.approx(after)


def test_a_stated_wait_for_a_whole_bucket_is_believed() -> None:
    """It can be waited for."""
    learnt = follow(bucket(), LimitReading(limit=Limit.TPM, capacity=6000, remaining=2, requested=6000, wait_s=10), T0)
    assert learnt is not None
    assert learnt.level == 5000


@pytest.mark.parametrize(("capacity", "known"), [(0.0, False), (1.0, True)])
def test_a_limit_of_one_is_a_limit_and_one_of_nothing_is_not_believed(capacity: float, known: bool) -> None:
    """A header without a figure reads as 0."""
    assert (follow(None, LimitReading(limit=Limit.RPM, capacity=capacity), T0) is not None) is known


def test_a_statement_counts_from_its_moment() -> None:
    """What came in before it is not added once more; its own capacity is confirmed at its time alone."""
    learnt = follow(bucket(level=2000), LimitReading(limit=Limit.TPM, remaining=2500), T0 + 10)
    assert learnt is not None
    assert (learnt.level_at(T0 + 10), learnt.level_at(T0 + 20), learnt.stated_at) == (2500, 3500, 0)
    confirmed = follow(learnt, LimitReading(limit=Limit.TPM, capacity=6000), T0 + 20)
    assert confirmed is not None
    assert (confirmed.level_at(T0 + 20), confirmed.stated_at) == (3500, T0 + 20)


def test_calls_under_way_leave_less_of_a_new_capacity() -> None:
    """A plan with twice the tokens, and 500 of them claimed."""
    learnt = follow(bucket(level=10), LimitReading(limit=Limit.TPM, capacity=12_000), T0, held=500)
    assert learnt is not None
    assert learnt.level == 11_500


@pytest.mark.parametrize(("remaining", "slack", "unsure"), [(3200, 0, 200), (3100, 100, 200), (3800, 0, 500), (2900, 0, 0)])
def test_a_statement_bounds_what_the_server_may_have_more(remaining: float, slack: float, unsure: float) -> None:
    """Of 500 tokens that it may not have charged, no more than it states beyond ours."""
    before = replace(bucket(level=3000), unsure=500)
    learnt = follow(before, LimitReading(limit=Limit.TPM, remaining=remaining), T0, slack=slack)
    assert learnt is not None
    assert learnt.unsure == pytest.approx(unsure)


@pytest.mark.parametrize(
    ("limit", "level", "units", "unsure"),
    [
        (Limit.TPM, 3000, 0.5, 500.5),
        (Limit.TPM, 3000, 0, 500),
        # a server's bucket has no more than its capacity either
        (Limit.TPM, 5900, 50, 150),
        # a request is never given back
        (Limit.RPM, 3000, 50, 500),
    ],
)
def test_what_the_server_may_have_more_adds_up(limit: Limit, level: float, units: float, unsure: float) -> None:
    """Only of what providers may give back."""
    assert less_sure(replace(bucket(limit, level=level), unsure=500), units, T0).unsure == unsure


@pytest.mark.parametrize(("level", "lost_s"), [(6000, 0.9), (5950, 0.4), (5910, 0), (3000, 0)])
def test_a_bucket_that_would_be_full_gains_nothing_while_a_request_is_on_its_way(level: float, lost_s: float) -> None:
    """At 100 tokens a second, the server may have gained as much as ours lost, once its request arrived early."""
    taken = take(bucket(level=level), 100, T0)
    assert taken.at - T0 == pytest.approx(lost_s, abs=1e-5)
    assert taken.unsure == pytest.approx(lost_s * 100, abs=1e-3)
    assert taken.full_in_s(T0) == pytest.approx((6100 - level) / 100 + lost_s, abs=1e-5)


def test_what_is_taken_later_is_taken_from_what_came_in() -> None:
    """An empty bucket gains 1000 tokens in ten seconds, once."""
    assert charge(bucket(level=0), 400, T0 + 10).level_at(T0 + 10) == 600


def test_a_clock_that_was_right_changes_nothing_and_one_set_back_starts_from_now() -> None:
    """The bucket was used an hour ahead."""
    right = replace(bucket(level=0), stated_at=T0 - 7, used=((T0 + 30, 5.0),))
    assert clock_set_back(right, T0 + 1) == right
    ahead = replace(bucket(level=0), at=T0 + 3600, stated_at=T0 + 3000)
    # of more than a window it cannot be told what came in
    assert clock_set_back(ahead, T0) == replace(ahead, at=T0, stated_at=T0)


@pytest.mark.parametrize(
    ("limit", "back_s", "level"),
    [
        (Limit.TPM, 1.0, 3_000),
        (Limit.TPM, 1.5, 2_850),
        (Limit.TPM, 59.0, -2_900),
        (Limit.TPM, 60.0, -3_000),
        (Limit.TPM, 60.9, -3_000),
        (Limit.TPM, 61.0, 3_000),
        (Limit.TPH, 3_599.0, 3_000 - 3_599 / 0.6),
        (Limit.TPD, 7_199.0, 3_000 - 7_199 / 14.4),
        (Limit.TPD, 7_200.0, 3_000),
    ],
)
def test_what_came_in_while_the_clock_was_ahead_goes_again(limit: Limit, back_s: float, level: float) -> None:
    """A second is the way of a request; of more than a window with it, or of more than two hours, it cannot be told."""
    ahead = replace(bucket(limit, level=3_000), at=T0 + back_s)
    assert clock_set_back(ahead, T0).level == pytest.approx(level)


@pytest.mark.parametrize("off_s", [60.0, -60.0])
@pytest.mark.parametrize("level", [10.0, 118.0])
def test_a_clock_a_minute_off_gives_no_requests_of_that_minute(off_s: float, level: float) -> None:
    """The other process's stamp may be ahead by the way of a request, where the limit was nearly full."""
    shared = bucket(Limit.RPM, 120.0, level=level)
    for now in (T0, T0 + off_s, T0 + 0.1):
        shared = take(clock_set_back(shared, now), 1.0, now)
    assert shared.level_at(T0 + 0.1) <= level - 3 + 0.2


def test_what_was_used_while_the_clock_was_ahead_comes_back_a_window_from_now_at_the_latest() -> None:
    """With the way of a request, and the part of the window that it counts in."""
    used = ((T0 + 30, 5.0), (T0 + 200, 7.0), (T0 + 300, 2.0))
    back = clock_set_back(replace(bucket(level=5_986), window="sliding", at=T0 + 240, used=used), T0)
    (soon, first), (latest, rest) = back.used
    assert (soon, first, latest, rest) == (T0 + 30, 5, pytest.approx(T0 + 61.9, abs=0.001), 9)


def test_less_than_a_unit_of_a_window_comes_back_when_it_was_used() -> None:
    """A part of a second of audio."""
    sliding = new_bucket(Limit.ASH, 7_200.0, Refilling(windows="sliding"))
    used = charge(charge(sliding, 0.5, T0), 0.5, T0 + 600)
    assert [units for _, units in used.used] == [0.5, 0.5]


@pytest.mark.parametrize(
    ("limit", "off_s", "left"),
    [
        (Limit.TPD, 3600.0, 500_000.0),
        (Limit.TPD, -60.0, 500_000.0),
        (Limit.TPM, 30.0, 500_000.0),
        (Limit.TPM, -60.0, 500_000.0),
        # it was full meanwhile in any case
        (Limit.TPM, 3600.0, 1_000_000.0),
        # nine hours of a day would be missed for as long
        (Limit.TPD, 9 * 3600.0, 1_000_000.0),
    ],
)
def test_a_process_whose_clock_is_wrong_does_not_refill_a_limit(limit: Limit, off_s: float, left: float) -> None:
    """It and one whose clock is right use the same limit in turn; without that each turn brought what a whole hour does."""
    shared = bucket(limit, 1_000_000.0, level=500_000.0)
    for _ in range(3):
        for now in (T0 + off_s, T0):
            shared = charge(clock_set_back(shared, now), 0.0, now)
    assert shared.level == pytest.approx(left)
    # the server may have what the right clock would have brought
    assert not proves_return(shared, left, T0, later=0.0)


def test_a_day_s_bucket_follows_what_the_server_states_too() -> None:
    """Whatever others of the organization took."""
    daily = Bucket(limit=Limit.RPD, capacity=1000, level=900, at=T0, stated_at=T0)
    told = follow(daily, LimitReading(limit=Limit.RPD, capacity=1000, remaining=30), T0)
    assert told is not None
    assert told.level == 30


@pytest.mark.parametrize(
    ("remaining", "later", "unsure", "proof"),
    [
        (4000, 0, 0, True),
        (4000, 1000, 0, False),
        (3010, 0, 0, False),
        (3030, 0, 0, False),
        (3031, 0, 0, True),
        (3150, 0, 200, False),
        (3231, 0, 200, True),
    ],
)
def test_only_more_than_our_level_proves_that_units_come_back(
    remaining: float, later: float, unsure: float, proof: bool
) -> None:
    """Nobody else's traffic can raise what remains; calls that the server may not have seen are allowed for."""
    assert proves_return(replace(bucket(level=3000), unsure=unsure), remaining, T0, later=later) is proof


def test_what_calls_claim_is_added_up_beside_the_level() -> None:
    """So that a statement can be told from what was claimed after it."""
    taken = take(take(bucket(level=5000), 1000, T0), 500, T0)
    assert (taken.level, taken.charged) == (3500, 1500)


@given(
    limit=limits,
    capacity=st.integers(1, 4).map(float),
    ways=st.lists(st.tuples(st.sampled_from([0.0, 60.0]), st.floats(0.001, ON_THE_WAY_S)), min_size=1, max_size=20),
)
@example(limit=Limit.RPM, capacity=2.0, ways=[(0.0, 0.5), (0.0, 0.25), (60.0, 0.75), (0.0, 0.5), (0.0, 0.5)])
def test_a_server_that_counts_from_the_arrival_refuses_nothing(
    limit: Limit, capacity: float, ways: list[tuple[float, float]]
) -> None:
    """Each call is sent as soon as ours admits it; the server's full bucket gained nothing while it was on its way."""
    ours = theirs = new_bucket(limit, capacity)
    now = T0
    for pause_s, way_s in ways:
        now += pause_s
        now += ours.wait_s(1.0, now)
        ours = take(ours, 1.0, now)
        now += way_s
        assert theirs.level_at(now) >= 1.0 - 1e-5
        theirs = replace(charge(theirs, 1.0, now), at=now)


def test_what_calls_claimed_and_got_back_is_counted_beside_the_level() -> None:
    """An answer is judged by what others have claimed since."""
    counted = charge(replace(bucket(level=6000), charged=70.0, credited=30.0), 0.0, T0, claimed=5.0, credited=7.0)
    assert (counted.charged, counted.credited, counted.level) == (75, 37, 6000)
    unchanged = charge(counted, 100.0, T0)
    assert (unchanged.charged, unchanged.credited) == (75, 37)


def test_another_capacity_begins_full_but_for_what_is_held_and_is_sure() -> None:
    """From now on: what was known of the other one says nothing."""
    before = replace(bucket(level=10), at=T0 - 5, unsure=400.0, charged=70.0)
    told = follow(before, LimitReading(limit=before.limit, capacity=9_000.0), T0, held=250.0)
    assert told is not None
    assert (told.level, told.at, told.unsure, told.charged, told.knowledge) == (8_750, T0, 0, 70, "learnt")
