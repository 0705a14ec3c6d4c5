"""Answers kept for a while, so that the same question need not be asked again. Off unless a time to live is set.

The key is a digest of the whole question; no API key goes into it, and none is stored. The file is readable by its owner
alone, as it holds answers. Whatever is wrong with it costs the answer that was kept, never a call.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread

from groq_fallback_mcp.call import ChatRequest
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.redaction import sanitize_json

__all__ = ["Kept", "ResponseCache"]

MOST_ANSWERS = 10_000
BUSY_S = 0.25
_SCHEMA = "CREATE TABLE IF NOT EXISTS answers (question TEXT PRIMARY KEY, kept_at REAL NOT NULL, answer TEXT NOT NULL)"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """An answer from before: the tool's text and structured result, and how many seconds old it is."""

    text: str
    structured: Mapping[str, Any]
    age_s: float


class ResponseCache:
    """Answers of the last `ttl_s` seconds in a SQLite file, shared by all processes."""

    def __init__(self, path: Path, *, ttl_s: float, clock: Clock) -> None:
        self._path = path
        self._ttl_s = ttl_s
        self._clock = clock

    async def get(self, request: ChatRequest) -> Kept | None:
        """The answer to the same question, None without one that is young enough."""
        now = self._clock.wall()
        found = await anyio.to_thread.run_sync(self._read, _question(request), now - self._ttl_s)
        if found is None:
            return None
        kept_at, answer = found
        return Kept(text=answer["text"], structured=answer["structured"], age_s=max(now - kept_at, 0.0))

    async def put(self, request: ChatRequest, *, text: str, structured: Mapping[str, Any]) -> None:
        """Keep an answer; those too old, and the oldest of too many, go."""
        answer = json.dumps(sanitize_json({"text": text, "structured": structured}), ensure_ascii=False)
        await anyio.to_thread.run_sync(self._write, _question(request), self._clock.wall(), answer)

    def _read(self, question: str, oldest: float) -> tuple[float, dict[str, Any]] | None:
        query = "SELECT kept_at, answer FROM answers WHERE question = ? AND kept_at >= ?"
        try:
            with closing(self._open()) as connection:
                row: tuple[float, str] | None = connection.execute(query, (question, oldest)).fetchone()
                return None if row is None else (row[0], json.loads(row[1]))
        except (sqlite3.Error, OSError, ValueError) as error:
            _log.warning("the response cache cannot be read: %s", error)
            return None

    def _write(self, question: str, now: float, answer: str) -> None:
        try:
            with closing(self._open()) as connection, connection:
                connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?, ?)", (question, now, answer))
                connection.execute("DELETE FROM answers WHERE kept_at < ?", (now - self._ttl_s,))
                rest = "SELECT question FROM answers ORDER BY kept_at DESC LIMIT -1 OFFSET ?"
                connection.execute(f"DELETE FROM answers WHERE question IN ({rest})", (MOST_ANSWERS,))  # noqa: S608 - fixed text
        except (sqlite3.Error, OSError) as error:
            _log.warning("the response cache cannot be written: %s", error)

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        connection = sqlite3.connect(self._path, timeout=BUSY_S)
        connection.execute(_SCHEMA)
        return connection


def _question(request: ChatRequest) -> str:
    """What makes two questions the same: every word and every value that shapes the answer."""
    text = json.dumps(asdict(request), sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=24).hexdigest()
