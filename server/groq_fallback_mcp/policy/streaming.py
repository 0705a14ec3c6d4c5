"""Whether an answer is asked for piece by piece."""

from __future__ import annotations

from groq_fallback_mcp.policy.plan import Candidate

__all__ = ["LONG_TOKENS", "streams"]

# An answer that may take longer than an attempt's time-out: only a stream tells a long one from a hanging one.
LONG_TOKENS = 4_096


def streams(candidate: Candidate, *, watched: bool) -> bool:
    """Stream where somebody watches, or where the answer may be long.

    Not where the answer is JSON: Groq's documentation of JSON mode and of structured outputs excludes streaming there.
    """
    return candidate.json_mode == "none" and (watched or candidate.max_tokens >= LONG_TOKENS)
