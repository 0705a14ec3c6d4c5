"""One job at a time, off the event loop: the engines compute for seconds and serve one caller each."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

import anyio
import anyio.to_thread

from groq_fallback_mcp.audio.pcm import AbandonedError

__all__ = ["AbandonedError", "Stopped", "Turns"]

Result = TypeVar("Result")
Stopped = Callable[[], bool]

CLOSE_S = 5.0


class Turns:
    """Jobs run in a worker thread, one after the other.

    A caller that is cancelled leaves at once; its job is told by `stopped()` and ends at the next place it looks.
    """

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(1)
        # The limiter is free again as soon as a caller leaves, the lock only when its thread is done.
        self._running = threading.Lock()
        self._closed = threading.Event()

    async def take(self, job: Callable[[Stopped], Result]) -> Result:
        """Run `job` when its turn has come. Raises AbandonedError after `close`, and whatever the job raises."""
        left = threading.Event()

        def stopped() -> bool:
            return left.is_set() or self._closed.is_set()

        def in_turn() -> Result:
            with self._running:
                if stopped():
                    raise AbandonedError
                return job(stopped)

        try:
            return await anyio.to_thread.run_sync(in_turn, abandon_on_cancel=True, limiter=self._limiter)
        finally:
            left.set()

    async def close(self, release: Callable[[], None]) -> None:
        """Stop the running job, take no more, then `release` what they used. Waits at most `CLOSE_S` seconds."""
        self._closed.set()

        def last() -> None:
            with self._running:
                release()

        with anyio.move_on_after(CLOSE_S, shield=True):
            # Its own limiter: the last word does not queue behind callers that are about to be turned away.
            await anyio.to_thread.run_sync(last, abandon_on_cancel=True, limiter=anyio.CapacityLimiter(1))
