"""Tells the ledger's history what the engine does: at most once a second, and beside the calls, none of which waits for it."""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import islice

from groq_fallback_mcp.call import CallRecord, CallUnderWay
from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.quota.history import MOST_AT_ONCE
from groq_fallback_mcp.quota.ledger import Ledger

__all__ = ["HistoryWriter"]

_log = logging.getLogger(__name__)

EVERY_S = 1.0
# While the store cannot be used; of more the oldest are lost.
MOST_WAITING = 1_000
# Half the time after which a process counts as gone.
STILL_THERE_S = 7.0
AGAIN_S = 0.02


class HistoryWriter:
    """A CallListener. `under_way` gives the calls of this process that have not ended; `run` writes every `every_s` seconds, by real
    time whatever clock decides about quota, until it is cancelled.
    """

    def __init__(
        self, ledger: Ledger, clock: Clock, *, under_way: Callable[[], Sequence[CallUnderWay]], every_s: float = EVERY_S
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._under_way = under_way
        self._every_s = every_s
        self._process = secrets.token_hex(4)
        self._waiting: deque[CallRecord] = deque(maxlen=MOST_WAITING)
        self._changed = asyncio.Event()
        self._shown: Sequence[CallUnderWay] = ()
        self._shown_at = float("-inf")
        self._refused = False

    def call_started(self) -> None:
        self._changed.set()

    def call_ended(self, record: CallRecord) -> None:
        self._waiting.append(replace(record, origin=record.origin.untraced))
        self._changed.set()

    async def run(self) -> None:
        """Write what is new, once a second while there is something."""
        while True:
            if not self._shown and not self._waiting:
                await self._changed.wait()
            await asyncio.sleep(self._every_s)
            self._changed.clear()
            await self.flush()

    async def flush(self) -> None:
        """Write what is new now. What cannot be written waits for the next time; raises nothing."""
        try:
            await self._flush()
        except Exception:  # noqa: BLE001 - a bug here must not end the history, and still less a server that is closing
            _log.warning("calls could not be written to the history and are lost to it", exc_info=True)
            # what cannot be written now cannot be written ever, and must not keep later calls from it
            self._take(self._next())

    async def aclose(self) -> None:
        """Write what is new for the last time. While other processes add calls, it is tried again until it is cancelled."""
        await self.flush()
        while self._waiting and self._refused and self._ledger.status.degraded is None:
            await asyncio.sleep(AGAIN_S * (1 + random.random()))  # noqa: S311 - so that those that end together do not meet again
            await self.flush()

    async def _flush(self) -> None:
        calls, under_way, now = self._next(), tuple(self._under_way()), self._clock.monotonic()
        if not calls and under_way == self._shown and (not under_way or now - self._shown_at < STILL_THERE_S):
            return
        self._refused = False
        while await self._ledger.add_to_history(calls, under_way, process=self._process):
            self._take(calls)
            self._shown, self._shown_at = under_way, now
            # those that ended meanwhile are few, and wait for the next time
            calls = self._next() if len(calls) == MOST_AT_ONCE else ()
            if not calls:
                return
        self._refused = True

    def _next(self) -> Sequence[CallRecord]:
        return list(islice(self._waiting, MOST_AT_ONCE))

    def _take(self, calls: Sequence[CallRecord]) -> None:
        """Take those out of the waiting that are there still: the oldest may have been pushed out meanwhile."""
        done = {call.id for call in calls}
        while self._waiting and self._waiting[0].id in done:
            self._waiting.popleft()
