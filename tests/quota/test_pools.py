"""Limits that models share, limits on calls at once, and what refusals teach of them; the same for every store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import pytest
from fake_clock import FakeClock

from groq_fallback_mcp.call import FailureKind, Limit, LimitReading, Pool, QuotaSnapshot, Refilling
from groq_fallback_mcp.quota import ANY_MODEL, Claim, Granted, QuotaKey, Refused, Settlement, transactions
from groq_fallback_mcp.quota.budget import Budget, Spend
from groq_fallback_mcp.quota.degrading import DegradingLedger
from groq_fallback_mcp.quota.memory import MemoryStore
from groq_fallback_mcp.quota.records import model_key, open_key, provider_key
from groq_fallback_mcp.quota.store import Store, StoreUnusable
from groq_fallback_mcp.quota.store_ledger import StoredLedger

pytestmark = pytest.mark.anyio
UTC = Refilling(windows="sliding", day_ends="UTC")
FREE = Pool(name="free models", documented={Limit.RPM: 3, Limit.RPD: 5})
KEY = QuotaKey(provider="openrouter", organization="o", model="a:free")


@pytest.fixture
async def ledger(store: Store, clock: FakeClock) -> AsyncIterator[StoredLedger]:
    """A ledger over each store in turn."""
    ledger = StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0)
    yield ledger
    await ledger.aclose()


def claim(model: str = "a:free", *, pool: Pool | None = FREE, documented: dict[Limit, int] | None = None) -> Claim:
    """One call."""
    return Claim(
        key=QuotaKey(provider="openrouter", organization="o", model=model),
        cost={Limit.RPM: 1.0, Limit.RPD: 1.0},
        documented=documented or {},
        pool=pool,
        refilling=UTC,
    )


async def taken(ledger: StoredLedger | DegradingLedger, *claims: Claim, life_s: float = 60.0) -> Granted:
    """A reservation that must be granted."""
    result = await ledger.reserve_any(claims, life_s=life_s)
    assert isinstance(result, Granted), result
    return result


async def left(ledger: StoredLedger | DegradingLedger, limit: Limit, of: Claim | None = None) -> float:
    """What is left of the pool."""
    pool = (await ledger.peek([of or claim()]))[0].pool
    assert pool is not None
    return pool.buckets[limit].level_at(pool.now)


def told(*readings: LimitReading, up: bool = True) -> Settlement:
    """What an answer or a refusal said."""
    spent = Spend() if up else None
    return Settlement(actual={}, snapshot=QuotaSnapshot(readings=readings), health="up" if up else None, spent=spent)


async def test_models_of_a_pool_share_its_limits(ledger: StoredLedger, clock: FakeClock) -> None:
    """Three a minute and five a day, whichever of them is asked."""
    for model in ("a:free", "b:free", "c:free"):
        await taken(ledger, claim(model))
    result = await ledger.reserve_any([claim("d:free"), claim("paid", pool=None)], life_s=60.0)
    assert isinstance(result, Granted)
    assert (result.index, result.skipped[0].limit) == (1, Limit.RPM)
    clock.advance(63)
    await taken(ledger, claim("a:free"))
    await taken(ledger, claim("d:free"))
    clock.advance(63)
    refused = await ledger.reserve_any([claim("e:free")], life_s=60.0)
    assert isinstance(refused, Refused)
    assert refused.waits[0].limit is Limit.RPD
    assert refused.waits[0].wait_s is not None
    clock.advance(refused.waits[0].wait_s)
    assert await left(ledger, Limit.RPD) == 5


async def test_what_a_call_gives_back_comes_back_to_the_pool(ledger: StoredLedger) -> None:
    """A call that was not sent, one whose process died, and one that was released after its refusal."""
    granted = await taken(ledger, claim())
    assert await left(ledger, Limit.RPD) == 4
    await ledger.release(granted.reservation)
    assert await left(ledger, Limit.RPD) == 5
    again = await taken(ledger, claim())
    await ledger.settle(again.reservation, told())
    await ledger.settle(again.reservation, told())
    assert await left(ledger, Limit.RPD) == 4
    assert (await ledger.peek([claim()]))[0].calls_in_flight == 0


async def test_a_reservation_nobody_settles_expires_in_both_places(ledger: StoredLedger, clock: FakeClock) -> None:
    """The charge stays, the call under way does not."""
    await taken(ledger, claim(), life_s=5.0)
    clock.advance(70)
    await taken(ledger, claim("b:free"), life_s=600.0)
    quota = (await ledger.peek([claim()]))[0]
    assert quota.calls_in_flight == 0
    assert quota.pool is not None
    assert quota.pool.calls_in_flight == 1
    assert await left(ledger, Limit.RPD) == 3


async def test_a_pool_that_rests_holds_all_of_its_models_and_no_other(ledger: StoredLedger, clock: FakeClock) -> None:
    """The account's day is spent; paid models go on."""
    await ledger.cool_down(KEY.pool(FREE.name), 600.0, "rate limited", limit=None, kind=FailureKind.RATE_LIMITED)
    result = await ledger.reserve_any([claim("z:free"), claim("paid", pool=None)], life_s=60.0)
    assert isinstance(result, Granted)
    assert result.index == 1
    assert result.skipped[0].wait_s == pytest.approx(600.0)
    clock.advance(600.5)
    granted = await taken(ledger, claim("z:free"))
    await ledger.settle(granted.reservation, told())
    quota = (await ledger.peek([claim("y:free")]))[0]
    assert quota.cooldown is None


