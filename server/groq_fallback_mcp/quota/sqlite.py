"""A store for all processes of one machine: a SQLite file, by default in the user's state folder.

WAL and BEGIN IMMEDIATE: readers never wait, writers wait for each other 250 ms at most. The file is a cache of what the
provider knows better, so nothing is forced to disk at each commit: a killed process loses nothing, a power cut at most
the last moments.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from groq_fallback_mcp.atomic_file import partial_name, replace_file
from groq_fallback_mcp.quota.sqlite_transaction import Records, begin, code_of, is_damage, to_wal, transaction
from groq_fallback_mcp.quota.store import NOT_NOW, NotNow, Record, Snapshot, StoreUnusable, Writes
from groq_fallback_mcp.system import on_windows

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["SqliteStore"]

_log = logging.getLogger(__name__)

T = TypeVar("T")
BUSY_S = 0.25
# SQLite waits longer from try to try and so loses to newcomers; many short waits are fair to all.
TRY_MS = 4
# once for the damage, and a few more for what other processes do to the file meanwhile
OPENINGS = 5
# Transactions until a checkpoint: some 4 MB of log at most.
PUT_OFF = 200
APPLICATION_ID = 0x67_66_6D_31
SCHEMA_VERSION = 1
_ELSEWHERE = "set GROQ_FALLBACK_STATE to another path"
_SCHEMA = (
    "CREATE TABLE records (key TEXT PRIMARY KEY, body TEXT NOT NULL, expires_at REAL) WITHOUT ROWID",
    "CREATE INDEX records_due ON records (expires_at) WHERE expires_at IS NOT NULL",
    f"PRAGMA application_id = {APPLICATION_ID}",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
)
# Free pages in the file itself: when the disk is full, the log can be put there, and cut.
_RESERVE = ("CREATE TABLE reserve (page BLOB)", "INSERT INTO reserve VALUES (zeroblob(131072))", "DROP TABLE reserve")
_DUE = "SELECT CAST(key AS BLOB) FROM records WHERE expires_at <= ? ORDER BY expires_at LIMIT ?"
_NOT_TEXT = "SELECT 1 FROM records WHERE typeof(key) <> 'text' LIMIT 1"


class SqliteStore:
    """Keeps records in the file at `path`. `wall` gives Unix seconds. `transact_now` belongs to the event loop's thread, all else to one of the store's own.

    A damaged file is set aside once, by one of the processes that find it, and replaced by one with the records of `on_loss`. One
    that is deleted while it is open is noticed and made again. A file of a newer version, or of something else, is refused
    and left alone. After any other fault the next transaction opens the file again, so that it recovers when its cause is gone.
    """

    def __init__(
        self,
        path: Path,
        wall: Callable[[], float],
        *,
        busy_s: float = BUSY_S,
        on_loss: Callable[[float], Mapping[str, Record]] | None = None,
    ) -> None:
        self._path = path
        self._wall = wall
        self._on_loss = on_loss
        self._busy_s = busy_s
        self._records: Records | None = None
        self._inode: tuple[int, int] | None = None
        self._log: tuple[int, int] | None = None
        # of the event loop's thread: it waits for no lock, and leaves checkpoints, which wait for the disk, to `checkpoint`
        self._quick: Records | None = None
        self._quick_lock = threading.Lock()
        self._put_off = 0

    @property
    def name(self) -> str:
        return "sqlite"

    @property
    def place(self) -> str:
        return str(self._path)

    def transact(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        return self._guarded(lambda records: transaction(records, self._wall, self._busy_s, keys, change, writing=writing))

    def transact_now(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T | NotNow:
        if not self._quick_lock.acquire(blocking=False):
            return NOT_NOW
        try:
            if self._quick is None or not self._same_file():
                return NOT_NOW
            done = transaction(self._quick, self._wall, 0.0, keys, change, writing=writing)
        except sqlite3.Error as error:
            if code_of(error) != sqlite3.SQLITE_BUSY:
                self._close_quick()
            return NOT_NOW
        finally:
            self._quick_lock.release()
        self._put_off += writing
        return done

    @property
    def needs_checkpoint(self) -> bool:
        return self._put_off >= PUT_OFF

    def checkpoint(self) -> None:
        self._put_off = 0
        with contextlib.suppress(sqlite3.Error, OSError, StoreUnusable):
            self._connected().connection.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def due(self, limit: int) -> Sequence[str]:
        if self._records is not None and self._log_now() != self._log:
            # removed under us: what is written goes to a file that no other process can read
            self.close()
        return self._guarded(lambda records: self._due(records.connection, limit))

    def _due(self, connection: sqlite3.Connection, limit: int) -> list[str]:
        found: list[bytes] = [row[0] for row in connection.execute(_DUE, (self._wall(), limit))]
        foreign = [key for key in found if not key.isascii()]
        if foreign:
            # no key of ours: left there, they would be found again and again in the place of others
            connection.executemany("DELETE FROM records WHERE CAST(key AS BLOB) = ?", [(key,) for key in foreign])
        if connection.execute(_NOT_TEXT).fetchone() is not None:
            connection.execute("DELETE FROM records WHERE typeof(key) <> 'text'")
            found = [row[0] for row in connection.execute(_DUE, (self._wall(), limit))]
        return [key.decode() for key in found if key.isascii()]

    def close(self) -> None:
        with self._quick_lock:
            self._close_quick()
        _close(self._records)
        self._records = None

    def _close_quick(self) -> None:
        _close(self._quick)
        self._quick = None

    def _guarded(self, work: Callable[[Records], T]) -> T:
        """The result of `work`, after setting a damaged file aside or making room on the disk if need be."""
        made_room = False
        for attempt in range(OPENINGS):
            try:
                return work(self._connected())
            except (sqlite3.Error, OSError) as error:
                if not made_room and isinstance(error, sqlite3.Error) and self._made_room(error):
                    made_room = True
                    continue
                if attempt == OPENINGS - 1 or not self._is_mended(error):
                    if not (isinstance(error, sqlite3.Error) and code_of(error) == sqlite3.SQLITE_BUSY):
                        # a connection that has met a fault may go on meeting it when its cause is gone
                        self.close()
                    raise self._unusable(error) from error
                self.close()
        raise AssertionError  # pragma: no cover - the last attempt returned or raised

    def _made_room(self, error: sqlite3.Error) -> bool:
        """Whether there may be room now, where there was none: the log is put into the file, of which little is new."""
        if code_of(error) not in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR} or self._records is None:
            return False
        with self._quick_lock:
            self._close_quick()
        try:
            busy, *_ = self._records.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error:
            return False
        return not busy

    def _is_mended(self, error: sqlite3.Error | OSError) -> bool:
        """Whether opening the file again may help: this process has set it aside, or another has, at whatever moment."""
        if isinstance(error, OSError):
            return isinstance(error, FileNotFoundError)
        if not self._same_file():
            return True
        if is_damage(error):
            self.close()
            self._set_aside(error)
            return True
        # what SQLite says of a companion that vanishes while it opens
        return self._records is None and code_of(error) == sqlite3.SQLITE_IOERR

    def _connected(self) -> Records:
        if self._records is not None:
            if self._same_file():
                if self._quick is None:
                    self._open_quick()
                return self._records
            # deleted or replaced under us: two processes would keep two books
            self.close()
        self._prepare_file()
        self._inode = _inode(self._path)
        connection = self._open(self._busy_s)
        try:
            self._set_up(connection)
            if not self._same_file():
                raise FileNotFoundError(errno.ENOENT, "replaced while it was opened")  # noqa: TRY301 - closed below
        except BaseException:
            connection.close()
            raise
        self._log = self._log_now()
        self._records = records = Records(connection)
        self._open_quick()
        return records

    def _open(self, busy_s: float) -> sqlite3.Connection:
        # never created here: only `_prepare_file` does, under the lock and for nobody else
        return sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw", uri=True, timeout=busy_s, isolation_level=None, check_same_thread=False
        )

    def _open_quick(self) -> None:
        with contextlib.suppress(sqlite3.Error), self._quick_lock:
            self._quick = Records(self._opened_quick())

    def _opened_quick(self) -> sqlite3.Connection:
        connection = self._open(0.0)
        try:
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute("PRAGMA wal_autocheckpoint = 0")
        except BaseException:
            connection.close()
            raise
        connection.text_factory = _as_it_is
        return connection

    def _same_file(self) -> bool:
        try:
            return _inode(self._path) == self._inode
        except OSError:
            return False

    def _log_now(self) -> tuple[int, int] | None:
        try:
            return _inode(Path(f"{self._path}-wal"))
        except OSError:
            return None

    def _prepare_file(self) -> None:
        """The private folder, and the file; SQLite gives its companions the same mode."""
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._path.exists():
            try:
                with self._lock():
                    if not self._path.exists():
                        # what a deleted file left behind would be read into the new one
                        self._unlink_companions()
                        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            except TimeoutError as error:
                raise StoreUnusable(f"{self._path}: another process holds {self._path}.lock") from error
        descriptor = os.open(self._path, os.O_RDWR)
        try:
            if not on_windows() and stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)

    def _set_up(self, connection: sqlite3.Connection) -> None:
        version, application = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
        )
        if version == 0 and application == 0:
            self._create(connection)
        elif application != APPLICATION_ID:
            raise self._foreign()
        elif version > SCHEMA_VERSION:
            raise StoreUnusable(
                f"{self._path} was written by a newer version (schema {version}, this one knows {SCHEMA_VERSION}); {_ELSEWHERE}"
            )
        connection.execute("PRAGMA synchronous = NORMAL")
        # no such table, or a wrong one: not ours to repair
        connection.execute("SELECT key, body, expires_at FROM records LIMIT 1").fetchone()
        connection.execute(f"PRAGMA busy_timeout = {TRY_MS}")
        # garbage must be seen as it is, to be replaced
        connection.text_factory = _as_it_is

    def _create(self, connection: sqlite3.Connection, kept: Mapping[str, Record] | None = None) -> None:
        # a new file holds nothing yet that a power cut could take: no wait for the disk in somebody's first call
        connection.execute("PRAGMA synchronous = OFF")
        to_wal(connection)
        begin(connection, self._busy_s)
        try:
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                    raise self._foreign()  # noqa: TRY301 - the transaction is rolled back below
                for statement in _SCHEMA:
                    connection.execute(statement)
                rows = [(key, record.body, record.expires_at) for key, record in (kept or {}).items()]
                connection.executemany("INSERT INTO records VALUES (?, ?, ?)", rows)
                for statement in _RESERVE:
                    connection.execute(statement)
            connection.execute("COMMIT")
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise

    def _set_aside(self, damage: Exception) -> None:
        """Replace the damaged file, unless another process has done so meanwhile."""
        try:
            damaged = _inode(self._path)
            with self._lock():
                if _inode(self._path) != damaged or not self._is_damaged():
                    return
                aside = self._path.with_name(f"{self._path.name}.damaged-{int(self._wall())}-{os.getpid()}")
                self._replace(aside)
        except FileNotFoundError:
            # another process was first
            return
        except (OSError, sqlite3.Error) as error:
            raise StoreUnusable(f"{self._path} is damaged ({damage}) and cannot be moved away: {error}") from error
        _log.warning(
            "%s is damaged (%s) and was moved to %s; limits start over, and today's spending is unknown",
            self._path,
            damage,
            aside.name,
        )

    def _replace(self, aside: Path) -> None:
        """Put a new file in the place of the damaged one, which keeps the name `aside`: never is there none, to be begun as if nothing was lost."""
        new = self._path.with_name(partial_name())
        os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        try:
            with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as connection:
                self._create(connection, {} if self._on_loss is None else self._on_loss(self._wall()))
            try:
                aside.hardlink_to(self._path)
            except OSError:
                self._path.rename(aside)
            # what is left of the old log would be read into the new file
            self._unlink_companions()
            replace_file(new, self._path)
        except BaseException:
            # where the damaged file cannot be replaced while others have it open, each try would leave one more name of it
            with contextlib.suppress(OSError):
                if _inode(aside) == _inode(self._path):
                    aside.unlink()
            for name in (new, *(Path(f"{new}{companion}") for companion in ("-wal", "-shm"))):
                name.unlink(missing_ok=True)
            raise

    def _lock(self) -> FileLock:
        """Raises filelock's Timeout, a TimeoutError, when it cannot be had."""
        from filelock import FileLock

        return FileLock(f"{self._path}.lock", timeout=self._busy_s, mode=0o600)

    def _unlink_companions(self) -> None:
        for companion in ("-wal", "-shm"):
            Path(f"{self._path}{companion}").unlink(missing_ok=True)

    def _is_damaged(self) -> bool:
        try:
            with contextlib.closing(
                sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=self._busy_s)
            ) as connection:
                return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok")
        except sqlite3.Error as error:
            return is_damage(error)

    def _foreign(self) -> StoreUnusable:
        return StoreUnusable(f"{self._path} is a database of another program; {_ELSEWHERE}")

    def _unusable(self, error: Exception) -> StoreUnusable:
        return StoreUnusable(f"{self._path}: {(isinstance(error, OSError) and error.strerror) or error}")


def _as_it_is(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _close(records: Records | None) -> None:
    if records is not None:
        with contextlib.suppress(sqlite3.Error):
            records.connection.close()


def _inode(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino
