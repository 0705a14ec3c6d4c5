"""Durations as Groq writes them, and the retry-after header in all its forms."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

__all__ = [
    "DAY_S",
    "WRITTEN_DURATION",
    "day_end",
    "format_duration",
    "parse_duration",
    "parse_reset",
    "parse_retry_after",
    "parse_written_duration",
    "seconds_until_day_ends",
    "stated_waits",
]

DAY_S = 86_400.0
QUARTER_S = 900.0

_YEAR_2001_S = 1e9
_YEAR_2001_MS = 1e12

# In milliseconds, of which the more exact one counts instead of retry-after; in seconds; moments or seconds.
_WAIT_MS = ("retry-after-ms", "x-ms-retry-after-ms")
_WAIT_S = ("x-ratelimit-retry-after", "x-ratelimit-reset-after")
_RESETS = ("x-ratelimit-reset", "ratelimit-reset")
# The draft standard's `ratelimit: limit=10, remaining=0, reset=60`, or `"default";r=0;t=60`.
_DRAFT_RESET = re.compile(r"\b(?:reset|t)=(\d{1,7})\b")
_ANTHROPIC_RESET = re.compile(r"anthropic-ratelimit-(?P<limit>[a-z-]{1,40})-reset\Z")

_UNIT_S = {
    "w": 7 * DAY_S,
    "d": DAY_S,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 0.001,
    "us": 0.000_001,
    "µs": 0.000_001,
    "ns": 1e-9,
}
_PART = r"(?:\d{1,12}(?:\.\d{1,15})?)(?:ms|us|µs|ns|d|h|m|s)"
_WHOLE = re.compile(rf"(?:{_PART})+\Z", re.ASCII)
_ONE = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|d|h|m|s)", re.ASCII)
_NUMBER = r"\d{1,12}(?:\.\d{1,15})?"
_WORD = r"(?:milliseconds?|msecs?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|weeks?|ms|us|µs|ns|d|h|m|s)(?![A-Za-z])"
# `14 minutes and 24 seconds`, `1 hour, 2 min`, `2m59.56s`: for use inside other patterns.
WRITTEN_DURATION = rf"{_NUMBER} ?{_WORD}(?:(?:, ?| and |, and | )?{_NUMBER} ?{_WORD})*"
_WRITTEN_PART = re.compile(rf"({_NUMBER}) ?({_WORD})", re.IGNORECASE)


def parse_duration(text: str) -> float | None:
    """Seconds of `2m59.56s`, `1h53m45.6s`, `825ms`, `6s`; None for anything else."""
    text = text.strip()
    if not _WHOLE.match(text):
        return None
    return math.fsum(float(number) * _UNIT_S[unit] for number, unit in _ONE.findall(text))


def parse_written_duration(text: str) -> float | None:
    """Seconds of a duration in words or units, such as `14 minutes and 24 seconds`; None without any."""
    parts = _WRITTEN_PART.findall(text)
    return math.fsum(float(number) * _word_s(word.lower()) for number, word in parts) if parts else None


def _word_s(word: str) -> float:
    if word.startswith(("milli", "msec")):
        return 0.001
    return _UNIT_S[word] if word in _UNIT_S else _UNIT_S[word[0]]


def format_duration(seconds: float) -> str:
    """`seconds` in the same form, to the millisecond: 0.825 -> `825ms`, 6825.6 -> `1h53m45.6s`."""
    milliseconds = round(max(seconds, 0.0) * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    shown = f"{rest / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{shown}"
    return f"{minutes}m{shown}" if minutes else shown


def parse_retry_after(value: str | None, *, now_wall: float) -> float | None:
    """Seconds to wait, within [0, one day]; None when absent or unreadable.

    Takes a number (`2`, `4.5`), a duration (`6s`, `6 hours`) or an HTTP date relative to `now_wall`. No limit takes longer than
    a day to refill, so a larger value is as unreadable as a negative or infinite one: believed even in part, one such
    header would put a model into a cooldown for every process that shares the ledger.
    """
    if value is None:
        return None
    text = value.strip()
    seconds = _number(text)
    if seconds is None:
        seconds = parse_written_duration(text) if _WRITTEN_PART.match(text) else _seconds_until(text, now_wall)
    return seconds if seconds is not None and 0 <= seconds <= DAY_S else None


def parse_reset(value: str | None, *, now_wall: float) -> float | None:
    """Seconds until the moment of an `x-ratelimit-reset` header: Unix milliseconds, Unix seconds, an ISO date, or seconds
    from now.
    """
    moment = None if value is None else _number(value.strip())
    if moment is None or not math.isfinite(moment):
        dated = None if value is None else _dated(value.strip())
        return (
            parse_retry_after(value, now_wall=now_wall)
            if dated is None
            # a moment that is over says nothing of a limit that has just refused
            else parse_retry_after(f"{dated - now_wall}", now_wall=now_wall)
        )
    if moment > _YEAR_2001_MS:
        moment /= 1_000
    seconds = moment - now_wall if moment > _YEAR_2001_S else moment
    return seconds if 0 <= seconds <= DAY_S else None


def seconds_until_day_ends(zone: str, now_wall: float) -> float:
    """Seconds until the next midnight in a time zone; in UTC where this machine does not know the zone."""
    return day_end(zone, now_wall) - now_wall


def stated_waits(headers: Mapping[str, str], *, now_wall: float) -> tuple[list[float], list[float]]:
    """The seconds to wait, and those until a limit begins again, that headers (lower-case names) state."""
    milliseconds = [parse_retry_after(f"{headers[name]}ms", now_wall=now_wall) for name in _WAIT_MS if name in headers]
    waits = milliseconds or [parse_retry_after(headers.get("retry-after"), now_wall=now_wall)]
    waits += [parse_retry_after(headers.get(name), now_wall=now_wall) for name in _WAIT_S]
    resets = [parse_reset(headers.get(name), now_wall=now_wall) for name in _RESETS]
    draft = _DRAFT_RESET.search(headers.get("ratelimit", ""))
    resets.append(float(draft[1]) if draft else None)
    for name, value in headers.items():
        limit = _ANTHROPIC_RESET.match(name)
        # a limit of which something is left is not the one that was met
        if limit and headers.get(f"anthropic-ratelimit-{limit['limit']}-remaining", "0") == "0":
            resets.append(parse_reset(value, now_wall=now_wall))
    return [wait for wait in waits if wait is not None], [reset for reset in resets if reset is not None]


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _dated(text: str) -> float | None:
    try:
        return _unix_s(datetime.fromisoformat(text)) if "-" in text[1:] and "T" in text else None
    except (ValueError, OverflowError):
        return None


def _seconds_until(text: str, now_wall: float) -> float | None:
    try:
        moment = _unix_s(parsedate_to_datetime(text))
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return max(moment - now_wall, 0.0)


def _unix_s(moment: datetime) -> float:
    """Where no time zone is said, a server means UTC, wherever this machine is."""
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()


def day_end(zone: str, at: float) -> float:
    """When the day ends, in Unix seconds, that the moment `at` is in at a place; in UTC where no such time zone is known."""
    return _day_end(zone, int(at // QUARTER_S))


@lru_cache(maxsize=256)
def _day_end(zone: str, quarter: int) -> float:
    # a tenth of a second, which only calls to providers with daily limits need
    from zoneinfo import ZoneInfo

    try:
        place = ZoneInfo(zone) if zone and zone != "UTC" else UTC
    except (ValueError, OSError, KeyError):
        place = UTC
    # no zone's midnight is off the quarters of an hour
    moment = datetime.fromtimestamp(quarter * QUARTER_S, tz=place)
    midnight = datetime.combine(moment.date() + timedelta(days=1), datetime.min.time(), tzinfo=place)
    return midnight.timestamp()
