"""LiteLLM against the simulator. conftest.py keeps it from fetching its price list."""

from __future__ import annotations

import os
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
from simulator.rig import MODEL

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.simulator import RunningSimulator

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(find_spec("litellm") is None, reason="litellm is not installed"),
    # litellm's own types, validated by pydantic, which it tells of while a stream is read
    pytest.mark.filterwarnings("ignore:Item .* using the `ReadOnly` qualifier:UserWarning"),
]
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture
def litellm() -> ModuleType:
    """Imported late: it takes a second."""
    import litellm

    assert os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    litellm.telemetry = False
    litellm.suppress_debug_info = True
    return litellm


@pytest.fixture
def call(running: RunningSimulator) -> dict[str, Any]:
    """What every call is given."""
    return {"api_base": f"{running.base_url}/openai/v1", "api_key": "gsk_x", "max_retries": 0, "num_retries": 0}


@pytest.mark.covers("litellm/prefix")
async def test_it_chats(litellm: ModuleType, call: dict[str, Any]) -> None:
    """Text and usage."""
    answer = await litellm.acompletion(f"groq/{MODEL}", HELLO, **call)
    assert answer.choices[0].message.content == "This is a simulated answer to: hello"
    assert answer.usage.total_tokens > 0


async def test_it_streams(litellm: ModuleType, call: dict[str, Any]) -> None:
    """Joined, the pieces are the answer."""
    stream = await litellm.acompletion(f"groq/{MODEL}", HELLO, stream=True, **call)
    pieces = [chunk.choices[0].delta.content or "" async for chunk in stream if chunk.choices]
    assert "".join(pieces) == "This is a simulated answer to: hello"
    assert len(pieces) > 2


async def test_it_transcribes(litellm: ModuleType, call: dict[str, Any]) -> None:
    """The sample."""
    heard = await litellm.atranscription("groq/whisper-large-v3-turbo", file=("a.flac", sample_path().read_bytes()), **call)
    assert heard.text == "This is a simulated transcript."


async def test_a_refused_key_is_its_authentication_error(litellm: ModuleType, call: dict[str, Any]) -> None:
    """401."""
    with pytest.raises(litellm.AuthenticationError, match="Invalid API Key") as caught:
        await litellm.acompletion(f"groq/{MODEL}", HELLO, **call | {"api_key": "wrong"})
    assert caught.value.status_code == 401


async def test_an_unknown_model_is_its_not_found_error(litellm: ModuleType, call: dict[str, Any]) -> None:
    """404 with Groq's text."""
    with pytest.raises(litellm.NotFoundError, match="does not exist or you do not have access"):
        await litellm.acompletion("groq/no/such", HELLO, **call)


async def test_more_than_the_bucket_is_its_rate_limit_error(litellm: ModuleType, call: dict[str, Any]) -> None:
    """LiteLLM goes by the code and makes a 429 of Groq's 413, though no wait can help."""
    with pytest.raises(litellm.RateLimitError, match="Request too large for model") as caught:
        await litellm.acompletion("groq/openai/gpt-oss-120b", HELLO, max_tokens=500, **call)
    assert "retry-after" not in caught.value.litellm_response_headers


async def test_a_used_up_limit_is_its_rate_limit_error_with_retry_after(litellm: ModuleType, call: dict[str, Any]) -> None:
    """A day, at one request a day."""
    model = "groq/openai/gpt-oss-safeguard-20b"
    await litellm.acompletion(model, HELLO, **call)
    with pytest.raises(litellm.RateLimitError, match="requests per day") as caught:
        await litellm.acompletion(model, HELLO, **call)
    assert 86_390 <= int(caught.value.litellm_response_headers["retry-after"]) <= 86_400
