"""Speech to text in this process: Whisper tiny.en through faster-whisper. English only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import anyio.from_thread

from groq_fallback_mcp.audio.decoder import read_samples
from groq_fallback_mcp.audio.parts import TooLongError
from groq_fallback_mcp.audio.pcm import BYTES_A_SAMPLE, SAMPLE_RATE, NotDecodableError
from groq_fallback_mcp.audio.segment_times import Timed, in_order, reading_s
from groq_fallback_mcp.call import (
    AudioFile,
    AudioRequest,
    AudioSegment,
    AudioWord,
    Failure,
    FailureKind,
    Outcome,
    Success,
    Transcript,
    Usage,
)
from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.errors import ConfigurationError
from groq_fallback_mcp.providers.local.offline import keep_offline
from groq_fallback_mcp.providers.local.one_at_a_time import AbandonedError, Stopped, Turns
from groq_fallback_mcp.providers.local.weights import find_speech_model, verify_speech_model
from groq_fallback_mcp.render import excerpt

__all__ = ["SPEECH_MODEL", "LocalSpeech", "SpeechEngine", "decode_speech", "load_whisper"]

SPEECH_MODEL = "local/whisper-tiny.en"
LONGEST_S = 1_800.0
# A day of speech takes a minute or two to decode.
LONGEST_RUN_S = 300.0
_ENGLISH = {"en", "eng", "english"}


class SpeechEngine(Protocol):
    """What is used of faster_whisper.WhisperModel."""

    def transcribe(self, audio: Any, **options: Any) -> tuple[Iterable[Any], Any]: ...


Load = Callable[[Path], SpeechEngine]
Decode = Callable[[AudioFile, Stopped], Any]


def load_whisper(folder: Path) -> SpeechEngine:
    """Load the model from a folder, about 0.9 s with the import. Raises ConfigurationError on wrong weights."""
    verify_speech_model(folder)
    # it would ask the Hugging Face hub for a tokenizer where the folder lacks one
    keep_offline()
    whisper = import_module("faster_whisper")
    model: SpeechEngine = whisper.WhisperModel(
        str(folder), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True
    )
    return model


def refuse_speech(request: AudioRequest) -> Failure | None:
    """Why the local model cannot serve a request, None when it can."""
    message = None
    language = (request.language or "en").lower().replace("_", "-").split("-", 1)[0]
    if not isinstance(request.audio, AudioFile):
        message = "the local speech model does not fetch URLs; download the file and pass its path"
    elif request.translate:
        message = "the local speech model does not translate; translation needs Groq's whisper-large-v3"
    elif language not in _ENGLISH:
        message = f"the local speech model supports only English, not {excerpt(request.language)}"
    elif request.audio.duration_s is not None and request.audio.duration_s > LONGEST_S:
        message = _too_long()
    return None if message is None else _refused(FailureKind.UNSUPPORTED, message)


class LocalSpeech:
    """The speech model, loaded at the first request and kept until closed. One recording at a time."""

    def __init__(
        self,
        *,
        find: Callable[[], Path | None] = find_speech_model,
        load: Load = load_whisper,
        decode: Decode | None = None,
    ) -> None:
        self._find = find
        self._load = load
        self._decode = decode if decode is not None else _decode
        self._turns = Turns()
        self._engine: SpeechEngine | None = None

    async def transcribe(self, request: AudioRequest, *, moved: Callable[[], None] | None = None) -> Outcome:
        """Write down a recording. Cancelling returns at once; the computation ends at its next segment.

        `moved` is called in the event loop when its turn has come, and with each segment.
        """
        refusal = refuse_speech(request)
        if refusal is not None:
            return refusal

        def progressing(stopped: Stopped) -> bool:
            if stopped():
                return False
            if moved is not None:
                anyio.from_thread.run_sync(moved)
            return True

        try:
            return await self._turns.take(lambda stopped: self._transcribed(request, stopped, progressing))
        except AbandonedError:
            return _refused(FailureKind.CANCELLED, "the local speech model has been closed")

    async def aclose(self) -> None:
        """Free the model's memory. Later requests are refused."""

        def release() -> None:
            self._engine = None

        await self._turns.close(release)

    def _transcribed(self, request: AudioRequest, stopped: Stopped, progressing: Callable[[Stopped], bool]) -> Outcome:
        assert isinstance(request.audio, AudioFile)  # noqa: S101 - refuse_speech has seen to it
        progressing(stopped)
        try:
            engine = self._started()
        except ConfigurationError as error:
            return _refused(FailureKind.MODEL_BLOCKED, str(error))
        except (ImportError, RuntimeError, OSError, ValueError) as error:
            return _refused(
                FailureKind.MODEL_BLOCKED,
                f"the local speech model cannot be loaded: {_brief(error)}. Run `groq-fallback-mcp doctor`.",
            )
        try:
            samples = self._decode(request.audio, stopped)
        except NotDecodableError as error:
            return _refused(
                FailureKind.BAD_REQUEST, f"{excerpt(request.audio.name)} cannot be decoded as audio: {_brief(error)}"
            )
        except TooLongError:
            return _refused(FailureKind.UNSUPPORTED, _too_long())
        try:
            progressing(stopped)
            found, _ = engine.transcribe(samples, **_options(request))
            return _success(
                _until_stopped(found, lambda: not progressing(stopped)),
                duration_s=len(samples) / SAMPLE_RATE,
                words=request.words,
            )
        except (RuntimeError, ValueError) as error:
            return Failure(kind=FailureKind.GENERATION_FAILED, message=f"the local speech model failed: {_brief(error)}")

    def _started(self) -> SpeechEngine:
        if self._engine is None:
            folder = self._find()
            if folder is None:
                raise ConfigurationError(
                    "the local speech model is not installed", next_step=f"Install it: {install_command('local')}"
                )
            self._engine = self._load(folder)
        return self._engine


