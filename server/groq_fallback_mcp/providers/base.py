"""What the engine asks of a provider, and how one request to one model is described."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from groq_fallback_mcp.call import AudioRequest, ChatRequest, JsonMode, Outcome, ReasoningEffort, SpeechRequest

__all__ = ["AudioCall", "ChatCall", "LiveModel", "Provider", "SpeechCall", "json_instruction"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """One chat request to one model, fitted to what the model takes.

    `model` is the id on the wire (prefix included). `json_mode` says how the schema is to be asked for. `builtin` names
    tools that run at the provider, `is_system` says that the model is a system around them. `parses_reasoning`: the model
    must be told to keep its thoughts apart.

    `stream` asks for the answer piece by piece. Then the time-out of the call bounds the way to the first token and every
    pause after it, and `longest_s` the whole; `told` is called with the number of pieces so far.
    """

    request: ChatRequest
    model: str
    max_tokens: int
    reasoning_effort: ReasoningEffort | None = None
    json_mode: JsonMode = "none"
    builtin: tuple[str, ...] = ()
    is_system: bool = False
    parses_reasoning: bool = False
    stream: bool = False
    longest_s: float | None = None
    told: Callable[[int], None] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioCall:
    """One transcription or translation by one model; `model` is the id on the wire.

    The time-out of the call bounds what makes no progress, `longest_s` the whole; None: the time-out does.
    """

    request: AudioRequest
    model: str
    longest_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechCall:
    """One text to be spoken by one model; `model` is the id on the wire, `voice` one that the model has."""

    request: SpeechRequest
    model: str
    voice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """A row of a provider's live list."""

    id: str
    active: bool
    context_window: int | None
    max_completion_tokens: int | None


class Provider(Protocol):
    """A place that answers. No method raises for what the network or the provider may do: failures are values.

    `timeout_s` bounds the whole call in seconds, of a stream see ChatCall. Cancelling closes the upstream connection.
    """

    @property
    def name(self) -> str: ...

    @property
    def unready(self) -> str | None:
        """Why nothing can be asked here, such as a missing key; None when it can."""
        ...

    async def chat(self, call: ChatCall, *, timeout_s: float) -> Outcome: ...

    async def transcribe(self, call: AudioCall, *, timeout_s: float) -> Outcome: ...

    async def speak(self, call: SpeechCall, *, timeout_s: float) -> Outcome: ...

    async def aclose(self) -> None: ...


def json_instruction(schema: Mapping[str, Any], *, beside_tools: bool = False) -> str:
    """The system message that asks a model for JSON of this shape, where its API is not asked for it."""
    import json  # noqa: PLC0415 - keeps this module free of imports on the serving path

    when = "When you answer, rather than call a tool, answer" if beside_tools else "Answer"
    return f"{when} with one JSON value only, no prose and no code fence, that satisfies this JSON schema: " + json.dumps(
        schema, ensure_ascii=False, separators=(",", ":")
    )
