"""The models of the seed document with the limits it gives, and the order each use case asks them in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import load_catalog

__all__ = ["AUDIO", "CHAT", "DEADLINES_S", "LIMITS", "ORDERS", "TOKENS_PER_S", "TRANSCRIBED_PER_S", "Track"]

# What the seed calls its table; the figures are those of the free plan.
SEED_TABLE = "Developer Plan"

# Output tokens a second, within what the seed's table of models spans for most of them.
TOKENS_PER_S: Mapping[str, float] = {
    "llama-3.1-8b-instant": 750.0,
    "llama-3.3-70b-versatile": 500.0,
    "openai/gpt-oss-120b": 500.0,
    "openai/gpt-oss-20b": 800.0,
    "meta-llama/llama-4-maverick-17b-128e-instruct": 600.0,
    "meta-llama/llama-4-scout-17b-16e-instruct": 750.0,
    "qwen/qwen3-32b": 550.0,
    "moonshotai/kimi-k2-instruct-0905": 500.0,
}
SPEECH_MODELS = ("whisper-large-v3-turbo", "whisper-large-v3")
# Audio seconds a second.
TRANSCRIBED_PER_S = 200.0

DEADLINES_S = (10.0, 30.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class _Short:
    small: str = "llama-3.1-8b-instant"
    large: str = "llama-3.3-70b-versatile"
    oss_120b: str = "openai/gpt-oss-120b"
    oss_20b: str = "openai/gpt-oss-20b"
    maverick: str = "meta-llama/llama-4-maverick-17b-128e-instruct"
    scout: str = "meta-llama/llama-4-scout-17b-16e-instruct"
    qwen: str = "qwen/qwen3-32b"
    kimi: str = "moonshotai/kimi-k2-instruct-0905"


_M = _Short()

# The seed names the first of each (of `agentic` it names a system that is no chat model); the rest is by likeness of size.
ORDERS: Mapping[str, tuple[str, ...]] = {
    "fast": (_M.small, _M.oss_20b, _M.scout, _M.qwen, _M.oss_120b, _M.maverick, _M.kimi, _M.large),
    "reasoning": (_M.large, _M.oss_120b, _M.kimi, _M.qwen, _M.maverick, _M.oss_20b, _M.scout, _M.small),
    "openai_compatible": (_M.oss_20b, _M.oss_120b, _M.large, _M.kimi, _M.scout, _M.maverick, _M.qwen, _M.small),
    "agentic": (_M.oss_120b, _M.kimi, _M.oss_20b, _M.large, _M.scout, _M.qwen, _M.maverick, _M.small),
    "audio": SPEECH_MODELS,
}


def _seed_limits() -> dict[str, Mapping[Limit, int]]:
    rows = {row.model: row.figures() for row in load_catalog().limit_rows if row.source_plan_name == SEED_TABLE}
    return {model: rows[model] for model in (*TOKENS_PER_S, *SPEECH_MODELS)}


LIMITS = _seed_limits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """Models that share a kind of work, and which limits meter it. A run lasts `seconds`."""

    models: Sequence[str]
    use_cases: Sequence[str]
    metered: Limit
    daily: Limit
    seconds: float

    @property
    def refill_per_s(self) -> float:
        """Units that all models together gain a second."""
        return sum(LIMITS[model][self.metered] / self.metered.window_s for model in self.models)

    def capacity(self, seconds: float, *, daily_left: float = 1.0) -> float:
        """What all buckets can give in that time: their first fill and their refill, of the daily limits too."""
        return sum(
            min(
                limits[self.metered] * (1 + seconds / self.metered.window_s),
                limits[self.daily] * (daily_left + seconds / self.daily.window_s),
            )
            for limits in (LIMITS[model] for model in self.models)
        )


CHAT = Track(
    models=tuple(TOKENS_PER_S),
    use_cases=tuple(use_case for use_case in ORDERS if use_case != "audio"),
    metered=Limit.TPM,
    daily=Limit.TPD,
    seconds=600.0,
)
AUDIO = Track(models=SPEECH_MODELS, use_cases=("audio",), metered=Limit.ASH, daily=Limit.ASD, seconds=3_600.0)
