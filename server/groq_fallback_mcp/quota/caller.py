"""Who makes a call: one of several people or programs that share an organization's limits."""

from __future__ import annotations

from dataclasses import dataclass, field

from groq_fallback_mcp.quota.budget import Budget

__all__ = ["OWNER", "Caller", "caller_day"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A name to count under, with the most that it may spend in a UTC day and how many requests it may make per minute.

    `yields`: batch work, which waits while anybody else waits.
    """

    name: str
    budget: Budget = field(default_factory=Budget)
    rpm: int | None = None
    yields: bool = False

    @property
    def queue(self) -> str:
        """What its use of a model is kept under: batch work and other work of one name wait apart."""
        return f"{self.name}/batch" if self.yields else self.name


# The one who runs the gateway, beside named tokens.
OWNER = Caller(name="owner")


def caller_day(day: str, name: str) -> str:
    """Under which a caller's spending on a day is kept, beside everybody's under the day alone."""
    return f"{day}/token/{name}"
