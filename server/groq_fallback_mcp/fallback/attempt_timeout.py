"""How long one attempt may take while another model could be tried: what the model's own answers have taken. Pure.

A fixed timeout is either so long that a hanging model holds a call up, or so short that a slow but sound answer is lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

__all__ = ["AnswerTimes", "attempt_timeout_s"]

MOST_REMEMBERED = 100
LEAST_KNOWN = 5
LEAST_S = 5.0
TIMES_SLOWEST = 3.0


class AnswerTimes:
    """Remembers, as long as the process lives, how many seconds the latest answers of each model took."""

    def __init__(self) -> None:
        self._took_s: dict[tuple[str, str], deque[float]] = {}

    def add(self, model: tuple[str, str], took_s: float) -> None:
        """A model (provider and id) has answered."""
        self._took_s.setdefault(model, deque(maxlen=MOST_REMEMBERED)).append(took_s)

    def of(self, model: tuple[str, str]) -> Sequence[float]:
        """What the latest answers of a model took."""
        return self._took_s.get(model, ())

    def usual_s(self, model: tuple[str, str]) -> float | None:
        """The median of what they took; None while fewer than five are known."""
        took_s = self.of(model)
        return sorted(took_s)[len(took_s) // 2] if len(took_s) >= LEAST_KNOWN else None


def attempt_timeout_s(took_s: Sequence[float], *, most_s: float, silent_s: float = 0.0) -> float:
    """Seconds for one attempt, given what the model's latest answers took: three times their 99th percentile.

    At least five seconds, or `silent_s`, what an answer may take that gives no sign of life before it is whole. At most
    `most_s`, which also holds while fewer than five answers are known.
    """
    if len(took_s) < LEAST_KNOWN:
        return most_s
    slowest_s = sorted(took_s)[int(len(took_s) * 0.99)]
    return min(max(TIMES_SLOWEST * slowest_s, LEAST_S, silent_s), most_s)
