"""The ledger's promises, the same for every store: all limits or none, settle, release, cooldowns, expiry, what is learnt."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from functools import partial

import pytest
from fake_clock import FakeClock

from groq_fallback_mcp.call import FailureKind, Limit, LimitReading, QuotaSnapshot
from groq_fallback_mcp.quota import ANY_MODEL, Claim, ConversationModel, Granted, QuotaKey, Refused, Reservation, Settlement
from groq_fallback_mcp.quota.breaker import Cooldown, Health
from groq_fallback_mcp.quota.buckets import ON_THE_WAY_S
from groq_fallback_mcp.quota.budget import Budget, Spend, picodollars, usd
from groq_fallback_mcp.quota.conversations import forget
from groq_fallback_mcp.quota.records import OpenReservation, ProviderAccount, decode, encode, model_key
from groq_fallback_mcp.quota.store import Record, Store, Writes
from groq_fallback_mcp.quota.store_ledger import StoredLedger
from groq_fallback_mcp.quota.transactions import learnt_factor

pytestmark = pytest.mark.anyio
LIFE_S = 60.0


@pytest.fixture
async def ledger(store: Store, clock: FakeClock) -> AsyncIterator[StoredLedger]:
    """A ledger over each store in turn."""
    ledger = StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0)
    yield ledger
    await ledger.aclose()


def key(model: str = "m", provider: str = "groq", organization: str = "o") -> QuotaKey:
    """Whose buckets."""
    return QuotaKey(provider=provider, organization=organization, model=model)


def claim(
    model: str = "m", tokens: float = 100, *, organization: str = "o", tpm: int = 1000, rpm: int = 2, spend: Spend | None = None
) -> Claim:
    """A request and some tokens."""
    cost = {Limit.RPM: 1.0, Limit.TPM: float(tokens)}
    return Claim(
        key=key(model, organization=organization),
        cost=cost,
        documented={Limit.RPM: rpm, Limit.TPM: tpm},
        spend=spend or Spend(),
    )


async def taken(ledger: StoredLedger, *claims: Claim) -> Granted:
    """A reservation that must be granted."""
    result = await ledger.reserve_any(claims, life_s=LIFE_S)
    assert isinstance(result, Granted), result
    return result


async def refused(ledger: StoredLedger, *claims: Claim) -> Refused:
    """A reservation that must be refused."""
    result = await ledger.reserve_any(claims, life_s=LIFE_S)
    assert isinstance(result, Refused), result
    return result


async def level(ledger: StoredLedger, limit: Limit, of: Claim | None = None) -> float:
    """What is left."""
    quota = (await ledger.peek([of or claim()]))[0]
    return quota.buckets[limit].level_at(quota.now)


async def cool_down(ledger: StoredLedger, wait_s: float, reason: str, of: QuotaKey | None = None) -> None:
    """A cooldown."""
    await ledger.cool_down(of or key(), wait_s, reason, limit=None, kind=FailureKind.RATE_LIMITED)


def used(actual: Mapping[Limit, float], *readings: LimitReading, admitted: float | None = None) -> Settlement:
    """An answer that took so much; `admitted`: the tokens that the server charged when it let the call in, where usage tells."""
    told = {} if admitted is None else {Limit.TPM: admitted}
    return Settlement(actual=actual, admitted=told, snapshot=QuotaSnapshot(readings=readings), health="up", spent=Spend())


RETURNED = LimitReading(limit=Limit.TPM, capacity=1000, remaining=1000)


async def proving_returns(ledger: StoredLedger, clock: FakeClock) -> None:
    """Let the server prove that it gives unused tokens back; a minute later all is full again."""
    granted = await taken(ledger, claim(tokens=900))
    await ledger.settle(granted.reservation, used({Limit.TPM: 0}, RETURNED, admitted=900))
    clock.advance(60)


async def test_a_reservation_takes_from_all_limits_and_a_refusal_from_none(ledger: StoredLedger) -> None:
    """The second call fits the requests, not the tokens."""
    await taken(ledger, claim(tokens=900))
    result = await refused(ledger, claim(tokens=900))
    assert (result.waits[0].limit, result.waits[0].wait_s) == (Limit.TPM, pytest.approx(48.0 + ON_THE_WAY_S))
    assert await level(ledger, Limit.RPM) == 1
    assert await level(ledger, Limit.TPM) == 100


async def test_the_first_claim_that_fits_is_granted_and_those_before_it_say_why_not(ledger: StoredLedger) -> None:
    """One transaction over all candidates."""
    await taken(ledger, claim("a", 1000))
    result = await taken(ledger, claim("a"), claim("b", 5000), claim("c"))
    assert (result.index, result.reservation.key.model) == (2, "c")
    assert [wait.wait_s is None for wait in result.skipped] == [False, True]
    assert (await ledger.reserve_any([], life_s=LIFE_S)) == Refused(waits=())


async def test_settling_gives_back_what_was_not_used_and_charges_what_was_used_beyond(
    ledger: StoredLedger, clock: FakeClock
) -> None:
    """Limits that are not named keep the claim."""
    await proving_returns(ledger, clock)
    under = await taken(ledger, claim(tokens=500))
    await ledger.settle(under.reservation, used({Limit.TPM: 100}))
    assert await level(ledger, Limit.TPM) == 900
    over = await taken(ledger, claim(tokens=100))
    await ledger.settle(over.reservation, used({Limit.TPM: 1000, Limit.ASH: 5}))
    assert await level(ledger, Limit.TPM) == -100
    assert await level(ledger, Limit.RPM) == 0


async def test_until_a_return_is_proven_unused_tokens_wait_for_the_next_statement(ledger: StoredLedger) -> None:
    """From then on they come back with the answer."""
    first = await taken(ledger, claim(tokens=600, rpm=9))
    await ledger.settle(first.reservation, used({Limit.TPM: 100}, LimitReading(limit=Limit.TPM, capacity=1000, remaining=400)))
    assert await level(ledger, Limit.TPM) == 400
    assert (await ledger.peek([claim()]))[0].returns_unused is False
    second = await taken(ledger, claim(tokens=300, rpm=9))
    proof = LimitReading(limit=Limit.TPM, capacity=1000, remaining=600)
    await ledger.settle(second.reservation, used({Limit.TPM: 100}, proof, admitted=300))
    assert (await ledger.peek([claim()]))[0].returns_unused is True
    assert await level(ledger, Limit.TPM) == 600
    third = await taken(ledger, claim(tokens=300, rpm=9))
    left = LimitReading(limit=Limit.TPM, capacity=1000, remaining=300)
    await ledger.settle(third.reservation, used({Limit.TPM: 100}, left))
    assert await level(ledger, Limit.TPM) == 500


async def test_a_server_that_gives_nothing_back_is_never_believed_to(ledger: StoredLedger) -> None:
    """What it states to remain is never more than what was claimed leaves."""
    for tokens, remaining in ((400, 600), (100, 500), (100, 400), (100, 300), (100, 200)):
        granted = await taken(ledger, claim(tokens=tokens, rpm=9))
        reading = LimitReading(limit=Limit.TPM, capacity=1000, remaining=remaining)
        await ledger.settle(granted.reservation, used({Limit.TPM: 10}, reading, admitted=tokens))
        assert await level(ledger, Limit.TPM) == remaining
    assert (await ledger.peek([claim()]))[0].returns_unused is False


@pytest.mark.parametrize("ending", ["lost", "expired"])
async def test_an_answer_that_was_lost_and_never_charged_is_no_proof_of_returns(
    store: Store, clock: FakeClock, ending: str
) -> None:
    """We keep what it claimed; that the server has so much more shows only that it did not take it."""
    ledger = StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0)

    def of_day(tokens: float) -> Claim:
        return Claim(key=key(), cost={Limit.TPD: tokens}, documented={Limit.TPD: 1000})

    lost = await taken(ledger, of_day(400))
    if ending == "lost":
        await ledger.settle(lost.reservation, Settlement(actual={Limit.TPD: 400}))
    else:
        clock.advance(LIFE_S + 61)
    answered = await taken(ledger, of_day(200))
    stated = QuotaSnapshot(readings=(LimitReading(limit=Limit.TPD, capacity=1000, remaining=800),))
    settlement = Settlement(actual={Limit.TPD: 100}, admitted={Limit.TPD: 200}, snapshot=stated, spent=Spend())
    await ledger.settle(answered.reservation, settlement)
    (quota,) = await ledger.peek([of_day(1)])
    assert not quota.returns_unused
    assert quota.buckets[Limit.TPD].level_at(quota.now) == pytest.approx(800)
    await ledger.aclose()


async def test_a_refusal_that_was_not_foreseen_ends_the_belief_in_returns(ledger: StoredLedger, clock: FakeClock) -> None:
    """Until the next proof: the provider may have changed its ways."""
    await proving_returns(ledger, clock)
    granted = await taken(ledger, claim(tokens=600))
    reading = LimitReading(limit=Limit.TPM, capacity=1000, remaining=500, requested=600, wait_s=6.0)
    await ledger.settle(granted.reservation, Settlement(actual={Limit.TPM: 0}, snapshot=QuotaSnapshot(readings=(reading,))))
    assert (await ledger.peek([claim()]))[0].returns_unused is False


async def test_a_call_that_overtook_an_earlier_one_does_not_state_what_is_left_after_it(ledger: StoredLedger) -> None:
    """Claimed second and let in first: what its answer states is from before the other was let in, though that is settled by now."""
    first, second = await taken(ledger, claim(tokens=400)), await taken(ledger, claim(tokens=100))
    after_both = LimitReading(limit=Limit.TPM, capacity=1000, remaining=500)
    await ledger.settle(first.reservation, used({Limit.TPM: 400}, after_both))
    before_the_first = LimitReading(limit=Limit.TPM, capacity=1000, remaining=900)
    await ledger.settle(second.reservation, used({Limit.TPM: 100}, before_the_first))
    assert await level(ledger, Limit.TPM) == 500


async def test_a_refused_call_gives_its_claim_back_whatever_is_known_of_returns(ledger: StoredLedger) -> None:
    """The server took nothing."""
    granted = await taken(ledger, claim(tokens=600))
    reading = LimitReading(limit=Limit.TPM, capacity=1000, remaining=500, requested=600, wait_s=6.0)
    await ledger.settle(
        granted.reservation, Settlement(actual={Limit.TPM: 0, Limit.RPM: 0}, snapshot=QuotaSnapshot(readings=(reading,)))
    )
    assert await level(ledger, Limit.RPM) == 2
    assert (await refused(ledger, claim(tokens=600))).waits[0].wait_s == pytest.approx(6.0)


async def test_a_reservation_is_settled_once(ledger: StoredLedger) -> None:
    """A second settlement changes nothing, nor does one that was never made."""
    granted = await taken(ledger, claim(tokens=500))
    await ledger.release(granted.reservation)
    await ledger.release(granted.reservation)
    await ledger.release(Reservation(id="?", key=key("never"), cost={Limit.TPM: 5}))
    assert await level(ledger, Limit.TPM) == 1000
    assert await level(ledger, Limit.RPM) == 2


async def test_organizations_and_models_have_buckets_of_their_own(ledger: StoredLedger) -> None:
    """More keys of one organization share theirs."""
    await taken(ledger, claim("a", 1000))
    await taken(ledger, claim("b", 1000))
    await taken(ledger, claim("a", 1000, organization="other"))
    await refused(ledger, claim("a", 1000))


async def test_of_two_cooldowns_the_later_end_counts(ledger: StoredLedger, clock: FakeClock) -> None:
    """A second, shorter one does not shorten the first."""
    await cool_down(ledger, 60, "long")
    await cool_down(ledger, 5, "short")
    result = await refused(ledger, claim())
    assert (result.waits[0].wait_s, result.waits[0].reason) == (pytest.approx(60), "long")
    clock.advance(60.001)
    await taken(ledger, claim())


async def test_after_a_cooldown_one_call_at_a_time_tests_the_model(ledger: StoredLedger, clock: FakeClock) -> None:
    """A success opens it for all."""
    await cool_down(ledger, 5, "server error")
    clock.advance(5.001)
    probe = await taken(ledger, claim(rpm=9))
    waiting = (await refused(ledger, claim(rpm=9))).waits[0]
    assert (waiting.wait_s, waiting.reason) == (
        pytest.approx(0.25),
        "recovering after a failure (server error); next call is a probe",
    )
    await ledger.settle(probe.reservation, used({}))
    await taken(ledger, claim(rpm=9))
    await taken(ledger, claim(rpm=9))


async def test_a_test_that_failed_leaves_a_moment_for_the_next_cooldown(ledger: StoredLedger, clock: FakeClock) -> None:
    """Nobody slips in between, and nobody waits for ever."""
    await cool_down(ledger, 5, "server error")
    clock.advance(5.001)
    probe = await taken(ledger, claim(rpm=9))
    standing = await ledger.settle(probe.reservation, Settlement(actual={}, health="down"))
    assert standing.failures == 1
    await refused(ledger, claim(rpm=9))
    clock.advance(0.1)
    await taken(ledger, claim(rpm=9))


async def test_a_test_whose_process_died_does_not_close_the_model(ledger: StoredLedger, clock: FakeClock) -> None:
    """Its reservation's life bounds it."""
    await cool_down(ledger, 5, "server error")
    clock.advance(5.001)
    await taken(ledger, claim(rpm=9))
    clock.advance(LIFE_S + 0.001)
    await taken(ledger, claim(rpm=9))


