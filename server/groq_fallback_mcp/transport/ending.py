"""The end of the process by every road: a signal, the client's end, or nobody who reads our output."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

import anyio

__all__ = ["GRACE_S", "Ending", "end_on_signal"]

GRACE_S = 1.5


class Ending:
    """Begun once, it gives what is open a moment to close, and then ends the process whatever still runs.

    A thread deep in C code, or a worker that the interpreter would wait for at exit, must not keep an orphan alive.
    `leave` ends the process with a status; tests hand in another.
    """

    def __init__(self, leave: Callable[[int], None] = os._exit, *, grace_s: float = GRACE_S) -> None:
        self._leave = leave
        self._grace_s = grace_s
        self.status: int | None = None

    def begin(self, status: int) -> None:
        """The process ends within `grace_s` seconds, with `status` unless an earlier beginning gave one."""
        if self.status is not None:
            return
        self.status = status
        timer = threading.Timer(self._grace_s, self._leave, args=(status,))
        timer.daemon = True
        timer.start()

    def at_once(self) -> None:
        """Without the moment."""
        self._leave(self.status or 0)


async def end_on_signal(ending: Ending, scope: anyio.CancelScope) -> None:
    """Cancel `scope` on SIGINT, SIGTERM or SIGHUP. A second one ends the process at once."""
    wanted = [number for name in ("SIGINT", "SIGTERM", "SIGHUP") if (number := getattr(signal, name, None)) is not None]
    if sys.platform == "win32":
        # its loop takes no handlers: Ctrl+C cancels the main task, the others end the process
        return
    with anyio.open_signal_receiver(*wanted) as signals:
        async for number in signals:
            if ending.status is not None:
                ending.at_once()
            ending.begin(128 + number)
            scope.cancel()
