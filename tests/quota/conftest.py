"""Every test of the ledger runs against all stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_clock import FakeClock
from stores import STORES, RedisServer, make_store, redis_program

from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store import Store


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One for the whole run."""
    server = RedisServer(redis_program())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """One that a test may mistreat."""
    server = RedisServer(redis_program())
    server.start()
    yield server
    server.stop()


@pytest.fixture
def clock() -> FakeClock:
    """Moved by hand."""
    return FakeClock()


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, clock: FakeClock, tmp_path: Path) -> Iterator[Store]:
    """A store without records."""
    made = make_store(request.param, clock, tmp_path, request)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _close_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Those that a test only reads once; from Python 3.13 on a connection that is left open is a warning."""
    opened: list[SqliteStore] = []
    begin = SqliteStore.__init__

    def noted(self: SqliteStore, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        opened.append(self)

    monkeypatch.setattr(SqliteStore, "__init__", noted)
    yield
    for store in opened:
        store.close()
