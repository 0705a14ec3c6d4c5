"""A real llama.cpp server on loopback, with the small model, as a provider by its preset."""

from __future__ import annotations

import json
from collections.abc import Generator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from fakes import candidate
from local_servers import catalog_with_ports

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import ChatRequest, Failure, FailureKind, Success
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.providers.base import StreamOptions
from groq_fallback_mcp.providers.local.weights import find_text_model
from groq_fallback_mcp.providers.openai_compatible import OpenAICompatible
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.tools import TOOLS, Reply
from groq_fallback_mcp.tools.arguments import parse

MODEL = find_text_model(None)
pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(find_spec("xllamacpp") is None or MODEL is None, reason="no llama.cpp, or no weights for it"),
]
SCHEMA = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"], "additionalProperties": False}


@pytest.fixture(scope="module")
def llamacpp() -> Generator[str]:
    """Its base URL, with /v1. One for all tests: loading takes half a second."""
    llama = import_module("xllamacpp")
    params = llama.CommonParams()
    params.model.path = str(MODEL)
    params.n_ctx, params.n_parallel, params.n_predict = 2_048, 1, 64
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.n_gpu_layers = params.cache_ram_mib = 0
    params.verbosity = -1
    server = llama.Server(params)
    yield f"{server.listening_address}/v1"
    del server


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, llamacpp: str) -> Path:
    """A config.toml with the preset. Groq is at a port where nobody listens."""
    path = tmp_path / "config.toml"
    path.write_text(f'[[providers]]\npreset = "llamacpp"\nbase_url = "{llamacpp}"\n')
    monkeypatch.setenv("GROQ_FALLBACK_CONFIG", str(path))
    monkeypatch.setenv("GROQ_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("GROQ_API_KEY", "gsk_unused")
    monkeypatch.setenv("GROQ_FALLBACK_LOCAL", "off")
    return path


async def ask(**arguments: object) -> Reply:
    """groq_chat under the settings of this moment."""
    tool = next(tool for tool in TOOLS if tool.name == "groq_chat")
    async with open_context(load_settings()) as context:
        return await tool.handle(parse(tool.arguments, {"max_tokens": 48, "temperature": 0.0, **arguments}), context)


async def test_it_answers_when_groq_cannot_be_reached(config: Path) -> None:
    """The attempts name both."""
    reply = await ask(prompt="Say hello.")
    assert not reply.is_error, reply.text
    assert reply.structured["provider"] == "llamacpp"
    assert reply.structured["text"].strip()
    assert reply.structured["usage"]["output_tokens"] > 0
    assert [attempt["provider"] for attempt in reply.structured["attempts"]] == ["groq", "llamacpp"]


async def test_it_streams_the_words_that_it_gives_at_once(config: Path, llamacpp: str) -> None:
    """Piece by piece, with the usage at the end; at temperature 0 nothing is left to chance."""
    whole = await ask(prompt="Name three colors.", providers=["llamacpp"])
    pieces: list[int] = []
    request = ChatRequest(messages=({"role": "user", "content": "Name three colors."},), temperature=0.0)
    provider = OpenAICompatible("llamacpp", base_url=llamacpp, key=None, clock=SystemClock(), groq=False)
    streamed = await provider.chat(
        request,
        candidate("local-model", max_tokens=48),
        timeout_s=20,
        stream=StreamOptions(longest_s=20, on_progress=pieces.append),
    )
    await provider.aclose()

    assert isinstance(streamed, Success), streamed
    assert streamed.text.strip() == whole.structured["text"].strip()
    assert len(pieces) > 2
    assert streamed.usage.output_tokens > 2


async def test_it_answers_in_json_that_fits_the_schema(config: Path) -> None:
    """Read and checked before it is handed on."""
    reply = await ask(prompt="Which color is the sky?", response_schema=SCHEMA, providers=["llamacpp"])
    assert not reply.is_error, reply.text
    assert isinstance(reply.structured["answer"]["color"], str), json.dumps(reply.structured)


async def test_what_must_not_leave_this_machine_may_go_to_it(config: Path) -> None:
    """It is on loopback; Groq and a place behind https are not asked at all."""
    text = config.read_text()
    config.write_text('[[providers]]\npreset = "vllm"\nname = "far"\nbase_url = "https://far.example/v1"\n' + text)
    reply = await ask(prompt="Say hello.", local_only=True)
    assert not reply.is_error, reply.text
    assert reply.structured["provider"] == "llamacpp"
    assert "attempts" not in reply.structured


async def test_what_must_not_leave_this_machine_is_refused_where_every_place_is_elsewhere(config: Path) -> None:
    """Nothing is sent; the reason is told."""
    config.write_text('[[providers]]\npreset = "vllm"\nname = "far"\nbase_url = "https://far.example/v1"\n')
    reply = await ask(prompt="Say hello.", local_only=True)
    assert reply.is_error
    assert "this call may not leave this machine" in reply.text
    assert not reply.structured.get("attempts")


def at_its_port(llamacpp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is configured, and the catalog's port of llama.cpp is this server's."""
    port = int(llamacpp.removesuffix("/v1").rpartition(":")[2])
    monkeypatch.setattr("groq_fallback_mcp.application.load_catalog", lambda _: catalog_with_ports(llamacpp=port))
    monkeypatch.setenv("GROQ_FALLBACK_FIND_LOCAL_SERVERS", "true")
    monkeypatch.delenv("GROQ_FALLBACK_CONFIG")


async def test_it_is_found_without_any_configuration(config: Path, llamacpp: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the context that it has loaded, not the one that its model was trained for."""
    at_its_port(llamacpp, monkeypatch)
    reply = await ask(prompt="Say hello.")
    assert not reply.is_error, reply.text
    assert (reply.structured["provider"], reply.structured["model"]) == ("llamacpp", "SmolLM2-135M-Instruct.Q4_1")
    async with open_context(load_settings()) as context:
        await context.engine.registry.refresh()
        found = context.engine.registry.models()[-1]
        assert [model.row.context_window for model in found.models.values()] == [2_048]


@pytest.mark.parametrize("configured", [False, True])
async def test_what_it_cannot_take_is_not_sent_to_it(
    config: Path, llamacpp: str, monkeypatch: pytest.MonkeyPatch, configured: bool
) -> None:
    """Neither tools, which its model's template does not know, nor a prompt beyond its context; also by its address alone."""
    if configured:
        config.write_text(f'[[providers]]\nname = "llamacpp"\nbase_url = "{llamacpp}"\n')
    else:
        at_its_port(llamacpp, monkeypatch)
    words = await ask(prompt="Say hello.")
    assert not words.is_error, words.text
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    called = await ask(prompt="What is the weather?", tools=[tool])
    assert called.is_error
    assert "it does not support tools" in called.text
    long = await ask(prompt="word " * 4_000)
    assert long.is_error
    assert "do not fit its context window of 2048" in long.text


async def test_its_refusal_of_a_long_prompt_names_its_context(llamacpp: str) -> None:
    """So that the next call knows, whatever was believed before."""
    request = ChatRequest(messages=({"role": "user", "content": "word " * 4_000},))
    provider = OpenAICompatible("llamacpp", base_url=llamacpp, key=None, clock=SystemClock(), groq=False)
    refused = await provider.chat(request, candidate("local-model", max_tokens=48), timeout_s=20)
    await provider.aclose()
    assert isinstance(refused, Failure)
    assert (refused.kind, refused.context_window) == (FailureKind.CONTEXT_TOO_LONG, 2_048)
