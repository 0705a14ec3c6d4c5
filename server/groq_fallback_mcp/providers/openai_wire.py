"""OpenAI's wire format of chat completions and of the model list: bodies out of requests, outcomes out of replies. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from groq_fallback_mcp.call import USED_UP, ChatRequest, Failure, FailureKind, QuotaSnapshot, Source, Speed, Success, Usage
from groq_fallback_mcp.call.messages import called_function, stated_calls
from groq_fallback_mcp.policy.plan import Candidate
from groq_fallback_mcp.providers.answer_text import AnswerText, content_pieces, json_text, separate
from groq_fallback_mcp.providers.base import json_instruction
from groq_fallback_mcp.providers.classify import classify_stream_error, visible
from groq_fallback_mcp.providers.finish_reason import BROKEN_OFF, finish_reason
from groq_fallback_mcp.providers.history import without_extra_content
from groq_fallback_mcp.providers.json_fields import (
    bad_response,
    count,
    json_object,
    mapping,
    number,
    request_id,
    rows,
    text_of,
    whole,
)
from groq_fallback_mcp.providers.rate_limit_headers import Sender
from groq_fallback_mcp.providers.tool_calls import is_written_call, read_calls
from groq_fallback_mcp.render import excerpt

__all__ = ["chat_outcome", "chat_payload", "choice_of", "read_chat", "reasoning_of", "stated_error"]

EXCERPT_CHARS = 300
MOST_SOURCES = 20
_REASONING_FIELDS = ("reasoning", "reasoning_content")
# Fields of an error that are set where there is none.
_SAYS_NOTHING = {"type", "param", "object", "logid"}
_MAY_STATE_AN_ERROR = frozenset({"error", "errors", "detail", "message", "msg", "base_resp", "title", "type"})


def chat_payload(request: ChatRequest, candidate: Candidate, *, groq: bool = True, stream: bool = False) -> dict[str, Any]:
    """The JSON body of POST chat/completions. Fields without a value are omitted; `groq`: those only Groq knows are not."""
    messages = [dict(message) for message in request.messages]
    if groq:
        messages = [without_extra_content(message) if "tool_calls" in message else message for message in messages]
    payload: dict[str, Any] = {"model": candidate.wire_model, "messages": messages}
    payload["max_completion_tokens" if groq else "max_tokens"] = candidate.max_tokens
    optional = {
        "temperature": request.temperature,
        "top_p": request.top_p,
        "seed": request.seed,
        "stop": list(request.stop) or None,
        "reasoning_effort": candidate.reasoning_effort,
        "parallel_tool_calls": request.parallel_tool_calls if request.tools else None,
        "tool_choice": request.tool_choice if request.tools else None,
        "service_tier": request.service_tier if groq else None,
        # a model that thinks in its answer, and must not where the answer is JSON or a tool call
        "reasoning_format": "parsed" if groq and candidate.parses_reasoning else None,
    }
    payload |= {name: value for name, value in optional.items() if value is not None}
    tools = [dict(tool) for tool in request.tools]
    if candidate.is_system:
        payload |= _system_fields(request, candidate)
    else:
        tools += [{"type": name} for name in candidate.builtin]
    if tools:
        payload["tools"] = tools
    if request.schema is not None:
        if candidate.json_mode == "json_schema":
            schema = {"name": "answer", "schema": dict(request.schema)}
            payload["response_format"] = {"type": "json_schema", "json_schema": schema}
        else:
            instruction = json_instruction(request.schema, beside_tools=bool(tools))
            messages.insert(0, {"role": "system", "content": instruction})
            if candidate.json_mode == "json_object":
                payload["response_format"] = {"type": "json_object"}
    if stream:
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
    wants_json: bool = False,
    sender: Sender = "groq",
) -> Success | Failure:
    """The outcome of a chat reply with status 200. `model` is used if the reply does not name one; the rest as in chat_outcome."""
    value = json_object(body)
    if isinstance(value, Failure):
        # Gemini's errors are a list of one
        text = body.decode("utf-8", "replace").lstrip() if body.lstrip().startswith(b"[") else ""
        return classify_stream_error(text, now_wall=now_wall, sender=sender) if '"error"' in text else value
    error = stated_error(value) or _error_of_choice(value)
    if error is not None:
        return classify_stream_error(error, now_wall=now_wall, sender=sender)
    return chat_outcome(value, model=model, quota=quota, simulated=simulated, tools=tools, wants_json=wants_json)


def chat_outcome(
    value: Mapping[str, Any],
    *,
    model: str,
    quota: QuotaSnapshot,
    simulated: bool,
    speed: Speed | None = None,
    tools: Sequence[str] | None = None,
    wants_json: bool = False,
    is_shown: bool = False,
) -> Success | Failure:
    """The outcome of a completion, read at once or put together from its pieces. `speed` is what was measured.

    `tools` are the names of the functions that may be called, None where that is not checked. `wants_json`: the answer was
    asked for as JSON, so what surrounds the JSON is no part of it. `is_shown`: the caller has its text already, which then is the
    answer where max_tokens cut the call after it.
    """
    choice = choice_of(value)
    if choice is None:
        return _withheld(value) or bad_response("an answer without choices")
    stated_reason = finish_reason(choice)
    if stated_reason is None and "finish_reason" in choice:
        # some servers never state it; null is what an answer has that is not complete
        return bad_response("an answer whose finish_reason is null", quota)
    reason = stated_reason or "stop"
    message = mapping(choice.get("message"))
    if message is None and reason == "stop":
        return bad_response("an answer without a message")
    message = message or {}
    stated = mapping(value.get("usage"))
    usage = _chat_usage(stated)
    content, thought = content_pieces(message.get("content"))
    thought = reasoning_of(message) or thought
    answer = _answer(content or text_of(message.get("refusal")) or "", message, wants_json=wants_json, reasoned=bool(thought))
    calls = read_calls(message, tools or ())
    cut = _cut_call(calls, message, reason)
    if cut is not None and cut.code == USED_UP and is_shown and answer.text.strip():
        calls, cut = (), None
    fault = (
        _broken_off(reason, choice)
        or cut
        or _missing_call(calls, answer.text, reason, tools)
        or _unknown_tool(calls, tools)
        or _nothing(calls, answer.text, reason, usage)
    )
    if fault is not None:
        return replace(fault, quota=quota)
    ran = rows(message.get("executed_tools"))
    return Success(
        model=text_of(value.get("model")) or model,
        text=answer.text,
        tool_calls=() if isinstance(calls, Failure) else calls,
        reasoning=thought or answer.reasoning,
        sources=tuple(source for row in ran for source in _sources(row))[:MOST_SOURCES],
        ran=tuple(text_of(row.get("type")) or "?" for row in ran),
        citations=_citations(message),
        finish_reason=reason,
        usage=usage,
        usage_reported=None not in _tokens(stated or {}),
        speed=speed or _stated_speed(stated),
        quota=quota,
        request_id=request_id(value),
        simulated=simulated or "simulated" in (text_of(value.get("system_fingerprint")) or ""),
    )


def choice_of(value: Mapping[str, Any], index: int | None = None) -> Mapping[str, Any] | None:
    """The choice of an answer or piece with this index, the lowest without one: where there are several, they are several answers."""
    choices = {whole(row.get("index")) or 0: row for row in reversed(rows(value.get("choices")))}
    return choices.get(min(choices, default=0) if index is None else index)


def reasoning_of(message: Mapping[str, Any]) -> str:
    """What a message or a piece of one holds as reasoning in a field of its own."""
    named = next((text for name in _REASONING_FIELDS if (text := text_of(message.get(name)))), None)
    if named is not None:
        return named
    return "".join(
        text_of(row.get("text")) or text_of(row.get("summary")) or "" for row in rows(message.get("reasoning_details"))
    )


def stated_error(value: Mapping[str, Any]) -> str | None:
    """The error that a reply or a piece of a stream with status 200 states, as JSON for `classify_stream_error`; None without."""
    # nearly every piece of a stream; the names must be all that are read below
    if _MAY_STATE_AN_ERROR.isdisjoint(value) and value.get("object") != "error":
        return None
    error = value.get("error")
    if _is_error(error):
        return json.dumps({"error": error})
    # what other servers call it, beside an answer only where it says something
    named = ("errors", "detail") if value.get("choices") else ("errors", "detail", "message", "msg", "base_resp", "title")
    flat = value.get("object") == "error" or value.get("type") == "error"
    if flat or any(_is_error(value.get(name)) for name in named):
        return json.dumps({name: field for name, field in value.items() if name not in {"choices", "error"}})
    return None


def _error_of_choice(value: Mapping[str, Any]) -> str | None:
    """The error that a provider behind a router states beside its half of an answer."""
    error = (choice_of(value) or {}).get("error")
    return json.dumps({"error": error}) if mapping(error) and _is_error(error) else None


def _is_error(stated: object) -> bool:
    """Some endpoints state an error in every answer, with nothing in it."""
    if isinstance(stated, dict):
        fields = stated
        return any(field and name not in _SAYS_NOTHING for name, field in fields.items()) and not _is_success(fields)
    return bool(stated) and not (isinstance(stated, str) and stated.strip().lower() in {"", "null", "none"})


def _is_success(fields: Mapping[str, Any]) -> bool:
    code = fields.get("code", fields.get("status_code"))
    return isinstance(code, int | str) and not isinstance(code, bool) and code in {0, "0", 200}


def _answer(content: str, message: Mapping[str, Any], *, wants_json: bool, reasoned: bool) -> AnswerText:
    parsed = mapping(message.get("content"))
    if wants_json and not content and parsed:
        return AnswerText(text=json.dumps(parsed, ensure_ascii=False))
    answer = separate(content, reasoned=reasoned)
    return replace(answer, text=json_text(answer.text)) if wants_json else answer


def _system_fields(request: ChatRequest, candidate: Candidate) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if candidate.builtin:
        fields["compound_custom"] = {"tools": {"enabled_tools": list(candidate.builtin)}}
    search = request.search
    if search is not None:
        settings = {
            "include_domains": list(search.include_domains) or None,
            "exclude_domains": list(search.exclude_domains) or None,
            "country": search.country,
        }
        given = {name: value for name, value in settings.items() if value is not None}
        fields |= {"search_settings": given} if given else {}
    return fields


def _broken_off(reason: str, choice: Mapping[str, Any]) -> Failure | None:
    """The failure of a provider that gave up in the middle: its part of an answer is not returned."""
    stated = next((error for at in (choice, mapping(choice.get("message")) or {}) if _is_error(error := at.get("error"))), None)
    if stated is None and reason != BROKEN_OFF:
        return None
    words = choice.get("native_finish_reason") or choice.get("finish_reason")
    detail = text_of((mapping(stated) or {}).get("message")) or text_of(stated) or f"finish_reason {excerpt(words)}"
    message = f"the provider cut the answer off: {visible(detail)}"
    return Failure(kind=FailureKind.SERVER_ERROR, message=message, status=200)


def _cut_call(calls: Sequence[Mapping[str, Any]] | Failure, message: Mapping[str, Any], reason: str) -> Failure | None:
    """The failure of a call that is not whole. One that was cut before its arguments began looks like one without any."""
    if reason == "length" and (isinstance(calls, Failure) or _lacks_arguments(stated_calls(message)[-1:])):
        return replace(bad_response("a tool call was cut off at max_tokens; raise max_tokens"), code=USED_UP)
    return calls if isinstance(calls, Failure) else None


def _lacks_arguments(calls: Sequence[Mapping[str, Any]]) -> bool:
    given = [called_function(call)["arguments"] for call in calls]
    return any(one is None or (isinstance(one, str) and not one.strip()) for one in given)


def _missing_call(
    calls: Sequence[Mapping[str, Any]] | Failure, text: str, reason: str, tools: Sequence[str] | None
) -> Failure | None:
    """The failure of a model that meant to call a tool, and of whose call only words are left."""
    if calls or not tools or not (reason == "tool_calls" or is_written_call(text)):
        return None
    message = "the model wrote a tool call as text, or omitted it"
    return Failure(kind=FailureKind.GENERATION_FAILED, message=message, status=200)


def _unknown_tool(calls: Sequence[Mapping[str, Any]] | Failure, tools: Sequence[str] | None) -> Failure | None:
    if isinstance(calls, Failure) or tools is None:
        return None
    unknown = next((call["name"] for call in calls if call["name"] not in tools), None)
    if unknown is None:
        return None
    message = f"the model called {excerpt(unknown)}, which is not one of the tools given"
    return Failure(kind=FailureKind.GENERATION_FAILED, message=message, status=200)


def _nothing(calls: Sequence[Mapping[str, Any]] | Failure, text: str, reason: str, usage: Usage) -> Failure | None:
    """Why there is neither text nor a call of a tool; None where there is."""
    if calls or text.strip():
        return None
    if reason == "content_filter":
        return _filtered()
    if reason == "length":
        message = f"all {usage.output_tokens or 'its'} tokens were used before any text came; raise max_tokens"
        return replace(bad_response(message), code=USED_UP)
    return bad_response("an answer without text")


def _withheld(value: Mapping[str, Any]) -> Failure | None:
    """The failure of an answer without choices whose prompt was filtered, as Gemini and Azure report it."""
    feedback = mapping(value.get("promptFeedback")) or mapping(value.get("prompt_feedback")) or {}
    results = [mapping(row.get("content_filter_results")) or {} for row in rows(value.get("prompt_filter_results"))]
    filtered = any((mapping(row) or {}).get("filtered") for result in results for row in result.values())
    return _filtered() if filtered or feedback.get("blockReason") or feedback.get("block_reason") else None


def _filtered() -> Failure:
    message = "the provider's content filter withheld the answer"
    return Failure(kind=FailureKind.CONTENT_FILTERED, message=message, status=200)


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
    wrote_s, tokens = number(usage.get("completion_time")), count(usage.get("completion_tokens"))
    return Speed(
        first_token_s=sum(part for part in waited if part is not None) if any(part is not None for part in waited) else None,
        tokens_per_s=tokens / wrote_s if tokens and wrote_s else None,
    )


def _chat_usage(usage: Mapping[str, Any] | None) -> Usage:
    usage = usage or {}
    read, wrote = _tokens(usage)
    prompt = mapping(usage.get("prompt_tokens_details")) or {}
    completion = mapping(usage.get("completion_tokens_details")) or {}
    return Usage(
        input_tokens=read or 0,
        output_tokens=wrote or 0,
        cached_tokens=count(prompt.get("cached_tokens")) or 0,
        reasoning_tokens=count(completion.get("reasoning_tokens")) or 0,
    )


def _tokens(usage: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """The tokens that went in and came out, as far as they can be read."""
    read, wrote, both = (count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens", "total_tokens"))
    if wrote is None and read is not None and both is not None and both > read:
        # Google omits a field that is 0, and counts what was thought in the sum alone
        wrote = both - read
    return read, wrote
