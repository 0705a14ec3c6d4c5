"""How long a recording lasts, read from its headers without decoding a sample."""

from __future__ import annotations

from groq_fallback_mcp.audio.content import Content
from groq_fallback_mcp.audio.headers import read_headers
from groq_fallback_mcp.audio.kind import AudioKind

__all__ = ["probe_duration_s"]


def probe_duration_s(content: Content, kind: AudioKind) -> float | None:
    """Seconds of audio in `content`, a whole file of this kind; None when its headers do not tell."""
    return read_headers(content, kind).duration_s
