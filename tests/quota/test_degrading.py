"""When the shared store fails: calls go on at a cautious share, budgets do not, and what was used is told afterwards."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import anyio
import pytest
from fake_clock import FakeClock
from stores import RedisServer

from groq_fallback_mcp.call import FailureKind, Limit, LimitReading, QuotaSnapshot
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.quota import (
    Claim,
    ConversationModel,
    Granted,
    QuotaKey,
    Refused,
    Reservation,
    Settlement,
    SettleResult,
    memory_ledger,
    open_ledger,
)
from groq_fallback_mcp.quota.buckets import ON_THE_WAY_S
from groq_fallback_mcp.quota.budget import Budget, Spend
from groq_fallback_mcp.quota.degrading import DegradingLedger
from groq_fallback_mcp.quota.memory import MemoryStore
from groq_fallback_mcp.quota.open_ledger import default_path
from groq_fallback_mcp.quota.store import NOT_NOW, NotNow, Snapshot, StoreUnusable, Writes
from groq_fallback_mcp.quota.store_ledger import StoredLedger

pytestmark = pytest.mark.anyio
T = TypeVar("T")
KEY = QuotaKey(provider="groq", organization="o", model="m")


class FragileStore(MemoryStore):
    """Fails while told to; counts how often it was tried."""

    fault: str | None = None
    fails_after: int | None = None
    tries = 0

    def transact(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        """Fail, or do it."""
        self.tries += 1
        if self.fault is not None:
            raise StoreUnusable(self.fault)
        if self.fails_after is not None:
            self.fails_after -= 1
            if self.fails_after < 0:
                raise StoreUnusable("failed again")
        return super().transact(keys, change, writing=writing)


class Rig:
    """A degrading ledger over a fragile store."""

    def __init__(self, budget: Budget | None = None) -> None:
        self.clock = FakeClock()
        self.store = FragileStore(self.clock.wall)
        self.shared = StoredLedger(self.store, self.clock, threaded=False, budget=budget)
        own = memory_ledger(self.clock)
        self.ledger = DegradingLedger(self.shared, own, self.clock, has_budget=budget is not None)


@pytest.fixture
def rig() -> Rig:
    """Without a budget."""
    return Rig()


def claim(tokens: float = 100, *, spend: Spend | None = None, model: str = "m") -> Claim:
    """A call."""
    key = QuotaKey(provider="groq", organization="o", model=model)
    documented = {Limit.RPM: 30, Limit.TPM: 1000}
    return Claim(key=key, cost={Limit.RPM: 1.0, Limit.TPM: float(tokens)}, documented=documented, spend=spend or Spend())


async def granted(rig: Rig, *claims: Claim) -> Reservation:
    """A reservation that must be granted."""
    result = await rig.ledger.reserve_any(claims or [claim()], life_s=60)
    assert isinstance(result, Granted), result
    return result.reservation


async def test_a_failing_store_costs_a_note_and_no_answer(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """The status names it, the log says it once."""
    rig.store.fault = "disk full"
    for _ in range(3):
        await rig.ledger.release(await granted(rig))
    assert rig.ledger.status.degraded == "disk full"
    assert rig.ledger.status.store == "memory"
    assert caplog.text.count("cannot be used") == 1
    assert len(await rig.ledger.peek([claim()])) == 1
    assert (await rig.ledger.spending(["2026-11-23"]))["2026-11-23"].tokens == 0


async def test_while_degraded_this_process_keeps_its_conversations(rig: Rig) -> None:
    """What the store knew is out of reach; it is known again when the store is back."""
    await rig.ledger.set_conversation_model("c", ConversationModel(provider="groq", model="shared"))
    rig.store.fault = "gone"
    assert await rig.ledger.conversation_model("c") is None
    await rig.ledger.set_conversation_model("c", ConversationModel(provider="groq", model="own"))
    assert await rig.ledger.conversation_model("c") == ConversationModel(provider="groq", model="own")
    rig.store.fault = None
    rig.clock.advance(31)
    assert await rig.ledger.conversation_model("c") == ConversationModel(provider="groq", model="shared")


async def test_while_degraded_a_quarter_of_each_limit_is_used(rig: Rig) -> None:
    """Others spend the rest, uncounted; what needs a whole bucket is not shut out."""
    rig.store.fault = "gone"
    for _ in range(2):
        await granted(rig, claim(100))
    assert isinstance(await rig.ledger.reserve_any([claim(100)], life_s=60), Refused)
    assert (await granted(rig, claim(100), claim(900, model="n"))).key.model == "n"
    never = await rig.ledger.reserve_any([claim(2000)], life_s=60)
    assert isinstance(never, Refused)
    assert never.waits[0].wait_s is None


async def test_what_was_used_meanwhile_of_a_model_that_the_store_has_never_seen_is_charged_there(rig: Rig) -> None:
    """As of a store that was down when the first process started, or came back empty."""
    rig.store.fault = "gone"
    await rig.ledger.settle(await granted(rig, claim(200)), Settlement(actual={Limit.TPM: 200}, spent=Spend()))
    rig.store.fault = None
    rig.clock.advance(3)
    await rig.ledger.peek([claim()])
    (quota,) = await rig.shared.peek([claim()])
    assert quota.buckets[Limit.TPM].level_at(quota.now) == 800


async def test_a_failing_store_is_left_alone_for_longer_and_longer(rig: Rig) -> None:
    """One call finds out for all: 1, 2, 4 ... 30 s."""
    rig.store.fault = "gone"
    await rig.ledger.peek([claim()])
    before = rig.store.tries
    for pause in (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0):
        for _ in range(3):
            await rig.ledger.peek([claim()])
        assert rig.store.tries == before
        rig.clock.advance(pause + 0.001)
        await rig.ledger.peek([claim()])
        before += 1
        assert rig.store.tries == before


async def test_calls_that_meet_the_same_fault_together_make_the_pause_no_longer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten calls under way are one fault, and the store is tried again a second later."""
    gate = anyio.Event()

    async def hang(claims: object, **_: object) -> None:
        await gate.wait()
        message = "hung"
        raise StoreUnusable(message)

    with monkeypatch.context() as patched:
        patched.setattr(rig.shared, "peek", hang)
        async with anyio.create_task_group() as group:
            for _ in range(10):
                group.start_soon(rig.ledger.peek, [claim()])
            await anyio.wait_all_tasks_blocked()
            gate.set()
    rig.clock.advance(1.001)
    await rig.ledger.peek([claim()])
    assert rig.ledger.status.degraded is None


