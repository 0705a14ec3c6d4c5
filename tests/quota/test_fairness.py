"""Whose turn it is when limits run short: the least used first, batch work last, nothing wasted, no size starved."""

from __future__ import annotations

import json
import math

import pytest
from fake_clock import FakeClock

from groq_fallback_mcp.call import Limit, Pool
from groq_fallback_mcp.quota import Caller, Claim, Granted, QuotaKey, Refused, Settlement
from groq_fallback_mcp.quota.buckets import Admitted, Bucket, Deferred, admit, new_bucket
from groq_fallback_mcp.quota.fairness import (
    GRACE_S,
    LONGEST_WAIT_S,
    MOST_CALLERS,
    MOST_WAITING,
    Use,
    Waiting,
    after_grant,
    after_settling,
    not_waiting,
    set_aside,
    share_of,
    waiting,
)
from groq_fallback_mcp.quota.records import model_key
from groq_fallback_mcp.quota.store import Snapshot, Store, Writes
from groq_fallback_mcp.quota.store_ledger import StoredLedger

pytestmark = pytest.mark.anyio
ANN, BEN, JOB = Caller(name="ann"), Caller(name="ben"), Caller(name="ann", yields=True)
NOW = 1_000.0
KEY = QuotaKey(provider="groq", organization="o", model="m")


def wants(tokens: float) -> dict[Limit, float]:
    """What a claim waits for."""
    return {Limit.TPM: tokens}


def waits(tokens: float, *, share: float = 0.0, yields: bool = False, until: float = NOW + 10) -> Use:
    """A caller that waits."""
    return Use(share=share, at=NOW, waiting=(Waiting(wants=wants(tokens), until=until),), yields=yields)


@pytest.mark.parametrize(
    ("own", "other", "aside"),
    [
        pytest.param(Use(share=0.5, at=NOW), waits(300, share=0.4), 300, id="who used less goes first"),
        pytest.param(Use(share=0.4, at=NOW), waits(300, share=0.5), 0, id="who used more does not"),
        pytest.param(Use(share=0.4, at=NOW), waits(300, share=0.4), 0, id="nor who used the same"),
        pytest.param(Use(share=0.5, at=NOW - 60), waits(300, share=0.4), 0, id="use is forgotten within minutes"),
        pytest.param(None, waits(300), 0, id="who never used it is behind nobody"),
        pytest.param(Use(share=0.5, at=NOW), waits(300, until=NOW), 0, id="a wait ends"),
        pytest.param(
            Use(share=0.5, at=NOW), waits(300, until=NOW + LONGEST_WAIT_S + GRACE_S), 300, id="the longest wait counts"
        ),
        pytest.param(Use(share=0.5, at=NOW), waits(300, until=NOW + 999), 0, id="one from a clock ahead does not count"),
        pytest.param(Use(share=0.5, at=NOW), Use(share=0.1, at=NOW), 0, id="who does not wait needs nothing"),
        pytest.param(Use(share=0.5, at=NOW), waits(300, yields=True), 0, id="batch work is not waited for"),
    ],
)
def test_what_those_wait_for_who_used_less_is_set_aside(own: Use | None, other: Use, aside: float) -> None:
    """Nothing else is."""
    uses = {"ben": other} if own is None else {"ann": own, "ben": other}
    assert set_aside(uses, ANN, NOW, ranks=uses).get(Limit.TPM, 0) == aside


def test_batch_work_goes_behind_people_whatever_they_used_and_its_own_name_too() -> None:
    """A person's work under the same name is another queue; of two batches the least used goes first."""
    uses = {"ben": waits(100, share=9.0), "ann": waits(50, share=5.0), "ben/batch": waits(20, share=0.1, yields=True)}
    assert set_aside(uses, JOB, NOW, ranks=uses) == wants(150)
    used = {**uses, "ann/batch": Use(share=1.0, at=NOW)}
    assert set_aside(used, JOB, NOW, ranks=used) == wants(170)


def test_of_several_claims_of_one_caller_the_largest_is_set_aside() -> None:
    """Once one of them is granted, it may be another caller's turn."""
    uses = {"ann": Use(share=1.0, at=NOW)}
    for tokens, wait_s in ((400.0, 5), (100.0, 9), (200.0, 9)):
        uses = dict(waiting(uses, BEN, wants(tokens), wait_s=wait_s, now=NOW))
    assert set_aside(uses, ANN, NOW, ranks=uses) == wants(400)
    uses = dict(not_waiting(uses, "ben", wants(400)))
    assert set_aside(uses, ANN, NOW, ranks=uses) == wants(200)


def test_claims_on_other_limits_are_waited_for_as_well() -> None:
    """A claim of tokens alone does not speak for one of requests, even for less than one."""
    uses: dict[str, Use] = {"ann": Use(share=1.0, at=NOW)}
    both = {Limit.TPM: 100.0, Limit.RPM: 0.5}
    for claimed in (wants(400), both, both):
        uses = dict(waiting(uses, BEN, claimed, wait_s=5, now=NOW))
    assert len(uses["ben"].waiting) == 2
    assert set_aside(uses, ANN, NOW, ranks=uses) == {Limit.TPM: 400, Limit.RPM: 0.5}
    less = dict(not_waiting(uses, "ben", both))
    less = dict(waiting(less, BEN, {Limit.RPD: 0.25}, wait_s=9, now=NOW))
    assert set_aside(less, ANN, NOW, ranks=less) == {Limit.TPM: 400, Limit.RPD: 0.25}


