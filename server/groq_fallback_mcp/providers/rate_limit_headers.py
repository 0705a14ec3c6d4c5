"""What a response tells about quota: rate-limit headers, and the figures inside 429 and 413 messages.

At Groq `x-ratelimit-*-requests` are per day, `-tokens` per minute, `-audio-seconds` per hour. RPM, TPD and ASD stand in no
header and are learnt from messages only. What headers of other providers count is in their rows of the catalog; of a provider
that is not known the same names are read, and the time until requests are back tells per how long they are counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

from groq_fallback_mcp.call import Limit, LimitReading, QuotaSnapshot
from groq_fallback_mcp.catalog import LimitHeader, ProviderRow
from groq_fallback_mcp.durations import DAY_S, WRITTEN_DURATION, parse_reset, parse_written_duration, seconds_until_day_ends

__all__ = ["Sender", "read_headers", "read_message", "read_quotas", "resets_of_spent", "snapshot", "stated_wait"]

# Who sent a response: Groq, a provider of the catalog, or one of which nothing is known.
Sender = ProviderRow | Literal["groq"] | None

_HEADERS = {Limit.RPD: "requests", Limit.TPM: "tokens", Limit.ASH: "audio-seconds"}
_GENERIC = tuple(
    LimitHeader(
        limit=limit,
        capacity=f"x-ratelimit-limit-{name}",
        remaining=f"x-ratelimit-remaining-{name}",
        reset=f"x-ratelimit-reset-{name}",
        source="OpenAI's names, which most servers use",
        checked=date(2026, 11, 1),
    )
    for limit, name in ((None, "requests"), (Limit.TPM, "tokens"))
)
# Requests that are back within MINUTE_S are counted per minute, after at least HOURS_S per day; between, nobody knows.
MINUTE_S = 120.0
HOURS_S = 7_200.0
_METRICS = {
    "RPM": Limit.RPM,
    "RPD": Limit.RPD,
    "TPM": Limit.TPM,
    "TPD": Limit.TPD,
    "ITPM": Limit.ITPM,
    "OTPM": Limit.OTPM,
    "ASPH": Limit.ASH,
    "ASH": Limit.ASH,
    "ASPD": Limit.ASD,
    "ASD": Limit.ASD,
}
_FIGURES = re.compile(
    r"(?:\((?P<metric>[A-Z]{3,5})\))?\s*:\s*Limit ~?(?P<limit>\d[\d.]*), (?:Used ~?(?P<used>\d[\d.]*), )?"
    r"Requested ~?(?P<requested>\d[\d.]*)"
)
# Such as: Please try again in 17.359s; retry after 27 seconds; resets in: 6 hours; wait 14 minutes and 24 seconds; or, at the
# end of a sentence, Retry-After: 45.
_AGAIN = (
    r"(?:try(?:ing)? again|retry(?:ing)?|retry-after|wait(?:ing)?|reset(?:s|ting)?|available(?: again)?|come back|lifted|allowed"
    r"|cooldown(?:_time)?)\b"
)
_WAIT = re.compile(
    rf"{_AGAIN}[ :=-]{{1,3}}(?:(?:in|after|for|at least|about|approximately|another)[ :]{{1,3}}){{0,2}}(?P<wait>{WRITTEN_DURATION})"
    rf"|{_AGAIN}(?: ?[:=] ?| (?:in|after|for)[ :]{{1,3}})(?P<seconds>\d{{1,6}}(?:\.\d{{1,6}})?)(?=[.;,!)]?(?:\s*\Z|[.;,!)]\s))",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_HOURS_AND_MINUTES = re.compile(r"\b(\d{1,3})h(\d{1,2})\b")
_ONE = re.compile(r"\b(?:an?|one) (?=(?:second|minute|hour|day|week)\b)", re.IGNORECASE)
# A month: quotas are never longer. A wait is asked about again after a day.
LONGEST_STATED_S = 31 * DAY_S
_LARGEST = 1e12


def read_headers(
    headers: Mapping[str, str], *, sender: Sender = "groq", now_wall: float = 0.0, day_is_spent: bool = False
) -> tuple[LimitReading, ...]:
    """The limits named in headers (lower-case names). Values that are not plausible numbers are skipped.

    `day_is_spent`: they come with the refusal of a limit per day.
    """
    if sender != "groq":
        found = _readings(headers, _rows_of(sender), now_wall, day_is_spent=day_is_spent)
        day_s = seconds_until_day_ends(sender.day_ends, now_wall) if sender is not None else 0.0
        return tuple(_within_day(reading, reset_s, day_s) for reading, reset_s in found)
    readings: list[LimitReading] = []
    for limit, suffix in _HEADERS.items():
        capacity = _figure(headers.get(f"x-ratelimit-limit-{suffix}"))
        remaining = _figure(headers.get(f"x-ratelimit-remaining-{suffix}"))
        if capacity is not None or remaining is not None:
            readings.append(LimitReading(limit=limit, capacity=capacity or None, remaining=remaining))
    return tuple(readings)


def resets_of_spent(headers: Mapping[str, str], *, sender: Sender, now_wall: float) -> list[float]:
    """Seconds until those limits begin again of which headers say that nothing is left."""
    spent = [row for row in _rows_of(sender) if row.reset and row.remaining and _figure(headers.get(row.remaining)) == 0]
    resets = (parse_reset(headers.get(row.reset or ""), now_wall=now_wall) for row in spent)
    return [reset for reset in resets if reset is not None]


def read_quotas(quotas: Iterable[tuple[str, str]]) -> tuple[LimitReading, ...]:
    """The limits that Google names in a refusal: ids such as `GenerateRequestsPerDayPerProjectPerModel-FreeTier`, and figures."""
    found = [(_limit_of_quota(id_.lower()), _figure(value)) for id_, value in quotas]
    return tuple(
        LimitReading(limit=limit, capacity=capacity, remaining=0.0)
        for limit, capacity in found
        if limit is not None and capacity
    )


def read_message(message: str, *, error_type: str | None = None) -> LimitReading | None:
    """The limit a 429 or 413 message names, with its figures; None when it names none.

    The metric is sometimes missing from the text: then `error_type` (`tokens`, `requests`, `audio`) says what is
    counted, and the stated wait, which is (used + requested - limit) / (limit / window), says per how long.
    """
    found = _FIGURES.search(message)
    if found is None:
        return None
    capacity, used, requested = (_figure(found[name]) for name in ("limit", "used", "requested"))
    if not capacity or requested is None:
        return None
    wait_s = stated_wait(message)
    limit = _METRICS.get(found["metric"] or "")
    if limit is None:
        excess = (used or 0.0) + requested - capacity
        window_s = wait_s * capacity / excess if wait_s is not None and excess > 0 else None
        limit = _infer(error_type, window_s)
    if limit is None:
        return None
    remaining = None if used is None else max(capacity - used, 0.0)
    return LimitReading(limit=limit, capacity=capacity, remaining=remaining, requested=requested, wait_s=wait_s)


def stated_wait(message: str) -> float | None:
    """Seconds that a text says to wait, at most a day; None when it says none that can be true."""
    found = _WAIT.search(_ONE.sub("1 ", _HOURS_AND_MINUTES.sub(r"\1h\2m", _THOUSANDS.sub("", message))))
    if found is None:
        return None
    seconds = parse_written_duration(found["wait"]) if found["wait"] else float(found["seconds"])
    return min(seconds, DAY_S) if seconds is not None and seconds <= LONGEST_STATED_S else None


def snapshot(
    headers: Mapping[str, str],
    stated: Sequence[LimitReading] = (),
    *,
    sender: Sender = "groq",
    now_wall: float = 0.0,
    day_is_spent: bool = False,
) -> QuotaSnapshot:
    """All that one response told, as `read_headers`. What its body has `stated` wins over a header for the same limit."""
    from_headers = read_headers(headers, sender=sender, now_wall=now_wall, day_is_spent=day_is_spent)
    limits = {reading.limit for reading in stated}
    return QuotaSnapshot(readings=(*stated, *(reading for reading in from_headers if reading.limit not in limits)))


def _rows_of(sender: Sender) -> Sequence[LimitHeader]:
    known = sender.headers if isinstance(sender, ProviderRow) else ()
    return [row for row in known if not row.uncertain] or _GENERIC


def _readings(
    headers: Mapping[str, str], rows: Sequence[LimitHeader], now_wall: float, *, day_is_spent: bool
) -> Iterable[tuple[LimitReading, float | None]]:
    """The readings, each with the seconds until its limit begins again."""
    for row in rows:
        capacity, remaining = (_figure(headers.get(name)) if name else None for name in (row.capacity, row.remaining))
        if capacity is None and remaining is None:
            continue
        reset_s = parse_reset(headers.get(row.reset), now_wall=now_wall) if row.reset is not None else None
        limit = row.limit
        if limit is None and day_is_spent and remaining == 0:
            limit = Limit.RPD
        elif limit is None:
            limit = _limit_of_requests(capacity, remaining, reset_s)
        if limit is not None:
            yield LimitReading(limit=limit, capacity=capacity or None, remaining=remaining), reset_s


def _within_day(reading: LimitReading, reset_s: float | None, day_s: float) -> LimitReading:
    """The reading without what remains of a daily limit that begins again before the day ends: the ledger would wait until then."""
    if reading.limit not in {Limit.RPD, Limit.TPD} or reset_s is None or reset_s >= day_s - MINUTE_S:
        return reading
    return replace(reading, remaining=None)


def _limit_of_requests(capacity: float | None, remaining: float | None, reset_s: float | None) -> Limit | None:
    """Per how long requests are counted, by the time until all that were used are back."""
    if not capacity or remaining is None or reset_s is None or remaining >= capacity:
        return None
    window_s = reset_s * capacity / (capacity - remaining)
    return Limit.RPM if window_s <= MINUTE_S else Limit.RPD if window_s >= HOURS_S else None


def _limit_of_quota(id_: str) -> Limit | None:
    tokens = "inputtoken" in id_
    if "perminute" in id_:
        return Limit.ITPM if tokens else Limit.RPM if "request" in id_ else None
    return Limit.RPD if "perday" in id_ and "request" in id_ and not tokens else None


def _figure(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text.rstrip("."))
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= _LARGEST else None


def _infer(error_type: str | None, window_s: float | None) -> Limit | None:
    daily = window_s is not None and window_s > 7_200
    match error_type:
        case "tokens":
            return Limit.TPD if daily else Limit.TPM
        case "requests":
            return Limit.RPD if daily else Limit.RPM
        case "audio" | "seconds" | "audio_seconds":
            return Limit.ASD if daily else Limit.ASH
        case _:
            return None
