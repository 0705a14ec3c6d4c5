"""The three kinds of store, and a real Redis server of the test run's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis
from fake_clock import FakeClock

from groq_fallback_mcp.quota.memory import MemoryStore
from groq_fallback_mcp.quota.redis import RedisStore
from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store import Store

STORES = ("memory", "sqlite", "redis")


class RedisServer:
    """A real server of this test run's own, without a disk."""

    def __init__(self, program: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = ("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--daemonize", "no")
        self._process = subprocess.Popen((self._program, *options), stdout=subprocess.DEVNULL)
        client = redis.Redis(port=self.port)
        for _ in range(200):
            try:
                client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                client.close()
                return
        message = "redis-server did not start"
        raise RuntimeError(message)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid


def redis_program() -> str:
    """Where the server is; without one the test is skipped, and fails where it is required."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        if os.environ.get("REQUIRE_REDIS"):
            pytest.fail("redis-server is required and not installed")
        pytest.skip("redis-server is not installed")
    return program


def make_store(kind: str, clock: FakeClock, folder: Path, request: pytest.FixtureRequest) -> Store:
    """A store of a kind, empty."""
    match kind:
        case "memory":
            return MemoryStore(clock.wall)
        case "sqlite":
            return SqliteStore(folder / "state" / "ledger.sqlite3", clock.wall)
        case _:
            server: RedisServer = request.getfixturevalue("redis_server")
            client = redis.Redis(port=server.port)
            client.flushall()
            client.close()
            return RedisStore(server.url, clock.wall)
