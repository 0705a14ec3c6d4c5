"""What a request will cost before it is sent: tokens from text length, no tokenizer on the call path."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from groq_fallback_mcp.call import AudioFile, AudioRequest, ChatRequest, Limit, SpeechRequest

__all__ = [
    "audio_cost",
    "chat_cost",
    "claimed_prompt_tokens",
    "estimate_prompt_tokens",
    "has_images",
    "speech_cost",
    "with_hours",
]

# Tokens per byte of each kind, per word and per line: fitted to code, prose and data by tiktoken's o200k_base, then rounded
# up. Against bytes alone, 1 text in 100 is more than 1.3 times as long as estimated, instead of 1.8 times.
_LETTERS = bytes((*range(65, 91), *range(97, 123)))
_DIGITS = b"0123456789"
_NON_ASCII = bytes(range(128, 256))
_SPACES = b" \t\n\r\f\v"
TOKENS_PER_LETTER = 0.2
TOKENS_PER_DIGIT = 0.95
TOKENS_PER_NON_ASCII_BYTE = 0.35
TOKENS_PER_OTHER_BYTE = 0.4
TOKENS_PER_WORD = 0.15
TOKENS_PER_LINE = 2.0
TOKENS_PER_MESSAGE = 5
TOKENS_PER_REQUEST = 12
TOKENS_PER_IMAGE = 1_600
MINIMUM_BILLED_AUDIO_S = 10.0
UNKNOWN_AUDIO_S = 60.0
# Opus for speech at its lowest, 6 kbit a second.
LEAST_AUDIO_BYTES_PER_S = 750.0
MOST_ASSUMED_AUDIO_S = 3_600.0
LEAST_CLAIMED = 1.5
CLAIMED_BESIDE = 60


def estimate_prompt_tokens(request: ChatRequest) -> int:
    """About how many tokens the prompt, tools and schema of a request take."""
    total = TOKENS_PER_REQUEST
    for message in request.messages:
        total += TOKENS_PER_MESSAGE + _content_tokens(message.get("content"))
        if calls := message.get("tool_calls"):
            # what only Gemini is sent with its calls is not part of the prompt
            if any("extra_content" in call for call in calls):
                calls = [{name: call[name] for name in call if name != "extra_content"} for call in calls]
            total += _text_tokens(json.dumps(calls, ensure_ascii=False))
    for extra in (*request.tools, request.schema):
        if extra is not None:
            total += _text_tokens(json.dumps(extra, ensure_ascii=False))
    return total


def claimed_prompt_tokens(estimated: int, factor: float) -> int:
    """What to claim for a prompt: the estimate times what is learnt of the model, on the safe side.

    What is claimed too much comes back when the answer says how long the prompt was; what is claimed too little costs a
    refusal. Short texts vary most, so part of the margin is a number of tokens.
    """
    return math.ceil(estimated * max(factor, LEAST_CLAIMED)) + CLAIMED_BESIDE


def has_images(request: ChatRequest) -> int:
    """How many images the messages hold."""
    return sum(1 for message in request.messages for part in _parts(message.get("content")) if part.get("type") == "image_url")


def chat_cost(prompt_tokens: int, max_tokens: int) -> dict[Limit, float]:
    """What Groq charges up front: one request, and the prompt plus the whole of max_tokens."""
    charged = float(prompt_tokens + max_tokens)
    return {
        Limit.RPM: 1.0,
        Limit.RPD: 1.0,
        Limit.TPM: charged,
        Limit.TPD: charged,
        Limit.ITPM: float(prompt_tokens),
        Limit.OTPM: float(max_tokens),
    }


def with_hours(cost: Mapping[Limit, float]) -> dict[Limit, float]:
    """A cost as providers that also limit by the hour count it."""
    hourly = {Limit.RPH: cost.get(Limit.RPM), Limit.TPH: cost.get(Limit.TPM)}
    return {**cost, **{limit: units for limit, units in hourly.items() if units is not None}}


def audio_cost(request: AudioRequest) -> dict[Limit, float]:
    """One request and the billed seconds, at least 10.

    Where the length is not known, as many as the bytes can hold, though no more than half of what the free plan gives an hour;
    a minute for an address.
    """
    audio = request.audio
    if not isinstance(audio, AudioFile):
        known = UNKNOWN_AUDIO_S
    elif audio.duration_s is not None:
        known = audio.duration_s
    else:
        known = min(max(audio.size / LEAST_AUDIO_BYTES_PER_S, UNKNOWN_AUDIO_S), MOST_ASSUMED_AUDIO_S)
    seconds = max(known, MINIMUM_BILLED_AUDIO_S)
    return {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.ASH: seconds, Limit.ASD: seconds}


def speech_cost(request: SpeechRequest) -> dict[Limit, float]:
    """One request and its characters, which stand for tokens. Whether Groq counts them so is not documented."""
    characters = float(len(request.text))
    return {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.TPM: characters, Limit.TPD: characters}


def _content_tokens(content: object) -> int:
    if isinstance(content, str):
        return _text_tokens(content)
    return sum(
        TOKENS_PER_IMAGE if part.get("type") == "image_url" else _text_tokens(str(part.get("text", "")))
        for part in _parts(content)
    )


def _parts(content: object) -> Sequence[Mapping[str, Any]]:
    if isinstance(content, str) or not isinstance(content, Sequence):
        return []
    return [part for part in content if isinstance(part, Mapping)]


def _text_tokens(text: str) -> int:
    raw = text.encode("utf-8", "replace")
    letters, digits, wide, spaces = (
        len(raw) - len(raw.translate(None, kind)) for kind in (_LETTERS, _DIGITS, _NON_ASCII, _SPACES)
    )
    other = len(raw) - letters - digits - wide - spaces
    tokens = (
        TOKENS_PER_LETTER * letters
        + TOKENS_PER_DIGIT * digits
        + TOKENS_PER_NON_ASCII_BYTE * wide
        + TOKENS_PER_OTHER_BYTE * other
        + TOKENS_PER_WORD * len(raw.split())
        + TOKENS_PER_LINE * raw.count(b"\n")
    )
    return math.ceil(tokens) + 1
