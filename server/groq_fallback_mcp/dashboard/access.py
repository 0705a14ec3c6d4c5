"""Who may look: a one-time code from the command line becomes a browser's session. Both are random, bounded, and end by themselves.

Only hashes are kept: how long a look-up takes tells nothing about a value that nobody can choose.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

__all__ = ["CODE_LIFE_S", "SESSION_LIFE_S", "Access"]

CODE_LIFE_S = 60.0
SESSION_LIFE_S = 12 * 3_600.0
MOST_CODES = 8
MOST_SESSIONS = 16
_BYTES = 32
LONGEST = 128


class Access:
    """The codes and sessions of one server, in memory: they end with it. `monotonic` is the clock."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._codes = _Passes(MOST_CODES, CODE_LIFE_S, monotonic)
        self._sessions = _Passes(MOST_SESSIONS, SESSION_LIFE_S, monotonic)

    def new_code(self) -> str:
        """A code that opens one session within CODE_LIFE_S seconds. The oldest of too many is given up."""
        return self._codes.new()

    def redeem(self, code: str) -> str | None:
        """The new session that a code opens; None where the code is wrong, was used, or is too old."""
        return self._sessions.new() if self._codes.take(code) else None

    def is_open(self, session: str) -> bool:
        """Whether a session has begun and not ended."""
        return self._sessions.has(session)


class _Passes:
    """Random values that hold for some time, at most so many, the oldest first."""

    def __init__(self, most: int, life_s: float, monotonic: Callable[[], float]) -> None:
        self._most = most
        self._life_s = life_s
        self._monotonic = monotonic
        self._ends: dict[bytes, float] = {}

    def new(self) -> str:
        now = self._monotonic()
        kept = [(digest, end) for digest, end in self._ends.items() if end > now]
        self._ends = dict(kept[-(self._most - 1) :])
        value = secrets.token_urlsafe(_BYTES)
        self._ends[_digest(value)] = now + self._life_s
        return value

    def has(self, value: str) -> bool:
        return len(value) <= LONGEST and self._ends.get(_digest(value), 0.0) > self._monotonic()

    def take(self, value: str) -> bool:
        """Whether it held; it no longer does."""
        held = self.has(value)
        if held:
            del self._ends[_digest(value)]
        return held


def _digest(value: str) -> bytes:
    return hashlib.sha256(value.encode("utf-8", "replace")).digest()
