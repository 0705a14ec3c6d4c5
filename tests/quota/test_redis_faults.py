"""What can happen to a Redis server: absent, hung, restarted, full, read-only, locked, and holding somebody else's keys."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest
import redis
from stores import RedisServer

from groq_fallback_mcp.quota.redis import PREFIX, RedisStore
from groq_fallback_mcp.quota.store import Record, StoreUnusable, Writes


def put(store: RedisStore, key: str, body: str, expires_at: float | None = None) -> None:
    """Write one record."""
    store.transact([key], lambda view: Writes(result=None, writes={key: Record(body=body, expires_at=expires_at)}))


def get(store: RedisStore, key: str) -> str | None:
    """Read one record."""
    return store.transact([key], lambda view: Writes(result=view.bodies.get(key)), writing=False)


@pytest.fixture
def client(own_redis: RedisServer) -> Iterator[redis.Redis]:
    """For mistreating the server."""
    client = redis.Redis(port=own_redis.port, decode_responses=True)
    yield client
    client.close()


@pytest.fixture
def store(own_redis: RedisServer) -> Iterator[RedisStore]:
    """A store by the server's own clock, with one record."""
    store = RedisStore(own_redis.url)
    put(store, "a", "1")
    yield store
    store.close()


def test_the_time_is_the_server_s(store: RedisStore, client: redis.Redis) -> None:
    """Machines disagree about it; the server does not."""
    seconds, micros = client.time()
    seen = store.transact(["a"], lambda view: Writes(result=view.now), writing=False)
    assert seen == pytest.approx(seconds + micros / 1e6, abs=1.0)


def test_all_keys_share_a_hash_tag(store: RedisStore, client: redis.Redis) -> None:
    """A cluster runs a script on keys of one node only."""
    put(store, "open/x", "1", expires_at=5.0)
    assert {key[: key.index("}") + 1] for key in client.scan_iter()} == {"{groq-fallback-mcp}"}


def test_a_change_is_computed_again_when_somebody_else_wrote_meanwhile(store: RedisStore, own_redis: RedisServer) -> None:
    """Nothing is lost, nothing is counted twice."""
    other = RedisStore(own_redis.url)
    seen: list[str | None] = []

    def add_one(view: object) -> Writes[None]:
        body = view.bodies.get("a")  # type: ignore[attr-defined]
        if not seen:
            put(other, "a", "5")
        seen.append(body)
        return Writes(result=None, writes={"a": Record(body=str(int(body) + 1))})

    store.transact(["a"], add_one)
    assert seen == ["1", "5"]
    assert get(store, "a") == "6"
    other.close()


def test_records_that_are_due_are_found_until_they_are_deleted(store: RedisStore) -> None:
    """By the time in the sorted set."""
    put(store, "open/x", "1", expires_at=5.0)
    put(store, "open/y", "1", expires_at=time.time() + 1000)
    assert list(store.due(10)) == ["open/x"]
    store.transact(["open/x"], lambda view: Writes(result=None, writes={"open/x": None}))
    assert list(store.due(10)) == []


def test_a_server_that_is_gone_is_told_at_once_and_used_again_when_it_is_back(
    store: RedisStore, own_redis: RedisServer
) -> None:
    """Its scripts are gone too after a restart."""
    own_redis.stop()
    started = time.monotonic()
    with pytest.raises(StoreUnusable, match="ConnectionError"):
        get(store, "a")
    assert time.monotonic() - started < 1.0
    own_redis.start()
    put(store, "a", "2")
    assert get(store, "a") == "2"


def test_a_forgotten_script_is_registered_again(store: RedisStore, client: redis.Redis) -> None:
    """SCRIPT FLUSH, or a failover."""
    client.script_flush()
    assert get(store, "a") == "1"


def test_a_hung_server_costs_a_quarter_of_a_second(store: RedisStore, own_redis: RedisServer) -> None:
    """Stopped, not dead: its socket still accepts."""
    os.kill(own_redis.pid, signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(StoreUnusable, match="Timeout"):
        get(store, "a")
    assert time.monotonic() - started < 1.0
    os.kill(own_redis.pid, signal.SIGCONT)
    assert get(store, "a") == "1"


@pytest.mark.parametrize(
    ("setting", "value", "reset", "told"),
    [("maxmemory", "1", "0", "OutOfMemory"), ("min-replicas-to-write", "1", "0", "ResponseError")],
)
def test_a_server_that_takes_no_writes_is_told(
    store: RedisStore, client: redis.Redis, setting: str, value: str, reset: str, told: str
) -> None:
    """Out of memory, or without its replicas; it recovers unaided."""
    client.config_set(setting, value)
    with pytest.raises(StoreUnusable, match=told):
        put(store, "a", "2")
    client.config_set(setting, reset)
    assert get(store, "a") == "1"
    put(store, "a", "3")


def test_a_read_only_replica_is_told(store: RedisStore, client: redis.Redis) -> None:
    """A failover that left us behind."""
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        client.execute_command("REPLICAOF", "127.0.0.1", nobody.getsockname()[1])
        with pytest.raises(StoreUnusable, match="ReadOnly"):
            put(store, "a", "2")
        client.execute_command("REPLICAOF", "NO", "ONE")
    put(store, "a", "2")


def test_a_wrong_password_is_told_without_the_password(own_redis: RedisServer, client: redis.Redis) -> None:
    """Neither in the error nor in the place."""
    client.config_set("requirepass", "right-one")
    store = RedisStore(own_redis.url.replace("redis://", "redis://:wr0ng-one@"))
    with pytest.raises(StoreUnusable, match=r"Authentication|WRONGPASS|invalid") as refused:
        get(store, "a")
    assert "wr0ng-one" not in str(refused.value) + store.place
    store.close()
    right = RedisStore(own_redis.url.replace("redis://", "redis://:right-one@"))
    put(right, "a", "1")
    right.close()


def test_a_key_of_another_type_is_overwritten(store: RedisStore, client: redis.Redis) -> None:
    """Somebody put a list where a record belongs."""
    client.delete(f"{PREFIX}a")
    client.rpush(f"{PREFIX}a", "x")
    # there, and not to be read: a day's spending in its place must not count as none
    assert get(store, "a") == ""
    put(store, "a", "1")
    assert get(store, "a") == "1"


def test_bytes_that_are_no_text_are_replaced(store: RedisStore, own_redis: RedisServer) -> None:
    """They must not stand in the way for ever."""
    raw = redis.Redis(port=own_redis.port)
    raw.set(f"{PREFIX}a", b"\xff\xfe")
    put(store, "a", "2")
    assert raw.get(f"{PREFIX}a") == b"2"
    raw.close()
