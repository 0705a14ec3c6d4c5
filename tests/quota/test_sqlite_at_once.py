"""Transactions done at once on the event loop's thread, and when they are not (decision 0014)."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from fake_clock import FakeClock

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.quota import Claim, Granted, QuotaKey, Reservation
from groq_fallback_mcp.quota.sqlite import PUT_OFF, SqliteStore
from groq_fallback_mcp.quota.sqlite_transaction import MOST_KNOWN
from groq_fallback_mcp.quota.store import NOT_NOW, NotNow, Record, Snapshot, StoreUnusable, Writes
from groq_fallback_mcp.quota.store_ledger import StoredLedger


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file will be."""
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    """Opened by a first transaction."""
    made = SqliteStore(path, FakeClock().wall)
    made.transact(["k"], put("k", "first"))
    yield made
    made.close()


def put(key: str, body: str) -> Callable[[Snapshot], Writes[str | None]]:
    """What writes one record."""
    return lambda view: Writes(result=view.bodies.get(key), writes={key: Record(body=body)})


def get(view: Snapshot) -> Writes[str | None]:
    """What reads the record k."""
    return Writes(result=view.bodies.get("k"))


def now(store: SqliteStore, body: str) -> str | NotNow | None:
    """Write k at once; what it was before."""
    return store.transact_now(["k"], put("k", body))


def test_nothing_is_done_at_once_before_the_file_was_opened_on_the_store_s_own_thread(path: Path) -> None:
    """Opening may have to wait, to repair and to refuse."""
    store = SqliteStore(path, FakeClock().wall)
    assert now(store, "x") is NOT_NOW
    assert not path.exists()


def test_both_ways_see_what_the_other_has_written(store: SqliteStore) -> None:
    """They are two connections to one file."""
    assert now(store, "second") == "first"
    assert store.transact(["k"], put("k", "third")) == "second"
    assert store.transact_now(["k"], get, writing=False) == "third"


def test_what_another_process_wrote_while_a_change_was_computed_is_not_overwritten_unread(
    store: SqliteStore, path: Path
) -> None:
    """The change is computed again from it, though this connection believed to know the record."""
    assert store.transact_now(["k"], get, writing=False) == "first"
    other = sqlite3.connect(path, isolation_level=None)

    def longer(view: Snapshot) -> Writes[str]:
        if view.bodies["k"] == "first":
            other.execute("UPDATE records SET body = 'theirs' WHERE key = 'k'")
        return Writes(result=view.bodies["k"], writes={"k": Record(body=view.bodies["k"] + " and ours")})

    assert store.transact_now(["k"], longer) == "theirs"
    other.close()
    assert store.transact_now(["k"], get, writing=False) == "theirs and ours"


