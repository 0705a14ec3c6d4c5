"""OpenAI's wire format of chat completions: bodies out of calls, outcomes out of replies. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from groq_fallback_mcp.call import Failure, FailureKind, QuotaSnapshot, Source, Speed, Success, Usage
from groq_fallback_mcp.policy.classify import classify_stream_error, visible
from groq_fallback_mcp.providers.answer_text import content_pieces, function_name, separate
from groq_fallback_mcp.providers.base import ChatCall, json_instruction
from groq_fallback_mcp.providers.message_wire import wire_messages
from groq_fallback_mcp.providers.reading import bad_response, json_object, mapping, number, request_id, rows, text_of, whole
from groq_fallback_mcp.render import excerpt

__all__ = ["chat_outcome", "chat_payload", "read_chat"]

EXCERPT_CHARS = 300
MOST_SOURCES = 20
# Why an answer ended, in OpenAI's words, from other providers' words in lower case.
_FINISH_REASONS = {
    "eos": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
    "safety": "content_filter",
    "recitation": "content_filter",
    "prohibited_content": "content_filter",
    "blocklist": "content_filter",
    "spii": "content_filter",
    "refusal": "content_filter",
    "sensitive": "content_filter",
}
# The provider gave up: what is there is a part of an answer, however whole it looks.
_BROKEN_OFF = {
    *("error", "abort", "aborted", "cancelled", "canceled", "timeout", "network_error", "other"),
    *("insufficient_system_resource", "malformed_function_call", "unexpected_tool_call", "finish_reason_unspecified"),
}


def chat_payload(call: ChatCall, *, groq: bool = True) -> dict[str, Any]:
    """The JSON body of POST chat/completions. Fields without a value are left out; `groq`: those only Groq knows are not."""
    request = call.request
    messages = wire_messages(request.messages)
    payload: dict[str, Any] = {"model": call.model, "messages": messages}
    payload["max_completion_tokens" if groq else "max_tokens"] = call.max_tokens
    optional = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        "reasoning_effort": call.reasoning_effort,
        "parallel_tool_calls": request.parallel_tool_calls if request.tools else None,
        "tool_choice": request.tool_choice if request.tools else None,
        "service_tier": request.service_tier if groq else None,
        # a model that thinks in its answer, and must not where the answer is JSON or a tool call
        "reasoning_format": "parsed" if groq and call.parses_reasoning else None,
    }
    payload |= {name: value for name, value in optional.items() if value is not None}
    tools = [dict(tool) for tool in request.tools]
    if call.is_system:
        payload |= _system_fields(call)
    else:
        tools += [{"type": name} for name in call.builtin]
    if tools:
        payload["tools"] = tools
    if request.schema is not None:
        if call.json_mode == "json_schema":
            schema = {"name": "answer", "schema": dict(request.schema)}
            payload["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            instruction = json_instruction(request.schema, beside_tools=bool(tools))
            messages.insert(0, {"role": "system", "content": instruction})
            if call.json_mode == "json_object":
                payload["response_format"] = {"type": "json_object"}
    if call.stream:
        payload["stream"] = True
        if not groq:
            # Groq puts the usage into the last piece unasked
            payload["stream_options"] = {"include_usage": True}
    return payload


def read_chat(
    body: bytes,
    *,
    model: str,
    quota: QuotaSnapshot,
    simulated: bool,
    now_wall: float,
    tools: Sequence[str] | None = None,
) -> Success | Failure:
    """The outcome of a chat reply with status 200. `model` is used where the reply names none; `tools` as in chat_outcome."""
    value = json_object(body)
    if isinstance(value, Failure):
        return value
    if value.get("error") or (not value.get("choices") and any(name in value for name in ("errors", "detail", "message"))):
        return classify_stream_error(body.decode("utf-8", "replace"), now_wall=now_wall)
    return chat_outcome(value, model=model, quota=quota, simulated=simulated, tools=tools)


def chat_outcome(
    value: Mapping[str, Any],
    *,
    model: str,
    quota: QuotaSnapshot,
    simulated: bool,
    speed: Speed | None = None,
    tools: Sequence[str] | None = None,
) -> Success | Failure:
    """The outcome of a completion, read at once or put together from its pieces. `speed` is what was measured.

    `tools` are the names of the functions that may be called, None where that is not checked.
    """
    found = rows(value.get("choices"))
    choice = found[0] if found else None
    message = mapping(choice.get("message")) if choice is not None else None
    if choice is None or message is None:
        return bad_response("an answer without choices")
    finish_reason = _finish_reason(choice)
    stated = mapping(value.get("usage"))
    usage = _chat_usage(stated)
    content, thought = content_pieces(message.get("content"))
    separated = separate(content or text_of(message.get("refusal")) or "")
    text = separated.text
    calls = tuple(_tool_call(row, tools or ()) for row in rows(message.get("tool_calls")))
    fault = _broken_off(finish_reason, choice.get("error") or message.get("error")) or _unknown_tool(calls, tools)
    if fault is None and not text.strip() and not calls:
        fault = _nothing(finish_reason, usage)
    if fault is not None:
        return replace(fault, quota=quota)
    reasoning = text_of(message.get("reasoning")) or text_of(message.get("reasoning_content")) or thought
    ran = rows(message.get("executed_tools"))
    return Success(
        model=text_of(value.get("model")) or model,
        text=text,
        tool_calls=calls,
        reasoning=reasoning or separated.reasoning,
        sources=tuple(source for row in ran for source in _sources(row))[:MOST_SOURCES],
        ran=tuple(text_of(row.get("type")) or "?" for row in ran),
        citations=_citations(message),
        finish_reason=finish_reason,
        usage=usage,
        usage_reported=stated is not None,
        speed=speed or _stated_speed(stated),
        quota=quota,
        request_id=request_id(value),
        simulated=simulated or "simulated" in (text_of(value.get("system_fingerprint")) or ""),
    )


def _system_fields(call: ChatCall) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if call.builtin:
        fields["compound_custom"] = {"tools": {"enabled_tools": list(call.builtin)}}
    search = call.request.search
    if search is not None:
        settings = {
            "include_domains": list(search.include_domains) or None,
            "exclude_domains": list(search.exclude_domains) or None,
            "country": search.country,
        }
        given = {name: value for name, value in settings.items() if value is not None}
        fields |= {"search_settings": given} if given else {}
    return fields


def _finish_reason(choice: Mapping[str, Any]) -> str:
    """Why the answer ended, in OpenAI's words where they are known; "stop" where the provider does not say."""
    stated = text_of(choice.get("finish_reason")) or "stop"
    plain = stated.strip().lower()
    return _FINISH_REASONS.get(plain, plain)


