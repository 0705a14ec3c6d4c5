"""Named callers: a daily budget and requests per minute of each, kept by every replica; what is lost or out of reach fails closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
from fake_clock import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st

from groq_fallback_mcp.call import FailureKind, Limit
from groq_fallback_mcp.quota import (
    OWNER,
    Caller,
    Claim,
    Granted,
    QuotaKey,
    Refused,
    Settlement,
    caller_day,
    memory_ledger,
    transactions,
)
from groq_fallback_mcp.quota.budget import UNKNOWN_SPENDING, Budget, DayTotals, Spend
from groq_fallback_mcp.quota.degrading import DegradingLedger
from groq_fallback_mcp.quota.lost_spending import lost_records
from groq_fallback_mcp.quota.memory import MemoryStore
from groq_fallback_mcp.quota.records import CALLER_DAY_LIFE_S, REQUESTS_LIFE_S, day_key, open_key, requests_key
from groq_fallback_mcp.quota.store import Record, Snapshot, Store, StoreUnusable, Writes
from groq_fallback_mcp.quota.store_ledger import SWEEP_EVERY_S, StoredLedger, _Doubtful, utc_day

pytestmark = pytest.mark.anyio
ANN = Caller(name="ann", budget=Budget(tokens=100), rpm=2)
BEN = Caller(name="ben")
KEY = QuotaKey(provider="groq", organization="o", model="m")


def claim(tokens: int = 60, *, picousd: int | None = 0) -> Claim:
    """A call that no limit of the model refuses."""
    return Claim(
        key=KEY,
        cost={Limit.TPM: float(tokens)},
        documented={Limit.TPM: 1_000_000},
        spend=Spend(input_tokens=tokens, picousd=picousd),
    )


def used(tokens: int) -> Settlement:
    """An answer."""
    return Settlement(actual={Limit.TPM: float(tokens)}, health="up", spent=Spend(input_tokens=tokens))


@pytest.fixture
async def ledgers(store: Store, clock: FakeClock) -> AsyncIterator[list[StoredLedger]]:
    """Two replicas over each store in turn."""
    made = [StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0) for _ in range(2)]
    yield made
    for ledger in made:
        await ledger.aclose()


async def taken(ledger: StoredLedger | DegradingLedger, caller: Caller | None, of: Claim | None = None) -> Granted:
    """A call that must be granted."""
    found = await ledger.reserve_any([of or claim()], life_s=60.0, caller=caller)
    assert isinstance(found, Granted), found
    return found


async def test_a_call_waits_for_one_model_of_all_that_it_may_use_and_for_none_once_it_is_served(
    ledgers: list[StoredLedger], clock: FakeClock
) -> None:
    """Wherever that is: else another caller waits for what nobody wants any more."""
    first, _ = ledgers

    def of(model: str, tokens: int) -> Claim:
        key = replace(KEY, model=model)
        return Claim(key=key, cost={Limit.TPM: float(tokens)}, documented={Limit.TPM: 1_000})

    cy = Caller(name="cy")
    # BEN has used something of m, and is behind a caller who has used nothing
    await taken(first, BEN, of("m", 600))
    refused_of = await first.reserve_any([of("m", 900)], life_s=60.0, caller=cy, others=[of("n", 900)])
    assert isinstance(refused_of, Refused)
    await taken(first, BEN, of("m", 200))
    await taken(first, cy, of("n", 900))
    # both are short now: what is free first is waited for
    both = await first.reserve_any([of("m", 900)], life_s=60.0, caller=cy, others=[of("n", 950)])
    assert isinstance(both, Refused)
    await first.reserve_any([of("n", 950)], life_s=60.0, caller=cy, others=[of("m", 900)])
    clock.advance(40)
    served = await first.reserve_any([of("n", 500)], life_s=60.0, caller=cy, others=[of("m", 900)])
    assert isinstance(served, Granted)
    await taken(first, BEN, of("m", 700))


async def objection(ledger: StoredLedger | DegradingLedger, caller: Caller, of: Claim | None = None) -> str:
    """Why a call must be refused."""
    found = await ledger.reserve_any([of or claim()], life_s=60.0, caller=caller)
    assert isinstance(found, Refused), found
    assert (found.waits[0].kind, found.waits[0].wait_s) == (FailureKind.OVER_BUDGET, None)
    return found.waits[0].reason


async def totals(ledger: StoredLedger, clock: FakeClock, name: str = "ann") -> DayTotals:
    """What is known of a caller's day."""
    day = caller_day(utc_day(clock.wall()), name)
    return (await ledger.spending([day]))[day]


