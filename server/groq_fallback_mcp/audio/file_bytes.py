"""Bytes, or an open file as if it were its bytes: only those are read that are looked at, and no large file is held in memory."""

from __future__ import annotations

from typing import Protocol, overload

from groq_fallback_mcp.call import pread

__all__ = ["Content", "FileBytes"]

PAGE_BYTES = 64 * 1024
# Read where somebody has jumped to: whoever walks from box to box looks at a few bytes of each.
LOOK_BYTES = 4 * 1024


class FileBytes:
    """The `size` bytes from `start` on behind a descriptor; blocking. Slices beyond the end are short, as with bytes."""

    def __init__(self, descriptor: int, size: int, start: int = 0) -> None:
        self._descriptor = descriptor
        self._size = size
        self._start = start
        self._page = b""
        self._page_at = 0

    def __len__(self) -> int:
        return self._size

    def startswith(self, prefix: bytes) -> bool:
        """As of bytes."""
        return self[: len(prefix)] == prefix

    @overload
    def __getitem__(self, where: int) -> int: ...
    @overload
    def __getitem__(self, where: slice) -> bytes: ...
    def __getitem__(self, where: int | slice) -> int | bytes:
        if isinstance(where, int):
            if not 0 <= where < self._size:
                raise IndexError(where)
            found = self._read(where, where + 1)
            if not found:
                raise IndexError(where)
            return found[0]
        begin, end, _ = where.indices(self._size)
        return self._read(begin, end)

    def _read(self, begin: int, end: int) -> bytes:
        if end - begin > PAGE_BYTES:
            return self._all(begin, end)
        if not self._page_at <= begin <= end <= self._page_at + len(self._page):
            goes_on = self._page_at <= begin <= self._page_at + len(self._page)
            length = max(PAGE_BYTES if goes_on else LOOK_BYTES, end - begin)
            self._page, self._page_at = self._all(begin, min(begin + length, self._size)), begin
        return self._page[begin - self._page_at : max(end - self._page_at, 0)]

    def _all(self, begin: int, end: int) -> bytes:
        pieces: list[bytes] = []
        while begin < end and (piece := pread(self._descriptor, end - begin, self._start + begin)):
            pieces.append(piece)
            begin += len(piece)
        return b"".join(pieces)


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
