"""Why an answer ended, in OpenAI's words, from those of any provider. Pure.

The words are from the references of Anthropic, Cohere, DeepSeek, Gemini, Mistral, OpenRouter, Qwen, vLLM and Z.ai.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["BROKEN_OFF", "finish_reason", "worst_reason"]

# The provider gave up: what is there is a part of an answer, however whole it looks.
BROKEN_OFF = "error"

_BROKEN = (
    r"error|fail|abort|cancel|interrupt|malform|time_?d?_?(?:out|limit)|unexpected|incomplete|insufficient|too_many_tool"
    r"|missing_thought|unspecified|\beof\b|\A(?:finish_reason_)?other\Z"
)
_FILTERED = r"filter|safety|block|prohibited|guardrail|moderat|recitation|sensitive|refus|spii|\A(?:finish_reason_)?language\Z"
# What a part of a reason means, the worst first: a reason may name two, such as `ERROR_LIMIT`.
_MEANINGS = (
    (BROKEN_OFF, _BROKEN),
    ("content_filter", _FILTERED),
    ("length", r"length|max_(?:\w+_)?tokens?|max_output|context_window|token_limit|\A(?:finish_reason_)?(?:limit|max)\Z"),
    ("tool_calls", r"tool_?(?:call|use)|function_?call"),
    ("stop", r"\A(?:finish_reason_)?(?:stop\w*|eos\w*|end|end_turn|end_of_\w+|completed?|done)\Z"),
)
_PATTERNS = tuple((meaning, re.compile(pattern)) for meaning, pattern in _MEANINGS)
_ORDER = tuple(meaning for meaning, _ in _MEANINGS)
_NOT_STATED = {"", "null", "none"}
_MOST_CHARS = 200


def finish_reason(choice: Mapping[str, Any]) -> str | None:
    """Why a choice ended, None where it does not say: `stop`, `length`, `tool_calls`, `content_filter`, BROKEN_OFF, or a
    unknown word.

    OpenRouter says beside it, in `native_finish_reason`, what the provider behind it said; the worse of the two counts.
    """
    if choice.get("finish_reason") is None:
        return None
    stated, native = (_meaning(choice.get(name)) for name in ("finish_reason", "native_finish_reason"))
    return stated if stated is None or native not in _ORDER else worst_reason((stated, native))


def worst_reason(reasons: Iterable[str]) -> str:
    """The reason that tells most about what is missing, of one or more."""

    def rank(reason: str) -> float:
        # an unknown word may mean that something is missing
        return _ORDER.index(reason) if reason in _ORDER else _ORDER.index("length") + 0.5

    return min(reasons, key=rank)


def _meaning(stated: object) -> str | None:
    if not isinstance(stated, str):
        return None
    plain = re.sub(r"[\s-]+", "_", stated.strip()[:_MOST_CHARS].lower())
    if plain in _NOT_STATED:
        return None
    parts = [part.strip("_") for part in plain.split(":")]
    found = (meaning for meaning, pattern in _PATTERNS if any(pattern.search(part) for part in parts))
    return next(found, plain)
