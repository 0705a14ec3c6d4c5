"""The two forms of an answer to a chat request: a completion, and a stream of chunks.

Field names as in the SDK's ChatCompletion, ChatCompletionMessage, CompletionUsage and ChatCompletionChunk (PyPI groq 1.7.0);
order of the events from the facts page, section 2.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from groq_fallback_mcp.simulator.answer import Answer
from groq_fallback_mcp.simulator.replies import FINGERPRINT, request_id
from groq_fallback_mcp.simulator.wire import Payload, table
from groq_fallback_mcp.simulator.world import World

__all__ = ["completion", "events"]

PROMPT_S = 0.001
QUEUE_S = 0.01


def completion(world: World, payload: Payload, answer: Answer) -> dict[str, Any]:
    """The body of an answer that is not streamed."""
    return {
        "id": f"chatcmpl-{request_id()[4:]}",
        "object": "chat.completion",
        "created": int(world.clock.wall()),
        "model": payload["model"],
        "choices": [{"index": 0, "message": _message(answer), "logprobs": None, "finish_reason": answer.finish_reason}],
        "usage": _usage(answer),
        "usage_breakdown": _breakdown(answer),
        "system_fingerprint": FINGERPRINT,
        "x_groq": {"id": request_id()},
        "service_tier": _tier(payload),
    }


async def events(world: World, payload: Payload, answer: Answer, *, cut: bool) -> AsyncIterator[str]:
    """x_groq.id in the first and the last chunk, usage in the last; `cut` ends in the middle, without `[DONE]`.

    With include_usage one more chunk follows, without choices. A tool call comes whole, in one chunk: the SDK's
    ChoiceDeltaToolCall would allow pieces, but Groq is known to send none.
    """
    base = {
        "id": f"chatcmpl-{request_id()[4:]}",
        "object": "chat.completion.chunk",
        "created": int(world.clock.wall()),
        "model": payload["model"],
        "system_fingerprint": FINGERPRINT,
    }
    id_ = request_id()
    deltas = _deltas(answer)
    pause_s = answer.took_s / max(len(deltas), 1)

    def chunk(delta: Mapping[str, Any], finish_reason: str | None = None, **more: object) -> str:
        choices = [{"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}]
        return f"data: {json.dumps({**base, 'choices': choices, **more})}\n\n"

    yield chunk({"role": "assistant", "content": None if answer.text is None else ""}, x_groq={"id": id_})
    if answer.reasoning is not None:
        yield chunk({"reasoning": answer.reasoning})
    if answer.executed_tools:
        yield chunk({"executed_tools": list(answer.executed_tools)})
    for number, delta in enumerate(deltas):
        if cut and number >= len(deltas) // 2:
            return
        await world.clock.sleep(pause_s)
        yield chunk(delta)
    if cut:
        return
    if answer.annotations:
        yield chunk({"annotations": list(answer.annotations)})
    usage, breakdown = _usage(answer), _breakdown(answer)
    groq: dict[str, Any] = {"id": id_, "usage": usage} | ({"usage_breakdown": breakdown} if breakdown else {})
    yield chunk({}, answer.finish_reason, x_groq=groq)
    if table(payload.get("stream_options")).get("include_usage"):
        last: dict[str, Any] = {**base, "choices": [], "usage": usage, "x_groq": groq}
        yield f"data: {json.dumps(last)}\n\n"
    yield "data: [DONE]\n\n"


def _message(answer: Answer) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": answer.text}
    if answer.reasoning is not None:
        message["reasoning"] = answer.reasoning
    for name in ("tool_calls", "executed_tools", "annotations"):
        if rows := getattr(answer, name):
            message[name] = list(rows)
    return message


def _deltas(answer: Answer) -> list[dict[str, Any]]:
    if answer.text is None:
        return [{"tool_calls": [dict(call) | {"index": index}]} for index, call in enumerate(answer.tool_calls)]
    words = answer.text.split(" ")
    pieces = [word if index == 0 else f" {word}" for index, word in enumerate(words)]
    return [{"content": piece} for piece in pieces if piece]


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "queue_time": QUEUE_S,
        "prompt_tokens": answer.input_tokens,
        "prompt_time": PROMPT_S,
        "completion_tokens": answer.output_tokens,
        "completion_time": round(answer.took_s, 6),
        "total_tokens": answer.input_tokens + answer.output_tokens,
        "total_time": round(PROMPT_S + answer.took_s, 6),
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
    }


def _breakdown(answer: Answer) -> dict[str, Any] | None:
    """The SDK's UsageBreakdown. Every model behind a system is said to have used all: the sum is not known to match."""
    if not answer.parts_by:
        return None
    return {"models": [{"model": model, "usage": _usage(answer)} for model in answer.parts_by]}


def _tier(payload: Payload) -> str:
    tier = payload.get("service_tier")
    return "on_demand" if tier in (None, "auto") else str(tier)
