"""What each transaction of the ledger writes, over records alone: to the unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

import pytest
from stored_records import StoredRecords

from groq_fallback_mcp.call import FailureKind, Limit, LimitReading, Pool, QuotaSnapshot, Refilling
from groq_fallback_mcp.quota import ANY_MODEL, Claim, Granted, QuotaKey, Refused, Reservation, Settlement, Wait
from groq_fallback_mcp.quota.breaker import Health
from groq_fallback_mcp.quota.budget import Budget, Spend
from groq_fallback_mcp.quota.caller import Caller
from groq_fallback_mcp.quota.fairness import Use
from groq_fallback_mcp.quota.ledger import ModelQuota, SettleResult
from groq_fallback_mcp.quota.records import Account, OpenReservation, Transaction, open_key
from groq_fallback_mcp.quota.store import Snapshot
from groq_fallback_mcp.quota.transactions import abandon, cool_down, expire, peek, reserve_any, settle, take_request

T = TypeVar("T")
LIFE_S, DAY = 60.0, "2026-11-30"
KEY = QuotaKey(provider="groq", organization="o", model="m")
ANN, BOB = Caller(name="ann"), Caller(name="bob")
BOTH = {Limit.TPM: 1_000, Limit.TPD: 9_000}
SHARED = Pool(name="free", documented={Limit.TPM: 500})


class Records(StoredRecords):
    """Records with the transactions that these tests make."""

    def reserve(
        self, *claims: Claim, id_: str = "r", caller: Caller | None = None, budget: Budget | None = None
    ) -> Granted | Refused:
        """Try to reserve."""
        return self.do(
            partial(
                reserve_any,
                claims=claims,
                reservation=id_,
                life_s=LIFE_S,
                budget=budget or Budget(),
                day=DAY,
                caller=caller,
            )
        )

    def take(self, claim: Claim, id_: str = "r", caller: Caller | None = None, budget: Budget | None = None) -> Reservation:
        """A reservation that must be granted."""
        result = self.reserve(claim, id_=id_, caller=caller, budget=budget)
        assert isinstance(result, Granted), result
        return result.reservation

    def settle(self, reservation: Reservation, settlement: Settlement) -> SettleResult:
        """Settle a reservation."""
        return self.do(partial(settle, reservation=reservation, settlement=settlement))

    def quota(self, claim: Claim) -> ModelQuota:
        """What is known of a claim's model."""
        return self.do(partial(peek, claims=[claim]))[0]

    def level(self, claim: Claim, limit: Limit = Limit.TPM) -> float:
        """What is left."""
        return self.quota(claim).buckets[limit].level_at(self.now)

    def account(self, key: QuotaKey = KEY) -> Account:
        """A model's account."""
        return self.view.account(key)

    def provider(self) -> Health:
        """The health of the provider."""
        return self.view.provider(KEY).health

    def held(self, day: str = DAY) -> int:
        """The tokens that calls under way may still cost."""
        return self.view.day(day).held_tokens


@pytest.fixture
def records() -> Records:
    """Nothing is known yet."""
    return Records()


def claim(
    cost: Mapping[Limit, float] | None = None,
    *,
    key: QuotaKey = KEY,
    documented: Mapping[Limit, int] | None = None,
    pool: Pool | None = None,
    spend: Spend | None = None,
    last_resort: bool = False,
) -> Claim:
    """Tokens of a minute, or what else it costs."""
    return Claim(
        key=key,
        cost={Limit.TPM: 100.0} if cost is None else cost,
        documented={Limit.TPM: 1_000} if documented is None else documented,
        pool=pool,
        spend=spend or Spend(),
        last_resort=last_resort,
    )


def tokens(units: float) -> Claim:
    """So many tokens of a minute."""
    return claim({Limit.TPM: units})


def stated(limit: Limit, capacity: float | None = None, remaining: float | None = None) -> QuotaSnapshot:
    """What a response says of one limit."""
    return QuotaSnapshot(readings=(LimitReading(limit=limit, capacity=capacity, remaining=remaining),))


def answered(actual: Mapping[Limit, float], snapshot: QuotaSnapshot | None = None, **admitted: float) -> Settlement:
    """An answer that took so much."""
    return Settlement(
        actual=actual,
        snapshot=snapshot or QuotaSnapshot(),
        admitted={Limit(name): units for name, units in admitted.items()},
        health="up",
        spent=Spend(),
    )


