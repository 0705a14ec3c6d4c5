"""What several calls cost together: the whole, or nothing is said; and how large a batch is, in bytes."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fakes import GROQ_CHAT_MODELS, GUARDS, VOICES, World, answer, provider_models
from servers import connected, text_of
from simulated import simulated_groq

from groq_fallback_mcp.call import Failure, FailureKind
from groq_fallback_mcp.providers.batches import batch_file
from groq_fallback_mcp.simulator import SimulatorOptions
from groq_fallback_mcp.tools import ALL_TOOLS, batch
from groq_fallback_mcp.tools.result import total_usd

pytestmark = pytest.mark.anyio


@pytest.mark.fault("B30")
@pytest.mark.parametrize(
    ("costs", "total"),
    [
        ([Decimal("0.5"), Decimal("0.25")], "0.750000"),
        ([Decimal("0.5"), None], None),
        ([None], None),
        ([], None),
        ([Decimal(0), Decimal(0)], "0.000000"),
    ],
)
def test_a_total_with_one_price_unknown_is_unknown(costs: list[Decimal | None], total: str | None) -> None:
    """A part of it would pass for the whole."""
    assert total_usd(costs) == total
    assert total_usd([Decimal(1)], share=Decimal("0.5")) == "0.500000"


@pytest.mark.fault("B30")
@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("groq_chat", {"prompts": ["a", "b"]}),
        ("screen", {"text": "word " * 3_000}),
    ],
)
async def test_a_call_of_several_parts_tells_no_cost_where_one_has_none(
    tmp_path: Path, tool: str, arguments: dict[str, Any]
) -> None:
    """One part was answered by a provider without prices."""
    models = (GROQ_CHAT_MODELS[0], GUARDS[0])
    world = World([provider_models("groq", models), provider_models("other", models)])
    world.providers["other"].default = world.groq.default = answer("0.01")
    for model in models:
        world.groq.script(model, answer("0.01"), Failure(kind=FailureKind.CONTEXT_TOO_LONG, message="no", status=400))
    async with connected(world, folders=(tmp_path,), tools=ALL_TOOLS, state=tmp_path / "state") as client:
        result = await client.call_tool(tool, arguments)
    found = dict(result.structured_content or {})
    assert world.providers["other"].calls, text_of(result)
    assert "cost_usd" not in found


@pytest.mark.fault("B30")
async def test_the_cost_of_speech_in_pieces_is_that_of_all_pieces(tmp_path: Path) -> None:
    """At Groq, where each has a price."""
    world = World([provider_models("groq", VOICES, plan="developer")])
    simulated_groq(world, SimulatorOptions(plan="developer", latency_scale=0.0))
    async with connected(world, folders=(tmp_path,), tools=ALL_TOOLS, state=tmp_path / "state") as client:
        text = "A sentence of some length, to be spoken. " * 12
        result = await client.call_tool("speak", {"text": text, "save_to": "a.wav"})
    found = dict(result.structured_content or {})
    assert found["pieces"] > 1
    assert Decimal(found["cost_usd"]) > Decimal("0.0044")


@pytest.mark.fault("B30")
async def test_a_batch_is_measured_in_the_bytes_that_are_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the characters of something else: a letter may take four bytes."""
    bodies = {"1": {"messages": [{"role": "user", "content": "\U0001f600" * 100}]}}
    assert len(batch_file(bodies)) > 400
    monkeypatch.setattr(batch, "MOST_BYTES", 1_000)
    world = World([provider_models("groq", GROQ_CHAT_MODELS, plan="developer")])
    simulated_groq(world, SimulatorOptions(plan="developer", latency_scale=0.0))
    async with connected(world, folders=(tmp_path,), tools=ALL_TOOLS, state=tmp_path / "state") as client:
        small = await client.call_tool("batch_submit", {"prompts": ["\U0001f600" * 100], "max_tokens": 9})
        large = await client.call_tool("batch_submit", {"prompts": ["\U0001f600" * 250], "max_tokens": 9})
    assert not small.is_error, text_of(small)
    assert large.is_error
    assert "1,000" in text_of(large)
    assert "several batches" in text_of(large)
