"""A request that fits no model: the error states the limits of the models and providers that it names, and what helps."""

from __future__ import annotations

from typing import Any

import pytest
from apis import APIS, Api
from fakes import GROQ_CHAT_MODELS, World, failure, provider_models
from simulated import simulated_groq
from upstream import ask

from groq_fallback_mcp.call import ChatRequest, Limit, LimitReading, QuotaSnapshot
from groq_fallback_mcp.call import FailureKind as K
from groq_fallback_mcp.catalog import Kind, ModelRow, Stage
from groq_fallback_mcp.fallback.final_error import CallFailed
from groq_fallback_mcp.gateway.app import gateway_app
from groq_fallback_mcp.gateway.endpoint import GatewayTimes
from groq_fallback_mcp.policy.model_choice import ProviderModel, ProviderModels
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.tools import Context

pytestmark = pytest.mark.anyio

LONG = "word " * 14_000
OLLAMA = ProviderModels(
    name="ollama",
    models={
        "llama3.2": ProviderModel(
            row=ModelRow(
                id="llama3.2",
                kind=Kind.CHAT,
                stage=Stage.PRODUCTION,
                context_window=8_192,
                source="user",
                checked="2026-11-01",  # type: ignore[arg-type]
            ),
            wire_model="llama3.2",
            strict_window=True,
        )
    },
    on_this_machine=True,
)


def groq(plan: str) -> ProviderModels:
    """Groq's chat models as the plan documents them."""
    return provider_models("groq", GROQ_CHAT_MODELS, plan=plan)


def long_body(api: Api) -> dict[str, Any]:
    """A request in the API's form that is too long for a minute of the free plan."""
    messages = [{"role": "user", "content": LONG}]
    return {"model": "auto", **({"input": messages} if api.path.endswith("responses") else {"messages": messages})} | (
        {"max_tokens": 500} if api.path.endswith("/messages") else {}
    )


async def refusal(world: World, api: Api) -> str:
    """What the gateway answers to it."""
    app = gateway_app(Context(engine=world.engine, folders=()), times=GatewayTimes(max_wait_s=0.0))
    got = await ask(app, long_body(api), path=api.path)
    heard = api.heard(got)
    assert heard.error is not None
    assert got.status == 400
    return str(heard.error["message"])


@pytest.mark.parametrize("api", APIS, ids=lambda api: api.path)
async def test_under_a_wrong_plan_the_limit_that_the_provider_stated_and_the_setting_are_named(api: Api) -> None:
    """Whether it has just refused the request or is known from the call before."""
    world = World([groq("developer")])
    simulated_groq(world, SimulatorOptions(latency_scale=0.0, plan="free"))
    for _ in range(2):
        message = await refusal(world, api)
        assert "takes 8,000 tokens per minute" in message
        assert "131,072" not in message
        assert "set GROQ_FALLBACK_PLAN to your account's plan (the configured plan's limit is 250,000)" in message
        assert "Start a smaller task" in message


async def test_each_figure_is_that_of_the_provider_and_model_that_it_stands_beside() -> None:
    """A local server's window is no limit of Groq's."""
    (api, *_) = APIS
    world = World([groq("free"), OLLAMA])
    simulated_groq(world, SimulatorOptions(latency_scale=0.0, plan="free"))
    message = await refusal(world, api)
    assert "ollama/llama3.2 has a window of 8,192 tokens, groq/openai/gpt-oss-" in message
    assert message.count("8,192") == 1
    assert "takes 8,000 tokens per minute" in message
    assert "use Groq's Developer plan (GROQ_FALLBACK_PLAN=developer)" in message


async def failed(world: World) -> CallFailed:
    """How the call fails."""
    outcome = await world.engine.serve(ChatRequest(messages=({"role": "user", "content": LONG},)))
    assert isinstance(outcome, CallFailed)
    return outcome


async def test_a_prompt_larger_than_every_minute_says_what_helps_and_is_too_large_in_the_log() -> None:
    """No other of its models would take it."""
    error = await failed(World([groq("free")]))
    assert error.code == "too_large"
    assert error.retry_after_s is None
    assert error.next_step == (
        "Shorten the prompt, use Groq's Developer plan (GROQ_FALLBACK_PLAN=developer), "
        "or add another provider with `groq-fallback-mcp providers add`"
    )
    assert "list_models" not in error.next_step


async def test_a_larger_plan_that_would_not_take_it_either_is_not_offered() -> None:
    """A prompt beyond the context window fits no plan."""
    world = World([groq("free")])
    outcome = await world.engine.serve(ChatRequest(messages=({"role": "user", "content": LONG * 12},)))
    assert isinstance(outcome, CallFailed)
    assert (outcome.code, "Developer" in outcome.next_step) == ("too_large", False)


async def test_of_the_limits_that_a_refusal_states_the_lowest_that_is_exceeded_is_told() -> None:
    """One that the request keeps to says nothing."""
    readings = (
        LimitReading(limit=Limit.TPD, capacity=10_000, requested=14_102),
        LimitReading(limit=Limit.TPM, capacity=8_000, requested=14_102),
        LimitReading(limit=Limit.ITPM, capacity=7_000, requested=6_000),
        LimitReading(limit=Limit.RPM, capacity=30),
    )
    world = World([groq("developer")])
    world.groq.default = failure(K.LARGER_THAN_LIMIT, status=413, quota=QuotaSnapshot(readings=readings))
    error = await failed(world)
    assert {(size.tokens, size.limit) for size in error.sizes} == {(8_000, Limit.TPM)}


async def test_the_window_that_a_server_states_is_told_where_none_was_known() -> None:
    """As that of its model."""
    world = World([provider_models("vllm", ["qwen"])])
    world.groq.default = failure(K.CONTEXT_TOO_LONG, status=400, context_window=4_096)
    error = await failed(world)
    assert error.cause == "the request is larger than any model accepts (vllm/qwen has a window of 4,096 tokens)"
