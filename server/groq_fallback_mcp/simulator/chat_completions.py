"""POST chat/completions: Groq's refusals in its words, then an answer, plain or as a stream of _events.

Field names as in the SDK's ChatCompletion, ChatCompletionMessage, CompletionUsage and ChatCompletionChunk (PyPI groq 1.7.0);
order of the _events from the facts page, section 2.

Models that judge instead of answering: llama-prompt-guard-2 gives the probability of an attack as a text; its 512 tokens of
context are the catalog's. That the text is a bare number with four digits is unverified. openai/gpt-oss-safeguard-20b judges by
a policy in the system message. Its form of answer is whatever the policy asks for; here it is
`{"violation": 0 or 1, "category": ..., "rationale": ...}` for policies with lines such as

    VIOLATES: bomb, weapon
    VIOLATES (fraud): scam, phishing

where one of the words in the last user message violates. Without such a line it answers like any other model. All of this is
the simulator's own rule.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from starlette.responses import Response, StreamingResponse

from groq_fallback_mcp.call import Limit
from groq_fallback_mcp.catalog import Kind, ModelRow
from groq_fallback_mcp.simulator.answer import Answer, cited, shown, thought_of
from groq_fallback_mcp.simulator.fields import SCORE_TOKENS, answer_form, check_fields, checked_max_tokens, checked_messages
from groq_fallback_mcp.simulator.generation import BYTES_PER_TOKEN, estimate_tokens, json_tokens
from groq_fallback_mcp.simulator.injected_faults import halved
from groq_fallback_mcp.simulator.instances import instance_of, satisfies
from groq_fallback_mcp.simulator.replies import (
    FINGERPRINT,
    JSON_FAILED,
    SIMULATED,
    ApiError,
    failed_generation,
    json_reply,
    request_id,
)
from groq_fallback_mcp.simulator.tool_use import call_tokens, executed_tools, parts_by, wanted_calls
from groq_fallback_mcp.simulator.wire import Messages, Payload, table, text_of
from groq_fallback_mcp.simulator.world import World

__all__ = ["answered", "complete", "completion"]

FIRST_TOKEN_S = 0.05
PROMPT_S = 0.001
QUEUE_S = 0.01
_ATTACK = re.compile(
    r"(ignore|disregard|forget) (all |any )?(of )?(your |the |my )?(previous|prior|above|earlier) (instructions|prompts?|rules)"
    r"|(reveal|print|repeat) (your |the )?system prompt|developer mode|jailbreak|do anything now",
    re.IGNORECASE,
)
_RULE = re.compile(r"^\s*VIOLATES(?: \((?P<category>[^)]+)\))?:(?P<words>.+)$", re.MULTILINE)


async def complete(world: World, organization: str, payload: Payload, *, cut: bool = False) -> Response:
    """Answer a chat request. `cut`: break the body off in the middle. Raises ApiError for what Groq refuses."""
    answer = await answered(world, organization, payload)
    headers = world.limits.headers(organization, payload["model"])
    if payload.get("stream") is True:
        stream = _events(world, payload, answer, cut=cut)
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
        return Answer(text=_attack_score(messages), input_tokens=estimate_tokens(messages), output_tokens=SCORE_TOKENS)
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


def _in_json(kind: str, schema: Mapping[str, Any], asked: int, max_tokens: int) -> Answer:
    value: Any = instance_of(schema) if kind == "json_schema" else {"answer": "simulated"}
    text = json.dumps(value)
    tokens = len(text) // BYTES_PER_TOKEN + 1
    if tokens > max_tokens:
        message = "max completion tokens reached before generating a valid document"
        raise failed_generation("json_validate_failed", message, "")
    if kind == "json_schema" and not satisfies(value, schema):
        raise failed_generation("json_validate_failed", JSON_FAILED, text)
    return Answer(text=text, input_tokens=asked, output_tokens=tokens)


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
        "service_tier": _service_tier(payload),
    }


async def _events(world: World, payload: Payload, answer: Answer, *, cut: bool) -> AsyncIterator[str]:
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


def _service_tier(payload: Payload) -> str:
    tier = payload.get("service_tier")
    return "on_demand" if tier in (None, "auto") else str(tier)


def _attack_score(messages: Messages) -> str:
    """The score of the last message as prompt-guard gives it."""
    return "0.9993" if _ATTACK.search(text_of(messages[-1].get("content"))) else "0.0008"


def verdict(model: str, messages: Messages) -> str | None:
    """The judgment of a safeguard model as JSON; None for other models and where no policy has a line with VIOLATES."""
    policy = "\n".join(text_of(row.get("content")) for row in messages if row.get("role") in ("system", "developer"))
    rules = list(_RULE.finditer(policy))
    if "safeguard" not in model or not rules:
        return None
    said = [text_of(row.get("content")) for row in messages if row.get("role") == "user"]
    judged = said[-1] if said else ""
    for rule in rules:
        for word in rule["words"].split(","):
            if word.strip() and re.search(rf"\b{re.escape(word.strip())}\b", judged, re.IGNORECASE):
                category = rule["category"] or "policy"
                rationale = f"simulated: the content has the word {word.strip()!r}"
                return json.dumps({"violation": 1, "category": category, "rationale": rationale})
    return json.dumps({"violation": 0, "category": None, "rationale": "simulated: no word of the policy"})