async def test_failures_in_a_row_are_counted_once_for_calls_that_were_under_way_together(
    ledger: StoredLedger, clock: FakeClock
) -> None:
    """Ten calls that meet one outage are one failure; a success ends the row."""
    granted = [await taken(ledger, claim(tokens=1, rpm=99)) for _ in range(10)]
    clock.advance(1)
    down = Settlement(actual={}, health="down")
    counts = [(await ledger.settle(one.reservation, down)).failures for one in granted]
    assert counts == [1] * 10
    clock.advance(1)
    again = await taken(ledger, claim(tokens=1, rpm=99))
    assert (await ledger.settle(again.reservation, down)).failures == 2
    clock.advance(1)
    good = await taken(ledger, claim(tokens=1, rpm=99))
    assert (await ledger.settle(good.reservation, used({}))).failures == 0


async def test_retries_of_the_whole_organization_run_out_and_come_back_with_successes(
    ledger: StoredLedger, clock: FakeClock
) -> None:
    """Ten tokens: five failures are retried, and fifty successes pay for the next five."""
    allowed = []
    for model in "abcdef":
        granted = await taken(ledger, claim(model))
        allowed.append((await ledger.settle(granted.reservation, Settlement(actual={}, health="down"))).retry_allowed)
    assert allowed == [True] * 4 + [False] * 2
    for number in range(21):
        granted = await taken(ledger, claim(f"g{number}"))
        standing = await ledger.settle(granted.reservation, used({}))
    assert standing.retry_allowed


