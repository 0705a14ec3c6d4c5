"""The eight chat models of the seed document with the limits it gives, and the order each use case asks them in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import load_catalog

__all__ = ["DEADLINES_S", "LIMITS", "ORDERS", "SPEECH_MODELS", "TOKENS_PER_S", "refill_tpm"]

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
}


def _seed_limits() -> dict[str, Mapping[Limit, int]]:
    rows = {row.model: row.figures() for row in load_catalog().limit_rows if row.source_plan_name == SEED_TABLE}
    return {model: rows[model] for model in (*TOKENS_PER_S, *SPEECH_MODELS)}


LIMITS = _seed_limits()


def refill_tpm() -> float:
    """Tokens a minute of all eight models together."""
    return float(sum(LIMITS[model][Limit.TPM] for model in TOKENS_PER_S))
