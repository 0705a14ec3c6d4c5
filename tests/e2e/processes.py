"""Processes found by a mark in their environment, and waiting for their end. Linux only, as Kilo's binary is."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["Watch", "marked"]


def marked(mark: str) -> set[int]:
    """The ids of living processes whose environment holds `mark`; children inherit it."""
    wanted = mark.encode()
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and wanted in _environment(entry)}


class Watch:
    """Takes hold of the processes that bear a mark, so that their ids cannot come to mean others. Close it."""

    def __init__(self, mark: str) -> None:
        self.mark = mark
        self._held: dict[int, int] = {}

    def take_hold(self) -> None:
        """Hold those that live now."""
        for pid in marked(self.mark) - set(self._held):
            self._held[pid] = os.pidfd_open(pid)

    @property
    def seen(self) -> set[int]:
        """All that were held at any time."""
        return set(self._held)

    def left_after(self, timeout_s: float) -> set[int]:
        """Those held that have not ended within `timeout_s`."""
        poll = select.poll()
        waiting = {held: pid for pid, held in self._held.items()}
        for held in waiting:
            poll.register(held, select.POLLIN)
        until = time.monotonic() + timeout_s
        while waiting and (rest_s := until - time.monotonic()) > 0:
            for held, _ in poll.poll(rest_s * 1000):
                poll.unregister(held)
                del waiting[held]
        return set(waiting.values())

    def close(self) -> None:
        """Kill what a failed test left behind, and let go."""
        for held in self._held.values():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(held, signal.SIGKILL)
            os.close(held)
        self._held.clear()


def _environment(entry: Path) -> bytes:
    try:
        return (entry / "environ").read_bytes()
    except OSError:  # it has ended, or is not ours to read
        return b""
