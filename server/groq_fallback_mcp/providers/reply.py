"""What an HTTP exchange gives back, and how much of it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

__all__ = ["BODY_BYTES", "Reply", "Sink"]

# An answer of a million tokens fits. JSON is parsed at one go, so this also bounds how long a ping can wait for it.
BODY_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A response; header names in lower case. The body is complete below status 300, else its beginning."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Sink(Protocol):
    """Takes the bytes of a stream."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is wanted."""
        ...

    @property
    def whole(self) -> bool:
        """Whether the answer has said why it ended."""
        ...

    def feed(self, chunk: bytes) -> bool:
        """Take a chunk; true when it carried something of the answer."""
        ...