async def test_a_cooling_provider_benches_all_its_models_and_no_other_provider_s(ledger: StoredLedger) -> None:
    """Such as after a 401."""
    await cool_down(ledger, 60, "authentication", key(ANY_MODEL))
    mine = Claim(key=key(provider="mine"), cost={Limit.RPM: 1.0}, documented={})
    assert (await taken(ledger, claim("a"), claim("b"), mine)).index == 2


async def test_the_longer_of_cooldown_and_empty_bucket_is_the_wait(ledger: StoredLedger) -> None:
    """Whichever it is."""
    await taken(ledger, claim(tokens=1000))
    await cool_down(ledger, 1, "rate limited")
    assert (await refused(ledger, claim(tokens=600))).waits[0].reason == "tokens per minute used up"
    await cool_down(ledger, 90, "rate limited")
    assert (await refused(ledger, claim(tokens=600))).waits[0].wait_s == pytest.approx(90)


async def test_what_the_server_stated_overrides_and_counts_calls_under_way(ledger: StoredLedger) -> None:
    """A new capacity is full but for what we have sent."""
    await taken(ledger, claim(tokens=300, rpm=9))
    other = await taken(ledger, claim(tokens=100, rpm=9))
    readings = (LimitReading(limit=Limit.TPM, capacity=5000), LimitReading(limit=Limit.ASH, remaining=1))
    await ledger.settle(other.reservation, used({Limit.TPM: 100}, *readings))
    assert await level(ledger, Limit.TPM) == 4700
    assert Limit.ASH not in (await ledger.peek([claim()]))[0].buckets


