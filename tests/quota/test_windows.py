"""Limits that come back a window after they were used, or when a day ends: no kind of server refuses what they let through."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.call import Limit, LimitReading, Refilling
from groq_fallback_mcp.durations import day_end
from groq_fallback_mcp.quota import Claim, QuotaKey
from groq_fallback_mcp.quota.buckets import (
    AFTER_MIDNIGHT_S,
    ON_THE_WAY_S,
    PARTS,
    Bucket,
    charge,
    clock_set_back,
    follow,
    new_bucket,
    take,
)
from groq_fallback_mcp.quota.records import Account, Transaction, decode, encode, model_key
from groq_fallback_mcp.quota.store import Snapshot

T0 = 1_790_000_000.0
SLIDING = Refilling(windows="sliding")
PACIFIC = Refilling(windows="sliding", day_ends="America/Los_Angeles")
WINDOW_S = 60.0
Server = Callable[[list[tuple[float, float]], float, float], bool]


def counts_the_last_window(seen: list[tuple[float, float]], at: float, capacity: float) -> bool:
    """A server that looks back one window."""
    return sum(units for when, units in seen if when > at - WINDOW_S) <= capacity


def counts_clock_minutes(offset: float) -> Server:
    """A server whose windows begin at fixed moments."""

    def admits(seen: list[tuple[float, float]], at: float, capacity: float) -> bool:
        begin = (at - offset) // WINDOW_S
        return sum(units for when, units in seen if (when - offset) // WINDOW_S == begin) <= capacity

    return admits


def refills(seen: list[tuple[float, float]], at: float, capacity: float) -> bool:
    """A token bucket that was full at first."""
    del at
    level, last = capacity, seen[0][0]
    for when, units in seen:
        level = min(capacity, level + (when - last) * capacity / WINDOW_S) - units
        last = when
    return level >= -1e-6


@given(
    st.integers(1, 50),
    st.lists(st.tuples(st.floats(0, 20), st.integers(1, 10), st.floats(0, ON_THE_WAY_S)), min_size=1, max_size=60),
    st.floats(0, WINDOW_S),
)
def test_no_kind_of_server_refuses_what_a_sliding_window_lets_through(
    capacity: int, calls: list[tuple[float, int, float]], offset: float
) -> None:
    """Calls ask as early as they may, and arrive up to a second later."""
    bucket, now = new_bucket(Limit.TPM, float(capacity), SLIDING), T0
    arrivals: list[tuple[float, float]] = []
    for pause_s, units, on_the_way_s in calls:
        if units > capacity:
            continue
        now += pause_s
        now += bucket.wait_s(units, now)
        assert bucket.wait_s(units, now) == 0
        bucket = take(bucket, units, now)
        arrivals = sorted([*arrivals, (now + on_the_way_s, float(units))])
        for server in (counts_the_last_window, counts_clock_minutes(offset), refills):
            assert all(server(arrivals[: n + 1], when, capacity) for n, (when, _) in enumerate(arrivals))
    assert len(bucket.used) <= PARTS + 2


@given(st.integers(1, 100), st.lists(st.floats(0, 3), min_size=1, max_size=80))
def test_a_sliding_window_gives_all_of_its_capacity_in_little_more_than_a_window(capacity: int, pauses: list[float]) -> None:
    """Calls that come all the time get at least 95 of 100 of what the limit allows."""
    bucket, now, granted = new_bucket(Limit.RPM, float(capacity), SLIDING), T0, 0
    for pause_s in pauses:
        now += pause_s
        if bucket.wait_s(1, now) == 0:
            bucket, granted = take(bucket, 1, now), granted + 1
    waited_s = bucket.wait_s(capacity, now)
    assert waited_s <= (WINDOW_S + ON_THE_WAY_S + WINDOW_S / PARTS)
    assert bucket.level_at(now + waited_s) == capacity


def test_what_a_call_gives_back_is_there_at_once_and_not_twice() -> None:
    """A claim of 1,000 of which 400 were used."""
    bucket = take(new_bucket(Limit.TPM, 1_000.0, SLIDING), 1_000, T0)
    assert bucket.level_at(T0 + 5) == 0
    settled = charge(bucket, -600, T0 + 5, taken_at=T0)
    assert settled.level_at(T0 + 5) == 600
    assert settled.level_at(T0 + 62.1) == 1_000
    late = charge(bucket, -600, T0 + 70, taken_at=T0)
    assert late.level_at(T0 + 70) == 1_000


def test_a_refusal_without_figures_of_use_leaves_nothing_until_its_wait_is_over() -> None:
    """Gemini names the limit and the wait; others spent what is missing."""
    reading = LimitReading(limit=Limit.RPM, capacity=15, wait_s=20.0)
    learned = follow(None, reading, T0, refilling=PACIFIC)
    assert learned is not None
    assert (learned.capacity, learned.window, learned.knowledge) == (15, "sliding", "learnt")
    assert learned.wait_s(1, T0) == pytest.approx(20.0)
    assert learned.level_at(T0 + 20.0) == 15


def test_a_day_ends_at_midnight_where_the_provider_is() -> None:
    """Twenty requests a day, all used at noon in California."""
    noon = datetime(2026, 11, 29, 12, tzinfo=ZoneInfo("America/Los_Angeles")).timestamp()
    bucket = take(new_bucket(Limit.RPD, 20.0, PACIFIC), 20, noon)
    assert (bucket.window, bucket.zone) == ("daily", "America/Los_Angeles")
    assert bucket.wait_s(1, noon) == pytest.approx(12 * 3600 + AFTER_MIDNIGHT_S)
    assert bucket.level_at(noon + 12 * 3600 - 1) == 0
    assert bucket.level_at(noon + 12 * 3600 + AFTER_MIDNIGHT_S) == 20
    assert take(bucket, 1, noon + 13 * 3600).level_at(noon + 14 * 3600) == 19


@pytest.mark.parametrize(
    ("day", "hours"),
    [((2026, 3, 8), 23), ((2026, 11, 1), 25), ((2026, 7, 1), 24)],
)
def test_days_are_as_long_as_they_are_there(day: tuple[int, int, int], hours: int) -> None:
    """Summer time begins and ends."""
    begin = datetime(*day, tzinfo=ZoneInfo("America/Los_Angeles")).timestamp()
    assert day_end("America/Los_Angeles", begin) - begin == hours * 3600
    assert day_end("America/Los_Angeles", begin + 1) == day_end("America/Los_Angeles", begin + hours * 3600 - 1)


@pytest.mark.parametrize("zone", ["UTC", "", "Nowhere/Else", "../secret", "\0"])
def test_a_time_zone_nobody_knows_is_utc(zone: str) -> None:
    """A state file is no trusted input."""
    assert day_end(zone, 86_400.0 * 3 + 5) == 86_400.0 * 4


def test_yesterday_s_call_gives_nothing_back_to_today() -> None:
    """It was claimed before midnight and ended after it."""
    midnight = day_end("UTC", T0)
    utc = Refilling(windows="sliding", day_ends="UTC")
    bucket = take(new_bucket(Limit.TPD, 100.0, utc), 60, midnight - 5)
    today = take(bucket, 10, midnight + 5)
    assert charge(today, -60, midnight + 6, taken_at=midnight - 5).level_at(midnight + 6) == 90
    assert charge(today, -4, midnight + 6, taken_at=midnight + 5).level_at(midnight + 6) == 94
    # at the moment when the day is over, it is over
    over = midnight + AFTER_MIDNIGHT_S
    assert charge(bucket, 60, over, taken_at=midnight - 5).level_at(over) == 100


def test_yesterday_is_over_when_it_is_over_at_the_provider() -> None:
    """Midnight in London is the afternoon in California."""
    midnight = day_end("UTC", T0)
    bucket = take(new_bucket(Limit.TPD, 100.0, PACIFIC), 60, midnight - 5)
    assert charge(bucket, -60, midnight + 6, taken_at=midnight - 5).level_at(midnight + 6) == 100


@pytest.mark.parametrize("refilling", [SLIDING, PACIFIC])
def test_what_others_used_shows_in_what_remains(refilling: Refilling) -> None:
    """The provider says 3 of 20, we thought 15."""
    ours = take(new_bucket(Limit.RPD, 20.0, refilling), 5, T0)
    told = follow(ours, LimitReading(limit=Limit.RPD, capacity=20, remaining=3), T0 + 1)
    assert told is not None
    assert told.level_at(T0 + 1) == 3
    assert told.knowledge == "observed"
    better = follow(told, LimitReading(limit=Limit.RPD, remaining=12), T0 + 2, later=0)
    assert better is not None
    assert better.level_at(T0 + 2) == 12
    best = follow(better, LimitReading(limit=Limit.RPD, remaining=20), T0 + 3, later=0)
    assert best is not None
    assert (best.level_at(T0 + 3), best.full_in_s(T0 + 3)) == (20, 0)


@pytest.mark.parametrize(("ours", "after"), [(2000, 2500), (2700, 2700), (5000, 3100)])
@pytest.mark.parametrize("refilling", [SLIDING, PACIFIC])
def test_a_statement_moves_a_window_to_between_what_is_left_of_it_by_now(
    refilling: Refilling, ours: float, after: float
) -> None:
    """As it moves a bucket that refills."""
    before = take(new_bucket(Limit.TPD, 6_000.0, refilling), 6_000 - ours, T0)
    told = follow(before, LimitReading(limit=Limit.TPD, remaining=3_000), T0 + 2, slack=100, later=500)
    assert told is not None
    assert told.level_at(T0 + 2) == after


def test_more_than_we_thought_means_that_the_oldest_came_back() -> None:
    """Of what was used, one part was over before, one ends now."""
    used = ((T0 - 5, 50.0), (T0, 70.0), (T0 + 5, 100.0), (T0 + 20, 200.0), (T0 + 40, 300.0))
    before = replace(new_bucket(Limit.RPM, 1_000.0, SLIDING), used=used, at=T0)
    assert before.level_at(T0) == 400
    told = follow(before, LimitReading(limit=Limit.RPM, remaining=550), T0, later=0)
    assert told is not None
    assert told.used == ((T0 + 20, 150.0), (T0 + 40, 300.0))


@pytest.mark.parametrize("refilling", [SLIDING, PACIFIC])
@pytest.mark.parametrize(("requested", "left"), [(20, 0), (None, 0), (21, 15)])
def test_a_stated_wait_empties_a_window_unless_waiting_cannot_help(
    refilling: Refilling, requested: float | None, left: float
) -> None:
    """A call of more than the whole limit is refused whatever is left."""
    ours = take(new_bucket(Limit.RPD, 20.0, refilling), 5, T0)
    refusal = LimitReading(limit=Limit.RPD, wait_s=50.0, requested=requested)
    told = follow(ours, refusal, T0 + 1)
    assert told is not None
    assert told.level_at(T0 + 1) == left
    again = follow(told, refusal, T0 + 2)
    assert again is not None
    assert again.level_at(T0 + 2) == left


def test_what_windows_are_charged_adds_up_and_what_is_over_is_dropped() -> None:
    """A minute's window, charged at its begin and when that has come back."""
    first = take(new_bucket(Limit.RPM, 5.0, SLIDING), 2, T0)
    assert (first.charged, first.level) == (2, 3)
    (until, _) = first.used[0]
    later = take(first, 1, until)
    assert (later.charged, later.level, len(later.used)) == (3, 4, 1)
    assert charge(first, -2, T0 + 1, taken_at=T0).used == ()
    assert charge(first, 1, until, taken_at=T0).used == ()


