"""What is asked, before a model is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from groq_fallback_mcp.call.recording import AudioFile

__all__ = [
    "AnyRequest",
    "AudioLink",
    "AudioRequest",
    "ChatRequest",
    "JsonMode",
    "ReasoningEffort",
    "Restrictions",
    "Search",
    "ServiceTier",
    "SpeechRequest",
]

ReasoningEffort = Literal["none", "default", "low", "medium", "high"]
# How a JSON answer is asked for: strictly, by a mode, in the prompt alone, or not at all.
JsonMode = Literal["none", "prompted", "json_object", "json_schema"]
ServiceTier = Literal["auto", "on_demand", "flex", "performance"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restrictions:
    """What may leave this machine, and at what price. None and False restrict nothing.

    `providers`: only these. `local_only`: only models on this machine. `no_preview`: no preview models, which may end at
    short notice. `max_usd`: no model whose call could cost more. `no_training`: only providers that are known not to train on prompts.
    `models`: only models of these ids.
    """

    providers: tuple[str, ...] | None = None
    local_only: bool = False
    no_preview: bool = False
    max_usd: Decimal | None = None
    no_training: bool = False
    models: tuple[str, ...] | None = None

    def within(self, outer: Restrictions) -> Restrictions:
        """These, and the ones of `outer` too."""
        amounts = [amount for amount in (self.max_usd, outer.max_usd) if amount is not None]
        return Restrictions(
            providers=_in_both(self.providers, outer.providers),
            local_only=self.local_only or outer.local_only,
            no_preview=self.no_preview or outer.no_preview,
            max_usd=min(amounts, default=None),
            no_training=self.no_training or outer.no_training,
            models=_in_both(self.models, outer.models),
        )


def _in_both(these: tuple[str, ...] | None, others: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if these is None or others is None:
        return others if these is None else these
    return tuple(name for name in these if name in others)


UNRESTRICTED = Restrictions()
AskedBy = Literal["groq_chat", "screen"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """How the web is to be searched. Only the compound systems keep to the domains and the country.

    `optional`: a model that cannot search may answer, too.
    """

    include_domains: tuple[str, ...] = ()
    exclude_domains: tuple[str, ...] = ()
    country: str | None = None
    optional: bool = False

    @property
    def is_bounded(self) -> bool:
        """Whether it is limited to domains or a country."""
        return bool(self.include_domains or self.exclude_domains or self.country)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A question, in OpenAI's message form, before a model is chosen.

    `max_tokens` bounds the completion (reasoning included); None lets the plan choose a right size.
    `schema` is a JSON schema the answer must satisfy. `tools` are the caller's own, `tool_choice` which of them is to be
    called, in OpenAI's form; calls come back for the caller to run. `search` and `code` ask for what runs at the provider.
    `service_tier` is Groq's alone. `preferred` is the (provider, model) that answered the conversation so far: it is asked before all
    others where it can take the request.
    """

    messages: Sequence[Mapping[str, Any]]
    model: str | None = None
    use_case: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    reasoning_effort: ReasoningEffort | None = None
    schema: Mapping[str, Any] | None = None
    tools: Sequence[Mapping[str, Any]] = ()
    tool_choice: str | Mapping[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    search: Search | None = None
    code: bool = False
    service_tier: ServiceTier | None = None
    asked_by: AskedBy = "groq_chat"
    preferred: tuple[str, str] | None = None
    restrictions: Restrictions = UNRESTRICTED


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioLink:
    """An https address the provider fetches; this process never does."""

    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioRequest:
    """Speech to be written down, or translated to English (`translate`).

    `words` asks for word timestamps beside the segments, which are always asked for.
    """

    audio: AudioFile | AudioLink
    model: str | None = None
    language: str | None = None
    prompt: str | None = None
    temperature: float | None = None
    words: bool = False
    translate: bool = False
    restrictions: Restrictions = UNRESTRICTED

    @property
    def preferred(self) -> None:
        """A recording has no conversation to stay with."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechRequest:
    """Text to be spoken in one piece, as WAV. `language` is an ISO 639 code, `voice` a name the model lists."""

    text: str
    voice: str | None = None
    model: str | None = None
    language: str = "en"
    restrictions: Restrictions = UNRESTRICTED

    @property
    def preferred(self) -> None:
        """A text to speak has no conversation to stay with."""
        return None


AnyRequest = ChatRequest | AudioRequest | SpeechRequest
