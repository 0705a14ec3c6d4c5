"""The call that is measured: four candidates, four limits each, an answer with headers, usage and a price."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeVar

from groq_fallback_mcp.call import ANSWERED, AttemptRecord, CallOrigin, CallRecord, Limit, LimitReading, QuotaSnapshot, Usage
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.quota import Claim, QuotaKey, Settlement
from groq_fallback_mcp.quota.budget import Spend
from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store import NotNow, Snapshot, Writes
from groq_fallback_mcp.quota.store_ledger import StoredLedger

__all__ = ["CLAIMS", "RECORD", "SETTLEMENT", "TimedStore", "bare_pair", "timed_ledger"]

T = TypeVar("T")
# never reached, so that every reservation is granted
_LIMITS = {Limit.RPM: 10**6, Limit.RPD: 10**9, Limit.TPM: 10**9, Limit.TPD: 10**11}
CLAIMS = [
    Claim(
        key=QuotaKey(provider="groq", organization="0123456789abcdef", model=f"openai/model-{number}"),
        cost={Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.TPM: 900.0, Limit.TPD: 900.0},
        documented=_LIMITS,
        spend=Spend(input_tokens=200, output_tokens=700, picousd=300_000_000),
    )
    for number in range(4)
]
SETTLEMENT = Settlement(
    actual={Limit.TPM: 300.0, Limit.TPD: 300.0},
    admitted={Limit.TPM: 880.0, Limit.TPD: 880.0},
    snapshot=QuotaSnapshot(readings=(LimitReading(limit=Limit.TPM, capacity=10.0**9, remaining=10.0**9 - 5_000),)),
    health="up",
    prompt=(200, 180),
    spent=Spend(input_tokens=180, output_tokens=120, picousd=50_000_000),
)

# What the history keeps of such a call: the first model was limited, the second answered.
RECORD = CallRecord(
    id="",
    started_at=0.0,
    origin=CallOrigin(endpoint="/v1/chat/completions", client="Kilo-Code", session="0123456789abcdef"),
    use_case="chat",
    provider="groq",
    model="openai/model-1",
    fallback=True,
    duration_s=0.701,
    first_token_s=0.25,
    usage=Usage(input_tokens=180, output_tokens=120),
    cost_usd=Decimal("0.00005"),
    attempts=(
        AttemptRecord(provider="groq", model="openai/model-0", outcome="rate_limited", status=429, duration_s=0.1),
        AttemptRecord(
            provider="groq", model="openai/model-1", outcome=ANSWERED, begun_s=0.1, duration_s=0.6, first_token_s=0.15
        ),
    ),
)


class TimedStore(SqliteStore):
    """Adds up the time spent inside the store, hops to the ledger's thread left out."""

    took_s = 0.0

    def transact(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        """Do it, and time it."""
        started = time.perf_counter()
        try:
            return super().transact(keys, change, writing=writing)
        finally:
            self.took_s += time.perf_counter() - started

    def transact_now(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T | NotNow:
        """The same for what is done at once."""
        started = time.perf_counter()
        try:
            return super().transact_now(keys, change, writing=writing)
        finally:
            self.took_s += time.perf_counter() - started


def timed_ledger(path: str) -> tuple[StoredLedger, TimedStore]:
    """A ledger as the server has it, over a store that is timed."""
    clock = SystemClock()
    store = TimedStore(Path(path), clock.wall)
    return StoredLedger(store, clock), store


def bare_pair(path: Path) -> Callable[[], float]:
    """A function that writes one row in each of two transactions of a file of its own, and gives the seconds: the floor."""
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID")

    def run() -> float:
        started = time.perf_counter()
        for body in ("reserved", "settled"):
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("INSERT OR REPLACE INTO records VALUES ('one', ?)", (body,))
            connection.execute("COMMIT")
        return time.perf_counter() - started

    return run
