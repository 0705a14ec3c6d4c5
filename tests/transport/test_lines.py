"""Bytes into lines, however they are cut, with a cap on what is held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.transport.lines import KEPT_OF_OVERLONG, LineSplitter, Overlong


def lines_of(splitter: LineSplitter) -> list[bytes | Overlong]:
    """All that are complete."""
    return list(iter(splitter.next_line, None))


@given(st.lists(st.binary(max_size=40).filter(lambda line: b"\n" not in line)), st.lists(st.integers(1, 50)))
def test_lines_come_out_the_same_wherever_the_chunks_are_cut(lines: list[bytes], cuts: list[int]) -> None:
    """And in order."""
    whole = b"".join(line + b"\n" for line in lines)
    splitter = LineSplitter(1_000)
    for cut in cuts:
        splitter.feed(whole[:cut])
        whole = whole[cut:]
    splitter.feed(whole)
    assert lines_of(splitter) == lines


def test_an_unfinished_line_is_held_back() -> None:
    """Until its end comes."""
    splitter = LineSplitter(10)
    splitter.feed(b"ab")
    assert splitter.next_line() is None
    splitter.feed(b"c\nd")
    assert lines_of(splitter) == [b"abc"]


@pytest.mark.parametrize("size", [1, 7, 4_096, 65_536])
def test_of_an_overlong_line_only_the_ends_are_kept_and_the_next_line_is_whole(size: int) -> None:
    """Whatever the size of the chunks."""
    body = b"HEAD" + b"x" * 100_000 + b"TAIL\nnext\n"
    splitter = LineSplitter(10_000)
    for start in range(0, len(body), size):
        splitter.feed(body[start : start + size])
        assert len(splitter._held) <= 10_000
    overlong, following = lines_of(splitter)
    assert isinstance(overlong, Overlong)
    assert overlong.size == 100_008
    assert overlong.head.startswith(b"HEADxxx")
    assert overlong.tail.endswith(b"xxxTAIL")
    assert len(overlong.head) == len(overlong.tail) == KEPT_OF_OVERLONG
    assert following == b"next"


def test_a_line_of_just_the_cap_is_taken() -> None:
    """One byte more is not."""
    splitter = LineSplitter(4)
    splitter.feed(b"abcd\nabcde\n")
    first, second = lines_of(splitter)
    assert first == b"abcd"
    assert isinstance(second, Overlong)
