"""Simulated providers besides Groq, held against what their documentation says and not against our own client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from fake_clock import FakeClock
from fakes import CATALOG

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.cli.simulate import collect_provider_faults
from groq_fallback_mcp.errors import InputRefused
from groq_fallback_mcp.simulator.other_providers import Planned, ProviderOptions, base_path, create_provider_app

pytestmark = pytest.mark.anyio
HI = {"role": "user", "content": "hi"}
CALL = {"id": "abcdefgh1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


class Client:
    """Plain HTTP to one simulated provider."""

    def __init__(self, name: str, http: httpx2.AsyncClient, clock: FakeClock) -> None:
        self.clock = clock
        self._http = http
        self._base = base_path(CATALOG.providers[name].base_url)
        row = next(iter(CATALOG.providers[name].models), None)
        self.model = "" if row is None else row.wire_id

    async def post(self, *, key: str | None = "k", **body: Any) -> httpx2.Response:
        """A chat request."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        payload = {"model": self.model, "messages": [HI], **body}
        return await self._http.post(f"{self._base}/chat/completions", json=payload, headers=headers)

    async def get(self, path: str, *, key: str | None = "k") -> httpx2.Response:
        """A page."""
        return await self._http.get(path, headers={} if key is None else {"authorization": f"Bearer {key}"})


@asynccontextmanager
async def simulated(name: str, **options: Any) -> AsyncIterator[Client]:
    """One provider."""
    clock = FakeClock()
    app = create_provider_app(name, ProviderOptions(**options), catalog=CATALOG, clock=clock)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://simulated.test") as http:
        yield Client(name, http, clock)


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("gemini", {"temperature": 0.5}, 400),
        ("gemini", {"messages": [HI, {"role": "assistant", "content": "x"}]}, 400),
        ("gemini", {"messages": [HI, {"role": "assistant", "tool_calls": [CALL]}, {"role": "tool", "content": "1"}]}, 400),
        ("mistral", {"seed": 1}, 422),
        ("mistral", {"tool_choice": "required"}, 422),
        ("mistral", {"messages": [HI, {"role": "assistant", "tool_calls": [{**CALL, "id": "call_1"}]}]}, 400),
        ("mistral", {"messages": [HI, {"role": "tool", "tool_call_id": "abcdefgh1", "content": "1"}, HI]}, 400),
        ("mistral", {"messages": [{**HI, "name": "me"}]}, 422),
        ("mistral", {"tools": [{"type": "function", "function": {"name": "f", "strict": True}}]}, 422),
        ("cerebras", {"max_tokens": 5}, 400),
        ("cerebras", {"messages": [HI, {"role": "assistant", "content": "x", "reasoning_content": "y"}, HI]}, 400),
        ("cloudflare", {"messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]}, 400),
        ("cloudflare", {"reasoning_effort": "low"}, 400),
        ("zai", {"seed": 1}, 400),
        ("kilo", {"response_format": {"type": "json_object"}}, 400),
        ("nvidia", {"tools": [TOOL]}, 400),
        ("deepseek", {"messages": [HI, {"role": "assistant", "tool_calls": [CALL]}]}, 400),
        ("moonshot", {"tool_choice": "required"}, 400),
        ("openrouter", {"model": "nobody/knows"}, 404),
        ("openrouter", {"messages": []}, 400),
        ("openrouter", {"max_tokens": 0}, 400),
        ("openrouter", {"max_tokens": 10_000_000}, 400),
        ("llamacpp", {"messages": [{"role": "user", "content": "word " * 40_000}]}, 400),
        ("vllm", {"max_tokens": 32_760, "messages": [{"role": "user", "content": "word " * 100}]}, 400),
        ("gemini", {"messages": [{"role": "user", "content": "word " * 900_000}]}, 400),
    ],
)
async def test_each_refuses_what_it_is_known_to_refuse(name: str, body: dict[str, Any], status: int) -> None:
    """With a body that is JSON and a label."""
    async with simulated(name) as client:
        reply = await client.post(**body)
    assert reply.status_code == status, reply.text
    json.loads(reply.text)
    assert reply.headers["x-simulated"] == "true"


@pytest.mark.parametrize(("name", "key", "status"), [("mistral", None, 401), ("gemini", "bad", 400), ("kilo", None, 200)])
async def test_keys_are_wanted_where_they_are_and_refused_in_its_way(name: str, key: str | None, status: int) -> None:
    """Gemini says 400 of a bad key; Kilo wants none."""
    async with simulated(name, refused_keys=frozenset({"bad"})) as client:
        reply = await client.post(key=key)
    assert reply.status_code == status, reply.text


