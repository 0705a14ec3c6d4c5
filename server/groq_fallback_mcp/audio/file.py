"""Opens an audio file from the folders that may be read, and finds what is known of it without decoding it.

That is how long it lasts, whether it can be played, and whether it is sent as it is or only its sound.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from groq_fallback_mcp.audio.decoder import measure_s
from groq_fallback_mcp.audio.file_bytes import FileBytes
from groq_fallback_mcp.audio.headers import Headers, read_headers
from groq_fallback_mcp.audio.kind import AudioKind, Convertible, recognize
from groq_fallback_mcp.audio.pcm import AbandonedError, NotDecodableError, OutOfMemoryError, can_decode
from groq_fallback_mcp.audio.sound_length import Extent, extent
from groq_fallback_mcp.call import AudioFile, Opened
from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.files import not_there, open_allowed
from groq_fallback_mcp.render import path_excerpt

__all__ = ["OpenAudio", "Probed", "checked_audio", "open_audio", "probe"]

LONGEST_SHOWN = 80

# Several copies of so much do no harm; what is larger is sent from its file.
HELD_BYTES = 1024 * 1024
CONVERT = "ffmpeg -i FILE -ar 16000 -ac 1 speech.flac"


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
        return read_headers(self._bytes(), self.kind)

    def extent(self) -> Extent | None:
        """How much of it is sound, None where it is not sent as it is in any case. Blocking."""
        return None if isinstance(self.kind, Convertible) else extent(self._bytes(), self.kind)

    def unsupported(self) -> InputRefused:
        """That it cannot be sent, with what can be."""
        return _unsupported(self.path)

    def audio(self, duration_s: float | None) -> AudioFile:
        """The recording, which lasts so long; a large one stays in its file. Blocking."""
        return AudioFile(
            name=self.name,
            content=self._bytes()[:] if self.size <= HELD_BYTES else self.recording,
            media_type=self.kind.media_type,
            duration_s=duration_s,
        )

    def probed(self) -> AudioFile:
        """The recording, with its length as its headers tell it. Blocking."""
        return self.audio(self.headers().duration_s)

    def _bytes(self) -> FileBytes:
        return FileBytes(self.file.fileno(), self.size, self.start)


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
            opened = checked_audio(file, path, max_bytes=max_bytes)
        except OSError as error:
            raise not_there(path, allowed) from error
        yield opened


def checked_audio(file: BinaryIO, path: str, *, max_bytes: int) -> OpenAudio:
    """A file that is open, called `path` in messages; it stays the caller's to close. Blocking. Raises as `open_audio`."""
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise InputRefused(f"{path!r} is empty", next_step="Pass a file that contains a recording")
    if size > max_bytes:
        raise InputRefused(
            f"{path!r} has {size:,} bytes, the limit is {max_bytes:,}",
            next_step="Split or compress it (16 kHz mono FLAC or Opus is enough for speech), or pass an https URL",
        )
    found = recognize(FileBytes(file.fileno(), size))
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
    extra = "" if can_decode() else f", with the audio extra ({install_command('audio')})"
    return InputRefused(
        f"{_shown(path)} is not a supported audio file",
        next_step=" ".join((f"Supported: {sent}.", f"Supported after conversion{extra}: {converted}")),
    )


def _shown(path: str) -> str:
    """The path as it was given, on one line and not too long."""
    plain = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in path)
    return plain if len(plain) <= LONGEST_SHOWN else f"{plain[: LONGEST_SHOWN - 1]}…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What is known of a recording. `sendable`: it is sent as it is; else it is decoded, so that nothing but its sound leaves."""

    headers: Headers
    sendable: bool


def probe(opened: OpenAudio, *, longest_s: float, longest_run_s: float, stopped: Callable[[], bool]) -> Probed:
    """What is known of the recording without decoding it; what goes on after `longest_s` is not counted. Blocking.

    Measuring takes at most `longest_run_s`; then the length stays unknown.
    Raises InputRefused where nothing of it can be played or where it is not only a recording and cannot be converted, and
    AbandonedError once `stopped()`.
    """
    headers = opened.headers()
    if not headers.has_sound:
        raise InputRefused(f"{path_excerpt(opened.path)} has no audio track, only pictures", next_step="Pass a file with sound")
    if headers.without_index:
        raise InputRefused(
            f"{path_excerpt(opened.path)} ends early. Its index, which is written last, is missing, and without it nothing can "
            "be played",
            next_step="Copy or download the file again",
        )
    found = opened.extent()
    if found is None:
        return Probed(headers=headers, sendable=False)
    behind_other_bytes = opened.start > 0 and opened.kind in {AudioKind.MP3, AudioKind.MPGA}
    if found.text or (behind_other_bytes and found.stray and not found.mostly_media):
        raise opened.unsupported()
    if not can_decode():
        if not found.whole:
            raise _not_whole(opened)
        return Probed(headers=headers, sendable=True)
    sendable = found.whole and not found.pictures and opened.kind not in _CONVERTED
    if sendable and headers.duration_s is not None and not headers.cut:
        return Probed(headers=headers, sendable=True)
    measured = _measured(opened, longest_s=longest_s, longest_run_s=longest_run_s, stopped=stopped)
    if measured is None and not sendable:
        raise InputRefused(
            f"{path_excerpt(opened.path)} is damaged or contains more than a recording, and no sound was found in it within "
            f"{longest_run_s:g} s",
            next_step=f"Convert it first, e.g. {CONVERT}",
        )
    return Probed(headers=replace(headers, duration_s=measured) if measured else headers, sendable=sendable)


# Groq names their extensions and does not say which of the several formats of that name it means.
_CONVERTED = {AudioKind.MPEG, AudioKind.MPGA}


def _measured(opened: OpenAudio, *, longest_s: float, longest_run_s: float, stopped: Callable[[], bool]) -> float | None:
    """Seconds by the packets, 0 where they have no times; None where the decoder came to no end. Raises as `probe`."""
    end = time.monotonic() + longest_run_s
    try:
        return measure_s(
            opened.recording,
            opened.kind.media_type,
            longest_s=longest_s,
            longest_run_s=longest_run_s,
            stopped=lambda: stopped() or time.monotonic() > end,
        )
    except OutOfMemoryError:
        return None
    except NotDecodableError as error:
        raise InputRefused(
            f"{path_excerpt(opened.path)} cannot be decoded as audio: {error}", next_step="Pass a playable audio file"
        ) from error
    except AbandonedError:
        if stopped():
            raise
        return None


def _not_whole(opened: OpenAudio) -> InputRefused:
    return InputRefused(
        f"{path_excerpt(opened.path)} is damaged or contains more than a recording, so it was not sent",
        next_step=f"Run {install_command('audio')} to send only its sound, or convert it ({CONVERT})",
    )
