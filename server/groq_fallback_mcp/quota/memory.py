"""A store for one process, in its memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from groq_fallback_mcp.quota.store import NotNow, Record, Snapshot, Writes

__all__ = ["MemoryStore"]

T = TypeVar("T")


class MemoryStore:
    """Keeps records in a dictionary. `wall` gives Unix seconds."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._records: dict[str, Record] = {}

    @property
    def name(self) -> str:
        return "memory"

    @property
    def place(self) -> str:
        return "this process only"

    def transact(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        del writing
        bodies = {key: record.body for key in keys if (record := self._records.get(key)) is not None}
        done = change(Snapshot(now=self._wall(), bodies=bodies))
        for key, record in done.writes.items():
            if record is None:
                self._records.pop(key, None)
            else:
                self._records[key] = record
        return done.result

    def transact_now(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T | NotNow:
        return self.transact(keys, change, writing=writing)

    @property
    def needs_checkpoint(self) -> bool:
        return False

    def checkpoint(self) -> None:
        """Nothing is put off."""

    def due(self, limit: int) -> Sequence[str]:
        now = self._wall()
        found = [key for key, record in self._records.items() if record.expires_at is not None and record.expires_at <= now]
        return found[:limit]

    def close(self) -> None:
        """Nothing to let go of."""