@pytest.mark.parametrize("refilling", [SLIDING, PACIFIC])
def test_another_capacity_keeps_what_was_used(refilling: Refilling) -> None:
    """Ten dollars were paid, and fifty a day became a thousand."""
    ours = take(new_bucket(Limit.RPD, 50.0, refilling), 40, T0)
    told = follow(ours, LimitReading(limit=Limit.RPD, capacity=1_000), T0 + 1)
    assert told is not None
    assert told.full_in_s(T0 + 1) > 3_600
    assert (told.level_at(T0 + 1), told.knowledge) == (960, "learnt")
    daily = follow(ours, LimitReading(limit=Limit.RPD, wait_s=500.0), T0 + 1)
    assert daily is not None
    assert daily.level_at(T0 + 1) == 0


def test_a_clock_that_went_back_keeps_nothing_longer_than_a_window() -> None:
    """An hour ahead by mistake."""
    bucket = take(new_bucket(Limit.RPM, 5.0, SLIDING), 5, T0 + 3600)
    mended = clock_set_back(bucket, T0)
    assert 55 < mended.wait_s(1, T0) < 70


@pytest.mark.parametrize("off_s", [2.3, 30.0])
def test_processes_whose_clocks_differ_do_not_forget_what_each_other_used(off_s: float) -> None:
    """Each turn moved what was used under the right clock, too, until nothing was left of it."""
    shared = new_bucket(Limit.RPM, 30.0, SLIDING)
    granted = []
    for step in range(240):
        now = T0 + step / 2 + (off_s if step % 2 else 0.0)
        shared = clock_set_back(shared, now)
        if shared.level_at(now) >= 1:
            shared = take(shared, 1, now)
            granted.append(T0 + step / 2)
    most = max(sum(begun <= at < begun + 60 for at in granted) for begun in granted)
    # a process that is ahead finds what is due a little earlier
    assert most <= 30 * 60 / (60 - off_s) + 2


