"""Where a recording is cut: in the longest pause, late in the part."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.audio.cuts import find_cut

SPEECH, SILENCE = -20.0, -70.0


def levels(*stretches: tuple[float, int]) -> list[float]:
    """Loudness of stretches, in frames."""
    return [level for level, count in stretches for _ in range(count)]


def test_the_cut_falls_into_the_middle_of_the_longest_pause() -> None:
    """Not into the first one, and not into a gap inside a word."""
    found = find_cut(
        levels((SPEECH, 200), (SILENCE, 15), (SPEECH, 50), (SILENCE, 40), (SPEECH, 50), (SILENCE, 5), (SPEECH, 20)),
        earliest=100,
    )
    assert found.in_pause
    assert found.frame == 200 + 15 + 50 + 20


def test_of_two_pauses_as_long_the_later_is_taken() -> None:
    """Fewer parts."""
    found = find_cut(levels((SPEECH, 100), (SILENCE, 20), (SPEECH, 50), (SILENCE, 20), (SPEECH, 50)), earliest=50)
    assert found.frame == 100 + 20 + 50 + 10


def test_what_lies_before_the_earliest_place_is_not_looked_at() -> None:
    """A part keeps its least length."""
    found = find_cut(levels((SPEECH, 50), (SILENCE, 100), (SPEECH, 100), (SILENCE, 13), (SPEECH, 10)), earliest=160)
    assert found.frame == 250 + 6


def test_without_a_pause_the_quietest_place_is_taken_and_said_to_be_none() -> None:
    """It may go through a word."""
    found = find_cut(levels((SPEECH, 200), (-30.0, 12), (SPEECH, 100)), earliest=100)
    assert not found.in_pause
    assert 200 <= found.frame <= 212


def test_a_quiet_recording_has_pauses_too() -> None:
    """The threshold follows the speech."""
    found = find_cut(levels((-45.0, 200), (-80.0, 30), (-45.0, 100)), earliest=100)
    assert found.in_pause


@given(st.lists(st.floats(-90, 0), min_size=30, max_size=300), st.data())
def test_the_cut_lies_where_it_was_asked_for(loudness: list[float], data: st.DataObject) -> None:
    """Whatever is heard."""
    earliest = data.draw(st.integers(0, len(loudness) - 20))
    assert earliest <= find_cut(loudness, earliest=earliest).frame <= len(loudness)
