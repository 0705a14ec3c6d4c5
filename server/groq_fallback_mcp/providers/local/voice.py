"""Text to speech in this process: the voice "heart" of hibari-tts, American English, whose weights are in its package."""

from __future__ import annotations

import io
import wave
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol

from groq_fallback_mcp.call import Failure, FailureKind, Outcome, SpeechRequest, Success, Usage
from groq_fallback_mcp.providers.local.offline import keep_offline
from groq_fallback_mcp.providers.local.one_at_a_time import AbandonedError, Stopped, Turns
from groq_fallback_mcp.providers.local.weights import VOICE_ENGINE

__all__ = ["SAMPLE_RATE", "VOICE", "VOICE_MODEL", "LocalVoice", "load_hibari"]

VOICE_MODEL = "local/hibari-heart"
# The others would be downloaded at their first use, and nothing here may use the network.
VOICE = "heart"
SAMPLE_RATE = 24_000


class VoiceEngine(Protocol):
    """What is used of hibari.Hibari: float32 samples in [-1, 1] out of a text."""

    def __call__(self, text: str, /) -> Any: ...


def load_hibari() -> VoiceEngine:
    """Load the voice, about half a second with the import."""
    keep_offline()
    engine: VoiceEngine = import_module(VOICE_ENGINE).Hibari(voice=VOICE)
    return engine


class LocalVoice:
    """The voice, loaded at the first request and kept until closed. One text at a time."""

    def __init__(self, *, load: Callable[[], VoiceEngine] = load_hibari) -> None:
        self._load = load
        self._turns = Turns()
        self._engine: VoiceEngine | None = None

    async def speak(self, request: SpeechRequest) -> Outcome:
        """Speak a text. Cancelling returns at once; the computation of this text goes on to its end."""
        try:
            return await self._turns.take(lambda stopped: self._spoken(request, stopped))
        except AbandonedError:
            return Failure(kind=FailureKind.CANCELLED, message="the local voice has been closed", sent=False)

    async def aclose(self) -> None:
        """Free the voice's memory. Later requests are refused."""

        def release() -> None:
            self._engine = None

        await self._turns.close(release)

    def _spoken(self, request: SpeechRequest, stopped: Stopped) -> Outcome:
        try:
            if self._engine is None:
                self._engine = self._load()
        except (ImportError, RuntimeError, OSError, ValueError) as error:
            message = f"the local voice cannot be loaded: {_brief(error)}. Run `groq-fallback-mcp doctor`."
            return Failure(kind=FailureKind.MODEL_BLOCKED, message=message, sent=False)
        if stopped():
            raise AbandonedError
        try:
            samples = self._engine(request.text)
        except (RuntimeError, ValueError) as error:
            return Failure(kind=FailureKind.GENERATION_FAILED, message=f"the local voice failed: {_brief(error)}")
        return Success(model=VOICE_MODEL, speech=_wav(samples), usage=Usage(characters=len(request.text)))


def _wav(samples: Any) -> bytes:
    numpy = import_module("numpy")
    target = io.BytesIO()
    with wave.open(target, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(SAMPLE_RATE)
        audio.writeframes((numpy.clip(samples, -1.0, 1.0) * 32_767.0).astype("<i2").tobytes())
    return target.getvalue()


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__
