"""Where to cut a long recording: in the longest pause near the end of each part. Pure, over loudness by frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["FRAME_S", "Cut", "find_cut"]

FRAME_S = 0.02
# Shorter ones stand inside words: the closure before a p or a t lasts a tenth of a second.
SHORTEST_PAUSE_S = 0.24
# As quiet as this beside the loudest tenth of what is looked at counts as a pause.
BELOW_SPEECH_DB = 26.0
QUIETEST_DB = -50.0


@dataclass(frozen=True, slots=True)
class Cut:
    """The frame to cut at. `in_pause`: nobody speaks there."""

    frame: int
    in_pause: bool


def find_cut(levels: Sequence[float], *, earliest: int) -> Cut:
    """Where to cut between frame `earliest` and the end of `levels` (decibels below full scale, one a frame).

    The middle of the longest pause; of two as long the later. Without one the middle of the quietest quarter of a second,
    which may go through a word.
    """
    window = levels[earliest:]
    threshold = max(sorted(window)[int(len(window) * 0.9)] - BELOW_SPEECH_DB, QUIETEST_DB)
    least = round(SHORTEST_PAUSE_S / FRAME_S)
    best: tuple[int, int] | None = None
    start: int | None = None
    for index, level in enumerate([*window, float("inf")]):
        if level <= threshold:
            start = index if start is None else start
            continue
        if start is not None and index - start >= least and (best is None or index - start >= best[1] - best[0]):
            best = (start, index)
        start = None
    if best is not None:
        return Cut(earliest + (best[0] + best[1]) // 2, in_pause=True)
    return Cut(earliest + _quietest(window, least) + least // 2, in_pause=False)


def _quietest(window: Sequence[float], length: int) -> int:
    """Where the quietest stretch of `length` frames begins."""
    total = sum(window[:length])
    best, quietest = 0, total
    for start in range(1, len(window) - length + 1):
        total += window[start + length - 1] - window[start - 1]
        if total <= quietest:
            best, quietest = start, total
    return best
