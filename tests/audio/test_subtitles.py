"""Subtitles say what was said when it was said, and cannot be broken by what was said."""

from __future__ import annotations

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.audio.subtitles import render_srt, render_vtt
from groq_fallback_mcp.call import AudioSegment

TIMES = re.compile(r"(\d{2,}):(\d\d):(\d\d)[.,](\d{3}) --> (\d{2,}):(\d\d):(\d\d)[.,](\d{3})")


def segment(start: float, end: float, text: str) -> AudioSegment:
    """A segment, in the order people read it."""
    return AudioSegment(start=start, end=end, text=text)


def cues(subtitles: str) -> list[tuple[int, int, str]]:
    """A plain reader of both formats: start and end in milliseconds, and text."""
    found: list[tuple[int, int, str]] = []
    for block in subtitles.split("\n\n"):
        lines = block.strip("\n").split("\n")
        at = next((i for i, line in enumerate(lines) if TIMES.fullmatch(line)), None)
        if at is None:
            continue
        match = TIMES.fullmatch(lines[at])
        assert match is not None
        h1, m1, s1, f1, h2, m2, s2, f2 = map(int, match.groups())
        assert max(m1, s1, m2, s2) < 60
        text = "\n".join(lines[at + 1 :])
        found.append((((h1 * 60 + m1) * 60 + s1) * 1000 + f1, ((h2 * 60 + m2) * 60 + s2) * 1000 + f2, text))
    return found


def test_subrip_is_numbered_with_comma_times() -> None:
    """The whole of a small file, byte for byte."""
    assert render_srt([segment(0, 1.5, " Hello."), segment(3661.2345, 3662, "Bye.")]) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n01:01:01,234 --> 01:01:02,000\nBye.\n"
    )


def test_webvtt_has_a_header_and_escapes_markup() -> None:
    """The whole of a small file, byte for byte."""
    assert render_vtt([segment(0, 1.5, "a <b> & --> c")]) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\na &lt;b&gt; &amp; --&gt; c\n"
    )


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(59.9996, "00:01:00,000"), (3599.9999, "01:00:00,000"), (0.0004, "00:00:00,000"), (360_000.0, "100:00:00,000")],
)
def test_rounding_carries_into_minutes_and_hours(seconds: float, written: str) -> None:
    """There is no sixtieth second, and long recordings have three digits of hours."""
    assert f"\n{written} --> " in render_srt([segment(seconds, seconds + 1, "x")])


def test_blank_lines_in_a_text_do_not_end_its_cue() -> None:
    """Nor do other line breaks Unicode knows."""
    text = "one\n\n\r\n \n2\u2028\u2029three\r\rfour"

    assert cues(render_srt([segment(0, 1, text)])) == [(0, 1000, "one\n2\nthree\nfour")]


def test_an_arrow_in_a_text_is_not_taken_for_times() -> None:
    """SubRip cannot escape it, so it becomes a character."""
    assert cues(render_srt([segment(0, 1, "00:00:05,000 --> 00:00:06,000")])) == [(0, 1000, "00:00:05,000 → 00:00:06,000")]


def test_nothing_said_is_an_empty_file_with_its_header() -> None:
    """Segments of white space are no cues."""
    assert not render_srt([segment(0, 1, " \n ")])
    assert render_vtt([]) == "WEBVTT\n"


seconds = st.floats(min_value=-10, max_value=400_000) | st.sampled_from([float("nan"), float("inf")])


@given(st.lists(st.builds(AudioSegment, start=seconds, end=seconds, text=st.text(max_size=60)), max_size=8))
def test_what_is_rendered_reads_back(segments: list[AudioSegment]) -> None:
    """Both formats read back to the same cues: as many as there are texts, in order, each lasting."""
    srt, vtt = cues(render_srt(segments)), cues(render_vtt(segments))

    words = [s.text.split() for s in segments]
    assert [(start, end) for start, end, _ in srt] == [(start, end) for start, end, _ in vtt]
    assert all(end > start for start, end, _ in srt)
    assert [start for start, _, _ in srt] == sorted(start for start, _, _ in srt)
    assert len(srt) <= sum(map(bool, words))
    assert [text for _, _, text in srt] == [html.unescape(text).replace("-->", "→") for _, _, text in vtt]


@given(st.lists(st.tuples(st.floats(0, 9_000), st.from_regex(r"[A-Za-z&<>]{1,9}( [A-Za-z0-9]{1,9}){0,5}", fullmatch=True))))
def test_ordinary_segments_come_back_word_for_word(said: list[tuple[float, str]]) -> None:
    """Times to the millisecond, text exactly."""
    ordered = sorted(said)
    segments = [segment(start, start + 1, text) for start, text in ordered]

    assert [(start, html.unescape(text)) for start, _, text in cues(render_vtt(segments))] == [
        (round(start * 1000), text) for start, text in ordered
    ]
