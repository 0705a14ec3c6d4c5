"""Time as a dependency, so that no test sleeps and no decision reads a global."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from typing import Protocol

import anyio

__all__ = ["Clock", "SystemClock", "today"]


class Clock(Protocol):
    """Two readings and a pause, all in seconds."""

    def monotonic(self) -> float:
        """Seconds that never go back: for deadlines and durations inside one process."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch: for what processes share, quota above all."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Pause for `seconds`; cancellable."""
        ...


class SystemClock:
    """The machine's own clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)


def today(clock: Clock) -> date:
    """The UTC date of `clock.wall()`; lifecycle dates in the catalog are UTC days."""
    return datetime.fromtimestamp(clock.wall(), tz=UTC).date()