async def test_a_capacity_that_is_learnt_keeps_the_count_of_what_calls_claimed(ledger: StoredLedger) -> None:
    """Else an answer to a call from before is believed although another call has claimed since."""
    first, second = await taken(ledger, claim(tokens=10, rpm=9)), await taken(ledger, claim(tokens=500, rpm=9))
    stated = LimitReading(limit=Limit.TPM, capacity=2000, remaining=1490)
    await ledger.settle(first.reservation, used({Limit.TPM: 10}, stated))
    await taken(ledger, claim(tokens=400, rpm=9))
    left = await level(ledger, Limit.TPM)
    await ledger.settle(second.reservation, used({Limit.TPM: 500}, stated))
    assert await level(ledger, Limit.TPM) == left


async def test_what_was_learnt_counts_until_nobody_has_stated_it_for_a_week(ledger: StoredLedger, clock: FakeClock) -> None:
    """Then the documented figure holds again: nothing would ever tell that a limit was raised."""
    granted = await taken(ledger, claim())
    await ledger.settle(granted.reservation, used({}, LimitReading(limit=Limit.RPM, capacity=7, remaining=6)))
    clock.advance(6 * 86_400)
    assert (await ledger.peek([claim()]))[0].buckets[Limit.RPM].capacity == 7
    clock.advance(2 * 86_400)
    assert (await ledger.peek([claim()]))[0].buckets[Limit.RPM].capacity == 2


