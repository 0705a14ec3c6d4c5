"""What the engine asks of a provider: a request to one candidate, answered by an outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from groq_fallback_mcp.call import AudioRequest, ChatRequest, Outcome, SpeechRequest
from groq_fallback_mcp.policy.plan import Candidate

__all__ = ["LiveModel", "Provider", "StreamOptions", "json_instruction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    """That an answer is wanted piece by piece. The timeout of the call then bounds each silence, not the whole."""

    longest_s: float
    """Seconds for the whole answer."""
    on_progress: Callable[[int], None] | None = None
    """Called with the number of pieces so far."""
    on_text: Callable[[str], None] | None = None
    """Called with each piece of visible text."""
    on_reasoning: Callable[[str], None] | None = None
    """Called with each piece of what the model thinks."""
    is_shown: Callable[[], bool] | None = None
    """Whether anybody has seen text of the answer, so that another model cannot begin it anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """A row of a provider's live list."""

    id: str
    active: bool
    context_window: int | None
    max_completion_tokens: int | None


class Provider(Protocol):
    """A place that answers. No method raises for what the network or the provider may do: failures are values.

    `candidate` is the model, fitted to the request. `timeout_s` bounds the whole call in seconds. Cancelling closes the upstream connection.
    """

    @property
    def name(self) -> str: ...

    @property
    def unready(self) -> str | None:
        """Why nothing can be asked here, such as a missing key; None when it can."""
        ...

    async def chat(
        self, request: ChatRequest, candidate: Candidate, *, timeout_s: float, stream: StreamOptions | None = None
    ) -> Outcome:
        """Answer a chat, piece by piece where `stream` is given."""
        ...

    async def transcribe(
        self, request: AudioRequest, candidate: Candidate, *, timeout_s: float, longest_s: float | None = None
    ) -> Outcome:
        """Transcribe or translate. With `longest_s`, that bounds the whole, and `timeout_s` what makes no progress."""
        ...

    async def speak(self, request: SpeechRequest, candidate: Candidate, *, timeout_s: float) -> Outcome:
        """Speak a text, with the candidate's voice where the request names none."""
        ...

    async def aclose(self) -> None: ...


def json_instruction(schema: Mapping[str, Any], *, beside_tools: bool = False) -> str:
    """The system message that asks a model for JSON of this shape, where its API is not asked for it."""
    import json

    when = "When you answer, rather than call a tool, answer" if beside_tools else "Answer"
    return f"{when} with one JSON value only, no prose and no code fence, that satisfies this JSON schema: " + json.dumps(
        schema, ensure_ascii=False, separators=(",", ":")
    )
