"""What happened to a store, and that it is used again when its cause is gone: disks, foreign content, and odd servers."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from fake_clock import FakeClock
from stores import RedisServer, redis_program

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.quota import Claim, Granted, QuotaKey, Settlement, memory_ledger
from groq_fallback_mcp.quota.budget import UNKNOWN_SPENDING, Budget, Spend
from groq_fallback_mcp.quota.degrading import DegradingLedger
from groq_fallback_mcp.quota.redis import DUE, PREFIX, RedisStore
from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store import Record, Store, StoreUnusable, Writes
from groq_fallback_mcp.quota.store_ledger import StoredLedger

pytestmark = pytest.mark.anyio
KEY = QuotaKey(provider="groq", organization="o", model="m")


def put(store: Store, key: str, body: str, expires_at: float | None = None) -> None:
    """Write one record."""
    store.transact([key], lambda view: Writes(result=None, writes={key: Record(body=body, expires_at=expires_at)}))


def get(store: Store, key: str) -> str | None:
    """Read one record."""
    return store.transact([key], lambda view: Writes(result=view.bodies.get(key)), writing=False)


@contextmanager
def small_disk(size: str) -> Iterator[Path]:
    """A disk of its own, where this test may mount one."""
    import tempfile

    folder = Path(tempfile.mkdtemp())
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("mounting a disk takes rights that this run has not")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        folder.rmdir()


def fill(disk: Path) -> Path:
    """A file that takes all the room there is."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4_096):
            pass
    return filler


def put_somehow(store: SqliteStore, number: int) -> bool:
    """A write in one of the two ways; whether it was done."""
    key = f"k{number % 10}"
    try:
        if number % 2:
            store.transact_now([key], lambda view: Writes(result=None, writes={key: Record(body="x" * 500)}))
        put(store, key, "y" * 500)
    except StoreUnusable:
        return False
    return True


@pytest.mark.fault("C1")
@pytest.mark.parametrize("free_kib", [64, 256, 1_024, 3_584])
def test_after_a_full_disk_little_room_is_enough(free_kib: int) -> None:
    """Less than the log would take by itself until its next checkpoint."""
    with small_disk("16m") as disk:
        store = SqliteStore(disk / "state" / "ledger.sqlite3", time.time)
        for number in range(50):
            assert put_somehow(store, number)
        filler = fill(disk)
        for number in range(200):
            # it may be done, in the room that the log has taken before
            put_somehow(store, number)
        os.truncate(filler, filler.stat().st_size - free_kib * 1_024)
        assert put_somehow(store, 0)
        assert all(put_somehow(store, number) for number in range(3_000))
        assert get(store, "k9") == "y" * 500
        # both of its connections are in use again
        assert store._quick is not None
        store.close()


@pytest.mark.fault("C1")
def test_a_file_system_that_was_read_only_is_written_again() -> None:
    """As after an error of the disk, and a remount."""
    with small_disk("16m") as disk:
        store = SqliteStore(disk / "state" / "ledger.sqlite3", time.time)
        put(store, "a", "1")
        # nothing may be open for writing while it is remounted
        store.close()
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for _ in range(3):
            with pytest.raises(StoreUnusable):
                put(store, "a", "2")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        put(store, "a", "3")
        assert get(store, "a") == "3"
        store.close()


