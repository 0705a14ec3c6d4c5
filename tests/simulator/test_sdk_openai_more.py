"""The official OpenAI SDK against tools, responses, files and batches."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator

import openai
import pytest
from openai.types.responses import FunctionToolParam
from simulator.rig import MODEL

from groq_fallback_mcp.simulator import RunningSimulator

pytestmark = pytest.mark.anyio
TOOL: FunctionToolParam = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


@pytest.fixture
async def client(paying: RunningSimulator) -> AsyncGenerator[openai.AsyncOpenAI]:
    """Its base URL has the whole path."""
    async with openai.AsyncOpenAI(base_url=f"{paying.base_url}/openai/v1", api_key="gsk_x", max_retries=0) as made:
        yield made


async def test_its_stream_helper_puts_a_tool_call_together(client: openai.AsyncOpenAI) -> None:
    """From the one delta there is."""
    async with client.chat.completions.stream(
        model=MODEL,
        messages=[{"role": "user", "content": "call get_weather"}],
        tools=[
            {"type": "function", "function": {"name": "get_weather", "parameters": TOOL["parameters"] or {}, "strict": True}}
        ],
    ) as stream:
        final = await stream.get_final_completion()
    assert final.choices[0].finish_reason == "tool_calls"
    assert final.choices[0].message.tool_calls is not None
    assert final.choices[0].message.tool_calls[0].function.name == "get_weather"


async def test_it_gets_a_response(client: openai.AsyncOpenAI) -> None:
    """Text and usage."""
    answer = await client.responses.create(model=MODEL, input="hello", instructions="be brief")
    assert answer.output_text == "This is a simulated answer to: hello"
    assert answer.usage is not None
    assert answer.usage.output_tokens == 7


async def test_it_gets_a_function_call_in_a_response(client: openai.AsyncOpenAI) -> None:
    """And gives its output back."""
    answer = await client.responses.create(model=MODEL, input="hello", tools=[TOOL], tool_choice="required")
    (item,) = answer.output
    assert item.type == "function_call"
    assert json.loads(item.arguments) == {"city": "simulated"}
    second = await client.responses.create(
        model=MODEL,
        input=[
            {"role": "user", "content": "hello"},
            {"type": "function_call", "call_id": item.call_id, "name": item.name, "arguments": item.arguments},
            {"type": "function_call_output", "call_id": item.call_id, "output": "21 degrees"},
        ],
    )
    assert second.output_text.endswith("21 degrees")


async def test_its_stream_helper_puts_a_response_together(client: openai.AsyncOpenAI) -> None:
    """With a thought before it."""
    async with client.responses.stream(model=MODEL, input="hello", reasoning={"effort": "low"}) as stream:
        final = await stream.get_final_response()
    assert final.output_text == "This is a simulated answer to: hello"
    assert [item.type for item in final.output] == ["reasoning", "message"]


async def test_its_stream_helper_puts_a_function_call_of_a_response_together(client: openai.AsyncOpenAI) -> None:
    """Its arguments come whole."""
    async with client.responses.stream(model=MODEL, input="hello", tools=[TOOL], tool_choice="required") as stream:
        final = await stream.get_final_response()
    assert [item.type for item in final.output] == ["function_call"]


async def test_it_runs_a_batch_and_pages_end(client: openai.AsyncOpenAI) -> None:
    """Its lists ask for the next page until there is none."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
    line = json.dumps({"custom_id": "one", "method": "POST", "url": "/v1/chat/completions", "body": body})
    uploaded = await client.files.create(file=("in.jsonl", line.encode()), purpose="batch")
    made = await client.batches.create(input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h")
    done = await client.batches.retrieve(made.id)
    assert done.status == "completed"
    assert "simulated" in (await client.files.content(done.output_file_id or "")).text
    assert [batch.id async for batch in client.batches.list()] == [made.id]
    assert {row.id async for row in client.files.list()} == {uploaded.id, done.output_file_id}
