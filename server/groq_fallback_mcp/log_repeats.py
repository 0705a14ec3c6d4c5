"""How often the same message is written to the log: a few times a minute, then counted. Pure but for the clock it is given.

Whoever connects a thousand times, or a store that fails at each call, must not fill the disk with one and the same traceback.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator

__all__ = ["Repeats", "kind_of"]

MOST_A_WINDOW = 20
MOST_IN_ALL = 500
WINDOW_S = 60.0
MOST_KINDS = 200
_KIND_CHARS = 200
# Numbers, addresses and file descriptors differ in what is the same message.
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")


def kind_of(name: str, message: str) -> str:
    """What makes messages of one logger the same."""
    return f"{name}: {_VARYING.sub('#', message[:_KIND_CHARS])}"


class Repeats:
    """Counts messages by their kind, in windows of `window_s` seconds. `now` gives seconds that never run back."""

    def __init__(self, *, window_s: float = WINDOW_S, now: Callable[[], float] = time.monotonic) -> None:
        self._window_s = window_s
        self._now = now
        self._seen: dict[str, int] = {}
        self._written = 0
        self._since = now()

    def admits(self, kind: str) -> bool:
        """Whether one more of this kind is written; it is counted either way."""
        if kind not in self._seen and len(self._seen) >= MOST_KINDS:
            kind = "other messages"
        count = self._seen[kind] = self._seen.get(kind, 0) + 1
        if count > MOST_A_WINDOW or self._written >= MOST_IN_ALL:
            return False
        self._written += 1
        return True

    def left_out(self, *, at_end: bool = False) -> Iterator[str]:
        """A line for each kind of which some were not written, once its window is over or `at_end`; then a new one begins."""
        if not at_end and self._now() - self._since < self._window_s:
            return
        seen, self._seen, self._written, self._since = self._seen, {}, 0, self._now()
        yield from (
            f"{count - MOST_A_WINDOW} more like this were not logged: {kind}"
            for kind, count in seen.items()
            if count > MOST_A_WINDOW
        )
