"""Reads an audio file from the folders that may be read."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from groq_fallback_mcp.audio.duration import probe_duration_s
from groq_fallback_mcp.audio.kind import HEAD_BYTES, AudioKind, sniff
from groq_fallback_mcp.call import AudioFile
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.files import not_there, open_allowed

__all__ = ["read_audio"]


def read_audio(path: str, *, allowed: Sequence[Path], max_bytes: int, cwd: Path | None = None) -> AudioFile:
    """Check and read one file. Blocking: call it in a thread.

    `path` may begin with ~ and may be relative, to `cwd` or else to the first allowed folder. `max_bytes` is the
    largest file taken. Raises InputRefused: no readable regular file below an allowed folder, empty, too large,
    or no audio by its content.
    """
    descriptor = open_allowed(path, allowed=allowed, cwd=cwd)
    try:
        return _checked(descriptor, path, max_bytes)
    except OSError as error:
        raise not_there(path, allowed) from error
    finally:
        os.close(descriptor)


def _checked(descriptor: int, path: str, max_bytes: int) -> AudioFile:
    size = os.fstat(descriptor).st_size
    if size == 0:
        raise InputRefused(f"{path!r} is empty", next_step="Pass a file that holds a recording")
    if size > max_bytes:
        raise _too_large(path, size, max_bytes)
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        head = file.read(HEAD_BYTES)
        kind = sniff(head)
        if kind is None:
            kinds = ", ".join(AudioKind)
            raise InputRefused(
                f"{path!r} is not audio by its content, whatever its name says",
                next_step=f"Pass one of {kinds}",
            )
        content = head + file.read(max(0, max_bytes + 1 - len(head)))
    if len(content) > max_bytes:
        raise _too_large(path, len(content), max_bytes)
    return AudioFile(
        name=_fitting_name(path, kind),
        content=content,
        media_type=kind.media_type,
        duration_s=probe_duration_s(content, kind),
    )


def _fitting_name(path: str, kind: AudioKind) -> str:
    """The file's name with the extension its content asks for: providers judge by the name."""
    return f"{Path(path).stem}.{kind.extension}"


def _too_large(path: str, size: int, max_bytes: int) -> InputRefused:
    return InputRefused(
        f"{path!r} has {size:,} bytes, the limit is {max_bytes:,}",
        next_step="Split or compress it (16 kHz mono FLAC or Opus is enough for speech), or pass an https address",
    )