async def test_when_the_store_is_back_it_is_told_what_was_used(rig: Rig) -> None:
    """And learns what answers said meanwhile; the stand-in's reservations are not taken for its own."""
    rig.store.fault = "gone"
    reservation = await granted(rig, claim(100))
    assert reservation.granted_by_fallback
    reading = LimitReading(limit=Limit.RPM, capacity=60, remaining=50)
    spent = Spend(input_tokens=40, output_tokens=20, picousd=7)
    settlement = Settlement(actual={Limit.TPM: 60}, snapshot=QuotaSnapshot(readings=(reading,)), health="up", spent=spent)
    await rig.ledger.settle(reservation, settlement)
    rig.store.fault = None
    rig.clock.advance(1.5)
    assert isinstance(await rig.ledger.reserve_any([claim(0)], life_s=60), Granted)
    assert rig.ledger.status.degraded is None
    quota = (await rig.ledger.peek([claim()]))[0]
    assert quota.buckets[Limit.RPM].capacity == 60
    assert quota.buckets[Limit.TPM].level_at(quota.now) == pytest.approx(940, abs=2)
    assert quota.calls_in_flight == 1
    day = reservation.day
    assert (await rig.ledger.spending([day]))[day].picousd == 7


async def test_what_was_used_in_an_outage_is_among_what_calls_have_claimed(rig: Rig) -> None:
    """A statement that another answer makes meanwhile may not have counted it."""
    rig.store.fault = "gone"
    await rig.ledger.settle(await granted(rig, claim(100)), Settlement(actual={Limit.TPM: 60}, spent=Spend()))
    rig.store.fault = None
    rig.clock.advance(1.5)
    assert isinstance(await rig.ledger.reserve_any([claim(10)], life_s=60), Granted)
    quota = (await rig.ledger.peek([claim()]))[0]
    assert quota.buckets[Limit.TPM].charged == 70


async def test_a_reservation_of_the_store_that_cannot_be_settled_is_settled_later(rig: Rig) -> None:
    """The store failed while the call was under way."""
    reservation = await granted(rig, claim(100))
    rig.store.fault = "gone"
    await rig.ledger.settle(reservation, Settlement(actual={Limit.TPM: 10}, spent=Spend()))
    rig.store.fault = None
    rig.clock.advance(1.5)
    await rig.ledger.peek([claim()])
    quota = (await rig.ledger.peek([claim()]))[0]
    assert (quota.calls_in_flight, quota.buckets[Limit.TPM].level_at(quota.now)) == (0, pytest.approx(990, abs=26))


