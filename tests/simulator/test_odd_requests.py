"""Whatever JSON stands in whatever field: the answer is one of Groq's, never a fault of the simulator's own."""

from __future__ import annotations

from typing import Any

import anyio
import httpx
import pytest
from effort import times
from fake_clock import FakeClock
from hypothesis import given, settings
from hypothesis import strategies as st
from simulator.rig import CATALOG, MODEL

from groq_fallback_mcp.simulator import SimulatorOptions, create_app

FIELDS = {
    "chat/completions": (
        *("messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "service_tier", "reasoning_effort"),
        *("reasoning_format", "include_reasoning", "documents", "citation_options", "compound_custom", "search_settings"),
        *("include_domains", "stream_options", "stream", "stop", "n", "temperature", "max_tokens", "max_completion_tokens"),
    ),
    "responses": (
        *("input", "instructions", "tools", "tool_choice", "text", "reasoning", "metadata", "max_output_tokens"),
        *("stream", "service_tier", "previous_response_id"),
    ),
    "audio/speech": ("input", "voice", "response_format", "speed", "sample_rate"),
    "batches": ("input_file_id", "endpoint", "completion_window", "metadata"),
}
MODELS = (MODEL, "qwen/qwen3.8-27b", "groq/compound", "meta-llama/llama-prompt-guard-2-22m", "openai/gpt-oss-safeguard-20b")
_words = st.sampled_from(
    [
        *(
            "type",
            "role",
            "content",
            "text",
            "function",
            "name",
            "parameters",
            "user",
            "tool",
            "system",
            "source",
            "id",
            "json",
        ),
        *("data", "tools", "enabled_tools", "image_url", "url", "required", "flex", "browser_search", "message", "format"),
        *("json_schema", "schema", "effort", "high", "raw", "tool_call_id", "enabled", "input_text", "document", "tool_calls"),
    ]
)
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 30), st.floats(allow_nan=False, allow_infinity=False), _words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_words, inner, max_size=4)),
    max_leaves=10,
)


async def _status(path: str, payload: dict[str, Any]) -> int:
    options = SimulatorOptions(latency_scale=0.0, plan="developer", keep_retired=True)
    app = create_app(options, catalog=CATALOG, clock=FakeClock())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://simulator") as client:
        headers = {"authorization": "Bearer gsk_x"}
        return (await client.post(f"/openai/v1/{path}", json=payload, headers=headers)).status_code


@pytest.mark.parametrize("path", FIELDS)
@settings(max_examples=times(150), deadline=None)
@given(data=st.data())
def test_odd_values_are_answered_or_refused(path: str, data: st.DataObject) -> None:
    """On top of a request that is good."""
    good = {"model": data.draw(st.sampled_from(MODELS)), "messages": [{"role": "user", "content": "hello"}], "input": "hello"}
    if path == "audio/speech":
        good |= {"model": "canopylabs/orpheus-v1-english", "voice": "troy"}
    odd = data.draw(st.dictionaries(st.sampled_from(FIELDS[path]), _values, max_size=3))
    assert anyio.run(_status, path, good | odd) in {200, 400, 404, 413}
