"""Recordings too long for one request: split, written down side by side, joined; what is done survives a crash."""

from groq_fallback_mcp.transcription.job import (
    LOCAL_PART_S,
    LongTranscript,
    Unfinished,
    only_on_this_machine,
    write_down,
)

__all__ = ["LOCAL_PART_S", "LongTranscript", "Unfinished", "only_on_this_machine", "write_down"]
