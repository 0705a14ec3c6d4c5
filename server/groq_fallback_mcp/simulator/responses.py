"""POST responses (beta): a chat request in another form, and its answer in another form.

Known: that the path exists and is a beta (facts page, section 2). Groq's SDK has no types for it, so the form is that of the
OpenAI SDK's Response, ResponseCreateParams and ResponseStreamEvent. Unverified: which fields Groq refuses. Here those are
refused that would need something kept from an earlier request.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

from starlette.responses import Response, StreamingResponse

from groq_fallback_mcp.json_types import is_list
from groq_fallback_mcp.simulator.answer import THOUGHT, Answer
from groq_fallback_mcp.simulator.chat_completions import answered
from groq_fallback_mcp.simulator.injected_faults import halved
from groq_fallback_mcp.simulator.replies import SIMULATED, ApiError, fresh_id, json_reply
from groq_fallback_mcp.simulator.wire import Payload, items, table
from groq_fallback_mcp.simulator.world import World

__all__ = ["respond"]

KEPT_FIELDS = ("previous_response_id", "conversation", "background")
_ECHOED = ("instructions", "max_output_tokens", "temperature", "top_p", "user", "reasoning", "text")
_SAME = ("model", "temperature", "top_p", "parallel_tool_calls", "service_tier", "user")
_TEXTS = ("input_text", "output_text")


async def respond(world: World, organization: str, payload: Payload, *, cut: bool = False) -> Response:
    """Answer a request. `cut`: break the body off in the middle. Raises ApiError for what Groq refuses."""
    for name in KEPT_FIELDS:
        if payload.get(name):
            raise ApiError(400, f"property '{name}' is unsupported")
    answer = await answered(world, organization, _chat_request(payload))
    headers = world.limits.headers(organization, payload["model"])
    body = _body(world, payload, answer)
    if payload.get("stream") is True:
        stream = _events(world, body, answer.took_s, cut=cut)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers | SIMULATED)
    await world.clock.sleep(answer.took_s)
    reply = json_reply(body, headers=headers)
    return halved(reply) if cut else reply


def _body(world: World, payload: Payload, answer: Answer) -> dict[str, Any]:
    cut = answer.finish_reason == "length"
    return {
        "id": fresh_id("resp"),
        "object": "response",
        "created_at": int(world.clock.wall()),
        "model": payload["model"],
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": list(_output(answer)),
        "parallel_tool_calls": payload.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "store": False,
        "tool_choice": payload.get("tool_choice") or "auto",
        "tools": items(payload.get("tools")),
        "metadata": payload.get("metadata") or {},
        "service_tier": payload.get("service_tier") or "default",
        **{name: payload.get(name) for name in _ECHOED},
        "usage": {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": answer.cached_tokens},
            "output_tokens": answer.output_tokens,
            "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
            "total_tokens": answer.input_tokens + answer.output_tokens,
        },
    }


def _output(answer: Answer) -> Iterator[dict[str, Any]]:
    if answer.reasoning_tokens:
        thought = {"type": "reasoning_text", "text": THOUGHT}
        yield {"id": fresh_id("rs"), "type": "reasoning", "status": "completed", "summary": [], "content": [thought]}
    for call in answer.tool_calls:
        item = {"id": fresh_id("fc"), "type": "function_call", "status": "completed", "call_id": call["id"]}
        yield item | call["function"]
    if answer.text:
        yield {
            "id": fresh_id("msg"),
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": answer.text, "annotations": [], "logprobs": None}],
        }


async def _events(world: World, body: Payload, took_s: float, *, cut: bool) -> AsyncIterator[str]:
    steps = list(_steps(body))
    for number, event in enumerate(steps[: len(steps) // 2] if cut else steps):
        await world.clock.sleep(took_s / len(steps))
        yield f"event: {event['type']}\ndata: {json.dumps(event | {'sequence_number': number})}\n\n"


def _steps(body: Payload) -> Iterator[dict[str, Any]]:
    begun: Payload = {**body, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(body["output"]):
        place: dict[str, Any] = {"output_index": index}
        empty: Payload = {"content": []} if item["type"] == "message" else {}
        yield {"type": "response.output_item.added", "item": {**item, **empty, "status": "in_progress"}} | place
        if item["type"] == "message":
            yield from _text_steps(item, place | {"item_id": item["id"], "content_index": 0})
        if item["type"] == "function_call":
            done = {"arguments": item["arguments"], "name": item["name"], "item_id": item["id"]}
            yield {"type": "response.function_call_arguments.done"} | done | place
        yield {"type": "response.output_item.done", "item": item} | place
    yield {"type": f"response.{body['status']}", "response": body}


def _text_steps(item: Payload, place: Payload) -> Iterator[dict[str, Any]]:
    (part,) = item["content"]
    yield {"type": "response.content_part.added", "part": part | {"text": ""}, **place}
    for index, word in enumerate(part["text"].split(" ")):
        delta = word if index == 0 else f" {word}"
        yield {"type": "response.output_text.delta", "delta": delta, "logprobs": [], **place}
    yield {"type": "response.output_text.done", "text": part["text"], "logprobs": [], **place}
    yield {"type": "response.content_part.done", "part": part, **place}


def _chat_request(payload: Payload) -> Payload:
    """The same question for chat/completions. Raises ApiError for input that is none."""
    effort = table(payload.get("reasoning")).get("effort")
    asked: dict[str, Any] = {name: payload.get(name) for name in _SAME}
    asked |= {
        "messages": _messages(payload),
        "max_completion_tokens": payload.get("max_output_tokens"),
        "reasoning_effort": effort,
        "response_format": _response_format(table(table(payload.get("text")).get("format"))),
        "tools": [_tool(table(tool)) for tool in items(payload.get("tools"))] or None,
        "tool_choice": _choice(payload.get("tool_choice")),
    }
    return {name: value for name, value in asked.items() if value is not None}


def _messages(payload: Payload) -> list[dict[str, Any]]:
    given = payload.get("input")
    if not isinstance(given, str | list) or not given:
        raise ApiError(400, "'input' : value must be a string or a list of items, and not empty")
    head = [{"role": "system", "content": payload["instructions"]}] if payload.get("instructions") else []
    if isinstance(given, str):
        return [*head, {"role": "user", "content": given}]
    found = [_message(index, table(item)) for index, item in enumerate(items(payload.get("input")))]
    return [*head, *(row for row in found if row is not None)]


def _message(index: int, item: Payload) -> dict[str, Any] | None:
    match item.get("type", "message"):
        case "message":
            return {"role": item.get("role"), "content": _content(item.get("content"))}
        case "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "function_call_output":
            return {"role": "tool", "tool_call_id": item.get("call_id"), "content": item.get("output")}
        case "reasoning":
            return None
        case kind:
            raise ApiError(400, f"'input.{index}.type' : value {kind} is unsupported")


def _content(content: object) -> object:
    return [_part(table(part)) for part in content] if is_list(content) else content


def _part(part: Payload) -> Payload:
    if part.get("type") in _TEXTS:
        return {"type": "text", "text": part.get("text")}
    if part.get("type") == "input_image":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    return part


def _response_format(form: Payload) -> Payload | None:
    if form.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {name: value for name, value in form.items() if name != "type"}}
    return form or None


def _tool(tool: Payload) -> Payload:
    if tool.get("type") != "function":
        return tool
    return {"type": "function", "function": {name: value for name, value in tool.items() if name not in {"type", "strict"}}}


def _choice(choice: object) -> object:
    named = table(choice)
    return {"type": "function", "function": {"name": named.get("name")}} if named.get("type") == "function" else choice
