"""Where the simulator's words come from: local models when they are handed in, else plain sentences that say so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from groq_fallback_mcp.simulator.wire import items, table, text_of

__all__ = [
    "Generated",
    "PlainSpeech",
    "PlainText",
    "SpeechEngine",
    "TextEngine",
    "Transcribed",
    "estimate_tokens",
    "json_tokens",
]

BYTES_PER_TOKEN = 4
# An image has no length; unverified, the order of magnitude that vision models charge for one.
IMAGE_TOKENS = 1_000
PREFIX = "This is a simulated answer to:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A text with its token counts."""

    text: str
    input_tokens: int
    output_tokens: int
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcribed:
    """A transcript; `segments` and `words` as JSON rows in OpenAI's form, times in seconds."""

    text: str
    language: str = "english"
    duration_s: float = 0.0
    segments: Sequence[Mapping[str, Any]] = ()
    words: Sequence[Mapping[str, Any]] = ()


class TextEngine(Protocol):
    """Writes an answer. Raises ValueError when it cannot."""

    async def answer(self, messages: Sequence[Mapping[str, Any]], *, max_tokens: int, temperature: float) -> Generated: ...


class SpeechEngine(Protocol):
    """Writes down speech. Raises ValueError for what is no audio."""

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Transcribed: ...


def estimate_tokens(messages: Sequence[Mapping[str, Any]]) -> int:
    """About four bytes a token, three a message, and a fixed number an image."""
    return sum(_message_tokens(message) for message in messages) + 1


def _message_tokens(message: Mapping[str, Any]) -> int:
    images = len([part for part in items(message.get("content")) if table(part).get("type") == "image_url"])
    words: bytes = text_of(message.get("content")).encode("utf-8", "replace")
    calls = json_tokens(message["tool_calls"]) if message.get("tool_calls") else 0
    return 3 + len(words) // BYTES_PER_TOKEN + images * IMAGE_TOKENS + calls


def json_tokens(value: object) -> int:
    """What JSON counts where it stands in a prompt, as tools and documents do."""
    return len(json.dumps(value)) // BYTES_PER_TOKEN


class PlainText:
    """Says that it is simulated and repeats the beginning of the question, or of what a tool found."""

    async def answer(self, messages: Sequence[Mapping[str, Any]], *, max_tokens: int, temperature: float) -> Generated:
        del temperature
        last: Mapping[str, Any] = messages[-1] if messages else {}
        start = "This is a simulated answer from the tool's result:" if last.get("role") == "tool" else PREFIX
        words = f"{start} {' '.join(text_of(last.get('content')).split())[:200]}".split(" ")
        kept = words[: max(max_tokens, 1)]
        return Generated(
            text=" ".join(kept),
            input_tokens=estimate_tokens(messages),
            output_tokens=len(kept),
            finish_reason="stop" if len(kept) == len(words) else "length",
        )


class PlainSpeech:
    """Says that it is simulated."""

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Transcribed:
        del content, translate
        text = "This is a simulated transcript."
        segment = {"id": 0, "seek": 0, "start": 0.0, "end": 1.0, "text": f" {text}"}
        words = [{"word": word, "start": i / 5, "end": (i + 1) / 5} for i, word in enumerate(text.split())]
        return Transcribed(text=text, language=language or "english", segments=[segment], words=words)
