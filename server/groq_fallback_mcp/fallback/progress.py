"""Reports how a call goes: sentences for clients, which restart their timeouts on progress, and events for an observer."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Protocol

import anyio

from groq_fallback_mcp.call import Attempt
from groq_fallback_mcp.policy.plan import Candidate

__all__ = ["CallObserver", "Progress", "heartbeat"]

Progress = Callable[[float, float, str], Awaitable[None]]
"""Takes what is done, what there is to do, and a sentence about it."""


class CallObserver(Protocol):
    """Follows one chat call as it happens. Its answer is streamed; the methods are called in the call's task and must not block."""

    def attempt_started(self, candidate: Candidate, earlier: Sequence[Attempt]) -> None:
        """A model is tried. `earlier` are the attempts so far, skipped ones included; text of a failed one is void."""
        ...

    def text_received(self, text: str) -> None:
        """More visible text of the answer of the attempt that started last."""
        ...

    @property
    def has_shown(self) -> bool:
        """Whether anybody has seen text of the answer, so that it cannot be taken back."""
        ...

    def reasoning_received(self, text: str) -> None:
        """More of what that model thinks before it answers."""
        ...

    def attempt_failed(self) -> None:
        """The attempt that started last has failed: its text is void."""
        ...

    def waiting(self, seconds: float) -> None:
        """The call waits so long until a model may be tried."""
        ...


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
