"""The official OpenAI SDK against the simulator."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from simulator.rig import MODEL

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.simulator import RunningSimulator

pytestmark = pytest.mark.anyio
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "hello"}]


@pytest.fixture
async def client(running: RunningSimulator) -> AsyncGenerator[openai.AsyncOpenAI]:
    """Its base URL has the whole path."""
    async with openai.AsyncOpenAI(base_url=f"{running.base_url}/openai/v1", api_key="gsk_x", max_retries=0) as made:
        yield made


async def test_it_lists_models(client: openai.AsyncOpenAI) -> None:
    """With the model asked for among them."""
    assert MODEL in {model.id async for model in client.models.list()}


@pytest.mark.covers("sdks/openai")
async def test_it_chats(client: openai.AsyncOpenAI) -> None:
    """Text and usage."""
    answer = await client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.choices[0].message.content == "This is a simulated answer to: hello"
    assert answer.usage is not None
    assert answer.usage.total_tokens > 0


async def test_it_streams_with_usage(client: openai.AsyncOpenAI) -> None:
    """Asked for, the usage comes in the last chunk."""
    stream = await client.chat.completions.create(
        model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "This is a simulated answer to: hello"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 7


async def test_it_transcribes_with_word_times(client: openai.AsyncOpenAI) -> None:
    """The sample, verbosely."""
    heard = await client.audio.transcriptions.create(
        model="whisper-large-v3-turbo", file=sample_path(), response_format="verbose_json", timestamp_granularities=["word"]
    )
    assert heard.text == "This is a simulated transcript."
    assert heard.words is not None
    assert [word.word for word in heard.words] == heard.text.split()


async def test_a_refused_key_is_its_authentication_error(client: openai.AsyncOpenAI) -> None:
    """401 with Groq's text and code."""
    with pytest.raises(openai.AuthenticationError, match="Invalid API Key") as caught:
        await client.with_options(api_key="wrong").models.list()
    assert caught.value.code == "invalid_api_key"


async def test_an_unknown_model_is_its_not_found_error(client: openai.AsyncOpenAI) -> None:
    """404 with the code."""
    with pytest.raises(openai.NotFoundError, match="does not exist or you do not have access") as caught:
        await client.chat.completions.create(model="no/such", messages=HELLO)
    assert caught.value.code == "model_not_found"


async def test_more_than_the_bucket_is_its_status_error_with_413(client: openai.AsyncOpenAI) -> None:
    """Its code is rate_limit_exceeded, its type tokens."""
    with pytest.raises(openai.APIStatusError, match="Request too large for model") as caught:
        await client.chat.completions.create(model="openai/gpt-oss-120b", messages=HELLO, max_completion_tokens=500)
    assert (caught.value.status_code, caught.value.code, caught.value.type) == (413, "rate_limit_exceeded", "tokens")


async def test_a_used_up_limit_is_its_rate_limit_error_with_retry_after(client: openai.AsyncOpenAI) -> None:
    """A day, at one request a day."""
    model = "openai/gpt-oss-safeguard-20b"
    await client.chat.completions.create(model=model, messages=HELLO)
    with pytest.raises(openai.RateLimitError, match="requests per day") as caught:
        await client.chat.completions.create(model=model, messages=HELLO)
    assert 86_390 <= int(caught.value.response.headers["retry-after"]) <= 86_400
