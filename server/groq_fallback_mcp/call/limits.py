"""What providers limit, and what a response says of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Self

__all__ = ["Limit", "LimitReading", "QuotaSnapshot"]


class Limit(StrEnum):
    """What Groq limits, per model and organization.

    `window_s`: seconds in which an empty bucket of this kind fills up. `unit`: what it counts, in words for people.
    """

    window_s: float
    unit: str

    # the defaults are for type checkers: with its value alone a member is looked up
    def __new__(cls, value: str, window_s: float = 0.0, unit: str = "") -> Self:
        made = str.__new__(cls, value)
        made._value_ = value
        made.window_s = window_s
        made.unit = unit
        return made

    RPM = "rpm", 60.0, "requests per minute"
    RPD = "rpd", 86_400.0, "requests per day"
    TPM = "tpm", 60.0, "tokens per minute"
    TPD = "tpd", 86_400.0, "tokens per day"
    ITPM = "itpm", 60.0, "input tokens per minute"
    OTPM = "otpm", 60.0, "output tokens per minute"
    ASH = "ash", 3_600.0, "audio seconds per hour"
    ASD = "asd", 86_400.0, "audio seconds per day"


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReading:
    """One limit as the server stated it. Each figure may be missing.

    `wait_s`: seconds until the refused request would be admitted (429 bodies and retry-after).
    """

    limit: Limit
    capacity: float | None = None
    remaining: float | None = None
    requested: float | None = None
    wait_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSnapshot:
    """All that one response told about limits, from headers and body together."""

    readings: tuple[LimitReading, ...] = ()