def _decode(audio: AudioFile, stopped: Stopped) -> Any:
    return decode_speech(audio, longest_s=LONGEST_S, stopped=stopped)


def _options(request: AudioRequest) -> dict[str, Any]:
    # of silence the model would write "You" again and again
    options: dict[str, Any] = {
        "language": "en",
        "word_timestamps": request.words,
        "initial_prompt": request.prompt,
        "vad_filter": True,
    }
    if request.temperature is not None:
        options["temperature"] = request.temperature
    return options


def _until_stopped(segments: Iterable[Any], stopped: Stopped) -> list[Any]:
    """All segments; each is computed when asked for, which is the place to stop at."""
    done: list[Any] = []
    for segment in segments:
        if stopped():
            raise AbandonedError
        done.append(segment)
    return done


def _success(segments: list[Any], *, duration_s: float, words: bool) -> Success:
    given = [(segment, text) for segment in segments if (text := segment.text.strip())]
    spoken = [word for segment in segments for word in segment.words or () if word.word.strip()] if words else []
    return Success(
        model=SPEECH_MODEL,
        transcript=Transcript(
            text="".join(segment.text for segment in segments).strip(),
            language="en",
            duration_s=duration_s,
            # The model times in windows of 30 s and may point past the end of the recording.
            segments=tuple(
                _segment(*given[place.index], start=min(place.start, duration_s), end=min(place.end, duration_s))
                for place in in_order([Timed(segment.start, segment.end, reading_s(text)) for segment, text in given])
            ),
            words=tuple(
                AudioWord(
                    start=min(place.start, duration_s), end=min(place.end, duration_s), word=spoken[place.index].word.strip()
                )
                for place in in_order([Timed(word.start, word.end) for word in spoken])
            ),
        ),
        usage=Usage(audio_s=duration_s),
    )


def _segment(found: Any, text: str, *, start: float, end: float) -> AudioSegment:
    return AudioSegment(
        start=start,
        end=end,
        text=text,
        no_speech_prob=getattr(found, "no_speech_prob", None),
        avg_logprob=getattr(found, "avg_logprob", None),
        compression_ratio=getattr(found, "compression_ratio", None),
        temperature=getattr(found, "temperature", None),
    )


def _refused(kind: FailureKind, message: str) -> Failure:
    return Failure(kind=kind, message=message, sent=False)


def _too_long() -> str:
    return f"the recording is longer than the local speech model's {LONGEST_S:.0f} s; split it"


def _brief(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0][:200] or type(error).__name__


def decode_speech(audio: AudioFile, *, longest_s: float, stopped: Stopped) -> Any:
    """The first audio track as a float32 array in [-1, 1], `SAMPLE_RATE` samples a second. Decoded in a process of its own.

    Damaged frames are skipped. Memory is bounded by `longest_s`, however well the file is compressed: 64 kB a second.
    Raises NotDecodableError, TooLongError, and AbandonedError once `stopped()`.
    """
    numpy = import_module("numpy")
    heard = bytearray()
    blocks = read_samples(audio.content, audio.media_type, longest_s=longest_s, longest_run_s=LONGEST_RUN_S, stopped=stopped)
    with closing(blocks):
        for block in blocks:
            heard += block
    assert len(heard) % BYTES_A_SAMPLE == 0  # noqa: S101 - blocks hold whole samples
    return numpy.frombuffer(heard, dtype=numpy.int16).astype(numpy.float32) / 32_768.0
