"""The history of calls: kept once and in order by any number of processes, bounded, and no reason for a call to fail or to wait."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import anyio
import pytest
from effort import times
from fake_clock import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded_calls import call
from stores import RedisServer

from groq_fallback_mcp.call import ANSWERED, AttemptRecord, CallOrigin, CallRecord, CallUnderWay, Usage
from groq_fallback_mcp.quota import history, memory_ledger
from groq_fallback_mcp.quota.degrading import DegradingLedger
from groq_fallback_mcp.quota.history import (
    CHUNK_CALLS,
    HOUR_LIFE_S,
    LIFE_S,
    MOST_AT_ONCE,
    MOST_ATTEMPTS,
    MOST_CHUNKS_KEPT,
    MOST_GROUPS,
    UNDER_WAY_LIFE_S,
    Chunks,
    chunk_key,
    hour_of,
)
from groq_fallback_mcp.quota.history_writer import MOST_WAITING, HistoryWriter
from groq_fallback_mcp.quota.memory import MemoryStore
from groq_fallback_mcp.quota.redis import RedisStore
from groq_fallback_mcp.quota.store import Record, Snapshot, Store, Writes
from groq_fallback_mcp.quota.store_ledger import SWEEP_EVERY_S, StoredLedger

pytestmark = pytest.mark.anyio


def names(calls: Sequence[CallRecord]) -> list[str]:
    return [one.id for one in calls]


@pytest.fixture
async def ledgers(store: Store, clock: FakeClock) -> AsyncIterator[list[StoredLedger]]:
    """Two processes over each store in turn."""
    made = [StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0) for _ in range(2)]
    yield made
    for ledger in made:
        await ledger.aclose()


async def keep(
    ledger: StoredLedger, calls: Sequence[CallRecord], under_way: Sequence[CallUnderWay] = (), process: str = "p"
) -> None:
    for begin in range(0, max(len(calls), 1), MOST_AT_ONCE):
        assert await ledger.add_to_history(calls[begin : begin + MOST_AT_ONCE], under_way, process=process)


async def test_what_one_process_tells_another_reads_whole(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    first, second = ledgers
    told = call("a", clock.wall())
    await keep(first, [told])
    assert list(await second.calls(since=0, limit=10)) == [told]


async def test_two_processes_lose_none_of_each_others_calls(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    first, second = ledgers
    for number in range(CHUNK_CALLS + 3):
        await keep(first if number % 2 else second, [call(number, clock.wall())])
    assert names(await first.calls(since=0, limit=1_000)) == [str(number) for number in range(CHUNK_CALLS + 3)]
    assert names(await first.calls(since=0, limit=2)) == [str(CHUNK_CALLS + 1), str(CHUNK_CALLS + 2)]


async def test_a_call_told_twice_is_kept_and_counted_once(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    """A store may have written what it did not acknowledge in time."""
    first, second = ledgers
    calls = [call(number, clock.wall()) for number in range(MOST_AT_ONCE)]
    await keep(first, calls)
    await keep(second, calls)
    assert names(await first.calls(since=0, limit=1_000)) == names(calls)
    (hour,) = await first.hours([hour_of(clock.wall())])
    assert sum(one.calls for one in hour.calls) == MOST_AT_ONCE


async def test_only_calls_after_a_moment_are_read(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    ledger = ledgers[0]
    start = clock.wall()
    await keep(ledger, [call(number, start + number) for number in range(300)])
    assert names(await ledger.calls(since=start + 297, limit=1_000)) == ["297", "298", "299"]


async def test_an_hour_counts_by_who_asked_and_who_answered(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    ledger, now = ledgers[0], clock.wall()
    failed = call("f", now, outcome="rate_limited", provider="", model="", cost_usd=None, usage=Usage(), attempts=())
    await keep(ledger, [call("a", now), call("b", now), failed])
    (hour,) = await ledgers[1].hours([hour_of(now), hour_of(now - 3_600)])
    answered, refused = hour.calls
    assert (answered.client, answered.caller, answered.model) == ("agent", "ann", "m2")
    assert (answered.calls, answered.answered, answered.saved) == (2, 2, 2)
    assert (answered.input_tokens, answered.output_tokens, answered.picousd) == (200, 40, 246_000_000)
    assert (refused.calls, refused.answered, dict(refused.failed)) == (1, 0, {"rate_limited": 1})
    limited, served = hour.models
    assert (limited.model, limited.sent, dict(limited.failed)) == ("m1", 2, {"rate_limited": 2})
    assert (served.model, served.answered, sum(served.durations), sum(served.first_tokens)) == ("m2", 2, 2, 2)
    assert served.durations[4] == 2  # up to 0.75 s


async def test_calls_under_way_are_seen_by_all_until_they_end(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    first, second = ledgers
    one = CallUnderWay(id="u", started_at=clock.wall(), provider="groq", model="m1", doing="trying m1", attempts=1)
    await keep(first, [], [one], process="p1")
    await keep(second, [], [replace(one, id="v", started_at=clock.wall() - 1)], process="p2")
    assert [found.id for found in await second.calls_under_way()] == ["v", "u"]
    await keep(first, [call("u", clock.wall())], [], process="p1")
    assert [found.id for found in await second.calls_under_way()] == ["v"]


async def test_the_calls_of_a_process_that_died_are_soon_gone(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    first, second = ledgers
    await keep(first, [], [CallUnderWay(id="u", started_at=clock.wall())], process="p1")
    clock.advance(UNDER_WAY_LIFE_S + 1)
    assert not await second.calls_under_way()


async def test_the_history_is_deleted_on_demand_and_goes_on(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    first, second = ledgers
    await keep(first, [call(number, clock.wall() - 7_200.0 * number) for number in range(CHUNK_CALLS + 3)])
    await second.clear_history(clock.wall())
    assert not await first.calls(since=0, limit=100)
    assert not await first.hours([hour_of(clock.wall() - 7_200.0 * number) for number in range(CHUNK_CALLS + 3)])
    await keep(first, [call("next", clock.wall())])
    assert names(await second.calls(since=0, limit=100)) == ["next"]


async def test_at_most_so_many_attempts_are_kept(clock: FakeClock) -> None:
    ledger = StoredLedger(store := MemoryStore(clock.wall), clock, threaded=False)
    count = MOST_ATTEMPTS // 2 + 3 * CHUNK_CALLS  # two attempts each
    await keep(ledger, [call(number, clock.wall()) for number in range(count)])
    kept = await ledger.calls(since=0, limit=100_000)
    assert sum(len(one.attempts) for one in kept) <= MOST_ATTEMPTS
    assert len(kept) > MOST_ATTEMPTS // 2 - 2 * CHUNK_CALLS
    assert kept[-1].id == str(count - 1)
    held = store.transact([chunk_key(0), chunk_key(1)], lambda found: Writes(result=dict(found.bodies)))
    assert not held


async def test_a_week_later_calls_are_forgotten_and_hours_are_not(ledgers: list[StoredLedger], clock: FakeClock) -> None:
    ledger, then = ledgers[0], clock.wall()
    await keep(ledger, [call("a", then)])
    clock.advance(LIFE_S + SWEEP_EVERY_S)
    await ledger._sweep()
    assert not await ledger.calls(since=0, limit=10)
    assert await ledger.hours([hour_of(then)])
    await keep(ledger, [call("b", clock.wall())])
    assert names(await ledgers[1].calls(since=0, limit=10)) == ["b"]
    clock.advance(HOUR_LIFE_S)
    await ledger._sweep()
    assert not await ledger.hours([hour_of(then)])


async def test_an_hour_has_a_bound_of_groups(clock: FakeClock) -> None:
    ledger = memory_ledger(clock)
    made = [call(number, clock.wall(), origin=CallOrigin(client=f"c{number}")) for number in range(MOST_GROUPS + 50)]
    await keep(ledger, made)
    (hour,) = await ledger.hours([hour_of(clock.wall())])
    assert len(hour.calls) == MOST_GROUPS + 1
    assert sum(one.calls for one in hour.calls) == len(made)


@pytest.mark.parametrize("size", [192, 64, 20])
async def test_a_burst_over_the_bound_is_kept_in_every_store(ledgers: list[StoredLedger], clock: FakeClock, size: int) -> None:
    """Many attempts push out many old chunks: as many as the transaction names, the rest with the next."""
    ledger = ledgers[0]
    one = AttemptRecord(provider="groq", model="m", outcome=ANSWERED)
    await keep(ledger, [call(number, clock.wall(), attempts=(one,)) for number in range(MOST_ATTEMPTS - 32)])
    for round_ in range(4):
        await keep(ledger, [call(f"{round_}-{number}", clock.wall(), attempts=(one,) * 16) for number in range(size)])
    kept = await ledger.calls(since=0, limit=100_000)
    assert kept[-1].id == f"3-{size - 1}"
    assert sum(len(found.attempts) for found in kept) <= MOST_ATTEMPTS


async def test_impossible_figures_are_passed_over(clock: FakeClock) -> None:
    ledger = StoredLedger(store := MemoryStore(clock.wall), clock, threaded=False)
    await keep(ledger, [call("a", clock.wall())])
    fine = store.transact([chunk_key(0)], lambda found: Writes(result=found.bodies[chunk_key(0)]))
    started = f'"started_at":{clock.wall()!r}'
    assert started in fine
    wrong = [fine.replace(started, f'"started_at":{value}') for value in ("3e11", "1e18", "-1", "NaN")]
    wrong += [fine.replace('"cost_usd":"0.000123"', f'"cost_usd":"{value}"') for value in ("1E+999999", "NaN", "-1")]
    wrong.append(fine.replace('"input_tokens":100', '"input_tokens":1e300'))
    assert all(line != fine for line in wrong)
    body = "\n".join([*wrong, fine])
    store.transact([chunk_key(0)], lambda _: Writes(result=None, writes={chunk_key(0): Record(body=body)}))
    assert names(await ledger.calls(since=0, limit=100)) == ["a"]


@pytest.mark.parametrize(
    "head", ['{"first":-5,"sizes":[1]}', '{"first":0,"sizes":[-1]}', '{"sizes":[' + "1," * 200_000 + "1]}"]
)
async def test_a_head_that_cannot_be_is_begun_again(clock: FakeClock, head: str) -> None:
    ledger = StoredLedger(store := MemoryStore(clock.wall), clock, threaded=False)
    store.transact([history.HEAD_KEY], lambda _: Writes(result=None, writes={history.HEAD_KEY: Record(body=head)}))
    await keep(ledger, [call("a", clock.wall())])
    assert names(await ledger.calls(since=0, limit=100)) == ["a"]


@pytest.mark.parametrize("garbage", ["", "{", "[]", '{"calls": 1}', '{"first": -1, "sizes": "x"}', '{"calls":[{"id":1}]}'])
@pytest.mark.parametrize("key", [history.HEAD_KEY, history.UNDER_WAY_KEY, chunk_key(0), history.hour_key("2026-01-01T00")])
async def test_garbage_in_the_store_is_passed_over(store: Store, clock: FakeClock, key: str, garbage: str) -> None:
    ledger = StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0)
    await keep(ledger, [call("a", clock.wall())])
    store.transact([key], lambda _: Writes(result=None, writes={key: Record(body=garbage)}))
    other = StoredLedger(store, clock, threaded=store.name != "memory", time_limit_s=5.0)
    await keep(other, [call("b", clock.wall())])
    assert "b" in names(await other.calls(since=0, limit=10))
    await other.calls_under_way()
    await other.hours(["2026-01-01T00"])
    await ledger.aclose()
    await other.aclose()


async def test_a_store_that_is_away_changes_nothing_for_calls(own_redis: RedisServer, clock: FakeClock) -> None:
    shared = StoredLedger(RedisStore(own_redis.url), clock)
    ledger = DegradingLedger(shared, memory_ledger(clock), clock)
    await ledger.add_to_history([call("a", clock.wall())], [], process="p")
    own_redis.stop()
    assert not await ledger.add_to_history([call("b", clock.wall())], [], process="p")
    assert not await ledger.calls(since=0, limit=9)
    assert not await ledger.calls_under_way()
    assert await ledger.hours(["x"]) is None
    assert ledger.status.degraded is None
    own_redis.start()
    assert await ledger.add_to_history([call("b", clock.wall())], [], process="p")
    assert names(await ledger.calls(since=0, limit=9)) == ["b"]
    await ledger.aclose()


class Refusing(StoredLedger):
    """Keeps nothing while `refuses`."""

    refuses = True

    async def add_to_history(self, calls: Sequence[CallRecord], under_way: Sequence[CallUnderWay], *, process: str) -> bool:
        return False if self.refuses else await super().add_to_history(calls, under_way, process=process)


class Counting(StoredLedger):
    """Counts how often it is `written` to."""

    written = 0

    async def add_to_history(self, calls: Sequence[CallRecord], under_way: Sequence[CallUnderWay], *, process: str) -> bool:
        self.written += 1
        return await super().add_to_history(calls, under_way, process=process)


async def test_what_cannot_be_written_now_is_written_later_and_is_bounded(clock: FakeClock) -> None:
    ledger = Refusing(MemoryStore(clock.wall), clock, threaded=False)
    writer = HistoryWriter(ledger, clock, under_way=list)
    for number in range(MOST_WAITING + 10):
        writer.call_ended(call(number, clock.wall()))
    await writer.flush()
    ledger.refuses = False
    await writer.flush()
    kept = names(await ledger.calls(since=0, limit=10_000))
    assert (len(kept), kept[0], kept[-1]) == (MOST_WAITING, "10", str(MOST_WAITING + 9))


async def test_what_was_refused_is_tried_again_without_another_call(clock: FakeClock) -> None:
    ledger = Refusing(MemoryStore(clock.wall), clock, threaded=False)
    writer = HistoryWriter(ledger, clock, under_way=list, every_s=0.0)
    async with anyio.create_task_group() as group:
        group.start_soon(writer.run)
        writer.call_ended(call("a", clock.wall()))
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        ledger.refuses = False
        for _ in range(50):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert names(await ledger.calls(since=0, limit=10)) == ["a"]


async def test_calls_that_cannot_be_written_keep_no_later_ones_from_the_history(clock: FakeClock) -> None:
    """A name that is no text, or a fault of ours, is met once and not each second."""

    class Broken(Refusing):
        refuses = False

        async def add_to_history(self, calls: Sequence[CallRecord], under_way: Sequence[CallUnderWay], *, process: str) -> bool:
            if any(call.id == "bad" for call in calls):
                raise KeyError("history/chunk/5")
            return await super().add_to_history(calls, under_way, process=process)

    ledger = Broken(MemoryStore(clock.wall), clock, threaded=False)
    writer = HistoryWriter(ledger, clock, under_way=list)
    writer.call_ended(call("bad", clock.wall()))
    await writer.flush()
    writer.call_ended(call("good", clock.wall()))
    await writer.flush()
    assert names(await ledger.calls(since=0, limit=10)) == ["good"]


async def test_an_answer_that_streams_is_written_once_a_look(clock: FakeClock) -> None:
    """What goes on changes with each token, also while it is written."""
    ledger = Counting(MemoryStore(clock.wall), clock, threaded=False)

    def under_way() -> list[CallUnderWay]:
        return [CallUnderWay(id="u", started_at=clock.wall(), doing=f"about {ledger.written} tokens so far")]

    writer = HistoryWriter(ledger, clock, under_way=under_way)
    writer.call_ended(call("a", clock.wall()))
    await writer.flush()
    assert ledger.written == 1


async def test_a_chunk_has_the_calls_of_a_day_so_that_none_outlives_its_week_for_long(clock: FakeClock) -> None:
    """One call a day would else keep the first of a chunk for two months."""
    ledger = StoredLedger(store := MemoryStore(clock.wall), clock, threaded=False)
    for day in range(12):
        await keep(ledger, [call(day, clock.wall())])
        clock.advance(86_401.0)
        await ledger._sweep()
    assert names(await ledger.calls(since=0, limit=100)) == [str(day) for day in range(6, 12)]
    held = store.transact([chunk_key(0), chunk_key(3)], lambda found: Writes(result=dict(found.bodies)))
    assert not held


async def test_years_of_quiet_days_leave_a_head_of_bounded_length(clock: FakeClock) -> None:
    ledger = StoredLedger(store := MemoryStore(clock.wall), clock, threaded=False)
    for day in range(MOST_CHUNKS_KEPT + 20):
        await keep(ledger, [call(day, clock.wall())])
        clock.advance(86_401.0)
    assert len(store.transact([history.HEAD_KEY], history.chunks).sizes) <= MOST_CHUNKS_KEPT + 1
    assert names(await ledger.calls(since=0, limit=100))[-1] == str(MOST_CHUNKS_KEPT + 19)


async def test_a_line_break_of_another_script_in_a_name_breaks_no_line(clock: FakeClock) -> None:
    ledger = memory_ledger(clock)
    for number in range(3):
        await keep(ledger, [call(number, clock.wall(), model="a\u2028b\x85c")])
    assert [one.model for one in await ledger.calls(since=0, limit=10)] == ["a\u2028b\x85c"] * 3


async def test_a_call_added_while_the_history_is_deleted_is_deleted_or_kept_whole(clock: FakeClock) -> None:
    store = MemoryStore(clock.wall)
    ledger = StoredLedger(store, clock, threaded=False)

    class Adding(StoredLedger):
        """Another process adds a call between two steps of the deletion."""

        async def _in_thread(self, keys: Sequence[str], change: Any, *, writing: bool = True) -> Any:
            done = await super()._in_thread(keys, change, writing=writing)
            if added:
                await keep(ledger, [call(added.pop(), clock.wall())])
            return done

    added = ["late"]
    await keep(ledger, [call(number, clock.wall()) for number in range(CHUNK_CALLS)])
    await Adding(store, clock, threaded=False).clear_history(clock.wall())
    assert not await ledger.calls(since=0, limit=100)
    keys = [chunk_key(0), chunk_key(1), history.HEAD_KEY]
    assert not store.transact(keys, lambda found: Writes(result=dict(found.bodies)))


async def test_the_trace_of_a_client_is_not_stored(clock: FakeClock) -> None:
    ledger = memory_ledger(clock)
    writer = HistoryWriter(ledger, clock, under_way=list)
    writer.call_ended(call("a", clock.wall(), origin=CallOrigin(client="agent", traceparent="t" * 99, tracestate="s" * 999)))
    await writer.flush()
    (kept,) = await ledger.calls(since=0, limit=10)
    assert kept.origin == CallOrigin(client="agent")


async def test_the_writer_writes_nothing_while_nothing_happens(clock: FakeClock) -> None:
    ledger = Counting(MemoryStore(clock.wall), clock, threaded=False)

    going: list[CallUnderWay] = []
    writer = HistoryWriter(ledger, clock, under_way=lambda: list(going))
    await writer.flush()
    assert ledger.written == 0
    going.append(CallUnderWay(id="u", started_at=clock.wall()))
    await writer.flush()
    await writer.flush()
    assert ledger.written == 1
    clock.advance(UNDER_WAY_LIFE_S / 2)
    await writer.flush()
    assert ledger.written == 2
    going.clear()
    await writer.flush()
    await writer.flush()
    assert ledger.written == 3


async def test_the_writer_runs_beside_calls_and_ends_when_it_is_cancelled(clock: FakeClock) -> None:
    ledger = memory_ledger(clock)
    writer = HistoryWriter(ledger, clock, under_way=list, every_s=0.0)
    async with anyio.create_task_group() as group:
        group.start_soon(writer.run)
        writer.call_started()
        writer.call_ended(call("a", clock.wall()))
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert names(await ledger.calls(since=0, limit=10)) == ["a"]


@settings(max_examples=times(60), deadline=None)
@given(sizes=st.lists(st.integers(0, MOST_AT_ONCE), max_size=12), attempts=st.integers(0, 16))
async def test_any_batches_are_kept_in_order_and_within_the_bound(sizes: list[int], attempts: int) -> None:
    """However many come at once: none is lost but the oldest, and the head counts what the chunks hold."""
    bodies: dict[str, str] = {}
    known, told = Chunks(), list[str]()
    one = AttemptRecord(provider="groq", model="m", outcome=ANSWERED)
    for size in sizes:
        batch = [call(f"c{len(told) + number}", 1e9, attempts=(one,) * attempts) for number in range(size)]
        keys = history.keys_to_add(batch, known)
        seen = Snapshot(now=1e9, bodies={key: bodies[key] for key in keys if key in bodies})
        done = history.add(seen, calls=batch, under_way=(), process="p", known=known)
        assert done.result is not None
        assert set(done.writes) <= set(keys)
        known = done.result
        for key, record in done.writes.items():
            bodies.pop(key, None) if record is None else bodies.update({key: record.body})
        told += names(batch)
    kept = [name for number in range(known.first, known.end) for name in names(history.calls_of(bodies.get(chunk_key(number))))]
    assert kept == told[len(told) - len(kept) :]
    assert sum(known.sizes) <= MOST_ATTEMPTS
    assert sum(known.sizes) == len(kept) * max(attempts, 1)
    assert len([key for key in bodies if "chunk" in key]) == len(known.sizes)
