"""POST chat/completions: Groq's refusals in its words, then an answer, plain or as a stream of events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import Response, StreamingResponse

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import Kind, ModelRow
from groq_fallback_mcp.simulator.answer import Answer
from groq_fallback_mcp.simulator.builtin_tools import executed_tools, parts_by
from groq_fallback_mcp.simulator.completions import completion, events
from groq_fallback_mcp.simulator.documents import cited
from groq_fallback_mcp.simulator.engines import BYTES_PER_TOKEN, estimate_tokens, json_tokens
from groq_fallback_mcp.simulator.faults import halved
from groq_fallback_mcp.simulator.fields import SCORE_TOKENS, answer_form, check_fields, checked_max_tokens, checked_messages
from groq_fallback_mcp.simulator.guards import attack_score, verdict
from groq_fallback_mcp.simulator.instances import instance_of, satisfies
from groq_fallback_mcp.simulator.reasoning import shown, thought_of
from groq_fallback_mcp.simulator.replies import JSON_FAILED, SIMULATED, ApiError, failed_generation, json_reply
from groq_fallback_mcp.simulator.tool_calls import call_tokens, wanted_calls
from groq_fallback_mcp.simulator.wire import Messages, Payload
from groq_fallback_mcp.simulator.world import World

__all__ = ["answered", "complete"]

FIRST_TOKEN_S = 0.05


async def complete(world: World, organization: str, payload: Payload, *, cut: bool = False) -> Response:
    """Answer a chat request. `cut`: break the body off in the middle. Raises ApiError for what Groq refuses."""
    answer = await answered(world, organization, payload)
    headers = world.limits.headers(organization, payload["model"])
    if payload.get("stream") is True:
        stream = events(world, payload, answer, cut=cut)
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers | SIMULATED)
    await world.clock.sleep(answer.took_s)
    reply = json_reply(completion(world, payload, answer), headers=headers)
    return halved(reply) if cut else reply


async def answered(world: World, organization: str, payload: Payload, *, metered: bool = True) -> Answer:
    """The answer as data. Not `metered`: at once and without the rate limits, as in a batch. Raises ApiError."""
    model = world.model(payload.get("model"))
    messages = checked_messages(payload)
    headers = world.limits.headers(organization, model.id) if metered else {}
    check_fields(payload, model, messages, headers, world.options.plan)
    max_tokens = checked_max_tokens(payload, model, messages, headers)
    # that tools and documents count as input is how chat templates work; how much is unverified
    beside = sum(json_tokens(payload[name]) for name in ("tools", "documents") if payload.get(name))
    cached = world.cache.cached_tokens(organization, model.id, messages) if metered and world.options.prompt_cache else 0
    charge = None
    if metered:
        charged = float(estimate_tokens(messages) + beside - cached + max_tokens)
        cost = {Limit.RPM: 1.0, Limit.RPD: 1.0, Limit.TPM: charged, Limit.TPD: charged}
        charge = world.admit(organization, model.id, cost)
        world.cache.remember(organization, model.id, messages)
    answer = await _answer(world, payload, model, messages, max_tokens)
    asked = answer.input_tokens + beside
    answer = replace(answer, input_tokens=asked, cached_tokens=min(cached, asked))
    if charge is None:
        return answer
    await world.clock.sleep(FIRST_TOKEN_S * world.options.latency_scale)
    if world.options.refund_unused:
        used = float(asked - answer.cached_tokens + answer.output_tokens)
        world.limits.settle(charge, {Limit.TPM: used, Limit.TPD: used})
    return replace(answer, took_s=answer.took(model, world.options.latency_scale))


async def _answer(world: World, payload: Payload, model: ModelRow, messages: Messages, max_tokens: int) -> Answer:
    if model.kind is Kind.GUARD:
        return Answer(text=attack_score(messages), input_tokens=estimate_tokens(messages), output_tokens=SCORE_TOKENS)
    ran = executed_tools(payload, model, messages)
    # what ran at Groq was thought of first
    thought = thought_of(payload, model, max_tokens, always=world.options.always_reason or bool(ran))
    left = max_tokens - thought.tokens
    if thought.ate_it_all:
        asked = estimate_tokens(messages)
        return shown(payload, Answer(text="", input_tokens=asked, output_tokens=0, finish_reason="length"), thought)
    answer = await _said(world, payload, model, messages, left)
    answer = cited(payload, messages, answer, left - answer.output_tokens)
    return shown(payload, replace(answer, executed_tools=ran, parts_by=parts_by(payload, model)), thought)


async def _said(world: World, payload: Payload, model: ModelRow, messages: Messages, max_tokens: int) -> Answer:
    asked = estimate_tokens(messages)
    if calls := wanted_calls(payload, messages):
        tokens = min(call_tokens(calls), max_tokens)
        return Answer(text=None, tool_calls=calls, input_tokens=asked, output_tokens=tokens, finish_reason="tool_calls")
    if (judged := verdict(model.id, messages)) is not None:
        return Answer(text=judged, input_tokens=asked, output_tokens=min(len(judged) // BYTES_PER_TOKEN + 1, max_tokens))
    kind, schema = answer_form(payload)
    if kind != "text":
        return _in_json(kind, schema, asked, max_tokens)
    temperature = payload.get("temperature")
    heat = float(temperature) if isinstance(temperature, int | float) else 1.0
    try:
        said = await world.text.answer(messages, max_tokens=max_tokens, temperature=heat)
    except ValueError as error:
        raise ApiError(400, str(error)) from error
    return Answer(
        text=said.text,
        input_tokens=said.input_tokens,
        output_tokens=said.output_tokens,
        finish_reason=said.finish_reason,
    )


def _in_json(kind: str, schema: Mapping[str, Any] | None, asked: int, max_tokens: int) -> Answer:
    value: Any = instance_of(schema) if kind == "json_schema" else {"answer": "simulated"}
    text = json.dumps(value)
    tokens = len(text) // BYTES_PER_TOKEN + 1
    if tokens > max_tokens:
        message = "max completion tokens reached before generating a valid document"
        raise failed_generation("json_validate_failed", message, "")
    if kind == "json_schema" and not satisfies(value, schema):
        raise failed_generation("json_validate_failed", JSON_FAILED, text)
    return Answer(text=text, input_tokens=asked, output_tokens=tokens)
