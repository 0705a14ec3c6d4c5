"""Reads an audio file from the folders that may be read."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from groq_fallback_mcp.audio.duration import probe_duration_s
from groq_fallback_mcp.audio.kind import HEAD_BYTES, AudioKind, sniff
from groq_fallback_mcp.audio.window import Window
from groq_fallback_mcp.call import AudioFile, Opened
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.files import not_there, open_allowed

__all__ = ["OpenAudio", "open_audio"]

# Several copies of so much do no harm; what is larger is sent from its file.
HELD_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAudio:
    """A file that is open, of which it is known that it is audio. `name` has the extension its content asks for."""

    file: BinaryIO
    path: str
    name: str
    kind: AudioKind
    size: int

    def probed(self) -> AudioFile:
        """The recording, with its length as its headers tell it; a large one stays in its file. Blocking."""
        descriptor = self.file.fileno()
        window = Window(descriptor, self.size)
        return AudioFile(
            name=self.name,
            content=window[:] if self.size <= HELD_BYTES else Opened(descriptor=descriptor, size=self.size),
            media_type=self.kind.media_type,
            duration_s=probe_duration_s(window, self.kind),
        )


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
    kind = sniff(file.read(HEAD_BYTES))
    if kind is None:
        kinds = ", ".join(AudioKind)
        raise InputRefused(
            f"{path!r} is not audio by its content, whatever its name says",
            next_step=f"Pass one of {kinds}",
        )
    return OpenAudio(file=file, path=path, name=_fitting_name(path, kind), kind=kind, size=size)


def _fitting_name(path: str, kind: AudioKind) -> str:
    """The file's name with the extension its content asks for: providers judge by the name."""
    return f"{Path(path).stem}.{kind.extension}"
