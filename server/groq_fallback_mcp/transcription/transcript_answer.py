"""The one form of a transcript between a provider and a tool's result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from groq_fallback_mcp.call import Attempt, Transcript
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.transcription.silence import NO_SPEECH, left_out, without_silence

__all__ = ["TranscriptAnswer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptAnswer:
    """A transcript without silence and the account of how it came about: of one call, of a part, or of all parts joined.

    `silent` counts the segments without speech that were removed, `parts` the calls whose transcripts were joined.
    `attempts` may be the first few only.
    """

    transcript: Transcript
    provider: str
    model: str
    simulated: bool
    cost_usd: Decimal | None
    silent: int = 0
    requested_model: str | None = None
    fallback: bool = False
    attempts: Sequence[Attempt] = ()
    notes: Sequence[str] = ()
    duration_s: float = 0.0
    parts: int = 1

    @classmethod
    def from_answer(cls, answer: Answer) -> TranscriptAnswer:
        """What a model answered."""
        transcript, silent = without_silence(answer.success.transcript or Transcript(text=""))
        return cls(
            transcript=transcript,
            provider=answer.provider,
            model=answer.model,
            simulated=answer.success.simulated,
            cost_usd=answer.cost_usd,
            silent=silent,
            requested_model=answer.requested_model,
            fallback=answer.fallback,
            attempts=answer.attempts,
            notes=answer.notes,
            duration_s=answer.duration_s,
        )

    @property
    def silence_notes(self) -> list[str]:
        """What to say of stretches without speech, and where there is nothing else."""
        skipped = [left_out(self.silent)] if self.silent else []
        return [*skipped, *([] if self.transcript.text else [NO_SPEECH])]