async def test_one_model_s_failures_do_not_hold_the_others_of_its_pool(ledger: StoredLedger) -> None:
    """An upstream of one of them is down."""
    granted = await taken(ledger, claim())
    await ledger.settle(granted.reservation, Settlement(actual={}, health="down"))
    quota = (await ledger.peek([claim("b:free")]))[0]
    assert quota.pool is not None
    assert not quota.pool.health.suspect
    assert (await ledger.peek([claim()]))[0].health.suspect


async def test_a_stated_limit_of_the_account_is_the_pool_s(ledger: StoredLedger) -> None:
    """Ten dollars were bought: a thousand a day instead of five."""
    granted = await taken(ledger, claim())
    reading = LimitReading(limit=Limit.RPD, capacity=1_000, remaining=990)
    await ledger.settle(granted.reservation, told(reading, LimitReading(limit=Limit.TPM, capacity=9_000, remaining=8_000)))
    assert await left(ledger, Limit.RPD, claim("other:free")) == 990
    quota = (await ledger.peek([claim()]))[0]
    assert quota.buckets[Limit.TPM].capacity == 9_000
    assert quota.all_buckets[Limit.RPD].capacity == 1_000


async def test_a_limit_nobody_documented_is_learned_from_its_first_refusal(ledger: StoredLedger, clock: FakeClock) -> None:
    """Gemini's 429 names 15 a minute; from then on none is refused."""
    alone = claim("flash", pool=None)
    granted = await taken(ledger, alone)
    reading = LimitReading(limit=Limit.RPM, capacity=15, remaining=0, wait_s=30.0)
    await ledger.settle(granted.reservation, told(reading, up=False))
    refused = await ledger.reserve_any([alone], life_s=60.0)
    assert isinstance(refused, Refused)
    assert refused.waits[0].wait_s == pytest.approx(30.0, abs=0.1)
    clock.advance(70)
    for _ in range(15):
        await taken(ledger, alone)
    assert isinstance(await ledger.reserve_any([alone], life_s=60.0), Refused)


