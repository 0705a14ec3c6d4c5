"""Times as speech models give them, made times that players take: none missing, none below zero, in order. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["LEAST_CUE_S", "Timed", "in_order", "reading_s"]

# Shorter, nobody can read it; longer, it is no caption any more.
LEAST_CUE_S = 1.0
LONGEST_GUESS_S = 7.0
CHARACTERS_PER_S = 15.0


@dataclass(frozen=True, slots=True)
class Timed:
    """A stretch as it was given: seconds, None or nonsense where the model says nothing. `least_s`: what it must last."""

    start: float | None
    end: float | None
    least_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Placed:
    """Which of the stretches, and when, in seconds."""

    index: int
    start: float
    end: float


def reading_s(text: str) -> float:
    """How long a text must be shown to be read."""
    return min(max(LEAST_CUE_S, len(text) / CHARACTERS_PER_S), LONGEST_GUESS_S)


def in_order(stretches: Sequence[Timed]) -> list[Placed]:
    """All of them, by when they begin. One without a beginning follows the one before it in the list.

    One that ends before it begins lasts until the next, or as long as it must.
    """
    starts = _starts(stretches)
    order = sorted(range(len(stretches)), key=lambda index: starts[index])
    later_starts = _later_starts([starts[index] for index in order])
    placed: list[Placed] = []
    for index, later in zip(order, later_starts, strict=True):
        start, stretch = starts[index], stretches[index]
        end = _sane(stretch.end)
        if end is None or end <= start:
            end = start + stretch.least_s if later is None else min(later, start + LONGEST_GUESS_S)
            end = max(end, start + min(stretch.least_s, LEAST_CUE_S))
        placed.append(Placed(index, start, end))
    return placed


def _later_starts(starts: Sequence[float]) -> list[float | None]:
    """Of each of these times, which are in order, the next one that is later."""
    later: list[float | None] = [None] * len(starts)
    for place in range(len(starts) - 2, -1, -1):
        later[place] = starts[place + 1] if starts[place + 1] > starts[place] else later[place + 1]
    return later


def _starts(stretches: Sequence[Timed]) -> list[float]:
    known = [_sane(stretch.start) for stretch in stretches]
    following: list[float | None] = [None] * len(stretches)
    for index in range(len(stretches) - 2, -1, -1):
        following[index] = known[index + 1] if known[index + 1] is not None else following[index + 1]
    starts: list[float] = []
    spoken_s = 0.0
    for stretch, start, later in zip(stretches, known, following, strict=True):
        if start is None:
            # behind what was said before it, and not behind what was said after it
            start = spoken_s if later is None or not starts or later < starts[-1] else min(spoken_s, later)  # noqa: PLW2901 - filled in
        starts.append(start)
        end = _sane(stretch.end)
        spoken_s = end if end is not None and end > start else start + stretch.least_s
    return starts


def _sane(seconds: float | None) -> float | None:
    return None if seconds is None or not math.isfinite(seconds) else max(seconds, 0.0)