def failed(actual: Mapping[Limit, float] | None = None, snapshot: QuotaSnapshot | None = None) -> Settlement:
    """A call that failed and cost nothing else."""
    return Settlement(actual=actual or {}, snapshot=snapshot or QuotaSnapshot(), health="down")


def test_a_reservation_holds_what_settling_it_will_need(records: Records) -> None:
    """What was taken and given back before it, and what others held; its record enough to give up on it."""
    first = records.take(tokens(300), "a")
    records.settle(first, answered({Limit.TPM: 100}))
    records.take(tokens(50), "b")
    cost = {Limit.TPM: 100.0, Limit.ASH: 5.0}
    taken = records.take(claim(cost), "c")
    assert taken == Reservation(
        id="c",
        key=KEY,
        cost=cost,
        taken_at=records.now,
        credited={Limit.TPM: 200.0},
        charged={Limit.TPM: 450.0},
        held={Limit.TPM: 50.0, Limit.ASH: 0.0},
        day=DAY,
    )
    found = Transaction(Snapshot(now=records.now, bodies=records.bodies)).open("c")
    assert found == OpenReservation(key=KEY, cost=cost, spend=Spend(), day="", taken_at=records.now)


def test_a_named_caller_s_reservation_says_where_its_use_and_its_spending_are_kept(records: Records) -> None:
    """In the pool too; a day only where a budget is kept to."""
    spend = Spend(input_tokens=10)
    bounded = Caller(name="ann", budget=Budget(tokens=1_000), yields=True)
    taken = records.take(claim(pool=SHARED, spend=spend), "a", bounded, Budget(tokens=1_000))
    assert (taken.queue, taken.caller_day, taken.spend, taken.day) == ("ann/batch", f"{DAY}/token/ann", spend, DAY)
    assert taken.pool is not None
    assert (taken.pool.id, taken.pool.queue, taken.pool.key.model) == ("a", "ann/batch", f"{ANY_MODEL}/free")
    found = Transaction(Snapshot(now=records.now, bodies=records.bodies)).open("a")
    assert found == OpenReservation(
        key=KEY,
        cost=taken.cost,
        spend=spend,
        day=DAY,
        pool=f"{ANY_MODEL}/free",
        taken_at=records.now,
        caller_day=f"{DAY}/token/ann",
        queue="ann/batch",
    )
    assert records.held() == records.held(f"{DAY}/token/ann") == 10


def test_a_call_is_settled_once(records: Records) -> None:
    """Also where it has expired before; how the model fares is told each time."""
    first, second = records.take(tokens(100), "a"), records.take(tokens(200), "b")
    assert records.settle(first, failed({Limit.TPM: 50})).failures == 1
    assert open_key("a") not in records.bodies
    records.do(partial(expire, reservations=["b"]))
    before = dict(records.bodies)
    for reservation in (first, second):
        assert records.settle(reservation, answered({Limit.TPM: 0})) == SettleResult(failures=1)
    assert records.bodies == before


def test_the_test_of_a_suspect_model_and_provider_ends_with_its_call(records: Records) -> None:
    """Another one may test them a moment later where nothing is known of how it ended, and when it is due at the latest."""
    for key in (KEY, QuotaKey(provider="groq", organization="o", model=ANY_MODEL)):
        records.do(partial(cool_down, key=key, wait_s=5.0, reason="x", limit=None, kind=FailureKind.SERVER_ERROR))
    records.now += 6
    first = records.take(tokens(10), "a")
    for health in (records.account().health, records.provider()):
        assert (health.probe, health.probe_until) == ("a", records.now + LIFE_S)
    assert isinstance(records.reserve(tokens(10)), Refused)
    records.settle(first, Settlement(actual={}))
    for health in (records.account().health, records.provider()):
        assert health.probe_until == records.now + 0.05
    records.now += 1
    records.take(tokens(10), "b")
    records.now += LIFE_S
    records.do(partial(expire, reservations=["b"]))
    records.settle(records.take(tokens(10), "c"), answered({}))
    assert records.account().health == records.provider() == Health()


