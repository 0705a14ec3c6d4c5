"""POST audio/transcriptions, audio/translations and audio/speech."""

from __future__ import annotations

import io
import math
import struct
import wave
from collections.abc import Mapping
from typing import Any

from starlette.datastructures import FormData, UploadFile
from starlette.responses import PlainTextResponse, Response

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import Kind
from groq_fallback_mcp.simulator.generation import PlainSpeech, Transcribed
from groq_fallback_mcp.simulator.replies import SIMULATED, ApiError, json_reply, request_id
from groq_fallback_mcp.simulator.world import World

__all__ = ["speak", "transcribe"]

MEGABYTE = 1_048_576
MINIMUM_BILLED_S = 10.0
PROMPT_CHARS = 896
# For audio other than WAV and FLAC the length is guessed from its size: about 32 kbit a second, common for speech.
BYTES_PER_SECOND = 4_000
SAMPLE_RATE = 24_000
# the SDK's SpeechCreateParams; that speed is bounded is unverified
SAMPLE_RATES = (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
SLOWEST, FASTEST = 0.5, 5.0
_STREAMINFO_END = 26
_MAGIC = (b"fLaC", b"ID3", b"OggS", b"\x1aE\xdf\xa3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2", b"\xff\xf1")


async def transcribe(world: World, organization: str, form: FormData, *, translate: bool) -> Response:
    """Answer a transcription or translation. Raises ApiError for what Groq refuses."""
    model = world.model(form.get("model"))
    if model.kind is not Kind.SPEECH_TO_TEXT:
        raise ApiError(400, f"The model `{model.id}` does not support audio transcription")
    if translate and not model.capabilities.translation:
        raise ApiError(400, f"The model `{model.id}` does not support translation")
    shape = str(form.get("response_format") or "json")
    if shape not in {"json", "text", "verbose_json"}:
        raise ApiError(400, "response_format must be one of [json text verbose_json]")
    granularities = form.getlist("timestamp_granularities[]")
    if granularities and shape != "verbose_json":
        raise ApiError(400, "timestamp_granularities requires response_format to be verbose_json")
    if not {str(value) for value in granularities} <= {"word", "segment"}:
        raise ApiError(400, "timestamp_granularities must be one of [word segment]")
    if len(str(form.get("prompt") or "")) > PROMPT_CHARS:
        raise ApiError(400, f"prompt must be at most {PROMPT_CHARS} characters")
    content = await _content(world, form, model.id)
    seconds = _duration_s(content)
    billed_s = max(seconds, MINIMUM_BILLED_S)
    world.admit(organization, model.id, {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.ASH: billed_s, Limit.ASD: billed_s})
    language = form.get("language")
    # nothing is fetched, so there is nothing to hear behind an address
    engine = PlainSpeech() if form.get("url") else world.speech
    try:
        heard = await engine.transcribe(content, language=str(language) if language else None, translate=translate)
    except ValueError as error:
        raise ApiError(400, f"could not process file - is it a valid media file? {error}") from error
    await world.clock.sleep(seconds / 200 * world.options.latency_scale)
    headers = world.limits.headers(organization, model.id)
    if shape == "text":
        return PlainTextResponse(heard.text, headers=headers | SIMULATED)
    return json_reply(
        _body(heard, form, detailed=shape == "verbose_json", seconds=seconds, translate=translate), headers=headers
    )


async def speak(world: World, organization: str, payload: Mapping[str, Any]) -> Response:
    """A tone as long as the text would take to say, as WAV. Raises ApiError for what Groq refuses."""
    model = world.model(payload.get("model"))
    text, voice = payload.get("input"), payload.get("voice")
    voices = model.capabilities.voices
    if model.kind is not Kind.TEXT_TO_SPEECH:
        raise ApiError(400, f"The model `{model.id}` does not support speech")
    if not isinstance(text, str) or not text:
        raise ApiError(400, "'input' : value must be a string that is not empty")
    if model.capabilities.max_input_chars is not None and len(text) > model.capabilities.max_input_chars:
        raise ApiError(400, f"input must be at most {model.capabilities.max_input_chars} characters")
    if voices and voice not in voices:
        raise ApiError(400, f"voice must be one of [{' '.join(voices)}]")
    if payload.get("response_format") not in (None, "wav"):
        raise ApiError(400, "response_format must be one of [wav]")
    rate, speed = payload.get("sample_rate"), payload.get("speed")
    rate, speed = SAMPLE_RATE if rate is None else rate, 1.0 if speed is None else speed
    if isinstance(rate, bool) or rate not in SAMPLE_RATES:
        raise ApiError(400, f"sample_rate must be one of [{' '.join(map(str, SAMPLE_RATES))}]")
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not SLOWEST <= speed <= FASTEST:
        raise ApiError(400, f"speed must be between {SLOWEST:g} and {FASTEST:g}")
    cost = {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.TPM: float(len(text)), Limit.TPD: float(len(text))}
    world.admit(organization, model.id, cost)
    headers = world.limits.headers(organization, model.id)
    return Response(_tone(len(text) / 15 / speed, int(rate)), media_type="audio/wav", headers=headers | SIMULATED)


async def _content(world: World, form: FormData, model: str) -> bytes:
    upload, url = form.get("file"), form.get("url")
    if isinstance(upload, UploadFile) == bool(url):
        raise ApiError(400, "exactly one of `file` and `url` must be given")
    if not isinstance(upload, UploadFile):
        return _tone(1.0)  # the simulator fetches nothing
    content = await upload.read()
    limit_mb = world.catalog.upload_mb(model, world.options.plan) or 25
    if len(content) > limit_mb * MEGABYTE:
        raise ApiError(413, "Request Entity Too Large", code="request_too_large")
    if not content:
        raise ApiError(400, "file is empty")
    if not (content.startswith(_MAGIC) or content[:4] == b"RIFF" or content[4:8] == b"ftyp"):
        raise ApiError(400, "could not process file - is it a valid media file?")
    return content


def _duration_s(content: bytes) -> float:
    if content.startswith(b"RIFF"):
        try:
            with wave.open(io.BytesIO(content)) as audio:
                # programs that write to a pipe state any size
                held = len(content) / (audio.getnchannels() * audio.getsampwidth())
                return float(min(audio.getnframes(), held) / audio.getframerate())
        except (wave.Error, EOFError, ZeroDivisionError):
            pass
    if content.startswith(b"fLaC") and len(content) > _STREAMINFO_END:
        # sample rate in 20 bits, 8 bits of other things, then the count of samples in 36 bits
        packed = int.from_bytes(content[18:_STREAMINFO_END], "big")
        rate, samples = packed >> 44, packed & 0xF_FFFF_FFFF
        if rate and samples:
            return samples / rate
    return len(content) / BYTES_PER_SECOND


def _body(heard: Transcribed, form: FormData, *, detailed: bool, seconds: float, translate: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"text": heard.text, "x_groq": {"id": request_id()}}
    if not detailed:
        return body
    granularities = [str(value) for value in form.getlist("timestamp_granularities[]")]
    body |= {
        "task": "translate" if translate else "transcribe",
        "language": heard.language,
        "duration": heard.duration_s or seconds,
        "segments": [_segment(index, row) for index, row in enumerate(heard.segments)],
    }
    if "word" in granularities:
        body["words"] = [dict(row) for row in heard.words]
    return body


def _segment(index: int, row: Mapping[str, Any]) -> dict[str, Any]:
    defaults: dict[str, Any] = {
        "seek": 0,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": -0.2,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    }
    return defaults | dict(row) | {"id": index}


def _tone(seconds: float, rate: int = SAMPLE_RATE) -> bytes:
    count = max(int(seconds * rate), rate // 10)
    frames = b"".join(struct.pack("<h", int(8000 * math.sin(i * 2 * math.pi * 440 / rate))) for i in range(count))
    target = io.BytesIO()
    with wave.open(target, "wb") as audio:
        audio.setnchannels(1)
        audio.setsampwidth(2)
        audio.setframerate(rate)
        audio.writeframes(frames)
    return target.getvalue()
