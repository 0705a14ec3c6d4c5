"""The real models, where the extra `local` and the text weights are installed."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from fakes import candidate
from heard import words_of
from reading import read_audio

from groq_fallback_mcp.audio.samples import SAMPLE_TEXT, sample_path
from groq_fallback_mcp.call import AudioFile, AudioRequest, ChatRequest, Failure, FailureKind, JsonMode, Success
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.local import text as local_text
from groq_fallback_mcp.providers.local.provider import LocalProvider
from groq_fallback_mcp.providers.local.speech import NotDecodableError, TooLongError, decode_speech
from groq_fallback_mcp.providers.local.text import LocalText
from groq_fallback_mcp.providers.local.weights import missing_parts

_MISSING = {part.serves: part.command for part in reversed(missing_parts(None))}
needs_speech = pytest.mark.skipif("speech" in _MISSING, reason=f"no local speech model: {_MISSING.get('speech')}")
needs_text = pytest.mark.skipif("text" in _MISSING, reason=f"no local text model: {_MISSING.get('text')}")

TIMEOUT_S = 60.0


@pytest.fixture
async def provider() -> AsyncIterator[LocalProvider]:
    """A provider of both models, closed again."""
    local = LocalProvider()
    yield local
    await local.aclose()


def sample() -> AudioFile:
    """The shipped recording, read as `transcribe` reads it."""
    return read_audio(str(sample_path()), allowed=[sample_path().parent], max_bytes=1_000_000)


def question(text: str, *, schema: dict[str, Any] | None = None, max_tokens: int = 64) -> tuple[ChatRequest, Candidate]:
    """A question to the small model, which is held to `schema` when there is one."""
    request = ChatRequest(messages=[{"role": "user", "content": text}], schema=schema, temperature=0.0)
    json_mode: JsonMode = "none" if schema is None else "json_schema"
    return request, candidate("smollm2-135m", max_tokens=max_tokens, json_mode=json_mode)


@needs_speech
@pytest.mark.anyio
async def test_the_sample_is_heard_word_for_word(provider: LocalProvider) -> None:
    """With words that lie inside the recording, in order."""
    request = AudioRequest(audio=sample(), words=True)
    outcome = await provider.transcribe(request, candidate("whisper-tiny.en"), timeout_s=TIMEOUT_S)

    assert isinstance(outcome, Success), outcome
    assert outcome.transcript is not None
    assert words_of(outcome.transcript.text) == words_of(SAMPLE_TEXT)
    assert outcome.usage.audio_s == pytest.approx(4.925)
    starts = [word.start for word in outcome.transcript.words]
    assert len(starts) == len(SAMPLE_TEXT.split())
    assert starts == sorted(starts)
    assert max(word.end for word in outcome.transcript.words) <= 4.925


@needs_speech
@pytest.mark.anyio
@pytest.mark.parametrize(
    "content", [sample_path().read_bytes()[:60], b"fLaC" + bytes(5_000), b"#EXTM3U\nfile:///etc/hostname\n"]
)
async def test_a_corrupt_recording_is_a_failure(provider: LocalProvider, content: bytes) -> None:
    """It cannot be served by asking again."""
    request = AudioRequest(audio=AudioFile(name="a.flac", content=content, media_type="audio/flac", duration_s=None))
    outcome = await provider.transcribe(request, candidate("whisper-tiny.en"), timeout_s=TIMEOUT_S)

    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.BAD_REQUEST


@needs_speech
def test_a_recording_is_decoded_no_further_than_the_bound() -> None:
    """Whatever its headers say of its length."""
    with pytest.raises(TooLongError):
        decode_speech(sample(), longest_s=2.0, stopped=lambda: False)


@needs_speech
def test_a_playlist_is_not_opened_whatever_it_is_called() -> None:
    """FFmpeg would read the files and addresses it lists, were it left to guess."""
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{sample_path()}\n#EXT-X-ENDLIST\n".encode()
    for media_type in ("audio/mpeg", "audio/wav", "audio/ogg", "audio/mp4", "audio/webm", "video/mpeg"):
        audio = AudioFile(name="a", content=playlist, media_type=media_type, duration_s=None)
        with pytest.raises(NotDecodableError):
            decode_speech(audio, longest_s=60.0, stopped=lambda: False)


@needs_text
@pytest.mark.anyio
async def test_the_text_model_answers_and_counts_its_tokens(provider: LocalProvider) -> None:
    """A word or more; what it says is a small model's affair."""
    outcome = await provider.chat(*question("Say hello."), timeout_s=TIMEOUT_S)

    assert isinstance(outcome, Success), outcome
    assert outcome.text
    assert outcome.model == "local/smollm2-135m"
    assert outcome.usage.input_tokens > 0
    assert 0 < outcome.usage.output_tokens <= 64