def test_a_cooldown_keeps_its_limit(records: Records) -> None:
    """For those who are told to wait."""
    records.do(partial(cool_down, key=KEY, wait_s=5.0, reason="x", limit=Limit.TPD, kind=FailureKind.RATE_LIMITED))
    cooldown = records.account().health.cooldown
    assert cooldown is not None
    assert (cooldown.limit, cooldown.until) == (Limit.TPD, records.now + 5)


@pytest.mark.parametrize("model", ["m", ANY_MODEL])
def test_a_last_resort_does_not_wait_for_a_pause_of_our_own_caution(records: Records, model: str) -> None:
    """Of the model or its provider; for one that the provider asked for, it does."""
    key = QuotaKey(provider="groq", organization="o", model=model)
    records.do(partial(cool_down, key=key, wait_s=50.0, reason="x", limit=None, kind=FailureKind.UNREACHABLE))
    assert isinstance(records.reserve(claim()), Refused)
    assert isinstance(records.reserve(claim(last_resort=True)), Granted)
    records.do(partial(cool_down, key=key, wait_s=55.0, reason="x", limit=None, kind=FailureKind.RATE_LIMITED))
    assert isinstance(records.reserve(claim(last_resort=True)), Refused)


def test_requests_of_a_caller_wait_for_a_part_of_a_second_too(records: Records) -> None:
    """With their limit, as every other wait for units."""
    for _ in range(120):
        assert records.do(partial(take_request, caller=ANN, rpm=120, day=DAY)) is None
    wait = records.do(partial(take_request, caller=ANN, rpm=120, day=DAY))
    assert wait == Wait(
        wait_s=pytest.approx(0.5),  # type: ignore[arg-type]
        reason="120 requests per minute of the gateway token ann used up",
        limit=Limit.RPM,
        for_units=True,
    )


def test_of_two_claims_that_are_due_together_the_first_is_waited_for(records: Records) -> None:
    """Of each limit that holds units of it."""
    other = QuotaKey(provider="groq", organization="o", model="other")
    wanted = claim({Limit.RPM: 1.0, Limit.TPM: 600.0, Limit.TPD: 0.0, Limit.ASH: 5.0}, documented={Limit.RPM: 9, **BOTH})
    for key in (KEY, other):
        records.take(claim({Limit.TPM: 600.0}, key=key, documented=wanted.documented), f"of-{key.model}")
    second = Claim(key=other, cost=wanted.cost, documented=wanted.documented)
    assert isinstance(records.reserve(wanted, second, caller=ANN), Refused)
    (waiting,) = records.account().uses["ann"].waiting
    assert waiting.wants == {Limit.RPM: 1.0, Limit.TPM: 600.0}
    assert not records.account(other).uses


def test_a_caller_s_use_is_what_its_calls_really_took(records: Records) -> None:
    """Counted from when they were taken; nothing for a call that was not sent."""
    taken = records.take(tokens(500), "a", ANN)
    assert records.account().uses["ann"].share == 0.5
    records.settle(taken, answered({Limit.TPM: 100}))
    assert records.account().uses["ann"] == Use(share=pytest.approx(0.1), at=records.now)  # type: ignore[arg-type]
    records.take(tokens(300), "b", ANN)
    records.do(partial(abandon, reservation="b"))
    assert records.account().uses["ann"].share == pytest.approx(0.1)


def test_what_a_call_that_was_not_sent_held_of_the_day_is_free_again(records: Records) -> None:
    """Of another that is under way, it stays held."""
    budget = Budget(tokens=1_000)
    for id_, units in (("a", 300), ("b", 200), ("c", 100)):
        records.take(claim(spend=Spend(input_tokens=units)), id_, None, budget)
    records.do(partial(abandon, reservation="a"))
    assert records.held() == 300
    records.do(partial(expire, reservations=["b"]))
    assert records.held() == 100


