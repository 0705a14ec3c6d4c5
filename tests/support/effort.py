"""How much is tried: `make nightly` sets TEST_EFFORT to try many times what CI has time for."""

from __future__ import annotations

import os

__all__ = ["EFFORT", "times"]


def _effort() -> int:
    given = os.environ.get("TEST_EFFORT", "1")
    if not given.isdecimal() or int(given) < 1:
        message = f"TEST_EFFORT is {given!r}; give a whole number from 1 on"
        raise ValueError(message)
    return int(given)


EFFORT = _effort()


def times(count: float) -> int:
    """A count of rounds, or the seconds that they may take, at this effort."""
    return round(count * EFFORT)
