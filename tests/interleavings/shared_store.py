"""One store that several processes share: its transactions happen when the scheduler says, and it may not answer for a while."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from groq_fallback_mcp.quota import Reservation, Settlement, SettleResult
from groq_fallback_mcp.quota.store import NOT_NOW, NotNow, Record, Snapshot, StoreUnusable, Writes
from groq_fallback_mcp.quota.store_ledger import StoredLedger

__all__ = ["SETTLING", "Commit", "ProcessStore", "SharedRecords", "StoreFaults", "WatchedLedger"]

T = TypeVar("T")

SETTLING: ContextVar[tuple[Reservation, Settlement] | None] = ContextVar("SETTLING", default=None)
ABANDONING: ContextVar[bool] = ContextVar("ABANDONING", default=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What a transaction wrote: the records before it and after it, None for those that do not exist, and what was settled by it.

    `abandoning`: it gives back what was granted to a call that had given up on the store.
    """

    now: float
    process: str
    before: Mapping[str, str | None]
    after: Mapping[str, Record | None]
    settling: tuple[Reservation, Settlement] | None
    abandoning: bool


class Watcher(Protocol):
    """Is shown every transaction that wrote something."""

    def __call__(self, commit: Commit, /) -> None: ...


@dataclass(slots=True)
class StoreFaults:
    """What is the matter with a process's view of a store. `refuses`: probability that work is given up before it is done, `forgets`
    that it is done and not acknowledged; `retries` that it is first done on records that others then change; `waits` that it cannot
    be done at once.
    """

    refuses: float = 0.0
    forgets: float = 0.0
    retries: float = 0.0
    waits: float = 1.0


@dataclass(slots=True)
class SharedRecords:
    """The records, as a file or a server has them."""

    watcher: Watcher
    records: dict[str, Record] = field(default_factory=dict[str, Record])

    def bodies(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The bodies of those that exist."""
        return {key: self.records[key].body for key in keys if key in self.records}

    def write(self, writes: Mapping[str, Record | None], *, now: float, process: str) -> None:
        """Write all of it."""
        if not writes:
            return
        before = {key: None if (record := self.records.get(key)) is None else record.body for key in writes}
        for key, record in writes.items():
            if record is None:
                self.records.pop(key, None)
            else:
                self.records[key] = record
        self.watcher(
            Commit(
                now=now,
                process=process,
                before=before,
                after=writes,
                settling=SETTLING.get(),
                abandoning=ABANDONING.get(),
            )
        )


class ProcessStore:
    """A process's store. `wall` is the clock that its transactions go by."""

    def __init__(
        self, shared: SharedRecords, *, process: str, wall: Callable[[], float], faults: StoreFaults, chance: random.Random
    ) -> None:
        self._shared = shared
        self._process = process
        self._wall = wall
        self._faults = faults
        self._chance = chance
        self.cut = False

    @property
    def name(self) -> str:
        return "simulated"

    @property
    def place(self) -> str:
        return "the simulated store"

    def transact(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        if self.cut or self._happens(self._faults.refuses):
            raise StoreUnusable(f"{self.place} cannot be reached")
        done = self._done(keys, change, writing=writing)
        if self._happens(self._faults.forgets):
            raise StoreUnusable(f"{self.place} did not acknowledge")
        return done

    def transact_now(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T | NotNow:
        faulty = self._faults.refuses or self._faults.forgets
        if self.cut or faulty or self._happens(self._faults.waits):
            return NOT_NOW
        return self._done(keys, change, writing=writing)

    @property
    def needs_checkpoint(self) -> bool:
        return False

    def checkpoint(self) -> None:
        """Nothing is put off."""

    def due(self, limit: int) -> Sequence[str]:
        if self.cut or self._happens(self._faults.refuses):
            raise StoreUnusable(f"{self.place} cannot be reached")
        now = self._wall()
        found = [key for key, one in self._shared.records.items() if one.expires_at is not None and one.expires_at <= now]
        return found[:limit]

    def close(self) -> None:
        """Nothing to let go of."""

    def _done(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool) -> T:
        if self._happens(self._faults.retries):
            change(Snapshot(now=self._wall(), bodies=self._shared.bodies(keys)))
        now = self._wall()
        done = change(Snapshot(now=now, bodies=self._shared.bodies(keys)))
        unnamed = done.writes.keys() - set(keys)
        if unnamed or (done.writes and not writing):
            message = f"a transaction over {keys} wrote {sorted(done.writes)}"
            raise AssertionError(message)
        self._shared.write(done.writes, now=now, process=self._process)
        return done.result

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._chance.random() < probability


class WatchedLedger(StoredLedger):
    """The real ledger; what its transactions write can be told from what they settle."""

    async def settle(self, reservation: Reservation, settlement: Settlement) -> SettleResult:
        with _within(SETTLING, (reservation, settlement)):
            return await super().settle(reservation, settlement)

    async def _abandon(self) -> None:
        with _within(ABANDONING, True):
            await super()._abandon()


@contextmanager
def _within(variable: ContextVar[T], value: T) -> Generator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
