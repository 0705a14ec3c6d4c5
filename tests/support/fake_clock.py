"""A clock that tests move by hand; sleeping moves it too."""

from __future__ import annotations

import anyio


class FakeClock:
    """Both readings advance together. `slept` keeps every pause in seconds."""

    def __init__(self, *, wall: float = 1_795_000_000.0) -> None:
        self._monotonic = 1_000.0
        self._wall = wall
        self.slept: list[float] = []

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self._monotonic

    def wall(self) -> float:
        """Unix seconds; the default is in November 2026."""
        return self._wall

    async def sleep(self, seconds: float) -> None:
        """Advance instead of waiting, and let other tasks run."""
        self.slept.append(seconds)
        self.advance(seconds)
        await anyio.lowlevel.checkpoint()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._monotonic += seconds
        self._wall += seconds

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back, as a user or NTP does."""
        self._wall += seconds
