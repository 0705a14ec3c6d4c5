"""Durations and retry-after values in all their forms."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groq_fallback_mcp.durations import (
    format_duration,
    parse_duration,
    parse_reset,
    parse_retry_after,
    parse_written_duration,
    stated_waits,
)

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


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "0ms"),
        (0.0, "0ms"),
        (0.9994, "999ms"),
        (0.9996, "1s"),
        (6.0, "6s"),
        (7.66, "7.66s"),
        (40.0, "40s"),
        (60.0, "1m0s"),
        (3_600.0, "1h0m0s"),
        (6_825.6, "1h53m45.6s"),
    ],
)
def test_durations_are_written_as_groq_writes_them(seconds: float, text: str) -> None:
    """No hours and minutes where there are none, no zeros at the end."""
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1 week", 604_800.0),
        ("2 days, 3 hrs and 1 min", 183_660.0),
        ("250 milliseconds", 0.25),
        ("250 msecs", 0.25),
        ("5 mins 2 secs", 302.0),
        ("5 Minutes", 300.0),
        ("5 metres", None),
    ],
)
def test_a_duration_is_read_in_words(text: str, seconds: float | None) -> None:
    """Milliseconds are not minutes."""
    assert parse_written_duration(text) == (None if seconds is None else pytest.approx(seconds))


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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("0.5", 0.5),
        ("86400", 86_400.0),
        ("86401", None),
        ("Mon, 21 Sep 2026 14:13:25 GMT", 5.0),
        ("2026-09-21T14:13:25Z", 5.0),
        ("2026-09-21T16:13:25+02:00", 5.0),
        ("2026-09-21T14:13:15Z", None),
        ("2026-09-22", None),
    ],
)
def test_a_reset_is_read_up_to_a_day_or_passed_over(value: str, expected: float | None) -> None:
    """A day without a time of day is no moment."""
    assert parse_reset(value, now_wall=NOW) == expected


@pytest.fixture
def far_away(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """This machine is in Tokyo."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone of a process cannot be set here")
@pytest.mark.usefixtures("far_away")
def test_a_moment_without_a_time_zone_is_one_of_utc() -> None:
    """It was taken for this machine's own time, half a day off."""
    assert parse_reset("2026-09-21T14:13:25", now_wall=NOW) == 5.0
    assert parse_retry_after("Mon, 21 Sep 2026 14:13:25 -0000", now_wall=NOW) == 5.0


@pytest.mark.parametrize("name", ["retry-after", "x-ratelimit-retry-after", "x-ratelimit-reset-after"])
def test_a_wait_may_be_a_date(name: str) -> None:
    """In any header for waits."""
    assert stated_waits({name: "Mon, 21 Sep 2026 14:13:25 GMT"}, now_wall=NOW) == ([5.0], [])


def test_milliseconds_count_instead_of_the_seconds_they_were_rounded_to() -> None:
    """Whatever else is stated counts too."""
    headers = {"retry-after": "2", "retry-after-ms": "1500", "x-ratelimit-reset-after": "1.4", "ratelimit-reset": "60"}
    assert stated_waits(headers, now_wall=NOW) == ([1.5, 1.4], [60.0])
