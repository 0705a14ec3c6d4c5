"""Reads an audio file from the folders that may be read."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from groq_fallback_mcp.audio.extent import Extent, extent
from groq_fallback_mcp.audio.headers import Headers, read_headers
from groq_fallback_mcp.audio.kind import AudioKind, Convertible, recognize
from groq_fallback_mcp.audio.stream import can_decode
from groq_fallback_mcp.audio.window import Window
from groq_fallback_mcp.call import AudioFile, Opened
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.files import not_there, open_allowed

__all__ = ["INSTALL", "OpenAudio", "open_audio"]

INSTALL = "pip install 'groq-fallback-mcp[audio]'"
LONGEST_SHOWN = 80

# Several copies of so much do no harm; what is larger is sent from its file.
HELD_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAudio:
    """A file that is open, of which it is known that it is audio. `name` has the extension its content asks for.

    `start` is where its first frame begins if there is anything else before it, and `size` counts from there.
    """

    file: BinaryIO
    path: str
    name: str
    kind: AudioKind | Convertible
    size: int
    start: int = 0

    @property
    def recording(self) -> Opened:
        """What is open, to be read by several at once."""
        return Opened(descriptor=self.file.fileno(), size=self.size, start=self.start)

    def headers(self) -> Headers:
        """What the headers tell of its length. Blocking."""
        return read_headers(self._window(), self.kind)

    def extent(self) -> Extent | None:
        """How much of it is sound, None where it is not sent as it is in any case. Blocking."""
        return None if isinstance(self.kind, Convertible) else extent(self._window(), self.kind)

    def unsupported(self) -> InputRefused:
        """That it cannot be sent, with what can be."""
        return _unsupported(self.path)

    def audio(self, duration_s: float | None) -> AudioFile:
        """The recording, which lasts so long; a large one stays in its file. Blocking."""
        return AudioFile(
            name=self.name,
            content=self._window()[:] if self.size <= HELD_BYTES else self.recording,
            media_type=self.kind.media_type,
            duration_s=duration_s,
        )

    def probed(self) -> AudioFile:
        """The recording, with its length as its headers tell it. Blocking."""
        return self.audio(self.headers().duration_s)

    def _window(self) -> Window:
        return Window(self.file.fileno(), self.size, self.start)


@contextmanager
def open_audio(path: str, *, allowed: Sequence[Path], max_bytes: int, cwd: Path | None = None) -> Generator[OpenAudio]:
    """Check and open one file, which is closed at the end of the block. Blocking: enter it in a thread.

    `path` may begin with ~ and may be relative, to `cwd` or else to the first allowed folder. `max_bytes` is the
    largest file taken. Raises InputRefused: no readable regular file below an allowed folder, empty, too large,
    or no audio by its content.
    """
    descriptor = open_allowed(path, allowed=allowed, cwd=cwd)
    with os.fdopen(descriptor, "rb") as file:
        try:
            opened = _checked(file, path, max_bytes)
        except OSError as error:
            raise not_there(path, allowed) from error
        yield opened


def _checked(file: BinaryIO, path: str, max_bytes: int) -> OpenAudio:
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise InputRefused(f"{path!r} is empty", next_step="Pass a file that holds a recording")
    if size > max_bytes:
        raise InputRefused(
            f"{path!r} has {size:,} bytes, the limit is {max_bytes:,}",
            next_step="Split or compress it (16 kHz mono FLAC or Opus is enough for speech), or pass an https address",
        )
    found = recognize(Window(file.fileno(), size))
    if found is None or (isinstance(found.kind, Convertible) and not can_decode()):
        raise _unsupported(path)
    return OpenAudio(
        file=file,
        path=path,
        name=f"{Path(path).stem}.{found.kind.extension}",
        kind=found.kind,
        size=size - found.start,
        start=found.start,
    )


def _unsupported(path: str) -> InputRefused:
    sent, converted = ", ".join(AudioKind), ", ".join(Convertible)
    how = "Supported after conversion" if can_decode() else f"Supported after conversion, with the audio extra ({INSTALL})"
    return InputRefused(f"{_shown(path)} is not a supported audio file", next_step=f"Supported: {sent}. {how}: {converted}")


def _shown(path: str) -> str:
    """The path as it was given, on one line and not too long."""
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in path)
    return plain if len(plain) <= LONGEST_SHOWN else f"{plain[: LONGEST_SHOWN - 1]}…"
