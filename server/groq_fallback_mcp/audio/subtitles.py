"""Subtitles, SubRip and WebVTT, from the segments of a transcript."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

from groq_fallback_mcp.call import AudioSegment

__all__ = ["render_srt", "render_vtt"]


def render_srt(segments: Iterable[AudioSegment]) -> str:
    """SubRip text: numbered cues, times as 00:00:00,000. Segments without text are left out."""
    cues = (
        f"{number}\n{_timestamp(start, ',')} --> {_timestamp(end, ',')}\n{text}\n"
        for number, (start, end, text) in enumerate(_cues(segments, _without_arrow), start=1)
    )
    return "\n".join(cues)


def render_vtt(segments: Iterable[AudioSegment]) -> str:
    """WebVTT text, times as 00:00:00.000, `&`, `<` and `>` escaped. Segments without text are left out."""
    cues = (f"{_timestamp(start, '.')} --> {_timestamp(end, '.')}\n{text}\n" for start, end, text in _cues(segments, _escaped))
    return "\n".join(("WEBVTT\n", *cues))


def _cues(segments: Iterable[AudioSegment], safe: Callable[[str], str]) -> Iterator[tuple[int, int, str]]:
    """Start and end in milliseconds and safe text. Starts never go back, and every cue lasts: players drop others."""
    earliest = 0
    for segment in segments:
        text = safe(_compact(segment.text))
        if not text:
            continue
        start = max(_milliseconds(segment.start), earliest)
        yield start, max(_milliseconds(segment.end), start + 1), text
        earliest = start


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000) if math.isfinite(seconds) else 0


def _timestamp(milliseconds: int, mark: str) -> str:
    seconds, fraction = divmod(milliseconds, 1000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    return f"{hour:02}:{minute:02}:{second:02}{mark}{fraction:03}"


def _compact(text: str) -> str:
    """Without blank lines, which end a cue, and without control characters."""
    lines = ("".join(c for c in line if c.isprintable() or c == "\t").strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def _without_arrow(text: str) -> str:
    # SubRip has no escape: an arrow in the text would pass for a line of times.
    return text.replace("-->", "\N{RIGHTWARDS ARROW}")


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
