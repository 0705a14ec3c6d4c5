"""Lends the local models to the simulator, which must not import them itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from groq_fallback_mcp.audio.headers import read_headers
from groq_fallback_mcp.audio.kind import HEAD_BYTES, sniff
from groq_fallback_mcp.call import AudioFile, AudioRequest, ChatRequest, Failure, FailureKind
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.local.provider import LocalProvider
from groq_fallback_mcp.providers.local.speech import SPEECH_MODEL
from groq_fallback_mcp.simulator import Generated, PlainSpeech, PlainText, SpeechEngine, TextEngine, Transcribed

__all__ = ["local_engines"]

ANSWER_S = 60.0
TRANSCRIPT_S = 600.0
# A small model on one thread: enough for a demonstration, short enough to be quick.
MOST_TOKENS = 96


@asynccontextmanager
async def local_engines(*, wanted: bool = True) -> AsyncGenerator[tuple[TextEngine | None, SpeechEngine | None]]:
    """A text and a speech engine, None for what is not wanted or not installed."""
    if not wanted:
        yield None, None
        return
    provider = LocalProvider()
    names = provider.available_models()
    speech = _Speech(provider) if SPEECH_MODEL in names else None
    text = next((_Text(provider, name) for name in names if name != SPEECH_MODEL), None)
    try:
        yield text, speech
    finally:
        await provider.aclose()


class _Text:
    def __init__(self, provider: LocalProvider, model: str) -> None:
        self._provider = provider
        self._model = model

    async def answer(self, messages: Sequence[Mapping[str, Any]], *, max_tokens: int, temperature: float) -> Generated:
        request = ChatRequest(messages=tuple(messages), temperature=temperature)
        candidate = _candidate(self._model, max_tokens=min(max_tokens, MOST_TOKENS))
        outcome = await self._provider.chat(request, candidate, timeout_s=ANSWER_S)
        if isinstance(outcome, Failure) and outcome.kind is FailureKind.UNSUPPORTED:
            # what the small model cannot do, the simulated Groq can: in plain words
            return await PlainText().answer(messages, max_tokens=max_tokens, temperature=1.0)
        if isinstance(outcome, Failure):
            raise ValueError(outcome.message)  # noqa: TRY004 - what the protocol promises
        usage = outcome.usage
        return Generated(
            text=outcome.text,
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            finish_reason=outcome.finish_reason,
        )


class _Speech:
    def __init__(self, provider: LocalProvider) -> None:
        self._provider = provider

    async def transcribe(self, content: bytes, *, language: str | None, translate: bool) -> Transcribed:
        kind = sniff(content[:HEAD_BYTES])
        if kind is None:
            message = "not audio"
            raise ValueError(message)
        duration_s = read_headers(content, kind).duration_s
        audio = AudioFile(name=f"audio.{kind.extension}", content=content, media_type=kind.media_type, duration_s=duration_s)
        request = AudioRequest(audio=audio, language=language, words=True, translate=translate)
        outcome = await self._provider.transcribe(request, _candidate(SPEECH_MODEL), timeout_s=TRANSCRIPT_S)
        if isinstance(outcome, Failure) and outcome.kind is FailureKind.UNSUPPORTED:
            return await PlainSpeech().transcribe(content, language=language, translate=translate)
        if isinstance(outcome, Failure) or outcome.transcript is None:
            raise ValueError(outcome.message if isinstance(outcome, Failure) else "no transcript")
        transcript = outcome.transcript
        return Transcribed(
            text=transcript.text,
            language=transcript.language or "english",
            duration_s=transcript.duration_s or 0.0,
            segments=[asdict(segment) for segment in transcript.segments],
            words=[asdict(word) for word in transcript.words],
        )


def _candidate(model: str, *, max_tokens: int = 0) -> Candidate:
    return Candidate(provider="local", model=model, wire_model=model, max_tokens=max_tokens)
