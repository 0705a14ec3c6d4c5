"""Many prompts in one call, on the free plan of the simulated Groq, in virtual time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from benchmarks.goodput.virtual_time import VirtualClock, VirtualLoop, run
from fakes import GROQ_CHAT_MODELS, World, provider_models
from simulated import simulated_groq

from groq_fallback_mcp.call import ChatRequest, Limit
from groq_fallback_mcp.tools.chat import answer_all
from groq_fallback_mcp.tools.tool import Context


def asked(prompts: list[str], *, max_tokens: int, deadline_s: float = 3_600.0) -> tuple[dict[str, Any], float, Counter[str]]:
    """The result, the seconds it took, and what Groq answered."""

    async def main(loop: VirtualLoop) -> tuple[dict[str, Any], float, Counter[str]]:
        clock = VirtualClock(loop)
        world = World([provider_models("groq", GROQ_CHAT_MODELS)], clock=clock)  # type: ignore[arg-type]
        app = simulated_groq(world)
        requests = [ChatRequest(messages=({"role": "user", "content": text},), max_tokens=max_tokens) for text in prompts]
        began = clock.monotonic()
        reply = await answer_all(requests, Context(engine=world.engine, folders=(), job_deadline_s=deadline_s), check=None)
        outcomes: Counter[str] = Counter()
        for counts in app.state.world.calls.values():
            outcomes.update(counts)
        return dict(reply.structured), clock.monotonic() - began, outcomes

    return run(main)


def test_two_hundred_prompts_take_hardly_longer_than_the_limits_ask_for() -> None:
    """Thirty at once and one each two seconds, of three models: 73.3 s; and Groq refuses none."""
    result, took_s, outcomes = asked([f"Say something about {n}." for n in range(200)], max_tokens=256)
    rpm = 30
    models = len(GROQ_CHAT_MODELS)
    least_s = (200 - models * rpm) / (models * rpm / Limit.RPM.window_s)
    assert (result["answered"], result["failed"]) == (200, 0)
    assert took_s <= least_s * 1.05
    assert outcomes == {"200": 200}
    assert {item["model"] for item in result["results"]} == set(GROQ_CHAT_MODELS)


def test_long_prompts_take_hardly_longer_than_the_tokens_ask_for() -> None:
    """8,000 at once and 133 a second, of three models."""
    result, took_s, outcomes = asked([f"{n} " + "word " * 1_200 for n in range(100)], max_tokens=128)
    used = sum(item["usage"]["input_tokens"] + item["usage"]["output_tokens"] for item in result["results"])
    least_s = (used - 3 * 8_000) / (3 * 8_000 / 60.0)
    assert result["answered"] == 100
    assert took_s <= least_s * 1.05
    assert outcomes == {"200": 100}


def test_what_does_not_fit_the_time_is_refused_with_a_reason_and_the_rest_returned() -> None:
    """Partial results, and when to come back."""
    result, took_s, _ = asked([f"q{n}" for n in range(200)], max_tokens=64, deadline_s=30.0)
    assert took_s <= 31.0
    assert 90 <= result["answered"] < 200
    assert result["answered"] + result["failed"] == 200
    errors = [item["error"] for item in result["results"] if "error" in item]
    assert all(error["cause"] and error["next_step"] for error in errors)
    assert {error["code"] for error in errors} <= {"rate_limited", "deadline"}


@pytest.mark.parametrize("count", [1, 17])
def test_results_stand_in_the_order_of_the_prompts(count: int) -> None:
    """Whoever answered first."""
    result, _, _ = asked([f"number {n}" for n in range(count)], max_tokens=64)
    assert [item["number"] for item in result["results"]] == list(range(1, count + 1))
    assert all(f"number {item['number'] - 1}" in item["text"] for item in result["results"])
