"""What can happen to a state file: damage, deletion, foreign and newer files, wrong modes, locks, kills, many processes."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from fake_clock import FakeClock

from groq_fallback_mcp.quota.sqlite import SqliteStore
from groq_fallback_mcp.quota.store import Record, Snapshot, StoreUnusable, Writes


def put(store: SqliteStore, key: str, body: str) -> None:
    """Write one record."""
    store.transact([key], lambda view: Writes(result=None, writes={key: Record(body=body)}))


def get(store: SqliteStore, key: str) -> str | None:
    """Read one record."""
    return store.transact([key], lambda view: Writes(result=view.bodies.get(key)), writing=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """In a folder that does not exist yet."""
    return tmp_path / "deep" / "state" / "ledger.sqlite3"


@pytest.fixture
def store(path: Path) -> SqliteStore:
    """A store with one record."""
    store = SqliteStore(path, FakeClock().wall)
    put(store, "a", "1")
    return store


def test_folder_and_files_are_for_their_owner_alone(store: SqliteStore, path: Path) -> None:
    """The write-ahead log too; a file that others could read is corrected."""
    assert path.parent.stat().st_mode & 0o777 == 0o700
    modes = {found.name: found.stat().st_mode & 0o777 for found in path.parent.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    store.close()
    path.chmod(0o644)
    assert get(SqliteStore(path, FakeClock().wall), "a") == "1"
    assert path.stat().st_mode & 0o777 == 0o600


def test_records_survive_a_restart(store: SqliteStore, path: Path) -> None:
    """And the file is in WAL mode with a schema version."""
    store.close()
    assert get(SqliteStore(path, FakeClock().wall), "a") == "1"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    connection.close()


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be one" * 100, b"SQLite format 3\0" + b"\xff" * 9000]
)
def test_a_damaged_file_is_set_aside_and_begun_anew(path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """Once, with one line that says so."""
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    store = SqliteStore(path, FakeClock().wall)
    put(store, "a", "1")
    assert get(store, "a") == "1"
    aside = list(path.parent.glob("ledger.sqlite3.damaged-*"))
    assert [found.read_bytes() for found in aside] == [content]
    assert caplog.text.count("was moved to") == 1


def test_a_truncated_file_is_begun_anew(store: SqliteStore, path: Path) -> None:
    """Cut in the middle of a page, also under an open store."""
    for number in range(200):
        put(store, f"k{number}", "x" * 500)
    store.close()
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2 + 100)
    again = SqliteStore(path, FakeClock().wall)
    for number in range(200):
        put(again, f"k{number}", "y")
    assert get(again, "k199") == "y"


def test_an_empty_file_is_a_new_one(path: Path) -> None:
    """As a crash at the very first start leaves it."""
    path.parent.mkdir(parents=True)
    path.touch()
    store = SqliteStore(path, FakeClock().wall)
    put(store, "a", "1")
    assert get(store, "a") == "1"


def test_a_deleted_file_is_made_again_and_its_log_is_not_read_into_it(store: SqliteStore, path: Path) -> None:
    """Two processes must not keep two books."""
    path.unlink()
    assert get(store, "a") is None
    put(store, "a", "2")
    assert get(SqliteStore(path, FakeClock().wall), "a") == "2"


def test_a_replaced_file_is_noticed(store: SqliteStore, path: Path, tmp_path: Path) -> None:
    """By its inode."""
    other = SqliteStore(tmp_path / "other.sqlite3", FakeClock().wall)
    put(other, "a", "other")
    other.close()
    (tmp_path / "other.sqlite3").replace(path)
    for companion in ("-wal", "-shm"):
        Path(f"{path}{companion}").unlink(missing_ok=True)
    assert get(store, "a") == "other"


def test_a_newer_schema_is_refused_and_left_alone(store: SqliteStore, path: Path) -> None:
    """With what to do."""
    store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnusable, match=r"newer version \(schema 7, this one knows 1\); set GROQ_FALLBACK_STATE"):
        put(SqliteStore(path, FakeClock().wall), "a", "1")
    assert path.read_bytes() == before


@pytest.mark.parametrize("application", [0, 42])
def test_a_database_of_something_else_is_refused_and_left_alone(path: Path, application: int) -> None:
    """A path that was meant for another program."""
    path.parent.mkdir(parents=True)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE letters (text)")
        connection.execute(f"PRAGMA application_id = {application}")
    connection.close()
    with pytest.raises(StoreUnusable, match="is a database of another program"):
        put(SqliteStore(path, FakeClock().wall), "a", "1")
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("letters",)]
    connection.close()


def test_a_folder_that_cannot_be_made_is_told_and_used_once_it_can(tmp_path: Path) -> None:
    """Here a file stands in its way."""
    (tmp_path / "state").write_text("in the way")
    store = SqliteStore(tmp_path / "state" / "ledger.sqlite3", FakeClock().wall)
    with pytest.raises(StoreUnusable, match="state"):
        put(store, "a", "1")
    (tmp_path / "state").unlink()
    put(store, "a", "1")
    assert get(store, "a") == "1"


def test_a_full_disk_is_told_and_survived(store: SqliteStore, path: Path) -> None:
    """SQLite's own page limit stands in for the disk."""
    connection = store._connected().connection
    connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StoreUnusable, match="full"):
        put(store, "b", "x" * 300_000)
    # the limit was that connection's
    put(store, "b", "x" * 300_000)
    assert get(store, "a") == "1"