def test_a_refund_is_kept_where_the_clock_went_back_under_its_call() -> None:
    """What it took was moved with the clock."""
    taken = clock_set_back(take(new_bucket(Limit.TPM, 10_000.0, SLIDING), 8_000, T0 + 30), T0)
    refunded = charge(taken, -7_900, T0, taken_at=T0 + 30)
    assert refunded.level_at(T0) == 9_900


def test_only_the_continuous_ones_refill() -> None:
    """A window says when, not how fast."""
    assert new_bucket(Limit.RPM, 60.0).refill_per_s == 1
    assert new_bucket(Limit.RPM, 60.0).full_in_s(T0) == 0
    assert new_bucket(Limit.RPM, 60.0, SLIDING).refill_per_s == 0
    empty = replace(new_bucket(Limit.RPM, 60.0, SLIDING), used=((T0 + 5, 30.0), (T0 + 9, 40.0)))
    assert empty.wait_s(1, T0) == 5
    assert empty.wait_s(50, T0) == 9
    # what came back by now is not counted once more
    assert empty.wait_s(50, T0 + 5) == 4
    assert Bucket(limit=Limit.RPM, capacity=1, level=1, at=T0, window="sliding").wait_s(2, T0) == WINDOW_S


def test_what_ends_right_after_midnight_does_not_spend_the_new_day() -> None:
    """A call that was under way at midnight is settled, and an answer states what is left, before the new day counts here."""
    midnight = day_end("UTC", T0)
    utc = Refilling(windows="sliding", day_ends="UTC")
    spent = take(new_bucket(Limit.RPD, 20.0, utc), 20, midnight - 3600)
    settled = charge(spent, 0, midnight + 0.5, taken_at=midnight - 2)
    assert settled.wait_s(1, midnight + 0.5) == pytest.approx(AFTER_MIDNIGHT_S - 0.5)
    assert settled.level_at(midnight + AFTER_MIDNIGHT_S) == 20
    stated = follow(settled, LimitReading(limit=Limit.RPD, capacity=20, remaining=0), midnight + 0.6)
    assert stated is not None
    assert stated.level_at(midnight + AFTER_MIDNIGHT_S) == 20