def test_calls_under_way_hold_what_each_of_them_claimed(records: Records) -> None:
    """Of limits that another does not touch, too; with the last of them nothing is held."""
    documented = {Limit.TPM: 1_000, Limit.ASH: 7_200}
    first = records.take(claim({Limit.TPM: 100.0}, documented=documented), "a")
    second = records.take(claim({Limit.ASH: 60.0}, documented=documented), "b")
    third = records.take(claim({Limit.TPM: 50.0}, documented=documented), "c")
    records.settle(first, answered({}))
    assert (records.account().held, records.account().in_flight) == ({Limit.TPM: 50.0, Limit.ASH: 60.0}, 2)
    records.settle(third, answered({}))
    assert records.account().held == {Limit.TPM: 0.0, Limit.ASH: 60.0}
    records.settle(second, answered({}))
    assert (records.account().held, records.account().in_flight) == ({}, 0)


def test_a_call_that_expired_leaves_limits_that_it_did_not_touch(records: Records) -> None:
    """Nobody knows whether it was charged; of the others nothing is unsure."""
    documented = {Limit.TPM: 1_000, Limit.TPD: 9_000}
    full = records.quota(claim(documented=documented)).buckets[Limit.TPD]
    records.take(claim({Limit.TPM: 100.0}, documented=documented), "a")
    before = records.account().buckets[Limit.TPM].unsure
    records.do(partial(expire, reservations=["a"]))
    buckets = records.account().buckets
    assert buckets[Limit.TPD].unsure == full.unsure == 0
    assert buckets[Limit.TPM].unsure == pytest.approx(before + 100, abs=1)


def test_of_a_pool_s_answer_the_model_keeps_what_the_pool_has_no_limit_of(records: Records) -> None:
    """Prompts are the model's matter, and so are its failures; that it works again is the pool's too."""
    shared = KEY.pool("free")
    readings = (
        LimitReading(limit=Limit.TPM, capacity=600, remaining=500),
        LimitReading(limit=Limit.RPD, capacity=50, remaining=40),
    )
    records.do(partial(cool_down, key=shared, wait_s=1.0, reason="x", limit=None, kind=FailureKind.RATE_LIMITED))
    records.now += 2
    taken = records.take(claim(documented={}, pool=SHARED), "a")
    told = Settlement(actual={}, snapshot=QuotaSnapshot(readings=readings), health="up", prompt=(100, 150), spent=Spend())
    records.settle(taken, told)
    own, pool = records.account(), records.account(shared)
    assert (set(own.buckets), set(pool.buckets)) == ({Limit.RPD}, {Limit.TPM})
    assert (own.prompt_factor, pool.prompt_factor) == (1.5, 1.0)
    assert pool.health == Health()
    assert records.settle(records.take(claim(documented={}, pool=SHARED), "b"), failed()).failures == 1
    assert records.account(shared).health == Health()


def test_what_is_first_stated_of_a_pool_without_limits_is_the_pool_s(records: Records) -> None:
    """Neither was known to have any."""
    nameless = Pool(name="free", documented={})
    taken = records.take(claim(documented={}, pool=nameless), "a")
    records.settle(taken, answered({}, stated(Limit.RPD, 50, 40)))
    assert (set(records.account().buckets), set(records.account(KEY.pool("free")).buckets)) == (set(), {Limit.RPD})


def both(units: float) -> Claim:
    """Tokens of the minute and of the day."""
    return claim({Limit.TPM: units, Limit.TPD: units}, documented=BOTH)


@pytest.mark.parametrize(
    ("snapshot", "left", "credited"),
    [
        # it is left to the next statement
        (stated(Limit.TPM, 1_000, 400), 8_400, 0),
        # neither says what remains of tokens
        (stated(Limit.TPM, 1_000), 8_900, 500),
        (stated(Limit.RPM, 30, 29), 8_900, 500),
        (None, 8_900, 500),
    ],
)
def test_what_an_answer_did_not_use_comes_back_unless_its_response_says_what_remains(
    records: Records, snapshot: QuotaSnapshot | None, left: float, credited: float
) -> None:
    """Of the day as of the minute: 600 were claimed and 100 used."""
    records.settle(records.take(both(600)), answered({Limit.TPM: 100, Limit.TPD: 100}, snapshot))
    bucket = records.account().buckets[Limit.TPD]
    assert (bucket.level_at(records.now), bucket.charged, bucket.credited) == (left, 600, credited)


