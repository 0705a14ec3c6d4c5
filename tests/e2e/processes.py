"""Processes found by a mark in their environment, and waiting for their end. Linux only, as Kilo's binary is."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["END_S", "Watch", "kill_all_but", "marked"]

END_S = 10.0
"""Our server has this long to notice that its client is gone."""


def marked(mark: str) -> set[int]:
    """The ids of living processes whose environment holds `mark`; children inherit it."""
    wanted = mark.encode()
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and wanted in _environment(entry)}


def kill_all_but(mark: str, *, root: int) -> None:
    """Kill a process and all it started, parents first, but for what bears `mark`: a client often is a wrapper of itself."""
    spared = marked(mark)
    waiting = [root]
    while waiting:
        pid = waiting.pop(0)
        children = [child for child in _children(pid) if child not in spared]
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        waiting += children


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


def _children(pid: int) -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal() and _parent(entry) == pid]


def _parent(entry: Path) -> int | None:
    try:
        # the name before it may hold anything, a bracket too
        return int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None