def test_batch_work_is_known_as_such_by_what_it_takes_and_by_what_it_waits_for() -> None:
    """Whichever comes first."""
    taken, waited = after_grant({}, JOB, 0.5, NOW), waiting({}, JOB, wants(9), wait_s=5, now=NOW)
    assert [uses[JOB.queue].yields for uses in (taken, waited)] == [True, True]
    assert waited[JOB.queue].waiting == (Waiting(wants=wants(9), until=NOW + 5 + GRACE_S),)


def test_a_claim_that_must_wait_too_long_is_no_longer_waited_for() -> None:
    """Its caller was refused and comes back; a claim that waits as long as any may is waited for."""
    longest = waiting({}, ANN, wants(9), wait_s=LONGEST_WAIT_S, now=NOW)
    assert longest["ann"].waiting_at(NOW)
    assert waiting(longest, ANN, wants(9), wait_s=LONGEST_WAIT_S + 1, now=NOW)["ann"].waiting == ()


def test_the_order_is_that_of_the_pool() -> None:
    """Else one could wait in the pool for the other, that waits for it in the model."""
    uses = {"ann": Use(share=0.1, at=NOW), "ben": waits(300, share=0.5)}
    assert set_aside(uses, ANN, NOW, ranks={"ann": Use(share=2.0, at=NOW)}) == wants(300)


def test_a_claim_is_admitted_when_the_bucket_holds_what_is_set_aside_too() -> None:
    """The wait is until it holds both; of more than a bucket, until it is full, and then for their turn."""
    buckets = {Limit.TPM: new_bucket(Limit.TPM, 600.0), Limit.RPM: new_bucket(Limit.RPM, 30.0)}
    assert admit(buckets, wants(200), NOW, wants(400)) == Admitted()
    assert admit(buckets, {**wants(100), Limit.RPM: 0.0}, NOW, {Limit.RPM: 30.0}) == Admitted()
    behind = admit(buckets, wants(200), NOW, wants(500))
    assert behind == Deferred(wait_s=pytest.approx(0.25), limit=Limit.TPM, for_others=True)
    drained = {Limit.TPM: Bucket(limit=Limit.TPM, capacity=600.0, level=100.0, at=NOW)}
    assert admit(drained, wants(50), NOW, wants(350)) == Deferred(wait_s=pytest.approx(30), limit=Limit.TPM, for_others=True)
    assert admit(drained, wants(150), NOW, wants(350)) == Deferred(wait_s=pytest.approx(40), limit=Limit.TPM)


def test_a_grant_counts_and_a_settlement_corrects_it() -> None:
    """By the share of the tightest limit; what was used a minute ago counts for a third."""
    buckets = {Limit.TPM: new_bucket(Limit.TPM, 1_000.0), Limit.RPM: new_bucket(Limit.RPM, 10.0)}
    assert share_of(buckets, {Limit.TPM: 50.0, Limit.RPM: 1.0, Limit.TPD: 50.0}) == 0.1
    assert share_of({}, wants(50)) == 0.0
    uses = after_grant({}, ANN, 0.5, NOW)
    uses = after_grant(uses, ANN, 0.5, NOW + 60)
    assert uses["ann"].share == pytest.approx(0.5 + 0.5 / math.e)
    settled = after_settling(uses, "ann", -0.4, taken_at=NOW + 60, now=NOW + 60)
    assert settled["ann"].share == pytest.approx(0.1 + 0.5 / math.e)
    late = after_settling(uses, "ann", 0.4, taken_at=NOW + 60, now=NOW + 120)["ann"]
    assert late.share == pytest.approx((0.5 + 0.5 / math.e + 0.4) / math.e)
    assert late.share_at(NOW + 120) == late.share
    assert after_settling(uses, "ann", -9.0, taken_at=NOW + 60, now=NOW + 60)["ann"].share == 0.0
    assert after_settling(uses, "ann", 0.0, taken_at=NOW, now=NOW + 60) is uses
    assert after_settling(uses, "ben", 1.0, taken_at=NOW, now=NOW + 60) is uses


