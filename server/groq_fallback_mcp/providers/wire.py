"""OpenAI's wire format: requests out of calls, outcomes out of replies. Pure; whatever comes back becomes a value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast

from groq_fallback_mcp.call import (
    AudioFile,
    AudioRequest,
    AudioSegment,
    AudioWord,
    Failure,
    FailureKind,
    QuotaSnapshot,
    Success,
    Transcript,
    Usage,
)
from groq_fallback_mcp.policy.classify import classify_stream_error
from groq_fallback_mcp.policy.estimate import MINIMUM_BILLED_AUDIO_S
from groq_fallback_mcp.providers.base import AudioCall, ChatCall, LiveModel, json_instruction

__all__ = ["chat_payload", "read_chat", "read_models", "read_transcript", "transcription_fields"]

# Beyond these a few megabytes of JSON become a hundred of objects, and a second in which nothing else is served.
# Ten hours of speech with the time of every word stay below.
MOST_CONTAINERS = 200_000
MOST_COMMAS = 1_000_000


def chat_payload(call: ChatCall, *, tokens_field: str = "max_completion_tokens") -> dict[str, Any]:
    """The JSON body of POST chat/completions. Fields without a value are left out."""
    request = call.request
    messages = [dict(message) for message in request.messages]
    payload: dict[str, Any] = {"model": call.model, "messages": messages, tokens_field: call.max_tokens}
    if request.temperature is not None:
        payload["temperature"] = request.temperature
    if call.reasoning_effort is not None:
        payload["reasoning_effort"] = call.reasoning_effort
    if request.tools:
        payload["tools"] = [dict(tool) for tool in request.tools]
    if request.schema is not None:
        if call.json_mode == "json_schema":
            schema = {"name": "answer", "schema": dict(request.schema)}
            payload["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            messages.insert(0, {"role": "system", "content": json_instruction(request.schema)})
            if call.json_mode == "json_object":
                payload["response_format"] = {"type": "json_object"}
    return payload


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


def read_chat(body: bytes, *, model: str, quota: QuotaSnapshot, simulated: bool, now_wall: float) -> Success | Failure:
    """The outcome of a chat reply with status 200. `model` stands in where the reply names none."""
    value = _object(body)
    if isinstance(value, Failure):
        return value
    if "error" in value and "choices" not in value:
        return classify_stream_error(body.decode("utf-8", "replace"), now_wall=now_wall)
    choices = value.get("choices")
    rows = _rows(choices)
    choice = rows[0] if rows else None
    message = _mapping(choice.get("message")) if choice is not None else None
    if choice is None or message is None:
        return _bad("an answer without choices")
    finish_reason = _text(choice.get("finish_reason")) or "stop"
    text = _text(message.get("content"))
    usage = _chat_usage(_mapping(value.get("usage")))
    if not text or not text.strip():
        if finish_reason == "length":
            return _bad(f"all {usage.output_tokens or 'its'} tokens went before any text came: raise max_tokens", quota)
        return _bad("an answer without text", quota)
    return Success(
        model=_text(value.get("model")) or model,
        text=text,
        reasoning=_text(message.get("reasoning")) or _text(message.get("reasoning_content")),
        finish_reason=finish_reason,
        usage=usage,
        usage_reported=isinstance(value.get("usage"), dict),
        quota=quota,
        request_id=_request_id(value),
        simulated=simulated or "simulated" in (_text(value.get("system_fingerprint")) or ""),
    )


def read_transcript(
    body: bytes, *, request: AudioRequest, model: str, quota: QuotaSnapshot, simulated: bool
) -> Success | Failure:
    """The outcome of a transcription reply with status 200, verbose_json or json."""
    value = _object(body)
    if isinstance(value, Failure):
        return value
    text = value.get("text")
    if not isinstance(text, str):
        return _bad("a transcription without text")
    duration_s = _number(value.get("duration"))
    if duration_s is None and isinstance(request.audio, AudioFile):
        duration_s = request.audio.duration_s
    transcript = Transcript(
        text=text.strip(),
        language=_text(value.get("language")),
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
        request_id=_request_id(value),
        simulated=simulated,
    )


def read_models(body: bytes) -> tuple[LiveModel, ...] | Failure:
    """The rows of a live list; rows without an id are passed over."""
    value = _object(body)
    if isinstance(value, Failure):
        return value
    rows = value.get("data")
    if not isinstance(rows, list):
        return _bad("a model list without data")
    found = [_mapping(row) for row in cast("list[object]", rows)]
    return tuple(
        LiveModel(
            id=str(row["id"]),
            active=row.get("active") is not False,
            context_window=_whole(row.get("context_window")),
            max_completion_tokens=_whole(row.get("max_completion_tokens")),
        )
        for row in found
        if row is not None and isinstance(row.get("id"), str)
    )


def _object(body: bytes) -> dict[str, Any] | Failure:
    if body.count(b"[") + body.count(b"{") > MOST_CONTAINERS or body.count(b",") > MOST_COMMAS:
        return _bad("an answer of more values than any answer has")
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError) as error:
        start = body[:40].decode("utf-8", "replace")
        return _bad(f"an answer that is not JSON ({type(error).__name__}), beginning {start!r}" if body else "an empty answer")
    if not isinstance(value, dict):
        return _bad(f"an answer that is {type(value).__name__}, not an object")
    return cast("dict[str, Any]", value)


def _bad(what: str, quota: QuotaSnapshot | None = None) -> Failure:
    return Failure(
        kind=FailureKind.BAD_RESPONSE, message=f"bad upstream response: {what}", status=200, quota=quota or QuotaSnapshot()
    )


def _chat_usage(usage: Mapping[str, Any] | None) -> Usage:
    usage = usage or {}
    prompt = _mapping(usage.get("prompt_tokens_details")) or {}
    completion = _mapping(usage.get("completion_tokens_details")) or {}
    return Usage(
        input_tokens=_whole(usage.get("prompt_tokens")) or 0,
        output_tokens=_whole(usage.get("completion_tokens")) or 0,
        cached_tokens=_whole(prompt.get("cached_tokens")) or 0,
        reasoning_tokens=_whole(completion.get("reasoning_tokens")) or 0,
    )


def _segments(rows: object) -> list[AudioSegment]:
    return [
        AudioSegment(start=start, end=end, text=text.strip())
        for row in _rows(rows)
        if (start := _number(row.get("start"))) is not None
        and (end := _number(row.get("end"))) is not None
        and (text := _text(row.get("text"))) is not None
    ]


def _words(rows: object) -> list[AudioWord]:
    return [
        AudioWord(start=start, end=end, word=word.strip())
        for row in _rows(rows)
        if (start := _number(row.get("start"))) is not None
        and (end := _number(row.get("end"))) is not None
        and (word := _text(row.get("word"))) is not None
    ]


def _rows(value: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list):
        return ()
    return [row for row in map(_mapping, cast("list[object]", value)) if row is not None]


def _request_id(value: Mapping[str, Any]) -> str | None:
    x_groq = _mapping(value.get("x_groq"))
    return _text(x_groq.get("id")) if x_groq is not None else None


def _mapping(value: object) -> Mapping[str, Any] | None:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    number = float(value)
    return number if 0 <= number < 1e9 else None  # noqa: PLR2004 - thirty years of audio; also refuses nan and inf


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12 else None