@pytest.mark.parametrize("refilling", [SLIDING, PACIFIC])
def test_a_limit_that_turns_out_much_smaller_is_kept_as_it_is(refilling: Refilling) -> None:
    """A plan ended while 240,000 tokens of 250,000 were used. A record that looks impossible would be thrown away, cooldown and all."""
    used = take(new_bucket(Limit.TPD, 250_000.0, refilling), 240_000, T0)
    smaller = follow(used, LimitReading(limit=Limit.TPD, capacity=15_000, remaining=0), T0 + 1)
    assert smaller is not None
    account = Account(buckets={Limit.TPD: smaller}, in_flight=3)
    assert decode(Account, encode(account).body, "model/a") == account


@pytest.mark.parametrize(
    "bucket",
    [
        {"limit": "concurrent", "capacity": 1, "level": 1},
        {"limit": "rpm", "capacity": 9, "level": 9, "window": "sliding", "used": [[1e15, 9]]},
        {"limit": "rpm", "capacity": 9, "level": 9, "window": "sliding", "used": [["NaN", 9]]},
        {"limit": "rpd", "capacity": 9, "level": -1e300, "window": "daily", "zone": "UTC"},
    ],
)
def test_a_window_that_cannot_be_right_is_not_believed(bucket: dict[str, object]) -> None:
    """A state file is no trusted input: nothing in it stops every call, or one model for ever."""
    body = json.dumps({"buckets": {bucket["limit"]: {"at": T0, **bucket}}})
    assert decode(Account, body, "model/a") is None


