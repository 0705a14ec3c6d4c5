"""Recordings too long for one request: split, written down side by side, joined; what is done survives a crash."""

from groq_fallback_mcp.transcription.job import LongTranscript, Unfinished, write_down

__all__ = ["LongTranscript", "Unfinished", "write_down"]