async def test_a_store_that_fails_again_while_it_is_told_loses_nothing(rig: Rig) -> None:
    """What it granted stands, and what is pending stays pending."""
    rig.store.fault = "gone"
    for _ in range(2):
        await rig.ledger.settle(await granted(rig, claim(50)), Settlement(actual={Limit.TPM: 40}, spent=Spend()))
    rig.clock.advance(1.5)
    rig.store.fault = None
    # to give back what the failed reservation may have left, to reserve, to be told the first of the two
    rig.store.fails_after = 3
    reservation = await granted(rig, claim(10))
    assert not reservation.granted_by_fallback
    assert rig.ledger.status.degraded == "failed again"
    rig.store.fails_after = None
    rig.clock.advance(2.5)
    await rig.ledger.peek([claim()])
    quota = (await rig.ledger.peek([claim()]))[0]
    assert quota.buckets[Limit.TPM].level_at(quota.now) == pytest.approx(
        1000 - 2 * 40 - 10 + (2.5 - ON_THE_WAY_S) * 1000 / 60, abs=4
    )


async def test_what_was_used_long_before_the_store_is_back_is_not_charged_now(rig: Rig) -> None:
    """A minute's bucket is full again after a minute, however much was answered during the outage; a day's is not."""
    documented = {Limit.TPM: 1000, Limit.TPD: 100_000}
    call = Claim(key=KEY, cost={Limit.TPM: 900.0, Limit.TPD: 900.0}, documented=documented)
    await rig.ledger.release(await granted(rig, call))
    rig.store.fault = "gone"
    for _ in range(9):
        reservation = await granted(rig, call)
        actual = {Limit.TPM: 900.0, Limit.TPD: 900.0}
        await rig.ledger.settle(reservation, Settlement(actual=actual, health="up", spent=Spend(input_tokens=900)))
        rig.clock.advance(120)
    rig.store.fault = None
    await rig.ledger.peek([call])
    quota = (await rig.ledger.peek([call]))[0]
    assert quota.buckets[Limit.TPM].level_at(quota.now) == 1000
    assert quota.buckets[Limit.TPD].level_at(quota.now) == pytest.approx(100_000 - 9 * 900, rel=0.01)
    assert (await rig.ledger.spending([reservation.day]))[reservation.day].tokens == 9 * 900


@pytest.mark.parametrize("fails", ["before the call", "under way"])
async def test_a_wait_that_is_over_when_the_store_is_back_is_not_begun_again(rig: Rig, fails: str) -> None:
    """A refusal says how long to wait from then on, and told an hour later it is long over."""
    if fails == "before the call":
        rig.store.fault = "gone"
    reservation = await granted(rig)
    rig.store.fault = "gone"
    refusal = LimitReading(limit=Limit.TPM, capacity=1000, requested=100, wait_s=40)
    actual = {Limit.TPM: 0.0, Limit.RPM: 0.0}
    await rig.ledger.settle(reservation, Settlement(actual=actual, snapshot=QuotaSnapshot(readings=(refusal,))))
    rig.store.fault = None
    rig.clock.advance(3_600)
    await rig.ledger.peek([claim()])
    assert not (await granted(rig, claim(1000))).granted_by_fallback


async def test_what_an_answer_said_was_left_does_not_undo_what_others_have_taken_since(rig: Rig) -> None:
    """The stand-in saw nothing of them, and the store knows."""
    rig.store.fault = "gone"
    for number in range(6):
        reservation = await granted(rig, claim(25))
        reading = LimitReading(limit=Limit.TPM, capacity=1000, remaining=1000 - 25 * (number + 1))
        settlement = Settlement(
            actual={Limit.TPM: 25.0}, snapshot=QuotaSnapshot(readings=(reading,)), health="up", spent=Spend()
        )
        await rig.ledger.settle(reservation, settlement)
    rig.store.fault = None
    other = await rig.shared.reserve_any([claim(800)], life_s=60)
    assert isinstance(other, Granted)
    await rig.shared.settle(other.reservation, Settlement(actual={Limit.TPM: 800.0}, spent=Spend()))
    rig.clock.advance(1.5)
    await rig.ledger.peek([claim()])
    quota = (await rig.ledger.peek([claim()]))[0]
    assert quota.buckets[Limit.TPM].level_at(quota.now) <= 1000 - 800 - 6 * 25 + 2 * 1.5 * 1000 / 60


