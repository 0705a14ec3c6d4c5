"""POST chat/completions: Groq's refusals in its words, then an answer, plain or as a stream of events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from starlette.responses import Response, StreamingResponse

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import Kind, ModelRow
from groq_fallback_mcp.simulator.engines import Generated, estimate_tokens
from groq_fallback_mcp.simulator.instances import instance_of
from groq_fallback_mcp.simulator.replies import FINGERPRINT, SIMULATED, ApiError, json_reply, request_id
from groq_fallback_mcp.simulator.world import World

__all__ = ["complete"]

DEFAULT_MAX_TOKENS = 2_048
FIRST_TOKEN_S = 0.05
REFUSED_FIELDS = ("logprobs", "logit_bias", "top_logprobs")
TIERS = ("auto", "on_demand", "flex", "performance")


@dataclass(frozen=True, slots=True)
class _Finished:
    generated: Generated
    reasoning: str | None
    queue_s: float
    took_s: float


async def complete(world: World, organisation: str, payload: Mapping[str, Any], *, cut: bool = False) -> Response:
    """Answer a chat request. `cut`: break the body off in the middle. Raises ApiError for what Groq refuses."""
    model = world.model(payload.get("model"))
    messages = _messages(payload)
    headers = world.limits.headers(organisation, model.id)
    _refuse_bad_fields(payload, model, messages, headers)
    max_tokens = _max_tokens(payload, model, messages, headers)
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
    reasoning = "A simulated thought." if model.capabilities.reasoning and payload.get("reasoning_format") == "parsed" else None
    finished = _Finished(generated=generated, reasoning=reasoning, queue_s=0.01, took_s=took_s)
    headers = world.limits.headers(organisation, model.id)
    if payload.get("stream") is True:
        events = _events(world, payload, model, finished, cut=cut)
        return StreamingResponse(events, media_type="text/event-stream", headers=headers | SIMULATED)
    await world.clock.sleep(took_s)
    reply = json_reply(_completion(world, payload, model, finished), headers=headers)
    if cut:
        body = bytes(reply.body)
        return Response(body[: len(body) // 2], media_type="application/json", headers=headers | SIMULATED)
    return reply


def _messages(payload: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    messages = payload.get("messages")
    if not isinstance(messages, list) or not messages:
        raise ApiError(400, "'messages' : minimum number of items is 1")
    rows = cast("list[Any]", messages)
    for index, row in enumerate(rows):
        if not isinstance(row, dict) or cast("dict[str, Any]", row).get("role") not in {"system", "user", "assistant", "tool"}:
            raise ApiError(400, f"'messages.{index}' : discriminator property 'role' has invalid value")
    return cast("list[Mapping[str, Any]]", rows)


def _refuse_bad_fields(
    payload: Mapping[str, Any], model: ModelRow, messages: Sequence[Mapping[str, Any]], headers: Mapping[str, str]
) -> None:
    fault = None
    takes = model.capabilities.reasoning
    if model.kind not in {Kind.CHAT, Kind.SYSTEM, Kind.GUARD}:
        fault = f"The model `{model.id}` does not support chat completions"
    elif refused := next((name for name in REFUSED_FIELDS if payload.get(name)), None):
        fault = f"property '{refused}' is unsupported"
    elif any("name" in message for message in messages):
        fault = "property 'messages.0.name' is unsupported"
    elif payload.get("n") not in {None, 1}:
        fault = "'n' : number must be at most 1"
    elif payload.get("service_tier") not in {None, *TIERS}:
        fault = "'service_tier' : value must be one of " + ", ".join(TIERS)
    elif payload.get("tools") and not model.capabilities.tools:
        fault = "`tool calling` is not supported with this model"
    elif not model.capabilities.vision and any(_has_image(message) for message in messages):
        fault = "messages[0].content must be a string: images are not supported with this model"
    elif payload.get("reasoning_effort") is not None and payload["reasoning_effort"] not in takes:
        values = ", ".join(f"`{value}`" for value in takes)
        fault = f"`reasoning_effort` must be one of {values}" if takes else "`reasoning_effort` is not supported with this model"
    if fault is not None:
        raise ApiError(400, fault, headers=headers)


def _has_image(message: Mapping[str, Any]) -> bool:
    content = message.get("content")
    parts = cast("list[Any]", content) if isinstance(content, list) else []
    return any(isinstance(part, dict) and cast("dict[str, Any]", part).get("type") == "image_url" for part in parts)


def _max_tokens(
    payload: Mapping[str, Any], model: ModelRow, messages: Sequence[Mapping[str, Any]], headers: Mapping[str, str]
) -> int:
    name = "max_completion_tokens" if payload.get("max_completion_tokens") is not None else "max_tokens"
    wanted = payload.get(name)
    bound = model.max_completion_tokens
    if wanted is None:
        wanted = min(DEFAULT_MAX_TOKENS, bound or DEFAULT_MAX_TOKENS)
    elif not isinstance(wanted, int) or wanted < 1:
        raise ApiError(400, f"'{name}' : value must be an integer of at least 1", headers=headers)
    elif bound is not None and wanted > bound:
        message = (
            f"`{name}` must be less than or equal to `{bound}`, the maximum value for `{name}` is less than the "
            "`context_window` for this model"
        )
        raise ApiError(400, message, headers=headers, param=name)
    if model.context_window is not None and estimate_tokens(messages) + wanted > model.context_window:
        message = "Please reduce the length of the messages or completion."
        raise ApiError(400, message, code="context_length_exceeded", param="messages", headers=headers)
    return wanted


async def _generate(
    world: World, payload: Mapping[str, Any], messages: Sequence[Mapping[str, Any]], max_tokens: int
) -> Generated:
    form: Any = payload.get("response_format") or {}
    kind = form.get("type") if isinstance(form, dict) else None
    if kind in {"json_object", "json_schema"}:
        schema: Any = cast("dict[str, Any]", form).get("json_schema", {}).get("schema", {})
        text = json.dumps(instance_of(schema) if kind == "json_schema" else {"answer": "simulated"})
        return Generated(text=text, input_tokens=estimate_tokens(messages), output_tokens=len(text) // 4 + 1)
    temperature = payload.get("temperature")
    try:
        return await world.text.answer(
            messages, max_tokens=max_tokens, temperature=float(temperature) if isinstance(temperature, int | float) else 1.0
        )
    except ValueError as error:
        raise ApiError(400, str(error)) from error


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
    """x_groq.id in the first and the last chunk, usage in the last; `cut` ends without `[DONE]`."""
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
    for number, piece in enumerate(pieces):
        if cut and number >= len(pieces) // 2:
            return
        await world.clock.sleep(pause_s)
        yield chunk({"content": piece})
    usage = _usage(finished)
    yield chunk({}, finished.generated.finish_reason, x_groq={"id": id_, "usage": usage})
    options = payload.get("stream_options")
    if isinstance(options, dict) and cast("dict[str, Any]", options).get("include_usage"):
        yield f"data: {json.dumps({**base, 'choices': [], 'usage': usage})}\n\n"
    yield "data: [DONE]\n\n"


def _pieces(text: str) -> list[str]:
    words = text.split(" ")
    return [word if index == 0 else f" {word}" for index, word in enumerate(words)]
