"""Bytes, or what can be looked at as if it were bytes: a large file is never held in memory."""

from __future__ import annotations

from typing import Protocol, overload

__all__ = ["Content"]


class Content(Protocol):
    """The slices and indexes of bytes; slices beyond the end are short."""

    def __len__(self) -> int: ...
    def startswith(self, prefix: bytes, /) -> bool:
        """As of bytes."""
        ...

    @overload
    def __getitem__(self, where: int, /) -> int: ...
    @overload
    def __getitem__(self, where: slice, /) -> bytes: ...