async def test_another_documented_limit_replaces_one_that_was_never_confirmed(ledger: StoredLedger) -> None:
    """After an update of the catalog, or another plan."""
    await taken(ledger, claim(tpm=1000))
    assert (await ledger.peek([claim(tpm=4000)]))[0].buckets[Limit.TPM].capacity == 4000


async def test_prompts_that_are_longer_than_estimated_raise_the_estimate_at_once_and_shorter_ones_lower_it_slowly(
    ledger: StoredLedger,
) -> None:
    """Per model."""
    for estimated, actual in ((100, 150), (100, 100)):
        granted = await taken(ledger, claim(tokens=1, rpm=9))
        settlement = Settlement(actual={}, health="up", prompt=(estimated, actual), spent=Spend())
        await ledger.settle(granted.reservation, settlement)
    factor = (await ledger.peek([claim()]))[0].prompt_factor
    assert 1.4 < factor < 1.5
    assert (await ledger.peek([claim("other")]))[0].prompt_factor == 1.0


@pytest.mark.parametrize(
    ("factor", "estimated", "actual", "after"),
    [
        (1.0, 100, 150, 1.5),
        (1.0, 1, 2, 2.0),
        (1.0, 100, 900, 4.0),
        (2.0, 100, 100, 2.0 - 0.003),
        (1.5, 1, 1, 1.5 - 0.0015),
        (1.0, 100, 10, 1.0 - 0.0015),
        (1.5, 0, 10, 1.5),
        (1.5, 10, 0, 1.5),
    ],
)
def test_a_factor_rises_at_once_falls_slowly_and_stays_within_bounds(
    factor: float, estimated: int, actual: int, after: float
) -> None:
    """Between half and four times an estimate; an answer that counts nothing teaches nothing."""
    assert learnt_factor(factor, estimated, actual) == pytest.approx(after)


