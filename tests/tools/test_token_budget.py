"""What the tool list, the skill and the results cost an agent, counted with the tokenizer of OpenAI's present models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiktoken
from fakes import CATALOG, GROQ_CHAT_MODELS, World, provider_models, rate_limited
from servers import connected, text_of
from simulated import simulated_groq

from groq_fallback_mcp.audio.samples import sample_path
from groq_fallback_mcp.quota.budget import Budget
from groq_fallback_mcp.skill import SKILL_FILE, skill_files
from groq_fallback_mcp.tools import TOOLS, TOOLSETS, Tool, listed_tools
from groq_fallback_mcp.tools.input_schema import input_schema

BUDGET = 600
SKILL_BUDGET = 1_200
# tiktoken downloads its vocabularies; litellm ships them under the names tiktoken looks for, and tiktoken checks their hash
SHIPPED = "litellm_core_utils/tokenizers"


@pytest.fixture
def tokenizer(monkeypatch: pytest.MonkeyPatch) -> tiktoken.Encoding:
    """o200k_base, without a download."""
    spec = find_spec("litellm")
    assert spec is not None
    assert spec.submodule_search_locations
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(Path(spec.submodule_search_locations[0]) / SHIPPED))
    return tiktoken.get_encoding("o200k_base")


def cost(tokenizer: tiktoken.Encoding, tools: Sequence[Tool], *, full: bool) -> int:
    """What a tool list costs, as compact JSON."""
    definitions = [
        {"name": tool.name, "description": tool.description, "inputSchema": input_schema(tool.arguments, full=full)}
        for tool in tools
    ]
    return len(tokenizer.encode(json.dumps(definitions, separators=(",", ":"))))


def test_each_toolset_says_what_it_costs(tokenizer: tiktoken.Encoding) -> None:
    """To the token: whoever switches one on pays it with every request."""
    four = cost(tokenizer, TOOLS, full=False)
    found = {name: cost(tokenizer, listed_tools([name]), full=name == "full") - four for name in TOOLSETS}
    assert {name: toolset.tokens for name, toolset in TOOLSETS.items()} == found


def test_the_four_tools_cost_at_most_600_tokens(tokenizer: tiktoken.Encoding) -> None:
    """Names, descriptions and input schemas, as compact JSON."""
    definitions = [
        {"name": tool.name, "description": tool.description, "inputSchema": input_schema(tool.arguments, full=False)}
        for tool in TOOLS
    ]
    each = {entry["name"]: len(tokenizer.encode(json.dumps(entry, separators=(",", ":")))) for entry in definitions}
    total = len(tokenizer.encode(json.dumps(definitions, separators=(",", ":"))))

    assert len(definitions) == 4
    assert total <= BUDGET, f"{total} tokens: {each}"


def test_a_load_of_the_skill_costs_at_most_1200_tokens(tokenizer: tiktoken.Encoding) -> None:
    """What docs/tools.md says; its references are read when they are needed."""
    text = skill_files().get(SKILL_FILE)
    assert text is not None
    assert len(tokenizer.encode(text)) <= SKILL_BUDGET


QUESTION = {"prompt": "Name the three primary colors in one short sentence."}
RESULTS = {
    # tool, arguments: at most so many tokens as text, and as structured content
    "groq_chat": (QUESTION, 60, 120),
    "transcribe": ({"file": sample_path().name}, 55, 85),
    "list_models": ({}, 180, 210),
    "check_limits": ({}, 180, 215),
}
OVERVIEW_BUDGET = 350


@pytest.mark.anyio
@pytest.mark.parametrize("tool", RESULTS)
async def test_a_default_result_costs_no_more_than_it_did_when_it_was_reviewed(tokenizer: tiktoken.Encoding, tool: str) -> None:
    """With all models of Groq, from the simulator; some clients show their model the text, some the structured content."""
    arguments, text_budget, structured_budget = RESULTS[tool]
    world = World([provider_models("groq", CATALOG.models)])
    simulated_groq(world)
    text, structured = await spent_on(tokenizer, world, tool, arguments)
    assert (text <= text_budget, structured <= structured_budget) == (True, True), (text, structured)


@pytest.mark.anyio
@pytest.mark.parametrize("tool", ["list_models", "check_limits"])
async def test_an_overview_stays_within_350_tokens_when_much_is_wrong(tokenizer: tiktoken.Encoding, tool: str) -> None:
    """A model at its limit, a budget, a second provider with a long chain."""
    world = World(
        [provider_models(name, GROQ_CHAT_MODELS) for name in ("groq", "openrouter")],
        budget=Budget(tokens=100_000, picousd=5 * 10**12),
    )
    world.groq.script(GROQ_CHAT_MODELS[0], rate_limited(17.0))
    async with connected(world) as client:
        await client.call_tool("groq_chat", QUESTION)
    text, structured = await spent_on(tokenizer, world, tool, {})
    assert (text <= OVERVIEW_BUDGET, structured <= OVERVIEW_BUDGET) == (True, True), (text, structured)


async def spent_on(tokenizer: tiktoken.Encoding, world: World, tool: str, arguments: dict[str, str]) -> tuple[int, int]:
    """The tokens of a result's text, and of its structured content as compact JSON."""
    async with connected(world, folders=(sample_path().parent,)) as client:
        result = await client.call_tool(tool, arguments)
    compact = json.dumps(result.structured_content, separators=(",", ":"), ensure_ascii=False)
    return len(tokenizer.encode(text_of(result))), len(tokenizer.encode(compact))
