"""Subtitles, SubRip and WebVTT, from the segments of a transcript."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from groq_fallback_mcp.audio.segment_times import Timed, in_order, reading_s
from groq_fallback_mcp.call import AudioSegment

__all__ = ["render_srt", "render_vtt"]


def render_srt(segments: Iterable[AudioSegment]) -> str:
    """SubRip text: numbered cues, times as 00:00:00,000. Segments without text are omitted."""
    cues = (
        f"{number}\n{_timestamp(start, ',')} --> {_timestamp(end, ',')}\n{text}\n"
        for number, (start, end, text) in enumerate(_cues(segments, _without_arrow), start=1)
    )
    return "\n".join(cues)


def render_vtt(segments: Iterable[AudioSegment]) -> str:
    """WebVTT text, times as 00:00:00.000, `&`, `<` and `>` escaped. Segments without text are omitted."""
    cues = (f"{_timestamp(start, '.')} --> {_timestamp(end, '.')}\n{text}\n" for start, end, text in _cues(segments, _escaped))
    return "\n".join(("WEBVTT\n", *cues))


def _cues(segments: Iterable[AudioSegment], safe: Callable[[str], str]) -> Iterator[tuple[int, int, str]]:
    """Start and end in milliseconds and safe text, in order. Every cue lasts until it can be read: players drop others."""
    given = [(segment, text) for segment in segments if (text := _compact(segment.text))]
    placed = in_order([Timed(segment.start, segment.end, reading_s(text)) for segment, text in given])
    for place in placed:
        start, end = _milliseconds(place.start), _milliseconds(place.end)
        yield start, max(end, start + 1), safe(given[place.index][1])


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


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
