"""What providers limit, and what a response says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Limit", "LimitReading", "QuotaSnapshot"]


class Limit(StrEnum):
    """What Groq limits, per model and organisation. The window says how long a full refill takes."""

    RPM = "rpm"
    RPD = "rpd"
    TPM = "tpm"
    TPD = "tpd"
    ITPM = "itpm"
    OTPM = "otpm"
    ASH = "ash"
    ASD = "asd"

    @property
    def window_s(self) -> float:
        """Seconds in which an empty bucket of this kind fills up."""
        return _WINDOW_S[self]

    @property
    def unit(self) -> str:
        """What the bucket counts, in words for people."""
        return _UNIT[self]


_WINDOW_S: Mapping[Limit, float] = {
    Limit.RPM: 60.0,
    Limit.RPD: 86_400.0,
    Limit.TPM: 60.0,
    Limit.TPD: 86_400.0,
    Limit.ITPM: 60.0,
    Limit.OTPM: 60.0,
    Limit.ASH: 3_600.0,
    Limit.ASD: 86_400.0,
}
_UNIT: Mapping[Limit, str] = {
    Limit.RPM: "requests per minute",
    Limit.RPD: "requests per day",
    Limit.TPM: "tokens per minute",
    Limit.TPD: "tokens per day",
    Limit.ITPM: "input tokens per minute",
    Limit.OTPM: "output tokens per minute",
    Limit.ASH: "audio seconds per hour",
    Limit.ASD: "audio seconds per day",
}


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
