"""Reports that work goes on: clients restart their time-outs on progress."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio

__all__ = ["Progress", "heartbeat"]

Progress = Callable[[float, float, str], Awaitable[None]]
"""Takes what is done, what there is to do, and a sentence about it."""

HEARTBEAT_S = 5.0
# How often it is looked whether something has changed.
POLL_S = 1.0

_log = logging.getLogger(__name__)


@asynccontextmanager
async def heartbeat(progress: Progress | None, report: Callable[[], tuple[float, float, str]]) -> AsyncGenerator[None]:
    """Pass on `report()` every HEARTBEAT_S seconds while the block runs, and sooner when its sentence has changed.

    What the block raises comes out as it is, in no exception group.
    """
    if progress is None:
        yield
        return

    async def beat() -> None:
        # real time on purpose: this keeps a waiting client informed and decides nothing
        quiet_s, last_message = 0.0, report()[2]
        while True:
            await anyio.sleep(POLL_S)
            quiet_s += POLL_S
            done, total, message = report()
            if message == last_message and quiet_s < HEARTBEAT_S:
                continue
            quiet_s, last_message = 0.0, message
            try:
                await progress(done, total, message)
            except Exception:  # noqa: BLE001 - a client that takes no progress must still get its answer
                _log.debug("progress could not be reported", exc_info=True)
                return

    try:
        async with anyio.create_task_group() as group:
            group.start_soon(beat)
            yield
            group.cancel_scope.cancel()
    except BaseExceptionGroup as several:
        # beat raises nothing, so what is in the group came out of the call, and its type matters above
        if len(several.exceptions) == 1:
            raise several.exceptions[0] from None
        raise
