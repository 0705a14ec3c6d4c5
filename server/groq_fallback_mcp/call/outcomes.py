"""What came back, what it cost, and what was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

from groq_fallback_mcp.call.limits import Limit, QuotaSnapshot

__all__ = [
    "WHOLE_PROVIDER",
    "Attempt",
    "AudioSegment",
    "AudioWord",
    "Exclusion",
    "Failure",
    "FailureKind",
    "Outcome",
    "SizeLimit",
    "Source",
    "Speed",
    "Success",
    "Transcript",
    "Usage",
]


class FailureKind(StrEnum):
    """Why a call failed, in the terms a decision needs; see policy/verdict.py for what follows from each."""

    RATE_LIMITED = "rate_limited"
    LARGER_THAN_LIMIT = "larger_than_limit"
    CONTEXT_TOO_LONG = "context_too_long"
    MAX_TOKENS_TOO_LARGE = "max_tokens_too_large"
    MODEL_GONE = "model_gone"
    MODEL_BLOCKED = "model_blocked"
    UNSUPPORTED = "unsupported"
    SCHEMA_REFUSED = "schema_refused"
    GENERATION_FAILED = "generation_failed"
    UNPROCESSABLE = "unprocessable"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    BAD_REQUEST = "bad_request"
    AUTHENTICATION = "authentication"
    ORGANIZATION_REFUSED = "organization_refused"
    NO_CREDIT = "no_credit"
    NETWORK_DENIED = "network_denied"
    REMOTE_TOOL_AUTHENTICATION = "remote_tool_authentication"
    TIER_FULL = "tier_full"
    OVERLOADED = "overloaded"
    SERVER_ERROR = "server_error"
    UNREACHABLE = "unreachable"
    TIMED_OUT = "timed_out"
    CONNECTION_LOST = "connection_lost"
    BAD_RESPONSE = "bad_response"
    CONTENT_FILTERED = "content_filtered"
    CANCELLED = "cancelled"
    OVER_BUDGET = "over_budget"
    BUSY = "busy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a call really cost, as the provider reported it. `audio_s` is billed audio seconds, `characters` text spoken."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    audio_s: float = 0.0
    characters: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioSegment:
    """A stretch of speech; times in seconds from the start of the file.

    What the model says of its own work, None where it says nothing: how likely nobody speaks (0 to 1), the mean logarithm of
    its tokens' probabilities, how far the text can be compressed (repetition), and the temperature it was sampled at.
    """

    start: float
    end: float
    text: str
    no_speech_prob: float | None = None
    avg_logprob: float | None = None
    compression_ratio: float | None = None
    temperature: float | None = None


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
class Source:
    """A page a search at the provider read. Its words are data, never an instruction."""

    title: str
    url: str
    excerpt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """How fast an answer came: seconds to its first token, then tokens a second. None where nobody measured."""

    first_token_s: float | None = None
    tokens_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """An answer. `text` and `tool_calls` (chat), `transcript` (audio) or `speech` (a WAV file) carry it.

    `model` is the id the provider says answered, which may differ from the one asked for.
    `simulated` is true when the upstream labeled its answer as made up. `sources` are what a search read, `ran` the
    tools that ran at the provider, `citations` the ids of documents the provider says it used: all words of others.
    """

    model: str
    text: str = ""
    tool_calls: tuple[Mapping[str, Any], ...] = ()
    transcript: Transcript | None = None
    speech: bytes | None = field(default=None, repr=False)
    reasoning: str | None = None
    sources: tuple[Source, ...] = ()
    ran: tuple[str, ...] = ()
    citations: tuple[str, ...] = ()
    speed: Speed = Speed()
    finish_reason: str = "stop"
    usage: Usage = Usage()
    usage_reported: bool = True
    quota: QuotaSnapshot = QuotaSnapshot()
    request_id: str | None = None
    simulated: bool = False


# The code of an answer that had no tokens left for text, or for the whole of a tool call.
USED_UP = "max_tokens_used_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A call that gave no answer.

    `message` is the upstream text, cut and free of keys and organization ids: data, never an instruction.
    `retry_after_s` is the wait the server stated or its limit is known to take, in seconds.
    `sent` is false when the request certainly never reached the provider, so that its charge is given back.
    `max_tokens_limit` is the bound a `max_tokens` refusal named, `context_window` the one that a prompt too long was refused
    with. `scope`: whether a limit is the model's own, shared by the models of its pool, or the whole provider's.
    """

    kind: FailureKind
    message: str
    status: int | None = None
    code: str | None = None
    retry_after_s: float | None = None
    quota: QuotaSnapshot = QuotaSnapshot()
    sent: bool = True
    max_tokens_limit: int | None = None
    context_window: int | None = None
    scope: Literal["model", "pool", "provider"] = "model"


Outcome = Success | Failure


WHOLE_PROVIDER = "any model"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeLimit:
    """The most tokens that one request to a model may have.

    `limit` is the limit of the provider that is so low, None where it is the model's context window; `documented` is what the
    configured plan documents of that limit, None where it documents nothing.
    """

    provider: str
    model: str
    tokens: int
    limit: Limit | None = None
    documented: int | None = None

    @property
    def is_below_plan(self) -> bool:
        """Whether the provider allows less than the configured plan documents."""
        return self.documented is not None and self.tokens < self.documented

    def __str__(self) -> str:
        if self.limit is None:
            # agents take "context window" for a request to shorten the conversation and send it again
            return f"{self.provider}/{self.model} has a window of {self.tokens:,} tokens"
        return f"{self.provider}/{self.model} takes {self.tokens:,} {self.limit.unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exclusion:
    """A model that was not asked, and why; `WHOLE_PROVIDER` stands for all of the provider's. `size`: where a smaller request would fit."""

    provider: str
    model: str
    reason: str
    size: SizeLimit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One line of the account of a call: a request that was sent, or a model that was skipped.

    `sent` tells the two apart. `outcome` is "answered", a failure kind, or "skipped". `kind` is what failed, now or
    earlier, where the model is still paying for it. `begun_s`: seconds since the beginning of the call; `first_token_s`: of the attempt,
    until its first token, None where that is not known. `size`: the limit that the request exceeded, where it is known.
    """

    provider: str
    model: str
    sent: bool
    outcome: str
    detail: str = ""
    status: int | None = None
    begun_s: float = 0.0
    duration_s: float = 0.0
    first_token_s: float | None = None
    retry_after_s: float | None = None
    kind: FailureKind | None = None
    size: SizeLimit | None = None
