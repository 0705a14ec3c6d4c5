"""Transactions of SQLite as the store needs them: computed without a lock, written under one that is held for a moment."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from groq_fallback_mcp.quota.store import Record, Snapshot, Writes

__all__ = ["Records", "begin", "code_of", "is_damage", "to_wal", "transaction"]

T = TypeVar("T")
MOST_KNOWN = 512
_WRITE = (
    "INSERT INTO records (key, body, expires_at) VALUES {} "
    "ON CONFLICT (key) DO UPDATE SET body = excluded.body, expires_at = excluded.expires_at"
)
_DELETE = "DELETE FROM records WHERE key = ?"


class Records:
    """The records of a file as one connection has read or written them, known until another connection writes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self._version: int | None = None
        self._known: dict[str, str | None] = {}

    def read(self, keys: Sequence[str]) -> Mapping[str, str]:
        """The bodies of those of `keys` that exist, all as they were at one moment."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        known = self._known
        while True:
            version = self._version_now()
            if version != self._version:
                self._version = version
                known.clear()
            unknown = [key for key in keys if key not in known]
            if not unknown:
                break
            select = f"SELECT key, body FROM records WHERE key IN ({','.join('?' * len(unknown))})"  # noqa: S608 - only question marks
            found = self.connection.execute(select, unknown).fetchall()
            known.update(dict.fromkeys(unknown))
            # what is no text was not written here: as it stands it can only be replaced
            known.update((key, body if isinstance(body, str) else "") for key, body in found)
        return {key: body for key in keys if (body := known[key]) is not None}

    def are_current(self) -> bool:
        """Whether no other connection has written since; that stays so only under the lock."""
        return self._version == self._version_now()

    def write(self, writes: Mapping[str, Record | None]) -> None:
        """Write records, None deletes, and commit; a transaction has begun."""
        kept = [(key, record.body, record.expires_at) for key, record in writes.items() if record is not None]
        if kept:
            rows = ", ".join(["(?, ?, ?)"] * len(kept))
            self.connection.execute(_WRITE.format(rows), [value for row in kept for value in row])
        for key, record in writes.items():
            if record is None:
                self.connection.execute(_DELETE, (key,))
        self.connection.execute("COMMIT")
        self._known.update((key, None if record is None else record.body) for key, record in writes.items())

    def forget(self) -> None:
        """Know nothing any more."""
        self._known.clear()

    def _version_now(self) -> int:
        # changed by what others write, not by what this connection does
        return int(self.connection.execute("PRAGMA data_version").fetchone()[0])


def transaction(
    records: Records,
    wall: Callable[[], float],
    busy_s: float,
    keys: Sequence[str],
    change: Callable[[Snapshot], Writes[T]],
    *,
    writing: bool,
) -> T:
    """Compute without a lock, then write under one if nothing has changed meanwhile, else compute again under it.

    So what writes nothing, a refusal above all, keeps nobody waiting, and a lock is held for a moment only.
    """
    done = change(Snapshot(now=wall(), bodies=records.read(keys)))
    if not done.writes or not writing:
        return done.result
    begin(records.connection, busy_s)
    try:
        if not records.are_current():
            # the time is read under the lock, so that it never runs back from one writer to the next
            done = change(Snapshot(now=wall(), bodies=records.read(keys)))
        records.write(done.writes)
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            records.connection.execute("ROLLBACK")
        # a commit may have been made all the same, and one's own writes do not change the version
        records.forget()
        raise
    return done.result


def begin(connection: sqlite3.Connection, busy_s: float) -> None:
    """Begin to write, after other writers have ended, at most `busy_s` from now."""
    end = time.monotonic() + busy_s
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if code_of(error) != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
        else:
            return


def to_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. SQLite does not wait for its own lock here, so simultaneous first opens collide: try again."""
    for attempt in range(50):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if attempt == 49 or is_damage(error):
                raise
            time.sleep(0.005)
        else:
            return


def is_damage(error: sqlite3.Error) -> bool:
    """Whether the file is no database, or not whole."""
    return code_of(error) in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def code_of(error: sqlite3.Error) -> int | None:
    """SQLite's primary result code, where the error is SQLite's and not the module's."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