def test_a_read_only_file_is_told(store: SqliteStore, path: Path) -> None:
    """Whatever the reason."""
    store._connected().connection.execute("PRAGMA query_only = 1")
    with pytest.raises(StoreUnusable, match="readonly"):
        put(store, "a", "2")
    assert get(store, "a") == "1"


def test_bytes_that_are_no_text_are_replaced(store: SqliteStore, path: Path) -> None:
    """They must not stand in the way for ever."""
    with contextlib.closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE records SET body = CAST(x'fffe' AS TEXT)")
    assert get(store, "a") == "\udcff\udcfe"
    put(store, "a", "2")
    assert get(store, "a") == "2"


def test_a_change_that_fails_leaves_nothing_behind(store: SqliteStore) -> None:
    """A bug costs its own transaction, not the next one."""

    def broken(view: Snapshot) -> Writes[None]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.transact(["a"], broken)
    put(store, "a", "2")
    assert get(store, "a") == "2"


def test_a_stopped_lock_holder_costs_a_quarter_of_a_second(store: SqliteStore, path: Path) -> None:
    """And not more; when it goes on, so do we."""
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    started = time.monotonic()
    with pytest.raises(StoreUnusable, match="locked"):
        put(store, "a", "2")
    assert time.monotonic() - started < 1.0
    holder.execute("ROLLBACK")
    holder.close()
    put(store, "a", "2")