async def test_a_reservation_nobody_settles_expires_and_keeps_its_charge(store: Store, clock: FakeClock) -> None:
    """Its call may have been sent; what it held of the budget is free again."""
    budget = Budget(tokens=1000)
    ledger = StoredLedger(store, clock, threaded=False, budget=budget)
    mine = claim(tokens=300, tpm=1_000_000_000, spend=Spend(input_tokens=800))
    await taken(ledger, mine)
    assert (await ledger.peek([mine]))[0].calls_in_flight == 1
    assert (await refused(ledger, mine)).waits[0].kind is FailureKind.OVER_BUDGET
    clock.advance(LIFE_S + 1)
    await taken(ledger, mine)
    assert (await ledger.peek([mine]))[0].calls_in_flight == 1


async def test_a_budget_refuses_before_it_could_be_exceeded(store: Store, clock: FakeClock) -> None:
    """Calls under way count with the most they can cost, and the UTC day begins anew."""
    ledger = StoredLedger(store, clock, threaded=False, budget=Budget(picousd=picodollars(usd(10**12))))
    most = Spend(input_tokens=10, output_tokens=90, picousd=6 * 10**11)
    dear = claim(rpm=99, tpm=100_000, spend=most)
    first = await taken(ledger, dear)
    objection = (await refused(ledger, dear)).waits[0]
    assert (objection.wait_s, objection.kind) == (None, FailureKind.OVER_BUDGET)
    assert objection.reason == "the daily budget of 1.000000 USD has 0.400000 left and this call could cost 0.600000"
    await ledger.settle(first.reservation, Settlement(actual={}, spent=Spend(input_tokens=10, output_tokens=5, picousd=10**11)))
    await taken(ledger, dear)
    free = claim(rpm=99, tpm=100_000)
    await taken(ledger, free)
    unknown = claim("u", spend=Spend(input_tokens=1, picousd=None))
    assert "price is unknown" in (await refused(ledger, unknown)).waits[0].reason
    clock.advance(86_400)
    await taken(ledger, dear)


async def test_spending_is_added_up_by_day_and_model(ledger: StoredLedger, clock: FakeClock) -> None:
    """Exactly, in picodollars."""
    for model, picousd in (("a", 75_000), ("a", 1), ("b", None)):
        granted = await taken(ledger, claim(model, tokens=1))
        await ledger.settle(
            granted.reservation, Settlement(actual={}, spent=Spend(input_tokens=2, output_tokens=3, picousd=picousd))
        )
    day = granted.reservation.day
    totals = (await ledger.spending([day]))[day]
    assert (totals.picousd, totals.tokens) == (75_001, 15)
    assert {name: (total.calls, total.unpriced_calls) for name, total in totals.models.items()} == {
        "groq/a": (2, 0),
        "groq/b": (1, 1),
    }