async def test_calls_at_once_wait_for_one_another(ledger: StoredLedger) -> None:
    """Z.ai lets one through, the account three."""
    one = claim("glm", pool=Pool(name="account", documented={Limit.CONCURRENT: 2}), documented={Limit.CONCURRENT: 1})
    other = claim("flash", pool=one.pool)
    first = await taken(ledger, one)
    result = await ledger.reserve_any([one, other], life_s=60.0)
    assert isinstance(result, Granted)
    assert (result.index, result.skipped[0].limit, result.skipped[0].wait_s) == (1, Limit.CONCURRENT, 0.25)
    third = claim("more", pool=one.pool)
    assert isinstance(await ledger.reserve_any([third], life_s=60.0), Refused)
    await ledger.settle(first.reservation, told())
    await taken(ledger, third)


async def test_a_provider_in_a_cooldown_holds_pools_too(ledger: StoredLedger) -> None:
    """Its key was refused."""
    await ledger.cool_down(
        QuotaKey(provider="openrouter", organization="o", model=ANY_MODEL),
        60.0,
        "no credit",
        limit=None,
        kind=FailureKind.NO_CREDIT,
    )
    refused = await ledger.reserve_any([claim()], life_s=60.0)
    assert isinstance(refused, Refused)
    assert refused.waits[0].kind is FailureKind.NO_CREDIT


async def test_a_pool_is_kept_while_the_store_is_gone_and_told_to_it_later(clock: FakeClock) -> None:
    """A quarter of each limit meanwhile."""

    class Broken(MemoryStore):
        works = False

        def transact(self, keys, change, *, writing=True):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            if not self.works:
                raise StoreUnusable("gone")
            return super().transact(keys, change, writing=writing)

    store = Broken(clock.wall)
    store.works = True
    shared = StoredLedger(store, clock, threaded=False)
    ledger = DegradingLedger(shared, StoredLedger(MemoryStore(clock.wall), clock, threaded=False), clock)
    await taken(ledger, claim(), life_s=600.0)
    store.works = False
    granted = await taken(ledger, claim())
    assert isinstance(await ledger.reserve_any([claim("b:free")], life_s=60.0), Refused)
    store.works = True
    await ledger.settle(granted.reservation, told())
    clock.advance(2)
    # told with the first call that can use the store again
    await left(ledger, Limit.RPD)
    assert await left(ledger, Limit.RPD) == 3


async def test_what_nobody_waited_for_comes_back_to_every_kind_of_window(store: Store, clock: FakeClock) -> None:
    """A store that was too slow had granted it all the same: a day's request must not be lost each time."""
    day = Claim(
        key=KEY, cost={Limit.RPM: 1.0, Limit.RPD: 1.0}, documented={Limit.RPM: 3, Limit.RPD: 5}, pool=FREE, refilling=UTC
    )
    names = [model_key(KEY), provider_key(KEY), model_key(KEY.pool(FREE.name)), open_key("r")]
    change = partial(transactions.reserve_any, claims=[day], reservation="r", life_s=60.0, budget=Budget(), day="")
    assert isinstance(store.transact(names, change), Granted)
    clock.advance(5)
    store.transact(names, partial(transactions.abandon, reservation="r"))
    ledger = StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0)
    quota = (await ledger.peek([day]))[0]
    assert {limit: bucket.level_at(quota.now) for limit, bucket in quota.buckets.items()} == {Limit.RPM: 3, Limit.RPD: 5}
    assert await left(ledger, Limit.RPD, day) == 5


async def test_a_limit_ends_with_the_plan_that_had_it(ledger: StoredLedger, clock: FakeClock) -> None:
    """A documented one at once, one that the provider stated after a week."""
    granted = await taken(ledger, claim("m", pool=None, documented={Limit.RPD: 20}))
    await ledger.settle(granted.reservation, told(LimitReading(limit=Limit.RPM, capacity=5)))
    other = claim("m", pool=None, documented={Limit.TPD: 9})
    now = (await ledger.peek([other]))[0]
    assert set(now.buckets) == {Limit.RPM, Limit.TPD}
    clock.advance(8 * 86_400)
    later = (await ledger.peek([other]))[0]
    assert set(later.buckets) == {Limit.TPD}
