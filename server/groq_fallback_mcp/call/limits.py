"""What providers limit, and what a response says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Self

__all__ = ["CONTINUOUS", "Limit", "LimitReading", "Pool", "QuotaSnapshot", "Refilling"]


class Limit(StrEnum):
    """What providers limit, per model or for a pool of models.

    `window_s`: seconds in which an empty bucket of this kind fills up; CONCURRENT counts calls under way, and has none. `unit`: what it counts, in words for people.
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
    RPH = "rph", 3_600.0, "requests per hour"
    TPH = "tph", 3_600.0, "tokens per hour"
    CONCURRENT = "concurrent", 0.0, "calls at once"
    ASH = "ash", 3_600.0, "audio seconds per hour"
    ASD = "asd", 86_400.0, "audio seconds per day"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refilling:
    """How what was used of a provider's limits comes back.

    `windows`: bit by bit (`continuous`, as at Groq), or a whole window after it was used (`sliding`), which is also safe where the
    provider counts in fixed windows. `day_ends`: the time zone at whose midnight limits per day begin again; empty where those
    come back like the others.
    """

    windows: Literal["continuous", "sliding"] = "continuous"
    day_ends: str = ""


CONTINUOUS = Refilling()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Limits that several models of a provider share, and their name there."""

    name: str
    documented: Mapping[Limit, int]


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
