"""POST chat/completions: Groq's refusals in its words, then an answer, plain or as a stream of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from starlette.responses import Response, StreamingResponse

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import ModelRow
from groq_fallback_mcp.simulator.engines import BYTES_PER_TOKEN, Generated, estimate_tokens
from groq_fallback_mcp.simulator.faults import halved
from groq_fallback_mcp.simulator.fields import answer_form, check_fields, checked_max_tokens, checked_messages
from groq_fallback_mcp.simulator.instances import instance_of, satisfies
from groq_fallback_mcp.simulator.replies import FINGERPRINT, SIMULATED, ApiError, json_reply, request_id
from groq_fallback_mcp.simulator.world import World

__all__ = ["complete"]

FIRST_TOKEN_S = 0.05


@dataclass(frozen=True, slots=True)
class _Finished:
    generated: Generated
    reasoning: str | None
    queue_s: float
    took_s: float


async def complete(world: World, organisation: str, payload: Mapping[str, Any], *, cut: bool = False) -> Response:
    """Answer a chat request. `cut`: break the body off in the middle. Raises ApiError for what Groq refuses."""
    model = world.model(payload.get("model"))
    messages = checked_messages(payload)
    headers = world.limits.headers(organisation, model.id)
    check_fields(payload, model, messages, headers)
    max_tokens = checked_max_tokens(payload, model, messages, headers)
    prompt_tokens = estimate_tokens(messages)
    charged = float(prompt_tokens + max_tokens)
    cost = {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.TPM: charged, Limit.TPD: charged}
    charge = world.admit(organisation, model.id, cost)
    generated = await _generate(world, payload, messages, max_tokens)
    took_s = generated.output_tokens / (model.speed_tps or 500) * world.options.latency_scale
    await world.clock.sleep(FIRST_TOKEN_S * world.options.latency_scale)
    if world.options.refund_unused:
        used = float(generated.input_tokens + generated.output_tokens)
        world.limits.settle(charge, {Limit.TPM: used, Limit.TPD: used})
    thinks = payload.get("reasoning_format") == "parsed" or payload.get("include_reasoning") is True
    reasoning = "A simulated thought." if model.capabilities.reasoning and thinks else None
    finished = _Finished(generated=generated, reasoning=reasoning, queue_s=0.01, took_s=took_s)
    headers = world.limits.headers(organisation, model.id)
    if payload.get("stream") is True:
        events = _events(world, payload, model, finished, cut=cut)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers | SIMULATED)
    await world.clock.sleep(took_s)
    reply = json_reply(_completion(world, payload, model, finished), headers=headers)
    return halved(reply) if cut else reply


async def _generate(
    world: World, payload: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], max_tokens: int
) -> Generated:
    kind, schema = answer_form(payload)
    if kind != "text":
        value: Any = instance_of(schema) if kind == "json_schema" else {"answer": "simulated"}
        text = json.dumps(value)
        tokens = len(text) // BYTES_PER_TOKEN + 1
        if tokens > max_tokens:
            raise _no_json("max completion tokens reached before generating a valid document", "")
        if kind == "json_schema" and not satisfies(value, schema):
            raise _no_json(
                "Failed to generate JSON. Please adjust your prompt. See 'failed_generation' for more details.", text
            )
        return Generated(text=text, input_tokens=estimate_tokens(messages), output_tokens=tokens)
    temperature = payload.get("temperature")
    try:
        return await world.text.answer(
            messages, max_tokens=max_tokens, temperature=float(temperature) if isinstance(temperature, int | float) else 1.0
        )
    except ValueError as error:
        raise ApiError(400, str(error)) from error


def _no_json(message: str, text: str) -> ApiError:
    failure = ApiError(400, message, code="json_validate_failed")
    failure.body["failed_generation"] = text
    return failure


def _usage(finished: _Finished) -> dict[str, Any]:
    generated = finished.generated
    return {
        "queue_time": finished.queue_s,
        "prompt_tokens": generated.input_tokens,
        "prompt_time": 0.001,
        "completion_tokens": generated.output_tokens,
        "completion_time": round(finished.took_s, 6),
        "total_tokens": generated.input_tokens + generated.output_tokens,
        "total_time": round(0.001 + finished.took_s, 6),
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def _tier(payload: Mapping[str, Any]) -> str:
    tier = payload.get("service_tier")
    return "on_demand" if tier in {None, "auto"} else str(tier)


def _completion(world: World, payload: Mapping[str, Any], model: ModelRow, finished: _Finished) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": finished.generated.text}
    if finished.reasoning is not None:
        message["reasoning"] = finished.reasoning
    return {
        "id": f"chatcmpl-{request_id()[4:]}",
        "object": "chat.completion",
        "created": int(world.clock.wall()),
        "model": model.id,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finished.generated.finish_reason}],
        "usage": _usage(finished),
        "usage_breakdown": None,
        "system_fingerprint": FINGERPRINT,
        "x_groq": {"id": request_id()},
        "service_tier": _tier(payload),
    }


async def _events(
    world: World, payload: Mapping[str, Any], model: ModelRow, finished: _Finished, *, cut: bool
) -> AsyncIterator[str]:
    """x_groq.id in the first and the last chunk, usage in the last; `cut` ends in the middle, without `[DONE]`.

    With include_usage one more chunk follows, without choices.
    """
    base = {
        "id": f"chatcmpl-{request_id()[4:]}",
        "object": "chat.completion.chunk",
        "created": int(world.clock.wall()),
        "model": model.id,
        "system_fingerprint": FINGERPRINT,
    }
    id_ = request_id()
    pieces = [piece for piece in _pieces(finished.generated.text) if piece]
    pause_s = finished.took_s / max(len(pieces), 1)

    def chunk(delta: Mapping[str, Any], finish_reason: str | None = None, **more: object) -> str:
        choices = [{"index": 0, "delta": dict(delta), "logprobs": None, "finish_reason": finish_reason}]
        return f"data: {json.dumps({**base, 'choices': choices, **more})}\n\n"

    yield chunk({"role": "assistant", "content": ""}, x_groq={"id": id_})
    if finished.reasoning is not None:
        yield chunk({"reasoning": finished.reasoning})
    for number, piece in enumerate(pieces):
        if cut and number >= len(pieces) // 2:
            return
        await world.clock.sleep(pause_s)
        yield chunk({"content": piece})
    if cut:
        return
    usage = _usage(finished)
    yield chunk({}, finished.generated.finish_reason, x_groq={"id": id_, "usage": usage})
    options = payload.get("stream_options")
    if isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage"):
        last: dict[str, Any] = {**base, "choices": [], "usage": usage, "x_groq": {"id": id_, "usage": usage}}
        yield f"data: {json.dumps(last)}\n\n"
    yield "data: [DONE]\n\n"


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]