async def test_no_number_of_replicas_spends_more_than_a_callers_budget(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    """Calls under way count with all they can use; others are not touched by it; the next day it starts again."""
    one, two = ledgers
    first = await taken(one, ANN)
    reason = await objection(two, ANN)
    assert (
        reason
        == "the gateway token ann has 40 of its daily budget of 100 tokens left until midnight UTC and this call could use 60"
    )
    await taken(two, BEN)
    await taken(two, None)
    await one.settle(first.reservation, used(30))
    await taken(two, ANN)
    assert await objection(one, ANN, claim(11)) != ""
    found = await totals(one, clock)
    assert (found.tokens, found.held_tokens, found.calls) == (30, 60, 1)
    clock.advance(86_400)
    await taken(one, ANN)


async def test_what_is_given_back_is_given_back_to_the_caller(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    """A call that was not sent, one whose process died, and one whose grant came too late."""
    one, two = ledgers
    await one.release((await taken(one, ANN)).reservation)
    assert (await totals(one, clock)).held_tokens == 0
    await taken(one, ANN)
    clock.advance(SWEEP_EVERY_S + 61)
    await taken(two, ANN)
    assert (await totals(one, clock)).held_tokens == 60
    late = (await taken(two, ANN, claim(40))).reservation
    keys = [open_key(late.id), *_keys(late.day), *_keys(late.caller_day), "model/groq/o/m", "provider/groq/o"]
    one._doubtful.append(_Doubtful(reservation=late.id, keys=keys, turn=0))
    await taken(one, None)
    assert (await totals(one, clock)).held_tokens == 60


def _keys(day: str) -> list[str]:
    return [day_key(day)]


async def test_a_budget_of_nothing_and_a_price_that_is_not_known(ledgers: list[StoredLedger]) -> None:
    """Nothing is sent but what costs nothing; the reason says whose budget it is."""
    none = replace(ANN, budget=Budget(tokens=0))
    assert "has 0 of its daily budget of 0 tokens left" in await objection(ledgers[0], none)
    free = Claim(key=KEY, cost={Limit.TPM: 1.0}, documented={Limit.TPM: 1_000})
    await taken(ledgers[0], none, free)
    dollars = replace(ANN, budget=Budget(picousd=10**12))
    assert await objection(ledgers[0], dollars, claim(picousd=None)) == (
        "its price is unknown and the gateway token ann has a budget in USD"
    )
    cent = replace(ANN, budget=Budget(picousd=10**10))
    assert "has 0.010000 of its daily budget of 0.010000 USD left until midnight UTC and this call could cost 0.020000" in (
        await objection(ledgers[0], cent, claim(picousd=2 * 10**10))
    )


async def test_spending_is_counted_without_a_budget_and_apart_for_batch_work_only_in_its_turn(
    ledgers: list[StoredLedger], clock: FakeClock
) -> None:
    """A caller's batch is paid from the same budget."""
    for caller in (BEN, replace(BEN, yields=True)):
        await ledgers[0].settle((await taken(ledgers[1], caller)).reservation, used(25))
    found = await totals(ledgers[0], clock, "ben")
    assert (found.tokens, found.calls, found.held_tokens) == (50, 2, 0)
    assert (await totals(ledgers[0], clock, OWNER.name)).calls == 0
    day = utc_day(clock.wall())
    assert (await ledgers[0].spending([day]))[day].tokens == 50


async def test_requests_per_minute_are_counted_over_all_replicas(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    """The third waits for half a minute, and is counted as refused."""
    one, two = ledgers
    assert (await one.take_request(ANN), await two.take_request(ANN), await one.take_request(BEN)) == (None, None, None)
    wait = await one.take_request(ANN)
    assert wait is not None
    assert (wait.wait_s, wait.reason) == (pytest.approx(30), "2 requests per minute of the gateway token ann used up")
    await two.count_refusal("ann")
    assert (await totals(two, clock)).refused == 2
    clock.advance(30.1)
    assert await two.take_request(ANN) is None
    assert await two.take_request(replace(ANN, rpm=5)) is None, "another figure starts over"


async def test_a_lost_record_of_a_callers_day_closes_its_budget_until_it_is_reopened(
    ledgers: list[StoredLedger], store: Store, clock: FakeClock
) -> None:
    """By the replica that has seen it; others keep theirs."""
    await ledgers[0].settle((await taken(ledgers[0], ANN)).reservation, used(60))
    day = caller_day(utc_day(clock.wall()), "ann")
    store.transact([day_key(day)], lambda _: Writes(result=None, writes={day_key(day): None}))
    assert await objection(ledgers[0], ANN) == UNKNOWN_SPENDING
    assert await objection(ledgers[1], ANN) == UNKNOWN_SPENDING
    await taken(ledgers[1], replace(BEN, budget=Budget(tokens=100)))
    assert await ledgers[1].reopen_budget(day)
    assert await objection(ledgers[1], ANN) != UNKNOWN_SPENDING
    await taken(ledgers[0], ANN, claim(40))


async def test_a_ledger_that_was_replaced_closes_every_callers_budget(
    ledgers: list[StoredLedger], store: Store, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """What a damaged file is replaced with says so of the whole day only."""
    day = utc_day(clock.wall())

    def lost(_: Snapshot) -> Writes[None]:
        written: dict[str, Record | None] = dict(lost_records(day))
        return Writes(result=None, writes=written)

    store.transact([day_key(day)], lost)
    await taken(ledgers[0], BEN)
    await ledgers[0].spending([day, caller_day(day, "ben"), caller_day(day, "ann")])
    # nobody of these has a budget that could be used up
    assert "budget" not in caplog.text
    assert await objection(ledgers[0], ANN) == UNKNOWN_SPENDING
    assert caplog.text.count("the daily budget counts as used up") == 1
    assert caplog.text.count("limits --reopen-budget") == 1
    await ledgers[0].reopen_budget(day)
    await taken(ledgers[0], ANN)


async def test_what_is_kept_of_callers_is_forgotten_some_day(
    ledgers: list[StoredLedger], store: Store, clock: FakeClock
) -> None:
    """Requests after an hour, days after forty; that closes no budget."""
    await ledgers[0].take_request(ANN)
    await ledgers[0].settle((await taken(ledgers[0], ANN)).reservation, used(60))
    day = caller_day(utc_day(clock.wall()), "ann")
    keys = [requests_key("ann"), day_key(day)]

    def there() -> set[str]:
        return store.transact(keys, lambda snapshot: Writes(result=set(snapshot.bodies)), writing=False)

    assert there() == set(keys)
    clock.advance(REQUESTS_LIFE_S + 1)
    await taken(ledgers[0], BEN)
    assert there() == {day_key(day)}
    clock.advance(CALLER_DAY_LIFE_S + 1)
    await taken(ledgers[0], ANN)
    assert there() == set()


class Broken(MemoryStore):
    """A store that can be out of reach."""

    broken = False

    def transact(self, keys: object, change: Callable[..., Writes[object]], *, writing: bool = True) -> object:  # type: ignore[override]
        if self.broken:
            message = "gone"
            raise StoreUnusable(message)
        return super().transact(keys, change, writing=writing)  # type: ignore[arg-type]


async def test_while_the_store_is_out_of_reach_a_callers_budget_is_closed_and_others_go_on(clock: FakeClock) -> None:
    """What they use then is told when it is back, under their names; of their requests a quarter may be made."""
    store = Broken(clock.wall)
    shared = StoredLedger(store, clock, threaded=False)
    ledger = DegradingLedger(shared, memory_ledger(clock), clock)
    store.broken = True
    assert await objection(ledger, ANN) == "the budget cannot be checked while the quota store cannot be used"
    granted = await taken(ledger, BEN)
    assert granted.reservation.granted_by_fallback
    await ledger.settle(granted.reservation, used(25))
    eight = replace(BEN, rpm=8)
    assert [(await ledger.take_request(eight)) is None for _ in range(3)] == [True, True, False]
    await ledger.count_refusal("ben")
    assert len(await ledger.peek([claim()], caller=BEN)) == 1
    store.broken = False
    clock.advance(2)
    assert await ledger.take_request(eight) is None
    assert await ledger.take_request(BEN) is None
    await taken(ledger, ANN)
    found = await totals(shared, clock, "ben")
    assert (found.tokens, found.calls, found.refused) == (25, 1, 0)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 80), st.floats(0, 1), st.integers(0, 3)), max_size=30))