@pytest.mark.fault("C1")
def test_where_the_log_must_not_grow_it_is_put_into_the_file(tmp_path: Path) -> None:
    """A bound on the size of files stands in for a disk, where none can be mounted: SQLite calls it an error of the disk."""
    program = (
        "import resource, signal, sys, time; from pathlib import Path; from groq_fallback_mcp.quota.sqlite import SqliteStore;"
        "from groq_fallback_mcp.quota.store import Writes, Record\n"
        "store = SqliteStore(Path(sys.argv[1]), time.time)\n"
        "put = lambda n: store.transact(['k'], lambda view: Writes(result=None, writes={'k': Record(body=str(n))}))\n"
        "put(0)\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "[put(n) for n in range(2_000)]\n"
        "print(store.transact(['k'], lambda view: Writes(result=view.bodies['k']), writing=False))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, tmp_path / "l"], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("1999", "")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Of a ledger."""
    return tmp_path / "state" / "ledger.sqlite3"


ROWS = {
    "a key of bytes": "INSERT INTO records VALUES (x'6f70656e2fff', '{}', 1)",
    "a hundred keys of bytes": "INSERT INTO records WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) SELECT CAST(i AS BLOB), '{}', 1 FROM n",
    "a key that is no text": "INSERT INTO records VALUES (CAST(x'6f70656e2ffffe' AS TEXT), '{}', 1)",
    "a body of bytes": "UPDATE records SET body = x'00ff'",
    "a body of JSON in bytes": "UPDATE records SET body = CAST('{}' AS BLOB)",
    "a number for a body": "UPDATE records SET body = CAST(7 AS BLOB)",
    "a due date of words": "UPDATE records SET expires_at = 'soon'",
    "a due date of bytes": "UPDATE records SET expires_at = x'00'",
    "no bodies": "UPDATE records SET body = ''",
    "no rows": "DELETE FROM records",
}


def ledger_at(store: Store, clock: FakeClock, budget: Budget | None = None) -> DegradingLedger:
    """As `open_ledger` makes one, on the clock of the test."""
    shared = StoredLedger(store, clock, budget=budget, time_limit_s=5.0)
    return DegradingLedger(shared, memory_ledger(clock), clock, has_budget=budget is not None)


async def called(ledger: DegradingLedger, times: int = 1) -> None:
    """Calls as the engine makes them: reserved, and settled but for the last, which nobody waits for."""
    claim = Claim(key=KEY, cost={Limit.TPM: 1.0}, documented={Limit.TPM: 1_000_000})
    for number in range(times):
        found = await ledger.reserve_any([claim], life_s=1.0)
        assert isinstance(found, Granted)
        if number < times - 1:
            await ledger.settle(found.reservation, Settlement(actual={Limit.TPM: 1.0}))


@pytest.mark.fault("C1")
@pytest.mark.parametrize("statement", ROWS.values(), ids=ROWS)
async def test_rows_of_wrong_types_stand_in_nobody_s_way(statement: str, path: Path) -> None:
    """They are replaced or removed; calls are counted in the file again, and reservations are swept."""
    clock = FakeClock()
    ledger = ledger_at(SqliteStore(path, clock.wall), clock)
    await called(ledger, 3)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute(statement)
    for _ in range(3):
        clock.advance(100.0)
        await called(ledger, 2)
    clock.advance(100.0)
    await called(ledger)
    assert ledger.status.degraded is None
    (quota,) = await ledger.peek([Claim(key=KEY, cost={}, documented={Limit.TPM: 1_000_000})])
    assert quota.calls_in_flight <= 2
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("SELECT count(*) FROM records WHERE typeof(key) <> 'text'").fetchone() == (0,)
        assert other.execute("SELECT count(*) FROM records WHERE key LIKE 'open/%'").fetchone()[0] <= 2
    await ledger.aclose()


def in_the_way_a_folder(path: Path) -> Callable[[], None]:
    """A folder in the place of the file."""
    kept = path.rename(path.with_name("kept"))
    path.mkdir()
    return lambda: (path.rmdir(), kept.rename(path))[0]


def a_folder_for_the_log(path: Path) -> Callable[[], None]:
    """A folder in the place of the write-ahead log."""
    log = Path(f"{path}-wal")
    log.unlink(missing_ok=True)
    log.mkdir()
    return log.rmdir


def a_newer_schema(path: Path) -> Callable[[], None]:
    """A version of tomorrow."""

    def to(version: int) -> None:
        with closing(sqlite3.connect(path)) as other:
            other.execute(f"PRAGMA user_version = {version}")

    to(7)
    return lambda: to(1)


def another_table(path: Path) -> Callable[[], None]:
    """Its columns are not ours."""

    def run(*statements: str) -> None:
        with closing(sqlite3.connect(path)) as other:
            for statement in statements:
                other.execute(statement)

    run("ALTER TABLE records RENAME COLUMN body TO text")
    return lambda: run("ALTER TABLE records RENAME COLUMN text TO body")


def no_folder(path: Path) -> Callable[[], None]:
    """A file in the place of its folder."""
    kept = path.parent.rename(path.parent.with_name("kept"))
    path.parent.write_text("in the way")
    return lambda: (path.parent.unlink(), kept.rename(path.parent))[0]


@pytest.mark.fault("C1")
@pytest.mark.parametrize("break_", [in_the_way_a_folder, a_folder_for_the_log, a_newer_schema, another_table, no_folder])
async def test_a_file_that_cannot_be_used_is_used_again_once_it_can(
    break_: Callable[[Path], Callable[[], None]], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once each way; nothing of it is removed."""
    clock = FakeClock()
    before = SqliteStore(path, clock.wall)
    put(before, "mark", "1")
    before.close()
    mend = break_(path)
    ledger = ledger_at(SqliteStore(path, clock.wall), clock)
    for _ in range(5):
        await called(ledger)
        clock.advance(100.0)
    assert ledger.status.degraded is not None
    assert caplog.text.count("the ledger cannot be used") == 1
    mend()
    await called(ledger)
    assert ledger.status.degraded is None
    assert caplog.text.count("the ledger can be used again") == 1
    store = SqliteStore(path, clock.wall)
    assert get(store, "mark") == "1"
    store.close()
    await ledger.aclose()


@pytest.mark.fault("C1")
@pytest.mark.parametrize("companion", ["-wal", "-shm"])
@pytest.mark.parametrize("content", [None, b"", b"garbage " * 1_000], ids=["missing", "empty", "foreign"])
@pytest.mark.parametrize("live", [True, False])
async def test_a_log_that_is_missing_or_foreign_costs_records_at_most(
    companion: str, content: bytes | None, live: bool, path: Path
) -> None:
    """While the file is open, or before."""
    clock = FakeClock()
    ledger = ledger_at(SqliteStore(path, clock.wall), clock)
    await called(ledger, 3)
    if not live:
        await ledger.aclose()
        ledger = ledger_at(SqliteStore(path, clock.wall), clock)
    target = Path(f"{path}{companion}")
    target.unlink(missing_ok=True)
    if content is not None:
        target.write_bytes(content)
    for _ in range(4):
        clock.advance(100.0)
        await called(ledger, 2)
    assert ledger.status.degraded is None
    again = ledger_at(SqliteStore(path, clock.wall), clock)
    await called(again, 2)
    assert again.status.degraded is None
    for one in (ledger, again):
        await one.aclose()


@pytest.mark.fault("C1")
def test_a_fault_of_the_disk_does_not_stay_with_the_connection(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO, of which SQLite says that the connection should be closed."""
    store = SqliteStore(path, FakeClock().wall)
    put(store, "a", "1")
    connection = store._connected().connection

    class Broken:
        def __getattr__(self, name: str) -> object:
            return getattr(connection, name)

        def execute(self, *given: object) -> object:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR  # type: ignore[misc]
            raise error

    records = store._records
    assert records is not None
    monkeypatch.setattr(records, "connection", Broken())
    with pytest.raises(StoreUnusable, match="disk I/O error"):
        put(store, "a", "2")
    put(store, "a", "3")
    assert get(store, "a") == "3"
    store.close()


class OddServer:
    """Answers each question on each connection with the same bytes, until it is told to stop."""

    def __init__(self, reply: bytes) -> None:
        self._reply = reply
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while connection.recv(65_536):
                connection.sendall(self._reply)

    def close(self) -> None:
        """Let go of the port."""
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


NONSENSE = {
    "HTTP": b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n",
    "nothing of RESP": b"hello\r\n",
    "bytes": bytes(range(256)) * 4,
    "a text": b"+OK\r\n",
    "a number": b":1\r\n",
    "nothing": b"$-1\r\n",
    "an empty list": b"*0\r\n",
    "a short list": b"*1\r\n$1\r\n1\r\n",
    "a time of words": b"*3\r\n$4\r\nsoon\r\n:0\r\n$0\r\n\r\n",
    "no time at all": b"*4\r\n$3\r\nnan\r\n:0\r\n$0\r\n\r\n$0\r\n\r\n",
    "a time far away": b"*4\r\n$5\r\n1e300\r\n:0\r\n$0\r\n\r\n$0\r\n\r\n",
    "lists of lists": b"*4\r\n$1\r\n1\r\n:0\r\n*0\r\n*1\r\n*0\r\n",
    "numbers for records": b"*4\r\n$1\r\n1\r\n:0\r\n:7\r\n:7\r\n",
    "records without a mark": b"*4\r\n$1\r\n1\r\n:0\r\n$1\r\nx\r\n$1\r\ny\r\n",
    "a size that is none": b"$x\r\n",
    "a size without an end": b"$99999999999\r\n",
    "a list without an end": b"*999999999\r\n",
    "two replies to each question": b"+OK\r\n+OK\r\n",
    "MOVED": b"-MOVED 3999 127.0.0.1:6381\r\n",
    "ASK": b"-ASK 3999 127.0.0.1:6381\r\n",
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "NOSCRIPT": b"-NOSCRIPT No matching script.\r\n",
    "OOM": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "NOAUTH": b"-NOAUTH Authentication required.\r\n",
    "NOPERM": b"-NOPERM this user has no permissions\r\n",
    "WRONGTYPE": b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n",
    "BUSY": b"-BUSY Redis is busy running a script.\r\n",
    "MASTERDOWN": b"-MASTERDOWN Link with MASTER is down\r\n",
    "CLUSTERDOWN": b"-CLUSTERDOWN The cluster is down\r\n",
    "TRYAGAIN": b"-TRYAGAIN\r\n",
    "EXECABORT": b"-EXECABORT\r\n",
    "an error without words": b"-\r\n",
    "an error with controls": b"-ERR \x1b[31mred\x1b[0m\r\n",
}


@pytest.mark.fault("C1")
@pytest.mark.parametrize("reply", NONSENSE.values(), ids=NONSENSE)
async def test_whatever_redis_says_that_is_not_understood_is_a_store_that_cannot_be_used(
    reply: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once; tried again after a pause; and used when the server at that address answers again."""
    odd = OddServer(reply)
    clock = FakeClock()
    store = RedisStore(f"redis://127.0.0.1:{odd.port}/0", clock.wall)
    ledger = ledger_at(store, clock)
    for _ in range(4):
        await called(ledger, 2)
        clock.advance(100.0)
    assert ledger.status.degraded is not None
    assert "\x1b" not in ledger.status.degraded
    assert caplog.text.count("the ledger cannot be used") == 1
    if not reply.startswith(b"-WRONGTYPE"):
        with pytest.raises(StoreUnusable):
            store.due(1)
    odd.close()
    right = RedisServer(redis_program())
    right.port = odd.port
    right.start()
    await called(ledger, 2)
    assert ledger.status.degraded is None
    assert caplog.text.count("the ledger can be used again") == 1
    await ledger.aclose()
    right.stop()


@pytest.mark.fault("C1")
@pytest.mark.parametrize("kind", ["list", "string", "hash", "set", "stream"])
@pytest.mark.parametrize("name", ["due", "model/groq/o/m", "provider/groq/o"])
async def test_a_redis_key_of_the_wrong_type_leaves_no_half_of_a_transaction(
    name: str, kind: str, own_redis: RedisServer
) -> None:
    """It is replaced with the next write, and all of a transaction is there."""
    clock = FakeClock()
    client = redis.Redis(port=own_redis.port, decode_responses=True)
    key = DUE if name == "due" else f"{PREFIX}{name}"
    put_one: dict[str, Callable[[], object]] = {
        "list": lambda: client.rpush(key, "x"),
        "string": lambda: client.set(key, "x"),
        "hash": lambda: client.hset(key, "x", "y"),
        "set": lambda: client.sadd(key, "x"),
        "stream": lambda: client.xadd(key, {"x": "y"}),
    }
    put_one[kind]()
    ledger = ledger_at(RedisStore(own_redis.url, clock.wall), clock)
    claim = Claim(key=KEY, cost={Limit.TPM: 10.0}, documented={Limit.TPM: 1_000})
    found = await ledger.reserve_any([claim], life_s=50.0)
    assert isinstance(found, Granted)
    assert ledger.status.degraded is None
    assert client.type(DUE) == "zset"
    assert client.zrange(DUE, 0, -1) == [f"{PREFIX}open/{found.reservation.id}"]
    assert client.type(f"{PREFIX}model/groq/o/m") == "string"
    await ledger.settle(found.reservation, Settlement(actual={Limit.TPM: 10.0}))
    (quota,) = await ledger.peek([claim])
    assert quota.calls_in_flight == 0
    await ledger.aclose()
    client.close()


BUDGET = Budget(picousd=1_000)
COSTS = Spend(picousd=100)


async def spend(ledger: DegradingLedger, picousd: int) -> bool:
    """Whether a call of that cost was let through, and counted."""
    claim = Claim(key=KEY, cost={Limit.TPM: 1.0}, documented={Limit.TPM: 1_000_000}, spend=Spend(picousd=picousd))
    found = await ledger.reserve_any([claim], life_s=50.0)
    if not isinstance(found, Granted):
        assert all("budget" in wait.reason for wait in found.waits), found
        return False
    await ledger.settle(found.reservation, Settlement(actual={Limit.TPM: 1.0}, spent=Spend(picousd=picousd)))
    return True


def garbled(path: Path) -> None:
    """Garbage over all of it."""
    for name in (path, Path(f"{path}-wal")):
        if name.exists():
            name.write_bytes(b"garbage " * 4_000)


def garbled_in_the_middle(path: Path) -> None:
    """The header is whole, the pages are not."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (path.stat().st_size - 100))


def cut(path: Path) -> None:
    """In the middle of a page."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    os.truncate(path, 5_000)


def garbage_for_the_day(path: Path) -> None:
    """Its record alone."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE records SET body = 'garbage' WHERE key LIKE 'day/%'")


def bytes_for_the_day(path: Path) -> None:
    """Its record is no text."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE records SET body = x'00' WHERE key LIKE 'day/%'")


def less_than_nothing(path: Path) -> None:
    """Spending that cannot be."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(
            'UPDATE records SET body = \'{"models": {"groq/m": {"calls": 1, "picousd": -5}}}\' WHERE key LIKE \'day/%\''
        )


def opened(path: Path, clock: FakeClock) -> DegradingLedger:
    """The ledger as it is opened by a process."""
    from groq_fallback_mcp.quota.open_ledger import _lost

    return ledger_at(SqliteStore(path, clock.wall, on_loss=_lost), clock, BUDGET)


@pytest.mark.fault("B8")
@pytest.mark.parametrize(
    "damage", [garbled, garbled_in_the_middle, cut, garbage_for_the_day, bytes_for_the_day, less_than_nothing]
)
@pytest.mark.parametrize("live", [True, False], ids=["found by a process that was there", "found by a new process"])
async def test_a_damaged_ledger_does_not_begin_the_day_s_budget_anew(
    damage: Callable[[Path], None], live: bool, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Unknown spending counts as spent until midnight UTC, in every process, and that is said with the way out."""
    clock = FakeClock()
    first = opened(path, clock)
    assert [await spend(first, 300) for _ in range(4)] == [True, True, True, False]
    if not live:
        await first.aclose()
        first = opened(path, clock)
    damage(path)
    new = [opened(path, clock), opened(path, clock)]
    for ledger in new:
        assert not await spend(ledger, 1)
        assert ledger.status.degraded is None
        refused = await ledger.reserve_any([Claim(key=KEY, cost={}, documented={}, spend=Spend(picousd=1))], life_s=1.0)
        assert not isinstance(refused, Granted)
        assert refused.waits[0].reason == UNKNOWN_SPENDING
        # what costs nothing is not the budget's
        assert await spend(ledger, 0)
    # who was there knew what was spent, until it saw the loss
    assert not await spend(first, 1)
    assert "today's spending is unknown" in caplog.text
    assert (await first.spending([_day(clock)]))[_day(clock)].unknown
    clock.advance(86_400.0)
    for ledger in (first, *new):
        assert await spend(ledger, 300)
        await ledger.aclose()


@pytest.mark.fault("B8")
@pytest.mark.parametrize(
    "damage", [garbled, garbled_in_the_middle, cut, garbage_for_the_day, bytes_for_the_day, less_than_nothing]
)
async def test_a_process_that_lives_through_a_damage_never_spends_more_than_the_budget(
    damage: Callable[[Path], None], path: Path
) -> None:
    """It may go on with what it knows, or close the budget."""
    clock = FakeClock()
    first, second = opened(path, clock), opened(path, clock)
    assert [await spend(ledger, 300) for ledger in (first, second, first)] == [True] * 3
    damage(path)
    spent = 900
    third = opened(path, clock)
    for ledger in (first, second, third, first, second):
        spent += 60 if await spend(ledger, 60) else 0
    assert spent <= 1_000
    for ledger in (first, second, third):
        await ledger.aclose()


class Connection(sqlite3.Connection):
    """One that can be asked whether it was closed."""

    is_open = True

    def close(self) -> None:
        """As ever."""
        super().close()
        self.is_open = False


@pytest.mark.fault("B8")
@pytest.mark.parametrize("damage", [garbled, garbled_in_the_middle, cut, less_than_nothing, Path.unlink])
async def test_a_damage_leaves_no_connection_open(
    damage: Callable[[Path], None], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is an open file, of which a process may have only so many."""
    connect = sqlite3.connect
    made: list[Connection] = []

    def noted(*arguments: Any, **options: Any) -> Connection:
        made.append(connect(*arguments, **options, factory=Connection))
        return made[-1]

    monkeypatch.setattr(sqlite3, "connect", noted)
    clock = FakeClock()
    ledgers = [opened(path, clock), opened(path, clock)]
    for ledger in ledgers:
        await spend(ledger, 60)
    damage(path)
    for ledger in (*ledgers, *ledgers):
        await spend(ledger, 60)
    for ledger in ledgers:
        await ledger.aclose()
    assert len(made) > 4
    assert not any(connection.is_open for connection in made)


def _day(clock: FakeClock) -> str:
    from groq_fallback_mcp.quota.store_ledger import utc_day

    return utc_day(clock.wall())


@pytest.mark.fault("B8")
async def test_the_user_may_open_the_budget_again(path: Path) -> None:
    """In every process, once for each loss."""
    clock = FakeClock()
    live, other = opened(path, clock), opened(path, clock)
    assert await spend(live, 300)
    assert await spend(other, 300)
    garbled(path)
    new = opened(path, clock)
    assert not await spend(new, 1)
    assert await new.reopen_budget(_day(clock))
    assert not await other.reopen_budget(_day(clock))
    assert [await spend(ledger, 400) for ledger in (live, other, live)] == [True, True, False]
    garbage_for_the_day(path)
    assert not await spend(other, 1)
    assert not await spend(live, 1)
    for ledger in (live, other, new):
        await ledger.aclose()


@pytest.mark.fault("B8")
async def test_a_deleted_ledger_does_not_begin_the_budget_of_who_has_seen_it_anew(path: Path) -> None:
    """While a process lives that knows better; deleted between processes it is the user's own doing."""
    clock = FakeClock()
    ledger = opened(path, clock)
    assert await spend(ledger, 600)
    path.unlink()
    assert not await spend(ledger, 1)
    new = opened(path, clock)
    assert not await spend(new, 1)
    for one in (ledger, new):
        await one.aclose()


@pytest.mark.fault("B8")
@pytest.mark.parametrize("damage", ["flush", "garbage", "wrong type", "the day's key gone", "restored from yesterday"])
async def test_redis_keys_that_are_gone_or_garbage_do_not_begin_the_budget_anew(damage: str, own_redis: RedisServer) -> None:
    """By the process that has seen more; garbage by any."""
    clock = FakeClock()
    client = redis.Redis(port=own_redis.port)
    live = ledger_at(RedisStore(own_redis.url, clock.wall), clock, BUDGET)
    key = f"{PREFIX}day/{_day(clock)}"
    assert await spend(live, 100)
    older = client.get(key)
    assert await spend(live, 500)
    match damage:
        case "flush":
            client.flushall()
        case "garbage":
            client.set(key, b"\xff\xfe garbage")
        case "wrong type":
            client.delete(key)
            client.rpush(key, "x")
        case "the day's key gone":
            client.delete(key)
        case _:
            client.set(key, older)
    if damage in {"garbage", "wrong type"}:
        fresh = ledger_at(RedisStore(own_redis.url, clock.wall), clock, BUDGET)
        assert not await spend(fresh, 1)
        await fresh.aclose()
    assert not await spend(live, 1)
    fresh = ledger_at(RedisStore(own_redis.url, clock.wall), clock, BUDGET)
    assert not await spend(fresh, 1)
    assert await fresh.reopen_budget(_day(clock))
    assert await spend(live, 100)
    assert live.status.degraded is None
    for ledger in (live, fresh):
        await ledger.aclose()
    client.close()


@pytest.mark.fault("B8")
async def test_processes_that_spend_at_once_lose_nothing_and_find_no_loss(path: Path) -> None:
    """What one has not seen yet of another's spending is no loss."""
    clock = FakeClock()
    ledgers = [opened(path, clock) for _ in range(4)]
    granted: list[bool] = []

    async def work(ledger: DegradingLedger) -> None:
        granted.extend([await spend(ledger, 10) for _ in range(40)])

    async with anyio.create_task_group() as group:
        for ledger in ledgers:
            group.start_soon(work, ledger)
    assert sum(granted) == 100
    totals = (await ledgers[0].spending([_day(clock)]))[_day(clock)]
    assert (totals.picousd, totals.losses) == (1_000, 0)
    for ledger in ledgers:
        await ledger.aclose()
