"""The official Groq SDK against the simulator."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import groq
import pytest
from simulator.rig import MODEL

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.simulator import RunningSimulator

pytestmark = pytest.mark.anyio
HELLO: list[groq.types.chat.ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def client(running: RunningSimulator) -> AsyncGenerator[groq.AsyncGroq]:
    """It appends /openai/v1 itself."""
    async with groq.AsyncGroq(base_url=running.base_url, api_key="gsk_x", max_retries=0) as made:
        yield made


@pytest.mark.covers("endpoints/models")
async def test_it_lists_models(client: groq.AsyncGroq) -> None:
    """With the model asked for among them."""
    assert MODEL in {model.id for model in (await client.models.list()).data}


async def test_it_retrieves_one_model(client: groq.AsyncGroq) -> None:
    """Its id has a slash."""
    assert (await client.models.retrieve(MODEL)).id == MODEL


@pytest.mark.covers("sdks/groq", "api/authentication", "endpoints/chat/completions")
async def test_it_chats(client: groq.AsyncGroq) -> None:
    """Text, usage and request id."""
    answer = await client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == "This is a simulated answer to: hello"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0
    assert answer.x_groq is not None
    assert answer.system_fingerprint == "fp_simulated"


async def test_it_streams(client: groq.AsyncGroq) -> None:
    """Joined, the pieces are the answer; the last chunk has the usage."""
    chunks = [chunk async for chunk in await client.chat.completions.create(model=MODEL, messages=HELLO, stream=True)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "This is a simulated answer to: hello"
    last = chunks[-1].x_groq
    assert last is not None
    assert last.usage is not None
    assert last.usage.completion_tokens == 7


@pytest.mark.covers("endpoints/audio/transcriptions")
async def test_it_transcribes(client: groq.AsyncGroq) -> None:
    """The sample, from its path."""
    heard = await client.audio.transcriptions.create(model="whisper-large-v3-turbo", file=sample_path())
    assert heard.text == "This is a simulated transcript."


async def test_it_translates(client: groq.AsyncGroq) -> None:
    """With the model that can."""
    heard = await client.audio.translations.create(model="whisper-large-v3", file=("a.flac", sample_path().read_bytes()))
    assert heard.text == "This is a simulated transcript."


async def test_it_speaks(client: groq.AsyncGroq) -> None:
    """WAV bytes."""
    spoken = await client.audio.speech.create(
        model="canopylabs/orpheus-v1-english", input="hello", voice="hannah", response_format="wav"
    )
    assert (await spoken.read())[:4] == b"RIFF"


async def test_a_refused_key_is_its_authentication_error(client: groq.AsyncGroq) -> None:
    """401 with Groq's text."""
    with pytest.raises(groq.AuthenticationError, match="Invalid API Key") as caught:
        await client.with_options(api_key="wrong").models.list()
    assert caught.value.status_code == 401


async def test_an_unknown_model_is_its_not_found_error(client: groq.AsyncGroq) -> None:
    """404 with the code."""
    with pytest.raises(groq.NotFoundError, match="does not exist or you do not have access") as caught:
        await client.chat.completions.create(model="no/such", messages=HELLO)
    assert caught.value.body == {
        "error": {
            "message": "The model `no/such` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
            "code": "model_not_found",
        }
    }


async def test_more_than_the_bucket_is_its_status_error_with_413(client: groq.AsyncGroq) -> None:
    """It has no class of its own."""
    with pytest.raises(groq.APIStatusError, match="Request too large for model") as caught:
        await client.chat.completions.create(model="openai/gpt-oss-120b", messages=HELLO, max_completion_tokens=500)
    assert caught.value.status_code == 413


async def test_a_used_up_limit_is_its_rate_limit_error_with_retry_after(client: groq.AsyncGroq) -> None:
    """A day, at one request a day."""
    model = "openai/gpt-oss-safeguard-20b"
    await client.chat.completions.create(model=model, messages=HELLO)
    with pytest.raises(groq.RateLimitError, match="requests per day") as caught:
        await client.chat.completions.create(model=model, messages=HELLO)
    assert 86_390 <= int(caught.value.response.headers["retry-after"]) <= 86_400


async def test_a_used_up_audio_limit_is_its_rate_limit_error(client: groq.AsyncGroq) -> None:
    """Transcription and translation share the bucket."""
    recording = ("a.flac", sample_path().read_bytes())
    await client.audio.transcriptions.create(model="whisper-large-v3", file=recording)
    with pytest.raises(groq.RateLimitError, match="requests per day"):
        await client.audio.translations.create(model="whisper-large-v3", file=recording)