async def test_whatever_happens_to_calls_no_budget_is_overspent_and_nothing_stays_held(
    calls: list[tuple[str, int, float, int]],
) -> None:
    """Answered, failed, given back, or left to expire."""
    clock = FakeClock()
    ledger = StoredLedger(MemoryStore(clock.wall), clock, threaded=False)
    day = utc_day(clock.wall())
    for name, tokens, share, ending in calls:
        caller = Caller(name=name, budget=Budget(tokens=200))
        found = await ledger.reserve_any([claim(tokens)], life_s=30.0, caller=caller)
        if isinstance(found, Refused):
            continue
        match ending:
            case 0 | 1:
                await ledger.settle(found.reservation, used(int(tokens * share)))
            case 2:
                await ledger.release(found.reservation)
            case _:
                pass
    clock.advance(SWEEP_EVERY_S + 31)
    await ledger.reserve_any([claim(0)], life_s=30.0)
    for name in "abc":
        found = (await ledger.spending([caller_day(day, name)]))[caller_day(day, name)]
        assert (found.tokens <= 200, found.held_tokens) == (True, 0)


def test_a_clock_that_went_back_does_not_stop_a_callers_requests() -> None:
    """Nothing would come back until it has caught up."""
    done = transactions.take_request(Snapshot(now=9_000.0, bodies={}), ANN, 1, day="d")
    record = done.writes[requests_key("ann")]
    assert record is not None
    again = transactions.take_request(Snapshot(now=100.0, bodies={requests_key("ann"): record.body}), ANN, 1, day="d")
    assert again.result is None
    # clocks of one machine differ by less than a request travels
    soon = transactions.take_request(Snapshot(now=8_999.99, bodies={requests_key("ann"): record.body}), ANN, 1, day="d")
    assert soon.result is not None
