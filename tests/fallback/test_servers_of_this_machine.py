"""A server on this machine appears, changes its model and disappears under calls: the next call knows, and none is lost."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from fake_clock import FakeClock
from local_servers import FakeServer, LlamaCpp, LmStudio, Model, Ollama, Vllm, catalog_with_ports, running

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.call import ChatRequest, Restrictions
from groq_fallback_mcp.catalog import Catalog
from groq_fallback_mcp.fallback import FallbackEngine
from groq_fallback_mcp.fallback.call_state import Answer
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.settings import Settings

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def engine(
    monkeypatch: pytest.MonkeyPatch, catalog: Catalog, clock: FakeClock | None = None
) -> AsyncGenerator[FallbackEngine]:
    """The engine under a catalog whose servers are at the ports of a test; nobody listens where Groq is."""
    monkeypatch.setattr("groq_fallback_mcp.application.load_catalog", lambda _: catalog)
    given = {"GROQ_API_KEY": "gsk_x", "GROQ_BASE_URL": "http://127.0.0.1:9", "local": "off", "find_local_servers": True}
    async with open_context(Settings.model_validate(given), clock=clock or FakeClock()) as context:
        yield context.engine


async def chat(engine: FallbackEngine, prompt: str = "hello", **fields: Any) -> Answer | CallFailed:
    """Ask for an answer."""
    return await engine.serve(ChatRequest(messages=({"role": "user", "content": prompt},), **fields))


def text(answer: Answer | CallFailed) -> str:
    """The words of an answer."""
    assert isinstance(answer, Answer), answer
    return answer.success.text


async def test_it_appears_changes_its_model_and_disappears_under_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is noticed within a call, and the last one is answered by the other server that runs."""
    clock = FakeClock()
    ports = []
    for _ in range(2):
        async with running(LlamaCpp()) as port:
            ports.append(port)
    vllm = Vllm(models=[Model(id="first", window=8_192)])
    ollama = Ollama(models=[Model(id="other:8b", window=8_192)])
    async with engine(monkeypatch, catalog_with_ports(vllm=ports[0], ollama=ports[1]), clock) as calls:
        assert isinstance(await chat(calls), CallFailed)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(running(vllm, port=ports[0]))
            clock.advance(2.0)
            assert text(await chat(calls)) == "first read 1 tokens"
            # within the two seconds for which a look is believed: the server refuses the old name, and the call goes on
            vllm.models = [Model(id="second", window=8_192)]
            answer = await chat(calls)
            assert text(answer) == "second read 1 tokens"
            assert isinstance(answer, Answer)
            assert [(one.model, one.outcome) for one in answer.attempts if one.provider == "vllm"] == [
                ("first", "model_gone"),
                ("second", "answered"),
            ]
            assert text(await chat(calls)) == "second read 1 tokens"
            # a client names what it listed when it started
            named = await chat(calls, model="first")
            assert text(named) == "second read 1 tokens"
            assert isinstance(named, Answer)
            assert named.notes == ("first is no longer served on this machine",)
            # swapped since the last look: the look itself finds that the named one has gone
            vllm.models = [Model(id="third", window=8_192)]
            clock.advance(2.0)
            assert text(await chat(calls, model="second")) == "third read 1 tokens"
            vllm.models = [Model(id="second", window=8_192)]
            clock.advance(2.0)
            assert text(await chat(calls)) == "second read 1 tokens"
        async with running(ollama, port=ports[1]):
            clock.advance(1.0)
            # the look is still believed, so this call finds nobody at the first, looks, and finds the other
            answer = await chat(calls)
            assert text(answer) == "other:8b read 1 tokens"
            async with running(vllm, port=ports[0]):
                clock.advance(2.0)
                # back at once: nothing rests where a look tells
                answer = await chat(calls, model="second")
                assert text(answer) == "second read 1 tokens"