def test_after_a_failure_nothing_is_taken_for_known(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed may have been committed, and one's own writes do not show."""
    now(store, "second")
    assert store._quick is not None
    write = store._quick.write

    def interrupted(writes: Mapping[str, Record | None]) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(store._quick, "_known", dict(store._quick._known))  # type: ignore[union-attr]
            write(writes)
        raise KeyboardInterrupt

    monkeypatch.setattr(store._quick, "write", interrupted)
    with pytest.raises(KeyboardInterrupt):
        now(store, "third")
    monkeypatch.undo()
    assert store.transact_now(["k"], get, writing=False) == "third"


def test_many_records_are_not_all_remembered(store: SqliteStore) -> None:
    """Yet one transaction may be over more of them than are."""
    keys = [f"k{number}" for number in range(MOST_KNOWN + 2)]

    def all_of_them(view: Snapshot) -> Writes[int]:
        return Writes(result=len(view.bodies), writes={key: Record(body="x") for key in keys})

    assert store.transact_now(keys, all_of_them) == 0
    assert store.transact_now(keys, all_of_them, writing=False) == len(keys)
    assert store.transact_now(["k"], get, writing=False) == "first"
    assert store._quick is not None
    assert len(store._quick._known) == 1


def test_a_locked_file_is_left_to_the_thread_and_can_be_read_meanwhile(store: SqliteStore, path: Path) -> None:
    """Nothing was done, so the thread can do all of it."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    assert now(store, "lost") is NOT_NOW
    assert store.transact_now(["k"], get, writing=False) == "first"
    other.execute("ROLLBACK")
    other.close()
    assert now(store, "second") == "first"


def test_a_file_that_was_deleted_is_left_to_the_thread_which_makes_it_again(store: SqliteStore, path: Path) -> None:
    """Two processes would keep two books."""
    path.unlink()
    assert now(store, "lost") is NOT_NOW
    assert store.transact(["k"], put("k", "anew")) is None
    assert now(store, "second") == "anew"


def test_a_file_in_which_a_table_is_missing_is_left_to_the_thread_for_good(store: SqliteStore, path: Path) -> None:
    """It tells what is wrong; here nothing is raised."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("DROP TABLE records")
    other.close()
    assert now(store, "lost") is NOT_NOW
    assert now(store, "lost") is NOT_NOW


def test_a_fault_of_the_change_is_raised_and_leaves_nothing_behind(store: SqliteStore) -> None:
    """It is a bug, and no state of the store."""

    def broken(view: Snapshot) -> Writes[None]:
        raise ZeroDivisionError(view.now)

    with pytest.raises(ZeroDivisionError):
        store.transact_now(["k"], broken)
    assert now(store, "second") == "first"


def test_checkpoints_are_put_off_and_made_by_rest(store: SqliteStore, path: Path) -> None:
    """The log would grow for ever; and who waits for the disk must not be the event loop."""
    for number in range(PUT_OFF):
        assert not isinstance(now(store, f"{number:04}" * 1000), NotNow)
    assert store.needs_checkpoint
    log = Path(f"{path}-wal")
    grown = log.stat().st_size
    assert grown > PUT_OFF * 4000
    store.checkpoint()
    assert not store.needs_checkpoint
    for number in range(PUT_OFF // 2):
        now(store, f"{number:04}" * 1000)
    assert log.stat().st_size == grown


@pytest.mark.anyio
async def test_a_call_that_is_cancelled_while_another_process_writes_knows_what_it_reserved(path: Path) -> None:
    """Asyncio's own cancellation passes anyio's shield: what was granted then stayed under way until it expired."""
    clock = SystemClock()
    ledger = StoredLedger(SqliteStore(path, clock.wall), clock, time_limit_s=30.0)
    key = QuotaKey(provider="groq", organization="o", model="m")
    claim = Claim(key=key, cost={Limit.TPM: 300.0}, documented={Limit.TPM: 1_000})
    given_back: list[Reservation] = []

    async def call() -> None:
        granted = await ledger.reserve_any([claim], life_s=600)
        assert isinstance(granted, Granted)
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            given_back.append(granted.reservation)
            await ledger.release(granted.reservation)
            raise

    # the first transaction opens the file
    await ledger.peek([claim])
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        running = asyncio.create_task(call())
        for _ in range(3):
            # it waits for the thread, which waits for the other process
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.sleep(0)
        other.execute("ROLLBACK")
        with pytest.raises(asyncio.CancelledError):
            await running
    assert running.cancelled()
    (quota,) = await ledger.peek([claim])
    assert (len(given_back), quota.calls_in_flight, quota.buckets[Limit.TPM].level_at(quota.now)) == (1, 0, 1_000)
    await ledger.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("calls", [1, 2])
async def test_what_a_call_did_not_wait_for_is_given_back_however_late_it_is_written(path: Path, calls: int) -> None:
    """The thread waits for a lock longer than the calls do, and writes what they asked for when they have gone on without it."""
    ledger = StoredLedger(SqliteStore(path, SystemClock().wall, busy_s=60.0), SystemClock(), time_limit_s=30.0)
    key = QuotaKey(provider="groq", organization="o", model="m")
    claim = Claim(key=key, cost={Limit.RPM: 1.0}, documented={Limit.RPM: 30})
    assert isinstance(await ledger.reserve_any([claim], life_s=60.0), Granted)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger._time_limit_s = 0.05
        for _ in range(calls):
            with pytest.raises(StoreUnusable):
                await ledger.reserve_any([claim], life_s=60.0)
        other.execute("ROLLBACK")
    ledger._time_limit_s = 30.0
    # after all that the thread has before it
    await ledger.calls_under_way()
    assert isinstance(await ledger.reserve_any([claim], life_s=60.0), Granted)
    (quota,) = await ledger.peek([claim])
    assert quota.calls_in_flight == 2
    await ledger.aclose()


@pytest.mark.anyio
async def test_while_the_thread_is_busy_a_call_is_granted_though_an_earlier_one_is_in_doubt(path: Path) -> None:
    """What is in doubt is given back later, at the latest when the ledger is closed, and keeps nobody waiting."""
    ledger = StoredLedger(SqliteStore(path, SystemClock().wall, busy_s=60.0), SystemClock(), time_limit_s=30.0)
    key = QuotaKey(provider="groq", organization="o", model="m")
    claim = Claim(key=key, cost={Limit.RPM: 1.0}, documented={Limit.RPM: 30})
    assert isinstance(await ledger.reserve_any([claim], life_s=60.0), Granted)
    begun, free = threading.Event(), threading.Event()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        ledger._time_limit_s = 0.05
        with pytest.raises(StoreUnusable):
            await ledger.reserve_any([claim], life_s=60.0)
        assert ledger._thread is not None
        ledger._thread.submit(begun.set)
        ledger._thread.submit(free.wait)
        with pytest.raises(StoreUnusable):
            await ledger.reserve_any([claim], life_s=60.0)
        other.execute("ROLLBACK")
    await asyncio.to_thread(begun.wait, 30)
    assert isinstance(await ledger.reserve_any([claim], life_s=60.0), Granted)
    free.set()
    ledger._time_limit_s = 30.0
    await ledger.aclose()
    after = StoredLedger(SqliteStore(path, SystemClock().wall), SystemClock(), threaded=False)
    (quota,) = await after.peek([claim])
    assert quota.calls_in_flight == 2
    await after.aclose()


@pytest.mark.anyio
async def test_a_ledger_whose_thread_is_busy_is_closed_when_it_is_free(path: Path) -> None:
    """Neither its thread nor its file stays, though nobody waits so long."""
    store = SqliteStore(path, SystemClock().wall)
    ledger = StoredLedger(store, SystemClock(), time_limit_s=30.0)
    await ledger.calls_under_way()
    thread, free = ledger._thread, threading.Event()
    assert thread is not None
    thread.submit(free.wait)
    ledger._time_limit_s = 0.05
    with pytest.raises(StoreUnusable):
        await ledger.aclose()
    free.set()
    thread.shutdown(wait=True)
    assert store._records is None