def _broken_off(finish_reason: str, error: object) -> Failure | None:
    """The failure of a provider that gave up in the middle: its part of an answer is not returned."""
    if not error and finish_reason not in _BROKEN_OFF:
        return None
    detail = text_of((mapping(error) or {}).get("message")) or text_of(error) or f"finish_reason {excerpt(finish_reason)}"
    message = f"the provider broke the answer off: {visible(detail)}"
    return Failure(kind=FailureKind.SERVER_ERROR, message=message, status=200)


def _unknown_tool(calls: Sequence[Mapping[str, Any]], tools: Sequence[str] | None) -> Failure | None:
    unknown = next((call["name"] for call in calls if tools is not None and call["name"] not in tools), None)
    if unknown is None:
        return None
    message = f"the model called {excerpt(unknown)}, which is not one of the tools given"
    return Failure(kind=FailureKind.GENERATION_FAILED, message=message, status=200)


def _nothing(finish_reason: str, usage: Usage) -> Failure:
    """Why there is neither text nor a call of a tool."""
    if finish_reason == "content_filter":
        message = "the provider's content filter withheld the answer"
        return Failure(kind=FailureKind.CONTENT_FILTERED, message=message, status=200)
    if finish_reason == "length":
        return bad_response(f"all {usage.output_tokens or 'its'} tokens went before any text came: raise max_tokens")
    return bad_response("an answer without text")


def _tool_call(row: Mapping[str, Any], tools: Sequence[str]) -> dict[str, Any]:
    function = mapping(row.get("function")) or {}
    arguments = function.get("arguments")
    return {
        "id": text_of(row.get("id")) or "",
        "name": function_name(text_of(function.get("name")) or "", tools),
        "arguments": json.dumps(arguments) if isinstance(arguments, dict) else text_of(arguments) or "{}",
    }


def _sources(ran: Mapping[str, Any]) -> list[Source]:
    """What a tool that ran at Groq read: groq.types.chat names search_results.results and browser_results."""
    found = rows((mapping(ran.get("search_results")) or {}).get("results")) or rows(ran.get("browser_results"))
    return [
        Source(title=text_of(row.get("title")) or "", url=url, excerpt=(text_of(row.get("content")) or "")[:EXCERPT_CHARS])
        for row in found
        if (url := text_of(row.get("url")))
    ]


def _citations(message: Mapping[str, Any]) -> tuple[str, ...]:
    """The documents that the provider says an answer rests on."""
    cited = [mapping(row.get("document_citation")) or {} for row in rows(message.get("annotations"))]
    return tuple(dict.fromkeys(id_ for row in cited if (id_ := text_of(row.get("document_id")))))


def _stated_speed(usage: Mapping[str, Any] | None) -> Speed:
    """What Groq itself measured: the time in its queue and with the prompt, then the tokens it wrote a second."""
    if usage is None:
        return Speed()
    waited = [number(usage.get(name)) for name in ("queue_time", "prompt_time")]
    wrote_s, tokens = number(usage.get("completion_time")), whole(usage.get("completion_tokens"))
    return Speed(
        first_token_s=sum(part for part in waited if part is not None) if any(part is not None for part in waited) else None,
        tokens_per_s=tokens / wrote_s if tokens and wrote_s else None,
    )


def _chat_usage(usage: Mapping[str, Any] | None) -> Usage:
    usage = usage or {}
    prompt = mapping(usage.get("prompt_tokens_details")) or {}
    completion = mapping(usage.get("completion_tokens_details")) or {}
    return Usage(
        input_tokens=whole(usage.get("prompt_tokens")) or 0,
        output_tokens=whole(usage.get("completion_tokens")) or 0,
        cached_tokens=whole(prompt.get("cached_tokens")) or 0,
        reasoning_tokens=whole(completion.get("reasoning_tokens")) or 0,
    )