@pytest.mark.parametrize("jump_s", [-7_200.0, 7_200.0, 30 * 86_400.0, -30 * 86_400.0])
async def test_when_the_clock_jumps_no_wait_is_longer_than_a_window(
    ledger: StoredLedger, clock: FakeClock, jump_s: float
) -> None:
    """An empty minute bucket is full a minute later whatever the clock said before; a cooldown lasts no longer than meant."""
    await taken(ledger, claim(tokens=1000))
    await cool_down(ledger, 30, "rate limited", key("other"))
    clock.jump(jump_s)
    result = await ledger.reserve_any([claim(tokens=1000)], life_s=LIFE_S)
    if isinstance(result, Refused):
        assert result.waits[0].wait_s is not None
        assert result.waits[0].wait_s <= 60
    cooling = await ledger.reserve_any([claim("other")], life_s=LIFE_S)
    if isinstance(cooling, Refused):
        assert cooling.waits[0].wait_s == pytest.approx(30)
    clock.advance(60.001)
    if isinstance(result, Refused):
        await taken(ledger, claim(tokens=1000))
    await taken(ledger, claim("other"))


async def test_the_cooldown_of_a_provider_ends_when_it_was_meant_to_though_the_clock_went_back(
    ledger: StoredLedger, clock: FakeClock
) -> None:
    """However often it is looked at meanwhile."""
    await cool_down(ledger, 30, "no network", key(ANY_MODEL))
    clock.jump(-7_200.0)
    for _ in range(3):
        await refused(ledger, claim())
        clock.advance(10.001)
    await taken(ledger, claim())


def _bucket(**fields: object) -> str:
    bucket = {"limit": "tpm", "capacity": 1000, "level": 500, "at": 1_795_000_000.0} | fields
    return json.dumps({"buckets": {"tpm": bucket}})


GARBAGE = [
    "",
    "garbage",
    "null",
    "[]",
    "[" * 100_000,
    "\udcff",
    '{"in_flight": -1}',
    '{"prompt_factor": 1e9}',
    '{"held": {"tpm": -5}}',
    '{"health": {"cooldown": {"since": 0, "until": 1e12, "reason": "r"}}}',
    '{"health": {"failures": -1}}',
    _bucket(capacity=-1),
    _bucket(capacity=0),
    _bucket(capacity=1e308),
    _bucket(level=float("nan")),
    _bucket(level=float("-inf")),
    _bucket(level=-1e9),
    _bucket(level=2000),
    _bucket(at=-5),
    _bucket(limit="rpm"),
    _bucket(knowledge="guessed"),
]


