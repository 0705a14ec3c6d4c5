"""Opens and closes one recording, as a tool does around its call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groq_fallback_mcp.audio.file import open_audio
from groq_fallback_mcp.call import AudioFile

__all__ = ["read_audio"]


def read_audio(path: str, *, allowed: Sequence[Path], max_bytes: int, cwd: Path | None = None) -> AudioFile:
    """A recording small enough to be held."""
    with open_audio(path, allowed=allowed, max_bytes=max_bytes, cwd=cwd) as opened:
        return opened.probed()