def test_what_a_failed_call_did_not_use_comes_back_whatever_is_stated(records: Records) -> None:
    """The server charged nothing, so that is no proof that it gives anything back."""
    records.settle(records.take(both(600)), failed(dict.fromkeys(BOTH, 0.0), stated(Limit.TPM, None, 1_000)))
    bucket = records.account().buckets[Limit.TPD]
    assert (bucket.level_at(records.now), bucket.charged, bucket.credited) == (9_000, 600, 0)
    assert not records.quota(both(1)).returns_unused


def test_what_was_claimed_beyond_what_the_server_charged_comes_back_at_once(records: Records) -> None:
    """The prompt was shorter than claimed. What the answer did not use of max_tokens waits, and is not proven by that."""
    settlement = answered({Limit.TPM: 100, Limit.TPD: 100}, stated(Limit.TPM, 1_000, 700), tpm=300, tpd=300)
    records.settle(records.take(both(600)), settlement)
    assert (records.level(both(1)), records.level(both(1), Limit.TPD)) == (700, 8_700)
    assert not records.quota(both(1)).returns_unused


def test_a_proof_of_returns_may_stand_behind_what_is_never_returned(records: Records) -> None:
    """Requests come first in most responses."""
    readings = (
        LimitReading(limit=Limit.RPM, capacity=30, remaining=29),
        LimitReading(limit=Limit.TPM, capacity=1_000, remaining=900),
    )
    documented = {Limit.RPM: 30, Limit.TPM: 1_000}
    taken = records.take(claim({Limit.RPM: 1.0, Limit.TPM: 600.0}, documented=documented))
    records.settle(taken, answered({Limit.TPM: 100}, QuotaSnapshot(readings=readings), tpm=600))
    assert records.quota(claim(documented=documented)).returns_unused


def test_an_answer_without_its_usage_proves_no_returns(records: Records) -> None:
    """The server may have charged less than was claimed when it let the call in, so more is left there from the start."""
    documented = {Limit.TPM: 1_000}
    taken = records.take(claim({Limit.TPM: 600.0}, documented=documented))
    records.settle(taken, answered({Limit.TPM: 600}, stated(Limit.TPM, 1_000, 550)))
    assert not records.quota(claim(documented=documented)).returns_unused


def test_what_is_stated_to_remain_holds_for_its_moment(records: Records) -> None:
    """At once to the unit; six seconds later with what has come back since: a tenth of a minute's limit."""
    records.settle(records.take(tokens(100), "a"), answered({}, stated(Limit.TPM, 1_000, 300)))
    assert records.level(claim()) == 300
    records.now += 60
    taken = records.take(tokens(600), "b")
    records.now += 6
    records.settle(taken, answered({Limit.TPM: 100}, stated(Limit.TPM, 1_000, 250)))
    assert records.level(claim()) == pytest.approx(350)


def test_what_came_back_before_a_call_is_in_what_its_answer_states(records: Records) -> None:
    """What came back while it was under way may not be."""
    records.settle(records.take(tokens(600), "a"), answered({Limit.TPM: 100}))
    second, third = records.take(tokens(100), "b"), records.take(tokens(300), "c")
    records.settle(second, answered({}, stated(Limit.TPM, 1_000, 400)))
    assert records.level(claim()) == 400
    fourth = records.take(tokens(100), "d")
    records.settle(third, answered({Limit.TPM: 100}))
    assert records.level(claim()) == 500
    records.settle(fourth, answered({}, stated(Limit.TPM, 1_000, 200)))
    assert records.level(claim()) == 400


def test_what_others_claimed_after_a_call_may_be_missing_in_what_its_answer_states(records: Records) -> None:
    """They had not arrived."""
    first = records.take(tokens(100), "a")
    records.take(tokens(200), "b")
    records.settle(first, answered({}, stated(Limit.TPM, 1_000, 900)))
    assert records.level(claim()) == 700


def test_a_limit_that_a_call_does_not_touch_follows_what_its_answers_state(records: Records) -> None:
    """To the unit, up and down, and without becoming unsure."""
    documented = {Limit.TPM: 1_000, Limit.TPD: 9_000}
    for remaining in (8_000, 8_500):
        taken = records.take(claim(documented=documented))
        records.settle(taken, answered({}, stated(Limit.TPD, 9_000, remaining)))
        assert records.level(claim(documented=documented), Limit.TPD) == remaining
    taken = records.take(claim(documented=documented))
    records.settle(taken, answered({}, stated(Limit.TPD, 9_000)))
    assert records.account().buckets[Limit.TPD].unsure == 0


