"""Prompt caching: leading messages seen before count neither to the rate limits nor as new.

Known: cached tokens do not count to rate limits (seed, and facts page, section 4), and usage reports them in
prompt_tokens_details.cached_tokens (the SDK's CompletionUsage). Unverified: that it is the gpt-oss models, 128 tokens at
least, two hours, and whole messages where Groq compares tokens.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field

from groq_fallback_mcp.clock import Clock
from groq_fallback_mcp.simulator.generation import estimate_tokens
from groq_fallback_mcp.simulator.wire import Messages

__all__ = ["PromptCache"]

FAMILY = "openai/gpt-oss"
LEAST_TOKENS = 128
KEPT_S = 7_200.0


@dataclass(slots=True)
class PromptCache:
    """The beginnings of prompts of the last two hours, per organization and model."""

    clock: Clock
    _seen: dict[tuple[str, str, str], float] = field(default_factory=dict[tuple[str, str, str], float])

    def cached_tokens(self, organization: str, model: str, messages: Messages) -> int:
        """How many leading tokens are known."""
        now = self.clock.monotonic()
        known = [
            tokens
            for digest, tokens in _beginnings(model, messages)
            if now - self._seen.get((organization, model, digest), -KEPT_S) < KEPT_S
        ]
        return max(known, default=0)

    def remember(self, organization: str, model: str, messages: Messages) -> None:
        """Keep the beginnings of a prompt that was admitted, and forget what is too old."""
        now = self.clock.monotonic()
        self._seen = {key: at for key, at in self._seen.items() if now - at < KEPT_S}
        for digest, _ in _beginnings(model, messages):
            self._seen[organization, model, digest] = now

    def reset(self) -> None:
        """Forget everything."""
        self._seen.clear()


def _beginnings(model: str, messages: Messages) -> list[tuple[str, int]]:
    """Digest and tokens of each run of leading messages that is long enough."""
    if not model.startswith(FAMILY):
        return []
    found: list[tuple[str, int]] = []
    digest = hashlib.sha256()
    for count, message in enumerate(messages, start=1):
        digest.update(json.dumps(message, sort_keys=True).encode())
        tokens = estimate_tokens(messages[:count])
        if tokens >= LEAST_TOKENS:
            found.append((digest.hexdigest(), tokens))
    return found
