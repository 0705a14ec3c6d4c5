"""The ledger over a store: names the records of each transaction and runs it off the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import anyio

from groq_fallback_mcp.call import CallRecord, CallUnderWay, FailureKind, Limit
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.quota import conversations, history, transactions
from groq_fallback_mcp.quota.budget import REOPENING, UNKNOWN_SPENDING, Budget, DayTotals
from groq_fallback_mcp.quota.caller import Caller, caller_day
from groq_fallback_mcp.quota.history import Chunks, HourTotals
from groq_fallback_mcp.quota.ledger import (
    Claim,
    ConversationModel,
    Granted,
    ModelQuota,
    QuotaKey,
    Refused,
    Reservation,
    Settlement,
    SettleResult,
    StoreStatus,
    Wait,
)
from groq_fallback_mcp.quota.lost_spending import reopened, totals_of, watching
from groq_fallback_mcp.quota.records import (
    OpenReservation,
    Transaction,
    applied_key,
    day_key,
    day_of,
    is_callers,
    model_key,
    open_key,
    prepare,
    provider_key,
    requests_key,
)
from groq_fallback_mcp.quota.store import NOT_NOW, Snapshot, Store, StoreUnusable, Writes
from groq_fallback_mcp.redaction import sanitize_message

__all__ = ["StoredLedger", "utc_day"]

T = TypeVar("T")
TIME_LIMIT_S = 0.25
# How many times its time limit a transaction may wait for others of its own process, while the store answers each in time.
TURN_LIMITS = 8
SWEEP_EVERY_S = 60.0
SWEPT_AT_ONCE = 1_000
MOST_DOUBTFUL = 1_000
# Everybody's days, and those of named callers.
MOST_DAYS = 2_048
# Records that are worth nothing any more when they are due.
_FORGOTTEN_WHEN_DUE = (applied_key(""), requests_key(""), day_key(""), *history.EXPIRING)
# Others add calls too.
ADDING_TRIES = 4
CHUNKS_AT_ONCE = 16
HOURS_AT_ONCE = 24
CLEARED_AT_ONCE = 200
# Each process adds its calls a moment after they ended: so many may be in the store after one that ended later.
LATE_CALLS = 256

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doubtful:
    """A reservation that may have been written, or yet be: surely not any more when the thread has done its `turn`."""

    reservation: str
    keys: Sequence[str]
    turn: int


class StoredLedger:
    """See Ledger. With `threaded` each transaction runs on one thread of the ledger's own, for at most `time_limit_s`.

    Raises StoreUnusable when the store cannot do its work in time. What waits for its turn in a burst does not count as the
    store's time.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        budget: Budget | None = None,
        threaded: bool = True,
        time_limit_s: float = TIME_LIMIT_S,
    ) -> None:
        self._store = store
        self._clock = clock
        self._budget = budget or Budget()
        self._time_limit_s = time_limit_s
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger") if threaded else None
        self._swept_at = float("-inf")
        self._prepared = not threaded
        # when the thread last began a transaction, by the real clock
        self._begun_at = float("-inf")
        # what was last seen of each day's spending, the oldest day first
        self._seen: dict[str, DayTotals] = {}
        self._warned: dict[str, int] = {}
        # as they were when this process last added a call
        self._chunks = Chunks()
        self._doubtful: deque[_Doubtful] = deque(maxlen=MOST_DOUBTFUL)
        # what was last given to the thread, and the last of it that it has done
        self._last_turn = self._turn_done = 0

    @property
    def status(self) -> StoreStatus:
        """What holds the state."""
        return StoreStatus(store=self._store.name, place=self._store.place)

    async def reserve_any(
        self, claims: Sequence[Claim], *, life_s: float, caller: Caller | None = None, others: Sequence[Claim] = ()
    ) -> Granted | Refused:
        if not claims:
            return Refused(waits=())
        await self._abandon()
        await self._sweep()
        reservation = secrets.token_hex(8)
        day = self._day()
        own = caller is not None and caller.budget.bounded
        others = () if caller is None else others
        keys = [
            *_account_keys((*claims, *others)),
            open_key(reservation),
            *([day_key(day)] if own or self._budget.bounded else []),
        ]
        if caller is not None and own:
            keys.append(day_key(caller_day(day, caller.name)))
        change = partial(
            transactions.reserve_any,
            claims=claims,
            reservation=reservation,
            life_s=life_s,
            budget=self._budget,
            day=day,
            caller=caller,
            others=others,
        )
        try:
            return await self._transact(keys, change, own_budget=own)
        except StoreUnusable:
            # what was given up on may have been written all the same, or yet be
            self._doubtful.append(_Doubtful(reservation=reservation, keys=keys, turn=self._last_turn))
            raise

    async def settle(self, reservation: Reservation, settlement: Settlement) -> SettleResult:
        key = reservation.key
        keys = [model_key(key), provider_key(key), open_key(reservation.id), day_key(reservation.day)]
        if reservation.pool is not None:
            keys.append(model_key(reservation.pool.key))
        if reservation.caller_day:
            keys.append(day_key(reservation.caller_day))
        if reservation.granted_by_fallback:
            keys.append(applied_key(reservation.id))
        return await self._transact(keys, partial(transactions.settle, reservation=reservation, settlement=settlement))

    async def take_request(self, caller: Caller) -> Wait | None:
        if caller.rpm is None:
            return None
        day = self._day()
        keys = [requests_key(caller.name), day_key(caller_day(day, caller.name))]
        return await self._transact(keys, partial(transactions.take_request, caller=caller, rpm=caller.rpm, day=day))

    async def count_refusal(self, caller: str) -> None:
        day = caller_day(self._day(), caller)
        await self._transact([day_key(day)], partial(transactions.count_refusal, day=day))

    async def release(self, reservation: Reservation) -> None:
        await self.settle(reservation, Settlement(actual=dict.fromkeys(reservation.cost, 0.0)))

    async def cool_down(self, key: QuotaKey, wait_s: float, reason: str, *, limit: Limit | None, kind: FailureKind) -> None:
        # the reason may quote the provider, and the store is a way out too
        reason = sanitize_message(reason)
        change = partial(transactions.cool_down, key=key, wait_s=wait_s, reason=reason, limit=limit, kind=kind)
        await self._transact([model_key(key), provider_key(key)], change)

    async def peek(self, claims: Sequence[Claim], *, caller: Caller | None = None) -> Sequence[ModelQuota]:
        if not claims:
            return ()
        change = partial(transactions.peek, claims=claims, caller=caller)
        return await self._transact(_account_keys(claims), change, writing=False)

    async def spending(self, days: Sequence[str]) -> Mapping[str, DayTotals]:
        def read(snapshot: Snapshot) -> Writes[Mapping[str, DayTotals]]:
            return Writes(result={day: Transaction(snapshot).day(day) for day in days})

        return await self._transact([day_key(day) for day in days], read, writing=False)

    async def reopen_budget(self, day: str) -> bool:
        return await self._transact([day_key(day)], partial(reopened, day=day))

    async def conversation_model(self, conversation: str) -> ConversationModel | None:
        change = partial(conversations.conversation_model, conversation=conversation)
        return await self._transact([conversations.conversation_key(conversation)], change, writing=False)

    async def set_conversation_model(self, conversation: str, model: ConversationModel | None) -> None:
        change = partial(conversations.set_conversation_model, conversation=conversation, model=model)
        await self._transact([conversations.conversation_key(conversation)], change)

    async def add_to_history(self, calls: Sequence[CallRecord], under_way: Sequence[CallUnderWay], *, process: str) -> bool:
        for _ in range(ADDING_TRIES):
            known = self._chunks
            change = partial(history.add, calls=calls, under_way=under_way, process=process, known=known)
            after = await self._in_thread(history.keys_to_add(calls, known), change)
            if after is not None:
                self._chunks = after
                return True
            self._chunks = await self._in_thread([history.HEAD_KEY], history.chunks, writing=False)
        return False

    async def calls(self, *, since: float, limit: int) -> Sequence[CallRecord]:
        head = await self._in_thread([history.HEAD_KEY], history.chunks, writing=False)
        since = max(since, self._clock.wall() - history.LIFE_S)
        found: list[CallRecord] = []
        end = head.end
        most = limit + LATE_CALLS if limit > 0 else 0
        while end > head.first and len(found) < most:
            # the newest first, and few at a time: others wait for this thread
            some = min(CHUNKS_AT_ONCE, (most - len(found)) // history.CHUNK_CALLS + 2)
            keys = [history.chunk_key(number) for number in range(max(end - some, head.first), end)]
            end -= len(keys)
            read = await asyncio.to_thread(_calls_of, await self._bodies(keys))
            found[:0] = [call for call in read if call.ended_at >= since]
            if read and read[0].ended_at < since:
                break
        found.sort(key=lambda call: call.ended_at)
        return found[-limit:] if limit > 0 else []

    async def calls_under_way(self) -> Sequence[CallUnderWay]:
        return await self._in_thread([history.UNDER_WAY_KEY], history.calls_under_way, writing=False)

    async def hours(self, named: Sequence[str]) -> Sequence[HourTotals]:
        found: list[HourTotals] = []
        for begin in range(0, len(named), HOURS_AT_ONCE):
            keys = [history.hour_key(hour) for hour in named[begin : begin + HOURS_AT_ONCE]]
            # a busy team's are some megabytes: read beside the thread that others wait for
            found += await asyncio.to_thread(history.hours_of, await self._bodies(keys))
        return found

    async def clear_history(self, now: float) -> None:
        for _ in range(ADDING_TRIES):
            head = await self._in_thread([history.HEAD_KEY], history.chunks, writing=False)
            keys = [*history.hour_keys(now), *map(history.chunk_key, range(head.first, head.end)), history.UNDER_WAY_KEY]
            for begin in range(0, len(keys), CLEARED_AT_ONCE):
                some = keys[begin : begin + CLEARED_AT_ONCE]
                await self._in_thread(some, partial(history.cleared, keys=some))
            # the head last, and only where no process has added a chunk meanwhile: what is left by a fault is then still known
            if await self._in_thread([history.HEAD_KEY], partial(history.cleared_head, known=head)):
                return
        raise StoreUnusable(f"{self._store.place}: other processes go on adding calls")

    async def aclose(self) -> None:
        with contextlib.suppress(StoreUnusable):
            if self._doubtful:
                await self._run(_nothing)
            await self._abandon()
        try:
            await self._run(self._store.close)
        except StoreUnusable:
            if self._thread is not None:
                # it is given up on here, and done when the thread is free
                self._thread.submit(self._store.close)
            raise
        finally:
            if self._thread is not None:
                self._thread.shutdown(wait=False)

    async def _transact(
        self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True, own_budget: bool = False
    ) -> T:
        """`own_budget`: the keys are those of a caller with a budget of its own."""
        days = [day for key in keys if (day := day_of(key)) is not None]
        if not self._budget.bounded and not any(map(is_callers, days)):
            days = []
        if not days:
            return await self._transacted(keys, change, writing=writing)
        watched = watching(change, keys, self._seen)
        after: dict[str, DayTotals] = {}

        def noted(snapshot: Snapshot) -> Writes[T]:
            done = watched(snapshot)
            written = {key: record.body for key, record in done.writes.items() if record is not None}
            left = Snapshot(now=snapshot.now, bodies={**snapshot.bodies, **written})
            after.clear()
            after.update((day, totals) for day in days if (totals := totals_of(left, day)) is not None)
            return done

        done = await self._transacted(keys, noted, writing=writing)
        self._note(after)
        # a budget that nobody has set is not used up
        self._warn({day: now for day, now in after.items() if own_budget or (self._budget.bounded and not is_callers(day))})
        return done

    def _note(self, totals: Mapping[str, DayTotals]) -> None:
        """Remember what is now known of days."""
        for day, now in totals.items():
            self._seen.pop(day, None)
            self._seen[day] = now
        while len(self._seen) > MOST_DAYS:
            del self._seen[next(iter(self._seen))]

    def _warn(self, totals: Mapping[str, DayTotals]) -> None:
        """Say once what was lost of the days of a budget."""
        for day, now in totals.items():
            if now.unknown and now.losses > self._warned.get(day, 0):
                self._warned[day] = now.losses
                _log.warning("%s: %s. %s.", day, UNKNOWN_SPENDING, REOPENING)
        while len(self._warned) > MOST_DAYS:
            del self._warned[next(iter(self._warned))]

    async def _transacted(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool) -> T:
        if self._prepared and (done := self._store.transact_now(keys, change, writing=writing)) is not NOT_NOW:
            if self._store.needs_checkpoint and self._thread is not None:
                self._thread.submit(self._store.checkpoint)
            return done
        return await self._run(partial(self._store.transact, keys, change, writing=writing))

    async def _bodies(self, keys: Sequence[str]) -> Sequence[str]:
        """The bodies of those of these records that exist, in the order of the keys."""

        def read(snapshot: Snapshot) -> Writes[list[str]]:
            return Writes(result=[snapshot.bodies[key] for key in keys if key in snapshot.bodies])

        return await self._in_thread(keys, read, writing=False)

    async def _in_thread(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        """A transaction that nobody's call waits for, and that is too large to be done on the event loop."""
        return await self._run(partial(self._store.transact, keys, change, writing=writing))

    async def _run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            return work()
        loop = asyncio.get_running_loop()
        if not self._prepared:
            self._prepared = True
            await loop.run_in_executor(self._thread, prepare)

        turn = self._last_turn = self._last_turn + 1

        def begin() -> T:
            self._begun_at = loop.time()
            try:
                return work()
            finally:
                self._turn_done = turn

        # The event loop's time, not the clock that decides about quota: a store that hangs must not hold a call back.
        asked_at = loop.time()
        latest = asked_at + TURN_LIMITS * self._time_limit_s
        running = loop.run_in_executor(self._thread, begin)
        until = asked_at + self._time_limit_s
        task, is_cancelled = asyncio.current_task(), False
        # shielded: what a cancelled call reserved must be known, to be given back
        with anyio.CancelScope(shield=True):
            while not running.done() and (left_s := until - loop.time()) > 0:
                try:
                    await asyncio.wait({running}, timeout=left_s)
                except asyncio.CancelledError:
                    # asyncio's own cancellation knows no shield
                    is_cancelled = True
                # that the thread took up another one meanwhile shows that the store answers
                until = min(max(until, self._begun_at + self._time_limit_s), latest)
        if is_cancelled and task is not None:
            # it arrives where the caller next waits, and holds what it reserved
            task.uncancel()
            task.cancel()
        if running.done():
            return running.result()
        running.cancel()
        raise StoreUnusable(f"{self._store.place} did not answer within {loop.time() - asked_at:.2g} s")

    async def _abandon(self) -> None:
        """Give back what was granted after its call had given up on the store: else it holds quota until it expires.

        What the thread may still be about to write is left for later: looked for before that, it is not found, and stays.
        """
        for doubtful in [one for one in self._doubtful if one.turn <= self._turn_done]:
            await self._transact(doubtful.keys, partial(transactions.abandon, reservation=doubtful.reservation))
            with contextlib.suppress(ValueError):
                self._doubtful.remove(doubtful)

    async def _sweep(self) -> None:
        """Now and then, give up on reservations whose processes are gone, and forget what is over."""
        now = self._clock.monotonic()
        if now - self._swept_at < SWEEP_EVERY_S:
            return
        self._swept_at = now
        due = await self._run(partial(self._store.due, SWEPT_AT_ONCE))
        ended = [key for key in due if key.startswith(conversations.conversation_key(""))]
        if ended:
            await self._transact(ended, partial(conversations.forget, keys=ended))
        for key in due:
            if key.startswith(_FORGOTTEN_WHEN_DUE):
                # not through `_transact`: a day that is forgotten was not lost
                await self._transacted([key], partial(_forget, key=key), writing=True)
            if not key.startswith(open_key("")):
                continue
            reservation = key.removeprefix(open_key(""))
            found = await self._transact([key], partial(_read_open, reservation=reservation), writing=False)
            others: list[str] = []
            if found is not None:
                others = [*map(model_key, found.keys), provider_key(found.key), *map(day_key, found.days)]
            await self._transact([key, *others], partial(transactions.expire, reservations=[reservation]))

    def _day(self) -> str:
        return utc_day(self._clock.wall())


def _nothing() -> None:
    """Takes its turn."""


def utc_day(now: float) -> str:
    """The day of a moment in Unix seconds."""
    return datetime.fromtimestamp(now, tz=UTC).date().isoformat()


def _read_open(snapshot: Snapshot, reservation: str) -> Writes[OpenReservation | None]:
    return Writes(result=Transaction(snapshot).open(reservation))


def _calls_of(chunks: Sequence[str]) -> list[CallRecord]:
    return [call for chunk in chunks for call in history.calls_of(chunk)]


def _forget(snapshot: Snapshot, key: str) -> Writes[None]:
    del snapshot
    return Writes(result=None, writes={key: None})


def _account_keys(claims: Sequence[Claim]) -> list[str]:
    names: dict[str, None] = {}
    for claim in claims:
        names[model_key(claim.key)] = names[provider_key(claim.key)] = None
        if claim.pool is not None:
            names[model_key(claim.key.pool(claim.pool.name))] = None
    return list(names)
