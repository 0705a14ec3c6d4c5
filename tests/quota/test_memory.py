"""The ledger's promises: all limits or none, settle, release, cooldowns, expiry."""

from __future__ import annotations

import pytest
from fake_clock import FakeClock

from groq_fallback_mcp.call import Limit, LimitReading, QuotaSnapshot
from groq_fallback_mcp.quota import ANY_MODEL, Claim, Cooldown, Granted, MemoryLedger, QuotaKey, Refused, Reservation

pytestmark = pytest.mark.anyio


def key(model: str = "m", provider: str = "groq", organisation: str = "o") -> QuotaKey:
    """Whose buckets."""
    return QuotaKey(provider=provider, organisation=organisation, model=model)


def claim(model: str = "m", tokens: float = 100, *, organisation: str = "o", tpm: int = 1000, rpm: int = 2) -> Claim:
    """A request and some tokens."""
    cost = {Limit.RPM: 1.0, Limit.TPM: float(tokens)}
    return Claim(key=key(model, organisation=organisation), cost=cost, documented={Limit.RPM: rpm, Limit.TPM: tpm})


async def taken(ledger: MemoryLedger, *claims: Claim) -> Granted:
    """A reservation that must be granted."""
    result = await ledger.reserve_any(claims)
    assert isinstance(result, Granted), result
    return result


async def refused(ledger: MemoryLedger, *claims: Claim) -> Refused:
    """A reservation that must be refused."""
    result = await ledger.reserve_any(claims)
    assert isinstance(result, Refused), result
    return result


async def level(ledger: MemoryLedger, clock: FakeClock, limit: Limit, of: Claim | None = None) -> float:
    """What is left."""
    return (await ledger.look([of or claim()]))[0].buckets[limit].level_at(clock.wall())


async def test_a_reservation_takes_from_all_limits_and_a_refusal_from_none() -> None:
    """The second call fits the requests, not the tokens."""
    clock = FakeClock()
    ledger = MemoryLedger(clock)
    await taken(ledger, claim(tokens=900))
    result = await refused(ledger, claim(tokens=900))
    assert (result.waits[0].limit, result.waits[0].wait_s) == (Limit.TPM, pytest.approx(48.0))
    assert await level(ledger, clock, Limit.RPM) == 1
    assert await level(ledger, clock, Limit.TPM) == 100


async def test_the_first_claim_that_fits_is_granted_and_those_before_it_say_why_not() -> None:
    """One transaction over all candidates."""
    ledger = MemoryLedger(FakeClock())
    await taken(ledger, claim("a", 1000))
    result = await taken(ledger, claim("a"), claim("b", 5000), claim("c"))
    assert (result.index, result.reservation.key.model) == (2, "c")
    assert [wait.wait_s is None for wait in result.passed_over] == [False, True]


async def test_settling_gives_back_what_was_not_used_and_charges_what_was_used_beyond() -> None:
    """Limits that are not named keep the claim."""
    clock = FakeClock()
    ledger = MemoryLedger(clock)
    under = await taken(ledger, claim(tokens=500))
    await ledger.settle(under.reservation, {Limit.TPM: 100})
    assert await level(ledger, clock, Limit.TPM) == 900
    over = await taken(ledger, claim(tokens=100))
    await ledger.settle(over.reservation, {Limit.TPM: 1000, Limit.ASH: 5})
    assert await level(ledger, clock, Limit.TPM) == -100
    assert await level(ledger, clock, Limit.RPM) == 0


async def test_a_reservation_is_settled_once() -> None:
    """A second settlement changes nothing, nor does one that was never made."""
    clock = FakeClock()
    ledger = MemoryLedger(clock)
    granted = await taken(ledger, claim(tokens=500))
    await ledger.release(granted.reservation)
    await ledger.release(granted.reservation)
    await ledger.release(Reservation(id="?", key=key("never"), cost={Limit.TPM: 5}))
    assert await level(ledger, clock, Limit.TPM) == 1000
    assert await level(ledger, clock, Limit.RPM) == 2


async def test_organisations_and_models_have_buckets_of_their_own() -> None:
    """More keys of one organisation share theirs."""
    ledger = MemoryLedger(FakeClock())
    await taken(ledger, claim("a", 1000))
    await taken(ledger, claim("b", 1000))
    await taken(ledger, claim("a", 1000, organisation="other"))
    await refused(ledger, claim("a", 1000))


async def test_of_two_cooldowns_the_later_end_counts() -> None:
    """A second, shorter one does not shorten the first."""
    clock = FakeClock()
    ledger = MemoryLedger(clock)
    await ledger.cool_down(key(), Cooldown(until=clock.wall() + 60, reason="long"))
    await ledger.cool_down(key(), Cooldown(until=clock.wall() + 5, reason="short"))
    result = await refused(ledger, claim())
    assert (result.waits[0].wait_s, result.waits[0].reason) == (pytest.approx(60), "long")
    clock.advance(60.001)
    await taken(ledger, claim())


async def test_a_benched_provider_benches_all_its_models_and_no_other_provider_s() -> None:
    """Such as after a 401."""
    clock = FakeClock()
    ledger = MemoryLedger(clock)
    await ledger.cool_down(key(ANY_MODEL), Cooldown(until=clock.wall() + 60, reason="authentication"))
    mine = Claim(key=key(provider="mine"), cost={Limit.RPM: 1.0}, documented={})
    assert (await taken(ledger, claim("a"), claim("b"), mine)).index == 2


async def test_the_longer_of_cooldown_and_empty_bucket_is_the_wait() -> None:
    """Whichever it is."""
    clock = FakeClock()
    ledger = MemoryLedger(clock)
    await taken(ledger, claim(tokens=1000))
    await ledger.cool_down(key(), Cooldown(until=clock.wall() + 1, reason="rate limited"))
    assert (await refused(ledger, claim(tokens=600))).waits[0].reason == "tokens per minute used up"
    await ledger.cool_down(key(), Cooldown(until=clock.wall() + 90, reason="rate limited"))
    assert (await refused(ledger, claim(tokens=600))).waits[0].wait_s == pytest.approx(90)


async def test_what_the_server_stated_overrides_and_counts_calls_under_way() -> None:
    """A new capacity is full but for what we have sent."""
    clock = FakeClock()
    ledger = MemoryLedger(clock)
    await taken(ledger, claim(tokens=300))
    await ledger.observe(
        key(),
        QuotaSnapshot(readings=(LimitReading(limit=Limit.TPM, capacity=5000), LimitReading(limit=Limit.ASH, remaining=1))),
    )
    assert await level(ledger, clock, Limit.TPM) == 4700
    assert Limit.ASH not in (await ledger.look([claim()]))[0].buckets


async def test_a_reservation_nobody_settles_expires_and_keeps_its_charge() -> None:
    """Its call may have been sent."""
    clock = FakeClock()
    ledger = MemoryLedger(clock)
    await taken(ledger, claim(tokens=300, tpm=1_000_000_000))
    assert (await ledger.look([claim()]))[0].calls_in_flight == 1
    clock.advance(3601)
    assert (await ledger.look([claim()]))[0].calls_in_flight == 0


async def test_the_store_names_itself() -> None:
    """For check_limits."""
    assert MemoryLedger(FakeClock()).store == "memory"