def test_a_limit_that_an_earlier_release_kept_comes_back_as_the_catalog_says() -> None:
    """It knew only limits that come back bit by bit: twenty requests a day would be one every 72 minutes."""
    key = QuotaKey(provider="gemini", organization="o", model="m")
    old = Account(buckets={Limit.RPD: Bucket(limit=Limit.RPD, capacity=20.0, level=3.0, at=T0, knowledge="observed")})
    read = Transaction(Snapshot(now=T0, bodies={model_key(key): encode(old).body}))
    claim = Claim(key=key, cost={}, documented={Limit.RPD: 20}, refilling=PACIFIC)
    assert read.quota(claim).buckets[Limit.RPD].window == "daily"


def test_what_a_clock_ahead_has_used_comes_back_a_window_and_a_part_from_now() -> None:
    """What the right clock had used keeps its moment, and what comes to the same moment is added up."""
    used = ((T0 + 20, 3.0), (T0 + 4_000, 5.0), (T0 + 4_010, 7.0))
    ahead = replace(new_bucket(Limit.RPM, 60.0, SLIDING), at=T0 + 3_600, used=used)
    assert clock_set_back(ahead, T0).used == ((T0 + 20, 3.0), (pytest.approx(T0 + ON_THE_WAY_S + 61), 12.0))


def test_a_refund_is_taken_from_what_is_nearest_to_its_call() -> None:
    """First all of that, then the next."""
    now = T0 + 30
    end = math.ceil(now + ON_THE_WAY_S + 60)
    known = replace(new_bucket(Limit.RPM, 60.0, SLIDING), used=((T0 + 40, 10.0), (end - 8, 6.0), (end - 3, 4.0)), at=now)
    assert charge(known, -5, now).used == ((T0 + 40, 10.0), (end - 8, 5.0))
    assert charge(known, -1, now).used == ((T0 + 40, 10.0), (end - 8, 6.0), (end - 3, 3.0))
    assert charge(known, -30, now).used == ()


def test_a_stated_capacity_of_a_window_holds_from_when_it_was_stated() -> None:
    """Unless the bucket is of a later moment."""
    bucket = replace(new_bucket(Limit.RPM, 60.0, SLIDING), at=T0 - 5)
    for now, at in ((T0, T0), (T0 - 9, T0 - 5)):
        told = follow(bucket, LimitReading(limit=Limit.RPM, capacity=30.0), now)
        assert told is not None
        assert (told.at, told.capacity) == (at, 30)
