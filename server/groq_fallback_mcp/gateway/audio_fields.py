"""What clients send to the audio routes: the fields of a form, the body of a text to speak. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from groq_fallback_mcp.call import SpeechRequest
from groq_fallback_mcp.call.openai_fields import object_of
from groq_fallback_mcp.gateway.model_list import AUTO
from groq_fallback_mcp.gateway.refusals import Refusal, invalid
from groq_fallback_mcp.render import capitalized, excerpt, sentence
from groq_fallback_mcp.tools.speak import MOST_CHARS
from groq_fallback_mcp.tools.transcribe import TranscribeArguments

__all__ = ["TranscriptionFields", "read_speech_fields", "read_transcription_fields"]

# (field of the form, argument of the tool)
_ARGUMENTS = (
    ("model", "model"),
    ("language", "language"),
    ("prompt", "prompt"),
    ("response_format", "format"),
    ("temperature", "temperature"),
)
_FIELDS = {argument: field for field, argument in _ARGUMENTS}
_GRANULARITIES = ("timestamp_granularities[]", "timestamp_granularities")


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionFields:
    """A recording, and how it is to be transcribed. `upload` is None where the recording is at the arguments' `url`.

    `segments` and `words`: whether verbose_json has them.
    """

    arguments: TranscribeArguments
    upload: UploadFile | None
    segments: bool
    words: bool


def read_transcription_fields(form: FormData, *, translate: bool) -> TranscriptionFields | Refusal:
    """The fields of a form that are known, or what is wrong with one; an empty one counts as omitted."""
    upload, url = form.get("file"), form.get("url")
    if isinstance(upload, str) and upload:
        return invalid("file has no file name, so it is a text. Send the recording as a file", param="file")
    if isinstance(upload, UploadFile) == bool(url):
        return invalid("The recording is missing or given twice. Send either file or url", param="file")
    stated = {value for name in _GRANULARITIES for value in form.getlist(name) if value}
    if unknown := stated - {"segment", "word"}:
        message = f"timestamp_granularities has {excerpt(unknown.pop())}. Use segment, word or both"
        return invalid(message, param="timestamp_granularities")
    given: dict[str, Any] = {argument: value for field, argument in _ARGUMENTS if (value := form.get(field))}
    given["model"] = _model(given.get("model"))
    given.setdefault("format", "json")
    given["timestamps"] = "word" if "word" in stated else "segment"
    given |= {"translate": translate, **({"file": "recording"} if isinstance(upload, UploadFile) else {"url": url})}
    try:
        arguments = TranscribeArguments.model_validate(given)
    except ValidationError as error:
        return _fault(dict(error.errors()[0]))
    if upload is None and arguments.url is None:
        # it would be a path on this machine
        return invalid(f"url is {excerpt(url)}, and must be an https address", param="url")
    return TranscriptionFields(
        arguments=arguments,
        upload=upload if isinstance(upload, UploadFile) else None,
        segments="segment" in stated or not stated,
        words="word" in stated,
    )


def read_speech_fields(given: object) -> SpeechRequest | Refusal:
    """A text to speak with the defaults for what is omitted, or what is wrong. Its language is English for now."""
    body = object_of(given)
    if body is None:
        return invalid("The body is not a JSON object. Send an object with model, input and voice")
    text = body.get("input")
    if not isinstance(text, str) or not text.strip():
        return invalid("input must be a text that is not empty", param="input")
    if len(text) > MOST_CHARS:
        message = f"input has {len(text):,} characters, and {MOST_CHARS:,} are allowed. Send it in several requests"
        return invalid(message, param="input")
    for name in ("model", "voice"):
        if not isinstance(body.get(name), str | None):
            return invalid(f"{name} is {excerpt(body[name])}, and must be a text", param=name)
    if (wrong := _unsupported(body)) is not None:
        return wrong
    return SpeechRequest(text=text, voice=body.get("voice") or None, model=_model(body.get("model")))


def _unsupported(body: Mapping[str, Any]) -> Refusal | None:
    """What a client would hear to be missing."""
    form, speed = body.get("response_format"), body.get("speed")
    if form not in (None, "wav"):
        message = f"response_format is {excerpt(form)}, and only wav is supported. Set response_format to wav"
        return invalid(message, param="response_format")
    if speed not in (None, 1):
        return invalid(f"speed is {excerpt(speed)}, and only 1 is supported. Omit it", param="speed")
    return None


def _model(given: object) -> str | None:
    """The name of a model as it was given; None where any is fine."""
    if not isinstance(given, str) or not given.strip():
        return None
    name = given.strip().removeprefix("groq-fallback/")
    return None if name.removeprefix("groq/") == AUTO else name


def _fault(detail: Mapping[str, Any]) -> Refusal:
    """The first thing that is wrong with a form, in the form's own words."""
    location = str(next(iter(detail["loc"]), "url"))
    field = _FIELDS.get(location, location)
    message = sentence(capitalized(str(detail["msg"]).removeprefix("Value error, ")))
    return invalid(f"Invalid {field} {excerpt(detail['input'])}. {message}", param=field)
