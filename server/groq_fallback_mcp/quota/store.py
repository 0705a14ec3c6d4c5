"""What a store does: one transaction over a few records of text. It knows nothing of quota.

All that the ledger keeps are records under keys. A transaction reads those it names, hands them to a pure function
together with the time, and writes what that returns, all or nothing. A store may call the function again with newer
records, so it must not have effects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Generic, Protocol, TypeVar

__all__ = ["NOT_NOW", "NotNow", "Record", "Snapshot", "Store", "StoreUnusable", "Writes"]

T = TypeVar("T")


class StoreUnusable(Exception):
    """The store cannot be read or written now. The text says why, for people, without secrets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record's text; from `expires_at` (Unix seconds) on it is due to be swept."""

    body: str
    expires_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What a transaction sees: the time, read inside it, and the bodies of the records that exist."""

    now: float
    bodies: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes(Generic[T]):
    """What a transaction does: records written, None for those deleted, and its result."""

    result: T
    writes: Mapping[str, Record | None] = field(default_factory=dict[str, "Record | None"])


class NotNow(Enum):
    """Why a transaction was not done at once: it may have to wait for somebody."""

    NOT_NOW = auto()


NOT_NOW = NotNow.NOT_NOW


class Store(Protocol):
    """Synchronous: it is called on a thread of its own. Every method raises StoreUnusable when it cannot do its work."""

    @property
    def name(self) -> str:
        """The kind of store: memory, sqlite, redis."""
        ...

    @property
    def place(self) -> str:
        """Where it is, for people, without secrets."""
        ...

    def transact(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T:
        """Read `keys`, apply `change`, write; the result. `writing` false promises that nothing is written."""
        ...

    def transact_now(self, keys: Sequence[str], change: Callable[[Snapshot], Writes[T]], *, writing: bool = True) -> T | NotNow:
        """The same on the event loop's thread, if it can be done without waiting for anybody; else nothing was done.

        Never raises StoreUnusable: `transact` is then to find out what is the matter.
        """
        ...

    @property
    def needs_checkpoint(self) -> bool:
        """Whether `checkpoint` should be called soon, on the store's thread."""
        ...

    def checkpoint(self) -> None:
        """Do what `transact_now` has put off. Never raises StoreUnusable."""
        ...

    def due(self, limit: int) -> Sequence[str]:
        """Keys of at most `limit` records whose time has come."""
        ...

    def close(self) -> None:
        """Let go of files and connections."""
        ...
