"""A recording on its way to be written down: its bytes, or the file that holds them, read piece by piece."""

from __future__ import annotations

import errno
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from typing_extensions import Buffer

__all__ = ["AudioFile", "Opened", "Spooled", "open_recording", "pread"]

READ_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Spooled:
    """A file of this process that holds what is too large to be held in memory; `size` in bytes."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A file that is open as `descriptor`, of which `size` bytes from `start` on count. Whoever opened it closes it."""

    descriptor: int
    size: int
    start: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFile:
    """A recording that has been checked: its name, kind, probed length, and its bytes or the file that holds them."""

    name: str
    content: bytes | Spooled | Opened = field(repr=False)
    media_type: str
    duration_s: float | None

    @property
    def size(self) -> int:
        """Bytes of the recording."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.size

    def open(self) -> BinaryIO:
        """The recording from its beginning, to be closed by the caller. Raises OSError where a spooled file is gone."""
        return open_recording(self.content)


def open_recording(content: bytes | Spooled | Opened) -> BinaryIO:
    """A recording from its beginning, at a place of its own. Raises OSError where a spooled file is gone."""
    match content:
        case Spooled(path=path):
            return path.open("rb")
        case Opened(descriptor=descriptor, size=size, start=start):
            return io.BufferedReader(_Reading(descriptor, size, start), READ_BYTES)
        case _:
            return io.BytesIO(content)


class _Reading(io.RawIOBase):
    """A descriptor read from the beginning, at a place of its own: several can read it at once."""

    def __init__(self, descriptor: int, size: int, start: int) -> None:
        self._descriptor = descriptor
        self._size = size
        self._start = start
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def readinto(self, buffer: Buffer) -> int:
        view = memoryview(buffer)
        wanted = min(len(view), max(self._size - self._at, 0))
        if wanted == 0:
            return 0
        found = pread(self._descriptor, wanted, self._start + self._at)
        if not found:
            raise OSError(errno.EIO, "the file shrank while it was being read")
        view[: len(found)] = found
        self._at += len(found)
        return len(found)


def pread(descriptor: int, count: int, at: int) -> bytes:
    """Up to so many bytes from a place of an open file; where the system has no pread, its own place moves."""
    if hasattr(os, "pread"):
        return os.pread(descriptor, count, at)
    os.lseek(descriptor, at, os.SEEK_SET)
    return os.read(descriptor, count)
