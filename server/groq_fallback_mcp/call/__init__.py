"""A call as data: what is asked, what came back, what was tried. The vocabulary of every layer above.

Frozen dataclasses without behavior beyond what follows from their own fields. Durations are seconds
(`_s`), money is `Decimal` US dollars (`_usd`), tokens are counts.
"""

from groq_fallback_mcp.call.limits import CONTINUOUS, Limit, LimitReading, Pool, QuotaSnapshot, Refilling
from groq_fallback_mcp.call.outcomes import (
    USED_UP,
    WHOLE_PROVIDER,
    Attempt,
    AudioSegment,
    AudioWord,
    Exclusion,
    Failure,
    FailureKind,
    Outcome,
    Source,
    Speed,
    Success,
    Transcript,
    Usage,
)
from groq_fallback_mcp.call.recording import AudioFile, Opened, Spooled, open_recording, pread
from groq_fallback_mcp.call.requests import (
    UNRESTRICTED,
    AnyRequest,
    AudioLink,
    AudioRequest,
    ChatRequest,
    JsonMode,
    ReasoningEffort,
    Restrictions,
    Search,
    ServiceTier,
    SpeechRequest,
)

__all__ = [
    "CONTINUOUS",
    "UNRESTRICTED",
    "USED_UP",
    "WHOLE_PROVIDER",
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
    "Opened",
    "Outcome",
    "Pool",
    "QuotaSnapshot",
    "ReasoningEffort",
    "Refilling",
    "Restrictions",
    "Search",
    "ServiceTier",
    "Source",
    "SpeechRequest",
    "Speed",
    "Spooled",
    "Success",
    "Transcript",
    "Usage",
    "open_recording",
    "pread",
]
