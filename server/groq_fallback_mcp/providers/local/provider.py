"""Local models as a provider: the last resort of a plan, or all of it where nothing may leave the machine."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

import anyio

from groq_fallback_mcp.call import AudioRequest, ChatRequest, Failure, FailureKind, Outcome, SpeechRequest
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.local.speech import SPEECH_MODEL, LocalSpeech
from groq_fallback_mcp.providers.local.text import LocalText, text_model_name
from groq_fallback_mcp.providers.local.voice import VOICE_MODEL, LocalVoice
from groq_fallback_mcp.providers.local.weights import (
    SPEECH_ENGINE,
    TEXT_ENGINE,
    VOICE_ENGINE,
    find_speech_model,
    find_text_model,
    is_installed,
)

__all__ = ["LocalProvider", "available_models"]

# Half a minute of speech, computed a hundred times slower than on the smallest machine it was tried on.
STALLED_S = 300.0


def available_models(gguf: Path | None = None) -> tuple[str, ...]:
    """Ids of the local models whose engine and weights are installed: text first, the voice last. Nothing is loaded or verified."""
    try:
        text = find_text_model(gguf) if is_installed(TEXT_ENGINE) else None
    except ConfigurationError:
        text = None
    speech = find_speech_model() if is_installed(SPEECH_ENGINE) else None
    voice = (VOICE_MODEL,) if is_installed(VOICE_ENGINE) else ()
    return (*(() if text is None else (text_model_name(text),)), *(() if speech is None else (SPEECH_MODEL,)), *voice)


class LocalProvider:
    """Serves chat, transcription and speech in this process. Each model is loaded at its first request.

    `gguf` is the user's own text model. `speech`, `text` and `voice` stand in for the models in tests.
    """

    def __init__(
        self,
        *,
        gguf: Path | None = None,
        speech: LocalSpeech | None = None,
        text: LocalText | None = None,
        voice: LocalVoice | None = None,
    ) -> None:
        self._gguf = gguf
        self._speech = speech if speech is not None else LocalSpeech()
        self._text = text if text is not None else LocalText(gguf=gguf)
        self._voice = voice if voice is not None else LocalVoice()

    @property
    def name(self) -> str:
        return "local"

    @property
    def unready(self) -> str | None:
        return None

    def available_models(self) -> tuple[str, ...]:
        """Ids of the models that can be asked; see the function of this name."""
        return available_models(self._gguf)

    async def chat(
        self, request: ChatRequest, candidate: Candidate, *, timeout_s: float, stream: StreamOptions | None = None
    ) -> Outcome:
        # it answers as a whole
        del stream
        return await _within(timeout_s, self._text.chat(request, candidate), "text")

    async def transcribe(
        self, request: AudioRequest, candidate: Candidate, *, timeout_s: float, longest_s: float | None = None
    ) -> Outcome:
        del candidate, longest_s
        # from its turn on: whoever waits behind a long recording is not stuck
        with anyio.CancelScope() as stall:

            def moved() -> None:
                stall.deadline = anyio.current_time() + STALLED_S

            return await _within(timeout_s, self._speech.transcribe(request, moved=moved), "speech")
        return Failure(kind=FailureKind.TIMED_OUT, message=f"the local speech model made no progress for {STALLED_S:g} s")

    async def speak(self, request: SpeechRequest, candidate: Candidate, *, timeout_s: float) -> Outcome:
        del candidate
        return await _within(timeout_s, self._voice.speak(request), "voice")

    async def aclose(self) -> None:
        """Free the models and the loopback port."""
        try:
            await self._text.aclose()
        finally:
            await self._speech.aclose()
            await self._voice.aclose()


async def _within(timeout_s: float, answer: Awaitable[Outcome], what: str) -> Outcome:
    with anyio.move_on_after(timeout_s):
        return await answer
    return Failure(kind=FailureKind.TIMED_OUT, message=f"the local {what} model took longer than {timeout_s:g} s")
