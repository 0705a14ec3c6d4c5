"""Recordings too long for one request: split, transcribed side by side, joined; what is done survives a crash."""

from groq_fallback_mcp.transcription.job import LOCAL_PART_S, only_on_this_machine, transcribe_long
from groq_fallback_mcp.transcription.transcript_answer import TranscriptAnswer

__all__ = ["LOCAL_PART_S", "TranscriptAnswer", "only_on_this_machine", "transcribe_long"]
