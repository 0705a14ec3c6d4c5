"""The real LiteLLM proxy, both ways: with our configuration before Groq, and behind our server as a provider."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from e2e.litellm_proxy import CONFIG, MASTER_KEY, litellm_proxy

from groq_fallback_mcp.application import open_context
from groq_fallback_mcp.catalog import load_catalog
from groq_fallback_mcp.clock import SystemClock
from groq_fallback_mcp.settings import load_settings
from groq_fallback_mcp.simulator import SimulatorOptions, create_app, parse_fault, run_simulator
from groq_fallback_mcp.simulator.world import World
from groq_fallback_mcp.tools import TOOLS
from groq_fallback_mcp.tools.arguments import parse

pytestmark = [pytest.mark.e2e, pytest.mark.anyio]
FIRST, SECOND = "openai/gpt-oss-20b", "openai/gpt-oss-120b"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proxied:
    """A proxy before a simulated Groq. `url` ends in /v1."""

    url: str
    upstream: World

    @property
    def calls(self) -> dict[str, dict[str, int]]:
        """What reached the simulated Groq, by model and status."""
        return {model: dict(outcomes) for model, outcomes in self.upstream.calls.items()}

    def fail(self, fault: str) -> None:
        """Let a model fail from now on, in the words of `simulate --fault`."""
        model, parsed = parse_fault(fault)
        self.upstream.faults.setdefault(model, []).append(parsed)

    async def chat(self, model: str) -> httpx.Response:
        """Ask the proxy as any client of its would."""
        async with httpx.AsyncClient(timeout=20, headers={"authorization": f"Bearer {MASTER_KEY}"}) as client:
            messages = [{"role": "user", "content": "hello"}]
            return await client.post(f"{self.url}/chat/completions", json={"model": f"groq/{model}", "messages": messages})


@pytest.fixture
async def proxied(tmp_path: Path) -> AsyncIterator[Proxied]:
    """The generated configuration as it is; only the environment says where Groq is."""
    app = create_app(SimulatorOptions(latency_scale=0.0), catalog=load_catalog(), clock=SystemClock())
    async with (
        run_simulator(app) as simulator,
        litellm_proxy(upstream=simulator.base_url, home=tmp_path) as url,
    ):
        yield Proxied(url=url, upstream=app.state.world)


async def test_the_proxy_answers_with_our_configuration_and_falls_back_when_groq_refuses(proxied: Proxied) -> None:
    """A 429 that says 30 s is answered by the next model within the 20 s of this client."""
    plain = await proxied.chat(FIRST)
    assert (plain.status_code, plain.json()["choices"][0]["message"]["content"]) == (
        200,
        "This is a simulated answer to: hello",
    )
    assert proxied.calls == {FIRST: {"200": 1}}

    proxied.fail(f"{FIRST}=429:30")
    helped = await proxied.chat(FIRST)
    assert helped.status_code == 200, helped.text
    assert proxied.calls == {FIRST: {"200": 1, "429": 1}, SECOND: {"200": 1}}


async def test_our_server_answers_through_the_proxy_when_groq_itself_refuses(
    proxied: Proxied, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groq's key is refused, so the preset's endpoint is asked, whose models carry groq/ on the wire."""
    config = tmp_path / "config.toml"
    config.write_text(f'[[providers]]\npreset = "litellm"\nbase_url = "{proxied.url}"\n')
    monkeypatch.setenv("GROQ_FALLBACK_CONFIG", str(config))
    monkeypatch.setenv("LITELLM_API_KEY", MASTER_KEY)
    refusing = create_app(
        SimulatorOptions(refused_keys=frozenset({"gsk_refused"})), catalog=load_catalog(), clock=SystemClock()
    )
    async with run_simulator(refusing) as groq:
        settings = load_settings(GROQ_API_KEY="gsk_refused", GROQ_BASE_URL=groq.base_url, local="off")
        answer = await _ask(settings, prompt="hello", model=FIRST)

    assert answer["text"] == "This is a simulated answer to: hello"
    assert (answer["provider"], answer["model"]) == ("litellm", FIRST)
    assert proxied.calls == {FIRST: {"200": 1}}


def test_the_configuration_holds_every_lasting_model_with_its_limits_and_fallbacks() -> None:
    """As LiteLLM reads it: names that fallbacks use are names of the list, and larger windows come after smaller ones."""
    read = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    catalog = load_catalog()
    names = {row["model_name"] for row in read["model_list"]}
    for row in read["model_list"]:
        model = row["model_name"].removeprefix("groq/")
        limits = {limit.value: figure for limit, figure in catalog.limits(model, "free").items()}
        parameters = row["litellm_params"]
        stated = {name: parameters[name] for name in ("rpm", "tpm") if name in parameters}
        assert stated == {name: limits[name] for name in ("rpm", "tpm") if name in limits}, model
        assert "rpm" in stated
    for key in ("fallbacks", "context_window_fallbacks"):
        chains = {model: chain for entry in read["router_settings"][key] for model, chain in entry.items()}
        assert chains
        assert chains.keys() | {name for chain in chains.values() for name in chain} <= names
        if key == "context_window_fallbacks":
            windows = {name: catalog.models[name.removeprefix("groq/")].context_window or 0 for name in names}
            assert all(windows[other] > windows[model] for model, chain in chains.items() for other in chain)


async def _ask(settings: Any, **arguments: object) -> dict[str, Any]:
    tool = next(tool for tool in TOOLS if tool.name == "groq_chat")
    async with open_context(settings) as context:
        reply = await tool.handle(parse(tool.arguments, arguments), context)
    assert not reply.is_error, reply.text
    return dict(reply.structured)