async def test_what_is_pending_at_the_end_is_told_before_closing(rig: Rig) -> None:
    """If the store is back by then."""
    reservation = await granted(rig, claim(100))
    rig.store.fault = "gone"
    await rig.ledger.release(reservation)
    rig.store.fault = None
    rig.clock.advance(1.5)
    await rig.ledger.aclose()
    quota = (await rig.ledger.peek([claim()]))[0]
    assert quota.calls_in_flight == 0


async def test_cooldowns_hold_while_degraded(rig: Rig) -> None:
    """In this process."""
    rig.store.fault = "gone"
    await rig.ledger.cool_down(KEY, 30, "rate limited", limit=None, kind=FailureKind.RATE_LIMITED)
    assert isinstance(await rig.ledger.reserve_any([claim()], life_s=60), Refused)


async def test_a_budget_fails_closed_and_what_is_free_goes_on() -> None:
    """Spending that cannot be counted is not begun."""
    rig = Rig(Budget(tokens=10_000))
    rig.store.fault = "gone"
    dear, free = claim(spend=Spend(input_tokens=1)), claim(model="local")
    result = await rig.ledger.reserve_any([dear], life_s=60)
    assert isinstance(result, Refused)
    assert (result.waits[0].kind, result.waits[0].reason) == (
        FailureKind.OVER_BUDGET,
        "the budget cannot be checked while the quota store cannot be used",
    )
    mixed = await rig.ledger.reserve_any([dear, free], life_s=60)
    assert isinstance(mixed, Granted)
    assert (mixed.index, mixed.reservation.key.model, mixed.skipped[0].kind) == (1, "local", FailureKind.OVER_BUDGET)


async def test_a_hung_server_does_not_hold_calls_back(own_redis: RedisServer) -> None:
    """A quarter of a second for the first, nothing for those after it, and back without help."""
    ledger = open_ledger(own_redis.url, SystemClock())
    await ledger.peek([claim()])
    os.kill(own_redis.pid, signal.SIGSTOP)
    took = []
    for _ in range(5):
        started = time.monotonic()
        assert isinstance(await ledger.reserve_any([claim(1)], life_s=60), Granted)
        took.append(time.monotonic() - started)
    assert ledger.status.degraded is not None
    os.kill(own_redis.pid, signal.SIGCONT)
    assert took[0] < 1.0
    assert max(took[1:]) < 0.2
    await ledger.aclose()


