"""How long to wait for a model before somebody else is asked: what its own answers have taken. Pure.

A fixed time-out is either so long that a hanging model holds a call up, or so short that a slow but sound answer is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["MOST_REMEMBERED", "patience_s"]

MOST_REMEMBERED = 100
LEAST_KNOWN = 5
LEAST_S = 5.0
TIMES_SLOWEST = 3.0


def patience_s(took_s: Sequence[float], *, most_s: float, silent_s: float = 0.0) -> float:
    """Seconds for one attempt, given what the model's latest answers took: three times their 99th percentile.

    At least five seconds, or `silent_s`, what an answer may take that gives no sign of life before it is whole. At most
    `most_s`, which also holds while fewer than five answers are known.
    """
    if len(took_s) < LEAST_KNOWN:
        return most_s
    ordered = sorted(took_s)
    slowest_s = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    return min(max(TIMES_SLOWEST * slowest_s, LEAST_S, silent_s), most_s)
