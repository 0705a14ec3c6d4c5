"""A model named with its provider, as every list and account shows it, in each of the gateway's dialects."""

from __future__ import annotations

import pytest
from apis import APIS, Api
from fakes import GROQ_CHAT_MODELS, World, provider_models
from upstream import ask

from groq_fallback_mcp.gateway.app import gateway_app
from groq_fallback_mcp.gateway.endpoint import GatewayTimes
from groq_fallback_mcp.tools import Context

pytestmark = pytest.mark.anyio
NAME = "gemini/gemini-3.5-flash-lite"


@pytest.mark.parametrize("name", [NAME, f"groq-fallback/{NAME}"])
@pytest.mark.parametrize("api", APIS, ids=lambda api: api.name)
async def test_the_provider_s_model_answers(api: Api, name: str) -> None:
    """With the prefix that agents put before a model's name, too."""
    world = World([provider_models("groq", GROQ_CHAT_MODELS), provider_models("gemini", ["gemini-3.5-flash-lite"])])
    app = gateway_app(Context(engine=world.engine, folders=()), times=GatewayTimes())
    body = {**api.request({"messages": [{"role": "user", "content": "hi"}]}), "model": name}
    got = await ask(app, body, path=api.path)
    assert (got.status, got.headers["x-groq-fallback-provider"]) == (200, "gemini")
    assert api.heard(got).model == "gemini-3.5-flash-lite"


async def test_one_model_is_looked_up_by_that_name_too() -> None:
    """As the list's rows have its owner and its id."""
    world = World([provider_models("groq", GROQ_CHAT_MODELS), provider_models("gemini", ["gemini-3.5-flash-lite"])])
    app = gateway_app(Context(engine=world.engine, folders=()), times=GatewayTimes())
    for name, status in ((NAME, 200), ("groq/openai/gpt-oss-20b", 200), ("mine/gemini-3.5-flash-lite", 404)):
        assert (await ask(app, {}, path=f"/v1/models/{name}", method="GET")).status == status, name
