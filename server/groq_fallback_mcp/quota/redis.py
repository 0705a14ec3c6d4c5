"""A store for all machines that reach one Redis or Valkey server.

One script compares what was read with what is there and writes, or answers what is there now; then the change is
computed again. Whoever loses a race loses it to somebody who got on, and the time is the server's, the same for all.
Keys share a hash tag, so that a cluster keeps them on one node.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from groq_fallback_mcp.quota.store import NOT_NOW, Change, NotNow, StoreUnusable, View

__all__ = ["RedisStore"]

T = TypeVar("T")
TIME_LIMIT_S = 0.25
PREFIX = "{groq-fallback-mcp}:"
DUE = f"{PREFIX}due"
UNREAD = "?"


class RedisStore:
    """Keeps records under keys of the server at `url`. `wall` stands in for the server's clock in tests.

    `time_limit_s` bounds a connection, an answer, and a transaction that others keep winning against.
    """

    def __init__(self, url: str, wall: Callable[[], float] | None = None, *, time_limit_s: float = TIME_LIMIT_S) -> None:
        parts = urlsplit(url)
        self._place = f"{parts.scheme}://{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
        self._wall = wall
        self._time_limit_s = time_limit_s
        self._client: Any = cast("Any", redis.Redis).from_url(
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

    def transact(self, keys: Sequence[str], change: Callable[[View], Change[T]], *, writing: bool = True) -> T:
        del writing
        names = [*(PREFIX + key for key in keys), DUE]
        end = time.monotonic() + self._time_limit_s
        seen = [UNREAD] * len(keys)
        writes: list[str] = []
        result: list[T] = []
        while True:
            reply = self._call(names, [*seen, *writes])
            if reply[1] == 1 and result:
                return result[0]
            if result and time.monotonic() > end:
                raise StoreUnusable(f"{self._place}: too busy to be written within {self._time_limit_s:g} s")
            seen = reply[2:]
            bodies = {key: body[1:] for key, body in zip(keys, seen, strict=True) if body}
            done = change(View(now=float(reply[0]), bodies=bodies))
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

    def transact_now(self, keys: Sequence[str], change: Callable[[View], Change[T]], *, writing: bool = True) -> T | NotNow:
        del keys, change, writing
        # an answer over the network is always waited for
        return NOT_NOW

    @property
    def wants_rest(self) -> bool:
        return False

    def rest(self) -> None:
        """Nothing is put off."""

    def due(self, limit: int) -> Sequence[str]:
        try:
            now = self._now()
            found: list[str] = self._client.zrangebyscore(DUE, "-inf", now, start=0, num=limit)
        except (redis.RedisError, OSError) as error:
            raise self._unusable(error) from error
        return [key.removeprefix(PREFIX) for key in found]

    def close(self) -> None:
        self._client.close()

    def _now(self) -> float:
        if self._wall is not None:
            return self._wall()
        seconds, micros = self._client.time()
        return float(seconds) + float(micros) / 1e6

    def _call(self, names: Sequence[str], arguments: Sequence[str]) -> list[Any]:
        now = "" if self._wall is None else repr(self._wall())
        try:
            reply: list[Any] = self._swap(keys=names, args=[now, *arguments])
        except (redis.RedisError, OSError) as error:
            raise self._unusable(error) from error
        return reply

    def _unusable(self, error: Exception) -> StoreUnusable:
        # redis-py puts no password into its errors, but what a server says is cut all the same
        return StoreUnusable(f"{self._place}: {type(error).__name__}: {str(error)[:200]}")