class LateStore(MemoryStore):
    """Does its work when it is let, however long that takes."""

    def __init__(self, wall: Callable[[], float]) -> None:
        super().__init__(wall)
        self.open = threading.Event()
        self.open.set()

    def transact(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        """Wait, then do it."""
        self.open.wait()
        return super().transact(keys, change, writing=writing)

    def transact_now(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T | NotNow:
        """It always may have to wait."""
        del keys, change, writing
        return NOT_NOW


@pytest.mark.parametrize("budget", [None, Budget(tokens=10_000)])
async def test_what_a_slow_store_grants_after_the_call_has_given_up_on_it_is_given_back(budget: Budget | None) -> None:
    """Nobody could settle it: it would hold quota, budget and the one test of a suspect for as long as a call may last."""
    clock = FakeClock()
    store = LateStore(clock.wall)
    ledger = StoredLedger(store, clock, budget=budget, time_limit_s=0.05)
    await ledger.cool_down(KEY, 5, "overloaded", limit=None, kind=FailureKind.OVERLOADED)
    clock.advance(5.001)
    store.open.clear()
    with pytest.raises(StoreUnusable):
        await ledger.reserve_any([claim(500, spend=Spend(input_tokens=500))], life_s=110)
    store.open.set()
    assert (await ledger.peek([claim()]))[0].calls_in_flight == 1
    await ledger.reserve_any([claim(0, model="other")], life_s=110)
    clock.advance(0.1)
    quota = (await ledger.peek([claim()]))[0]
    assert (quota.calls_in_flight, quota.buckets[Limit.TPM].level, quota.buckets[Limit.RPM].level) == (0, 1000, 30)
    assert isinstance(await ledger.reserve_any([claim(1000, spend=Spend(input_tokens=10_000))], life_s=110), Granted)
    await ledger.aclose()


async def test_what_a_slow_store_takes_in_after_it_was_given_up_on_is_not_counted_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is told again, since nobody knows; and what is kept for that is forgotten later."""
    clock = FakeClock()
    store = LateStore(clock.wall)
    shared = StoredLedger(store, clock, time_limit_s=0.05)
    ledger = DegradingLedger(shared, memory_ledger(clock), clock)
    store.open.clear()
    result = await ledger.reserve_any([claim(100)], life_s=60)
    assert isinstance(result, Granted)
    await ledger.settle(result.reservation, Settlement(actual={Limit.TPM: 100.0}, spent=Spend(input_tokens=100)))
    store.open.set()
    settle = shared.settle

    async def slowly(reservation: Reservation, settlement: Settlement) -> SettleResult:
        store.open.clear()
        return await settle(reservation, settlement)

    with monkeypatch.context() as patched:
        patched.setattr(shared, "settle", slowly)
        clock.advance(1.5)
        await ledger.peek([claim()])
    assert ledger.status.degraded is not None
    store.open.set()
    clock.advance(1.5)
    await ledger.peek([claim()])
    day = result.reservation.day
    assert (await ledger.spending([day]))[day].tokens == 100
    clock.advance(2 * 86_400)
    await ledger.reserve_any([claim()], life_s=60)
    assert not store.due(100)
    await ledger.aclose()


class SteadyStore(LateStore):
    """Does each of its transactions in the same time."""

    def transact(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        """Take the time of one, well within what it may take."""
        threading.Event().wait(0.06)
        return super().transact(keys, change, writing=writing)


async def test_a_burst_that_waits_for_its_turn_does_not_find_the_store_unusable() -> None:
    """Each is answered in time; that others of this process go first says nothing of the store."""
    clock = FakeClock()
    # all of them take longer than that, and each of them far less, also where this machine is busy
    ledger = StoredLedger(SteadyStore(clock.wall), clock, time_limit_s=1.0)
    granted: list[Granted | Refused] = []

    async def ask() -> None:
        granted.append(await ledger.reserve_any([claim(1)], life_s=60))

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(ask)
    assert len(granted) == 20
    await ledger.aclose()


async def test_a_store_that_hangs_is_given_up_on_by_all_of_a_burst_at_once() -> None:
    """Those that wait behind the first do not each wait for it anew."""
    clock = FakeClock()
    store = LateStore(clock.wall)
    ledger = StoredLedger(store, clock, time_limit_s=0.1)
    await ledger.peek([claim()])
    store.open.clear()
    refused: list[StoreUnusable] = []

    async def ask() -> None:
        try:
            await ledger.reserve_any([claim(1)], life_s=60)
        except StoreUnusable as error:
            refused.append(error)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(ask)
    assert len(refused) == 100
    store.open.set()
    await ledger.aclose()


async def test_a_store_too_slow_for_a_burst_is_given_up_on_in_the_end() -> None:
    """A call cannot wait for ever for others of its process, however regularly they are answered."""
    clock = FakeClock()
    ledger = StoredLedger(SteadyStore(clock.wall), clock, time_limit_s=0.03)
    refused: list[StoreUnusable] = []

    async def ask() -> None:
        try:
            await ledger.peek([claim()])
        except StoreUnusable as error:
            refused.append(error)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(ask)
    assert refused
    await ledger.aclose()


@pytest.fixture
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of state."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("state", "file"),
    [
        ("sqlite", "{home}/groq-fallback-mcp/ledger.sqlite3"),
        ("sqlite://{home}/mine.db", "{home}/mine.db"),
        ("sqlite:///{home}/mine.db", "{home}/mine.db"),
    ],
)
async def test_the_state_setting_says_where_the_file_is(state_home: Path, state: str, file: str) -> None:
    """By default in the user's state folder; nothing is made before the first call."""
    expected = Path(file.format(home=state_home))
    ledger = open_ledger(state.format(home=state_home), SystemClock())
    assert not expected.exists()
    assert isinstance(await ledger.reserve_any([claim()], life_s=60), Granted)
    assert expected.exists()
    assert (ledger.status.store, ledger.status.place) == ("sqlite", str(expected))
    await ledger.aclose()


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """sqlite:///~/x.db."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    assert open_ledger("sqlite:///~/x.db", SystemClock()).status.place == str(tmp_path / "x.db")
    assert default_path().is_relative_to(tmp_path)


def test_redis_without_its_client_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    import sys

    monkeypatch.delitem(sys.modules, "groq_fallback_mcp.quota.redis", raising=False)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationError) as refused:
        open_ledger("redis://localhost", SystemClock())
    assert install_command("redis") in refused.value.next_step
