"""Bytes as they come into lines; a line longer than the cap is thrown away while it comes, all but its ends."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

__all__ = ["KEPT_OF_OVERLONG", "LineSplitter", "Overlong"]

KEPT_OF_OVERLONG = 4_096


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlong:
    """What is left of a line above the cap: its size in bytes, its first and its last bytes."""

    size: int
    head: bytes
    tail: bytes


class LineSplitter:
    """Feed it chunks, take lines without their ends. Holds at most `cap` bytes of an unfinished line."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._lines: deque[bytes | Overlong] = deque()
        self._held = bytearray()
        self._size = 0
        self._head: bytes | None = None

    def feed(self, chunk: bytes) -> None:
        """Take what was read."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            self._take(end)
            self._lines.append(self._finished())
        if rest:
            self._take(rest)

    def next_line(self) -> bytes | Overlong | None:
        """The next complete line, or None until more is fed."""
        return self._lines.popleft() if self._lines else None

    def _take(self, piece: bytes) -> None:
        self._held += piece
        self._size += len(piece)
        if self._size > self._cap:
            if self._head is None:
                self._head = bytes(self._held[:KEPT_OF_OVERLONG])
            del self._held[:-KEPT_OF_OVERLONG]

    def _finished(self) -> bytes | Overlong:
        held = bytes(self._held)
        line = held if self._head is None else Overlong(size=self._size, head=self._head, tail=held)
        self._held, self._size, self._head = bytearray(), 0, None
        return line
