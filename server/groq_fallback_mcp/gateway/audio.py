"""POST /v1/audio/transcriptions, translations and speech: the work of the tools transcribe and speak in OpenAI's form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from pathlib import PurePath
from typing import Any, TypeVar

import anyio
import anyio.to_thread
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from groq_fallback_mcp.audio.file import checked_audio
from groq_fallback_mcp.call import AudioSegment, SpeechRequest
from groq_fallback_mcp.catalog import Kind
from groq_fallback_mcp.clock import today
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.gateway.audio_fields import TranscriptionFields, read_speech_fields, read_transcription_fields
from groq_fallback_mcp.gateway.http import (
    answer_headers,
    ascii_headers,
    json_response,
    outcome_of,
    read_json,
    refusal_response,
    unless_gone,
)
from groq_fallback_mcp.gateway.refusals import Refusal, failed, invalid, refused
from groq_fallback_mcp.gateway.uploads import read_form, too_large_upload
from groq_fallback_mcp.policy.model_choice import ProviderModel, resolve_model
from groq_fallback_mcp.render import excerpt
from groq_fallback_mcp.tools.speak import Speech, speak
from groq_fallback_mcp.tools.tool import Context
from groq_fallback_mcp.tools.transcribe import (
    largest_recording,
    sanitized,
    subtitles,
    transcribe,
    transcribe_open,
    transcript_notes,
)
from groq_fallback_mcp.transcription import TranscriptAnswer

__all__ = ["SpeechEndpoint", "TranscriptionEndpoint", "is_upload"]

T = TypeVar("T")

_UPLOADS = {"/v1/audio/transcriptions", "/v1/audio/translations"}
LONGEST_NAME = 80
ENGLISH = "en"
# nginx's status for it. Nobody reads this answer.
CLIENT_LEFT = 499
_MEDIA_TYPES = {"text": "text/plain", "srt": "application/x-subrip; charset=utf-8", "vtt": "text/vtt"}
# Clients in typed languages fail where one is missing. They say nothing where a model told nothing of its work.
_SEGMENT_DEFAULTS = {"avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0, "temperature": 0.0}


def is_upload(path: str) -> bool:
    """Whether what is sent to a path is a form with a file, to be read piece by piece."""
    return path.removeprefix("/openai") in _UPLOADS


class TranscriptionEndpoint:
    """Writes down recordings, in English with `translate`."""

    def __init__(self, context: Context, *, translate: bool) -> None:
        # only what was sent is read, no file of this machine
        self._context = replace(context, folders=())
        self._translate = translate

    async def __call__(self, request: Request) -> Response:
        most = largest_recording(self._context)
        try:
            form = await read_form(request, file_bytes=most)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        if isinstance(form, Refusal):
            return refusal_response(form)
        try:
            return await self._answered(form, request, most)
        finally:
            with anyio.CancelScope(shield=True):
                await form.close()

    async def _answered(self, form: FormData, request: Request, most: int) -> Response:
        fields = read_transcription_fields(form, translate=self._translate)
        if isinstance(fields, Refusal):
            return refusal_response(fields)
        if fields.upload is not None and (fields.upload.size or 0) > most:
            return refusal_response(too_large_upload(most))
        work = outcome_of(self._transcribed(fields), param="url" if fields.upload is None else "file")
        return _response(await unless_gone(request.receive, work), lambda answer: _transcript(answer, fields))

    async def _transcribed(self, fields: TranscriptionFields) -> TranscriptAnswer | CallFailed | Refusal:
        model = _resolved(fields.arguments.model, Kind.SPEECH_TO_TEXT, self._context)
        if isinstance(model, Refusal):
            return model
        arguments = fields.arguments
        upload = fields.upload
        if upload is None:
            return await transcribe(arguments, self._context)
        name = PurePath((upload.filename or "").replace("\\", "/")).name[-LONGEST_NAME:] or "recording"
        opened = await anyio.to_thread.run_sync(
            lambda: checked_audio(upload.file, name, max_bytes=largest_recording(self._context))
        )
        return await transcribe_open(opened, arguments, self._context)


class SpeechEndpoint:
    """Speaks texts of any length, as WAV."""

    def __init__(self, context: Context) -> None:
        self._context = context

    async def __call__(self, request: Request) -> Response:
        given = read_json(await request.body())
        fields = given if isinstance(given, Refusal) else read_speech_fields(given)
        if isinstance(fields, Refusal):
            return refusal_response(fields)
        work = outcome_of(self._spoken(fields), param="input")
        return _response(await unless_gone(request.receive, work), _speech)

    async def _spoken(self, request: SpeechRequest) -> Speech | CallFailed | Refusal:
        model = _resolved(request.model, Kind.TEXT_TO_SPEECH, self._context)
        if isinstance(model, Refusal):
            return model
        speakers = [
            offered
            for provider in self._context.engine.registry.models()
            for id_, offered in provider.models.items()
            if offered.row.kind is Kind.TEXT_TO_SPEECH and model in {None, id_}
        ]
        able = [one for one in speakers if request.voice in {None, *one.row.capabilities.voices}]
        if speakers and not able:
            return _unknown_voice(request.voice, speakers)
        return await speak(replace(request, language=_language(able)), self._context)


def _unknown_voice(voice: str | None, speakers: Sequence[ProviderModel]) -> Refusal:
    voices = dict.fromkeys(name for one in speakers for name in one.row.capabilities.voices)
    return invalid(f"Unknown voice {excerpt(voice)}. Use one of {', '.join(voices)}", param="voice")


def _language(able: Sequence[ProviderModel]) -> str:
    """The language of the first of these: OpenAI's request names none, and a model or a voice has one."""
    languages = able[0].languages if able else ()
    return ENGLISH if not languages or ENGLISH in languages else languages[0]