def test_what_is_kept_is_bounded_and_a_mark_that_stays_is_not_written_again() -> None:
    """Those that used least go; a claim that cannot fit for more than a minute leaves no mark."""
    uses: dict[str, Use] = {}
    for number in range(MOST_CALLERS + 10):
        uses = dict(after_grant(uses, Caller(name=f"c{number}"), 1.0 - number / 100, NOW))
    assert (len(uses), "c9" in uses, "c73" in uses) == (MOST_CALLERS, True, False)
    assert list(after_grant(uses, ANN, 1.0, NOW + 3_600)) == ["ann"]
    for number in range(MOST_WAITING + 5):
        uses = dict(waiting(uses, ANN, wants(50 - number), wait_s=5 + 3 * number, now=NOW))
    assert len(uses["ann"].waiting) == MOST_WAITING
    last = 5 + 3 * (MOST_WAITING + 4)
    assert waiting(uses, ANN, wants(20), wait_s=last, now=NOW) is uses
    assert waiting(uses, ANN, wants(20), wait_s=last + 1.0, now=NOW) is uses
    longer = waiting(uses, ANN, wants(20), wait_s=last + 3, now=NOW)
    assert len(longer["ann"].waiting) == MOST_WAITING
    assert len(waiting(longer, ANN, wants(90), wait_s=last + 3, now=NOW)["ann"].waiting) == 1
    assert waiting({}, ANN, wants(9), wait_s=LONGEST_WAIT_S + 1, now=NOW) == {}
    assert not_waiting(uses, "ann", wants(999)) is uses
    assert not_waiting(uses, "nobody", wants(1)) is uses


def claim(tokens: float, model: str = "m", pool: Pool | None = None) -> Claim:
    """A call of 1,000 tokens a minute."""
    key = QuotaKey(provider="groq", organization="o", model=model)
    return Claim(key=key, cost=wants(tokens), documented={} if pool else {Limit.TPM: 1_000}, pool=pool)


@pytest.fixture
def ledgers(store: Store, clock: FakeClock) -> list[StoredLedger]:
    """Two replicas over each store in turn."""
    return [StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0) for _ in range(2)]


async def test_a_replica_keeps_to_the_turn_of_a_caller_of_another(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    """What came back is not ann's, who used the whole bucket; ben's grant ends the wait, and then it is."""
    one, two = ledgers
    assert isinstance(await one.reserve_any([claim(990)], life_s=60, caller=ANN), Granted)
    assert isinstance(await two.reserve_any([claim(300)], life_s=60, caller=BEN), Refused)
    clock.advance(12)
    refused = await one.reserve_any([claim(50)], life_s=60, caller=ANN)
    assert isinstance(refused, Refused)
    wait = refused.waits[0]
    assert (wait.reason, wait.limit) == ("tokens per minute used up; other tokens that used less go first", Limit.TPM)
    assert wait.wait_s is not None
    assert 8 < wait.wait_s < 11
    assert (await one.peek([claim(50)], caller=ANN))[0].set_aside == wants(300)
    clock.advance(7)
    assert isinstance(await two.reserve_any([claim(300)], life_s=60, caller=BEN), Granted)
    clock.advance(1)
    assert isinstance(await one.reserve_any([claim(20)], life_s=60, caller=ANN), Granted)
    for ledger in ledgers:
        await ledger.aclose()


async def test_a_caller_waits_for_the_model_that_is_free_first_and_for_no_other(
    ledgers: list[StoredLedger], clock: FakeClock
) -> None:
    """Nothing is set aside of a model that it does not wait for."""
    one, two = ledgers
    for model in ("m", "n"):
        assert isinstance(await one.reserve_any([claim(900 if model == "m" else 700, model)], life_s=60, caller=ANN), Granted)
    assert isinstance(await two.reserve_any([claim(400, "m"), claim(400, "n")], life_s=60, caller=BEN), Refused)
    m, n = await one.peek([claim(50, "m"), claim(50, "n")], caller=ANN)
    assert (m.set_aside, n.set_aside) == ({}, wants(400))


async def test_a_pool_is_shared_out_like_a_model(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    """Whichever of its models is used."""
    one, two = ledgers
    pool = Pool(name="all", documented={Limit.TPM: 1_000})
    assert isinstance(await one.reserve_any([claim(990, "m", pool)], life_s=60, caller=ANN), Granted)
    assert isinstance(await two.reserve_any([claim(300, "n", pool)], life_s=60, caller=BEN), Refused)
    clock.advance(12)
    refused = await one.reserve_any([claim(50, "k", pool)], life_s=60, caller=ANN)
    assert isinstance(refused, Refused)
    assert "go first" in refused.waits[0].reason


async def test_without_named_callers_records_are_what_they_were(store: Store, clock: FakeClock) -> None:
    """No mark, no use, no field more."""
    ledger = StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0)
    granted = await ledger.reserve_any([claim(990)], life_s=60)
    assert isinstance(granted, Granted)
    await ledger.settle(granted.reservation, Settlement(actual=wants(900), health="up"))
    await ledger.reserve_any([claim(990)], life_s=60)

    def read(snapshot: Snapshot) -> Writes[str]:
        return Writes(result=snapshot.bodies[model_key(KEY)])

    assert "uses" not in json.loads(store.transact([model_key(KEY)], read, writing=False))
    await ledger.aclose()


def test_a_claim_that_comes_back_a_little_larger_or_smaller_is_the_same() -> None:
    """It is estimated anew by what was learned meanwhile."""
    uses = waiting({}, ANN, wants(6_000), wait_s=5, now=NOW)
    assert not_waiting(uses, "ann", wants(5_900))["ann"].waiting == ()
    assert not_waiting(uses, "ann", wants(3_000))["ann"].waiting
