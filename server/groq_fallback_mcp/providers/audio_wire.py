"""OpenAI's wire format of transcriptions, translations and speech: fields out of calls, outcomes out of replies."""

from __future__ import annotations

from typing import Any

from groq_fallback_mcp.call import (
    AudioFile,
    AudioRequest,
    AudioSegment,
    AudioWord,
    Failure,
    QuotaSnapshot,
    SpeechRequest,
    Success,
    Transcript,
    Usage,
)
from groq_fallback_mcp.policy.estimate import MINIMUM_BILLED_AUDIO_S
from groq_fallback_mcp.providers.base import AudioCall, SpeechCall
from groq_fallback_mcp.providers.reading import bad_response, json_object, number, request_id, rows, text_of

__all__ = ["read_speech", "read_transcript", "speech_payload", "transcription_fields"]


def transcription_fields(call: AudioCall) -> dict[str, Any]:
    """The form fields of POST audio/transcriptions and audio/translations, without the file."""
    request = call.request
    fields: dict[str, Any] = {"model": call.model, "response_format": "verbose_json"}
    if not request.translate:
        fields["timestamp_granularities[]"] = ["segment", "word"] if request.words else ["segment"]
        if request.language is not None:
            fields["language"] = request.language
    if request.prompt is not None:
        fields["prompt"] = request.prompt
    if request.temperature is not None:
        fields["temperature"] = str(request.temperature)
    if not isinstance(request.audio, AudioFile):
        fields["url"] = request.audio.url
    return fields


def read_transcript(
    body: bytes, *, request: AudioRequest, model: str, quota: QuotaSnapshot, simulated: bool
) -> Success | Failure:
    """The outcome of a transcription reply with status 200, verbose_json or json."""
    value = json_object(body)
    if isinstance(value, Failure):
        return value
    text = value.get("text")
    if not isinstance(text, str):
        return bad_response("a transcription without text")
    duration_s = number(value.get("duration"))
    if duration_s is None and isinstance(request.audio, AudioFile):
        duration_s = request.audio.duration_s
    transcript = Transcript(
        text=text.strip(),
        language=text_of(value.get("language")),
        duration_s=duration_s,
        segments=tuple(_segments(value.get("segments"))),
        words=tuple(_words(value.get("words"))),
    )
    return Success(
        model=model,
        transcript=transcript,
        usage=Usage(audio_s=max(duration_s or 0.0, MINIMUM_BILLED_AUDIO_S)),
        usage_reported=duration_s is not None,
        quota=quota,
        request_id=request_id(value),
        simulated=simulated,
    )


def speech_payload(call: SpeechCall) -> dict[str, Any]:
    """The JSON body of POST audio/speech. WAV is the only form every model gives."""
    payload: dict[str, Any] = {"model": call.model, "input": call.request.text, "response_format": "wav"}
    if call.voice is not None:
        payload["voice"] = call.voice
    return payload


def read_speech(body: bytes, *, request: SpeechRequest, model: str, quota: QuotaSnapshot, simulated: bool) -> Success | Failure:
    """The outcome of a speech reply with status 200."""
    if body[:4] != b"RIFF" or body[8:12] != b"WAVE":
        return bad_response(f"speech that is no WAV file, beginning {body[:12]!r}" if body else "an empty answer", quota)
    return Success(model=model, speech=body, usage=Usage(characters=len(request.text)), quota=quota, simulated=simulated)


def _segments(found: object) -> list[AudioSegment]:
    return [
        AudioSegment(start=start, end=end, text=text.strip())
        for row in rows(found)
        if (start := number(row.get("start"))) is not None
        and (end := number(row.get("end"))) is not None
        and (text := text_of(row.get("text"))) is not None
    ]


def _words(found: object) -> list[AudioWord]:
    return [
        AudioWord(start=start, end=end, word=word.strip())
        for row in rows(found)
        if (start := number(row.get("start"))) is not None
        and (end := number(row.get("end"))) is not None
        and (word := text_of(row.get("word"))) is not None
    ]
