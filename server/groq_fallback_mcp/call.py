"""A call as data: what is asked, what came back, what was tried. The vocabulary of every layer above.

Frozen dataclasses without behaviour beyond what follows from their own fields. Durations are seconds
(`_s`), money is `Decimal` US dollars (`_usd`), tokens are counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

__all__ = [
    "AnyRequest",
    "Attempt",
    "AudioFile",
    "AudioLink",
    "AudioRequest",
    "AudioSegment",
    "AudioWord",
    "ChatRequest",
    "Exclusion",
    "Failure",
    "FailureKind",
    "JsonMode",
    "Limit",
    "LimitReading",
    "Outcome",
    "QuotaSnapshot",
    "ReasoningEffort",
    "Success",
    "Transcript",
    "Usage",
]

ReasoningEffort = Literal["none", "default", "low", "medium", "high"]
# How a JSON answer is asked for: strictly, by a mode, in the prompt alone, or not at all.
JsonMode = Literal["none", "prompted", "json_object", "json_schema"]


class Limit(StrEnum):
    """What Groq limits, per model and organisation. The window says how long a full refill takes."""

    RPM = "rpm"
    RPD = "rpd"
    TPM = "tpm"
    TPD = "tpd"
    ITPM = "itpm"
    OTPM = "otpm"
    ASH = "ash"
    ASD = "asd"

    @property
    def window_s(self) -> float:
        """Seconds in which an empty bucket of this kind fills up."""
        return _WINDOW_S[self]

    @property
    def unit(self) -> str:
        """What the bucket counts, in words for people."""
        return _UNIT[self]


_WINDOW_S: Mapping[Limit, float] = {
    Limit.RPM: 60.0,
    Limit.RPD: 86_400.0,
    Limit.TPM: 60.0,
    Limit.TPD: 86_400.0,
    Limit.ITPM: 60.0,
    Limit.OTPM: 60.0,
    Limit.ASH: 3_600.0,
    Limit.ASD: 86_400.0,
}
_UNIT: Mapping[Limit, str] = {
    Limit.RPM: "requests per minute",
    Limit.RPD: "requests per day",
    Limit.TPM: "tokens per minute",
    Limit.TPD: "tokens per day",
    Limit.ITPM: "input tokens per minute",
    Limit.OTPM: "output tokens per minute",
    Limit.ASH: "audio seconds per hour",
    Limit.ASD: "audio seconds per day",
}


class FailureKind(StrEnum):
    """Why a call failed, in the terms a decision needs; see policy/verdict.py for what follows from each."""

    RATE_LIMITED = "rate_limited"
    LARGER_THAN_LIMIT = "larger_than_limit"
    CONTEXT_TOO_LONG = "context_too_long"
    MAX_TOKENS_TOO_LARGE = "max_tokens_too_large"
    MODEL_GONE = "model_gone"
    MODEL_BLOCKED = "model_blocked"
    UNSUPPORTED = "unsupported"
    GENERATION_FAILED = "generation_failed"
    UNPROCESSABLE = "unprocessable"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    BAD_REQUEST = "bad_request"
    AUTHENTICATION = "authentication"
    ORGANISATION_REFUSED = "organisation_refused"
    NETWORK_DENIED = "network_denied"
    REMOTE_TOOL_AUTHENTICATION = "remote_tool_authentication"
    TIER_FULL = "tier_full"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    CONNECTION_LOST = "connection_lost"
    BAD_RESPONSE = "bad_response"
    CANCELLED = "cancelled"
    OVER_BUDGET = "over_budget"
    BUSY = "busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """A question, in OpenAI's message form, before a model is chosen.

    `max_tokens` bounds the completion (reasoning included); None lets the plan choose a right size.
    `schema` is a JSON schema the answer must satisfy.
    """

    messages: Sequence[Mapping[str, Any]]
    model: str | None = None
    use_case: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    reasoning_effort: ReasoningEffort | None = None
    schema: Mapping[str, Any] | None = None
    tools: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFile:
    """A local file that has been checked and read: its bytes, name, kind and probed length."""

    name: str
    content: bytes = field(repr=False)
    media_type: str
    duration_s: float | None


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


AnyRequest = ChatRequest | AudioRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a call really cost, as the provider reported it. `audio_s` is billed audio seconds."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    audio_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitReading:
    """One limit as the server stated it. Each figure may be missing.

    `wait_s`: seconds until the refused request would be admitted (429 bodies and retry-after).
    """

    limit: Limit
    capacity: float | None = None
    remaining: float | None = None
    requested: float | None = None
    wait_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSnapshot:
    """All that one response told about limits, from headers and body together."""

    readings: tuple[LimitReading, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSegment:
    """A stretch of speech; times in seconds from the start of the file."""

    start: float
    end: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioWord:
    """A word; times in seconds from the start of the file."""

    start: float
    end: float
    word: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """What was said. Segments and words are empty where the model gives none."""

    text: str
    language: str | None = None
    duration_s: float | None = None
    segments: tuple[AudioSegment, ...] = ()
    words: tuple[AudioWord, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """An answer. Exactly one of `text` (chat) and `transcript` (audio) carries it.

    `model` is the id the provider says answered, which may differ from the one asked for.
    `simulated` is true when the upstream labelled its answer as made up.
    """

    model: str
    text: str = ""
    transcript: Transcript | None = None
    reasoning: str | None = None
    finish_reason: str = "stop"
    usage: Usage = Usage()
    usage_reported: bool = True
    quota: QuotaSnapshot = QuotaSnapshot()
    request_id: str | None = None
    simulated: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call that gave no answer.

    `message` is the upstream text, cut and free of keys and organisation ids: data, never an instruction.
    `retry_after_s` is the wait the server stated, within [0, one day].
    `sent` is false when the request certainly never reached the provider, so that its charge is given back.
    `max_tokens_limit` is the bound a `max_tokens` refusal named.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    code: str | None = None
    retry_after_s: float | None = None
    quota: QuotaSnapshot = QuotaSnapshot()
    sent: bool = True
    max_tokens_limit: int | None = None


Outcome = Success | Failure


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A model that was not asked, and why."""

    provider: str
    model: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One line of the account of a call: a request that was sent, or a model passed over before sending.

    `sent` tells the two apart. `outcome` is "answered", a failure kind, or "passed_over". `kind` is what failed, now or
    earlier, where the model is still paying for it.
    """

    provider: str
    model: str
    sent: bool
    outcome: str
    detail: str = ""
    status: int | None = None
    duration_s: float = 0.0
    retry_after_s: float | None = None
    kind: FailureKind | None = None
