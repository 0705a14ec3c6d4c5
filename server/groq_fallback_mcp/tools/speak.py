"""speak: text as speech, written to a WAV file below a folder that is open to this server."""

from __future__ import annotations

import io
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from groq_fallback_mcp.audio.languages import language_code, only_one
from groq_fallback_mcp.call import Attempt, Restrictions, SpeechRequest
from groq_fallback_mcp.catalog import Kind
from groq_fallback_mcp.command import install_command
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.run_all import run_all
from groq_fallback_mcp.tools.result import SIMULATED_NOTE, CallResult, error_reply, joint_fields, label, structured
from groq_fallback_mcp.tools.save_to import SaveTo
from groq_fallback_mcp.tools.text_chunks import sentences
from groq_fallback_mcp.tools.tool import Arguments, Context, Reply, Tool

__all__ = ["MOST_CHARS", "SPEAK", "Speech", "WavError", "join_wav", "speak"]

MOST_CHARS = 20_000
# What Orpheus takes at a time; a local voice is given the same, so that both pause at the same places.
PIECE_CHARS = 200
PAUSE_S = 0.15
AT_ONCE = 4
# Long enough to wait for a minute's limit; what would wait for a day's is spoken elsewhere.
PIECE_S = 120.0
EXTENSIONS = (".wav",)


def _language(given: object) -> object:
    """The code of a language that was given by another name."""
    language = only_one(given)
    return (language_code(language) or language) if isinstance(language, str) else given


class SpeakArguments(Arguments):
    """Arguments of speak."""

    text: Annotated[str, Field(min_length=1, max_length=MOST_CHARS)]
    save_to: str = Field(description="A .wav path below the project folder")
    voice: str | None = Field(
        default=None, description="autumn diana hannah austin daniel troy; Arabic: abdullah fahad sultan lulwa noura aisha"
    )
    language: Annotated[Literal["en", "ar"], BeforeValidator(_language)] = "en"
    model: str | None = None
    overwrite: bool = False
    local_only: bool = False


class SpeakResult(CallResult):
    """Structured result of speak."""

    path: str
    bytes: int
    audio_s: float
    pieces: int
    voice: str | None = None
    voices: tuple[str, ...]


def _save_to(arguments: SpeakArguments) -> SaveTo:
    return SaveTo(path=arguments.save_to, extensions=EXTENSIONS, overwrite=arguments.overwrite)


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """A text as speech, in one WAV file of `audio_s` seconds. `answers` has at least one, in the order of the text.

    `attempts` are those at providers that could not speak it, `notes` say where the voice is another than was wanted.
    """

    content: bytes
    audio_s: float
    answers: Sequence[Answer]
    attempts: Sequence[Attempt]
    notes: Sequence[str]

    @property
    def all_notes(self) -> list[str]:
        """Its own notes, and each of its answers' once."""
        simulated = any(answer.success.simulated for answer in self.answers)
        of_answers = dict.fromkeys(note for answer in self.answers for note in answer.notes)
        return [*self.notes, *([SIMULATED_NOTE] if simulated else []), *of_answers]


async def _handle(arguments: SpeakArguments, context: Context) -> Reply:
    await _save_to(arguments).check(context)
    started = context.engine.clock.monotonic()
    request = SpeechRequest(
        text=arguments.text,
        voice=arguments.voice,
        model=arguments.model,
        language=arguments.language,
        restrictions=Restrictions(local_only=arguments.local_only),
    )
    found = await speak(request, context)
    if isinstance(found, CallFailed):
        return error_reply(found)
    return await _written(found, arguments, context, took_s=context.engine.clock.monotonic() - started)


async def speak(request: SpeechRequest, context: Context) -> Speech | CallFailed:
    """Speak a text of any length with one voice; the providers of the request's restrictions are chosen here.

    Raises InputRefused where there is nothing to say, no model that speaks, or a piece that cannot be joined to the others.
    """
    texts = sentences(request.text, PIECE_CHARS)
    if not texts:
        raise InputRefused("text contains nothing to say", next_step="give some words")
    attempts: list[Attempt] = []
    failure: CallFailed | None = None
    notes: list[str] = []
    for provider in _providers(context):
        if request.voice is not None and not _has_voice(context, provider, request.voice) and failure is not None:
            # better another voice than none: the caller is told
            notes.append(f"the voice {request.voice!r} is not available; {provider} has its own")
            request = replace(request, voice=None)
        found = await _spoken(texts, request, provider, context)
        if isinstance(found, list):
            return _joined(found, attempts, notes)
        attempts += found.attempts
        if failure is None or found.attempts:
            failure = found
    if failure is None:
        raise InputRefused(
            "No text-to-speech model is available",
            next_step=f"Set GROQ_API_KEY, or run {install_command('local')} for an English voice",
        )
    return failure


