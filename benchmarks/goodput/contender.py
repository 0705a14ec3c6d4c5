"""What is compared: anything that turns a call into an answer."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

from benchmarks.goodput.workload import Job

__all__ = ["CURRENT", "Contender", "Served"]

# Which call a request that reaches the upstream belongs to: the upstream knows its real tokens from there.
CURRENT: ContextVar[Job] = ContextVar("current")


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """An answer: who gave it, and how long it is."""

    model: str
    output_tokens: int


class Contender(Protocol):
    """One process of a contender."""

    async def serve(self, job: Job) -> Served | None:
        """The answer, or None when there is none. Is cancelled at the job's deadline."""
        ...