async def test_the_pool_of_free_models_is_one() -> None:
    """Twenty calls a minute, whichever of them; the refusal names the limit and when it is over, in milliseconds."""
    async with simulated("openrouter") as client:
        models = [row.wire_id for row in CATALOG.providers["openrouter"].models if row.cost == "free"]
        for number in range(20):
            assert (await client.post(model=models[number % len(models)])).status_code == 200
        refused = await client.post(model=models[-1])
        assert refused.status_code == 429
        reset = int(refused.json()["error"]["metadata"]["headers"]["X-RateLimit-Reset"]) / 1_000
        assert reset == pytest.approx(client.clock.wall() + 60, abs=0.01)
        assert (await client.post(model="openai/gpt-oss-120b")).status_code == 200
        client.clock.advance(60)
        assert (await client.post()).status_code == 200


async def test_a_day_ends_where_the_provider_is() -> None:
    """Gemini's at midnight in California, however long its retryDelay says."""
    async with simulated("gemini", limits={"gemini-3.5-flash-lite": {Limit.RPD: 2}}) as client:
        statuses = [(await client.post()).status_code for _ in range(3)]
        assert statuses == [200, 200, 429]
        client.clock.advance(3_600)
        refused = await client.post()
        quota = refused.json()[0]["error"]["details"][0]["violations"][0]
        assert (quota["quotaValue"], "PerDay" in quota["quotaId"]) == ("2", True)
        client.clock.advance(86_400)
        assert (await client.post()).status_code == 200


async def test_tokens_that_are_not_used_come_back_and_headers_say_so() -> None:
    """Cerebras reserves 16,384 where nothing is said."""
    async with simulated("cerebras") as client:
        reply = await client.post(max_completion_tokens=10_000)
        assert reply.headers["x-ratelimit-limit-tokens-minute"] == "30000"
        assert int(reply.headers["x-ratelimit-remaining-tokens-minute"]) > 29_900
        assert (await client.post()).status_code == 200


async def test_calls_at_once_are_counted_until_their_last_word() -> None:
    """Also one whose reader left."""
    app = create_provider_app("zai", ProviderOptions(), catalog=CATALOG, clock=FakeClock())
    limits = app.state.provider.limits
    first = limits.admit("k", "glm-4.7-flash", {})
    assert limits.admit("k", "glm-4.7-flash", {}).limit is Limit.CONCURRENT
    first.end()
    first.end()
    assert limits.admit("k", "glm-4.7-flash", {}).busy[0] == [1]


@pytest.mark.parametrize("name", ["llamacpp", "ollama", "lmstudio", "vllm"])
async def test_a_server_on_this_machine_says_what_it_has_loaded(name: str) -> None:
    """And what it does with a prompt that is too long."""
    paths = {"llamacpp": "/props", "ollama": "/api/ps", "lmstudio": "/api/v1/models", "vllm": "/v1/models"}
    async with simulated(name, window=1_000, loaded="own-model") as client:
        client.model = "own-model"
        told = (await client.get(paths[name], key=None)).text
        assert "1000" in told
        assert "own-model" in told
        long = await client.post(key=None, messages=[{"role": "user", "content": "word " * 2_000}])
        cuts = name == "ollama"
        assert long.status_code == (200 if cuts else 400), long.text
        assert not cuts or long.json()["usage"]["prompt_tokens"] == 1_000


async def test_streams_end_as_each_provider_ends_them() -> None:
    """A comment first where it sends one, usage where it is asked for, and the mark of the end."""
    async with simulated("openrouter") as client:
        lines = (await client.post(stream=True, stream_options={"include_usage": True})).text.splitlines()
        assert lines[0].startswith(": OPENROUTER")
        assert lines[-2] == "data: [DONE]"
        assert '"usage"' in lines[-4]


async def test_faults_are_played_as_often_as_planned() -> None:
    """The catalog's first error of that status."""
    faults = collect_provider_faults(["*=402x1", "*=cutx1"])
    async with simulated("openrouter", faults=faults) as client:
        assert (await client.post()).status_code == 402
        cut = await client.post(stream=True)
        assert "[DONE]" not in cut.text
        assert (await client.post()).status_code == 200
    async with simulated("deepinfra", faults={"*": [Planned(kind="418")]}) as client:
        assert (await client.post()).status_code == 418


async def test_the_day_s_allowance_that_nobody_can_count_ends() -> None:
    """Cloudflare's neurons."""
    async with simulated("cloudflare", calls_a_day=1) as client:
        assert (await client.post()).status_code == 200
        refused = await client.post()
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (429, 3036)


@pytest.mark.parametrize(
    "make",
    [
        lambda: create_provider_app("nobody", ProviderOptions(), catalog=CATALOG, clock=FakeClock()),
        lambda: create_provider_app("gemini", ProviderOptions(plan="gold"), catalog=CATALOG, clock=FakeClock()),
        lambda: collect_provider_faults(["429"]),
        lambda: collect_provider_faults(["*=200"]),
        lambda: collect_provider_faults(["*=429xmany"]),
    ],
)
def test_what_cannot_be_simulated_is_refused(make: Any) -> None:
    """Before anything listens."""
    with pytest.raises(InputRefused, match="Use "):
        make()
