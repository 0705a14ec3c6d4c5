"""Where simulated answers get their words: real small models where somebody plugs them in, else fixed sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from groq_fallback_mcp.simulator.sound import seconds_of
from groq_fallback_mcp.simulator.tokens import count_prompt_tokens, count_tokens, text_of

__all__ = ["Generated", "Heard", "PlainSpeech", "PlainText", "SpeechEngine", "Stretch", "TextEngine"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generated:
    """A text a model wrote, with the tokens read and written."""

    text: str
    input_tokens: int
    output_tokens: int
    finish_reason: Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A segment or a word; times in seconds from the start."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What was said. `language` is an English name such as `english`, as Whisper gives it, or a code."""

    text: str
    language: str
    duration_s: float
    segments: tuple[Stretch, ...] = ()
    words: tuple[Stretch, ...] = ()


class TextEngine(Protocol):
    """Writes answers. `messages` have OpenAI's form; `max_tokens` bounds the answer."""

    async def answer(
        self, messages: Sequence[Mapping[str, Any]], *, max_tokens: int, temperature: float | None
    ) -> Generated: ...


class SpeechEngine(Protocol):
    """Writes down speech. `language` is a code or None; `translate` asks for English."""

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Heard: ...


class PlainText:
    """Says that it is simulated, and quotes the question so that answers differ. The same each time."""

    async def answer(
        self, messages: Sequence[Mapping[str, Any]], *, max_tokens: int, temperature: float | None
    ) -> Generated:
        del temperature
        text = _SENTENCE + _quoted(text_of(messages[-1].get("content")) if messages else "")
        whole = count_tokens(text)
        if whole > max_tokens:
            text = text.encode()[: max_tokens * 4].decode("utf-8", "ignore")
        return Generated(
            text=text,
            input_tokens=count_prompt_tokens(messages),
            output_tokens=min(whole, max_tokens),
            finish_reason="length" if whole > max_tokens else "stop",
        )


class PlainSpeech:
    """Hears nothing and says so, once every ten seconds, so that segments and words have sensible times."""

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Heard:
        duration_s = seconds_of(content)
        sentence = "This is a simulated translation." if translate else "This is a simulated transcript."
        starts = [i * _SENTENCE_EVERY_S for i in range(max(int(duration_s / _SENTENCE_EVERY_S), 1))]
        ends = [*starts[1:], duration_s]
        segments = tuple(
            Stretch(start_s=start, end_s=end, text=f" {sentence}") for start, end in zip(starts, ends, strict=True)
        )
        return Heard(
            text=" ".join([sentence] * len(segments)),
            language="english" if translate or language is None else language,
            duration_s=duration_s,
            segments=segments,
            words=tuple(word for segment in segments for word in _words(segment)),
        )


_SENTENCE = "This is a simulated answer: no model of Groq was asked."
_QUOTED_CHARS = 60
_SENTENCE_EVERY_S = 10.0


def _quoted(question: str) -> str:
    start = " ".join(question.split())[:_QUOTED_CHARS]
    return f' The question began: "{start}"' if start else ""


def _words(segment: Stretch) -> list[Stretch]:
    words = segment.text.split()
    step_s = (segment.end_s - segment.start_s) / len(words)
    return [
        Stretch(start_s=segment.start_s + i * step_s, end_s=segment.start_s + (i + 1) * step_s, text=word)
        for i, word in enumerate(words)
    ]
