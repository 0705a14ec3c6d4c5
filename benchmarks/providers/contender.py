"""What is compared: anything that turns a call into an answer."""

from __future__ import annotations

from typing import Protocol

from benchmarks.providers.workload import Call

__all__ = ["Contender"]


class Contender(Protocol):
    """One process of a contender."""

    async def serve(self, call: Call) -> str | None:
        """The answer's text, of a stream its pieces together; None without one. Is cancelled at the deadline."""
        ...
