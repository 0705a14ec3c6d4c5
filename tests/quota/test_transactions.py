"""The ledger's transactions as functions of records: what each leaves behind, to the unit."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from stored_records import StoredRecords

from groq_fallback_mcp.call import FailureKind, Limit, LimitReading, Pool, QuotaSnapshot
from groq_fallback_mcp.quota import ANY_MODEL, Claim, Granted, QuotaKey, Refused, Reservation, Settlement, transactions
from groq_fallback_mcp.quota.breaker import RETRY_TOKENS
from groq_fallback_mcp.quota.budget import Budget, DayTotals, Spend
from groq_fallback_mcp.quota.caller import Caller, caller_day
from groq_fallback_mcp.quota.fairness import MEMORY_S
from groq_fallback_mcp.quota.records import Account, ProviderAccount

T0 = 1_800_000_000.0
DAY = "2027-01-15"
KEY = QuotaKey(provider="groq", organization="o", model="m")
CLAIM = Claim(key=KEY, cost={Limit.RPM: 1.0, Limit.TPM: 300.0}, documented={Limit.RPM: 60, Limit.TPM: 6_000})
POOLED = replace(CLAIM, key=replace(KEY, model="a:free"), pool=Pool(name="free", documented={Limit.RPM: 60}))
ANN, BEN = Caller(name="ann"), Caller(name="ben")
ANSWERED = Settlement(actual=CLAIM.cost, health="up", spent=Spend())
FAILED = Settlement(actual={Limit.RPM: 1.0, Limit.TPM: 0.0}, health="down")


class Book(StoredRecords):
    """Records with the transactions that these tests make."""

    def reserve(self, *claims: Claim, name: str = "r", **more: Any) -> Granted | Refused:
        """Sixty seconds for the first that fits."""
        chosen = {"life_s": 60.0, "budget": Budget(), "day": DAY, **more}
        return self.do(partial(transactions.reserve_any, claims=claims, reservation=name, **chosen))

    def taken(self, *claims: Claim, **more: Any) -> Reservation:
        """What must be granted."""
        granted = self.reserve(*claims, **more)
        assert isinstance(granted, Granted), granted
        return granted.reservation

    def settle(self, reservation: Reservation, settlement: Settlement) -> Any:
        return self.do(partial(transactions.settle, reservation=reservation, settlement=settlement))

    def cool(self, model: str, kind: FailureKind, *, limit: Limit | None = None) -> None:
        key = replace(KEY, model=model)
        self.do(partial(transactions.cool_down, key=key, wait_s=30.0, reason="why", limit=limit, kind=kind))

    def account(self, key: QuotaKey = KEY) -> Account:
        return self.view.account(key)

    def provider(self) -> ProviderAccount:
        return self.view.provider(KEY)

    def day(self, day: str = DAY) -> DayTotals:
        return self.view.day(day)


@pytest.fixture
def book() -> Book:
    """Nothing is known yet."""
    return Book()


@pytest.mark.parametrize("model", ["m", ANY_MODEL])
def test_a_last_resort_passes_over_our_own_caution_only(book: Book, model: str) -> None:
    """Of the model as of its provider."""
    book.cool(model, FailureKind.UNREACHABLE)
    assert isinstance(book.reserve(CLAIM), Refused)
    assert isinstance(book.reserve(replace(CLAIM, last_resort=True)), Granted)
    other = Book()
    other.cool(model, FailureKind.RATE_LIMITED)
    assert isinstance(other.reserve(replace(CLAIM, last_resort=True)), Refused)


def test_a_cooldown_says_which_limit_it_is_for(book: Book) -> None:
    book.cool("m", FailureKind.RATE_LIMITED, limit=Limit.TPD)
    refused = book.reserve(CLAIM)
    assert isinstance(refused, Refused)
    assert (refused.waits[0].limit, refused.waits[0].kind, refused.waits[0].wait_s) == (
        Limit.TPD,
        FailureKind.RATE_LIMITED,
        30.0,
    )


def test_of_a_reservation_that_is_no_longer_open_only_the_failures_are_told(book: Book) -> None:
    """It was settled before."""
    reservation = book.taken(CLAIM)
    assert book.settle(reservation, FAILED).failures == 1
    before = dict(book.bodies)
    assert book.settle(reservation, FAILED).failures == 1
    assert book.bodies == before


def test_what_a_stand_in_granted_is_charged_once_however_often_it_is_told(book: Book) -> None:
    """The store that was away hears of it with a later call."""
    reservation = Reservation(
        id="s", key=KEY, cost=CLAIM.cost, taken_at=T0, documented=CLAIM.documented, day=DAY, granted_by_fallback=True
    )
    for _ in range(2):
        book.settle(reservation, ANSWERED)
    assert book.account().buckets[Limit.TPM].level_at(T0) == 5_700


def test_calls_that_fail_use_up_the_retries_of_the_provider(book: Book) -> None:
    """As many as half of its tokens."""
    allowed = []
    for number in range(6):
        # a moment after a failure one call tests the model
        book.now += 1
        allowed.append(book.settle(book.taken(CLAIM, name=str(number)), FAILED).retry_allowed)
    assert allowed == [True] * 4 + [False] * 2
    assert book.provider().retries.tokens == RETRY_TOKENS - 6


def test_a_test_of_a_provider_ends_with_its_call(book: Book) -> None:
    """While it runs nobody else is let through; an answer clears the provider, a refusal frees the place after a moment."""
    book.cool(ANY_MODEL, FailureKind.SERVER_ERROR)
    book.now += 31
    first = book.taken(CLAIM, name="first")
    assert book.provider().health.probe == "first"
    assert isinstance(book.reserve(CLAIM, name="second"), Refused)
    book.settle(first, Settlement(actual=CLAIM.cost))
    book.now += 0.1
    second = book.taken(CLAIM, name="second")
    book.settle(second, ANSWERED)
    assert (book.provider().health.suspect, book.provider().health.cooldown) == (False, None)


def test_what_expires_frees_the_test_and_keeps_its_charge(book: Book) -> None:
    """Its process is gone, and the call may have been sent."""
    book.settle(book.taken(CLAIM, name="fails"), FAILED)
    book.now += 1
    budget = Budget(tokens=1_000_000)
    for name in ("one", "two"):
        book.now += 1
        spend = Spend(input_tokens=100, output_tokens=50)
        book.taken(replace(CLAIM, spend=spend), name=name, budget=budget) if name == "one" else None
    assert (book.account().health.probe, book.day().held_tokens) == ("one", 150)
    charged = book.account().buckets[Limit.TPM].charged
    book.do(partial(transactions.expire, reservations=["one"]))
    account = book.account()
    assert (account.in_flight, account.held, account.health.probe_until < book.now + 1) == (0, {}, True)
    assert (account.buckets[Limit.TPM].charged, account.buckets[Limit.TPM].unsure > 0, book.day().held_tokens) == (
        charged,
        True,
        0,
    )


def test_what_is_abandoned_was_never_taken(book: Book) -> None:
    """Of the limits, the budget, and what its caller is counted to have used."""
    budget, spend = Budget(tokens=1_000), Spend(input_tokens=100, output_tokens=50)
    ann = replace(ANN, budget=budget)
    book.taken(replace(CLAIM, spend=spend), name="gone", budget=budget, caller=ann)
    assert (book.day().held_tokens, book.day(caller_day(DAY, "ann")).held_tokens) == (150, 150)
    assert book.account().uses["ann"].share > 0
    book.do(partial(transactions.abandon, reservation="gone"))
    assert (book.day().held_tokens, book.day(caller_day(DAY, "ann")).held_tokens) == (0, 0)
    account = book.account()
    assert (account.in_flight, account.buckets[Limit.TPM].level_at(T0), account.uses["ann"].share) == (0, 6_000, 0)


def test_a_caller_is_counted_with_what_its_call_took_in_the_end(book: Book) -> None:
    """Half of what it claimed, and at the time when it claimed it."""
    reservation = book.taken(CLAIM, caller=ANN)
    claimed = book.account().uses["ann"].share
    book.now += 10
    book.settle(reservation, replace(ANSWERED, actual={Limit.RPM: 1.0, Limit.TPM: 150.0}))
    # a part of it is forgotten meanwhile, of what was taken as of what was given back
    assert book.account().uses["ann"].share_at(book.now) == pytest.approx(claimed / 2 * math.exp(-10 / MEMORY_S))
    # where nobody is told apart, nobody is counted
    book.settle(book.taken(CLAIM, name="nobody's"), ANSWERED)
    assert set(book.account().uses) == {"ann"}


def test_of_several_models_a_caller_waits_for_the_one_that_is_free_first(book: Book) -> None:
    """So that nobody keeps units of the others for it."""
    slow = replace(CLAIM, key=replace(KEY, model="slow"))
    for claim in (CLAIM, slow):
        book.taken(replace(claim, cost={Limit.TPM: 6_000.0}), name=claim.key.model)
    book.now += 0.9
    late = replace(slow, cost={Limit.TPM: 600.0})
    assert isinstance(book.reserve(late, replace(CLAIM, cost={Limit.TPM: 300.0}), name="x", caller=ANN), Refused)
    waiting = {model: book.account(replace(KEY, model=model)).uses.get("ann") for model in ("m", "slow")}
    assert waiting["slow"] is None or not waiting["slow"].waiting
    assert waiting["m"] is not None
    (one,) = waiting["m"].waiting
    # a claim waits for the units that it wants of limits that there are
    assert (one.wants, one.until > book.now) == ({Limit.TPM: 300.0}, True)


def test_that_one_model_of_a_pool_fails_says_nothing_of_the_pool(book: Book) -> None:
    """That it answers does, and what the answer says of the pool's limits."""
    pool_key = POOLED.key.pool("free")
    book.settle(book.taken(POOLED, name="one"), FAILED)
    assert (book.account(POOLED.key).health.failures, book.account(pool_key).health.failures) == (1, 0)
    book.now += 1
    told = QuotaSnapshot(
        readings=(
            LimitReading(limit=Limit.RPM, capacity=30, remaining=7),
            LimitReading(limit=Limit.TPM, capacity=5_000, remaining=900),
        )
    )
    book.settle(book.taken(POOLED, name="two"), replace(ANSWERED, snapshot=told, prompt=(100, 150)))
    own, shared = book.account(POOLED.key), book.account(pool_key)
    assert (shared.buckets[Limit.RPM].capacity, own.buckets[Limit.TPM].capacity) == (30, 5_000)
    assert Limit.TPM not in shared.buckets
    assert (own.prompt_factor, shared.prompt_factor) == (1.5, 1.0)


def test_a_token_that_is_out_of_requests_is_told_when_the_next_one_is_there(book: Book) -> None:
    """However soon that is."""
    take = partial(transactions.take_request, caller=ANN, rpm=120, day=DAY)
    assert [book.do(take) for _ in range(120)] == [None] * 120
    wait = book.do(take)
    assert wait is not None
    assert (wait.wait_s, wait.limit, wait.for_units) == (0.5, Limit.RPM, True)
    assert book.day(caller_day(DAY, "ann")).refused == 1