def _providers(context: Context) -> list[str]:
    """Who has a voice, in order. One of them speaks all of a text: a voice that changes in the middle is worse than none."""
    return [
        provider.name
        for provider in context.engine.registry.models()
        if any(offered.row.kind is Kind.TEXT_TO_SPEECH for offered in provider.models.values())
    ]


def _has_voice(context: Context, name: str, voice: str) -> bool:
    return any(
        voice in offered.row.capabilities.voices
        for provider in context.engine.registry.models()
        if provider.name == name
        for offered in provider.models.values()
    )


async def _spoken(texts: list[str], request: SpeechRequest, provider: str, context: Context) -> list[Answer] | CallFailed:
    """All pieces from one provider, or the first failure; then the others are not asked any more."""
    engine = context.engine
    end = engine.clock.monotonic() + context.job_deadline_s
    here = replace(request, restrictions=replace(request.restrictions, providers=(provider,)))

    async def work(text: str) -> Answer | CallFailed:
        return await engine.serve(replace(here, text=text), deadline_s=min(PIECE_S, max(end - engine.clock.monotonic(), 1.0)))

    outcomes, failure = await run_all(
        texts,
        work,
        at_once=AT_ONCE,
        stops=lambda outcome: isinstance(outcome, CallFailed),
        on_progress=context.progress,
        done="pieces spoken",
    )
    if isinstance(failure, CallFailed):
        return failure
    return [outcome for outcome in outcomes if isinstance(outcome, Answer)]


def _joined(answers: list[Answer], attempts: list[Attempt], notes: list[str]) -> Speech:
    try:
        content, audio_s = join_wav([answer.success.speech or b"" for answer in answers], pause_s=PAUSE_S)
    except WavError as fault:
        raise InputRefused(f"the speech pieces cannot be joined: {fault}", next_step="retry, or give another model") from fault
    return Speech(content=content, audio_s=audio_s, answers=answers, attempts=attempts, notes=notes)


async def _written(speech: Speech, arguments: SpeakArguments, context: Context, *, took_s: float) -> Reply:
    path = await _save_to(arguments).write(speech.content, context)
    first = speech.answers[0]
    row = next(
        offered.row
        for provider in context.engine.registry.models()
        if provider.name == first.provider
        for model, offered in provider.models.items()
        if model == first.model
    )
    result = SpeakResult(
        path=str(path),
        bytes=len(speech.content),
        audio_s=round(speech.audio_s, 2),
        pieces=len(speech.answers),
        voice=arguments.voice if arguments.voice in row.capabilities.voices else next(iter(row.capabilities.voices), None),
        voices=row.capabilities.voices,
        **joint_fields(speech.answers, shown=first, duration_s=took_s, earlier=speech.attempts, notes=speech.all_notes),
    )
    who = label(result.provider, result.model)
    lines = [f"{result.path}: {result.audio_s:.1f} s of speech, {result.bytes:,} bytes", f"[{who}, {result.duration_s:.1f} s]"]
    lines += [f"Note: {note}" for note in result.notes or ()]
    return Reply(text="\n".join(lines), structured=structured(result), body=result.path)


class WavError(ValueError):
    """A piece that cannot be read, or does not fit the others."""


def join_wav(pieces: Sequence[bytes], *, pause_s: float) -> tuple[bytes, float]:
    """One WAV file with `pause_s` seconds of silence between the pieces, and its length in seconds.

    Raises WavError for a piece that is no PCM WAV, or of another sample rate, width or number of channels.
    """
    shape: tuple[int, int, int] | None = None
    frames: list[bytes] = []
    for number, piece in enumerate(pieces, start=1):
        try:
            with wave.open(io.BytesIO(piece)) as audio:
                own = (audio.getnchannels(), audio.getsampwidth(), audio.getframerate())
                # what is written to a stream states more frames than there are
                found = audio.readframes(len(piece) // (own[0] * own[1]))
        except (wave.Error, EOFError, ZeroDivisionError) as error:
            message = f"piece {number} cannot be read as WAV: {error}"
            raise WavError(message) from error
        if shape is not None and own != shape:
            message = f"piece {number} has a different format from the first"
            raise WavError(message)
        shape = own
        frames.append(found)
    if shape is None:
        message = "no piece"
        raise WavError(message)
    channels, width, rate = shape
    # eight-bit samples have no sign: their middle is silence
    silence = (b"\x80" if width == 1 else b"\x00") * (int(pause_s * rate) * channels * width)
    target = io.BytesIO()
    with wave.open(target, "wb") as audio:
        audio.setnchannels(channels)
        audio.setsampwidth(width)
        audio.setframerate(rate)
        audio.writeframes(silence.join(frames))
    seconds = len(silence.join(frames)) / (channels * width * rate)
    return target.getvalue(), seconds


SPEAK = Tool(
    name="speak",
    title="Speak text",
    description="Convert text of any length to speech in a new .wav file.",
    arguments=SpeakArguments,
    handle=_handle,
    read_only=False,
    destructive=True,
)