@needs_text
@pytest.mark.anyio
async def test_the_text_model_keeps_to_a_schema(provider: LocalProvider) -> None:
    """Its grammar leaves it no choice."""
    properties = {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 0, "maximum": 120}}
    schema = {"type": "object", "properties": properties, "required": ["name", "age"], "additionalProperties": False}

    outcome = await provider.chat(*question("Invent a person.", schema=schema), timeout_s=TIMEOUT_S)

    assert isinstance(outcome, Success), outcome
    person = json.loads(outcome.text)
    assert set(person) == {"name", "age"}
    assert 0 <= person["age"] <= 120


@needs_text
@pytest.mark.anyio
async def test_a_schema_the_engine_does_not_know_is_unsupported(provider: LocalProvider) -> None:
    """Rather than an answer that ignores it."""
    outcome = await provider.chat(*question("Hi", schema={"type": "wrongtype"}), timeout_s=TIMEOUT_S)

    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.UNSUPPORTED


@needs_text
@pytest.mark.anyio
async def test_an_input_beyond_the_context_is_too_long(provider: LocalProvider) -> None:
    """The message has both figures."""
    outcome = await provider.chat(*question("hello " * 8_000), timeout_s=TIMEOUT_S)

    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.CONTEXT_TOO_LONG
    assert "4096" in outcome.message


@needs_text
@pytest.mark.nightly
@pytest.mark.anyio
async def test_after_a_deadline_in_a_long_input_the_next_question_is_soon_answered(provider: LocalProvider) -> None:
    """3,000 tokens take some 15 s to read; the abandoned reading stops within a batch of them."""
    await provider.chat(*question("Hi", max_tokens=1), timeout_s=TIMEOUT_S)
    late = await provider.chat(*question("long " * 3_000), timeout_s=0.2)
    with anyio.fail_after(10):
        next_one = await provider.chat(*question("Hi", max_tokens=4), timeout_s=TIMEOUT_S)

    assert isinstance(late, Failure)
    assert late.kind is FailureKind.TIMED_OUT
    assert isinstance(next_one, Success)


@needs_text
@pytest.mark.anyio
async def test_closing_frees_the_loopback_port() -> None:
    """While open it answers nobody without the key."""
    addresses: list[tuple[str, int]] = []

    def load(gguf: Any) -> Any:
        engine: Any = local_text.load_llama(gguf)
        host, port = engine.listening_address.removeprefix("http://").split(":")
        addresses.append((host, int(port)))
        return engine

    local = LocalText(load=load)
    await local.chat(*question("Hi", max_tokens=1))
    (address,) = addresses
    assert address[0] == "127.0.0.1"
    with socket.create_connection(address, timeout=5) as client:
        client.sendall(b"GET /v1/models HTTP/1.0\r\n\r\n")
        assert b" 401 " in client.recv(64)
    await local.aclose()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, timeout=5)


@needs_speech
@needs_text
def test_both_models_leave_standard_output_alone(tmp_path: Path) -> None:
    """It belongs to the MCP client, natively too: loading, answering, a refusal, a failure to load."""
    code = """
import anyio, pathlib, sys
from groq_fallback_mcp.audio.file import open_audio
from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.call import AudioRequest, ChatRequest
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.local.provider import LocalProvider

model = Candidate(provider="local", model="m", wire_model="m", max_tokens=8)

def ask(text):
    return ChatRequest(messages=[{"role": "user", "content": text}])

async def main():
    local, broken = LocalProvider(), LocalProvider(gguf=pathlib.Path(sys.argv[1]))
    with open_audio(str(sample_path()), allowed=[sample_path().parent], max_bytes=1_000_000) as opened:
        audio = opened.probed()
    for outcome in (
        await local.chat(ask("Hi"), model, timeout_s=60),
        await local.chat(ask("hello " * 8000), model, timeout_s=60),
        await local.transcribe(AudioRequest(audio=audio), model, timeout_s=60),
        await broken.chat(ask("Hi"), model, timeout_s=60),
    ):
        print(type(outcome).__name__, file=sys.stderr)
    await local.aclose()
    await broken.aclose()

anyio.run(main)
"""
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF" + bytes(1_000))
    done = subprocess.run([sys.executable, "-c", code, str(broken)], capture_output=True, text=True, check=True, timeout=120)

    assert done.stdout == ""
    assert done.stderr.split() == ["Success", "Failure", "Success", "Failure"]


@needs_speech
@pytest.mark.parametrize(
    "use",
    [
        "from groq_fallback_mcp.providers.local.voice import load_hibari; load_hibari()('Hello.')",
        (
            "import numpy; from groq_fallback_mcp.providers.local.speech import load_whisper; "
            "from groq_fallback_mcp.providers.local.weights import find_speech_model; "
            "list(load_whisper(find_speech_model()).transcribe(numpy.zeros(48000, numpy.float32), vad_filter=True)[0])"
        ),
    ],
    ids=["voice", "speech"],
)
def test_no_library_of_a_local_model_reports_its_use(tmp_path: Path, use: str) -> None:
    """ONNX Runtime makes an id of the machine and sends events, unless it is told not to before it is loaded."""
    environment = {"HOME": str(tmp_path), "PATH": os.environ.get("PATH", "")}
    subprocess.run([sys.executable, "-P", "-c", use], env=environment, cwd=tmp_path, check=True, timeout=120)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
