"""Reasoning: counted, shown as asked for, and able to eat up the answer."""

from __future__ import annotations

from typing import Any

import pytest
from simulator.rig import OpenRig, Rig

pytestmark = pytest.mark.anyio
QWEN = "qwen/qwen3.8-27b"


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, 0),
        ({"reasoning_effort": "low"}, 4),
        ({"reasoning_effort": "medium"}, 8),
        ({"reasoning_effort": "high"}, 15),
        ({"reasoning_format": "hidden"}, 8),
        ({"model": QWEN, "reasoning_effort": "none"}, 0),
        ({"model": QWEN, "reasoning_effort": "default"}, 8),
    ],
)
async def test_what_was_thought_is_counted_and_part_of_the_completion(fields: dict[str, Any], tokens: int, rig: Rig) -> None:
    """Seven words are the answer's; a request that does not mention reasoning is answered without."""
    usage = (await rig.chat(**fields)).json()["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": tokens}
    assert usage["completion_tokens"] == 7 + tokens


async def test_an_option_makes_models_think_unasked(open_rig: OpenRig) -> None:
    """As Groq's do; models that cannot do not."""
    rig = open_rig(latency_scale=0.0, always_reason=True, keep_retired=True)
    thought = [
        (await rig.chat(model=model)).json()["usage"]["completion_tokens_details"]["reasoning_tokens"]
        for model in ("openai/gpt-oss-20b", "llama-3.1-8b-instant")
    ]
    assert thought == [8, 0]


@pytest.mark.parametrize(
    ("fields", "shown", "raw"),
    [
        ({"reasoning_format": "parsed"}, True, False),
        ({"reasoning_format": "hidden"}, False, False),
        ({"reasoning_format": "raw"}, False, True),
        ({"include_reasoning": True}, True, False),
        ({"include_reasoning": False}, False, False),
    ],
)
async def test_a_thought_is_shown_in_the_form_asked_for(fields: dict[str, Any], shown: bool, raw: bool, rig: Rig) -> None:
    """Apart, within the text, or not at all."""
    message = (await rig.chat(**fields)).json()["choices"][0]["message"]
    assert ("reasoning" in message, message["content"].startswith("<think>")) == (shown, raw)
    assert message["content"].endswith("This is a simulated answer to: hello")


@pytest.mark.parametrize(("most", "content", "tokens"), [(5, "", 5), (15, "", 15), (16, "This", 16)])
async def test_too_few_tokens_are_eaten_up_by_thinking(most: int, content: str, tokens: int, rig: Rig) -> None:
    """An empty answer with the reason `length`, plain and streamed."""
    fields = {"reasoning_effort": "high", "max_completion_tokens": most}
    body = (await rig.chat(**fields)).json()
    choice = body["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == (content, "length")
    assert body["usage"]["completion_tokens"] == tokens
    *chunks, _ = await rig.stream(**fields)
    assert "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks) == content
