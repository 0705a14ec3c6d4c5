"""An answer as data, before it takes the form of a completion, of a stream, of a line of a batch or of a response."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groq_fallback_mcp.catalog import ModelRow

__all__ = ["Answer"]

Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a model said. `text` None: it called tools instead. `output_tokens` includes those of reasoning.

    `parts_by` names the models behind a system such as groq/compound.
    """

    text: str | None
    input_tokens: int
    output_tokens: int
    finish_reason: str = "stop"
    reasoning: str | None = None
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    tool_calls: Rows = ()
    executed_tools: Rows = ()
    annotations: Rows = ()
    parts_by: Sequence[str] = ()
    took_s: float = 0.0

    def took(self, model: ModelRow, scale: float) -> float:
        """Seconds at the speed of the catalog."""
        return self.output_tokens / (model.speed_tps or 500) * scale