def _resolved(name: str | None, kind: Kind, context: Context) -> str | Refusal | None:
    """The id of a model that was named, by a short name too."""
    engine = context.engine
    if name is None:
        return None
    try:
        return resolve_model(
            name, catalog=engine.catalog, providers=engine.registry.models(), kinds=(kind,), today=today(engine.clock)
        )
    except InputRefused as error:
        return replace(refused(error), param="model")


def _response(outcome: T | CallFailed | Refusal | None, made: Callable[[T], Response]) -> Response:
    """The response to an outcome; None is that of a client that has left."""
    if outcome is None:
        return Response(status_code=CLIENT_LEFT)
    if isinstance(outcome, CallFailed):
        outcome = failed(outcome)
    return refusal_response(outcome) if isinstance(outcome, Refusal) else made(outcome)


def _transcript(answer: TranscriptAnswer, fields: TranscriptionFields) -> Response:
    answer = replace(answer, transcript=sanitized(answer.transcript), notes=transcript_notes(answer))
    # of a recording in parts the attempts are those that failed
    requests = answer.parts + sum(attempt.sent and attempt.outcome != "answered" for attempt in answer.attempts)
    headers = answer_headers(answer, session=None) | {"x-groq-fallback-attempts": str(requests)}
    transcript, form = answer.transcript, fields.arguments.format
    if form == "json":
        return json_response({"text": transcript.text}, headers=headers)
    if form == "verbose_json":
        return json_response(_verbose(answer, fields), headers=headers)
    content = transcript.text if form == "text" else subtitles(transcript, form)
    return Response(content, media_type=_MEDIA_TYPES[form], headers=ascii_headers(headers))


def _verbose(answer: TranscriptAnswer, fields: TranscriptionFields) -> dict[str, Any]:
    transcript, arguments = answer.transcript, fields.arguments
    value: dict[str, Any] = {
        "task": "translate" if arguments.translate else "transcribe",
        "language": transcript.language or arguments.language or "unknown",
        "duration": transcript.duration_s or max((segment.end for segment in transcript.segments), default=0.0),
        "text": transcript.text,
    }
    if fields.segments:
        value["segments"] = [_segment(at, segment) for at, segment in enumerate(transcript.segments)]
    if fields.words:
        value["words"] = [asdict(word) for word in transcript.words]
    return value


def _segment(at: int, segment: AudioSegment) -> dict[str, Any]:
    known = {name: value for name, value in asdict(segment).items() if value is not None}
    return {"id": at, "seek": 0, "tokens": [], **_SEGMENT_DEFAULTS, **known}


def _speech(speech: Speech) -> Response:
    first, costs = speech.answers[0], [answer.cost_usd for answer in speech.answers]
    known = [cost for cost in costs if cost is not None]
    whole = replace(
        first,
        attempts=[*speech.attempts, *(attempt for answer in speech.answers for attempt in answer.attempts)],
        cost_usd=sum(known, Decimal(0)) if len(known) == len(costs) else None,
        notes=speech.all_notes,
    )
    headers = ascii_headers(answer_headers(whole, session=None))
    return Response(speech.content, media_type="audio/wav", headers=headers)
