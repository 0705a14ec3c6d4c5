"""How long a model is waited for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.fallback.attempt_timeout import attempt_timeout_s


@pytest.mark.parametrize(
    ("took_s", "waited_s"),
    [
        ([], 20.0),
        ([0.1] * 4, 20.0),
        ([0.1] * 5, 5.0),
        ([0.1] * 50 + [3.0], 9.0),
        ([0.1] * 250 + [3.0], 5.0),
        ([12.0] * 5, 20.0),
    ],
)
def test_a_model_is_waited_for_three_times_as_long_as_its_slowest_answers_took(took_s: list[float], waited_s: float) -> None:
    """Not below five seconds, nor beyond what the settings say, and that while little is known."""
    assert attempt_timeout_s(took_s, most_s=20.0) == waited_s


def test_a_long_answer_that_does_not_stream_is_given_the_time_it_may_take() -> None:
    """Short answers before it say nothing of it."""
    assert attempt_timeout_s([0.1] * 50, most_s=20.0, silent_s=10.0) == 10.0


@given(st.lists(st.floats(0, 1e6)), st.floats(0.1, 3600))
def test_nobody_is_waited_for_longer_than_the_settings_say(took_s: list[float], most_s: float) -> None:
    """Whatever was measured."""
    assert min(5.0, most_s) <= attempt_timeout_s(took_s, most_s=most_s) <= most_s
