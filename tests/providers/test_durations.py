"""Durations and retry-after values in all their forms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.durations import format_duration, parse_duration, parse_retry_after

NOW = 1_790_000_000.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2m59.56s", 179.56),
        ("7.66s", 7.66),
        ("1h53m45.6s", 6825.6),
        ("825ms", 0.825),
        ("6s", 6.0),
        ("9m38.016s", 578.016),
        ("30m46.361999999s", 1846.361999999),
        ("1d2h", 93600.0),
        ("", None),
        ("soon", None),
        ("5", None),
        ("-2s", None),
        ("2s later", None),
    ],
)
def test_durations_are_read_as_groq_writes_them(text: str, expected: float | None) -> None:
    """Values really seen in headers and messages, and things that are no duration."""
    assert parse_duration(text) == (pytest.approx(expected) if expected is not None else None)


@given(st.integers(min_value=0, max_value=10_000_000))
def test_a_duration_survives_a_round_trip_to_the_millisecond(milliseconds: int) -> None:
    """Format and parse are inverse."""
    assert parse_duration(format_duration(milliseconds / 1000)) == pytest.approx(milliseconds / 1000, abs=1e-6)


@given(st.text(max_size=60))
def test_no_text_makes_the_parsers_raise(text: str) -> None:
    """Whatever a server writes is read or passed over."""
    parse_duration(text)
    wait_s = parse_retry_after(text, now_wall=NOW)
    assert wait_s is None or 0 <= wait_s <= 86_400


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("2", 2.0),
        ("4.5", 4.5),
        ("6s", 6.0),
        ("86400", 86_400.0),
        ("86401", None),
        ("1e9", None),
        ("-5", None),
        ("abc", None),
        ("nan", None),
        ("inf", None),
        ("Wed, 21 Oct 2099 07:28:00 GMT", None),
        ("Mon, 21 Sep 2026 14:13:25 GMT", 5.0),
        ("Mon, 01 Jan 2001 00:00:00 GMT", 0.0),
    ],
)
def test_retry_after_is_read_up_to_a_day_or_passed_over(value: str | None, expected: float | None) -> None:
    """Absurd values bench nothing: our own pause holds in their place."""
    assert parse_retry_after(value, now_wall=NOW) == expected