@pytest.mark.parametrize(("kind", "server"), [("ollama", Ollama()), ("lmstudio", LmStudio())])
async def test_a_server_that_cuts_is_never_sent_what_does_not_fit(
    monkeypatch: pytest.MonkeyPatch, kind: str, server: FakeServer
) -> None:
    """Nor more to write than the room that is left."""
    server.models = [Model(id="small:8b", window=4_096)]
    async with running(server) as port, engine(monkeypatch, catalog_with_ports(**{kind: port})) as calls:
        failed = await chat(calls, "word " * 4_000)
        assert isinstance(failed, CallFailed)
        assert any("do not fit its context window of 4096" in one.reason for one in failed.exclusions)
        assert server.chats == []
        fits = await chat(calls, "word " * 2_000, max_tokens=8_000)
        assert text(fits) == "small:8b read 2000 tokens"
        assert 64 <= server.chats[0]["max_tokens"] <= 4_096 - 2_000


async def test_a_cut_that_could_not_be_foreseen_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ollama may load a model with less than it stated. As that is a guess, the next prompt is sent all the same."""
    ollama = Ollama(models=[Model(id="big:8b", window=32_768)])
    async with running(ollama) as port, engine(monkeypatch, catalog_with_ports(ollama=port)) as calls:
        await calls.plan(ChatRequest(messages=({"role": "user", "content": "hello"},)))
        ollama.models[0].window = 4_096
        monkeypatch.setattr(ollama, "facts", Ollama(models=[Model(id="big:8b", window=32_768)]).facts)
        failed = await chat(calls, "word " * 12_000)
        assert isinstance(failed, CallFailed)
        assert failed.attempts[-1].outcome == "context_too_long"
        assert "read only 4,096 of about" in failed.attempts[-1].detail
        assert text(await chat(calls, "word " * 1_000)) == "big:8b read 1000 tokens"
        ollama.models[0].window = 32_768
        assert text(await chat(calls, "word " * 12_000)) == "big:8b read 12000 tokens"


async def test_a_window_that_a_refusal_names_is_learnt(monkeypatch: pytest.MonkeyPatch) -> None:
    """llama.cpp was restarted with less since the last look."""
    server = LlamaCpp(models=[Model(id="m", window=32_768)])
    async with running(server) as port, engine(monkeypatch, catalog_with_ports(llamacpp=port)) as calls:
        assert text(await chat(calls)) == "m read 1 tokens"
        server.models = [Model(id="m", window=4_096)]
        failed = await chat(calls, "word " * 12_000)
        assert isinstance(failed, CallFailed)
        assert len(server.chats) == 2
        assert isinstance(await chat(calls, "word " * 12_000), CallFailed)
        assert len(server.chats) == 2


async def test_lm_studio_s_empty_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """It streams 200 and no text where a prompt does not fit; its plain refusal names the window."""
    server = LmStudio(models=[Model(id="m", window=32_768)])
    async with running(server) as port, engine(monkeypatch, catalog_with_ports(lmstudio=port)) as calls:
        assert text(await chat(calls)) == "m read 1 tokens"
        server.models = [Model(id="m", window=4_096)]
        failed = await chat(calls, "word " * 12_000, max_tokens=64)
        assert isinstance(failed, CallFailed)
        assert failed.attempts[-1].outcome == "context_too_long"
        streamed = await chat(calls, "word " * 12_000, max_tokens=8_000)
        assert isinstance(streamed, CallFailed)
        assert len(server.chats) == 2


async def test_a_call_that_must_stay_here_may_go_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A found server is on this machine."""
    server = LlamaCpp(models=[Model(id="m", window=32_768)])
    async with running(server) as port, engine(monkeypatch, catalog_with_ports(llamacpp=port)) as calls:
        answer = await chat(calls, restrictions=Restrictions(local_only=True))
        assert text(answer) == "m read 1 tokens"
        assert isinstance(answer, Answer)
        assert [attempt.provider for attempt in answer.attempts] == ["llamacpp"]
