"""A long recording as FLAC files that can be sent one by one: cut in pauses, each a little longer than its share.

Blocking: run in a thread. At no time is more than one part in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO

from groq_fallback_mcp.audio.cuts import FRAME_S, find_cut
from groq_fallback_mcp.audio.stream import SAMPLE_RATE, Damage, NotDecodable, decoded, encode_flac

__all__ = ["OVERLAP_S", "PART_S", "Part", "SplitRecording", "TooLong", "split"]

# Raw this is 9.6 MB and as FLAC less: below every upload limit, and few enough seconds to be sent again without regret.
PART_S = 300.0
# Where the cut of a part is looked for: its last minute.
CHOICE_S = 60.0
# What two neighbours both hear on each side of a cut.
OVERLAP_S = 1.0
LONGEST_S = 24 * 3_600.0
_FRAME = int(SAMPLE_RATE * FRAME_S)
_FULL_SCALE = 32_768.0


class TooLong(Exception):  # noqa: N818 - a finding about the input
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
    """All parts, and how many seconds of the recording could not be read."""

    parts: tuple[Part, ...]
    unread_s: float = 0.0


def split(
    source: BinaryIO, media_type: str, folder: Path, *, stopped: Callable[[], bool], part_s: float = PART_S
) -> SplitRecording:
    """Write the parts into `folder`. Raises NotDecodable, TooLong, OSError, and Abandoned once `stopped()`."""
    numpy = import_module("numpy")
    overlap = int(OVERLAP_S * SAMPLE_RATE)
    most = int(part_s * SAMPLE_RATE)
    damage = Damage()
    blocks = decoded(source, media_type, stopped=stopped, damage=damage)
    parts: list[Part] = []
    # what was read and not yet spoken for, from `offset` of the recording on
    held = numpy.zeros(0, dtype=numpy.int16)
    offset, begins = 0, 0
    while True:
        held, ended = _filled(numpy, held, blocks, (begins - offset) + most + overlap)
        if offset + len(held) > LONGEST_S * SAMPLE_RATE:
            raise TooLong
        # a short rest is not worth a part of its own
        last = ended and len(held) - (begins - offset) <= most + overlap
        until = offset + len(held) if last else begins + _cut(numpy, held[begins - offset : begins - offset + most], part_s)
        start, end = max(begins - overlap, offset), min(until + overlap, offset + len(held))
        parts.append(_written(held[start - offset : end - offset], folder, len(parts) + 1, start=start, end=end, until=until))
        if last:
            break
        begins = until
        drop = max(begins - overlap, 0) - offset
        held, offset = held[drop:].copy(), offset + drop
    if not parts or parts[-1].until_s <= 0:
        message = "it holds no sound"
        raise NotDecodable(message)
    return SplitRecording(parts=tuple(parts), unread_s=_unread_s(damage, parts[-1].until_s))


def _unread_s(damage: Damage, read_s: float) -> float:
    """By how much less was read than the recording says it holds; what is hardly more than rounding is nothing."""
    missing_s = 0.0 if damage.stated_s is None else damage.stated_s - read_s
    return round(missing_s, 1) if missing_s > max(1.0, 0.002 * read_s) else float(damage.stretches > 0)


def _filled(numpy: Any, held: Any, blocks: Iterator[Any], wanted: int) -> tuple[Any, bool]:  # noqa: ANN401 - numpy is imported late
    pieces, size = [held], len(held)
    for block in blocks:
        pieces.append(block)
        size += len(block)
        if size >= wanted:
            return numpy.concatenate(pieces), False
    return numpy.concatenate(pieces), True


def _cut(numpy: Any, samples: Any, part_s: float) -> int:  # noqa: ANN401 - numpy is imported late
    """How many samples of these the part speaks for."""
    earliest = min(int(max(part_s - CHOICE_S, part_s / 2) * SAMPLE_RATE), len(samples) - _FRAME) // _FRAME * _FRAME
    window = samples[earliest:]
    frames = window[: len(window) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(numpy.float32)
    power = numpy.sqrt((frames * frames).mean(axis=1)) / _FULL_SCALE
    levels = 20.0 * numpy.log10(numpy.maximum(power, 1e-6))
    return earliest + find_cut(levels.tolist(), earliest=0).frame * _FRAME


def _written(samples: Any, folder: Path, number: int, *, start: int, end: int, until: int) -> Part:  # noqa: ANN401 - a numpy array
    name = f"part-{number:04}.flac"
    descriptor = os.open(folder / name, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "wb") as target:
        encode_flac(samples, target)
    return Part(number=number, start_s=start / SAMPLE_RATE, end_s=end / SAMPLE_RATE, until_s=until / SAMPLE_RATE, file=name)
