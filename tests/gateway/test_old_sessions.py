"""A conversation with open tool calls goes on at another provider, whichever API its client speaks."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from apis import APIS, CHAT, MESSAGES, RESPONSES, Api
from simulated_providers import NAMES, SimulatedProviders
from starlette.types import ASGIApp
from upstream import Received, ask

from groq_fallback_mcp.gateway.app import gateway_app
from groq_fallback_mcp.gateway.endpoint import GatewayTimes
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.tools import Context

pytestmark = pytest.mark.anyio
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}} for name in ("get_weather", "get_time")]
ASKED = {
    "model": "auto",
    "max_tokens": 500,
    "tools": TOOLS,
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Use get_weather and get_time"}],
}


def app_of(world: SimulatedProviders) -> ASGIApp:
    """The gateway over simulated providers."""
    return gateway_app(Context(engine=world.engine, folders=()), times=GatewayTimes())


def only(name: str) -> SimulatedProviders:
    """One provider alone."""
    groq = SimulatorOptions(latency_scale=0.0, plan="developer")
    return SimulatedProviders(groq=groq) if name == "groq" else SimulatedProviders(name)


def with_results(api: Api, body: Mapping[str, Any], got: Received) -> dict[str, Any]:
    """The next request of a client: what it got, as it got it, and the results of its tools."""
    answer = got.json
    if api is RESPONSES:
        outputs = [
            {"type": "function_call_output", "call_id": item["call_id"], "output": "12"}
            for item in answer["output"]
            if item["type"] == "function_call"
        ]
        return {**body, "input": [*body["input"], *answer["output"], *outputs]}
    if api is MESSAGES:
        results = [
            {"type": "tool_result", "tool_use_id": block["id"], "content": [{"type": "text", "text": "12"}]}
            for block in answer["content"]
            if block["type"] == "tool_use"
        ]
        return {**body, "messages": [*body["messages"], _assistant(answer["content"]), {"role": "user", "content": results}]}
    message = answer["choices"][0]["message"]
    results = [{"role": "tool", "tool_call_id": call["id"], "content": "12"} for call in message["tool_calls"]]
    return {**body, "messages": [*body["messages"], message, *results]}


def _assistant(content: Sequence[Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
@pytest.mark.parametrize("other", NAMES)
async def test_a_conversation_goes_on_at_another_provider_in_the_middle_of_its_calls(api: Api, other: str) -> None:
    """From Groq to the other, which refuses nothing of what it is sent, and back."""
    for first, second in (("groq", other), (other, "groq")):
        begun, goes_on = only(first), only(second)
        body = {**api.request(ASKED), "thinking": {"type": "adaptive"}} if api is MESSAGES else api.request(ASKED)
        got = await ask(app_of(begun), body, path=api.path)
        heard = api.heard(got)
        # NVIDIA makes one call at a time
        wanted = ["get_weather", "get_time"][: 1 if first == "nvidia" else 2]
        assert [name for name, _ in heard.calls] == wanted, (first, got.body)
        assert all(set(json.loads(arguments)) == {"city"} for _, arguments in heard.calls)
        last = await ask(app_of(goes_on), with_results(api, body, got), path=api.path)
        assert last.status == 200, (first, second, last.body)
        assert api.heard(last).finish in {"stop", "tool_calls"}
        assert set(goes_on.calls(second)) == {"200"}, (first, second, goes_on.calls(second))


def test_every_api_is_tried() -> None:
    """As many as the gateway has."""
    assert APIS == (CHAT, RESPONSES, MESSAGES)
