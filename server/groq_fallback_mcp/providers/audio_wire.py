"""OpenAI's wire format of transcriptions, translations and speech: fields out of calls, outcomes out of replies."""

from __future__ import annotations

import math
import re
from typing import Any

from groq_fallback_mcp.audio.segment_times import Timed, in_order, reading_s
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
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.json_fields import bad_response, json_object, number, request_id, rows, text_of

# Thirty years of audio.
LATEST_S = 1e9
_CLOCK = re.compile(
    r"(?P<minus>-)?(?:(?:(?P<hours>\d{1,6}):)?(?P<minutes>\d{1,6}):)?(?P<seconds>\d{1,9}(?:[.,]\d{1,9})?)\s*s?", re.ASCII
)

__all__ = ["read_speech", "read_transcript", "speech_payload", "transcription_fields"]


def transcription_fields(request: AudioRequest, model: str) -> dict[str, Any]:
    """The form fields of POST audio/transcriptions and audio/translations, without the file."""
    fields: dict[str, Any] = {"model": model, "response_format": "verbose_json"}
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


def speech_payload(request: SpeechRequest, candidate: Candidate) -> dict[str, Any]:
    """The JSON body of POST audio/speech. WAV is the only form every model gives."""
    payload: dict[str, Any] = {"model": candidate.wire_model, "input": request.text, "response_format": "wav"}
    voice = candidate.voice if request.voice is None else request.voice
    if voice is not None:
        payload["voice"] = voice
    return payload


def read_speech(body: bytes, *, request: SpeechRequest, model: str, quota: QuotaSnapshot, simulated: bool) -> Success | Failure:
    """The outcome of a speech reply with status 200."""
    if body[:4] != b"RIFF" or body[8:12] != b"WAVE":
        return bad_response(f"speech that is not a WAV file, beginning {body[:12]!r}" if body else "an empty answer", quota)
    return Success(model=model, speech=body, usage=Usage(characters=len(request.text)), quota=quota, simulated=simulated)


def _segments(found: object) -> list[AudioSegment]:
    given = [(row, text.strip()) for row in rows(found) if (text := text_of(row.get("text"))) is not None and text.strip()]
    placed = in_order([Timed(_time(row.get("start")), _time(row.get("end")), reading_s(text)) for row, text in given])
    return [
        AudioSegment(
            start=place.start,
            end=place.end,
            text=given[place.index][1],
            no_speech_prob=_figure(given[place.index][0].get("no_speech_prob")),
            avg_logprob=_figure(given[place.index][0].get("avg_logprob")),
            compression_ratio=_figure(given[place.index][0].get("compression_ratio")),
            temperature=_figure(given[place.index][0].get("temperature")),
        )
        for place in placed
    ]


def _words(found: object) -> list[AudioWord]:
    given = [(row, word.strip()) for row in rows(found) if (word := text_of(row.get("word"))) is not None and word.strip()]
    placed = in_order([Timed(_time(row.get("start")), _time(row.get("end"))) for row, _ in given])
    return [AudioWord(start=place.start, end=place.end, word=given[place.index][1]) for place in placed]


def _time(value: object) -> float | None:
    """A number of seconds, below zero too, or a clock's time in text; None for what cannot be one."""
    seconds = _clock_s(value) if isinstance(value, str) else _figure(value)
    return seconds if seconds is not None and abs(seconds) < LATEST_S else None


def _clock_s(text: str) -> float | None:
    """The seconds of "1.5", "00:01.5", "00:00:01,5" or "1.5s"."""
    found = _CLOCK.fullmatch(text.strip())
    if found is None:
        return None
    hours, minutes, seconds = found["hours"] or "0", found["minutes"] or "0", found["seconds"].replace(",", ".")
    value = int(hours) * 3_600 + int(minutes) * 60 + float(seconds)
    return -value if found["minus"] else value


def _figure(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        figure = float(value)
    except OverflowError:
        return None
    return figure if math.isfinite(figure) else None
