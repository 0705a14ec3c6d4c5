"""What the tool list costs an agent in every request, counted with the tokenizer of OpenAI's present models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiktoken

from groq_fallback_mcp.skill import SKILL_FILE, skill_files
from groq_fallback_mcp.tools import TOOLS, TOOLSETS, Tool, listed_tools
from groq_fallback_mcp.tools.input_schema import input_schema

BUDGET = 600
SKILL_BUDGET = 1_900
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


def test_a_load_of_the_skill_costs_at_most_1900_tokens(tokenizer: tiktoken.Encoding) -> None:
    """What docs/tools.md says; its references are read when they are needed."""
    text = skill_files().get(SKILL_FILE)
    assert text is not None
    assert len(tokenizer.encode(text)) <= SKILL_BUDGET
