"""POST responses."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from simulator.rig import MODEL, Rig, message

pytestmark = pytest.mark.anyio
TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object"}, "strict": True}


async def _respond(rig: Rig, **fields: Any) -> httpx.Response:
    payload = {"model": MODEL, "input": "hello", "max_output_tokens": 50} | fields
    return await rig.client.post("/openai/v1/responses", json=payload, headers=rig.headers)


async def test_a_text_is_answered_with_a_message(rig: Rig) -> None:
    """And its usage; it is charged like a chat."""
    reply = await _respond(rig)
    body = reply.json()
    (item,) = body["output"]
    assert (body["object"], body["status"], item["type"], item["role"]) == ("response", "completed", "message", "assistant")
    assert item["content"][0]["type"] == "output_text"
    assert item["content"][0]["text"] == "This is a simulated answer to: hello"
    usage = body["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert reply.headers["x-ratelimit-remaining-requests"] == "999"


async def test_items_stand_for_the_messages_of_a_chat(rig: Rig) -> None:
    """With instructions before them, and the result of a tool as the last."""
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "the weather"}]},
        {"type": "reasoning", "summary": []},
        {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "21 degrees"},
    ]
    body = (await _respond(rig, input=items, instructions="be brief", tools=[TOOL])).json()
    assert body["output"][0]["content"][0]["text"] == "This is a simulated answer from the tool's result: 21 degrees"
    assert body["instructions"] == "be brief"


async def test_an_image_is_one_for_models_that_see(rig: Rig) -> None:
    """Others refuse it."""
    image = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
    items = [{"role": "user", "content": [{"type": "input_text", "text": "what is it"}, image]}]
    assert (await _respond(rig, input=items, model="qwen/qwen3.8-27b")).status_code == 200
    assert (await _respond(rig, input=items)).status_code == 400


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "get_weather"}])
async def test_a_function_is_called(choice: object, rig: Rig) -> None:
    """In an item of its own."""
    (item,) = (await _respond(rig, tools=[TOOL], tool_choice=choice)).json()["output"]
    assert (item["type"], item["name"], item["arguments"]) == ("function_call", "get_weather", "{}")
    assert item["call_id"].startswith("call_")


async def test_thinking_comes_first_and_too_few_tokens_leave_nothing_else(rig: Rig) -> None:
    """The response is incomplete then."""
    body = (await _respond(rig, reasoning={"effort": "high"})).json()
    assert [item["type"] for item in body["output"]] == ["reasoning", "message"]
    assert body["usage"]["output_tokens_details"] == {"reasoning_tokens": 15}
    body = (await _respond(rig, reasoning={"effort": "high"}, max_output_tokens=10)).json()
    assert [item["type"] for item in body["output"]] == ["reasoning"]
    assert (body["status"], body["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})


async def test_a_format_by_schema_is_kept(rig: Rig) -> None:
    """As in a chat."""
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
    form = {"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}
    body = (await _respond(rig, text=form)).json()
    assert json.loads(body["output"][0]["content"][0]["text"]) == {"a": 1}


async def test_a_stream_tells_the_response_piece_by_piece(rig: Rig) -> None:
    """Numbered; the last event has all of it; a fault cuts it off."""
    reply = await _respond(rig, stream=True)
    events = [json.loads(block.split("data: ", 1)[1]) for block in reply.text.split("\n\n") if block]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert (events[0]["type"], events[-1]["type"]) == ("response.created", "response.completed")
    deltas = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == events[-1]["response"]["output"][0]["content"][0]["text"]
    await rig.client.post("/simulator/faults", json=["*=cut"])
    assert "response.completed" not in (await _respond(rig, stream=True)).text
    with pytest.raises(json.JSONDecodeError):
        (await _respond(rig)).json()


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"input": ""}, 400, "'input' : value must be"),
        ({"input": 3}, 400, "'input' : value must be"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, 400, "'input.0.type' : value item_reference is unsupported"),
        ({"input": [{"role": "nobody", "content": "x"}]}, 400, "'messages.0'"),
        ({"previous_response_id": "resp_1"}, 400, "property 'previous_response_id' is unsupported"),
        ({"background": True}, 400, "property 'background' is unsupported"),
        ({"model": "no/such"}, 404, "The model `no/such` does not exist"),
    ],
)
async def test_a_response_that_cannot_be_is_refused(fields: dict[str, Any], status: int, words: str, rig: Rig) -> None:
    """Nothing is kept from one request to the next."""
    reply = await _respond(rig, **fields)
    assert reply.status_code == status
    assert message(reply).startswith(words)


async def test_faults_meet_responses_too(rig: Rig) -> None:
    """And they are counted."""
    await rig.client.post("/simulator/faults", json=[f"{MODEL}=503x1"])
    assert [(await _respond(rig)).status_code for _ in range(2)] == [503, 200]
    assert (await rig.get("/simulator/calls")).json() == {MODEL: {"503": 1, "200": 1}}
