"""How long to hold off after a failure that may pass. Randomness is handed in, so that results can be checked."""

from __future__ import annotations

__all__ = ["backoff_s"]


def backoff_s(failures: int, *, base_s: float, cap_s: float, jitter: float) -> float:
    """Seconds after the `failures`-th failure in a row: base x 2^(n-1) up to the cap, spread over its upper half.

    `jitter` in [0, 1) picks the point between half of the figure and the whole of it ("equal jitter"), so that
    processes that failed together do not come back together.
    """
    doublings = min(max(failures, 1) - 1, 32)
    ceiling = min(base_s * 2.0**doublings, cap_s)
    return ceiling * (0.5 + 0.5 * jitter)
