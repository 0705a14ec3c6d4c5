"""Opens the ledger that the setting GROQ_FALLBACK_STATE names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.quota.budget import Budget
from groq_fallback_mcp.quota.degrading import DegradingLedger
from groq_fallback_mcp.quota.ledger import Ledger
from groq_fallback_mcp.quota.lost_spending import lost_records
from groq_fallback_mcp.quota.memory import MemoryStore
from groq_fallback_mcp.quota.store import Record, Store
from groq_fallback_mcp.quota.store_ledger import StoredLedger, utc_day
from groq_fallback_mcp.settings import state_folder

__all__ = ["default_path", "memory_ledger", "open_ledger"]


def open_ledger(state: str, clock: Clock, *, budget: Budget | None = None) -> Ledger:
    """The ledger for `state`: sqlite, sqlite:///PATH, redis://HOST..., rediss://HOST..., memory.

    Nothing is opened or connected before the first transaction; a store that cannot be used then is stood in for.
    Raises ConfigurationError where the client for Redis is not installed.
    """
    budget = budget or Budget()
    if state == "memory":
        return memory_ledger(clock, budget=budget)
    shared = StoredLedger(_store(state, clock), clock, budget=budget)
    return DegradingLedger(shared, memory_ledger(clock), clock, has_budget=budget.bounded)


def memory_ledger(clock: Clock, *, budget: Budget | None = None) -> StoredLedger:
    """A ledger for this process alone."""
    return StoredLedger(MemoryStore(clock.wall), clock, budget=budget, threaded=False)


def default_path() -> Path:
    """Where the SQLite file is unless told otherwise."""
    return state_folder() / "ledger.sqlite3"


def _store(state: str, clock: Clock) -> Store:
    if state.startswith("sqlite"):
        from groq_fallback_mcp.quota.sqlite import SqliteStore

        path = state.removeprefix("sqlite").removeprefix("://")
        return SqliteStore(_path(path) if path else default_path(), clock.wall, on_loss=_lost)
    try:
        from groq_fallback_mcp.quota.redis import RedisStore
    except ImportError as error:
        raise ConfigurationError(
            f"GROQ_FALLBACK_STATE names a Redis server, but the Redis client is not installed ({error})",
            next_step=f"Run {install_command('redis')}, or set GROQ_FALLBACK_STATE to sqlite",
        ) from error
    return RedisStore(state)


def _lost(now: float) -> Mapping[str, Record]:
    return lost_records(utc_day(now))


def _path(text: str) -> Path:
    """`/home/me/x`, `/~/x` and, for Windows, `/C:/x`."""
    bare = text.lstrip("/")
    if bare.startswith("~"):
        return Path(bare).expanduser()
    return Path(bare) if bare[1:2] == ":" else Path(f"/{bare}")
