"""Real servers added with their address alone: models and windows are read from them, then chat, stream, tool call and refusal."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from e2e.litellm_proxy import MASTER_KEY, litellm_proxy
from gateway_process import answering, free_port
from local_servers import LlamaCpp, Model, running

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import ChatRequest, Restrictions
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.fallback import FallbackEngine
from groq_fallback_mcp.fallback.call_state import Answer
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, parse_fault, run_simulator
from groq_fallback_mcp.simulator.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
FERROGW = Path(__file__).parents[2] / ".cache" / "bench" / "ferrogw" / "bin" / "ferrogw"
FERROGW_TOKEN = "fgw_" + "0" * 32
FIRST = "openai/gpt-oss-20b"
TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


@asynccontextmanager
async def added(
    base_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, key: str | None = None
) -> AsyncGenerator[FallbackEngine]:
    """The engine whose config.toml has a name and this address, and a key's variable where one is needed."""
    config = folder / "config.toml"
    config.write_text(f'[[providers]]\nname = "mine"\nbase_url = "{base_url}"\n' + ('key_env = "MY_KEY"\n' if key else ""))
    monkeypatch.setenv("GROQ_FALLBACK_CONFIG", str(config))
    monkeypatch.setenv("MY_KEY", key or "")
    async with open_context(load_settings(GROQ_API_KEY="gsk_x", GROQ_BASE_URL="http://127.0.0.1:9", local="off")) as context:
        yield context.engine


async def chat(engine: FallbackEngine, prompt: str, **fields: Any) -> Answer | CallFailed:
    """Ask for an answer; `progress` streams it."""
    progress = fields.pop("progress", None)
    request = ChatRequest(messages=({"role": "user", "content": prompt},), max_tokens=48, temperature=0.0, **fields)
    return await engine.serve(request, progress=progress)


def text(answer: Answer | CallFailed) -> str:
    """The words of an answer."""
    assert isinstance(answer, Answer), answer
    assert answer.provider == "mine"
    return answer.success.text


class Pieces:
    """Whoever watches an answer being written."""

    async def __call__(self, done: float, total: float, words: str) -> None:
        """Nothing is kept."""


@pytest.fixture
async def litellm(tmp_path: Path) -> AsyncIterator[tuple[str, World]]:
    """The proxy before a simulated Groq, and the world of that."""
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock())
    async with run_simulator(app) as simulator, litellm_proxy(upstream=simulator.base_url, home=tmp_path) as url:
        yield url, app.state.world


@pytest.mark.nightly
async def test_the_litellm_proxy_serves_by_its_address_alone(
    litellm: tuple[str, World], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its list needs the key, and has names of its own."""
    url, world = litellm
    async with added(url, tmp_path, monkeypatch, key=MASTER_KEY) as engine:
        assert text(await chat(engine, "hello")) == "This is a simulated answer to: hello"
        assert text(await chat(engine, "hello", progress=Pieces())) == "This is a simulated answer to: hello"
        called = await chat(engine, "What is the weather in Paris?", tools=(TOOL,))
        assert isinstance(called, Answer)
        assert [call["name"] for call in called.success.tool_calls] == ["weather"]
        offered = {name for provider in engine.registry.models() if provider.name == "mine" for name in provider.models}
        assert f"groq/{FIRST}" in offered
        for model in {name.removeprefix("groq/") for name in offered}:
            world.faults.setdefault(model, []).append(parse_fault(f"{model}=429:30")[1])
        failed = await chat(engine, "hello", model=f"groq/{FIRST}")
        assert isinstance(failed, CallFailed), json.dumps(str(failed))


@pytest.mark.nightly
@pytest.mark.skipif(not FERROGW.exists(), reason="no ferrogw; make .cache/bench/ferrogw/.installed")
async def test_another_gateway_s_server_serves_by_its_address_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ferrogw lists hundreds of models with windows and what they can; a few serve unasked, and its refusal is one."""
    upstream = LlamaCpp(models=[Model(id="m")])
    async with (
        running(upstream) as port,
        ferrogw(f"http://127.0.0.1:{port}/v1", tmp_path) as url,
        added(url, tmp_path, monkeypatch, key=FERROGW_TOKEN) as engine,
    ):
        assert text(await chat(engine, "hello")) == "m read 1 tokens"
        assert text(await chat(engine, "hello", progress=Pieces())).strip() == "m read 1 tokens"
        read_file = {"type": "function", "function": {"name": "read_file", "parameters": {"type": "object"}}}
        called = await chat(engine, "Read a.py.", tools=(read_file,))
        assert isinstance(called, Answer)
        assert [call["name"] for call in called.success.tool_calls] == ["read_file"]
        found = next(provider for provider in engine.registry.models() if provider.name == "mine")
        assert found.models["gpt-4o-mini"].row.context_window == 128_000
        assert len(found.models) - len(found.by_name_only) <= 8
        upstream.loading = True
        failed = await chat(engine, "hello", model="gpt-4o-mini", restrictions=Restrictions(providers=("mine",)))
        assert isinstance(failed, CallFailed)
        assert {attempt.status for attempt in failed.attempts if attempt.sent} <= {502, 503}
        assert len({attempt.model for attempt in failed.attempts}) <= 9


@asynccontextmanager
async def ferrogw(upstream: str, folder: Path) -> AsyncGenerator[str]:
    """Its base URL, with /v1."""
    port = free_port()
    config = folder / "ferrogw.yaml"
    config.write_text(json.dumps({"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "openai"}]}))
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "GATEWAY_CONFIG": str(config),
        "MASTER_KEY": FERROGW_TOKEN,
        "OPENAI_API_KEY": "sk-made-up",
        "OPENAI_BASE_URL": upstream,
        "PORT": str(port),
    }
    log = folder / "ferrogw.log"
    with log.open("wb") as target:
        process = await anyio.open_process([str(FERROGW), "serve"], env=environment, cwd=folder, stdout=target, stderr=target)
    try:
        await answering(port)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        with anyio.CancelScope(shield=True):
            await process.wait()
