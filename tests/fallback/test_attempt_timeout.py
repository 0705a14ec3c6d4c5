"""How long a model is waited for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.fallback.attempt_timeout import AnswerTimes, attempt_timeout_s

MODEL, OTHER = ("groq", "openai/gpt-oss-20b"), ("groq", "openai/gpt-oss-120b")


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


@pytest.mark.parametrize(
    ("took_s", "usual_s"),
    [([], None), ([1.0] * 4, None), ([9.0, 1.0, 3.0, 2.0, 8.0], 3.0), ([9.0, 1.0, 3.0, 2.0, 8.0, 7.0], 7.0)],
)
def test_a_model_s_usual_time_is_the_middle_one_of_its_own_answers(took_s: list[float], usual_s: float | None) -> None:
    """From five answers on; what other models took says nothing of it."""
    times = AnswerTimes()
    for seconds in took_s:
        times.add(MODEL, seconds)
        times.add(OTHER, 60.0)
    assert list(times.of(MODEL)) == took_s
    assert times.usual_s(MODEL) == usual_s


def test_only_the_latest_hundred_answers_are_remembered() -> None:
    """A model that has become slower is given more time."""
    times = AnswerTimes()
    for seconds in range(130):
        times.add(MODEL, float(seconds))
    assert list(times.of(MODEL)) == [float(seconds) for seconds in range(30, 130)]


@given(st.lists(st.floats(0, 1e6)), st.floats(0.1, 3600))
def test_nobody_is_waited_for_longer_than_the_settings_say(took_s: list[float], most_s: float) -> None:
    """Whatever was measured."""
    assert min(5.0, most_s) <= attempt_timeout_s(took_s, most_s=most_s) <= most_s