@pytest.mark.parametrize("body", GARBAGE, ids=[str(number) for number in range(len(GARBAGE))])
async def test_a_record_that_cannot_be_right_is_begun_anew(
    ledger: StoredLedger, store: Store, body: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As if nothing were known; it never steers, and it is said."""
    name = model_key(key())
    if body == "\udcff" and store.name != "memory":
        pytest.skip("each store has a test of its own with such bytes")
    store.transact([name], lambda view: Writes(result=None, writes={name: Record(body=body)}))
    granted = await taken(ledger, claim(tokens=1000))
    assert await level(ledger, Limit.TPM) == 0
    await ledger.release(granted.reservation)
    assert "is reset" in caplog.text


def test_records_are_written_as_an_earlier_release_beside_this_one_reads_them() -> None:
    """It knew the organization, and the refusal of one, by another spelling; both are read."""
    held = OpenReservation(key=key(), cost={}, spend=Spend(), day="")
    body = encode(held).body
    assert "organisation" in body
    for written in (f"{body} ", f"{body} ".replace("organisation", "organization")):
        assert decode(OpenReservation, written, "x") == held
    refused_ = Cooldown(since=1.0, until=2.0, reason="r", kind=FailureKind.ORGANIZATION_REFUSED)
    provider = ProviderAccount(health=Health(cooldown=refused_))
    body = encode(provider).body
    assert '"organisation_refused"' in body
    for written in (f"{body} ", f"{body} ".replace("organisation", "organization")):
        assert decode(ProviderAccount, written, "x") == provider


async def test_what_is_unproven_of_a_stated_limit_is_unproven_of_the_day_s(ledger: StoredLedger) -> None:
    """A provider that gives no tokens of a minute back gives none of the day back, whose limit no header states."""
    cost = {Limit.TPM: 600.0, Limit.TPD: 600.0}
    both = Claim(key=key(), cost=cost, documented={Limit.TPM: 1_000, Limit.TPD: 10_000})
    granted = await taken(ledger, both)
    stated = LimitReading(limit=Limit.TPM, capacity=1000, remaining=400)
    await ledger.settle(granted.reservation, used({Limit.TPM: 100, Limit.TPD: 100}, stated))
    assert await level(ledger, Limit.TPD, both) == pytest.approx(9_400)


async def test_where_nothing_is_stated_a_call_is_settled_to_its_usage(ledger: StoredLedger) -> None:
    """There is nothing to wait for."""
    both = Claim(key=key(), cost={Limit.TPD: 600.0}, documented={Limit.TPD: 10_000})
    granted = await taken(ledger, both)
    await ledger.settle(granted.reservation, used({Limit.TPD: 100}))
    assert await level(ledger, Limit.TPD, both) == pytest.approx(9_900)


async def test_unused_seconds_of_audio_come_back_though_the_server_looked_before(ledger: StoredLedger) -> None:
    """Only of tokens it is unknown whether unused ones come back."""
    call = Claim(key=key(), cost={Limit.ASH: 600.0}, documented={Limit.ASH: 7_200})
    granted = await taken(ledger, call)
    at_admission = LimitReading(limit=Limit.ASH, capacity=7_200, remaining=6_600)
    await ledger.settle(granted.reservation, used({Limit.ASH: 100}, at_admission))
    assert await level(ledger, Limit.ASH, call) == pytest.approx(7_100)


async def test_a_conversation_stays_with_its_model_for_two_hours_after_it_last_spoke(
    ledger: StoredLedger, store: Store, clock: FakeClock
) -> None:
    """For every process of the ledger; then nothing of it is left."""
    other = StoredLedger(store, clock, threaded=False)
    assert await ledger.conversation_model("c") is None
    await ledger.set_conversation_model("c", ConversationModel(provider="groq", model="a/b"))
    assert await other.conversation_model("c") == ConversationModel(provider="groq", model="a/b")
    clock.advance(7_000)
    await other.set_conversation_model("c", ConversationModel(provider="groq", model="a/b"))
    clock.advance(7_000)
    assert await ledger.conversation_model("c") == ConversationModel(provider="groq", model="a/b")
    await ledger.set_conversation_model("c", ConversationModel(provider="local", model="m"))
    assert await other.conversation_model("c") == ConversationModel(provider="local", model="m")
    await other.set_conversation_model("d", ConversationModel(provider="groq", model="m"))
    await other.set_conversation_model("d", None)
    assert await ledger.conversation_model("d") is None
    clock.advance(7_201)
    assert await other.conversation_model("c") is None
    await taken(ledger, claim())
    assert [key for key in store.due(100) if key.startswith("conversation/")] == []


async def test_a_conversation_that_spoke_since_it_was_due_is_not_forgotten(store: Store, clock: FakeClock) -> None:
    """Another process may have renewed it in between."""
    ledger = StoredLedger(store, clock, threaded=False)
    model = ConversationModel(provider="groq", model="m")
    await ledger.set_conversation_model("c", model)
    clock.advance(7_201)
    due = list(store.due(100))
    await ledger.set_conversation_model("c", model)
    store.transact(due, partial(forget, keys=due))
    assert await ledger.conversation_model("c") == model


async def test_a_conversation_s_record_that_cannot_be_right_is_none(ledger: StoredLedger, store: Store) -> None:
    """Another kind of record, half of one, and one from a clock far ahead."""
    for body in ("{}", '{"model": {"provider": "groq", "model": "m"}, "until": 1e18}', '{"model": "m"'):
        record = Record(body=body)
        store.transact(["conversation/c"], lambda _, record=record: Writes(result=None, writes={"conversation/c": record}))
        assert await ledger.conversation_model("c") is None
