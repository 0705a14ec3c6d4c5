"""What the simulated models answer: as many tokens as the call of that number gets, whoever sends it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from groq_fallback_mcp.simulator.generation import Generated, estimate_tokens

__all__ = ["DrawnAnswers", "answer_of", "numbered"]

# A piece of a stream carries a word. How many pieces there are decides nothing, and each takes time to compute.
TOKENS_A_WORD = 16


def numbered(number: int) -> str:
    """The beginning of a prompt, by which the simulated models know the call."""
    return f"Task {number}. "


def answer_of(tokens: int) -> str:
    """A text of so many tokens. No word comes twice: LiteLLM breaks off a stream whose pieces are alike."""
    return " ".join(f"simulated-{number:05}" for number in range(-(-tokens // TOKENS_A_WORD)))


class DrawnAnswers:
    """Writes an answer of as many tokens as its call's number says."""

    def __init__(self) -> None:
        self.tokens: Sequence[int] = ()
        """Of each call's answer, by the call's number."""

    async def answer(self, messages: Sequence[Mapping[str, Any]], *, max_tokens: int, temperature: float) -> Generated:
        """Cut at `max_tokens`, as by a model."""
        del temperature
        head, _, _ = str(messages[-1]["content"]).partition(".")
        whole = self.tokens[int(head.removeprefix("Task "))]
        written = min(whole, max_tokens)
        return Generated(
            text=answer_of(written),
            input_tokens=estimate_tokens(messages),
            output_tokens=written,
            finish_reason="stop" if written == whole else "length",
        )
