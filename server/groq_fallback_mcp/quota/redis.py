"""A store for all machines that reach one Redis or Valkey server.

One script compares what was read with what is there and writes, or answers what is there now; then the change is
computed again. Whoever loses a race loses it to somebody who got on, and the time is the server's, the same for all.
Keys share a hash tag, so that a cluster keeps them on one node.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from groq_fallback_mcp.quota.store import NOT_NOW, NotNow, Snapshot, StoreUnusable, Writes
from groq_fallback_mcp.redaction import sanitize_message
from groq_fallback_mcp.render import excerpt

__all__ = ["RedisStore"]

T = TypeVar("T")
TIME_LIMIT_S = 0.25
PREFIX = "{groq-fallback-mcp}:"
DUE = f"{PREFIX}due"
UNREAD = "?"
# The year 5138: a clock may be wrong, but not so.
LATEST_S = 1e11


class RedisStore:
    """Keeps records under keys of the server at `url`. `wall` stands in for the server's clock in tests.

    `time_limit_s` bounds a connection, an answer, and a transaction that others keep winning against.
    """

    def __init__(self, url: str, wall: Callable[[], float] | None = None, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        parts = urlsplit(url)
        self._place = f"{parts.scheme}://{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
        self._wall = wall
        self._time_limit_s = time_limit_s
        self._client: Any = redis.Redis.from_url(
            url,
            socket_timeout=time_limit_s,
            socket_connect_timeout=time_limit_s,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
            # garbage must be seen as it is, to be replaced
            encoding_errors="surrogateescape",
        )
        source = resources.files("groq_fallback_mcp.quota").joinpath("swap.lua").read_text(encoding="utf-8")
        self._swap: Any = self._client.register_script(source)

    @property
    def name(self) -> str:
        return "redis"

    @property
    def place(self) -> str:
        return self._place

    def transact(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        del writing
        names = [*(PREFIX + key for key in keys), DUE]
        end = time.monotonic() + self._time_limit_s
        seen = [UNREAD] * len(keys)
        writes: list[str] = []
        result: list[T] = []
        while True:
            now, written, bodies_now = self._call(names, [*seen, *writes])
            if written and result:
                return result[0]
            if result and time.monotonic() > end:
                raise StoreUnusable(f"{self._place}: too busy to be written within {self._time_limit_s:g} s")
            seen = bodies_now
            bodies = {key: body[1:] for key, body in zip(keys, seen, strict=True) if body}
            done = change(Snapshot(now=now, bodies=bodies))
            if not done.writes:
                return done.result
            result = [done.result]
            place = {key: index for index, key in enumerate(keys, start=1)}
            writes = [
                part
                for key, record in done.writes.items()
                for part in (
                    str(place[key]),
                    "" if record is None else f"={record.body}",
                    "" if record is None or record.expires_at is None else repr(record.expires_at),
                )
            ]

    def transact_now(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T | NotNow:
        del keys, change, writing
        # an answer over the network is always waited for
        return NOT_NOW

    @property
    def needs_checkpoint(self) -> bool:
        return False

    def checkpoint(self) -> None:
        """Nothing is put off."""

    def due(self, limit: int) -> Sequence[str]:
        def ask() -> list[str]:
            found: object = self._client.zrangebyscore(DUE, "-inf", self._now(), start=0, num=limit)
            return [_text(key).removeprefix(PREFIX) for key in _list(found)]

        try:
            return self._understood(ask)
        except StoreUnusable as error:
            if "WRONGTYPE" not in str(error):
                raise
            # the next transaction that writes puts it right
            return ()

    def close(self) -> None:
        self._client.close()

    def _now(self) -> float:
        if self._wall is not None:
            return self._wall()
        seconds, micros = self._client.time()
        return _seconds(f"{seconds}.{micros:06}")

    def _call(self, names: Sequence[str], arguments: Sequence[str]) -> tuple[float, bool, list[str]]:
        """The time, whether the writes were made, and the records as they are where they were not."""
        now = "" if self._wall is None else repr(self._wall())

        def ask() -> tuple[float, bool, list[str]]:
            reply = _list(self._swap(keys=names, args=[now, *arguments]))
            written = reply[1] == 1
            bodies = [_text(body) for body in reply[2:]]
            if len(bodies) != (0 if written else len(names) - 1) or not all(body[:1] in {"", "="} for body in bodies):
                message = f"a reply of {len(reply)} parts"
                raise ValueError(message)
            return _seconds(reply[0]), written, bodies

        return self._understood(ask)

    def _understood(self, ask: Callable[[], T]) -> T:
        """What the server answers. Whatever is not understood, by us or by its client, means that it cannot be used."""
        try:
            return ask()
        except Exception as error:
            # replies that are still on their way would be taken for those of the next question
            with contextlib.suppress(Exception):
                self._client.connection_pool.disconnect()
            # redis-py puts no password into its errors, but what a server says is cut all the same
            message = f"{self._place}: {type(error).__name__}: {sanitize_message(str(error)[:200])}"
            raise StoreUnusable(message) from error


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        message = f"{excerpt(value)} instead of a list"
        raise TypeError(message)
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        message = f"{excerpt(value)} instead of a text"
        raise TypeError(message)
    return value


def _seconds(value: object) -> float:
    found = float(_text(value))
    if not 0 <= found < LATEST_S:
        message = "an invalid time"
        raise ValueError(message)
    return found
