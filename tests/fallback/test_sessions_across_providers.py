"""An agent's session on Groq's free plan, whose limits its prompt does not fit, with one more free provider."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from simulated_providers import SimulatedProviders

from groq_fallback_mcp.call import ChatRequest
from groq_fallback_mcp.fallback import Answer
from groq_fallback_mcp.policy.estimate import estimate_prompt_tokens
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.simulator.other_providers import ProviderOptions

pytestmark = pytest.mark.anyio
TURNS = 20
# Tokens of an agent's own prompt and tools, as recorded from Kilo 7.7.9, Claude Code 2.1.332 and Codex 0.171.0.
PROMPTS = {"kilo": 12_767, "claude": 11_010, "codex": 8_060}
FREE = ["gemini", "openrouter", "nvidia", "cloudflare", "kilo", "zai", "llamacpp"]
# A word of the estimate's is about 1.35 tokens.
WORD = "instruction "


def tool(number: int) -> dict[str, Any]:
    """One of the agent's tools."""
    function = {
        "name": f"tool_{number}",
        "description": WORD * 30,
        "parameters": {"type": "object", "properties": {"path": {"type": "string"}}},
    }
    return {"type": "function", "function": function}


TOOLS = tuple(tool(number) for number in range(12))


def prompt(tokens: int) -> list[dict[str, Any]]:
    """A system message that makes the first turn about so long."""
    words = tokens
    while True:
        messages = [{"role": "system", "content": WORD * words}, {"role": "user", "content": "Fix the bug."}]
        found = estimate_prompt_tokens(ChatRequest(messages=messages, tools=TOOLS))
        if found <= tokens:
            return messages
        words = int(words * tokens / found) - 1


CASES = [
    # two of them with each push, all of them at night
    pytest.param(
        agent, provider, marks=[] if (agent, provider) in {("kilo", "gemini"), ("codex", "openrouter")} else pytest.mark.nightly
    )
    for agent in PROMPTS
    for provider in FREE
]


@pytest.mark.parametrize(("agent", "provider"), CASES)
async def test_every_turn_of_a_session_is_served_within_the_limits_of_both(agent: str, provider: str) -> None:
    """Twenty turns, six seconds apart; the conversation stays where it is as long as that has quota, and no call is in vain."""
    # a window that a person would load for an agent
    options = {provider: ProviderOptions(window=65_536)}
    world = SimulatedProviders(provider, options=options, groq=SimulatorOptions(latency_scale=0.0))
    messages = prompt(PROMPTS[agent])
    answered: list[tuple[str, str]] = []
    for turn in range(TURNS):
        request = ChatRequest(
            messages=tuple(messages),
            tools=TOOLS,
            model="openai/gpt-oss-120b",
            max_tokens=4_096,
            preferred=answered[-1] if answered else None,
        )
        outcome = await world.engine.serve(request, longest_wait_s=20.0)
        assert isinstance(outcome, Answer), (turn, outcome)
        answered.append((outcome.provider, outcome.model))
        messages += [
            {"role": "assistant", "content": outcome.success.text},
            {"role": "user", "content": f"Turn {turn}: {WORD * 300}"},
        ]
        world.clock.advance(6)
    assert {name for name, _ in answered} == {provider}
    # Gemini's tokens of a minute are used up once by so long a session: it moves on to another model, and stays there
    moves = sum(before != after for before, after in itertools.pairwise(answered))
    assert moves <= (1 if provider == "gemini" else 0), answered
    assert {status for name in world.apps for status in world.calls(name)} == {"200"}
