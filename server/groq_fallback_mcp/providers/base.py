"""What the gateway asks of a provider, and how one request to one model is described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from groq_fallback_mcp.call import AudioRequest, ChatRequest, JsonMode, Outcome, ReasoningEffort

__all__ = ["AudioCall", "ChatCall", "LiveModel", "Provider"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """One chat request to one model, fitted to what the model takes.

    `model` is the id on the wire (prefix included). `json_mode` says how the schema is to be asked for.
    """

    request: ChatRequest
    model: str
    max_tokens: int
    reasoning_effort: ReasoningEffort | None = None
    json_mode: JsonMode = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioCall:
    """One transcription or translation by one model; `model` is the id on the wire."""

    request: AudioRequest
    model: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveModel:
    """A row of a provider's live list."""

    id: str
    active: bool
    context_window: int | None
    max_completion_tokens: int | None


class Provider(Protocol):
    """A place that answers. No method raises for what the network or the provider may do: failures are values.

    `timeout_s` bounds the whole call in seconds. Cancelling closes the upstream connection.
    """

    @property
    def name(self) -> str: ...

    @property
    def unready(self) -> str | None:
        """Why nothing can be asked here, such as a missing key; None when it can."""
        ...

    async def chat(self, call: ChatCall, *, timeout_s: float) -> Outcome: ...

    async def transcribe(self, call: AudioCall, *, timeout_s: float) -> Outcome: ...

    async def aclose(self) -> None: ...


def json_instruction(schema: Mapping[str, Any]) -> str:
    """The system sentence that asks a model without JSON schema support for JSON of this shape."""
    import json  # noqa: PLC0415 - keeps this module free of imports on the serving path

    return "Answer with one JSON value only, no prose and no code fence, that satisfies this JSON schema: " + json.dumps(
        schema, ensure_ascii=False, separators=(",", ":")
    )
