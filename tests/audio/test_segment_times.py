"""Times that a speech model gives badly are made times that players take, and nothing that was said is lost."""

from __future__ import annotations

import math
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.audio.segment_times import LEAST_CUE_S, Timed, in_order, reading_s

seconds = st.none() | st.floats(-10, 1e6) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0])
stretches = st.lists(st.builds(Timed, seconds, seconds, st.sampled_from([0.0, 1.0, 3.0])), max_size=12)


@pytest.mark.fault("C10")
@given(stretches)
def test_all_are_kept_in_order_and_none_is_below_zero(given_times: list[Timed]) -> None:
    """Whatever was given; and what must last is long enough to be read."""
    placed = in_order(given_times)
    assert sorted(place.index for place in placed) == list(range(len(given_times)))
    assert all(0 <= place.start <= place.end < math.inf for place in placed)
    assert all(left.start <= right.start for left, right in pairwise(placed))
    for place in placed:
        asked = given_times[place.index]
        sane = asked.end is not None and math.isfinite(asked.end) and asked.end > place.start
        assert sane or place.end - place.start >= min(asked.least_s, LEAST_CUE_S) - 1e-6


@pytest.mark.fault("C10")
@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([(-0.5, 2.0), (2.0, 4.0)], [(0, 0.0, 2.0), (1, 2.0, 4.0)]),
        ([(4.0, 6.0), (0.0, 3.0)], [(1, 0.0, 3.0), (0, 4.0, 6.0)]),
        ([(0.0, 2.0), (None, None), (5.0, 6.0)], [(0, 0.0, 2.0), (1, 2.0, 5.0), (2, 5.0, 6.0)]),
        ([(None, None), (None, None)], [(0, 0.0, 1.0), (1, 1.0, 2.0)]),
        ([(3.0, 1.0), (3.5, 4.0)], [(0, 3.0, 4.0), (1, 3.5, 4.0)]),
        ([(1.0, None), (90.0, 91.0)], [(0, 1.0, 8.0), (1, 90.0, 91.0)]),
        ([(1.0, 1.0), (1.0, 1.0)], [(0, 1.0, 2.0), (1, 1.0, 2.0)]),
        ([(math.nan, 2.0), (2.0, math.inf)], [(0, 0.0, 2.0), (1, 2.0, 3.0)]),
    ],
    ids=["negative", "swapped", "null-between", "null", "backwards", "open", "same", "nonsense"],
)
def test_each_way_to_be_wrong_has_its_repair(
    times: list[tuple[float | None, float | None]], expected: list[tuple[int, float, float]]
) -> None:
    """Until the next, or as long as it takes to read."""
    placed = in_order([Timed(start, end, 1.0) for start, end in times])
    assert [(place.index, place.start, place.end) for place in placed] == expected


@pytest.mark.fault("C10")
def test_a_long_text_is_shown_longer() -> None:
    """Within bounds."""
    assert reading_s("Hi") == LEAST_CUE_S
    assert reading_s("x" * 60) == pytest.approx(4.0)
    assert reading_s("x" * 1_000) == pytest.approx(7.0)


@pytest.mark.fault("A4", "C10")
@pytest.mark.parametrize("word", [Timed(None, None), Timed(1.0, 1.0)], ids=["without times", "without length"])
def test_many_words_take_time_linear_in_their_number(word: Timed) -> None:
    """Four times as many must not take sixteen times as long."""

    def seconds(count: int) -> float:
        best = float("inf")
        for _ in range(3):
            began = time.process_time()
            in_order([word] * count)
            best = min(best, time.process_time() - began)
        return best

    assert seconds(20_000) < 10 * max(seconds(5_000), 1e-3)