@pytest.mark.parametrize(("remaining", "level"), [(None, 28_800), (28_000, 28_000)])
def test_a_limit_nobody_knew_is_as_it_is_stated(records: Records, remaining: float | None, level: float) -> None:
    """To the unit."""
    records.settle(records.take(claim()), answered({}, stated(Limit.ASD, 28_800, remaining)))
    assert records.level(claim(), Limit.ASD) == level


def of_fallback(
    records: Records, id_: str = "f", *, age_s: float = 0.0, windows: Refilling | None = None, queue: str = ""
) -> Reservation:
    """A reservation that this process granted while the store could not be used."""
    return Reservation(
        id=id_,
        key=KEY,
        cost={Limit.TPM: 400.0},
        taken_at=records.now - age_s,
        documented={Limit.TPM: 1_000},
        granted_by_fallback=True,
        refilling=windows or Refilling(),
        queue=queue,
    )


@pytest.mark.parametrize(
    ("age_s", "windows", "charged"),
    [
        (0.0, "continuous", 200),
        (59.9, "continuous", 200),
        (60.0, "continuous", 0),
        (-30.0, "continuous", 200),
        (59.9, "sliding", 200),
    ],
)
def test_what_was_granted_without_the_store_is_charged_unless_its_window_is_over(
    records: Records, age_s: float, windows: str, charged: float
) -> None:
    """Of a minute others may have used what came in since: then the provider has as much less. The clock of the store may be behind."""
    refilling = Refilling(windows="sliding" if windows == "sliding" else "continuous")
    records.settle(of_fallback(records, age_s=age_s, windows=refilling), answered({Limit.TPM: 200}))
    bucket = records.account().buckets[Limit.TPM]
    assert (bucket.level_at(records.now), bucket.charged, bucket.credited) == (1_000 - charged, charged, 0)


@pytest.mark.parametrize(("age_s", "charged"), [(0.0, 400.0), (21_600.0, 300.0), (86_399.0, 400.0 / 86_400), (86_400.0, 0.0)])
def test_of_a_day_what_has_come_back_since_is_not_charged(records: Records, age_s: float, charged: float) -> None:
    """After an outage of half a day all of it together would be more than the day's limit, and missed for hours."""
    told = replace(of_fallback(records, age_s=age_s), cost={Limit.TPD: 400.0}, documented={Limit.TPD: 1_000})
    records.settle(told, answered({Limit.TPD: 400}))
    assert records.account().buckets[Limit.TPD].level_at(records.now) == pytest.approx(1_000 - charged)


def test_each_call_granted_without_the_store_is_charged_once(records: Records) -> None:
    """However often it is told; one that used nothing gives nothing back."""
    for id_, used, left in (("f", 200, 800), ("g", 300, 500), ("f", 200, 500), ("h", 0, 500)):
        records.settle(of_fallback(records, id_), answered({Limit.TPM: used}, stated(Limit.TPM, 1_000, left)))
        assert records.level(claim()) == left
    assert records.account().buckets[Limit.TPM].credited == 0


def test_a_call_granted_without_the_store_frees_nothing_of_those_under_way(records: Records) -> None:
    """It was not counted with them, nor as the use of its caller."""
    records.take(tokens(100), "a", ANN)
    records.settle(of_fallback(records, queue="ann"), answered({Limit.TPM: 200}))
    assert (records.account().held, records.account().in_flight) == ({Limit.TPM: 100.0}, 1)
    assert records.account().uses["ann"].share == 0.1


def test_what_a_call_did_not_use_of_a_window_is_taken_from_its_own_use(records: Records) -> None:
    """What another used since comes back when it was used."""
    sliding = replace(tokens(400), refilling=Refilling(windows="sliding"))
    first = records.take(sliding, "a")
    records.now += 30
    records.take(replace(sliding, cost={Limit.TPM: 100.0}), "b")
    records.settle(first, answered({Limit.TPM: 100}))
    assert [units for _, units in records.account().buckets[Limit.TPM].used] == [100, 100]
