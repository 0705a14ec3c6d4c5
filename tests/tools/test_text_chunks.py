"""Long text in chunks and pieces: nothing is lost, everything fits."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.tools.text_chunks import sentences, text_chunks


@given(st.text(alphabet="ab .,!?\n", max_size=900), st.integers(5, 60))
def test_no_character_is_lost_between_pieces(text: str, most: int) -> None:
    """Whatever the text, white space aside."""
    pieces = sentences(text, most)
    assert all(0 < len(piece) <= most for piece in pieces)
    assert "".join("".join(pieces).split()) == "".join(text.split())


def test_a_piece_ends_where_a_reader_would_pause() -> None:
    """A paragraph before a sentence, a sentence before a comma, a comma before a word."""
    assert sentences("One two. Three four, five six.", 20) == ["One two.", "Three four, five", "six."] or sentences(
        "One two. Three four, five six.", 22
    ) == ["One two.", "Three four, five six."]
    assert sentences("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]


@given(st.text(min_size=1, max_size=400), st.integers(1, 50))
def test_windows_hold_every_character_and_overlap(text: str, most: int) -> None:
    """What stands across an end stands whole in the next."""
    found = text_chunks(text, fits=lambda part: len(part) <= most)
    assert all(len(window.text) <= most and text[window.start : window.end] == window.text for window in found)
    assert found[0].start == 0
    assert found[-1].end == len(text)
    assert all(left.start < right.start <= left.end for left, right in pairwise(found))


def test_no_text_has_no_window() -> None:
    """And no piece."""
    assert text_chunks("", fits=bool) == []
    assert sentences("  ", 10) == []
