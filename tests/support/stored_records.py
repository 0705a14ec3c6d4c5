"""The records of a store in a test's hands, changed by the ledger's transactions one after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from groq_fallback_mcp.quota.records import Transaction
from groq_fallback_mcp.quota.store import Snapshot, Writes

__all__ = ["StoredRecords"]

T = TypeVar("T")


@dataclass
class StoredRecords:
    """The bodies by key, and the store's clock in Unix seconds."""

    now: float = 1_800_000_000.0
    bodies: dict[str, str] = field(default_factory=dict[str, str])

    def do(self, change: Callable[[Snapshot], Writes[T]]) -> T:
        """What a transaction says, once what it writes is written."""
        done = change(Snapshot(now=self.now, bodies=dict(self.bodies)))
        for key, record in done.writes.items():
            if record is None:
                self.bodies.pop(key, None)
            else:
                self.bodies[key] = record.body
        return done.result

    @property
    def view(self) -> Transaction:
        """The records as they are."""
        return Transaction(Snapshot(now=self.now, bodies=self.bodies))
