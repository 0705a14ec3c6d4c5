"""A long recording as FLAC files that can be sent one by one: cut in pauses, each a little longer than its share.

Blocking. At no time is more than one part in memory. Recordings that others made are split in a process of its own, see
decoder.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from groq_fallback_mcp.audio.pcm import SAMPLE_RATE, Damage, NotDecodableError, encode_flac, pcm

__all__ = ["OVERLAP_S", "PART_S", "Part", "SplitRecording", "TooLongError", "find_cut", "split"]

# Raw this is 9.6 MB and as FLAC less: below every upload limit, and few enough seconds to be sent again without regret.
PART_S = 300.0
# Where the cut of a part is looked for: its last minute.
CHOICE_S = 60.0
# What two neighbors both hear on each side of a cut.
OVERLAP_S = 1.0
LONGEST_S = 24 * 3_600.0
# Of the loudness that a pause is found by.
_FRAME_S = 0.02
_FRAME_SAMPLES = int(SAMPLE_RATE * _FRAME_S)
_FULL_SCALE = 32_768.0
# Shorter ones stand inside words: the closure before a p or a t lasts a tenth of a second.
SHORTEST_PAUSE_S = 0.24
# As quiet as this beside the loudest tenth of what is looked at counts as a pause.
BELOW_SPEECH_DB = 26.0
QUIETEST_DB = -50.0


class TooLongError(Exception):
    """The recording is longer than a day."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part on disk. It holds `start_s` to `end_s` of the recording, and speaks for what lies before `until_s`."""

    number: int
    start_s: float
    end_s: float
    until_s: float
    file: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitRecording:
    """All parts. `unread_s`: seconds that are damaged. `ends_early`: it ends before its header says, after `stated_s`."""

    parts: tuple[Part, ...]
    unread_s: float = 0.0
    ends_early: bool = False
    stated_s: float | None = None


def split(
    source: BinaryIO,
    media_type: str,
    folder: Path,
    *,
    stopped: Callable[[], bool],
    part_s: float = PART_S,
    stated_s: float | None = None,
    cut: bool = False,
) -> SplitRecording:
    """Write the parts into `folder`. `stated_s`: how long the recording says it is, `cut`: that it ends before that.

    Raises NotDecodableError, TooLongError, OSError, and AbandonedError once `stopped()`.
    """
    numpy = import_module("numpy")
    overlap = int(OVERLAP_S * SAMPLE_RATE)
    most = int(part_s * SAMPLE_RATE)
    damage = Damage()
    held = _Held(numpy, pcm(source, media_type, stopped=stopped, damage=damage), most + 2 * overlap)
    parts: list[Part] = []
    begins = 0
    while True:
        ended = held.fill(begins + most + overlap)
        if held.end > LONGEST_S * SAMPLE_RATE:
            raise TooLongError
        # a short rest is not worth a part of its own
        last = ended and held.end - begins <= most + overlap
        until = held.end if last else begins + _cut_samples(numpy, held.samples(begins, begins + most), part_s)
        start, end = max(begins - overlap, held.begin), min(until + overlap, held.end)
        parts.append(_written(held.samples(start, end), folder, len(parts) + 1, start=start, end=end, until=until))
        if last:
            break
        begins = until
        held.forget(max(begins - overlap, 0))
    if parts[-1].until_s <= 0:
        message = "it contains no sound"
        raise NotDecodableError(message)
    damage.stated_s = damage.stated_s if stated_s is None else stated_s
    return _accounted(tuple(parts), damage, cut=cut)


def _accounted(parts: tuple[Part, ...], damage: Damage, *, cut: bool) -> SplitRecording:
    """The parts, with what is missing beside what the recording says it holds; what is hardly more than rounding is nothing."""
    read_s = parts[-1].until_s
    missing_s = 0.0 if damage.stated_s is None else damage.stated_s - read_s
    missing_s = round(missing_s, 1) if missing_s > max(1.0, 0.002 * read_s) else 0.0
    # what is missing is at the end where nothing comes after what was read
    reached_end = damage.reached_s is not None and damage.reached_s < read_s + missing_s / 2
    if cut or (missing_s and reached_end):
        return SplitRecording(parts=parts, ends_early=True, stated_s=damage.stated_s if missing_s else None)
    return SplitRecording(parts=parts, unread_s=missing_s or float(damage.stretches > 0))


class _Held:
    """A stretch of the samples, from `begin` to `end` of the recording, in one piece of memory of a fixed size."""

    def __init__(self, numpy: Any, blocks: Iterator[bytes], most: int) -> None:
        self._numpy = numpy
        self._blocks = blocks
        self._block = numpy.empty(0, dtype=numpy.int16)
        self._samples = numpy.empty(most, dtype=numpy.int16)
        self.begin = 0
        self.end = 0

    def samples(self, begin: int, end: int) -> Any:
        return self._samples[begin - self.begin : min(end, self.end) - self.begin]

    def fill(self, end: int) -> bool:
        """Read on to `end` of the recording. True when it ends before."""
        while self.end < end:
            if not len(self._block):
                block = next(self._blocks, None)
                if block is None:
                    return True
                self._block = self._numpy.frombuffer(block, dtype=self._numpy.int16)
            taken = self._block[: end - self.end]
            at = self.end - self.begin
            self._samples[at : at + len(taken)] = taken
            self.end += len(taken)
            self._block = self._block[len(taken) :]
        return False

    def forget(self, before: int) -> None:
        """Keep only what comes from there on."""
        kept = self._samples[before - self.begin : self.end - self.begin].copy()
        self._samples[: len(kept)] = kept
        self.begin = before


def _cut_samples(numpy: Any, samples: Any, part_s: float) -> int:
    """How many samples of these the part speaks for."""
    earliest = (
        min(int(max(part_s - CHOICE_S, part_s / 2) * SAMPLE_RATE), len(samples) - _FRAME_SAMPLES)
        // _FRAME_SAMPLES
        * _FRAME_SAMPLES
    )
    window = samples[earliest:]
    frames = window[: len(window) // _FRAME_SAMPLES * _FRAME_SAMPLES].reshape(-1, _FRAME_SAMPLES)
    # in small pieces: a minute as floats would take as much memory as the part itself
    power = numpy.sqrt(numpy.einsum("ij,ij->i", frames, frames, dtype=numpy.float32) / _FRAME_SAMPLES) / _FULL_SCALE
    levels = 20.0 * numpy.log10(numpy.maximum(power, 1e-6))
    return earliest + find_cut(levels.tolist(), earliest=0).frame * _FRAME_SAMPLES


def _written(samples: Any, folder: Path, number: int, *, start: int, end: int, until: int) -> Part:
    name = f"part-{number:04}.flac"
    descriptor = os.open(folder / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        encode_flac(memoryview(samples), target)
    return Part(number=number, start_s=start / SAMPLE_RATE, end_s=end / SAMPLE_RATE, until_s=until / SAMPLE_RATE, file=name)


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
    least = round(SHORTEST_PAUSE_S / _FRAME_S)
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
    return Cut(earliest + _quietest_frame(window, least) + least // 2, in_pause=False)


def _quietest_frame(window: Sequence[float], length: int) -> int:
    """Where the quietest stretch of `length` frames begins."""
    total = sum(window[:length])
    best, quietest = 0, total
    for start in range(1, len(window) - length + 1):
        total += window[start + length - 1] - window[start - 1]
        if total <= quietest:
            best, quietest = start, total
    return best