def test_what_was_acknowledged_survives_a_kill_and_the_next_writer_does_not_wait(path: Path) -> None:
    """Kill -9 in the middle of writing, ten times."""
    program = (
        "import sys, time; from pathlib import Path; from groq_fallback_mcp.quota.sqlite import SqliteStore;"
        "from groq_fallback_mcp.quota.store import Writes, Record\n"
        "store = SqliteStore(Path(sys.argv[1]), time.time)\n"
        "n = int(sys.argv[2])\n"
        "while True:\n"
        "    n += 1\n"
        "    store.transact(['n'], lambda view: Writes(result=None, writes={'n': Record(body=str(n))}))\n"
        "    print(n, flush=True)\n"
    )
    last = 0
    store = SqliteStore(path, FakeClock().wall)
    for _ in range(10):
        child = subprocess.Popen([sys.executable, "-c", program, str(path), str(last)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(20)]
        child.send_signal(signal.SIGKILL)
        acknowledged = int((lines + child.stdout.read().splitlines(keepends=True))[-1])
        child.stdout.close()
        child.wait()
        started = time.monotonic()
        written = int(get(store, "n") or 0)
        put(store, "m", "1")
        assert time.monotonic() - started < 0.5
        assert written >= acknowledged
        last = written


def test_simultaneous_first_opens_all_succeed(path: Path) -> None:
    """Switching to WAL does not wait for a lock by itself."""
    failures: list[BaseException] = []
    barrier = threading.Barrier(8)

    def first(number: int) -> None:
        barrier.wait()
        try:
            store = SqliteStore(path, FakeClock().wall)
            put(store, f"k{number}", "1")
            store.close()
        except BaseException as error:  # noqa: BLE001 - it is what the test is about
            failures.append(error)

    threads = [threading.Thread(target=first, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store = SqliteStore(path, FakeClock().wall)
    assert [get(store, f"k{number}") for number in range(8)] == ["1"] * 8


def test_of_several_processes_that_find_a_damaged_file_one_sets_it_aside(path: Path) -> None:
    """The others use what it has begun."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged " * 2000)
    program = (
        "import sys, time; from pathlib import Path; from groq_fallback_mcp.quota.sqlite import SqliteStore;"
        "from groq_fallback_mcp.quota.store import Writes, Record\n"
        "sys.stdin.readline()\n"
        "store = SqliteStore(Path(sys.argv[1]), time.time)\n"
        "store.transact([sys.argv[2]], lambda view: Writes(result=None, writes={sys.argv[2]: Record(body='1')}))\n"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(path), f"k{number}"], stdin=subprocess.PIPE) for number in range(6)
    ]
    time.sleep(0.5)
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.close()
    assert [child.wait() for child in children] == [0] * 6
    assert len(list(path.parent.glob("*.damaged-*"))) == 1
    store = SqliteStore(path, FakeClock().wall)
    assert [get(store, f"k{number}") for number in range(6)] == ["1"] * 6


@pytest.mark.parametrize("moment", ["_set_aside", "_set_up", "_lock"])
def test_a_damaged_file_that_another_process_sets_aside_at_any_moment_is_begun_anew(
    path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between any two steps of the process that finds it."""
    path.parent.mkdir(parents=True)
    path.write_bytes(b"damaged " * 2000)
    store = SqliteStore(path, FakeClock().wall)
    real = getattr(store, moment)

    def after_another_process(*arguments: object) -> object:
        if path.exists() and path.read_bytes()[:7] == b"damaged":
            path.rename(path.with_name("set-aside"))
        return real(*arguments)

    monkeypatch.setattr(store, moment, after_another_process)
    put(store, "k", "1")
    assert get(store, "k") == "1"


def test_a_file_that_vanishes_between_the_look_and_the_opening_is_made_again_for_nobody_else(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite by itself would make it readable for all."""
    store = SqliteStore(path, FakeClock().wall)
    real = store._prepare_file
    vanish = iter([True])

    def prepared() -> None:
        real()
        if next(vanish, False):
            path.unlink()

    monkeypatch.setattr(store, "_prepare_file", prepared)
    put(store, "k", "1")
    assert get(store, "k") == "1"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_replaced_while_it_is_opened_is_not_taken_for_the_one_opened(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two processes would keep two books."""
    other = path.with_name("other.sqlite3")
    path.parent.mkdir(parents=True)
    theirs = SqliteStore(other, FakeClock().wall)
    put(theirs, "k", "theirs")
    theirs.close()
    store = SqliteStore(path, FakeClock().wall)
    real = store._set_up

    def set_up(connection: sqlite3.Connection) -> None:
        real(connection)
        if other.exists():
            other.rename(path)
            for companion in ("-wal", "-shm"):
                Path(f"{path}{companion}").unlink(missing_ok=True)

    monkeypatch.setattr(store, "_set_up", set_up)
    assert get(store, "k") == "theirs"
